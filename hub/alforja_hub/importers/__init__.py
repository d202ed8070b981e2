"""How courses that already exist come in. One module per kind, one registry.

A new kind is a class with `name`, `recognises` and `read`, and a line in `IMPORTERS`.
"""

from pathlib import Path
from typing import Final

from alforja_hub.importers.archive import unpack
from alforja_hub.importers.folder import FolderImporter
from alforja_hub.importers.olx import OlxImporter
from alforja_hub.importers.protocol import Content, Imported, Importer
from alforja_packaging.errors import RequestError

IMPORTERS: Final[tuple[Importer, ...]] = (OlxImporter(), FolderImporter())
"""In the order they are asked; the folder importer recognises anything, so it is last."""

__all__ = ["IMPORTERS", "Content", "Imported", "Importer", "choose_importer", "open_source"]


def choose_importer(source: Path, wanted: str | None = None) -> Importer:
    """Give the importer called `wanted`, else the first that recognises the folder `source`.

    Raises RequestError when there is none.
    """
    for importer in IMPORTERS:
        if importer.name == wanted or (wanted is None and importer.recognises(source)):
            return importer
    names = ", ".join(importer.name for importer in IMPORTERS)
    if wanted is not None:
        raise RequestError(f"importer {wanted!r}: is not known", advice=f"write --as with one of: {names}")
    raise RequestError(f"{str(source)!r}: is not a course that any importer knows ({names})")


def open_source(source: Path, scratch: Path) -> Path:
    """Give the folder that `source` stands for: itself, or what an archive holds, unpacked in `scratch`.

    Raises RequestError when it is not there, FormatError when the archive is broken,
    unsafe or too big, StoreError when the disk is full.
    """
    if source.is_dir():
        return source
    if not source.exists():
        raise RequestError(f"{str(source)!r}: is not there")
    return unpack(source, scratch)
