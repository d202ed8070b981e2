"""A patch gives its output bit for bit, and a hostile one nothing but an error."""

import lzma
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_packaging import patch
from alforja_packaging.archives import pack
from alforja_packaging.errors import AlforjaError, FormatError, VerifyError
from alforja_packaging.patch import InMemory
from alforja_packaging.patching import make_patch
from alforja_packaging.recipe import Closing, Cover, Opening, Recipe, read_recipe, write_recipe
from alforja_packaging.streams import ENCODERS_MAX, Tokens, Xz, Zlib, Zstd
from alforja_packaging.unfolding import Unfolded

DEFLATE = Zlib(6, -15, 8, 0)
ZSTD = Zstd(3, 20, 17, 16)
XZ = Xz(6, False)
WORDS = b" ".join(b"word%d" % (number * number % 997) for number in range(3_000))


def undo(data: bytes, bases: bytes, size: int) -> bytes:
    return b"".join(bytes(run) for run in patch.apply(InMemory(data), InMemory(bases), InMemory(), size, "frame"))


def deflated(plain: bytes, method: Zlib = DEFLATE) -> bytes:
    packer = zlib.compressobj(method.level, zlib.DEFLATED, method.window_bits, method.memory_level, method.strategy)
    return packer.compress(plain) + packer.flush()


@given(st.lists(st.binary(max_size=300), max_size=5), st.data())
def test_what_is_patched_comes_out_the_same(bases: list[bytes], data: st.DataObject) -> None:
    old = b"".join(bases)
    parts = data.draw(st.lists(st.one_of(st.binary(max_size=50), st.just(old), st.just(WORDS[:200])), max_size=6))
    output = b"".join(parts)
    made = make_patch(Unfolded(output), bases)

    assert undo(made.data, b"".join(bases[place] for place in made.bases), len(output)) == output


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_bytes_are_added_modulo_256(one: bytes, other: bytes) -> None:
    size = min(len(one), len(other))

    assert patch.add_bytes(one[:size], other[:size]) == bytes(
        (a + b) % 256 for a, b in zip(one[:size], other[:size], strict=True)
    )


def test_a_base_that_nothing_is_copied_from_is_left_out() -> None:
    made = make_patch(Unfolded(WORDS), [bytes(500), WORDS[:9_000], b"\xff" * 700, WORDS[9_000:]])

    assert made.bases == (1, 3)
    assert len(made.data) < 100
    assert undo(made.data, WORDS, len(WORDS)) == WORDS


def test_a_stream_is_opened_changed_and_closed_again() -> None:
    old, new = WORDS, WORDS[:5_000] + b"a change" + WORDS[5_000:]
    base = b"head" + deflated(old) + b"tail"
    opening = (Opening(((4, len(base) - 8),), len(old), DEFLATE), old)
    closing = Closing(DEFLATE, gap=4, tail=len(new))
    made = make_patch(Unfolded(b"HEAD" + new + b"TAIL", (closing,)), [base], [opening])
    output = b"HEAD" + deflated(new) + b"TAIL"

    assert undo(made.data, base, len(output)) == output
    assert len(made.data) < 120
    assert made.recipe.openings


@pytest.mark.parametrize("method", [Zstd(19, 21, 22, 20), Zstd(3, 21, 17, 16), Xz(6, True), Xz(1, False)])
def test_streams_of_zstd_and_xz_are_opened_changed_and_closed_again(method: Zstd | Xz) -> None:
    old, new = WORDS, WORDS[:5_000] + b"a change" + WORDS[5_000:]
    base, output = (b"head" + pack(text, method) + b"tail" for text in (old, new))
    opening = (Opening(((4, len(base) - 8),), len(old), method), old)
    made = make_patch(Unfolded(b"head" + new + b"tail", (Closing(method, 4, len(new)),)), [base], [opening])

    assert undo(made.data, base, len(output)) == output
    assert len(made.data) < 120
    assert made.recipe.openings


def test_streams_within_streams_and_in_parts_are_closed() -> None:
    inner = deflated(WORDS, Zlib(9, 15, 9, 0))
    around = b"<" + inner[:100] + b"gap" + inner[100:] + b">"
    output = b"[" + deflated(around) + b"]"
    plain = b"[<gap" + WORDS + b">]"
    closings = (
        Closing(DEFLATE, gap=1, tail=1, children=1),
        Closing(Zlib(9, 15, 9, 0), gap=1, tail=len(WORDS), parts=((100, 3),)),
    )
    made = make_patch(Unfolded(plain, closings), [])

    assert undo(made.data, b"", len(output)) == output


numbers = st.integers(0, 2**40)
openings = st.builds(
    Opening, st.lists(st.tuples(numbers, numbers), min_size=1, max_size=3).map(tuple), numbers,
    st.sampled_from([Zlib(0, -15, 0, 0), Zlib(0, 15, 0, 0), Tokens(), Zstd(0, 0, 0, 0), Xz(0, False)]),
)  # fmt: skip
leaves = st.builds(Closing, st.just(Tokens()), numbers, numbers, st.just(0), numbers)
methods = (
    st.builds(Zlib, st.integers(1, 9), st.sampled_from([-15, -9, 9, 15]), st.integers(1, 9), st.integers(0, 4))
    | st.builds(Zstd, st.integers(1, 19), *[st.integers(10, 22)] * 3).filter(lambda one: one.is_allowed)
    | st.builds(Xz, st.integers(0, 9), st.booleans())
)
closings = st.builds(
    Closing, methods, numbers, numbers, parts=st.lists(st.tuples(numbers, st.integers(0, 9)), max_size=3).map(tuple),
)  # fmt: skip
covers = st.lists(st.builds(Cover, numbers, numbers, st.integers(1, 2**40)), max_size=4).map(tuple)
runs = st.lists(st.tuples(numbers, st.integers(1, 2**40)), max_size=4).map(tuple)
recipes = st.builds(
    Recipe, st.lists(openings, max_size=3).map(tuple), st.lists(closings | leaves, max_size=3).map(tuple), covers, runs
)


@given(recipes)
def test_a_recipe_is_read_as_it_was_written(recipe: Recipe) -> None:
    assert read_recipe(write_recipe(recipe), "recipe") == recipe


@given(st.binary(max_size=200))
def test_any_bytes_are_a_recipe_or_an_error_of_ours(data: bytes) -> None:
    try:
        recipe = read_recipe(data, "recipe")
    except FormatError:
        return
    assert read_recipe(write_recipe(recipe), "recipe").covers == recipe.covers


@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_a_changed_patch_gives_an_error_of_ours_or_the_right_length(at: int, value: int, cut: bool) -> None:
    base = b"head" + deflated(WORDS) + b"tail"
    new = WORDS[:5_000] + b"a change" + WORDS[5_000:]
    made = make_patch(
        Unfolded(new, (Closing(DEFLATE, 0, len(new)),)),
        [base],
        [(Opening(((4, len(base) - 8),), len(WORDS), DEFLATE), WORDS)],
    )
    data = bytearray(made.data)
    data[at % len(data)] ^= value
    changed = bytes(data[: at % len(data)] if cut else data)
    with suppress(AlforjaError):
        undo(changed, base, len(deflated(new)))


def section(data: bytes) -> patch.Section:
    return patch.Section(patch.STORED, len(data), len(data))


def raw(recipe: Recipe, literals: bytes = b"", differences: bytes = b"", plain_size: int | None = None) -> bytes:
    told = write_recipe(recipe)
    size = len(literals) if plain_size is None else plain_size
    header = patch.Header(size, section(told), section(differences), section(literals))
    return patch.write_header(header) + told + differences + literals


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (raw(Recipe(covers=(Cover(0, 5, 9),)), plain_size=9), "copies bytes that are not there"),
        (raw(Recipe(covers=(Cover(0, 0, 2**40),)), plain_size=9), "copies bytes that are not there"),
        (raw(Recipe(), b"abc", plain_size=2), "has bytes that nothing takes"),
        (raw(Recipe(), b"abc", plain_size=4), "ends before its last stream"),
        (raw(Recipe(), b"abc", b"d"), "has bytes that nothing takes"),
        (raw(Recipe(), plain_size=2**40), "its plain output is out of bounds"),
        (raw(Recipe(openings=(Opening(((0, 99),), 5, DEFLATE),))), "outside its bases"),
        (raw(Recipe(openings=(Opening(((0, 9),), 5, DEFLATE),))), "of its bases"),
        (raw(Recipe(openings=(Opening(((0, 9),), 2**40, DEFLATE),))), "opens more than"),
        (raw(Recipe(closings=(Closing(DEFLATE, 1, 9),)), b"abc"), "ends before its last stream"),
        (raw(Recipe(closings=(Closing(Tokens(), 0, 3, size=2**40),)), b"abc"), "more bytes than are allowed"),
        (raw(Recipe(closings=(Closing(Tokens(), 0, 2**30, size=9),)), b"abc"), "ends before"),
        (raw(Recipe(closings=(Closing(Zstd(20, 20, 20, 20), 0, 0),))), "settings that are not allowed"),
        (raw(Recipe(closings=(Closing(Zstd(19, 23, 22, 24), 0, 0),))), "settings that are not allowed"),
        (raw(Recipe(closings=(Closing(Zstd(19, 9, 22, 10), 0, 0),))), "settings that are not allowed"),
        (raw(Recipe(closings=(Closing(Xz(10, False), 0, 0),))), "settings that are not allowed"),
        (raw(Recipe(closings=(Closing(XZ, 0, 0, 1), Closing(ZSTD, 0, 0)))), "within another one"),
        (raw(Recipe(closings=(Closing(XZ, 0, 0, 1), Closing(DEFLATE, 0, 0, 1), Closing(XZ, 0, 0)))), "within another"),
        (raw(Recipe(closings=(Closing(ZSTD, 0, 0),) * (ENCODERS_MAX + 1))), "closes more than"),
        (raw(Recipe(closings=(Closing(ZSTD, 0, 9),)), b"abc"), "ends before its last stream"),
        (raw(Recipe(openings=(Opening(((0, 9),), 5, ZSTD),))), "is not readable|does not open"),
        (raw(Recipe(openings=(Opening(((0, 9),), 5, XZ),))), "is not readable|does not open"),
        (raw(Recipe()) + b"x", "not as long as it says"),
        (b"", "ends within its columns"),
    ],
)
def test_a_patch_that_lies_is_refused(data: bytes, words: str) -> None:
    with pytest.raises((VerifyError, FormatError), match=words):
        undo(data, b"nine byte", 100)


def test_lzma_that_gives_more_than_it_states_is_stopped() -> None:
    packed = lzma.compress(bytes(2**24), lzma.FORMAT_RAW, filters=patch.lzma_filter(0, 100))
    told = write_recipe(Recipe())
    header = patch.Header(100, section(told), section(b""), patch.Section(patch.LZMA, len(packed), 100))
    with pytest.raises(VerifyError, match="gives more than the 100 bytes"):
        undo(patch.write_header(header) + told + packed, b"", 100)
