"""JPEGs as cameras make them; and whether this computer can carry them as JPEG XL."""

import io
import random

import pytest

from alforja_packaging import jpegs

needs_jpeg_xl = pytest.mark.skipif(not jpegs.available(), reason="pillow-jxl-plugin is not installed (extra `images`)")


def a_jpeg(seed: int, side: int = 240) -> bytes:
    """A picture of smooth spots and some noise, of about 100 bytes for each 1000 pixels."""
    Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed (extra `images`)")  # noqa: N806
    chance = random.Random(seed)
    spots = Image.frombytes("RGB", (12, 12), chance.randbytes(432)).resize((side, side), Image.Resampling.BICUBIC)
    noise = Image.frombytes("RGB", (side, side), chance.randbytes(3 * side * side))
    file = io.BytesIO()
    Image.blend(spots, noise, 0.1).save(file, "JPEG", quality=80)
    return file.getvalue()
