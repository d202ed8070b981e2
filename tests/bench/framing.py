"""What it costs that packs are cut into frames, and whether `publish --max-seconds` keeps its word.

Both of the samples' own versions only.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench import contact, results, wire
from tests.bench.measure import run
from tests.bench.trees import FAMILIES, NotHere, tree

HASTE_S = (0, 30, 120)


def pairs() -> Iterator[wire.Row]:
    """The updates between the samples' own versions."""
    return (row for row in wire.all_rows() if row.old and row.family.real)


def measure_framing() -> bool:
    """Measure what is not measured yet with this code; whether all trees were there."""
    fine = True
    for row in pairs():
        if _is_new("cuts", row.name):
            hub = wire.chain_of(row.family).hub(row.new)
            arguments = ("cost", row.family.name, "--from", str(row.old), "--cuts", "--json")
            said = json.loads(run("alforja-hub", "--home", str(hub), *arguments).output)
            _put("cuts", row.name, said["cuts"])
    for family in FAMILIES.values():
        for seconds in HASTE_S if family.real else ():
            name = f"{family.name}-{seconds}"
            if _is_new("haste", name):
                try:
                    _put("haste", name, _hurry(results.scratch() / "haste", tree(family, 1), family.name, seconds))
                except NotHere:
                    fine = False
    return fine


def _hurry(hub: Path, source: Path, course: str, seconds: int) -> dict[str, Any]:
    """Publish a first release in so many seconds; features are found before, as they are not counted in."""
    shutil.rmtree(hub, ignore_errors=True)
    contact.make_hub(hub)
    home = ("--home", str(hub))
    run("alforja-hub", *home, "import", str(source), "--course", course, "--as", "folder")
    found = run("alforja-hub", *home, "publish", course, "--json", "--max-seconds", str(seconds))
    said = json.loads(found.output)
    return {"asked_s": seconds, "wall_s": found.wall_s, "install": said["costs"]["install"]["total"]}


def _is_new(kind: str, name: str) -> bool:
    found = results.get(kind, name)
    return found is None or found["code"] != results.code_digest()


def _put(kind: str, name: str, found: dict[str, Any]) -> None:
    results.put(kind, name, found | {"code": results.code_digest(), "commit": results.commit()})
