"""How commands ask what is to be kept of a course, and tell what became of old packs."""

import re
from collections.abc import Sequence
from typing import Any

import click

from alforja_hub.keeping import Keeping, Update
from alforja_hub.upkeep import Lapsed, Tidying
from alforja_packaging.console import in_words

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
ALL = -1
"""What `--keep-bytes all` stands for: no bound."""


class Size(click.ParamType[int]):
    """A number of bytes as people write it: 500M, 2G, 1.5 GB, 64MiB; `all` for no bound."""

    name = "SIZE"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the size."""
        if isinstance(value, int):
            return value
        text = value.strip().lower()
        if text == "all":
            return ALL
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?i?)b?", text)
        unit = (_UNITS | _BINARY).get(match[2]) if match else None
        if match is None or unit is None:
            self.fail(f"{value!r} is not a size; write for example 500M, 2G or all", param, ctx)
        return int(float(match[1]) * unit)


def chosen(releases: int | None, size: int | None, grace_days: int | None) -> dict[str, int | None]:
    """Give the fields of Keeping that were asked for."""
    fields: dict[str, int | None] = {}
    if releases is not None:
        fields["releases"] = releases
    if size is not None:
        fields["bytes_max"] = None if size == ALL else size
    if grace_days is not None:
        fields["grace_days"] = grace_days
    return fields


def describe(keeping: Keeping) -> str:
    """Say in words what is kept."""
    bound = "of any size" if keeping.bytes_max is None else f"within {in_words(keeping.bytes_max)}"
    return (
        f"updates straight from the last {keeping.releases} releases, packs {bound}, "
        f"old packs for {keeping.grace_days} more days"
    )


def say_tidied(plan: Tidying, dropped: Sequence[Update], *, planned: bool = False) -> None:
    """Tell what is offered no more, what was removed and what waits. `planned`: nothing was done yet."""
    course = plan.course
    if dropped:
        would = "would stop offering" if planned else "no longer offers"
        click.echo(f"{course}: {would} {_names(dropped, plan.offered.newest)} ({in_words(_total(dropped))})")
        click.echo("  a school that holds such a release comes on by way of others, or by a first install")
    if plan.over and plan.keeping.bytes_max is not None:
        wanted = in_words(plan.keeping.bytes_max)
        click.echo(f"{course}: {in_words(plan.offered.size)} of packs stay, more than the {wanted} asked for")
        click.echo("  the first install and the update from the newest earlier release are never given up")
    if plan.remove:
        would = "would remove" if planned else "removed"
        click.echo(f"{course}: {would} {_count(plan.remove)} that no release needs ({in_words(_total(plan.remove))})")
    if plan.waiting:
        until = min(one.until for one in plan.waiting)
        click.echo(
            f"{course}: {_count(plan.waiting)} no longer needed ({in_words(_total(plan.waiting))}), "
            f"kept until {until:%Y-%m-%d} or longer for schools in the middle of a download"
        )


def as_fields(plan: Tidying, dropped: Sequence[Update]) -> dict[str, Any]:
    """The same for a program to read."""
    return {
        "keeping": {
            "releases": plan.keeping.releases, "bytes_max": plan.keeping.bytes_max,
            "grace_days": plan.keeping.grace_days,
        },
        "pack_bytes": plan.offered.size,
        "over_bytes": plan.over,
        "dropped": [{"from": str(one.start), "to": one.end, "bytes": one.size} for one in dropped],
        "removed": [{"file": one.name, "bytes": one.size} for one in plan.remove],
        "waiting": [{"file": one.name, "bytes": one.size, "until": one.until.isoformat()} for one in plan.waiting],
    }  # fmt: skip


def _names(dropped: Sequence[Update], newest: int) -> str:
    straight = [str(one.start) for one in dropped if one.end == newest]
    steps = [f"{one.start} to {one.end}" for one in dropped if one.end != newest]
    words = []
    if straight:
        words.append(f"updates straight from release {', '.join(straight)}")
    if steps:
        words.append(f"steps from release {', '.join(steps)}")
    return " and ".join(words)


def _count(files: Sequence[Lapsed]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files)} files"


def _total(parts: Sequence[Update] | Sequence[Lapsed]) -> int:
    return sum(one.size for one in parts)
