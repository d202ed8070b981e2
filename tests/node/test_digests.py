"""A set of digests behaves as a set, in a fraction of its memory."""

import hashlib
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from alforja_node.digests import DigestSet

digests = st.integers(0, 40).map(lambda number: hashlib.sha256(bytes([number])).digest())


@given(st.lists(digests), st.lists(digests), digests)
def test_it_holds_what_was_put_in_and_nothing_else(first: list[bytes], more: list[bytes], other: bytes) -> None:
    held = DigestSet(first)
    held.update(more)

    assert set(held) == {*first, *more}
    assert len(held) == len({*first, *more})
    assert (other in held) == (other in {*first, *more})
    assert all(digest in held for digest in first + more)


def test_a_hundred_thousand_take_a_few_megabytes() -> None:
    tracemalloc.start()
    held = DigestSet(hashlib.sha256(b"%d" % number).digest() for number in range(100_000))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(held) == 100_000
    assert hashlib.sha256(b"99999").digest() in held
    assert hashlib.sha256(b"100000").digest() not in held
    assert size < 6_000_000
