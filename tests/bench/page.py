"""Write docs/benchmarks.md from what was measured. Measures nothing."""

import math
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.bench import results, scale, tools, trees, wire
from tests.bench.contact import Sync
from tests.bench.measure import SAMPLES
from tests.bench.tools import TIMEOUT_S, Tool
from tests.bench.wire import Row

Found = dict[str, Any]
Known = tuple[Row, Found | None, list[Found]]
_PLAIN_INSTALL = "tar, zstd -19"  # what a first install's goal is told by
_OWN_TRANSPORT = {tool.name for tool in tools.UPDATE_TOOLS if tool.own_transport}
_HEADING = """# Benchmarks

Measured on {machine}, {cores} cores, Python {python}.

| command | what it does |
| --- | --- |
| `make bench-tools` | brings the tools that Alforja is compared with, or names their Debian packages |
| `make bench-wire` | bytes, CPU and memory of every row, beside other tools |
| `make bench` | that, how cost grows with a course, and small things |
| `make bench-wire ARGS="--row site:v2-v3"` | one row anew; `--list` names all |
| `make bench ARGS=page` | writes this page from what is kept |

The trees are made of the samples in `../shared/samples`, or where `ALFORJA_SAMPLES` points. Results are kept in
`.bench/` (`make BENCH=FOLDER`), so a run that was cut goes on. A tool is measured once for its version and two trees;
Alforja is measured anew when its code has changed.

Bytes are exact. Ours are counted at a proxy between node and hub, all of them, both ways: *trust* metadata, the pack's
*head* (index and manifest), *frames*, and the *headers* of requests and answers. Of rsync all bytes of its protocol are
counted, both ways. To every other tool's bytes the headers of one request and its answer are added, as many as ours
take in the same row; no signatures, no manifest. Ratios are of these sums. CPU seconds and memory are of the processes
measured. The machine is shared, so compare within this page.

Every sync was checked: `alforja-node export`, then `diff -r` against the tree that was published.

{code}
"""
_WITHOUT_JPEG_XL = """Nodes had the extra `images`, which brings JPEG XL. Rows named
`-without-jpeg-xl` are of a node that has it not; they are not counted above.
"""


def render() -> str:
    """The whole page."""
    rows = list(wire.found_rows())
    parts = [_HEADING.format(
        machine=platform.machine(), cores=os.cpu_count(), python=platform.python_version(), code=_code(rows)
    )]  # fmt: skip
    updates = [one for one in rows if one[0].old]
    installs = [one for one in rows if not one[0].old]
    usual = [one for one in installs if not one[0].without_jpeg_xl]
    parts += ["## In short\n", _by("wire"), _summary(updates, usual), _per_tool(updates, usual)]
    parts += ["## Trees\n", _families()]
    parts += ["## Updates\n", _by("wire"), _rows_table(updates), _tools_table(updates, tools.UPDATE_TOOLS)]
    parts += [
        "## First installs\n",
        _by("wire"),
        _WITHOUT_JPEG_XL,
        _rows_table(installs),
        _tools_table(installs, tools.INSTALL_TOOLS),
    ]
    parts += ["## Releases\n", _by("wire"), _releases()]
    parts += ["## Other tools\n", _tool_list(rows)]
    parts += ["## Scale\n", _by("scale"), _scale()]
    parts += ["## Small things\n", _by("small"), _small()]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def line_of(row: Row) -> str:
    """One row in one line, for the terminal."""
    found = results.get("rows", row.name)
    others = results.get("others", row.name)
    return " | ".join(_cells(row, found, others["tools"] if others else []))


def _by(what: str) -> str:
    return f"Made by `python -m tests.bench {what}`.\n"


def _code(rows: Iterable[Known]) -> str:
    known = [
        *(found for _, found, _ in rows),
        *(results.get("scale", course.name) for course in scale.COURSES),
        results.get("small", "things"),
    ]
    measured = [found for found in known if found and "failed" not in found]
    codes = sorted({found["code"] for found in measured})
    commits = sorted({found["commit"] or "no commit" for found in measured})
    if len(codes) > 1:
        return f"**Not one state of the code:** rows were measured at {', '.join(codes)} ({', '.join(commits)})."
    return f"Measured with code {codes[0]} ({', '.join(commits)})." if codes else "No row is measured yet."


# Rows.

_COLUMNS = (
    "row", "bytes", "trust", "head", "frames", "headers", "requests", "best other", "ratio", "node CPU s",
    "of these to start", "zstd -d, sha256 CPU s", "times", "times, less start", "node peak MiB",
)  # fmt: skip


def _table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    head = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    return "\n".join([*head, *("| " + " | ".join(line) + " |" for line in lines)]) + "\n"


def _sync(found: Found | None) -> Sync | None:
    return Sync(**found["sync"]) if found and "sync" in found else None


def _best(others: Iterable[Found], sync: Sync | None) -> tuple[str, int] | None:
    """The tool that needs the least, and how much."""
    needs = [(other["tool"], _sum(other, sync)) for other in others if "bytes" in other]
    return min(needs, key=lambda one: one[1], default=None)


def _sum(other: Found, sync: Sync | None) -> int:
    """Bytes of a tool, with a request and its answer if it has no transport of its own."""
    if sync is None or other["tool"] in _OWN_TRANSPORT:
        return int(other["bytes"])
    return int(other["bytes"]) + round(sync.headers / sync.requests)


def _ratio(found: Found | None, others: Iterable[Found]) -> float | None:
    sync = _sync(found)
    best = _best(others, sync)
    return sync.total / best[1] if sync and best else None


def _cells(row: Row, found: Found | None, others: list[Found]) -> list[str]:
    sync, ratio = _sync(found), _ratio(found, others)
    best = _best(others, sync)
    other = f"{best[0]} {best[1]:,}" if best else "-"
    if found is None or sync is None:
        why = f"skipped: {_short(found['failed'])}" if found else "not measured"
        return [row.name, why, *["-"] * 5, other, *["-"] * 7]
    counts = (sync.total, sync.trust, sync.head, sync.frames, sync.headers, sync.requests)
    cells = [row.name, *(f"{count:,}" for count in counts), other, f"{ratio:.3f}" if ratio else "-"]
    cells += [f"{sync.node_cpu_s:.2f}", f"{sync.start_cpu_s:.2f}", f"{found['reference_cpu_s']:.2f}"]
    return [*cells, f"{_times(found):.1f}", f"{_times(found, less_start=True):.1f}", f"{sync.node_peak_mib:.0f}"]


def _times(found: Found, *, less_start: bool = False) -> float:
    """The node's CPU by that of the reference, of which a hundredth of a second is the least that can be told."""
    sync = Sync(**found["sync"])
    node = sync.node_cpu_s - (sync.start_cpu_s if less_start else 0)
    reference: float = max(found["reference_cpu_s"], 0.01)
    return max(0.0, node) / reference


def _rows_table(rows: Iterable[Known]) -> str:
    return _table(_COLUMNS, [_cells(*one) for one in rows])


def _tools_table(rows: Iterable[Known], compared: Sequence[Tool]) -> str:
    lines = []
    for row, found, others in rows:
        by_name = {other["tool"]: other for other in others}
        sync = _sync(found)
        lines.append([
            row.name, f"{sync.total:,}" if sync else "-", *(_said(by_name.get(tool.name)) for tool in compared),
        ])  # fmt: skip
    return _table(("bytes", "alforja", *(f"{tool.name}" for tool in compared)), lines)


def _said(other: Found | None) -> str:
    if other is None:
        return "not measured"
    return f"{other['bytes']:,}" if "bytes" in other else _short(other["failed"])


def _short(why: str) -> str:
    return why.split("\n", maxsplit=1)[0][:80].replace("|", "/")


# What it comes to.


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def _summary(updates: Sequence[Known], installs: Sequence[Known]) -> str:
    groups: tuple[tuple[str, Sequence[Known]], ...] = (
        ("updates", updates),
        ("updates, samples' own versions", [one for one in updates if one[0].family.real]),
        ("updates, derived trees", [one for one in updates if not one[0].family.real]),
        ("first installs", installs),
        (
            f"first installs, by `{_PLAIN_INSTALL}` alone",
            [
                (row, found, [other for other in others if other["tool"] == _PLAIN_INSTALL])
                for row, found, others in installs
            ],
        ),
    )
    lines = []
    for name, group in groups:
        known = [(ratio, row, found) for row, found, others in group if found and (ratio := _ratio(found, others))]
        if not known:
            lines.append([name, f"0 of {len(group)}", *["-"] * 6])
            continue
        worst, row, _ = max(known, key=lambda one: one[0])
        times = [f"{max(_times(found, less_start=less) for *_, found in known):.1f}" for less in (False, True)]
        peak = max(found["sync"]["node_peak_mib"] for *_, found in known)
        mean = _geometric_mean([ratio for ratio, *_ in known])
        lines.append([
            name, f"{len(known)} of {len(group)}", f"{mean:.3f}", f"{worst:.3f}", row.name, *times, f"{peak:.0f}",
        ])  # fmt: skip
    head = "A ratio is Alforja's bytes by those of the best other tool on the same row; below 1 is smaller.\n\n"
    tail = (
        "\nThe goal for a node's CPU is at most 2 times `zstd -d` and sha256 of the same bytes. For a small tree\n"
        "Python alone needs more to start. So both are told: with the start, and less what a contact needs that finds\n"
        "nothing new (the least of three). The reference, too, is the least of three; the node ran once.\n"
    )
    columns = (
        "rows", "measured", "geometric mean", "worst", "in", "most CPU, times", "less start", "highest node peak MiB",
    )  # fmt: skip
    return head + _table(columns, lines) + tail


def _per_tool(updates: Sequence[Known], installs: Sequence[Known]) -> str:
    lines = []
    for what, rows, compared in (("updates", updates, tools.UPDATE_TOOLS), ("installs", installs, tools.INSTALL_TOOLS)):
        for tool in compared:
            values = [
                sync.total / _sum(other, sync)
                for _, found, others in rows
                for other in others
                if other["tool"] == tool.name and "bytes" in other and (sync := _sync(found))
            ]
            mean = f"{_geometric_mean(values):.3f}" if values else "-"
            ends = [f"{min(values):.3f}", f"{max(values):.3f}"] if values else ["-", "-"]
            lines.append([what, tool.name, f"{len(values)} of {len(rows)}", mean, *ends])
    columns = ("on", "tool", "rows", "Alforja's bytes by its, geometric mean", "least", "most")
    return _table(columns, lines)


# Trees, releases, tools.


def _families() -> str:
    lines = [
        [family.name, family.what, str(family.versions), "as sampled" if family.real else "derived"]
        for family in trees.FAMILIES.values()
    ]
    again = trees.families_of_packages() if SAMPLES.is_dir() else []
    packages = (
        f"Packages of the samples in more than one version: {', '.join(again)}; they have no rows yet."
        if again
        else "No package of the samples (packages.tsv) is there in more than one version. So there are derived trees: "
        "real\nsamples, edited by fixed seeds (`tests/bench/derive.py`)."
    )
    return _table(("family", "what", "versions", "from"), lines) + f"\n{packages}\n"


def _releases() -> str:
    lines = []
    for family in trees.FAMILIES.values():
        for version in range(1, family.versions + 1):
            found = results.get("releases", f"{family.name}-v{version}")
            lines.append(
                [family.name, f"v{version}", *(_release_cells(found) if found else ["not measured", *["-"] * 4])]
            )
    columns = (
        "tree", "release", "tree bytes", "repository bytes after it", "manifest bytes, plain", "hub CPU s to publish",
        "seconds",
    )  # fmt: skip
    return _table(columns, lines)


def _release_cells(found: Found) -> list[str]:
    sizes = [f"{found[name]:,}" for name in ("tree_bytes", "repository_bytes", "manifest_bytes")]
    return [*sizes, f"{found['hub_cpu_s']:.1f}", f"{found['hub_wall_s']:.1f}"]


def _tool_list(rows: Iterable[Known]) -> str:
    versions: dict[str, set[str]] = {}
    for _, _, others in rows:
        for other in others:
            versions.setdefault(other["tool"], set()).update([other["version"]] if "version" in other else [])
    lines = [
        [
            tool.name,
            ", ".join(sorted(versions.get(tool.name, ()))) or tool.version() or "not here",
            tool.how,
            tool.bring,
        ]
        for tool in (*tools.UPDATE_TOOLS, *tools.INSTALL_TOOLS)
    ]
    head = f"Each has {TIMEOUT_S:.0f} s. One that is missing, fails or is too slow is shown as such.\n\n"
    return head + _table(("tool", "version", "what is run, and counted", "from"), lines)


# Scale, and small things.


def _scale() -> str:
    lines, goals = [], []
    for course in scale.COURSES:
        found = results.get("scale", course.name)
        if course.goal:
            goals.append(_goal_line(course, found))
            continue
        size = [course.name, f"{course.files:,}", f"{course.size / 10**9:g}"]
        if found is None or "failed" in found:
            why = found["failed"] if found else "by option: `--big`" if course.big else "not measured"
            lines.append([*size, _short(str(why)), *["-"] * 9])
        else:
            lines.append(size + _scale_cells(found))
    columns = (
        "course", "files", "GB", "publish first, s", "CPU s", "publish update, s", "CPU s", "install bytes",
        "update bytes", "manifest bytes, plain", "head bytes", "node MiB, install", "node MiB, update",
    )  # fmt: skip
    text = (
        "One line of one file changes. Update bytes are all of the contact. The head is what a pack has before its "
        "frames. Files are synthetic: text, and media that nothing can compress.\n"
    )
    goal_columns = (
        "course", "files", "changed", "contact bytes", "content requests", "trust", "head", "trust and head", "frames",
        "headers", "goal",
    )  # fmt: skip
    return f"{text}\n{_table(columns, lines)}\n{_table(goal_columns, goals)}"


def _scale_cells(found: Found) -> list[str]:
    first, second, install, update = found["first"], found["second"], Sync(**found["install"]), Sync(**found["update"])
    return [
        f"{first['hub_wall_s']:.1f}", f"{first['hub_cpu_s']:.1f}", f"{second['hub_wall_s']:.1f}",
        f"{second['hub_cpu_s']:.1f}", f"{install.total:,}", f"{update.total:,}", f"{second['manifest_bytes']:,}",
        f"{update.head:,}", f"{install.node_peak_mib:.0f}", f"{update.node_peak_mib:.0f}",
    ]  # fmt: skip


def _goal_line(course: scale.Course, found: Found | None) -> list[str]:
    size = [course.name, f"{course.files:,}", f"{course.changed}"]
    if found is None or "failed" in found:
        return [*size, _short(found["failed"]) if found else "not measured", *["-"] * 6, course.goal]
    update = Sync(**found["update"])
    counts = (
        update.total, update.content_requests, update.trust, update.head, update.trust + update.head, update.frames,
        update.headers,
    )  # fmt: skip
    return [*size, *(f"{count:,}" for count in counts), course.goal]


def _small() -> str:
    found = results.get("small", "things")
    if found is None:
        return "Not measured yet.\n"
    up, down, heard = found["up"], found["down"], found["heard"]
    best, middle = found["help_s"]
    show: Callable[[str], str] = lambda name: "?" if heard[name] < 0 else f"{heard[name]:,}"  # noqa: E731
    tcp = f"{up + down} bytes ({up} up, {down} down), {found['requests']} request"
    wire_bytes = f"{show('ip_payload')} bytes of IP payload, {show('ip_bytes')} with IP headers"
    lines = [
        ["check that finds nothing new, TCP payload", tcp, "one request"],
        ["the same, on the wire", f"{wire_bytes}, {show('packets')} packets", "700 bytes of IP payload"],
        ["node serving, idle, resident memory", f"{found['idle_mib']:.1f} MiB", "60 MiB"],
        ["`alforja-node --help`, best and middle of 10", f"{best:.2f} s, {middle:.2f} s", "0.3 s"],
    ]  # fmt: skip
    return _table(("what", "measured", "goal"), lines)
