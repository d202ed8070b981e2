"""The main job, shown on this machine: publish, sync, update by delta, serve.

make demo              our own small course, in two releases
make demo COURSE=olx   the Open edX demo course, in three (needs ../shared/samples)
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT.parent / "shared" / "samples"
BIN = Path(sys.executable).parent


def main() -> int:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("course", nargs="?", default="water", choices=["water", "olx"])
    parser.add_argument("--once", action="store_true", help="End after the last sync instead of serving.")
    parser.add_argument("--port", type=int, default=8080, help="Port of the library; the next one is the content's.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alforja-demo-") as scratch:
        versions = versions_of(arguments.course, Path(scratch))
        if not versions:
            print(f"{SAMPLES} is not here; run `make demo` without COURSE", file=sys.stderr)
            return 1
        return show(arguments.course, versions, Path(scratch), serve=not arguments.once, port=arguments.port)


def versions_of(course: str, scratch: Path) -> list[Path]:
    """The trees of each release, oldest first."""
    if course == "water":
        return [ROOT / "examples" / "water-v1", ROOT / "examples" / "water-v2"]
    archive = SAMPLES / "evolving-olx.tar.zst"
    if not archive.exists():
        return []
    from backports import zstd  # noqa: PLC0415 (only this way needs it)

    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 31}
    with zstd.open(archive, "rb", options=options) as packed:
        subprocess.run(["tar", "-xf", "-", "-C", str(scratch)], input=packed.read(), check=True)
    return sorted((scratch / "olx").iterdir())


def show(course: str, versions: list[Path], scratch: Path, *, serve: bool, port: int) -> int:
    """Publish and sync each version, then serve the last."""
    hub, node = scratch / "hub", scratch / "node"
    say(f"A content team makes a hub, and publishes the course `{course}`.")
    alforja("hub", hub, "init", "--publisher", "demo")
    publish(hub, course, versions[0])
    with offering(hub) as address:
        say(f"A school, given the hub's root of trust, syncs from {address}.")
        alforja("node", node, "init", "--root", str(hub / "repository" / "trust" / "1.root.json"), "--source", address)
        alforja("node", node, "courses")
        alforja("node", node, "subscribe", course)
        alforja("node", node, "sync")
        for number, version in enumerate(versions[1:], start=2):
            say(f"The team edits the course and publishes release {number}; the school syncs what changed.")
            publish(hub, course, version)
            report = json.loads(alforja("node", node, "sync", "--json", quiet=True))
            moved, full = report["received"] + report["sent"], full_size(hub, course)
            kinds = ", ".join(f"{kind} {report[kind]['received']:,}" for kind in ("trust", "manifest", "frames"))
            print(f"  release {number} came in {moved:,} bytes both ways ({kinds} received),")
            print(f"  the whole course is {full:,} bytes: {moved / full:.2%}")
        check(node, course, versions[-1], scratch / "export")
    say("How it stands at the school:")
    alforja("node", node, "status")
    if serve:
        say("The library is open; stop it with Ctrl-C.")
        command = [
            str(BIN / "alforja-node"),
            "--home",
            str(node),
            "serve",
            "--port",
            str(port),
            "--content-port",
            str(port + 1),
        ]
        try:
            return subprocess.run([*command, "--host", "127.0.0.1"], check=False).returncode
        except KeyboardInterrupt:
            return 0
    return 0


def publish(hub: Path, course: str, tree: Path) -> None:
    """Import a tree and publish it."""
    alforja("hub", hub, "import", str(tree), "--course", course)
    alforja("hub", hub, "publish", course)


def full_size(hub: Path, course: str) -> int:
    """Bytes of a first install of the newest release."""
    return int(json.loads(alforja("hub", hub, "cost", course, "--json", quiet=True))["install"]["total"])


def check(node: Path, course: str, tree: Path, target: Path) -> None:
    """Show that what arrived is what was published."""
    alforja("node", node, "export", course, str(target))
    if course == "water":
        subprocess.run(["diff", "-r", str(tree), str(target)], check=True)
        print("  `diff -r` finds nothing: the school holds exactly what was published")
    shutil.rmtree(target)


def alforja(side: str, home: Path, *arguments: str, quiet: bool = False) -> str:
    """Run one command, showing it and what it says."""
    shown = " ".join(re.sub(r"^/\S*/", ".../", word) for word in arguments)
    if not quiet:
        print(f"\n$ alforja-{side} {shown}", flush=True)
    command = [str(BIN / f"alforja-{side}"), "--home", str(home), *arguments]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if not quiet:
        print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


@contextmanager
def offering(hub: Path) -> Iterator[str]:
    """Run the hub on any free port of this machine; give its address."""
    command = [str(BIN / "alforja-hub"), "--home", str(hub), "serve", "--host", "127.0.0.1", "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "the hub did not start"
            yield found[0]
        finally:
            process.terminate()
            process.wait()


def say(sentence: str) -> None:
    """Print a heading."""
    print(f"\n=== {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
