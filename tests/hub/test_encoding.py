"""Encoding within a time, on several cores, and what a cut leaves behind."""

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alforja_hub import encoding
from alforja_hub.encoding import Clock, Effort, Encoder, Job, Run, choose_effort, share
from alforja_packaging.errors import StoreError
from tests.simulators.hub import InlineExecutor

UNHURRIED = Clock(lambda: 0.0)


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


def jobs_in(folder: Path, sizes: list[int]) -> list[Job]:
    """A frame of text for each size."""
    jobs = []
    for number, size in enumerate(sizes):
        data = (b"%d lessons and a few words " % number * size)[:size]
        path = folder / hashlib.sha256(data).hexdigest()
        path.write_bytes(data)
        jobs.append(Job((Run(str(path), 0, size),)))
    return jobs


class Slow(InlineExecutor):
    """Takes time by a clock of its own: a second for each so many bytes, whatever the effort."""

    def __init__(self, bytes_per_s: int) -> None:
        self.now, self.bytes_per_s, self.granted = 0.0, bytes_per_s, list[float | None]()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Run, and let time pass."""
        self.now += args[0].work / self.bytes_per_s
        self.granted.append(args[2])
        return super().submit(fn, *args, **kwargs)


class Cut(InlineExecutor):
    """Ends with an error at the n-th call."""

    def __init__(self, at: int, error: Callable[[], BaseException]) -> None:
        self.left, self.error = at, error

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Run, unless it is time."""
        self.left -= 1
        if self.left:
            return super().submit(fn, *args, **kwargs)
        future: Future[Any] = Future()
        future.set_exception(self.error())
        return future


@given(st.floats(0, 1e6), st.lists(st.integers(1, 10**9), min_size=1, max_size=20), st.integers(1, 64))
def test_shares_of_the_time_are_never_more_than_there_is(left: float, works: list[int], workers: int) -> None:
    shares = [share(left, work, sum(works), workers) or 0.0 for work in works]

    assert all(0 <= one <= left for one in shares)
    assert sum(shares) <= left * workers * 1.000001
    assert share(None, works[0], sum(works), workers) is None


@given(st.integers(1, 10**9), st.floats(0, 1e6), st.floats(0, 1e6))
def test_more_time_is_never_less_effort(work: int, one: float, more: float) -> None:
    assert choose_effort(work, one) <= choose_effort(work, one + more) <= choose_effort(work, None)


def test_what_is_left_of_the_time_is_shared_out_and_then_frames_are_made_quickly(tmp_path: Path) -> None:
    executor = Slow(bytes_per_s=45_000)
    jobs = jobs_in(tmp_path, [90_000] * 10)
    done = Encoder(tmp_path / "kept", executor, 1).encode(jobs, Clock(lambda: executor.now, 10.0), quiet)

    assert set(done) == set(jobs)
    assert executor.granted[0] == 1.0  # of 10 s for 10 frames
    assert executor.granted[1] == pytest.approx(8 / 9)  # the first took two
    assert executor.granted[5:] == [0.0] * 5
    efforts = [done[job].effort for job in jobs]
    assert {Effort.FULL, Effort.QUICK} <= set(efforts)


def test_a_frame_made_in_haste_never_stands_in_for_one_that_had_its_time(tmp_path: Path) -> None:
    jobs = jobs_in(tmp_path, [50_000, 60_000])
    encoder = Encoder(tmp_path / "kept", InlineExecutor(), 1)
    hasty = encoder.encode(jobs, Clock(lambda: 5.0, 5.0), quiet)
    full = encoder.encode(jobs, UNHURRIED, quiet)
    again = encoder.encode(jobs, Clock(lambda: 5.0, 5.0), quiet)

    assert {one.effort for one in hasty.values()} == {Effort.QUICK}
    assert {one.effort for one in full.values()} == {Effort.FULL}
    assert again == full  # what had its time serves in haste too
    assert all(full[job].length <= hasty[job].length for job in jobs)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_was_encoded_before_a_cut_is_not_encoded_again(tmp_path: Path, error: type[BaseException]) -> None:
    jobs = jobs_in(tmp_path, [9_000, 8_000, 7_000, 6_000])
    with pytest.raises(error):
        Encoder(tmp_path / "kept", Cut(3, error), 1).encode(jobs, UNHURRIED, quiet)
    half = tmp_path / "kept" / "ab" / "half.123.new"
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"of a process that was killed")
    rest = Cut(3, AssertionError)
    done = Encoder(tmp_path / "kept", rest, 1).encode(jobs, UNHURRIED, quiet)

    assert set(done) == set(jobs)
    assert rest.left == 1
    assert not half.exists()


def test_a_worker_that_is_ended_from_outside_is_told_of(tmp_path: Path) -> None:
    broken: Executor = Cut(1, lambda: BrokenProcessPool("gone"))

    with pytest.raises(StoreError, match="ended from outside") as found:
        Encoder(tmp_path / "kept", broken, 1).encode(jobs_in(tmp_path, [10]), UNHURRIED, quiet)
    assert "--workers" in (found.value.advice or "")


def test_progress_never_goes_back_and_ends_with_all(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    jobs = jobs_in(tmp_path, [3_000, 2_000, 2_000, 1])
    executor = Slow(bytes_per_s=1000)
    clock = Clock(lambda: executor.now)
    Encoder(tmp_path / "kept", executor, 2).encode(jobs, clock, lambda _what, done, total: told.append((done, total)))

    total = sum(job.work for job in jobs)
    assert told == sorted(told)
    assert (told[0], told[-1]) == ((0, total), (total, total))


def test_a_frames_name_depends_on_content_and_not_on_where_the_hub_lies() -> None:
    here, there = (Job((Run(f"{place}/ab/abcd", 0, 9),), (Run(f"{place}/cd/cdef", 0, 9),)) for place in ("/a", "/b"))

    assert here.name == there.name
    assert here.name != Job(here.outputs).name
    assert here.name != Job(here.outputs, here.bases, 0.03).name
    assert encoding.ENCODER_VERSION > 0
