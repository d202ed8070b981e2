"""Measure Alforja beside existing tools, and write docs/benchmarks.md: `make bench`.

Bytes are exact: they are counted at a proxy between hub and node. CPU is that of the
processes measured; the machine may be noisy, so compare ratios within one run.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.proxy import CountingProxy, listening_to_packets
from tests.bench.tools import make_tar, missing_tools, tar_zstd, update_sizes

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT.parent / "shared" / "samples"
PAIRS = ((1, 2), (2, 3), (1, 3))
BIN = Path(sys.executable).parent


@dataclass(slots=True)
class Cost:
    """What one command took."""

    cpu_s: float
    peak_mib: float
    output: str


@dataclass(slots=True)
class Row:
    """One sync, and what other tools need for the same."""

    name: str
    up: int
    down: int
    requests: int
    by_kind: dict[str, int]
    node: Cost
    others: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Bytes both ways."""
        return self.up + self.down


def main() -> int:
    """Run all benchmarks whose samples are here."""
    names = sys.argv[1:] or ["olx", "site", "media"]
    if gone := missing_tools():
        print(f"missing: {', '.join(gone)}; install them with `apt-get install {' '.join(gone)}`", file=sys.stderr)
        return 1
    if not SAMPLES.is_dir():
        print(f"{SAMPLES} is not here: nothing to measure", file=sys.stderr)
        return 1
    parts = []
    with tempfile.TemporaryDirectory(prefix="alforja-bench-") as scratch:
        for name in names:
            parts.append(measure_sample(name, Path(scratch)))
            print(parts[-1], flush=True)
        parts.append(measure_small_things(Path(scratch)))
    if set(names) == {"olx", "site", "media"}:
        (ROOT / "docs" / "benchmarks.md").write_text(heading() + "\n".join(parts))
    return 0


def measure_sample(name: str, scratch: Path) -> str:
    """Publish and sync the three versions of a sample."""
    folder = scratch / name
    folder.mkdir()
    archive = SAMPLES / f"evolving-{name}.tar.zst"
    packed = subprocess.run(["zstd", "-dc", "--long=31", str(archive)], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-xf", "-", "-C", str(folder)], input=packed, check=True)
    trees = {number: folder / name / f"v{number}" for number in (1, 2, 3)}
    tars = {number: make_tar(tree, folder / f"v{number}.tar") for number, tree in trees.items()}
    hub = folder / "hub"
    run("alforja-hub", "--home", str(hub), "init", "--publisher", "bench")
    hub_cpu: dict[int, float] = {}
    sizes: dict[int, int] = {}
    rows: list[Row] = []
    with serving(hub) as port, CountingProxy(port) as proxy:
        for number, tree in trees.items():
            run("alforja-hub", "--home", str(hub), "import", str(tree), "--course", name, "--as", "folder")
            hub_cpu[number] = run("alforja-hub", "--home", str(hub), "publish", name).cpu_s
            sizes[number] = folder_size(hub / "repository")
            install = sync(proxy, folder / f"node{number}", hub, tree, course=name, name=f"install v{number}")
            install.others["tar, zstd -19"] = tar_zstd(tars[number])
            rows.append(install)
            for old in range(1, number):
                node = folder / f"node{old}-{number}"
                shutil.copytree(folder / f"node{old}", node)
                row = sync(proxy, node, hub, tree, course=name, name=f"v{old} to v{number}")
                row.others = update_sizes(trees[old], tree, tars[old], tars[number], folder / f"others{old}{number}")
                rows.append(row)
    rows.sort(key=lambda row: (not row.name.startswith("install"), row.name != "v1 to v2", row.name != "v2 to v3"))
    return format_sample(name, rows, hub_cpu, sizes, {number: folder_size(tree) for number, tree in trees.items()})


def sync(proxy: CountingProxy, node: Path, hub: Path, tree: Path, *, course: str, name: str) -> Row:
    """Sync one node through the proxy, and check that it got exactly the tree."""
    home = ("--home", str(node))
    if not node.exists():
        root = hub / "repository" / "trust" / "1.root.json"
        run("alforja-node", *home, "init", "--root", str(root), "--source", proxy.url)
        run("alforja-node", *home, "subscribe", f"bench/{course}")
    proxy.reset()
    cost = run("alforja-node", *home, "sync", "--source", proxy.url, "--json")
    count = proxy.count
    report = json.loads(cost.output)
    target = node / "check"
    run("alforja-node", *home, "export", course, str(target))
    subprocess.run(["diff", "-r", str(tree), str(target)], check=True)
    shutil.rmtree(target)
    kinds = {kind: report[kind]["received"] + report[kind]["sent"] for kind in ("trust", "manifest", "frames")}
    return Row(name, count.up, count.down, count.requests, kinds, cost)


def measure_small_things(scratch: Path) -> str:
    """The check that finds nothing new, the idle server, and the first word of the command line."""
    hub, node = scratch / "small-hub", scratch / "small-node"
    tree = scratch / "small-tree"
    tree.mkdir()
    (tree / "page.html").write_text("<title>A page</title><p>Some words.")
    run("alforja-hub", "--home", str(hub), "init", "--publisher", "bench")
    run("alforja-hub", "--home", str(hub), "import", str(tree), "--course", "small")
    run("alforja-hub", "--home", str(hub), "publish", "small")
    lines = ["## Small things", "", "| what | measured | goal |", "| --- | --- | --- |"]
    with serving(hub) as port:
        home = ("--home", str(node))
        root = hub / "repository" / "trust" / "1.root.json"
        run("alforja-node", *home, "init", "--root", str(root), "--source", f"http://127.0.0.1:{port}")
        run("alforja-node", *home, "subscribe", "bench/small")
        run("alforja-node", *home, "sync")
        run("alforja-node", *home, "sync")
        with CountingProxy(port) as proxy:
            run("alforja-node", *home, "sync", "--source", proxy.url)
            lines.append(
                f"| check that finds nothing new, TCP payload | {proxy.count.total} bytes "
                f"({proxy.count.up} up, {proxy.count.down} down), {proxy.count.requests} request | one request |"
            )
        with listening_to_packets(port) as heard:
            run("alforja-node", *home, "sync")
        lines.append(
            f"| the same, on the wire | {heard['ip_payload']} bytes of IP payload, {heard['ip_bytes']} with "
            f"IP headers, {heard['packets']} packets | 700 bytes of IP payload |"
        )
    lines.append(f"| node serving, idle, resident memory | {idle_memory(node):.1f} MiB | 60 MiB |")
    times = sorted(timed("alforja-node", "--help") for _ in range(10))
    lines.append(f"| `alforja-node --help`, best and middle of 10 | {times[0]:.2f} s, {times[5]:.2f} s | 0.3 s |")
    return "\n".join(lines) + "\n"


def idle_memory(node: Path) -> float:
    """Resident memory of a serving node after a few pages, in MiB."""
    command = [
        str(BIN / "alforja-node"),
        "--home",
        str(node),
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--content-port",
        "0",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    ) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://\S+", process.stdout.readline())
            assert address
            for _ in range(20):
                subprocess.run(["curl", "-s", "-o", os.devnull, address[0]], check=True)
            status = Path(f"/proc/{process.pid}/status").read_text()
            return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024
        finally:
            process.terminate()
            process.wait()


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


def run(program: str, *arguments: str) -> Cost:
    """Run one of our commands; measure it and its children."""
    with tempfile.TemporaryFile() as errors:
        command = [str(BIN / program), *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=environment(), start_new_session=True
        )
        assert process.stdout is not None
        with peak_memory(process.pid) as peak, session_cpu(process.pid) as workers:
            output = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(
                f"{program} {' '.join(arguments)} ended with {process.returncode}: {errors.read().decode()}"
            )
    return Cost(usage.ru_utime + usage.ru_stime + sum(workers.values()), peak[0] / 1024, output)


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


def timed(program: str, *arguments: str) -> float:
    """Seconds from start to end of a command."""
    start = time.perf_counter()
    run(program, *arguments)
    return time.perf_counter() - start


def environment() -> dict[str, str]:
    """Our environment, without what would measure the measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")} | {
        "PYTHONUNBUFFERED": "1"
    }


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


HEADING = """# Benchmarks

Made by `make bench` on {machine}, {cores} cores, Python {python}. Bytes are exact and counted at a proxy between node
and hub: requests and responses, headers and bodies, both ways; trust metadata, manifest and frames. CPU seconds and
memory are of the processes measured; the machine is shared, so compare within this page. Other tools are Debian's
packages; for them only the bytes of the delta are counted, no transport and no signatures.

Every sync was checked: `alforja-node export`, then `diff -r` against the published tree.

"""
COLUMNS = (
    "sync", "bytes", "up", "down", "requests", "trust", "manifest", "frames", "best other", "ratio",
    "node CPU s", "node peak MiB",
)  # fmt: skip


def heading() -> str:
    """Say what made the page, and on what."""
    return HEADING.format(machine=platform.machine(), cores=os.cpu_count(), python=platform.python_version())


def row_line(row: Row) -> str:
    """One sync as a line of the table."""
    best = min(row.others, key=lambda tool: row.others[tool])
    cells = [row.name, f"{row.total:,}", f"{row.up:,}", f"{row.down:,}", row.requests]
    cells += [f"{row.by_kind[kind]:,}" for kind in ("trust", "manifest", "frames")]
    cells += [f"{best} {row.others[best]:,}", f"{row.total / row.others[best]:.3f}"]
    cells += [f"{row.node.cpu_s:.2f}", f"{row.node.peak_mib:.0f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def format_sample(
    name: str, rows: list[Row], hub_cpu: dict[int, float], sizes: dict[int, int], trees: dict[int, int]
) -> str:
    """One sample as Markdown."""
    lines = [f"## {name}", ""]
    lines += ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    lines += [row_line(row) for row in rows]
    tools = list(rows[-1].others)
    lines += ["", "| update, bytes | alforja | " + " | ".join(tools) + " |", "| --- " * (len(tools) + 2) + "|"]
    for row in rows:
        if not row.name.startswith("install"):
            lines.append(
                f"| {row.name} | {row.total:,} | " + " | ".join(f"{row.others[tool]:,}" for tool in tools) + " |"
            )
    lines += [
        "",
        "| release | tree bytes | repository bytes after it | hub CPU s to publish |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| v{number} | {trees[number]:,} | {sizes[number]:,} | {hub_cpu[number]:.1f} |" for number in sizes]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
