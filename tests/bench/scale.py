"""How cost grows: courses of many files and many bytes, made from a seed, of which a line or some lines change.

Small files are text; what is left of the bytes is media that nothing can compress.
"""

import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import contact, results
from tests.bench.measure import CommandFailed

_TEXT_BYTES = 6000  # a lesson's page; smaller where the bytes do not reach
_MEDIA_BYTES = 4 * 2**20
_GB = 10**9
_TREES_HELD = 6  # the tree, the hub's copy and packs, the node's store, its staging, the check
_PUBLISH_TIMEOUT_S = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Course:
    """A synthetic course, and how many of its files get another line."""

    name: str
    files: int
    size: int
    changed: int = 1
    big: bool = False
    goal: str = ""


COURSES = (
    Course("1k-0.1G", 1_000, _GB // 10),
    Course("10k-0.1G", 10_000, _GB // 10),
    Course("100k-0.1G", 100_000, _GB // 10),
    Course("1k-1G", 1_000, _GB),
    Course("10k-1G", 10_000, _GB, big=True),
    Course("100k-1G", 100_000, _GB, big=True),
    Course("10k-10G", 10_000, 10 * _GB, big=True),
    Course("100k-10G", 100_000, 10 * _GB, big=True),
    Course("line-of-20000", 20_000, 40_000_000, goal="contact at most 4,096 bytes, at most 3 requests for content"),
    Course("line-of-199", 199, 1_000_000, goal="manifest and signature together at most 1,024 bytes"),
    Course("199-of-2000", 2_000, 8_000_000, changed=199, goal="manifest and signature together at most 1,024 bytes"),
)


def course_named(name: str) -> Course:
    """The course of a name."""
    for course in COURSES:
        if course.name == name:
            return course
    raise SystemExit(f"course {name}: unknown; there are {', '.join(course.name for course in COURSES)}")


def is_done(course: Course, *, any_code: bool) -> bool:
    """Whether a course is measured, with this code."""
    found = results.get("scale", course.name)
    return found is not None and "failed" not in found and (any_code or found["code"] == results.code_digest())


def measure_course(course: Course) -> bool:
    """Publish, install, change, publish, update; keep what each took. Whether nothing failed."""
    work = results.scratch() / "scale"
    shutil.rmtree(work, ignore_errors=True)
    free = shutil.disk_usage(results.scratch()).free
    found: dict[str, object] = {"course": asdict(course), "code": results.code_digest(), "commit": results.commit()}
    if free < course.size * _TREES_HELD + _GB:
        found["failed"] = f"{free / _GB:.0f} GB of disk are free, {course.size * _TREES_HELD / _GB + 1:.0f} are needed"
    else:
        try:
            found |= _measured(course, work)
        except (CommandFailed, subprocess.CalledProcessError) as failed:
            found["failed"] = str(failed)
    results.put("scale", course.name, found)
    shutil.rmtree(work, ignore_errors=True)
    print(f"{course.name}: {found.get('failed', 'measured')}", flush=True)
    return "failed" not in found


def _measured(course: Course, work: Path) -> dict[str, object]:
    hub, node, tree = work / "hub", work / "node", work / "tree"
    texts = list(_make(course, tree))
    contact.make_hub(hub)
    first = contact.publish(hub, tree, "scale", timeout_s=_PUBLISH_TIMEOUT_S)
    install = contact.sync(hub, node, tree, "scale", first.heads)
    dice = random.Random(f"{course.name} changed")
    for path in dice.sample(texts, course.changed):
        lines = path.read_text().split("\n")
        lines[len(lines) // 2] = _sentence(dice)
        path.write_text("\n".join(lines))
    second = contact.publish(hub, tree, "scale", timeout_s=_PUBLISH_TIMEOUT_S)
    update = contact.sync(hub, node, tree, "scale", second.heads)
    return {
        "first": asdict(first), "install": asdict(install), "second": asdict(second), "update": asdict(update),
    }  # fmt: skip


def _make(course: Course, tree: Path) -> Iterator[Path]:
    """Write the tree; give its texts."""
    dice = random.Random(course.name)
    text_bytes = min(_TEXT_BYTES, course.size // course.files)
    media = min(course.files // 10, (course.size - text_bytes * course.files) // _MEDIA_BYTES + 1)
    texts = course.files - media if course.size > text_bytes * course.files else course.files
    for number in range(texts):
        path = tree / f"unit-{number // 1000:03}" / f"section-{number // 50 % 20:02}" / f"lesson-{number:06}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_page(dice, text_bytes))
        yield path
    left = course.size - text_bytes * texts
    for number in range(course.files - texts):
        path = tree / "media" / f"film-{number:04}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for start in range(0, left // (course.files - texts), _MEDIA_BYTES):
                file.write(dice.randbytes(min(_MEDIA_BYTES, left // (course.files - texts) - start)))


_SYLLABLES = tuple(
    first + second for first in ("ma", "le", "ki", "to", "su", "ra", "pe", "ni", "wo", "da") for second in "nlsrtmkb"
)


def _page(dice: random.Random, size: int) -> str:
    lines, length = [], 0
    while length < size:
        lines.append(_sentence(dice))
        length += len(lines[-1]) + 1
    return "\n".join(lines) + "\n"


def _sentence(dice: random.Random) -> str:
    # Few words are common and many are rare, as in a language.
    words = [_WORDS[int(len(_WORDS) * dice.random() ** 3)] for _ in range(dice.randrange(5, 16))]
    return " ".join(words).capitalize() + "."


def _make_words() -> tuple[str, ...]:
    dice = random.Random("words")
    return tuple("".join(dice.choices(_SYLLABLES, k=dice.randrange(1, 4))) for _ in range(8000))


_WORDS = _make_words()
