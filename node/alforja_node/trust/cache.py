"""The metadata that is held, in one folder: each file under the name it has in a repository.

The timestamp is written last and names all others, so a power cut leaves the old
state or the new one. Nothing is believed here; broken files are for others to find.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from alforja_node import disk

TIMESTAMP: Final = "timestamp.json"


@dataclass(frozen=True, slots=True)
class Held:
    """What is cached: the timestamp's version (0: none), and files by their names in a repository."""

    version: int = 0
    files: Mapping[str, bytes] = field(default_factory=dict)

    def snapshot(self) -> bytes | None:
        """The snapshot that the held timestamp names."""
        match _fields(self.files.get(TIMESTAMP, b"")):
            case {"meta": {"snapshot.json": {"version": int(version)}}}:
                return self.files.get(f"{version}.snapshot.json")
        return None


def read_cache(folder: Path) -> Held:
    """Read what is cached, once."""
    with disk.reporting(folder):
        paths = [*folder.glob("*.json"), *(folder / "root_history").glob("*.root.json")]
        files = {path.name: path.read_bytes() for path in sorted(paths)}
    version = _fields(files.get(TIMESTAMP, b"")).get("version")
    return Held(version if type(version) is int and version > 0 else 0, files)


def write_cache(folder: Path, fresh: Mapping[str, bytes], current: Collection[str]) -> None:
    """Write new files, the timestamp last; then remove those that are not `current`."""
    for name in sorted(fresh, key=lambda one: one == TIMESTAMP):
        disk.put(folder / name, fresh[name])
    if fresh:
        for path in folder.glob("*.json"):
            if path.name not in current:
                disk.remove(path)


def _fields(data: bytes) -> dict[str, Any]:
    try:
        signed = json.loads(data)["signed"]
        return signed if isinstance(signed, dict) else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
