"""What existing tools need for the same trees: bytes that would cross the link."""

import shutil
import subprocess
from pathlib import Path

TOOLS = {"rsync": "rsync", "casync": "casync", "xdelta3": "xdelta3", "zstd": "zstd", "ostree": "ostree"}


def missing_tools() -> list[str]:
    """The programs that are not here; all are Debian packages of the same names."""
    return [name for name in TOOLS if shutil.which(name) is None]


def make_tar(tree: Path, target: Path) -> Path:
    """Make the same tar of the same tree every time."""
    options = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]
    _run(["tar", *options, "-C", str(tree), "-cf", str(target), "."])
    return target


def tar_zstd(tar: Path) -> int:
    """tar | zstd -19."""
    return len(_output(["zstd", "-q", "-19", "-c", str(tar)]))


def update_sizes(old: Path, new: Path, old_tar: Path, new_tar: Path, scratch: Path) -> dict[str, int]:
    """Bytes each tool needs to bring `old` to `new`."""
    return {
        "rsync -z (zstd)": _rsync(old, new, scratch / "rsync"),
        "casync": _casync(old, new, scratch / "casync"),
        "xdelta3 -9": len(
            _output(["xdelta3", "-9", "-q", "-e", "-c", "-B", "536870912", "-s", str(old_tar), str(new_tar)])
        ),
        "zstd --patch-from": len(
            _output(["zstd", "-q", "-19", "--long=27", f"--patch-from={old_tar}", "-c", str(new_tar)])
        ),
        "ostree static delta": _ostree(old, new, scratch / "ostree"),
    }


def _rsync(old: Path, new: Path, scratch: Path) -> int:
    target = scratch / "tree"
    shutil.copytree(old, target, symlinks=True)
    options = [
        "-a",
        "-z",
        "--zc=zstd",
        "--zl=19",
        "--checksum",
        "--no-whole-file",
        "--delete",
        "--stats",
        "--no-human-readable",
    ]
    text = _output(["rsync", *options, f"{new}/", f"{target}/"]).decode()
    wanted = ("Total bytes sent:", "Total bytes received:")
    return sum(int(line.split(":")[1].replace(",", "")) for line in text.splitlines() if line.startswith(wanted))


def _casync(old: Path, new: Path, scratch: Path) -> int:
    scratch.mkdir(parents=True)
    for name, tree in (("old", old), ("new", new)):
        _run(
            ["casync", "make", "--without=all", f"--store={scratch / name}.castr", f"{scratch / name}.caidx", str(tree)]
        )
    held = {path.name for path in (scratch / "old.castr").rglob("*.cacnk")}
    chunks = [path for path in (scratch / "new.castr").rglob("*.cacnk") if path.name not in held]
    return sum(path.stat().st_size for path in chunks) + (scratch / "new.caidx").stat().st_size


def _ostree(old: Path, new: Path, scratch: Path) -> int:
    repo = f"--repo={scratch}"
    scratch.mkdir(parents=True)
    _run(["ostree", repo, "init", "--mode=archive"])
    commits = [
        _output(
            ["ostree", repo, "commit", "-b", "b", "--owner-uid=0", "--owner-gid=0", f"--tree=dir={tree}", "-s", "s"]
        )
        .decode()
        .strip()
        for tree in (old, new)
    ]
    _run(
        [
            "ostree",
            repo,
            "static-delta",
            "generate",
            f"--from={commits[0]}",
            f"--to={commits[1]}",
            "--min-fallback-size=0",
        ]
    )
    return sum(path.stat().st_size for path in (scratch / "deltas").rglob("*") if path.is_file())


def _run(command: list[str]) -> None:
    _output(command)


def _output(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return done.stdout
