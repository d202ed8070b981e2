"""Which lessons become usable as files come in. Pure, and quick for courses of thousands of lessons."""

from collections.abc import Collection, Iterable

from alforja_packaging.manifest import Manifest


class UsableLessons:
    """Keeps count of what each lesson of a release still lacks."""

    def __init__(self, manifest: Manifest, held: Collection[bytes]) -> None:
        self._missing: dict[str, set[bytes]] = {}
        self._waiting: dict[bytes, list[str]] = {}
        for lesson in manifest.course.lessons():
            missing = {digest for digest in manifest.digests_of(lesson.needed) if digest not in held}
            if missing:
                self._missing[lesson.id] = missing
            for digest in missing:
                self._waiting.setdefault(digest, []).append(lesson.id)

    def take(self, digests: Iterable[bytes]) -> list[str]:
        """Count files that have come in; give the ids of lessons that are usable from now on."""
        usable = []
        for digest in digests:
            for lesson in self._waiting.pop(digest, ()):
                self._missing[lesson].discard(digest)
                if not self._missing[lesson]:
                    usable.append(lesson)
        return usable
