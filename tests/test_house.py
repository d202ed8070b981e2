"""The house stands as it is drawn: rooms, floors and gates.

A contract that cannot fail guards nothing, so each one is broken here, on a copy.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import packaging.version
import pytest

ROOT = Path(__file__).parents[1]
SHELVES = ["packaging", "hub", "node"]


@dataclass(frozen=True, slots=True)
class Plant:
    """A line in a module that should break one contract, and only that one."""

    contract: str
    module: str
    line: str

    def __str__(self) -> str:
        return f"{self.contract}: {self.module}: {self.line or 'no floor'}"


PLANTS = [
    Plant("strangers", "alforja_node.sources.protocol", "import alforja_hub"),
    Plant("strangers", "alforja_hub.importers.protocol", "import alforja_node"),
    Plant("strangers", "alforja_packaging.errors", "import alforja_hub"),
    Plant("floors-packaging", "alforja_packaging.attic", ""),
    Plant("floors-packaging", "alforja_packaging.layout", "import alforja_packaging.codec"),
    Plant("floors-hub", "alforja_hub.attic", ""),
    Plant("floors-hub", "alforja_hub.shelf", "import alforja_hub.importers"),
    Plant("floors-node", "alforja_node.attic", ""),
    Plant("floors-node", "alforja_node.store", "import alforja_node.ledger"),
    Plant("acyclic", "alforja_node.sources.protocol", "import alforja_node.sources.http"),
    Plant("pure-packaging", "alforja_packaging.layout", "import pathlib"),
    Plant("pure-packaging", "alforja_packaging.seal", "from os import stat"),
    Plant("pure-node", "alforja_node.offers", "import socket"),
    Plant("pure-node", "alforja_node.planner", "import time"),
    Plant("pure-node", "alforja_node.planning.order", "import os"),
    Plant("pure-node", "alforja_node.session", "import asyncio"),
    Plant("pure-node", "alforja_node.library.view", "from aiohttp import web"),
    Plant("tuf", "alforja_hub.shelf", "from tuf.api import metadata"),
    Plant("tuf", "alforja_node.store", "import securesystemslib"),
    Plant("light-node", "alforja_node.sources.protocol", "import lxml"),
    Plant("light-node", "alforja_packaging.errors", "import numpy"),
    Plant("tests-only", "alforja_hub.shelf", "import zstandard"),
]
NEEDED = {  # what a plant needs elsewhere, to bite
    "import alforja_node.sources.http": ("alforja_node.sources.http", "import alforja_node.sources.protocol"),
    "import alforja_node.ledger": ("alforja_node.ledger", ""),
    "import alforja_hub.importers": ("alforja_hub.importers", ""),
}


@pytest.mark.parametrize("shelf", SHELVES)
def test_no_folder_of_the_house_is_itself_a_package(shelf: str) -> None:
    assert not (ROOT / shelf / "__init__.py").exists()


def test_the_packaging_library_is_not_shadowed_by_ours() -> None:
    found = Path(packaging.version.__file__)

    assert ROOT / "packaging" not in found.parents
    assert packaging.version.Version("2") < packaging.version.Version("10")


def test_every_contract_has_a_plant_that_breaks_it() -> None:
    assert {plant.contract for plant in PLANTS} == {contract["id"] for contract in read_contracts()}


def test_the_house_as_it_is_breaks_no_contract(house: Path) -> None:
    assert find_broken(house) == []


@pytest.mark.parametrize("plant", PLANTS, ids=str)
def test_a_planted_import_breaks_its_contract_and_no_other(plant: Plant, house: Path) -> None:
    put_line(house, plant.module, plant.line)
    if plant.line in NEEDED:
        put_line(house, *NEEDED[plant.line])

    assert find_broken(house) == [plant.contract]


def test_every_gate_of_make_lint_is_a_hook_and_every_hook_a_gate() -> None:
    makefile = (ROOT / "Makefile").read_text()
    gates = re.search(r"^GATES := (.+)$", makefile, re.MULTILINE)
    hooks = re.findall(r"entry: make ([\w-]+)", (ROOT / ".pre-commit-config.yaml").read_text())

    assert gates is not None
    assert "\nlint: $(GATES)" in makefile
    assert sorted(hooks) == sorted(gates[1].split())


def test_ci_passes_through_the_same_two_doors_as_a_person() -> None:
    script = (ROOT / ".ci" / "run").read_text()

    assert re.findall(r"^make .*?(\w+)$", script, re.MULTILINE) == ["lint", "test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Copy the sources and their contracts to where they may be broken."""
    for shelf in SHELVES:
        shutil.copytree(ROOT / shelf, tmp_path / shelf, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def read_contracts() -> list[dict[str, Any]]:
    """Give the contracts as they are written down."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return contracts


def put_line(house: Path, module: str, line: str) -> None:
    """Write a line at the end of a module, which is made if it is not there."""
    package, *parts = module.split(".")
    path = house / package.removeprefix("alforja_") / package
    for part in parts[:-1]:
        path /= part
        path.mkdir(exist_ok=True)
        (path / "__init__.py").touch()
    path /= parts[-1]
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    with path.open("a") as file:
        file.write(f"\n{line}\n")


def find_broken(house: Path) -> list[str]:
    """Run lint-imports over a house and list the contracts that it finds broken."""
    ran = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=house,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(SHELVES), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    name_of = {contract["name"]: contract["id"] for contract in read_contracts()}
    verdicts = dict(re.findall(r"^(.+) (KEPT|BROKEN)", ran.stdout, re.MULTILINE))

    assert set(verdicts) == set(name_of), ran.stdout + ran.stderr
    broken = [name_of[name] for name, verdict in verdicts.items() if verdict == "BROKEN"]
    assert ran.returncode == (1 if broken else 0), ran.stdout + ran.stderr
    return broken
