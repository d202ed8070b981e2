"""Carry a JPEG as JPEG XL, a fifth to a third smaller, and give it back bit for bit, where this computer can.

libjxl never runs in our process. It takes over a gigabyte for a hostile file of
11 kB, and its binding offers no bound: a child with bounded memory and time does
the work, and what ends the child is an answer. `pillow-jxl-plugin` brings the
library and is optional; nothing here needs Pillow, and nothing is loaded before
the first picture.
"""

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Final

from alforja_packaging.errors import VerifyError

JPEG_MAX_BYTES: Final = 16 * 2**20
"""Of a JPEG that is carried this way: decoding holds all of it."""

_JPEG_START: Final = b"\xff\xd8\xff"

# A string, so that the child imports nothing of ours or of site-packages and starts in 15 ms, not 40.
_WORKER: Final = """
import resource, sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader

task, library, memory, seconds, size = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
loader = ExtensionFileLoader("pillow_jxl", library)
jxl = module_from_spec(spec_from_loader("pillow_jxl", loader))
loader.exec_module(jxl)
data = sys.stdin.buffer.read()
if task == "pack":
    encoder = jxl.Encoder("RGB", lossless=True, effort=9, use_container=True, num_threads=0)
    given = encoder(data, 0, 0, jpeg_encode=True)
elif task == "restore":
    is_jpeg, _, given, *_ = jxl.Decoder(num_threads=0)(data)
    if not is_jpeg or len(given) != int(size):
        sys.exit(1)
else:
    jxl.Encoder, jxl.Decoder
    given = b""
sys.stdout.buffer.write(given)
"""


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What a child may take."""

    memory_bytes: int
    cpu_s: int


# A board of 1 GiB can spare this. A pixel takes 16 to 20 bytes of address space, so some 16 megapixels fit.
_RESTORE: Final = _Bounds(memory_bytes=320 * 2**20, cpu_s=200)
# What is published needs less than a node allows: its memory pages may be larger, its cores 20 times slower.
_PROOF: Final = _Bounds(memory_bytes=256 * 2**20, cpu_s=10)
_PACK: Final = _Bounds(memory_bytes=1536 * 2**20, cpu_s=120)


@cache
def available() -> bool:
    """Tell whether this computer can make and undo transcodes: it has the library, and the library loads."""
    return _work("try", b"", 0, _RESTORE) is not None


def transcode(jpeg: bytes) -> bytes | None:
    """Give the JPEG XL of a JPEG, or None when it would not be smaller or not come back bit for bit.

    Whatever is given was undone once, within less than a node allows.
    """
    if not jpeg.startswith(_JPEG_START) or len(jpeg) > JPEG_MAX_BYTES:
        return None
    packed = _work("pack", jpeg, len(jpeg), _PACK)
    if packed is None or len(packed) >= len(jpeg):
        return None
    return packed if _work("restore", packed, len(jpeg), _PROOF) == jpeg else None


def restore(packed: bytes, *, size: int, what: str) -> bytes:
    """Give back the JPEG of exactly `size` bytes that `transcode` packed.

    Blocks while a child works. Raises VerifyError, naming `what`, when this is no
    such file, is out of bounds, or when this computer cannot undo transcodes.
    """
    if size > JPEG_MAX_BYTES or len(packed) > JPEG_MAX_BYTES:
        raise VerifyError(f"{what}: a transcoded JPEG is of {JPEG_MAX_BYTES} bytes at most")
    if not available():
        raise VerifyError(f"{what}: this computer cannot undo JPEG XL")
    jpeg = _work("restore", packed, size, _RESTORE)
    if jpeg is None:
        raise VerifyError(f"{what}: does not give back a JPEG of {size} bytes within its bounds")
    return jpeg


def _work(task: str, data: bytes, size: int, bounds: _Bounds) -> bytes | None:
    """Have a child do it; None when it did not end well, for whatever reason."""
    library = _library()
    if library is None:
        return None
    numbers = (str(number) for number in (bounds.memory_bytes, bounds.cpu_s, size))
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _WORKER, task, library, *numbers],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=10 * bounds.cpu_s,  # on a busy computer; without it a child that waits would wait for ever
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return child.stdout if child.returncode == 0 else None


@cache
def _library() -> str | None:
    """Find the binding itself; the package around it would import Pillow."""
    package = find_spec("pillow_jxl")
    if package is None:
        return None
    binding = PathFinder.find_spec("pillow_jxl.pillow_jxl", package.submodule_search_locations)
    return binding.origin if binding else None
