"""What an operator may turn. Read once, at the edge; every limit has a default and a unit."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from alforja_packaging.errors import StoreError

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
    values["sources"] = tuple(values.get("sources", ()))
    return NodeSettings(home=home, **values)


def format_settings(settings: NodeSettings) -> bytes:
    """Write settings as a file a person can edit."""
    values = asdict(settings)
    del values["home"]
    return (json.dumps(values, indent=2) + "\n").encode()
