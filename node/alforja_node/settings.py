"""What an operator may turn. Read once, at the edge; every limit has a default and a unit."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal, get_args

from alforja_node.terms import Terms, cost_order, parse_terms, terms_for
from alforja_packaging.errors import StoreError

Variant = Literal["lite", "standard", "full"]
"""How much of films a school wants: none, the smallest form of each first, or all forms with their lesson."""

SETTINGS_FILE = "node.json"


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Where a node keeps its things, and what it may use."""

    home: Path
    sources: tuple[str, ...] = ()
    reserve_bytes: int = 256 * 2**20
    library_port: int = 8080
    content_port: int = 8081
    host: str = "0.0.0.0"  # noqa: S104 (a library is for everyone on the school's network)
    contact_interval_s: float = 1800.0
    retries: int = 5
    strict: bool = False
    terms: Mapping[str, Terms] = field(default_factory=dict)
    languages: tuple[str, ...] = ()
    variant: Variant = "standard"
    breadth_weeks: float = 12.0

    @property
    def store_dir(self) -> Path:
        """Where files rest."""
        return self.home / "store"

    @property
    def trust_dir(self) -> Path:
        """Where verified trust metadata rests."""
        return self.home / "trust"

    @property
    def ledger_path(self) -> Path:
        """What the node knows it has done."""
        return self.home / "ledger.sqlite"

    def terms_of(self, address: str) -> Terms:
        """On which terms a source may be used."""
        return self.terms.get(address) or terms_for(address)

    def by_cost(self) -> Sequence[str]:
        """The sources, what costs least first."""
        return sorted(self.sources, key=lambda address: cost_order(self.terms_of(address)))


def load_settings(home: Path) -> NodeSettings:
    """Read a home's settings. Raises StoreError when there is no node in it."""
    path = home / SETTINGS_FILE
    try:
        held = json.loads(path.read_text())
    except FileNotFoundError:
        raise StoreError(
            f"{home}: holds no node", advice="make one with `alforja-node init --root FILE --source URL`"
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: cannot be read ({error})", advice="mend the file, or run `alforja-node init` again"
        ) from None
    known = {field.name for field in fields(NodeSettings)} - {"home"}
    values = {name: value for name, value in held.items() if name in known}
    values |= {name: tuple(values[name]) for name in ("sources", "languages") if name in values}
    values["terms"] = {address: parse_terms(address, one) for address, one in values.get("terms", {}).items()}
    if values.get("variant", "standard") not in get_args(Variant):
        raise StoreError(f"{path}: variant is {values['variant']}", advice="write one of lite, standard, full")
    return NodeSettings(home=home, **values)


def format_settings(settings: NodeSettings) -> bytes:
    """Write settings as a file a person can edit."""
    values = asdict(settings)
    del values["home"]
    return (json.dumps(values, indent=2) + "\n").encode()
