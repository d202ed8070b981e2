"""What a hub or a node finds out about its own computer."""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alforja_packaging import abilities, blocks, codec, jpegs
from alforja_packaging.abilities import find_abilities
from alforja_packaging.frames import NEEDS_ENCODERS, NEEDS_JPEG_XL, NEEDS_ZLIB
from alforja_packaging.streams import Xz, Zstd


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    looks = (abilities._has_classic_zlib, abilities._has_known_zstd, abilities._has_known_xz)
    for look in looks:
        look.cache_clear()
    yield
    for look in looks:
        look.cache_clear()


def test_a_zlib_that_deflates_otherwise_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = zlib.compressobj

    def other(level: int, *settings: Any) -> Any:
        return real(min(9, level + 1), *settings)

    monkeypatch.setattr(zlib, "compressobj", other)

    assert find_abilities(NEEDS_ZLIB) == 0


@pytest.mark.skipif("ng" in zlib.ZLIB_RUNTIME_VERSION, reason="this zlib is zlib-ng")
def test_the_classic_zlib_is_known_by_its_bytes() -> None:
    assert find_abilities(NEEDS_ZLIB) == NEEDS_ZLIB


@pytest.mark.parametrize("there", [False, True])
def test_jpeg_xl_is_an_ability_where_its_library_is(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(jpegs, "available", lambda: there)

    assert find_abilities(NEEDS_JPEG_XL) == (NEEDS_JPEG_XL if there else 0)
    assert bool(find_abilities(NEEDS_ZLIB | NEEDS_JPEG_XL) & NEEDS_JPEG_XL) is there


@pytest.mark.skipif(codec.LIBRARY_VERSION != (1, 5, 7), reason="another libzstd than the pinned one")
def test_the_encoders_are_known_by_their_bytes() -> None:
    assert find_abilities(NEEDS_ENCODERS) == NEEDS_ENCODERS


def test_encoders_that_pack_otherwise_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = blocks.pack_runs

    def other(content: list[bytes], method: Zstd | Xz) -> Iterator[bytes]:
        return real(content, replace(method, level=method.level - 1) if isinstance(method, Zstd) else Xz(0, False))

    monkeypatch.setattr(abilities, "pack_runs", other)

    assert find_abilities(NEEDS_ENCODERS) == 0


def test_what_is_not_asked_for_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> bool:
        raise AssertionError

    monkeypatch.setattr(jpegs, "available", look)
    monkeypatch.setattr(abilities, "_has_classic_zlib", look)
    monkeypatch.setattr(abilities._has_classic_zlib, "cache_clear", lambda: None, raising=False)

    assert find_abilities(0) == 0
    assert find_abilities(1 << 20) == 0  # a need that only later programs know
