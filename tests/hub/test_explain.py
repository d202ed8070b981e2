"""Why a release costs what it costs: every byte is told of once, and hints are no guesses."""

import hashlib
import io
import random
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alforja_hub.explain.contents import explain
from alforja_hub.explain.cuts import weigh_cuts
from alforja_hub.explain.hints import Difference, compare, make_hints
from alforja_hub.explain.rows import Explained, Row, Weighed, apportion, make_rows
from alforja_hub.explain.tracing import trace
from alforja_hub.features import FeatureShelf
from alforja_packaging import codec, frames, seal
from alforja_packaging.blocks import STEP_BYTES
from alforja_packaging.errors import StoreError
from alforja_packaging.frames import NEEDS_ENCODERS, NEEDS_JPEG_XL, NEEDS_ZLIB, Frame, Piece
from alforja_packaging.index import Index, parse_head
from alforja_packaging.layout import file_path
from alforja_packaging.patch import InMemory, open_patch
from alforja_packaging.patching import make_patches
from tests.simulators.hub import SimulatedHub, Tree, make_manifest


def explained(tmp_path: Path, old: Tree, new: Tree, *, install: bool = False) -> tuple[Explained, int]:
    """Explain the update between two trees; give also what its pack weighs."""
    hub = SimulatedHub(tmp_path)
    hub.publish("maths", old)
    held = hub.manifest_of("maths")
    offer = hub.publish("maths", new)
    path = hub.pack("maths", 2, "install" if install else "from-1")
    from_held = None if install else held
    opened = parse_head(path.read_bytes(), from_held)
    stated = offer.custom["install"] if install else offer.custom["from"]["1"]

    def path_of(digest: bytes) -> Path:
        return tmp_path / "files" / file_path(digest)

    features = FeatureShelf(path_of, tmp_path / "cache" / "features")

    def read_frame(frame: Frame) -> bytes:
        pack = path if not frame.pack else hub.pack("maths", 1, "install")
        return pack.read_bytes()[frame.offset :][: frame.length]

    found = explain(hub.manifest_of("maths"), from_held, opened, path_of, features.of, read_frame=read_frame)
    return found, stated[1]


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
def test_shares_add_up_and_nobody_is_a_unit_from_the_exact_share(total: int, weights: list[int]) -> None:
    shares = apportion(total, weights)

    assert sum(shares) == total
    whole = sum(weights)
    if whole:
        assert all(abs(share * whole - total * weight) < whole for share, weight in zip(shares, weights, strict=True))
    else:
        assert max(shares) - min(shares) <= 1


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=20), st.integers(0, 10**6))
def test_what_weighs_more_never_costs_less(weights: list[int], total: int) -> None:
    shares = apportion(total, weights)

    for one, share in zip(weights, shares, strict=True):
        for other, other_share in zip(weights, shares, strict=True):
            assert one <= other or share >= other_share


def test_no_weights_share_nothing() -> None:
    assert apportion(0, []) == []


def test_costs_of_files_and_head_are_the_pack_to_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "PIECE_MAX_BYTES", 50_000)  # so that small films come in pieces too
    noise = random.Random(3)
    films = {f"{n}/film.mp4": noise.randbytes(90_000 if n == 0 else 20_000) for n in range(3)}
    pages = {f"{n}/page.html": b"<p>" + noise.randbytes(2000).hex().encode() + b"</p>" for n in range(20)}
    changed = {path: data.replace(b"</p>", b"!</p>") for path, data in list(pages.items())[:7]}
    again = noise.randbytes(91_000)
    new = films | pages | changed | {"0/film.mp4": again, "x/twin.mp4": again, "empty.txt": b""}
    update, stated = explained(tmp_path / "update", films | pages, new)
    install, stated_install = explained(tmp_path / "install", films | pages, new, install=True)

    assert update.total == stated
    assert install.total == stated_install
    by_path = {row.path: row for row in update.rows}
    assert set(by_path) == {"0/film.mp4", "x/twin.mp4", "empty.txt", *changed}
    assert (by_path["0/film.mp4"].reason, by_path["0/film.mp4"].how) == ("changed", "whole")
    assert by_path["0/film.mp4"].cost > 90_000
    assert by_path["x/twin.mp4"] == Row("x/twin.mp4", "copied", "", 0, len(again), ("0/film.mp4",))
    assert by_path["3/page.html"].how == "patched"
    assert by_path["3/page.html"].bases == ("3/page.html",)
    assert {row.reason for row in install.rows} == {"new", "copied"}
    assert sum(cost for _, cost in update.sums().values()) + update.head == stated
    assert update.rows[0].path == "0/film.mp4"
    assert any(hint.startswith("1 picture, film or the like kept the name") for hint in update.hints)


def test_a_new_file_is_told_to_be_made_from_the_held_one_it_resembles(tmp_path: Path) -> None:
    noise = random.Random(5)
    held = {f"{n}.bin": noise.randbytes(60_000) for n in range(9)}
    parts = held["4.bin"][:30_000] + b"between" + held["7.bin"][30_000:]
    found, _ = explained(tmp_path, held, held | {"new/both.bin": parts, "new/own.bin": noise.randbytes(900)})

    by_path = {row.path: row for row in found.rows}
    assert (by_path["new/both.bin"].reason, by_path["new/both.bin"].how) == ("new", "patched")
    assert set(by_path["new/both.bin"].bases) == {"4.bin", "7.bin"}
    assert by_path["new/own.bin"].cost > by_path["new/both.bin"].cost


def test_a_moved_file_costs_nothing_and_says_where_it_was(tmp_path: Path) -> None:
    page = b"<p>page</p>" * 99
    found, _ = explained(tmp_path, {"a.html": page, "b.html": b"stays"}, {"c.html": page, "b.html": b"stays"})
    copied, _ = explained(tmp_path / "2", {"a.html": page}, {"a.html": page, "z.html": page})

    assert found.rows == (Row("c.html", "moved", "", 0, len(page), ("a.html",)),)
    assert copied.rows == (Row("z.html", "copied", "", 0, len(page), ("a.html",)),)


@pytest.mark.parametrize(
    ("bases", "opened", "how"),
    [((), False, "whole"), ((0,), False, "patched"), ((0,), True, "opened"), ((), True, "opened")],
)
def test_how_a_file_travels_is_told_by_what_its_frame_says_of_it(
    bases: tuple[int, ...], opened: bool, how: str
) -> None:
    held = make_manifest("moe", "maths", 1, {"a.zip": b"old"})
    new = make_manifest("moe", "maths", 2, {"a.zip": b"new", "b.html": b"text"})
    pieces = tuple(Piece(base, 0, 3) for base in bases)
    index = Index(1, (Frame("patch", 0, 0, 70, (Piece(0, 0, 3), Piece(1, 0, 4)), pieces, NEEDS_ZLIB),))

    assert make_rows(new, held, index, lambda _frame: [Weighed(1, bases, opened), Weighed(0)]) == [
        Row("a.zip", "changed", how, 70, 3, ("a.zip",) if bases else ()),  # type: ignore[arg-type]
        Row("b.html", "new", "whole", 0, 4),
    ]


def test_what_is_given_twice_costs_what_whoever_can_do_least_fetches() -> None:
    held = make_manifest("moe", "maths", 1, {"a.jpg": b"old"})
    new = make_manifest("moe", "maths", 2, {"a.jpg": b"new"})
    frames = tuple(Frame("patch", 0, 0, 70 - needs, (Piece(0, 0, 3),), (), needs) for needs in (NEEDS_JPEG_XL, 0))

    [row] = make_rows(new, held, Index(1, frames), lambda _frame: [Weighed(1)])
    assert (row.cost, row.how) == (70, "whole")


def _book(chapters: Mapping[str, bytes]) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for name, text in chapters.items():
                archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
        return file.getvalue()


def test_of_files_in_one_frame_each_is_told_by_itself_opened_or_patched_or_whole(tmp_path: Path) -> None:
    noise = random.Random(8)
    words = [b"".join(b"%d words " % noise.randrange(10**6) for _ in range(1500)) for _ in range(4)]
    old = {"a/book.epub": _book({"1": words[0], "2": words[1]}), "a/page.html": words[2]}
    new = {
        "a/book.epub": _book({"1": words[0], "2": words[1].replace(b"7 words", b"8 words")}),
        "a/page.html": words[2].replace(b"77 words", b"88 words"),
        "a/sound.ogg": noise.randbytes(3_000),
    }
    found, stated = explained(tmp_path, old, new)

    by_path = {row.path: row for row in found.rows}
    assert found.total == stated
    assert (by_path["a/book.epub"].how, by_path["a/book.epub"].bases) == ("opened", ("a/book.epub",))
    assert (by_path["a/page.html"].how, by_path["a/page.html"].bases) == ("patched", ("a/page.html",))
    assert (by_path["a/sound.ogg"].how, by_path["a/sound.ogg"].bases) == ("whole", ())
    assert 2_900 < by_path["a/sound.ogg"].cost < 3_300


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(max_examples=25)
def test_a_trace_of_a_patch_accounts_for_every_byte(seed: int, count: int) -> None:
    chance = random.Random(seed)
    bases = [chance.randbytes(chance.randrange(1, 3_000)) for _ in range(count)]
    bases.append(_book({"1": b"".join(b"%d words " % chance.randrange(10**6) for _ in range(300))}))
    outputs = [chance.choice(bases)[chance.randrange(200) :] + chance.randbytes(99) for _ in range(count)]
    outputs.append(_book({"1": b"".join(b"%d words " % chance.randrange(10**6) for _ in range(300))}))
    for made in make_patches(b"".join(outputs), bases):
        kept = [bases[place] for place in made.bases]
        opened = open_patch(InMemory(made.data), InMemory(b"".join(kept)), len(b"".join(outputs)), "patch")
        traced = trace(opened, b"".join(outputs), list(map(len, outputs)), list(map(len, kept)))

        assert sum(one.plain for one in traced) == opened.header.plain_size
        assert [one.closings for one in traced] == [0] * count + [len(made.recipe.closings)]
        assert all(one.plain == sum(one.copied.values()) + sum(map(len, one.literals)) for one in traced)
        assert sum(len(run) for one in traced for run in one.literals) == opened.header.literals.size
        assert sum(len(run) for one in traced for run in one.differences) == opened.header.differences.size


def test_a_trace_follows_streams_of_any_length_from_one_file_to_the_next() -> None:
    chance = random.Random(3)
    words = [b"".join(b"%d words " % chance.randrange(10**6) for _ in range(30_000)) for _ in range(4)]
    cluster = b"".join(codec.compress_streaming([words[3]], {"compression_level": 3}))
    outputs = [_book({"1": words[0], "2": words[1]}), chance.randbytes(700), _book({"1": words[2]}), cluster, b"end"]
    output = b"".join(outputs)
    *_, made = make_patches(output, [], able=NEEDS_ZLIB | NEEDS_ENCODERS)
    opened = open_patch(InMemory(made.data), InMemory(b""), len(output), "patch")
    traced = trace(opened, output, list(map(len, outputs)), [])

    assert min(map(len, (outputs[0], outputs[2], cluster))) > STEP_BYTES
    assert [one.closings for one in traced] == [2, 0, 1, 1, 0]
    assert sum(one.plain for one in traced) == opened.header.plain_size
    assert b"".join(traced[1].literals) == outputs[1]
    assert b"".join(traced[4].literals) == b"end"


def test_what_cuts_cost_is_what_one_frame_would_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "UPDATE_FRAME_COST_BYTES", 3_000)
    noise = random.Random(4)
    old = {f"{n}/page.html": b"".join(b"%d words " % noise.randrange(10**6) for _ in range(200)) for n in range(30)}
    new = {path: data.replace(b"7 words", b"%d more" % noise.randrange(10**6)) for path, data in old.items()}
    hub = SimulatedHub(tmp_path)
    hub.publish("maths", old)
    held = hub.manifest_of("maths")
    hub.publish("maths", new)
    opened = parse_head(hub.pack("maths", 2, "from-1").read_bytes(), held)
    cuts = weigh_cuts(hub.manifest_of("maths"), held, opened, lambda digest: tmp_path / "files" / file_path(digest))

    assert cuts.frames == len(opened.index.frames) > 1
    assert cuts.bytes == sum(frame.length for frame in opened.index.frames)
    assert cuts.as_one is not None
    assert cuts.bytes / 2 < cuts.as_one < cuts.bytes


def _nowhere(digest: bytes) -> Path:
    return Path("nowhere") / digest.hex()


def test_a_file_that_is_missing_in_the_workspace_is_named(tmp_path: Path) -> None:
    hub = SimulatedHub(tmp_path)
    hub.publish("maths", {"a.html": b"a", "b.html": b"b"})
    opened = parse_head(hub.pack("maths", 1, "install").read_bytes(), None)

    with pytest.raises(StoreError, match=r"nowhere/[0-9a-f]+: is missing"):
        explain(
            hub.manifest_of("maths"), None, opened, _nowhere, FeatureShelf(_nowhere, tmp_path).of,
            read_frame=lambda frame: hub.pack("maths", 1, "install").read_bytes()[frame.offset :][: frame.length],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (b"same", b"same", Difference(0)),
        (b"made 2026-01-01 by", b"made 2026-02-03 by", Difference(2, "time")),
        (b"made 9 May 2026, now", b"made 10 May 2026, now", Difference(2, "time")),
        (b"at 10:59:01.", b"at 11:02:44.", Difference(5, "time")),
        (b"v=1767225600&", b"v=1769999999&", Difference(7, "time")),
        (b"<i id='0f0f0f0fa'>", b"<i id='1e2f0f0fa'>", Difference(3, "identifier")),
        (b"a word here", b"a sword here", Difference(1)),
        (b"abc", b"abcdef", Difference(3)),
        (b"", b"new", Difference(3)),
        (b"aaaa", b"aa", Difference(2)),
    ],
)
def test_differences_are_counted_and_their_place_is_recognised(old: bytes, new: bytes, wanted: Difference) -> None:
    assert compare(old, new) == wanted


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_difference_is_none_for_the_same_and_never_more_than_all(old: bytes, new: bytes) -> None:
    found = compare(old, new)

    assert (found.bytes == 0) == (old == new)
    assert found.bytes <= max(len(old), len(new))
    assert found.bytes == compare(new, old).bytes


def a_row(number: int, **fields: object) -> Row:
    return replace(Row(f"{number}.html", "changed", "patched", 10, 3000), **fields)  # type: ignore[arg-type]


def test_a_hint_is_given_for_many_small_changes_and_not_for_few_or_large_ones() -> None:
    rows = [a_row(number) for number in range(412)]
    plain = [(row, Difference(9)) for row in rows]

    (hint,) = make_hints(rows, plain, 9000)
    assert hint == (
        "412 pages changed by fewer than 64 bytes each (4.1 kB in all): "
        "does the export tool write a date or a number of its own into every page?"
    )
    assert "when it ran" in make_hints(rows, [(row, Difference(9, "time")) for row in rows], 9000)[0]
    assert "an identifier" in make_hints(rows, [(row, Difference(9, "identifier")) for row in rows], 9000)[0]
    assert make_hints(rows, plain[:9], 9000) == []
    assert make_hints(rows, plain[:100], 9000) == []  # most changed by more: somebody worked on them
    assert make_hints(rows, [(row, Difference(64)) for row in rows], 9000) == []
    mixed = [(replace(row, path=row.path + ".js"), Difference(1)) for row in rows]
    assert make_hints(rows, mixed, 9000)[0].startswith("412 files changed")


def test_a_hint_is_given_for_media_that_were_encoded_again() -> None:
    films = [a_row(n, path=f"{n}.mp4", how="whole", cost=50_000, size=50_000) for n in range(3)]

    (hint,) = make_hints(films, [], 200_000)
    assert hint == (
        "3 pictures, films or the like kept the name but nothing of the content (150.0 kB): "
        "encoded again with nothing changed?"
    )
    assert make_hints(films, [], 2_000_000) == []
    assert make_hints([replace(film, reason="new") for film in films], [], 200_000) == []


def test_a_difference_does_not_depend_on_what_lies_far_away() -> None:
    far = hashlib.sha256(b"seed").hexdigest().encode() * 300
    dated = b"%s 2026-01-01 %s" % (far, far)

    assert compare(dated, dated.replace(b"-01-01", b"-01-02")) == Difference(1, "time")
