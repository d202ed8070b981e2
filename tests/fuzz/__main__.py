"""Fuzz one target, or each in turn. Needs atheris, which `make fuzz` brings.

What was found lies in a file `crash-*` of the working folder; `--file` runs a target on it.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["alforja_packaging"]):
    from tests.fuzz.targets import TARGETS, run, seeds

_MEMORY_MIB = 1024


def main() -> int:
    """Fuzz what the command line names; give 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", default="all", choices=["all", *TARGETS])
    parser.add_argument("seconds", nargs="?", type=int, default=60, help="for each target")
    parser.add_argument("--file", type=Path, help="only run the target on this file")
    wanted = parser.parse_args()
    if wanted.target == "all":
        command = [sys.executable, "-m", "tests.fuzz"]
        return max(subprocess.run([*command, name, str(wanted.seconds)], check=False).returncode for name in TARGETS)
    target = TARGETS[wanted.target]
    if wanted.file:
        run(target, wanted.file.read_bytes())
        return 0
    print(f"{wanted.target}: {(target.__doc__ or '').splitlines()[0]}", flush=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds()):
            (Path(corpus) / str(number)).write_bytes(seed)
        limits = [f"-max_total_time={wanted.seconds}", f"-rss_limit_mb={_MEMORY_MIB}", "-timeout=20"]
        atheris.Setup([sys.argv[0], corpus, *limits, "-print_final_stats=1"], lambda data: run(target, data))
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
