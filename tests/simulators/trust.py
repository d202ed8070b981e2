"""A hub's real authority and a node's real trust, each under a clock that the test turns."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata
from tuf.api.serialization.json import JSONSerializer

from alforja_hub import shelf
from alforja_hub.signing import Authority, Lifetimes, Target
from alforja_node.offers import Offer
from alforja_node.sources import DirectorySource, Source
from alforja_node.trust import Trust, Trusted
from alforja_packaging.layout import trust_delta_path
from alforja_packaging.trustdelta import Change, format_delta, parse_delta

START = datetime(2027, 1, 1, tzinfo=UTC)


class PowerCutError(Exception):
    """The power went."""


@dataclass
class Clock:
    """Shows the time it was set to."""

    now: datetime = START

    def __call__(self) -> datetime:
        """Read it."""
        return self.now

    def forward(self, days: float) -> None:
        """Let days pass."""
        self.now += timedelta(days=days)


@dataclass
class MemoryMeta:
    """What a ledger keeps for trust, without a disk."""

    values: dict[str, Any] = field(default_factory=dict)
    before_write: Callable[[], None] = lambda: None

    async def get_meta(self, key: str) -> Any:
        """Read a value."""
        return self.values.get(key)

    async def set_meta(self, values: Mapping[str, Any]) -> None:
        """Write values."""
        self.before_write()
        self.values |= values


class SignedHub:
    """A hub that signs, and publishes nothing but names."""

    def __init__(self, home: Path, *, passphrase: bytes | None = None, lifetimes: Lifetimes | None = None) -> None:
        self.home, self.clock = home, Clock()
        self._passphrase, self._lifetimes = passphrase, lifetimes

    @property
    def repository(self) -> Path:
        """What is offered."""
        return self.home / "repository"

    @property
    def root(self) -> bytes:
        """The first root, as it is handed out."""
        return (self.repository / "trust" / "1.root.json").read_bytes()

    @property
    def authority(self) -> Authority:
        """The authority, opened anew as each command does."""
        return Authority(
            self.repository, self.home / "keys", self.home / "history", now=self.clock,
            passphrase_of=lambda _role: self._passphrase, lifetimes=self._lifetimes,
        )  # fmt: skip

    @property
    def version(self) -> int:
        """The version of the newest timestamp."""
        return int(self.authority.describe()["timestamp"]["version"])

    @property
    def source(self) -> DirectorySource:
        """The repository as a source."""
        return DirectorySource(self.repository)

    def publish(self, *bundles: str, publisher: str = "moe") -> None:
        """Sign bundles, each given as `maths.1`."""
        self.authority.publish(publisher, {f"bundles/{publisher}/{one}": a_target(one) for one in bundles})

    def offered(self) -> list[str]:
        """What all publishers have signed."""
        return sorted(path for one in self.authority.list_publishers() for path in self.authority.targets(one))

    def copy(self, home: Path) -> "SignedHub":
        """The same hub, keys and all, in another place: to let it go another way."""
        shutil.copytree(self.home, home)
        other = SignedHub(home, passphrase=self._passphrase, lifetimes=self._lifetimes)
        other.clock.now = self.clock.now
        return other

    def stick(self, folder: Path) -> DirectorySource:
        """The repository as it is now, on a stick."""
        shutil.copytree(self.repository, folder)
        return DirectorySource(folder)

    def stolen(self, role: str) -> list[Signer]:
        """A role's keys, as a thief has them."""
        paths = sorted((self.home / "keys" / role).glob("*.pem"))
        # Ed25519 is all that hubs make.
        return [CryptoSigner(load_pem_private_key(path.read_bytes(), self._passphrase)) for path in paths]

    def files(self) -> dict[str, bytes]:
        """All current metadata, by name."""
        return dict(parse_delta((self.repository / trust_delta_path(0)).read_bytes(), 0, {}).files)


def a_target(name: str) -> Target:
    """A target as a publish makes it."""
    custom = {"install": [310, 1_234_567], "languages": ["en", "es"], "size": 7_654_321, "title": {"en": name}}
    return Target(4321, hashlib.sha256(name.encode()).digest(), custom)


def forged(data: bytes, signers: list[Signer], change: Callable[[Any], None]) -> bytes:
    """Metadata changed and signed again, only with these keys."""
    document: Metadata[Any] = Metadata.from_bytes(data)
    change(document.signed)
    document.signatures.clear()
    for signer in signers:
        document.sign(signer, append=True)
    return document.to_bytes(JSONSerializer(compact=True))


def a_mirror(folder: Path, files: Mapping[str, bytes]) -> DirectorySource:
    """A source that offers exactly these files to everybody."""
    folder.mkdir(parents=True)
    path = folder / trust_delta_path(0)
    path.parent.mkdir(parents=True)
    path.write_bytes(format_delta(0, 1, [Change(name, data) for name, data in files.items()], {}))
    return DirectorySource(folder)


class TrustingNode:
    """A node that does nothing but trust."""

    def __init__(self, folder: Path, *, strict: bool = False) -> None:
        self.folder, self.strict = folder, strict
        self.clock, self.meta = Clock(), MemoryMeta()

    @classmethod
    async def of(cls, folder: Path, hub: SignedHub, *, strict: bool = False) -> "TrustingNode":
        """A node that was given a hub's root."""
        node = cls(folder, strict=strict)
        node.clock.now = hub.clock.now
        await node.trust.bootstrap(hub.root)
        return node

    @property
    def trust(self) -> Trust:
        """Its trust, as after a restart."""
        return Trust(self.folder, self.meta, strict=self.strict, clock=self.clock)

    async def refresh(self, source: Source) -> Trusted:
        """Ask a source."""
        return await self.trust.refresh(source)

    async def load(self) -> Trusted:
        """What it believes."""
        return await self.trust.load()

    def copy(self, folder: Path) -> "TrustingNode":
        """The same node in another place."""
        shutil.copytree(self.folder, folder)
        other = TrustingNode(folder, strict=self.strict)
        other.clock.now, other.meta.values = self.clock.now, dict(self.meta.values)
        return other


def bundles(offers: tuple[Offer, ...]) -> list[str]:
    """The paths of offers."""
    return [offer.bundle for offer in offers]


@contextmanager
def cut_at(module: Any, name: str, call: int) -> Iterator[list[int]]:
    """Cut the power before the n-th call of a module's function; gives the calls that were made."""
    real, calls = getattr(module, name), [0]

    def cutting(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise PowerCutError
        return real(*arguments)

    setattr(module, name, cutting)
    try:
        yield calls
    finally:
        setattr(module, name, real)


def cut_hub_at(call: int) -> Any:
    """Cut the power before the hub's n-th durable write."""
    return cut_at(shelf, "put", call)
