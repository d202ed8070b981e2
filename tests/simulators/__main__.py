"""`make sim`: how schools fare over half a year, by link and policy, for the seeds given."""

import argparse
import sys
from collections.abc import Sequence
from statistics import fmean

from tests.simulators.policies import make_policies
from tests.simulators.traces import LINKS, LinkModel, Size, make_school
from tests.simulators.virtual import Policy, Tally, live

HEADER = (
    f"{'link':<10}{'policy':<40}{'hit %':>7}{'worst':>7}{'full %':>8}{'first lesson':>14}"
    f"{'day 7':>7}{'day 30':>8}{'end':>6}{'MB':>8}{'lessons/MB':>12}{'wasted %':>10}{'overhead %':>12}"
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, default=[1, 2, 3], help="one school and trace for each")
    parser.add_argument("--days", type=int, default=Size().days)
    parser.add_argument("--noise", type=int, default=Size().noise_days, help="days that dates are off by, at most")
    parser.add_argument("--link", action="append", help="only this one (repeatable)")
    parser.add_argument("--policy", help="only those whose name contains this")
    asked = parser.parse_args()
    print(f"seeds {asked.seeds}, {asked.days} days, dates off by up to {asked.noise} days")
    print("means over the seeds, and the worst hit rate; ! the first lesson came in the first window")
    print(HEADER)
    for link in LINKS:
        if asked.link and link.name not in asked.link:
            continue
        for policy in make_policies():
            if not asked.policy or asked.policy in policy.name:
                size = Size(days=asked.days, noise_days=asked.noise)
                rows = [_measure(seed, size, link, policy) for seed in asked.seeds]
                print(_row(link.name, policy.name, rows))
                sys.stdout.flush()


def _measure(seed: int, size: Size, link: LinkModel, policy: Policy) -> Sequence[float]:
    school = make_school(seed, size)
    tally = live(school, link, policy, seed)
    return _figures(tally, tally.hit_rate(school), tally.full_rate(school), size.days)


def _figures(tally: Tally, hit: float, full: float, days: int) -> Sequence[float]:
    moved_mb = tally.moved / 1e6 or 1.0
    first = tally.first_lesson_s
    return (
        100 * hit, 100 * full, (float("nan") if first is None else first) / 3600,
        tally.usable_by(7), tally.usable_by(30), tally.usable_by(days), moved_mb, tally.usable_by(days) / moved_mb,
        100 * tally.wasted / (tally.moved or 1), 100 * tally.overhead / (tally.moved or 1),
        first is not None and first <= tally.first_window_ended_s,
    )  # fmt: skip


def _row(link: str, policy: str, rows: Sequence[Sequence[float]]) -> str:
    means = [fmean(column) for column in zip(*rows, strict=True)]
    hit, full, first, week, month, end, moved, yielded, wasted, overhead, _ = means
    worst = min(row[0] for row in rows)
    in_first = "!" if all(row[-1] for row in rows) else " "
    return (
        f"{link:<10}{policy:<40}{hit:>7.1f}{worst:>7.1f}{full:>8.1f}{first:>11.1f} h{in_first}"
        f"{week:>7.0f}{month:>8.0f}{end:>6.0f}{moved:>8.0f}{yielded:>12.2f}{wasted:>10.1f}{overhead:>12.1f}"
    )


if __name__ == "__main__":
    main()
