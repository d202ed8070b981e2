"""Encode frames on all cores, within a time if one is set, and keep each by what it is made from.

An interrupted run goes on where it stopped. A frame made in haste is kept under
another name than one that had all the effort, so it never stands in for that.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from math import expm1
from pathlib import Path
from typing import Final

from alforja_hub import shelf
from alforja_hub.transcodes import TranscodeShelf
from alforja_packaging import seal
from alforja_packaging.errors import StoreError
from alforja_packaging.frames import NEEDS_JPEG_XL, Needs
from alforja_packaging.patching import LEVEL_MAX

ENCODER_VERSION: Final = 5  # part of every frame's name: raise it when `seal.encode` changes

_TICK_S = 0.5  # between two reports of progress
_RATE_BYTES_PER_S = 300_000.0  # of one core, until the first frame has shown it
_JPEG_WORK: Final = 3  # a byte of a JPEG takes so many times as long as one of anything else


class Effort(IntEnum):
    """How hard a frame is tried to be made smaller. More is never larger by more than chance."""

    QUICK = 0
    SOME = 1
    FULL = 2


# Bytes (output and bases) that one core surely encodes in a second. Effort is chosen before it is spent, so these are
# of what takes longest: pictures whose streams are opened token by token. `make bench ARGS=framing` tells how it holds.
_SURE_BYTES_PER_S: Final[Mapping[Effort, float]] = {Effort.FULL: 100_000, Effort.SOME: 250_000}
_LEVELS: Final[Mapping[Effort, int]] = {Effort.FULL: LEVEL_MAX, Effort.SOME: 15, Effort.QUICK: 3}

Progress = Callable[[str, int, int], None]
"""What is being done, bytes that are done, bytes in all."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of bytes of a file in the workspace. The file is named by its digest, so this names the bytes too."""

    path: str
    offset: int
    length: int

    def read(self) -> bytes:
        """Read it. Raises StoreError."""
        try:
            with Path(self.path).open("rb") as file:
                file.seek(self.offset)
                return file.read(self.length)
        except OSError as error:
            advice = "bring the folder `workspace` back from a copy"
            raise StoreError(f"{self.path}: cannot be read ({error.strerror})", advice=advice) from None


@dataclass(frozen=True)
class Job:
    """A frame to encode for readers that are `able`; to lie beside one for those that are able to do what is `beyond`.

    Without bases it is preferred if it is larger by no more than the part `plain_if_within`.
    """

    outputs: tuple[Run, ...]
    bases: tuple[Run, ...] = ()
    plain_if_within: float = 0.0
    able: Needs = 0
    beyond: Needs | None = None

    @cached_property
    def work(self) -> int:
        """Bytes to go through, or as much as takes as long."""
        times = _JPEG_WORK if self.able & NEEDS_JPEG_XL else 1
        return max(1, times * sum(run.length for run in (*self.outputs, *self.bases)))

    @cached_property
    def name(self) -> str:
        """What it is made from, as one short name."""
        hasher = hashlib.sha256(f"{ENCODER_VERSION} {self.plain_if_within} {self.able} {self.beyond}".encode())
        for runs in (self.outputs, self.bases):
            for run in runs:
                hasher.update(f" {Path(run.path).name} {run.offset} {run.length}".encode())
            hasher.update(b"|")
        return hasher.hexdigest()


@dataclass(frozen=True, slots=True)
class Encoded:
    """A frame that is encoded: its kind, where its bytes lie, how many there are, and the effort it had.

    `bases` are the places of the job's bases that it needs; `needs` are what a reader must be able to do.
    Without any bytes it is none: what was asked for is of no use here.
    """

    kind: str
    path: Path
    length: int
    effort: Effort
    bases: tuple[int, ...] = ()
    needs: int = 0


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock in seconds, and the time at which frames must be done; None: they may take as long as they do."""

    now: Callable[[], float]
    deadline: float | None = None

    def left(self) -> float | None:
        """Seconds left."""
        return None if self.deadline is None else max(0.0, self.deadline - self.now())


class Encoder:
    """Encodes frames by the processes of an executor, and keeps them in a folder."""

    def __init__(self, folder: Path, executor: Executor, workers: int) -> None:
        self._folder, self._executor, self._workers = folder, executor, workers

    def encode(self, jobs: Iterable[Job], clock: Clock, progress: Progress) -> dict[Job, Encoded]:
        """Give every job's frame, encoding those that are not kept yet. Raises StoreError.

        What is left of the time is shared out over what remains, in proportion to
        the work; once it is used up, frames are encoded quickly.
        """
        for folder in (self._folder, _transcodes_beside(self._folder)):
            shelf.remove_half_written(folder)
        found = {job: self._find(job, Effort.FULL) for job in jobs}
        done = {job: kept for job, kept in found.items() if kept}
        # The largest first, so that no core is left with one at the end.
        todo = sorted((job for job in found if job not in done), key=lambda job: -job.work)
        return done | (_Shift(self, todo, clock, progress).run(self._executor, self._workers) if todo else {})

    def _find(self, job: Job, least: Effort) -> Encoded | None:
        """Give a frame that is kept and had at least this effort, the best one."""
        for effort in sorted(Effort, reverse=True):
            if effort >= least:
                path = self.path_of(job, effort)
                about_path = path.with_suffix(".json")
                if path.exists() and about_path.exists():
                    shelf.touch(path)
                    kind, bases, needs = json.loads(about_path.read_bytes())
                    return Encoded(kind, path, path.stat().st_size, effort, tuple(bases), needs)
        return None

    def path_of(self, job: Job, effort: Effort) -> Path:
        """Where a frame is kept."""
        name = job.name
        return self._folder / name[:2] / f"{name}-{effort.name.lower()}"

    def find_for(self, job: Job, seconds: float | None) -> Encoded | None:
        """Give a frame that is kept and is as good as one made in so many seconds."""
        return self._find(job, choose_effort(job.work, seconds))


class _Shift:
    """One run over frames that are yet to be encoded: what waits, what runs, what is done."""

    def __init__(self, encoder: Encoder, todo: Sequence[Job], clock: Clock, progress: Progress) -> None:
        self._encoder, self._clock, self._progress = encoder, clock, progress
        self._waiting = list(reversed(todo))
        self._running: dict[Future[Encoded], tuple[Job, float]] = {}
        self._done: dict[Job, Encoded] = {}
        self._total = self._left = sum(job.work for job in todo)
        self._spent_work, self._spent_s, self._told = 0, 0.0, 0

    def run(self, executor: Executor, workers: int) -> dict[Job, Encoded]:
        try:
            self._tell()
            while self._waiting or self._running:
                # One for each core and no more: its share of the time is known only when it begins.
                while self._waiting and len(self._running) < workers:
                    self._begin(self._waiting.pop(), executor, workers)
                for future in wait(self._running, _TICK_S, FIRST_COMPLETED).done:
                    self._end(future)
                self._tell()
        except BrokenProcessPool:
            raise StoreError(
                "a process that encodes frames was ended from outside, for want of memory perhaps",
                advice="run the command again, with fewer --workers; what was encoded is kept",
            ) from None
        finally:
            for future in self._running:
                future.cancel()
        return self._done

    def _begin(self, job: Job, executor: Executor, workers: int) -> None:
        seconds = share(self._clock.left(), job.work, self._left, workers)
        found = self._encoder.find_for(job, seconds)
        if found:
            self._done[job] = found
            self._left -= job.work
            return
        target = self._encoder.path_of(job, choose_effort(job.work, seconds))
        self._running[executor.submit(encode_frame, job, str(target), seconds)] = (job, self._clock.now())

    def _end(self, future: "Future[Encoded]") -> None:
        job, began = self._running.pop(future)
        self._done[job] = future.result()
        self._left -= job.work
        self._spent_work += job.work
        self._spent_s += self._clock.now() - began

    def _tell(self) -> None:
        """Report what is done, and of what runs as much as its time so far makes likely.

        What takes longer than others did goes on ever more slowly, but never stands or goes back.
        """
        rate = self._spent_work / self._spent_s if self._spent_s else _RATE_BYTES_PER_S
        now = self._clock.now()
        running = sum(job.work * -expm1(-rate * (now - began) / job.work) for job, began in self._running.values())
        self._told = max(self._told, int(self._total - self._left + running))
        self._progress("encoding", self._told, self._total)


def share(left_s: float | None, work: int, work_left: int, workers: int) -> float | None:
    """Give the seconds that one frame may take when `left_s` are left for all; None: as long as it takes.

    `work_left` counts this frame, and those that are being encoded.
    """
    if left_s is None:
        return None
    return min(left_s, left_s * workers * work / work_left)


def choose_effort(work: int, seconds: float | None) -> Effort:
    """Choose the most effort that surely fits into so many seconds of one core."""
    if seconds is None:
        return Effort.FULL
    fitting = [effort for effort, rate in _SURE_BYTES_PER_S.items() if seconds * rate >= work]
    return max(fitting, default=Effort.QUICK)


def encode_frame(job: Job, target: str, seconds: float | None) -> Encoded:
    """Encode one frame into the file `target` within about so many seconds. Runs in a worker process.

    All but its bytes lies in a small file beside it, written last.
    """
    output = b"".join(run.read() for run in job.outputs)
    effort = choose_effort(job.work, seconds)
    path = Path(target)
    made = seal.encode(
        output,
        [run.read() for run in job.bases],
        plain_if_within=job.plain_if_within,
        level=_LEVELS[effort],
        able=job.able if effort > Effort.QUICK else 0,  # opening takes as long at any level
        beyond=job.beyond,
        transcode=TranscodeShelf(_transcodes_beside(path.parents[1])).of,
    )
    shelf.put_cached(path, made.data)
    shelf.put_cached(path.with_suffix(".json"), json.dumps([made.kind, made.bases, made.needs]).encode())
    return Encoded(made.kind, path, len(made.data), effort, made.bases, made.needs)


def _transcodes_beside(frames: Path) -> Path:
    """Where JPEGs that were transcoded are kept, beside the folder of the frames."""
    return frames.with_name("transcodes")
