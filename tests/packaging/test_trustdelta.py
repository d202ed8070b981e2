"""Metadata as a delta: comes back byte for byte, and nothing hostile gets far."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_packaging import codec
from alforja_packaging.errors import AlforjaError, FormatError, UnsupportedFormat, VerifyError
from alforja_packaging.trustdelta import (
    FILES_MAX,
    METADATA_MAX_BYTES,
    VERSION_MAX,
    Change,
    fingerprint,
    format_delta,
    parse_delta,
)

HELD = {"4.moe.json": b'{"signed":{"version":4,"targets":{}}}' * 20, "timestamp.json": b'{"version":9}'}
CHANGES = [
    Change("5.moe.json", HELD["4.moe.json"].replace(b":4,", b":5,"), "4.moe.json"),
    Change("1.uni.json", b"{}"),
    Change("timestamp.json", b'{"version":10}', "timestamp.json"),
]


def delta(fields: Any, packed: bytes = b"") -> bytes:
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return b"alforja-trust 1 %d\n" % len(text) + text + packed


# Whatever is true comes back


names = st.from_regex(r"[1-9][0-9]{0,3}\.[a-z0-9][a-z0-9-]{0,8}\.json", fullmatch=True)
held_files = st.dictionaries(names, st.binary(max_size=300), max_size=5)


@given(held_files, st.data())
def test_any_files_come_back_from_any_held_ones(held: dict[str, bytes], data: st.DataObject) -> None:
    new = data.draw(st.dictionaries(names, st.binary(max_size=300), max_size=6))
    likeness = st.sampled_from(["", *held])
    changes = [Change(name, content, data.draw(likeness)) for name, content in new.items()]
    written = format_delta(3, 7, changes, held)
    read = parse_delta(written, 3, held)

    assert (read.from_version, read.to_version, read.files) == (3, 7, new)
    assert format_delta(3, 7, changes, held) == written


def test_nothing_new_is_a_few_bytes() -> None:
    data = format_delta(9, 9, [], {})

    assert len(data) < 60
    assert parse_delta(data, 9, {}).files == {}


def test_a_change_costs_little_beside_what_is_held() -> None:
    assert len(format_delta(9, 10, CHANGES[:1], HELD)) < len(CHANGES[0].data) / 5


# Whatever is false is refused


@given(st.integers(0), st.integers(1, 255))
def test_no_flipped_byte_makes_more_than_the_files_it_names(place: int, bits: int) -> None:
    data = bytearray(format_delta(9, 10, CHANGES, HELD))
    data[place % len(data)] ^= bits
    try:
        read = parse_delta(bytes(data), 9, HELD)
    except AlforjaError:
        return

    # What passes is for signatures to judge, and no larger than it says.
    assert sum(map(len, read.files.values())) <= 2 * sum(len(change.data) for change in CHANGES)


@pytest.mark.parametrize("end", range(0, len(format_delta(9, 10, CHANGES, HELD)), 7))
def test_a_truncated_delta_is_refused_wherever_it_ends(end: int) -> None:
    with pytest.raises((FormatError, VerifyError), match="trust delta: "):
        parse_delta(format_delta(9, 10, CHANGES, HELD)[:end], 9, HELD)


def test_a_truncated_word_that_nothing_is_new_is_refused_too() -> None:
    whole = format_delta(9, 9, [], {})
    padded = whole.replace(b"1 %d\n" % (len(whole) - 19), b"1 %d\n" % 4000)
    with pytest.raises(FormatError, match="ends within its list of files"):
        parse_delta(padded, 9, {})


def test_what_follows_the_end_is_refused() -> None:
    for data in (format_delta(9, 9, [], {}), format_delta(9, 10, CHANGES, HELD)):
        with pytest.raises((FormatError, VerifyError), match="something follows its end"):
            parse_delta(data + b"x", 9, HELD)


def test_a_delta_for_another_version_is_refused() -> None:
    with pytest.raises(FormatError, match="does not lead on from version 8"):
        parse_delta(format_delta(9, 10, CHANGES, HELD), 8, HELD)


def test_a_newer_format_asks_for_an_upgrade() -> None:
    with pytest.raises(UnsupportedFormat, match="format version 2, this program knows up to 1") as caught:
        parse_delta(b"alforja-trust 2 4\n{}{}", 9, {})

    assert (caught.value.version, caught.value.newest_known) == (2, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"<html>", b"alforja-trust", b"alforja-trust 1 99999999\n", b"alforja-trust 1 2\n[]",
        delta({}), delta({"from": 9, "to": 10}), delta({"from": 9, "to": 10, "files": {}}),
        delta({"from": 9, "to": VERSION_MAX + 1, "files": []}), delta({"from": 9, "to": -1, "files": []}),
        delta({"from": 9, "to": 10.0, "files": []}), delta({"from": 9, "to": True, "files": []}),
        delta(b'{"from":9,"from":9,"to":10,"files":[]}'), delta(b"[" * 100_000),
        delta(b'{"from":9,"to":1' + b"0" * 5000 + b',"files":[]}'),
        delta({"from": 9, "to": 10, "files": [["5.moe.json", "", 2]] * 2}, codec.compress(b"{}{}")),
        delta({"from": 9, "to": 10, "files": [[f"{n}.a.json", "", 0] for n in range(1, FILES_MAX + 2)]}),
    ],
    ids=lambda data: repr(data[:60]),
)  # fmt: skip
def test_what_is_not_a_delta_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"^trust delta: "):
        parse_delta(data, 9, HELD)


@pytest.mark.parametrize(
    "entry",
    [
        ["../bootstrap/root.json", "", 2], ["5.Moe.json", "", 2], ["05.moe.json", "", 2], ["5.moe.json.json", "", 2],
        ["5.%2e%2e.json", "", 2], ["root.json", "", 2], ["12345678901234567.moe.json", "", 2], ["5.moe.json\n", "", 2],
        ["5.moe.json", "3.moe.json", 2], ["5.moe.json", "../etc/passwd", 2], ["5.moe.json", None, 2],
        ["5.moe.json", "", -1], ["5.moe.json", "", True], ["5.moe.json", "", "2"], ["5.moe.json", "", 2**70],
        ["5.moe.json", ""], "5.moe.json", None,
    ],
    ids=repr,
)  # fmt: skip
def test_a_delta_names_only_metadata_and_only_what_is_held(entry: object) -> None:
    with pytest.raises(FormatError, match="an entry names something that is not held, or is not as the format says"):
        parse_delta(delta({"from": 9, "to": 10, "files": [entry]}, codec.compress(b"{}")), 9, HELD)


def test_more_than_metadata_may_have_is_refused_before_it_is_unpacked() -> None:
    entries = [[f"{n}.a.json", "", METADATA_MAX_BYTES // 4] for n in range(1, 6)]
    with pytest.raises(FormatError, match="more than metadata may have"):
        parse_delta(delta({"from": 9, "to": 10, "files": entries}, b"not looked at"), 9, HELD)


def test_a_bomb_gives_no_more_than_it_said() -> None:
    bomb = codec.compress(bytes(64 * 2**20))
    assert len(bomb) < 20_000
    tracemalloc.start()
    with pytest.raises(VerifyError, match="gives more than the 1000 bytes it should"):
        parse_delta(delta({"from": 9, "to": 10, "files": [["5.moe.json", "", 1000]]}, bomb), 9, HELD)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 * 2**20


def test_one_large_held_file_named_thousands_of_times_takes_no_memory() -> None:
    held = {"4.moe.json": bytes(5 * 2**20)}
    entries = [[f"{n}.moe.json", "4.moe.json", 1] for n in range(1, FILES_MAX + 1)]
    data = delta({"from": 9, "to": 10, "files": entries}, codec.compress(bytes(FILES_MAX)))
    tracemalloc.start()
    with pytest.raises(FormatError, match="more than metadata may have"):
        parse_delta(data, 9, held)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 8 * 2**20  # and not 20 GiB


def test_people_compare_a_fingerprint_in_groups() -> None:
    assert fingerprint(b"root").startswith("4813 494d 137e 1631 ")
    assert len(fingerprint(b"root").split()) == 16
