"""What existing tools need for the same trees: bytes that would cross the link, no transport and no signatures.

A tool that is missing, fails or is too slow is told so. Results are kept by tool, version and both trees.
"""

import gzip
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.bench import results
from tests.bench.measure import CommandFailed, cpu_of, folder_size, tool_output

TIMEOUT_S = 900.0
_WINDOW = "--long=31"


@dataclass(frozen=True, slots=True)
class Job:
    """One question to a tool: from `old` (None: from nothing) to `new`, as trees and as tars of them."""

    old: Path
    new: Path
    old_tar: Path
    new_tar: Path
    scratch: Path
    deadline: float

    def say(self, *command: str | Path, cwd: Path | None = None, extra: Mapping[str, str] | None = None) -> str:
        """Run a program, give what it says."""
        return tool_output(list(map(str, command)), deadline=self.deadline, cwd=cwd, extra=extra).decode()

    def size_of(self, *command: str | Path) -> int:
        """Run a program; how many bytes it writes to its standard output."""
        into = self.scratch / "output"
        tool_output(list(map(str, command)), deadline=self.deadline, into=into)
        return into.stat().st_size


@dataclass(frozen=True, slots=True)
class Tool:
    """Another way to bring a tree to a school."""

    name: str
    version: Callable[[], str]  # empty: not here
    how: str  # what is run and counted, for the page; a result is only good for the same words
    bring: str  # how to get it
    measure: Callable[[Job], int]
    own_transport: bool = False  # bytes are counted with the tool's own protocol


def measure(compared: Sequence[Tool], old: Path | None, new: Path, *, again: bool = False) -> list[dict[str, Any]]:
    """What each tool needs; from what is kept, if it is there. Several at once: only their bytes matter."""
    for tree in filter(None, (old, new)):
        make_tar(tree)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda tool: _measured(tool, old, new, again), compared))


def _measured(tool: Tool, old: Path | None, new: Path, again: bool) -> dict[str, Any]:
    version = tool.version()
    if not version:
        return {"tool": tool.name, "failed": "not here"}
    kept_as = results.key(tool.name, tool.how, version, _digest(old) if old else "", _digest(new))
    kept = results.get("tools", kept_as)
    if kept is not None and not (again and "failed" in kept):
        return kept
    work = results.scratch() / "work" / kept_as
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    base = old or new
    started = time.monotonic()
    job = Job(base, new, make_tar(base), make_tar(new), work, started + TIMEOUT_S)
    found: dict[str, Any] = {"tool": tool.name, "version": version}
    try:
        found["bytes"] = tool.measure(job)
    except (CommandFailed, OSError, ValueError) as error:
        found["failed"] = str(error)
    found["wall_s"] = round(time.monotonic() - started, 1)
    shutil.rmtree(work, ignore_errors=True)
    results.put("tools", kept_as, found)
    return found


def make_tar(tree: Path) -> Path:
    """The tar of a tree: the same every time, kept."""
    target = results.scratch() / "tars" / f"{_digest(tree)}.tar"
    if not target.is_file():
        target.parent.mkdir(exist_ok=True)
        options = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]
        fresh = target.with_suffix(".new")
        subprocess.run(["tar", *options, "-C", str(tree), "-cf", str(fresh), "."], check=True)
        fresh.replace(target)
    return target


def reference_cpu(old: Path | None, new: Path) -> float:
    """CPU seconds of zstd and sha256 for the same bytes: what a node cannot do without."""
    plain = [f"--patch-from={make_tar(old)}"] if old else []
    packed = results.scratch() / "patches" / f"{results.key(_digest(old) if old else '', _digest(new))}.zst"
    if not packed.is_file():
        packed.parent.mkdir(exist_ok=True)
        command = [
            "zstd",
            "-q",
            "-19",
            _WINDOW,
            *plain,
            str(make_tar(new)),
            "-o",
            str(packed.with_suffix(".new")),
            "-f",
        ]
        tool_output(command, deadline=time.monotonic() + TIMEOUT_S)
        packed.with_suffix(".new").replace(packed)
    script = 'zstd -q -d -c --long=31 "$@" | sha256sum'
    return min(cpu_of(["sh", "-c", script, "sh", *plain, str(packed)]) for _ in range(3))


@cache
def _digest(tree: Path) -> str:
    return results.tree_digest(tree)


def _rsync(job: Job) -> int:
    target = job.scratch / "tree"
    shutil.copytree(job.old, target, symlinks=True)
    options = [
        "-a", "-z", "--zc=zstd", "--zl=19", "--checksum", "--no-whole-file", "--delete", "--stats",
        "--no-human-readable",
    ]  # fmt: skip
    text = job.say("rsync", *options, f"{job.new}/", f"{target}/")
    wanted = ("Total bytes sent:", "Total bytes received:")
    return sum(int(line.split(":")[1].replace(",", "")) for line in text.splitlines() if line.startswith(wanted))


def _rdiff(job: Job) -> int:
    signature, delta = job.scratch / "signature", job.scratch / "delta"
    job.say("rdiff", "signature", job.old_tar, signature)
    job.say("rdiff", "delta", signature, job.new_tar, delta)
    return signature.stat().st_size + job.size_of("zstd", "-q", "-19", _WINDOW, "-c", delta)


def _casync(job: Job) -> int:
    for name, tree in (("old", job.old), ("new", job.new)):
        store, index = job.scratch / f"{name}.castr", job.scratch / f"{name}.caidx"
        job.say("casync", "make", "--without=all", f"--store={store}", index, tree)
    held = {path.name for path in (job.scratch / "old.castr").rglob("*.cacnk")}
    chunks = [path for path in (job.scratch / "new.castr").rglob("*.cacnk") if path.name not in held]
    return sum(path.stat().st_size for path in chunks) + (job.scratch / "new.caidx").stat().st_size


def _zchunk(job: Job) -> int:
    for name, tar in (("old", job.old_tar), ("new", job.new_tar)):
        job.say("zck", "-o", job.scratch / f"{name}.zck", tar)
    text = job.say("zck_delta_size", job.scratch / "old.zck", job.scratch / "new.zck")
    return int(re.findall(r"Would download (\d+) of", text)[0])


def _borg(job: Job) -> int:
    home = {"BORG_BASE_DIR": str(job.scratch / "home"), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    repository = job.scratch / "repository"
    job.say("borg", "init", "-e", "none", repository, extra=home)
    sizes = []
    for name, tree in (("old", job.old), ("new", job.new)):
        job.say("borg", "create", "--compression", "zstd,19", f"{repository}::{name}", ".", cwd=tree, extra=home)
        sizes.append(folder_size(repository / "data"))
    return sizes[1] - sizes[0]


def _restic(job: Job) -> int:
    word = job.scratch / "word"
    word.write_text("word")
    repository = job.scratch / "repository"
    ask = ("restic", "--repo", str(repository), "--password-file", str(word), "--no-cache", "--quiet")
    job.say(*ask, "init", "--repository-version", "2")
    sizes = []
    for tree in (job.old, job.new):
        job.say(*ask, "--compression", "max", "backup", ".", cwd=tree)
        sizes.append(folder_size(repository))
    return sizes[1] - sizes[0]


def _ostree(job: Job) -> int:
    repository = job.scratch / "repository"
    repository.mkdir()
    ask = ("ostree", f"--repo={repository}")
    job.say(*ask, "init", "--mode=archive")
    commits = [
        job.say(*ask, "commit", "-b", "b", "--owner-uid=0", "--owner-gid=0", f"--tree=dir={tree}", "-s", "s").strip()
        for tree in (job.old, job.new)
    ]
    job.say(
        *ask, "static-delta", "generate", f"--from={commits[0]}", f"--to={commits[1]}", "--min-fallback-size=0"
    )  # fmt: skip
    return folder_size(repository / "deltas")


def _xdelta3(job: Job) -> int:
    return job.size_of("xdelta3", "-9", "-q", "-e", "-c", "-B", "536870912", "-s", job.old_tar, job.new_tar)


def _zstd_patch(*level: str) -> Callable[[Job], int]:
    def measured(job: Job) -> int:
        return job.size_of("zstd", "-q", *level, _WINDOW, f"--patch-from={job.old_tar}", "-c", job.new_tar)

    return measured


def _bsdiff(job: Job) -> int:
    job.say("bsdiff", job.old_tar, job.new_tar, job.scratch / "patch")
    return (job.scratch / "patch").stat().st_size


_HDIFF = """
import sys
from pathlib import Path
import hdiffpatch
old, new, patch, compression = sys.argv[1:]
config = hdiffpatch.ZStdConfig(22, 27) if compression == "zstd" else hdiffpatch.Lzma2Config(9, 27)
Path(patch).write_bytes(hdiffpatch.diff(Path(old).read_bytes(), Path(new).read_bytes(), config))
"""
_DETOOLS = """
import sys
import detools
old, new, patch = sys.argv[1:]
with open(old, "rb") as a, open(new, "rb") as b, open(patch, "wb") as c:
    detools.create_patch(a, b, c, compression="lzma")
"""


def _hdiffpatch(compression: str) -> Callable[[Job], int]:
    def measured(job: Job) -> int:
        python = _python_with("hdiffpatch")
        job.say(python, "-c", _HDIFF, job.old_tar, job.new_tar, job.scratch / "patch", compression)
        return (job.scratch / "patch").stat().st_size

    return measured


def _detools(job: Job) -> int:
    job.say(_python_with("detools"), "-c", _DETOOLS, job.old_tar, job.new_tar, job.scratch / "patch")
    return (job.scratch / "patch").stat().st_size


def _whole_files(job: Job) -> int:
    return sum(len(gzip.compress(path.read_bytes(), 9, mtime=0)) for path in _changed(job.old, job.new))


def _changed(old: Path, new: Path) -> Iterator[Path]:
    for path in new.rglob("*"):
        before = old / path.relative_to(new)
        if path.is_file() and not (before.is_file() and before.read_bytes() == path.read_bytes()):
            yield path


def _packed(*command: str) -> Callable[[Job], int]:
    return lambda job: job.size_of(*command, job.new_tar)


@cache
def _python_with(module: str) -> str:
    """A Python that can import a module: ours, or that of `make bench-tools`. Empty: none."""
    if importlib.util.find_spec(module):
        return sys.executable
    other = results.scratch() / "venv" / "bin" / "python"
    found = (
        other.is_file()
        and not subprocess.run([str(other), "-c", f"import {module}"], check=False, capture_output=True).returncode
    )
    return str(other) if found else ""


def _module(name: str) -> Callable[[], str]:
    @cache
    def version() -> str:
        python = _python_with(name)
        script = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"
        return subprocess.check_output([python, "-c", script, name], text=True).strip() if python else ""

    return version


def _program(name: str, *ask: str) -> Callable[[], str]:
    """The version that a program tells; that of its Debian package where it tells none."""

    @cache
    def version() -> str:
        if not (path := shutil.which(name)):
            return ""
        done = subprocess.run([path, *ask], check=False, capture_output=True, text=True) if ask else None
        said = (done.stdout + done.stderr).replace(name, "", 1) if done else ""
        found = re.search(r"\d+(\.[\w+~-]+)+", said) or re.search(r"\d+", said)
        if found:
            return found[0]
        package = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", name], check=False, capture_output=True, text=True
        )
        return package.stdout.strip() or "of unknown version"

    return version


ZSTD = _program("zstd", "--version")
_WHOLE = Tool(
    "whole changed files, gzip -9", lambda: sys.version.split()[0], "changed and new files, each gzipped by Python",
    "-", _whole_files,
)  # fmt: skip
UPDATE_TOOLS = (
    Tool(
        "rsync -z (zstd)", _program("rsync", "--version"),
        "`rsync -az --zc=zstd --zl=19 --checksum --no-whole-file --delete`: bytes sent and received", "apt: rsync",
        _rsync, own_transport=True,
    ),
    Tool(
        "rdiff, zstd -19", _program("rdiff", "--version"), "on tars: the signature, and the delta packed by `zstd -19`",
        "apt: rdiff", _rdiff,
    ),
    Tool(
        "casync", _program("casync", "--version"), "`casync make --without=all`: new chunks and index", "apt: casync",
        _casync,
    ),
    Tool("zchunk", _program("zck", "--version"), "`zck` of tars, `zck_delta_size`", "apt: zchunk", _zchunk),
    Tool(
        "borg", _program("borg", "--version"), "`borg create --compression zstd,19`: what the repository grows by",
        "apt: borgbackup", _borg,
    ),
    Tool(
        "restic", _program("restic", "version"), "`restic backup --compression max`: what the repository grows by",
        "apt: restic", _restic,
    ),
    Tool(
        "ostree static delta", _program("ostree", "--version"), "`ostree static-delta generate --min-fallback-size=0`",
        "apt: ostree", _ostree,
    ),
    Tool("xdelta3 -9", _program("xdelta3", "-V"), "`xdelta3 -9 -B 536870912` on tars", "apt: xdelta3", _xdelta3),
    Tool(
        "zstd -19 --patch-from", ZSTD, "`zstd -19 --long=31 --patch-from` on tars", "apt: zstd", _zstd_patch("-19"),
    ),
    Tool(
        "zstd -22 --patch-from", ZSTD, "`zstd --ultra -22 --long=31 --patch-from` on tars", "apt: zstd",
        _zstd_patch("--ultra", "-22"),
    ),
    Tool("bsdiff", _program("bsdiff"), "`bsdiff` on tars", "apt: bsdiff", _bsdiff),
    Tool(
        "HDiffPatch zstd", _module("hdiffpatch"),
        "`hdiffpatch.diff` on tars, zstd level 22, window 2^27", "PyPI: hdiffpatch",
        _hdiffpatch("zstd"),
    ),
    Tool(
        "HDiffPatch LZMA2", _module("hdiffpatch"),
        "`hdiffpatch.diff` on tars, LZMA2 level 9, window 2^27", "PyPI: hdiffpatch",
        _hdiffpatch("lzma2"),
    ),
    Tool("detools", _module("detools"), "`detools.create_patch` on tars, LZMA", "PyPI: detools", _detools),
    _WHOLE,
)  # fmt: skip
INSTALL_TOOLS = (
    Tool(
        "tar, zstd -19", ZSTD, "`zstd -19 --long=27` of the tar", "apt: zstd",
        _packed("zstd", "-q", "-19", "--long=27", "-c"),
    ),
    Tool(
        "tar, zstd -22", ZSTD, "`zstd --ultra -22 --long=31` of the tar", "apt: zstd",
        _packed("zstd", "-q", "--ultra", "-22", _WINDOW, "-c"),
    ),
    Tool(
        "tar, xz -9e", _program("xz", "--version"), "`xz -9e` of the tar", "apt: xz-utils",
        _packed("xz", "-9e", "-T1", "-c"),
    ),
)  # fmt: skip
