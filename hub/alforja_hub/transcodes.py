"""JPEGs as JPEG XL, each made once: the same picture is in frames of several updates.

What gains nothing is remembered too, as an empty file.
"""

import hashlib
from pathlib import Path

from alforja_hub import shelf
from alforja_packaging import jpegs


class TranscodeShelf:
    """Transcodes by the digest of their JPEG, below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, jpeg: bytes) -> bytes | None:
        """Give the JPEG XL of a JPEG; None where `jpegs.transcode` gives none."""
        digest = hashlib.sha256(jpeg).hexdigest()
        path = self._folder / digest[:2] / digest
        try:
            packed = path.read_bytes()
        except FileNotFoundError:
            packed = jpegs.transcode(jpeg) or b""
            shelf.put_cached(path, packed)
        return packed or None
