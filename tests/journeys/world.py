"""A hub and schools as real processes on this machine."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
Tree = dict[str, bytes]


@dataclass(frozen=True)
class Done:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its answer as a program reads it."""
        return json.loads(self.out)


def run(program: str, home: Path, *arguments: str | Path, **environment: str) -> Done:
    """Run one command to its end."""
    command = [str(BIN / program), "--home", str(home), *map(str, arguments)]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
        errors="replace",
    )
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(program: str, home: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a server until left; give its address, from its first line, and the process."""
    command = [str(BIN / program), "--home", str(home), *arguments]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://[^\s/]+", process.stdout.readline())
            assert address, "it did not start"
            yield address[0], process
        finally:
            process.terminate()
            process.wait(20)


class HubAt:
    """A hub in a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: str | Path) -> Done:
        """Run a command that must go well."""
        done = run("alforja-hub", self.home, *arguments)
        assert done.code == 0, done.err
        return done

    @property
    def root(self) -> Path:
        """The root of trust that schools are given."""
        return self.repository / "trust" / "1.root.json"

    @property
    def repository(self) -> Path:
        """What is offered."""
        return self.home / "repository"

    def publish(self, course: str, tree: Tree, publisher: str = "moe") -> Any:
        """Lay a tree down, import it as it is, publish it."""
        folder = self.home.parent / "trees" / course
        write_tree(folder, tree)
        self("import", folder, "--course", course, "--as", "folder", "--publisher", publisher)
        return self("publish", course, "--json").json

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Offer it on loopback."""
        with started("alforja-hub", self.home, "serve", "--host", "127.0.0.1", "--port", "0") as (address, _):
            yield address


class NodeAt:
    """A school's node in a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: str | Path) -> Done:
        """Run a command that must go well."""
        done = self.try_(*arguments)
        assert done.code == 0, done.err
        return done

    def try_(self, *arguments: str | Path) -> Done:
        """Run a command, however it ends."""
        return run("alforja-node", self.home, *arguments)

    def join(self, hub: HubAt, source: str | Path, *courses: str) -> "NodeAt":
        """Trust a hub's root, and want some of its courses."""
        self("init", "--root", hub.root, "--source", source, "--reserve", "0")
        for course in courses:
            self("subscribe", f"moe/{course}" if "/" not in course else course)
        return self

    def sync(self, source: str | Path | None = None) -> Any:
        """Sync, and give the report."""
        return self("sync", "--json", *(("--source", source) if source else ())).json

    def tree(self, course: str) -> Tree:
        """What an export of the active release holds."""
        target = self.home.parent / f"{self.home.name}-export"
        self("export", course, target)
        found = read_tree(target)
        subprocess.run(["rm", "-rf", str(target)], check=True)
        return found


def write_tree(folder: Path, tree: Tree) -> None:
    """Make a folder hold exactly a tree."""
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    folder.mkdir(parents=True)
    for path, data in tree.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def read_tree(folder: Path) -> Tree:
    """What a folder holds."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
