"""Publish trees and sync a node through the counting proxy, checking that it got exactly the tree."""

import json
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.measure import Cost, folder_size, run, serving
from tests.bench.proxy import CountingProxy

PUBLISHER = "bench"
_PUBLISH_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Sync:
    """What one sync took. `by_kind` adds up to all bytes."""

    up: int
    down: int
    requests: int
    content_requests: int
    by_kind: dict[str, int]
    node_cpu_s: float
    node_wall_s: float
    node_peak_mib: float
    start_cpu_s: float  # of a contact that finds nothing new: Python's start, mostly

    @property
    def total(self) -> int:
        """Bytes both ways."""
        return self.up + self.down


@dataclass(frozen=True, slots=True)
class Release:
    """What publishing one release took."""

    hub_cpu_s: float
    hub_wall_s: float
    hub_peak_mib: float
    tree_bytes: int
    repository_bytes: int
    manifest_bytes: int
    trust_bytes: int  # what a node is sent that holds all but this release
    costs: dict[str, dict[str, int]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def make_hub(hub: Path) -> None:
    """A hub with one publisher."""
    run("alforja-hub", "--home", str(hub), "init", "--publisher", PUBLISHER)


def publish(hub: Path, tree: Path, course: str, *, timeout_s: float = _PUBLISH_TIMEOUT_S) -> Release:
    """Import a tree as it is, and publish it."""
    home = ("--home", str(hub))
    after = hub / "repository" / "trust" / "after"
    run("alforja-hub", *home, "import", str(tree), "--course", course, "--as", "folder", timeout_s=timeout_s)
    held = max((path.name for path in after.iterdir()), key=int, default="") if after.is_dir() else ""
    cost = run("alforja-hub", *home, "publish", course, "--json", timeout_s=timeout_s)
    said = json.loads(cost.output)
    bundle = hub / "repository" / "bundles" / PUBLISHER / f"{course}.{said['release']}"
    return Release(
        hub_cpu_s=cost.cpu_s, hub_wall_s=cost.wall_s, hub_peak_mib=cost.peak_mib,
        tree_bytes=folder_size(tree), repository_bytes=folder_size(hub / "repository"),
        manifest_bytes=_size_of(bundle / "manifest"), trust_bytes=_size_of(after / held) if held else 0,
        costs=said.get("costs", {}),
    )  # fmt: skip


def sync(hub: Path, node: Path, tree: Path, course: str) -> Sync:
    """Sync a node with a hub; it is made and subscribed if it is not there."""
    home = ("--home", str(node))
    with serving(hub) as port, CountingProxy(port) as proxy:
        if not node.exists():
            root = hub / "repository" / "trust" / "1.root.json"
            run("alforja-node", *home, "init", "--root", str(root), "--source", proxy.url)
            run("alforja-node", *home, "subscribe", f"{PUBLISHER}/{course}")
        count = proxy.reset()
        cost = run("alforja-node", *home, "sync", "--source", proxy.url, "--json")
        proxy.reset()
        start_cpu_s = min(run("alforja-node", *home, "sync", "--source", proxy.url).cpu_s for _ in range(3))
    check(node, tree, course)
    return Sync(
        count.up, count.down, count.requests, count.content_requests, _kinds(cost), cost.cpu_s, cost.wall_s,
        cost.peak_mib, start_cpu_s,
    )  # fmt: skip


def check(node: Path, tree: Path, course: str) -> None:
    """Take the course out and compare it with the tree that was published."""
    target = node.with_name(f"{node.name}-check")
    shutil.rmtree(target, ignore_errors=True)
    run("alforja-node", "--home", str(node), "export", course, str(target))
    subprocess.run(["diff", "-r", "--no-dereference", str(tree), str(target)], check=True)
    shutil.rmtree(target)


def _kinds(cost: Cost) -> dict[str, int]:
    report = json.loads(cost.output)
    return {
        kind: moved["received"] + moved["sent"]
        for kind, moved in report.items()
        if isinstance(moved, dict) and "received" in moved
    }


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
