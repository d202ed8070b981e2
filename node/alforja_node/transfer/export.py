"""Write a release as a plain folder, every byte verified on its way out."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from alforja_node import disk
from alforja_node.store import Store
from alforja_packaging.errors import DigestMismatch, RequestError
from alforja_packaging.manifest import File, Manifest

_READ = 1024 * 1024


def export(store: Store, manifest: Manifest, folder: Path, progress: Callable[[], object] = lambda: None) -> int:
    """Write all files and empty folders of a release below `folder`; give the bytes written.

    Raises RequestError when the folder holds something, DigestMismatch when a held
    file has rotted, StoreError when the disk fails.
    """
    with disk.reporting(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RequestError(f"{folder}: is not an empty folder", advice="name a folder that is not there yet")
        for path in manifest.folders:
            _place(folder, path).mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        for file in manifest.files:
            _copy(store.path_of(file.digest), _place(folder, file.path), file)
            progress()
    return sum(file.size for file in manifest.files)


def _place(folder: Path, path: str) -> Path:
    # The manifest's paths carry names that are not UTF-8 as Python's file functions do (PEP 383).
    return folder.joinpath(*path.split("/"))


def _copy(source: Path, target: Path, file: File) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    hasher = hashlib.sha256()
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(_READ):
            hasher.update(chunk)
            writer.write(chunk)
    if hasher.digest() != file.digest:
        target.unlink()
        raise DigestMismatch(file.path, file.digest.hex(), hasher.hexdigest())
