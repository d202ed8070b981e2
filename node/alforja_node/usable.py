"""Which lessons become usable as files come in. Pure, quick and lean for a hundred thousand files."""

from array import array
from collections.abc import Container, Iterable

from alforja_packaging.manifest import Manifest

_NONE = -1


class UsableLessons:
    """Keeps count of what each lesson of a release still lacks."""

    def __init__(self, manifest: Manifest, held: Container[bytes]) -> None:
        self._manifest = manifest
        self._missing = array("i")  # of each lesson, how many contents
        # Of each content the first entry of a list of lessons that wait for it; of each entry its lesson and the next.
        self._first = array("i", [_NONE]) * len(manifest.as_table.table.sizes)
        self._lesson, self._next = array("i"), array("i")
        digest = manifest.as_table.digest
        for place, lesson in enumerate(manifest.course.lessons()):
            missing = [content for content in manifest.contents_of(lesson.needed) if digest(content) not in held]
            self._missing.append(len(missing))
            for content in missing:
                self._lesson.append(place)
                self._next.append(self._first[content])
                self._first[content] = len(self._next) - 1

    def take(self, digests: Iterable[bytes]) -> list[str]:
        """Count files that have come in; give the ids of lessons that are usable from now on."""
        usable: list[int] = []
        for digest in digests:
            content = self._manifest.number_of.get(digest)
            if content is None:
                continue
            entry, self._first[content] = self._first[content], _NONE
            while entry != _NONE:
                place = self._lesson[entry]
                self._missing[place] -= 1
                if not self._missing[place]:
                    usable.append(place)
                entry = self._next[entry]
        lessons = self._manifest.course.lessons() if usable else ()
        return [lessons[place].id for place in sorted(usable)]
