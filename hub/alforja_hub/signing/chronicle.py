"""What each version of the timestamp stood for, so that nodes can be told only what came after it.

A line of history is the list of files a node holds at that version. Kept beside
the repository: it is the hub's memory, not something that is offered.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from alforja_hub import shelf
from alforja_packaging.layout import trust_delta_path
from alforja_packaging.trustdelta import Change, format_delta

VERSIONS_KEPT = 64  # of the timestamp: two months of daily renewals


class Chronicle:
    """Remembers versions of the metadata in `memory`, and writes deltas into a repository."""

    def __init__(self, memory: Path, repository: Path) -> None:
        self._memory, self._repository = memory, repository

    def note(self, version: int, names: Iterable[str], timestamp: bytes) -> None:
        """Remember which files belong to a version of the timestamp."""
        fields = {"names": list(names), "timestamp": timestamp.decode()}
        shelf.put(self._memory / f"{version}.json", json.dumps(fields).encode())

    def write_deltas(self, version: int, read: Mapping[str, bytes]) -> None:
        """Write what leads from every kept version, from nothing, and from `version` itself, to `version`."""
        kept = [one for one in sorted(self._versions(), reverse=True) if one <= version][:VERSIONS_KEPT]
        names, timestamp = self._entry(version)
        for older in [*kept, 0]:
            held_names, held_timestamp = self._entry(older) if older else ([], b"")
            held = {name: read[name] for name in held_names} | {"timestamp.json": held_timestamp}
            new = [] if older == version else [name for name in names if name not in held_names]
            changes = [Change(name, read[name], _older(name, held_names)) for name in new]
            if older != version:
                changes.append(Change("timestamp.json", timestamp, "timestamp.json" if older else ""))
            shelf.put(self._repository / trust_delta_path(older), format_delta(older, version, changes, held))

    def prune(self, version: int) -> set[str]:
        """Forget versions beyond the kept ones, with their deltas; give the names of files still needed."""
        versions = sorted((one for one in self._versions() if one <= version), reverse=True)
        for older in versions[VERSIONS_KEPT:]:
            shelf.remove(self._repository / trust_delta_path(older))
            shelf.remove(self._memory / f"{older}.json")
        return {name for one in versions[:VERSIONS_KEPT] for name in self._entry(one)[0]}

    def needed(self, version: int) -> set[str]:
        """All files that deltas to a version are made of."""
        return {name for one in self._versions() if one <= version for name in self._entry(one)[0]}

    def _versions(self) -> list[int]:
        return [int(path.stem) for path in self._memory.glob("*.json")] if self._memory.is_dir() else []

    def _entry(self, version: int) -> tuple[list[str], bytes]:
        fields = json.loads((self._memory / f"{version}.json").read_bytes())
        return list(fields["names"]), str(fields["timestamp"]).encode()


def _older(name: str, held: Iterable[str]) -> str:
    """The held file of the same role, `""` if there is none."""
    role = name.partition(".")[2]
    candidates = [one for one in held if one.partition(".")[2] == role]
    return max(candidates, key=lambda one: int(one.partition(".")[0]), default="")
