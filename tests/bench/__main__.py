"""Measure Alforja beside existing tools, and write docs/benchmarks.md: `make bench`, `make bench-wire`.

Bytes are exact: they are counted at a proxy between hub and node. CPU is that of the
processes measured; the machine may be noisy, so compare ratios within one run.
"""

import argparse
import sys
import time

from tests.bench import framing, page, results, scale, small, wire
from tests.bench.measure import ROOT, SAMPLES

PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    """Measure what is asked, or all that is not measured yet."""
    parser = _arguments()
    asked = parser.parse_args()
    if asked.row and asked.what not in {"wire", "scale"}:
        parser.error("--row: say of what, as in `wire --row site:v2-v3`")
    if asked.list:
        print("\n".join(row.name for row in wire.all_rows()))
        return 0
    if not SAMPLES.is_dir() and asked.what in {"all", "wire", "framing"}:
        print(f"{SAMPLES} is not here: nothing to measure", file=sys.stderr)
        return 1
    fine = True
    if asked.what != "page":
        with results.one_run_at_a_time():
            fine = _measure(asked)
    if not asked.row:
        PAGE.write_text(page.render())
        print(f"{PAGE}: written")
    return 0 if fine else 1


def _measure(asked: argparse.Namespace) -> bool:
    """Measure; whether nothing of ours failed. What failed is shown on the page, and tried again by the next run."""
    fine = True
    if asked.what in {"all", "wire"}:
        for row in [wire.row_named(name) for name in asked.row] or wire.all_rows():
            started = time.monotonic()
            ours = not asked.only_tools and (bool(asked.row) or not wire.is_done(row, any_code=asked.any_code))
            fine &= wire.measure_row(row, ours=ours, others=not asked.skip_tools, again=asked.retry)
            print(f"{page.line_of(row)}, {time.monotonic() - started:.0f} s", flush=True)
    if asked.what in {"all", "scale"}:
        courses = [scale.course_named(name) for name in asked.row] or [
            course
            for course in scale.COURSES
            if (asked.big or not course.big) and not scale.is_done(course, any_code=asked.any_code)
        ]
        for course in courses:
            fine &= scale.measure_course(course)
    if asked.what in {"all", "framing"}:
        fine &= framing.measure_framing()
    if asked.what in {"all", "small"}:
        small.measure_small_things()
    return fine


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=("all", "wire", "framing", "scale", "small", "page"))
    parser.add_argument("--row", action="append", default=[], metavar="NAME", help="this row only, anew; no page")
    parser.add_argument("--list", action="store_true", help="name all rows")
    parser.add_argument("--any-code", action="store_true", help="rows that earlier code measured are good enough")
    parser.add_argument("--skip-tools", action="store_true", help="Alforja alone")
    parser.add_argument("--only-tools", action="store_true", help="other tools alone")
    parser.add_argument("--retry", action="store_true", help="try tools again that failed")
    parser.add_argument("--big", action="store_true", help="scale: up to 10 GB and 100,000 files; hours, 60 GB of disk")
    return parser


if __name__ == "__main__":
    sys.exit(main())
