"""The door to the disk: runs of files read as one, files written in runs, room to work in."""

import errno
import hashlib
import os
from collections import deque
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_node import disk
from alforja_packaging.errors import StoreError, VerifyError


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    for number in range(5):
        (folder / str(number)).write_bytes(bytes((number * 50 + at) % 256 for at in range(50)))
    return [folder / str(number) for number in range(5)]


runs = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 49), st.integers(0, 50)).map(
        lambda run: (run[0], run[1], min(run[2], 50 - run[1]))
    ),
    max_size=12,
)


@given(runs, st.lists(st.tuples(st.integers(0, 300), st.integers(0, 120)), max_size=20))
def test_runs_read_as_one_are_their_bytes_one_after_the_other(
    files: list[Path], pieces: list[tuple[int, int, int]], reads: list[tuple[int, int]]
) -> None:
    whole = b"".join(files[number].read_bytes()[offset : offset + length] for number, offset, length in pieces)
    with disk.OnDisk(((offset, length) for _, offset, length in pieces), lambda run: files[pieces[run][0]]) as bases:
        assert bases.size == len(whole)
        for offset, length in reads:
            assert bytes(bases.read(offset, length)) == whole[offset : offset + length]


def test_few_files_are_open_at_once_however_many_runs_there_are(tmp_path: Path) -> None:
    count = 300
    for number in range(count):
        (tmp_path / str(number)).write_bytes(b"%3d" % number)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with disk.OnDisk([(0, 3)] * count, lambda run: tmp_path / str(run)) as bases:
        for number in [*range(count), 7, *range(count)]:
            assert bases.read(3 * number, 3) == b"%3d" % number
        during = len(list(Path("/proc/self/fd").iterdir()))

    assert during - before <= 64
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_base_that_became_shorter_is_told_from_one_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"abc")
    with (
        disk.OnDisk([(0, 5)], lambda _: tmp_path / "short") as short,
        disk.OnDisk([(0, 5)], lambda _: tmp_path / "gone") as gone,
    ):
        with pytest.raises(VerifyError, match="short: is shorter than it was"):
            short.read(0, 5)
        with pytest.raises(StoreError, match="gone: No such file"):
            gone.read(0, 5)


def test_a_digest_is_taken_of_what_is_written_from_first_to_last(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    two.write_bytes(b"something longer that lay here")
    with disk.Staging() as staging:
        staging.write(one, 0, b"first ")
        staging.write(one, 6, b"second")
        assert staging.digest(one, 12) == hashlib.sha256(b"first second").digest()
        assert staging.digest(one, 13) is None
        staging.write(two, 0, b"short")
        assert staging.digest(two, 5) == hashlib.sha256(b"short").digest()
        staging.write(one, 6, b"again")
        assert staging.digest(one, 12) is None  # its beginning was not seen

    assert two.read_bytes() == b"short"
    assert one.read_bytes() == b"first againd"


def _without_nameless_files(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    real = os.open

    def refuse(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(error, os.strerror(error))
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize("error", [None, errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT])
def test_scratch_leaves_no_name_behind_even_while_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int | None
) -> None:
    if error is not None:
        _without_nameless_files(monkeypatch, error)
    with disk.Scratch(tmp_path) as scratch:
        assert scratch.read(0, 5) == b""
        scratch.append(b"first ")
        scratch.append(b"second")
        assert list(tmp_path.iterdir()) == []  # so a power cut leaves nothing
        assert (scratch.size, scratch.read(3, 100)) == (12, b"st second")

    assert list(tmp_path.iterdir()) == []


def test_scratch_takes_over_what_a_cut_left_where_files_must_have_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_nameless_files(monkeypatch, errno.EOPNOTSUPP)
    (tmp_path / "scratch").write_bytes(b"of the last time, and longer")
    with disk.Scratch(tmp_path) as scratch:
        scratch.append(b"new")
        assert scratch.read(0, 100) == b"new"

    assert list(tmp_path.iterdir()) == []


def test_scratch_does_not_grow_into_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 30 * 2**20

    def left(_: Path) -> int:
        return free - scratch.size

    monkeypatch.setattr(disk, "free_bytes", left)
    with disk.Scratch(tmp_path, reserve_bytes=10 * 2**20) as scratch:
        with pytest.raises(disk.DiskFull, match="kept in reserve"):
            deque(map(scratch.append, repeat(bytes(2**20))), maxlen=0)
        assert 12 * 2**20 <= scratch.size <= 28 * 2**20
        assert scratch.read(0, 4) == bytes(4)


def test_a_full_disk_under_scratch_is_said_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with disk.Scratch(tmp_path) as scratch:
        scratch.append(b"fits")
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(disk.DiskFull):
            scratch.append(b"does not")
        assert scratch.read(0, 100) == b"fits"
