"""The rows of `make bench-wire`: one sync each, beside what other tools need for the same two trees.

A row is named FAMILY:install-vN or FAMILY:vM-vN, with `-without-jpeg-xl` behind it
where the node is of that kind. What is measured is kept, so that a run is resumed.
"""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench import contact, results, tools
from tests.bench.measure import CommandFailed
from tests.bench.trees import FAMILIES, Family, NotHere, tree


@dataclass(frozen=True, slots=True)
class Row:
    """One sync: of `new`, from `old` (0: from nothing), perhaps by a node that cannot undo JPEG XL."""

    family: Family
    old: int
    new: int
    without_jpeg_xl: bool = False

    @property
    def name(self) -> str:
        """As on the command line."""
        what = f"v{self.old}-v{self.new}" if self.old else f"install-v{self.new}"
        return f"{self.family.name}:{what}" + ("-without-jpeg-xl" if self.without_jpeg_xl else "")


def all_rows() -> list[Row]:
    """Every row, updates before installs, in the order of the page."""
    updates = [
        Row(family, old, new)
        for family in FAMILIES.values()
        for old, new in ((1, 2), (2, 3), (1, 3))
        if new <= family.versions
    ]
    installs = [
        Row(family, 0, new) for family in FAMILIES.values() if family.installs for new in range(1, family.versions + 1)
    ]
    return updates + installs + [Row(FAMILIES["jpeg"], 0, 1, without_jpeg_xl=True)]


def row_named(name: str) -> Row:
    """The row of a name; a first install of any version is one, on the page or not."""
    family, _, pair = name.partition(":")
    installs = (Row(one, 0, new) for one in FAMILIES.values() for new in range(1, one.versions + 1))
    for row in (*all_rows(), *installs):
        if row.name == name:
            return row
    raise SystemExit(f"row {family}:{pair}: unknown; see `python -m tests.bench wire --list`")


def is_done(row: Row, *, any_code: bool) -> bool:
    """Whether the sync of a row is measured, with this code."""
    found = results.get("rows", row.name)
    return found is not None and "failed" not in found and (any_code or found["code"] == results.code_digest())


def measure_row(row: Row, *, ours: bool, others: bool, again: bool = False) -> bool:
    """Measure one row: our sync, and other tools where they are not kept. Whether nothing of ours failed."""
    try:
        old, new = tree(row.family, row.old) if row.old else None, tree(row.family, row.new)
    except NotHere as missing:
        results.put("rows", row.name, {"failed": str(missing), "code": results.code_digest()})
        return True
    if others:
        compared = tools.UPDATE_TOOLS if old else tools.INSTALL_TOOLS
        results.put("others", row.name, {"tools": tools.measure(compared, old, new, again=again)})
    if not ours:
        return True
    found = _measured_or_failed(row, old, new)
    results.put("rows", row.name, found)
    return "failed" not in found


def _measured_or_failed(row: Row, old: Path | None, new: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"code": results.code_digest(), "commit": results.commit()}
    try:
        chain = _chain_of(row.family)
        sync = chain.update(row.old, row.new) if row.old else chain.install(row.new, row.without_jpeg_xl)
        found |= {"sync": asdict(sync), "reference_cpu_s": tools.reference_cpu(old, new) if tools.ZSTD() else 0}
    except (CommandFailed, subprocess.CalledProcessError) as failed:
        found["failed"] = str(failed)
    # Somebody may edit the code while it is measured: then nobody knows what was.
    if results.read_code_digest() != found["code"]:
        found["code"] += ", edited meanwhile"
    return found


@dataclass(frozen=True, slots=True)
class _Chain:
    """Hubs of one family: a copy after each release, so that a node can be at any of them. Made as far as asked."""

    family: Family
    folder: Path

    def hub(self, version: int) -> Path:
        """A hub whose newest release is `version`."""
        hub = self.folder / f"hub{version}"
        if not hub.is_dir():
            fresh = self.folder / f"hub{version}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            if version > 1:
                shutil.copytree(self.hub(version - 1), fresh, symlinks=True)
            else:
                contact.make_hub(fresh)
            release = contact.publish(fresh, tree(self.family, version), self.family.name)
            results.put("releases", f"{self.family.name}-v{version}", asdict(release))
            fresh.rename(hub)
        return hub

    def install(self, version: int, without_jpeg_xl: bool = False) -> contact.Sync:
        """Install `version` on a new node, which is kept."""
        fresh, node = self._fresh_node(), self.folder / f"node{version}"
        sync = self._sync(fresh, version, without_jpeg_xl)
        shutil.rmtree(node, ignore_errors=True)
        fresh.rename(node)
        return sync

    def update(self, old: int, new: int) -> contact.Sync:
        """Update a node that holds `old` and nothing else."""
        node = self.folder / f"node{old}"
        if not node.is_dir():
            self.install(old)
        fresh = self._fresh_node()
        shutil.copytree(node, fresh, symlinks=True)
        sync = self._sync(fresh, new)
        shutil.rmtree(fresh)
        return sync

    def _sync(self, node: Path, version: int, without_jpeg_xl: bool = False) -> contact.Sync:
        hub, heads = self.hub(version), dict[str, int]()
        for release in range(1, version + 1):
            found = results.get("releases", f"{self.family.name}-v{release}")
            assert found
            # A first install may take frames out of an earlier one, whose head it leaves.
            heads |= {
                path: size for path, size in found["heads"].items() if release == version or "/install" not in path
            }
        new = tree(self.family, version)
        return contact.sync(hub, node, new, self.family.name, heads, without_jpeg_xl=without_jpeg_xl)

    def _fresh_node(self) -> Path:
        # What a run left that was cut: half a node would make the next row cheaper, or dearer, than it is.
        fresh = self.folder / "node.new"
        shutil.rmtree(fresh, ignore_errors=True)
        return fresh


def _chain_of(family: Family) -> _Chain:
    """The chain of a family, made by this code; one that other code made is removed."""
    folder = results.scratch() / "hubs" / family.name
    made_by = folder / "code"
    if not made_by.is_file() or made_by.read_text() != results.code_digest():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        made_by.write_text(results.code_digest())
    return _Chain(family, folder)


def found_rows() -> Iterator[tuple[Row, dict[str, Any] | None, list[dict[str, Any]]]]:
    """Every row with what is known of it: the sync, and the other tools."""
    for row in all_rows():
        others = results.get("others", row.name)
        yield row, results.get("rows", row.name), others["tools"] if others else []
