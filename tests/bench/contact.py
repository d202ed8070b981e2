"""Publish trees and sync a node through the counting proxy, checking that it got exactly the tree."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measure import folder_size, run, serving
from tests.bench.proxy import Count, CountingProxy

PUBLISHER = "bench"
_PUBLISH_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Sync:
    """What one sync took. `trust`, `head`, `frames` and `headers` add up to all bytes both ways."""

    trust: int  # metadata
    head: int  # index and manifest
    frames: int
    headers: int  # of all requests and answers
    requests: int
    content_requests: int
    node_cpu_s: float
    node_wall_s: float
    node_peak_mib: float
    start_cpu_s: float  # of a contact that finds nothing new: Python's start, mostly

    @property
    def total(self) -> int:
        """All bytes, both ways."""
        return self.trust + self.head + self.frames + self.headers


@dataclass(frozen=True, slots=True)
class Release:
    """What publishing one release took."""

    hub_cpu_s: float
    hub_wall_s: float
    hub_peak_mib: float
    tree_bytes: int
    repository_bytes: int
    manifest_bytes: int
    heads: Mapping[str, int]  # of each pack by its path, as the hub states it


def make_hub(hub: Path) -> None:
    """A hub with one publisher."""
    run("alforja-hub", "--home", str(hub), "init", "--publisher", PUBLISHER)


def publish(hub: Path, tree: Path, course: str, *, timeout_s: float = _PUBLISH_TIMEOUT_S) -> Release:
    """Import a tree as it is, and publish it."""
    home = ("--home", str(hub))
    run("alforja-hub", *home, "import", str(tree), "--course", course, "--as", "folder", timeout_s=timeout_s)
    cost = run("alforja-hub", *home, "publish", course, "--json", timeout_s=timeout_s)
    said = json.loads(cost.output)
    bundle = f"bundles/{PUBLISHER}/{course}.{said['release']}"
    return Release(
        hub_cpu_s=cost.cpu_s, hub_wall_s=cost.wall_s, hub_peak_mib=cost.peak_mib,
        tree_bytes=folder_size(tree), repository_bytes=folder_size(hub / "repository"),
        manifest_bytes=(hub / "repository" / bundle / "manifest").stat().st_size,
        heads={f"{bundle}/{pack}": stated["index"] for pack, stated in said["costs"].items()},
    )  # fmt: skip


def sync(
    hub: Path, node: Path, tree: Path, course: str, heads: Mapping[str, int], *, without_jpeg_xl: bool = False
) -> Sync:
    """Sync a node with a hub; it is made and subscribed if it is not there. `heads` are those it may ask for."""
    home = ("--home", str(node))
    with serving(hub) as port, CountingProxy(port) as proxy:
        if not node.exists():
            root = hub / "repository" / "trust" / "1.root.json"
            run("alforja-node", *home, "init", "--root", str(root), "--source", proxy.url)
            run("alforja-node", *home, "subscribe", f"{PUBLISHER}/{course}")
        count = proxy.reset()
        cost = run("alforja-node", *home, "sync", "--source", proxy.url, without_jpeg_xl=without_jpeg_xl)
        proxy.reset()
        start_cpu_s = min(run("alforja-node", *home, "sync", "--source", proxy.url).cpu_s for _ in range(3))
    check(node, tree, course)
    trust = sum(length for path, length in count.bodies if path.startswith("trust/"))
    content = [(path, length) for path, length in count.bodies if path.startswith("bundles/")]
    head = sum(heads.get(path, 0) for path in dict(content))
    return Sync(
        trust, head, sum(length for _, length in content) - head, _headers(count), len(count.bodies), len(content),
        cost.cpu_s, cost.wall_s, cost.peak_mib, start_cpu_s,
    )  # fmt: skip


def check(node: Path, tree: Path, course: str) -> None:
    """Take the course out and compare it with the tree that was published."""
    target = node.with_name(f"{node.name}-check")
    shutil.rmtree(target, ignore_errors=True)
    run("alforja-node", "--home", str(node), "export", course, str(target))
    subprocess.run(["diff", "-r", "--no-dereference", str(tree), str(target)], check=True)
    shutil.rmtree(target)


def _headers(count: Count) -> int:
    return count.up + count.down - sum(length for _, length in count.bodies)
