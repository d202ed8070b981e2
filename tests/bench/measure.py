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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT.parent / "shared" / "samples"
BIN = Path(sys.executable).parent


class CommandFailed(Exception):
    """A command ended with another status than 0, or took too long."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took."""

    cpu_s: float
    wall_s: float
    peak_mib: float
    output: str


def run(program: str, *arguments: str, timeout_s: float = 7200) -> Cost:
    """Run one of our commands; measure it and its workers."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [str(BIN / program), *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
            start_new_session=True,
        )
        assert process.stdout is not None
        timer = threading.Timer(timeout_s, kill_session, (process.pid,))
        timer.daemon = True
        timer.start()
        with peak_memory(process.pid) as peak, session_cpu(process.pid) as workers:
            output = process.stdout.read().decode()
        timer.cancel()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            late = time.perf_counter() - started > timeout_s
            why = f"took more than {timeout_s:.0f} s" if late else f"ended with {process.returncode}"
            raise CommandFailed(f"{program} {' '.join(arguments)} {why}: {errors.read().decode()[-2000:]}")
    cpu_s = usage.ru_utime + usage.ru_stime + sum(workers.values())
    return Cost(cpu_s, time.perf_counter() - started, peak[0] / 1024, output)


def kill_session(pid: int) -> None:
    """End a process that leads its session, with its children."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """Watch the highest resident memory of a process, in KiB.

    Not from `wait4`: that counts the memory of this process, from which it was forked.
    """
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.003):
            with suppress(OSError):
                found = re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
                peak[0] = max([peak[0], *map(int, found)])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


@contextmanager
def session_cpu(pid: int) -> Iterator[dict[int, float]]:
    """Watch the CPU seconds of the worker processes that a process starts; they are not its children to wait for."""
    seen: dict[int, float] = {}
    stop, tick = threading.Event(), os.sysconf("SC_CLK_TCK")

    def watch() -> None:
        while not stop.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/stat"):
                with suppress(OSError, IndexError):
                    fields = path.read_text().rpartition(")")[2].split()
                    if int(fields[3]) == pid and int(path.parent.name) != pid:
                        seen[int(path.parent.name)] = (int(fields[11]) + int(fields[12])) / tick

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
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
