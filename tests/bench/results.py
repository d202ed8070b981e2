"""Keep what was measured in a scratch folder that survives, so that a run is resumed and a page is only written.

`.bench/` in the checkout, or where ALFORJA_BENCH points. It holds its own `.gitignore`.
"""

import fcntl
import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from tests.bench.measure import ROOT

_ROOMS = ("packaging", "hub", "node")
_CODERS = ("backports.zstd", "hdiffpatch", "numpy", "pillow-jxl-plugin")


def scratch() -> Path:
    """The folder; made if it is not there."""
    folder = Path(os.environ.get("ALFORJA_BENCH", ROOT / ".bench")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    return folder


@contextmanager
def one_run_at_a_time() -> Iterator[None]:
    """Hold the folder: two runs would measure each other."""
    with (scratch() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"{scratch()}: another run of the benchmarks is under way") from None
        yield


@cache
def code_digest() -> str:
    """The code as this run found it."""
    return read_code_digest()


def read_code_digest() -> str:
    """What the results of Alforja depend on: its source as it is now, and the versions of its coders."""
    digest = hashlib.sha256()
    for room in _ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    for name in _CODERS:
        with suppress(importlib.metadata.PackageNotFoundError):
            digest.update(f"{name} {importlib.metadata.version(name)}\0".encode())
    return digest.hexdigest()[:12]


def commit() -> str:
    """Where the checkout stands; empty where there is none."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], check=False, capture_output=True, text=True
    )
    return done.stdout.strip()


def tree_digest(tree: Path) -> str:
    """One digest of all paths and contents of a tree."""
    digest = hashlib.sha256()
    for path in sorted(tree.rglob("*")):
        name = os.fsencode(path.relative_to(tree))
        if path.is_symlink():
            digest.update(b"l" + name + b"\0" + os.fsencode(path.readlink()) + b"\0")
        elif path.is_file():
            with path.open("rb") as file:
                digest.update(b"f" + name + b"\0" + hashlib.file_digest(file, "sha256").digest())
        else:
            digest.update(b"d" + name + b"\0")
    return digest.hexdigest()


def get(kind: str, name: str) -> dict[str, Any] | None:
    """A result, if it is there."""
    path = _path(kind, name)
    return json.loads(path.read_text()) if path.is_file() else None


def put(kind: str, name: str, value: dict[str, Any]) -> None:
    """Keep a result: whole or not at all."""
    path = _path(kind, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value, indent=1))
    fresh.replace(path)


def key(*parts: str) -> str:
    """A name for a result of so many parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _path(kind: str, name: str) -> Path:
    return scratch() / "results" / kind / (re.sub(r"[^\w.-]", "_", name) + ".json")
