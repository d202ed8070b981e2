"""The law and the code say the same."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from alforja_hub import build, choosing
from alforja_node.offers import REQUEST_COST_BYTES
from alforja_node.planner import OPENING_BYTES
from alforja_node.session import NEXT, State, pause_s
from alforja_node.settings import NodeSettings
from alforja_node.sources.http import STALL_TIMEOUT_S
from alforja_node.transfer.contact import _SYNC_EVERY_BYTES, _SYNC_EVERY_S
from alforja_packaging import (
    closing,
    columns,
    coursedelta,
    files,
    framecolumns,
    index,
    jpegs,
    jsondelta,
    layout,
    manifest,
    patch,
    runs,
    seal,
    streams,
    trustdelta,
)
from alforja_packaging.codec import PREFIX_MIN_BYTES, WINDOW_MAX_BYTES
from alforja_packaging.frames import FRAME_MAX_BYTES, KINDS, PACK_MAX_BYTES, PATCH_MAX_BYTES, PIECE_MAX_BYTES
from tests.simulators.hub import make_manifest
from tests.simulators.packs import contents_of, seal_update

ROOT = Path(__file__).resolve().parents[2]
FORMAT = (ROOT / "docs" / "format.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
MIB = 2**20


def test_media_types_are_those_of_the_law() -> None:
    rows = re.findall(r"^\| ([a-z]+/\S+) \| ([a-z0-9 ]+) \|$", FORMAT, re.MULTILINE)
    stated = {ending: kind for kind, endings in rows for ending in endings.split()}

    assert stated == layout.MEDIA_TYPES


def test_kinds_of_frames_are_those_of_the_law() -> None:
    section = FORMAT.partition("## 7. Frames")[2].partition("## 8.")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(KINDS)


def test_numbers_of_kinds_are_those_of_the_law() -> None:
    stated = re.search(r"kind \(section 7: (.*?)\) times 16", FORMAT)
    assert stated is not None

    assert stated[1] == ", ".join(f"`{name}` {number}" for number, name in enumerate(framecolumns.KIND_NAMES))
    assert set(KINDS) <= set(framecolumns.KIND_NAMES)


def mib(size: int) -> str:
    assert size % MIB == 0
    return f"{size // MIB} MiB"


def power(size: int) -> str:
    """A bound that is a power of two, or the number before one."""
    whole = size + size % 2
    assert whole.bit_count() == 1
    return f"2^{whole.bit_length() - 1}" + (" - 1" if size % 2 else "")


@pytest.mark.parametrize(
    "words",
    [
        f"at most {layout.PATH_MAX_BYTES} bytes in all (Linux PATH_MAX) and {layout.NAME_MAX_BYTES} in a part",
        f"At most {mib(manifest.MANIFEST_MAX_BYTES)}: 150 000 files with long names fit. The digest of the whole",
        f"| 1 to {manifest.RELEASE_MAX:,} (nine digits".replace(",", " "),
        f"{files.DIGEST_BYTES} bytes for each distinct content",
        f"A size is at most {power(files.FILE_MAX_BYTES)}",
        f"up to {mib(layout.CORE_TEXT_MAX_BYTES)} and fonts are core",
        f"everything else is core up to {layout.CORE_PICTURE_MAX_BYTES // 1024} KiB",
        f"The first line is at most {index.FIRST_LINE_MAX_BYTES} bytes",
        f"refuses B above M + {mib(index.HEAD_SPARE_BYTES)}: nobody signs a head",
        f"a dictionary of {mib(runs.LZMA_MAX_BYTES)}, of at most {mib(runs.LZMA_MAX_BYTES)} in all",
        f"A *number* is from 0 to {power(columns.NUMBER_MAX)} in LEB128",
        f"spread out, are at most {power(framecolumns.PIECES_MAX)} and two for each fresh content",
        f"at most {coursedelta.NEAR} paths before, or else behind",
        f"(Within {coursedelta.NEAR} places; where several",
        f"A frame ends within the first {power(PACK_MAX_BYTES)} bytes of its pack",
        f"frames of such a pack may give at most {mib(index.ELIDED_MAX_BYTES)}",
        f"| none | output at most {mib(FRAME_MAX_BYTES)} |",
        f"bases and output together at most {mib(FRAME_MAX_BYTES)} |",
        f"one of fewer than {PREFIX_MIN_BYTES} bytes counts as none",
        f"The window of zstd is at most {mib(WINDOW_MAX_BYTES)}",
        f"| output at most {mib(PATCH_MAX_BYTES)} |",
        f"the prefix's length, at most {mib(patch.PREFIX_MAX_BYTES)}",
        f"at least 4096 and at most {mib(patch.DICTIONARY_MAX_BYTES)}",
        f"the recipe has at most {mib(patch.RECIPE_MAX_BYTES)}",
        f"at most {streams.OPENED_MAX_RATIO} times the output and {mib(patch.SPARE_BYTES)}",
        f"opened at most {mib(closing.OPENED_MAX_BYTES)}",
        f"Streams are at most {streams.DEPTH_MAX} deep",
        f"between its parts, at most {mib(streams.GAPS_MAX_BYTES)}",
        f"A token form has at most {mib(streams.TOKENS_FORM_MAX_BYTES)}, and",
        f"pieces of at most {mib(PIECE_MAX_BYTES)}",
        f"Versions are at most {power(trustdelta.VERSION_MAX)}",
        f"at most {mib(trustdelta.DELTA_MAX_BYTES)} on the wire and names at most {trustdelta.FILES_MAX} files",
        f"are each at most {mib(trustdelta.METADATA_MAX_BYTES)}",
        f"Nothing is nested deeper than {jsondelta.DEPTH_MAX}",
        f"*What has changed* of up to {jsondelta.MASK_BITS} members",
        f"(not beyond {power(jsondelta.INT_MAX + 1)})",
    ],
)
def test_bounds_are_those_of_the_law(words: str) -> None:
    assert words in " ".join(FORMAT.split())


def test_bounds_that_depend_on_each_other_fit() -> None:
    assert PACK_MAX_BYTES == files.FILE_MAX_BYTES  # "the bound of a file"
    assert PIECE_MAX_BYTES < FRAME_MAX_BYTES


@pytest.mark.parametrize("word", ["manifest", "pack", "trust"])
def test_magic_lines_are_those_of_the_law(word: str) -> None:
    newest = {"manifest": manifest.NEWEST_KNOWN, "pack": index.NEWEST_KNOWN, "trust": trustdelta.NEWEST_KNOWN}[word]

    assert re.search(rf"^alforja-{word} {newest}\b", FORMAT, re.MULTILINE)


def test_reserved_names_are_those_of_the_law() -> None:
    stated = " ".join(FORMAT.partition("### 2.1")[2].partition("### 2.2")[0].split()).partition("not `")[2]
    names: set[str] = set()
    for first, last in re.findall(r"`?([a-z]+[0-9]?)`(?:-`([a-z]+[0-9])`)?", stated.partition(". The")[0]):
        names |= {first[:-1] + str(number) for number in range(int(first[-1]), int(last[-1]) + 1)} if last else {first}

    assert names == layout._RESERVED


def test_fields_of_a_manifest_are_those_of_the_law() -> None:
    section = FORMAT.partition("### 5.1 Fields")[2].partition("### 5.2")[0]
    rows = re.findall(r"^\| (`[a-z`, ]+`) \|", section, re.MULTILINE)

    assert {name for row in rows for name in re.findall(r"`([a-z]+)`", row)} == manifest._KNOWN


def test_states_are_those_of_the_table() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \|", PROTOCOL.partition("## 5.")[2].partition("## 6.")[0], re.MULTILINE)

    assert rows == [str(state) for state in State]


def test_pauses_are_those_the_protocol_states() -> None:
    stated = re.search(r"random pause of up to ([\d, .]+) s \(full jitter", PROTOCOL)
    assert stated is not None
    first, last = stated[1].split(", ... ")

    assert [float(number) for number in first.split(", ")] == [pause_s(attempt, 1.0) for attempt in (1, 2, 3)]
    assert float(last) == pause_s(99, 1.0)


def test_what_a_node_waits_for_is_what_the_protocol_states() -> None:
    settings = NodeSettings(home=Path())

    assert f"silent for {STALL_TIMEOUT_S:.0f} s" in PROTOCOL
    assert f"a contact every {settings.contact_interval_s / 60:.0f} minutes" in PROTOCOL
    assert settings.retries == 5
    assert "five times without progress" in PROTOCOL
    assert f"durable every {_SYNC_EVERY_BYTES // 1024} KiB" in PROTOCOL
    assert _SYNC_EVERY_S == 0.25
    assert "every\n  quarter of a second" in PROTOCOL


@pytest.mark.parametrize("word", ["index", "head", "hop", "route", "elided digests", "anchor", "frame", "kind", "base"])
def test_the_glossary_has_the_word(word: str) -> None:
    assert f"\n| {word} | " in (ROOT / "docs" / "glossary.md").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / link).exists(), link


def test_the_protocol_states_what_the_planner_counts_with() -> None:
    assert f"plans count {REQUEST_COST_BYTES}" in PROTOCOL
    assert f"reaches to {OPENING_BYTES // 1024} KiB" in " ".join(PROTOCOL.split())


def test_the_format_states_when_a_content_is_given_more_than_once() -> None:
    stated = " ".join(FORMAT.split())

    assert f"smaller by {choosing.WORTH * 100:.0f} %" in stated
    assert f"less than {build.CHOICES_SAVE_BYTES} bytes" in stated
    assert f"together are {build.EAGER_WITHIN} times as long" in stated
    assert f"have at most {jpegs.JPEG_MAX_BYTES // 2**20} MiB each" in stated
    for bounds in (jpegs._RESTORE, jpegs._PROOF):
        assert f"{bounds.memory_bytes // 2**20} MiB" in stated
        assert f"{bounds.cpu_s} seconds" in stated


def test_the_diagram_is_drawn_from_the_table() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+): (\w+)$", PROTOCOL, re.MULTILINE))

    assert drawn == {(str(state), str(to), event.__name__) for state, row in NEXT.items() for event, to in row.items()}


def test_comments_point_at_sections_that_exist() -> None:
    pages = {"format": FORMAT, "protocol": PROTOCOL}
    for path in [*ROOT.glob("packaging/**/*.py"), *ROOT.glob("hub/**/*.py"), *ROOT.glob("node/**/*.py")]:
        for page, number in re.findall(r"(format|protocol)\.md section ([0-9](?:\.[0-9])?)", path.read_text()):
            assert re.search(rf"^#+ {re.escape(number)}\.? ", pages[page], re.MULTILINE), f"{path}: {page} {number}"


@pytest.mark.skipif(not all(map(shutil.which, ["bash", "zstd", "jq", "sha256sum"])), reason="needs zstd and jq")
def test_what_the_law_says_of_checking_by_hand_can_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "make_patches", lambda *_, **__: [])
    words = b" ".join(b"word%d" % number for number in range(900))
    old = {"a.html": words, "b/c.css": words[:400], "z.png": bytes(range(256))}
    new = old | {"a.html": words[:999] + b"!" + words[1_000:], "d.txt": words[2_000:3_000]}
    before, after = make_manifest("moe", "maths-7", 1, old), make_manifest("moe", "maths-7", 2, new)
    for path, data in old.items():
        put(tmp_path / "release-1" / path, data)
    bundles = tmp_path / "repository" / "bundles" / "moe"
    put(bundles / "maths-7.1" / "manifest", manifest.format_manifest(before))
    put(bundles / "maths-7.2" / "manifest", manifest.format_manifest(after))
    put(bundles / "maths-7.2" / "from-1", seal_update(after, before, contents_of(old, new)).data)
    for version, digest in ((9, "an older one"), (10, index.sign_name(after)[0].hex())):
        signed = {"signed": {"targets": {"bundles/moe/maths-7.2": {"hashes": {"sha256": digest}}}}}
        put(tmp_path / "repository" / "trust" / f"{version}.moe.json", json.dumps(signed).encode())
    commands = re.findall(r"```sh\n(.*?)```", FORMAT.partition("## 10.")[2], re.DOTALL)
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands).replace("~/release-1", str(tmp_path / "release-1"))],
        cwd=tmp_path / "repository",
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = ran.stdout.splitlines()

    assert (ran.returncode, ran.stderr) == (0, "")
    assert lines[0] == lines[1] == index.sign_name(after)[0].hex()
    assert [json.loads(line) for line in lines[2:6]] == [[one.path, one.size] for one in after.contents]
    assert lines[6:10] == [one.digest.hex() for one in after.contents]
    assert json.loads("\n".join(lines[10:-4]))["from"] == 1
    fresh = {hashlib.sha256(new[name]).hexdigest() for name in ("a.html", "d.txt")}
    assert lines[-4] == lines[-3] != lines[-2] == lines[-1]
    assert {lines[-4], lines[-2]} == fresh


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
