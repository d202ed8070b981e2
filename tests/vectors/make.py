"""Make the vectors anew: `python -m tests.vectors.make`. CI compares, and another implementation can check itself.

What is canonical (manifests, JSON) must come out the same to the byte. Compressed
bytes may differ between versions of zstd, so those that lie here are read, and what
they hold is compared.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from alforja_packaging.course import Course, Lesson, Section
from alforja_packaging.frames import PLAIN, PREFIX
from alforja_packaging.index import sign_name
from alforja_packaging.manifest import File, Manifest, format_manifest
from alforja_packaging.patching import make_patch
from alforja_packaging.trustdelta import Change, format_delta
from alforja_packaging.unfolding import Unfolded
from tests.simulators.packs import Sealed, contents_of, seal_install, seal_update

FOLDER = Path(__file__).parent
TEXT = b"<p>Water falls, flows and rises again.</p>\n" * 40
OLD = {"a b.html": TEXT, "empty.txt": b"", "odd\udcff.bin": bytes(range(256)), "twin.html": TEXT}
NEW = OLD | {"a b.html": TEXT.replace(b"falls", b"rains", 1), "new.txt": b"one more lesson\n"}


def manifest_of(release: int, tree: Mapping[str, bytes]) -> Manifest:
    """The manifest of one of the trees."""
    digests = {data: digest for digest, data in contents_of(tree).items()}
    lessons = (Lesson("water", {"en": "Water", "es": "El agua"}, ("a b.html",), ("odd\udcff.bin",)),)
    course = Course(
        "water", {"en": "Water", "es": "Agua"}, {"en": "A sample"}, ("en", "es"), "CC0-1.0",
        sections=(Section({"en": "All of it"}, lessons),),
    )  # fmt: skip
    files = tuple(File(path, len(data), digests[data]) for path, data in sorted(tree.items()))
    return Manifest("moe", release, course, files, ("hollow",), {"x-unknown": {"kept": [1, "two"]}})


def sealed() -> Mapping[str, tuple[Sealed, Manifest | None]]:
    """The packs, each with the manifest that must be held."""
    old, new, contents = manifest_of(1, OLD), manifest_of(2, NEW), contents_of(OLD, NEW)
    return {
        "install-1.pack": (seal_install(old, contents), None),
        "from-1.pack": (seal_update(new, old, contents, elide=False), old),
        "from-1-elided.pack": (seal_update(new, old, contents, elide=True), old),
    }


HELD = {"1.snapshot.json": b'{"version":1,"more":"' + b"x" * 60 + b'"}', "timestamp.json": b'{"version":1}'}
LATER = {"2.snapshot.json": HELD["1.snapshot.json"].replace(b"1", b"2", 1), "timestamp.json": b'{"version":2}'}


def trust_delta() -> bytes:
    """A delta between two small sets of metadata."""
    changes = [
        Change("2.snapshot.json", LATER["2.snapshot.json"], "1.snapshot.json"),
        Change("timestamp.json", LATER["timestamp.json"], "timestamp.json"),
    ]
    return format_delta(1, 2, changes, HELD)


BASES = b"".join(b"<li>Well %d: %d litres</li>\n" % (number, number * 37 % 101) for number in range(60))
OUTPUT = b"<ul>\n" + BASES[500:] + b"</ul>\n<ul>\n" + BASES[:500] + b"</ul>\n"


def frames() -> Mapping[str, bytes]:
    """One frame of each kind, of the same output; `frame.bases` are those of the kind that has any."""
    return {
        "frame.plain": PLAIN.encode(OUTPUT, b"", {}),
        "frame.prefix": PREFIX.encode(OUTPUT, BASES, {}),
        "frame.patch": make_patch(Unfolded(OUTPUT), [BASES]).data,
    }


def canonical() -> Mapping[str, bytes]:
    """The files that must come out the same to the byte."""
    manifests = {f"water.{release}.manifest": manifest_of(release, tree) for release, tree in ((1, OLD), (2, NEW))}
    files = {name: format_manifest(manifest) for name, manifest in manifests.items()}
    digests = {name: sign_name(manifest)[0].hex() for name, manifest in manifests.items()}
    files |= {"digests.json": (json.dumps(digests, indent=2) + "\n").encode()}
    return files | {"frame.output": OUTPUT, "frame.bases": BASES}


def main() -> None:
    """Write all vectors."""
    for name, data in canonical().items():
        (FOLDER / name).write_bytes(data)
    for name, (pack, _) in sealed().items():
        (FOLDER / name).write_bytes(pack.data)
    for name, data in frames().items():
        (FOLDER / name).write_bytes(data)
    (FOLDER / "after-1").write_bytes(trust_delta())


if __name__ == "__main__":
    main()
