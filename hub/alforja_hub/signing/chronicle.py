"""What each version of the timestamp stood for, so that nodes can be told only what came after it.

A line of history is the list of files a node holds at that version. Kept beside
the repository: it is the hub's memory, not something that is offered.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from alforja_hub import shelf
from alforja_packaging.errors import StoreError
from alforja_packaging.layout import TRUST_DIR, trust_delta_path
from alforja_packaging.trustdelta import Change, format_delta

VERSIONS_KEPT = 64  # of the timestamp: two months of daily renewals


class Chronicle:
    """Remembers versions of the metadata in `memory`, and writes deltas into a repository."""

    def __init__(self, memory: Path, repository: Path) -> None:
        self._memory, self._repository = memory, repository

    def clear(self) -> None:
        """Forget everything: for a repository that is made anew."""
        for version in self._versions():
            shelf.remove(self._memory / f"{version}.json")

    def note(self, version: int, names: Iterable[str], timestamp: bytes) -> None:
        """Remember which files belong to a version of the timestamp. From here on that version is decided."""
        fields = {"names": list(names), "timestamp": timestamp.decode()}
        shelf.put(self._memory / f"{version}.json", json.dumps(fields).encode())

    def newest(self) -> int:
        """The newest version that was decided, told or not; 0 when there is no memory."""
        return max(self._versions(), default=0)

    def names(self, version: int) -> list[str]:
        """The files that belong to a version, none when it is not remembered."""
        return self._entry(version)[0] if version in self._versions() else []

    def timestamp(self, version: int) -> bytes:
        """The timestamp of a version that is remembered."""
        return self._entry(version)[1]

    def write_deltas(self, version: int) -> None:
        """Write what leads from every kept version, from nothing, and from `version` itself, to `version`."""
        names, timestamp = self._entry(version)
        read = {name: self._read(name) for name in names}
        for older in [*self._kept(version), 0]:
            held_names, held_timestamp = self._entry(older) if older else ([], b"")
            read |= {name: self._read(name) for name in held_names if name not in read}
            held = {name: read[name] for name in held_names} | {"timestamp.json": held_timestamp}
            new = [] if older == version else [name for name in names if name not in held_names]
            changes = [Change(name, read[name], _older(name, held_names)) for name in new]
            if older != version:
                changes.append(Change("timestamp.json", timestamp, "timestamp.json" if older else ""))
            shelf.put(self._repository / trust_delta_path(older), format_delta(older, version, changes, held))

    def prune(self, version: int) -> set[str]:
        """Forget all but the kept versions, with their deltas; give the names of files still needed."""
        kept = self._kept(version)
        offered = {self._repository / trust_delta_path(older) for older in [*kept, 0]}
        # Also deltas nobody remembers: one that says "nothing is new" for ever would freeze its nodes.
        for path in (self._repository / trust_delta_path(0)).parent.iterdir():
            if path not in offered:
                shelf.remove(path)
        for older in set(self._versions()) - set(kept):
            shelf.remove(self._memory / f"{older}.json")
        return {name for one in kept for name in self._entry(one)[0]}

    def _kept(self, version: int) -> list[int]:
        """The versions that deltas are offered for, newest first: those whose files are all here."""
        versions = sorted((one for one in self._versions() if one <= version), reverse=True)[:VERSIONS_KEPT]
        here = {path.name for path in (self._repository / TRUST_DIR).iterdir()}
        return [one for one in versions if here.issuperset(self._entry(one)[0])]

    def _versions(self) -> list[int]:
        return [int(path.stem) for path in self._memory.glob("[0-9]*.json")]

    def _entry(self, version: int) -> tuple[list[str], bytes]:
        path = self._memory / f"{version}.json"
        try:
            fields = json.loads(path.read_bytes())
            return list(fields["names"]), str(fields["timestamp"]).encode()
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{path}: is not readable", advice="remove the file, then run the command again") from None

    def _read(self, name: str) -> bytes:
        path = self._repository / TRUST_DIR / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise StoreError(f"{path}: is missing", advice="bring the folder `repository` back from a copy") from None


def _older(name: str, held: Iterable[str]) -> str:
    """The held file of the same role, `""` if there is none."""
    role = name.partition(".")[2]
    candidates = [one for one in held if one.partition(".")[2] == role]
    return max(candidates, key=lambda one: int(one.partition(".")[0]), default="")
