"""The law and the code say the same."""

import re
from pathlib import Path

import pytest

from alforja_node.offers import REQUEST_COST_BYTES
from alforja_node.planner import OPENING_BYTES
from alforja_node.session import NEXT
from alforja_packaging import index, layout, manifest, trustdelta
from alforja_packaging.codec import WINDOW_MAX_BYTES
from alforja_packaging.frames import FRAME_MAX_BYTES, KINDS, PIECE_MAX_BYTES
from alforja_packaging.seal import CORE_FRAME_BYTES

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


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (f"At most {manifest.MANIFEST_MAX_BYTES // MIB} MiB. The digest of the whole", 32 * MIB),
        (f"B is at most {index.INDEX_MAX_BYTES // MIB} MiB", index.INDEX_MAX_BYTES),
        (f"The first line is at most {index.FIRST_LINE_MAX_BYTES} bytes", index.FIRST_LINE_MAX_BYTES),
        (f"together at most {FRAME_MAX_BYTES // MIB} MiB |", FRAME_MAX_BYTES),
        (f"The window of either is at most {WINDOW_MAX_BYTES // MIB} MiB", WINDOW_MAX_BYTES),
        (f"pieces of at most {PIECE_MAX_BYTES // MIB} MiB", PIECE_MAX_BYTES),
        (f"{trustdelta.METADATA_MAX_BYTES // MIB} MiB. This is an unsigned encoding", trustdelta.METADATA_MAX_BYTES),
        (f"{index.ELIDED_MAX_BYTES // MIB} MiB. (85 digests", index.ELIDED_MAX_BYTES),
        (f"at most {layout.PATH_MAX_BYTES} bytes in all", layout.PATH_MAX_BYTES),
        (f"everything else is core up to {layout.CORE_PICTURE_MAX_BYTES // 1024} KiB", 256 * 1024),
        (f"up to {layout.CORE_TEXT_MAX_BYTES // MIB} MiB and fonts are core", layout.CORE_TEXT_MAX_BYTES),
    ],
)
def test_bounds_are_those_of_the_law(words: str, value: int) -> None:
    assert value > 0
    assert words in " ".join(FORMAT.split())


def test_the_protocol_states_what_the_planner_counts_with() -> None:
    assert f"plans count {REQUEST_COST_BYTES}" in PROTOCOL
    assert f"reaches to {OPENING_BYTES // 1024} KiB" in " ".join(PROTOCOL.split())
    assert CORE_FRAME_BYTES < OPENING_BYTES * 8


def test_the_diagram_is_drawn_from_the_table() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+): (\w+)$", PROTOCOL, re.MULTILINE))

    assert drawn == {(str(state), str(to), event.__name__) for state, row in NEXT.items() for event, to in row.items()}


def test_comments_point_at_sections_that_exist() -> None:
    pages = {"format": FORMAT, "protocol": PROTOCOL}
    for path in [*ROOT.glob("packaging/**/*.py"), *ROOT.glob("hub/**/*.py"), *ROOT.glob("node/**/*.py")]:
        for page, number in re.findall(r"(format|protocol)\.md section ([0-9](?:\.[0-9])?)", path.read_text()):
            assert re.search(rf"^#+ {re.escape(number)}\.? ", pages[page], re.MULTILINE), f"{path}: {page} {number}"
