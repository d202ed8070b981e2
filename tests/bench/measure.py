"""Run a command and tell what it took: CPU seconds, memory, bytes. Decides nothing about what is run."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = Path(os.environ.get("ALFORJA_SAMPLES", ROOT.parent / "shared" / "samples"))
BIN = Path(sys.executable).parent


class CommandFailed(Exception):
    """A command ended with another status than 0, or took too long."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took, its children included."""

    cpu_s: float
    wall_s: float
    peak_mib: float  # of processes that were there together, each at its own highest: they took no more
    output: str


def run(program: str, *arguments: str, timeout_s: float = 7200, without_jpeg_xl: bool = False) -> Cost:
    """Run one of our commands; measure it and its workers. Perhaps as if JPEG XL were not installed."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [str(BIN / program), *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment() | ({"PYTHONPATH": str(_no_jpeg_xl())} if without_jpeg_xl else {}),
            start_new_session=True,
        )
        timer = threading.Timer(timeout_s, kill_session, (process.pid,))
        timer.daemon = True
        timer.start()
        assert process.stdout is not None
        try:
            with _watched(process.pid) as watch, process.stdout as said:
                output = said.read().decode()
        except BaseException:  # a run that is cut leaves no hub at work
            kill_session(process.pid)
            raise
        finally:
            timer.cancel()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            late = time.perf_counter() - started > timeout_s
            why = f"took more than {timeout_s:.0f} s" if late else f"ended with {process.returncode}"
            raise CommandFailed(f"{program} {' '.join(arguments)} {why}: {errors.read().decode()[-2000:]}")
    cpu_s = usage.ru_utime + usage.ru_stime + sum(one.cpu_s for one in watch.seen.values() if not one.waited_for)
    return Cost(cpu_s, time.perf_counter() - started, watch.peak_kib / 1024, output)


def _no_jpeg_xl() -> Path:
    """A folder that hides the library from a program that finds it on its path."""
    folder = Path(tempfile.gettempdir()) / "alforja-bench-no-jpeg-xl"
    (folder / "pillow_jxl").mkdir(parents=True, exist_ok=True)
    (folder / "pillow_jxl" / "__init__.py").touch()
    return folder


def kill_session(pid: int) -> None:
    """End a process that leads its session, with its children."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


@dataclass(slots=True)
class _Seen:
    """A process, as it was last seen."""

    cpu_s: float
    peak_kib: int
    waited_for: bool  # then its CPU is part of what the watched process is told to have taken


@dataclass(slots=True)
class _Watch:
    """What was seen of a process and its children, and the most memory of those that were there together."""

    seen: dict[int, _Seen] = field(default_factory=dict)
    peak_kib: int = 0

    def note_together(self, pids: set[int]) -> None:
        """Note that these processes are there at one time."""
        self.peak_kib = max(self.peak_kib, sum(self.seen[pid].peak_kib for pid in pids))


@contextmanager
def _watched(leader: int) -> Iterator[_Watch]:
    """Watch a process that leads its session, and its children.

    Memory is not from `wait4`: that counts the memory of this process, from which it was forked.
    """
    found = _Watch()
    seen = found.seen
    stop, tick = threading.Event(), os.sysconf("SC_CLK_TCK")

    def look(proc: Path) -> int | None:
        with suppress(OSError, IndexError):
            pid, fields = int(proc.name), (proc / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                peak = re.search(r"VmHWM:\s+(\d+)", (proc / "status").read_text())
                peak_kib = max(int(peak[1]) if peak else 0, seen[pid].peak_kib if pid in seen else 0)
                cpu_s = (int(fields[11]) + int(fields[12])) / tick
                seen[pid] = _Seen(cpu_s, peak_kib, waited_for=leader in (pid, int(fields[1])))
                return pid
        return None

    def watch() -> None:
        while not stop.is_set():
            there = {look(proc) for proc in Path("/proc").glob("[0-9]*")}
            found.note_together({pid for pid in there if pid is not None} | ({leader} & seen.keys()))
            for _ in range(10):
                look(Path(f"/proc/{leader}"))
                stop.wait(0.004)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


@contextmanager
def serving(hub: Path) -> Iterator[int]:
    """Run a hub on loopback; give its port."""
    command = [str(BIN / "alforja-hub"), "--home", str(hub), "serve", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            match = re.search(r":(\d+)\s*$", process.stdout.readline())
            assert match
            yield int(match[1])
        finally:
            process.terminate()
            process.wait()


def tool_output(
    command: list[str], *, deadline: float, into: Path | None = None, cwd: Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> bytes:  # fmt: skip
    """Run another tool until `deadline` (of the monotonic clock); give what it says, or write it `into` a file."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        output = into.open("wb") if into else said
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=cwd, start_new_session=True,
            env={**os.environ, **(extra or {})},
        )  # fmt: skip
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise CommandFailed("too slow") from None
        finally:
            kill_session(process.pid)
            process.wait()
            if into:
                output.close()
        if process.returncode:
            errors.seek(0)
            raise CommandFailed(f"ended with {process.returncode}: {errors.read().decode(errors='replace')[-300:]}")
        said.seek(0)
        return said.read()


def cpu_of(command: list[str]) -> float:
    """CPU seconds of a command and what it waits for; its output is thrown away."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise CommandFailed(f"{command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def environment() -> dict[str, str]:
    """Our environment, without what would measure the measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")} | {
        "PYTHONUNBUFFERED": "1"
    }


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
