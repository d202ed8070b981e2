"""Which frames belong to which part of which lesson."""

from collections import defaultdict
from collections.abc import Container, Sequence

from alforja_node.planning.ways import Kind, Part
from alforja_node.selection import Givers
from alforja_packaging.layout import media_type
from alforja_packaging.manifest import Manifest


def make_parts(manifest: Manifest, givers: Givers, in_use: Container[str] = ()) -> tuple[Part, ...]:
    """List the parts of all lessons of a release. `in_use` are lessons that an earlier one serves meanwhile."""
    parts = []
    for place, lesson in enumerate(manifest.course.lessons()):
        small, more = _by_form(manifest, lesson.rich if lesson.core else lesson.rich[1:])
        for kind, paths in ((Kind.CORE, lesson.needed), (Kind.RICH, small), (Kind.MORE, more)):
            frames = givers.giving(manifest.contents_of(paths))
            if frames or kind is Kind.CORE:
                parts.append(Part(lesson.id, place, kind, frames, lesson.id in in_use))
    return tuple(parts)


def _by_form(manifest: Manifest, paths: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Part files into the smallest form of each film (of `v.mp4`, `v.720p.mp4`), and the larger ones."""
    forms: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        forms[_stem(path) if media_type(path).startswith(("video/", "audio/")) else path].append(path)
    more = {
        path
        for same in forms.values()
        if len(same) > 1
        for path in sorted(same, key=lambda path: manifest.by_path[path].size)[1:]
    }
    return [path for path in paths if path not in more], [path for path in paths if path in more]


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return folder + slash + name.partition(".")[0]
