"""TUF's client workflow, hardened for boards that lose power and have no clock. Synchronous.

A subclass of python-tuf's `Updater` over four of its private seams, so the exact
version is pinned: files are fsynced, versions never fall below durable floors, and
time is never earlier than the newest that was proven.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from alforja_node import disk
from alforja_node.offers import Offer
from alforja_packaging.errors import FormatError, VerifyError
from alforja_packaging.layout import BUNDLES_DIR, parse_bundle_path
from alforja_packaging.trustdelta import METADATA_MAX_BYTES, VERSION_MAX

BUILD_DATE: Final = datetime(2026, 11, 1, tzinfo=UTC)  # no clock of a node that runs this can honestly be earlier
_BASE = "https://source.invalid/"


@dataclass(frozen=True, slots=True)
class Floor:
    """The highest version of a role that was verified, and the keys that proved it."""

    version: int
    keyids: tuple[str, ...]


@dataclass(slots=True)
class Memory:
    """What must survive any power cut: floors by role, and the newest proven time with its keys."""

    floors: dict[str, Floor] = field(default_factory=dict)
    issued: datetime | None = None
    issued_keyids: tuple[str, ...] = ()


class MappingFetcher(FetcherInterface):
    """Serves metadata from memory; what is not there does not exist."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(_BASE)
        if name not in self._files:
            raise exceptions.DownloadHTTPError(f"{name} is not there", 404)
        yield self._files[name]


class HardenedUpdater(Updater):
    """One run of the TUF client workflow over files that are in memory."""

    def __init__(
        self, folder: Path, bootstrap: bytes, files: Mapping[str, bytes], memory: Memory, reference: datetime | None
    ) -> None:
        """`reference` is the time to judge expiry by, besides what was proven; None: only what was proven."""
        self._memory, self._reference = memory, reference
        limit = METADATA_MAX_BYTES
        config = UpdaterConfig(
            max_delegations=2048, timestamp_max_length=65536, snapshot_max_length=limit, targets_max_length=limit
        )
        super().__init__(str(folder), _BASE, fetcher=MappingFetcher(files), config=config, bootstrap=bootstrap)

    def refresh(self) -> None:
        """Run the workflow for the top-level roles and for every publisher. Raises tuf's errors and VerifyError."""
        super().refresh()
        for publisher in self._publishers():
            # Looking up any path of a publisher loads and verifies its role.
            self.get_targetinfo(f"{BUNDLES_DIR}/{publisher}/x.1")
        self._check_cached_floors()

    def offers(self) -> tuple[Offer, ...]:
        """All manifests that publishers signed, each under its own publisher's path only."""
        found: list[Offer] = []
        delegations = self._top.delegations
        roles = (delegations.roles if delegations else None) or {}
        for publisher in self._publishers():
            if publisher not in self._trusted_set:
                continue
            for path, target in cast("Targets", self._trusted_set[publisher]).targets.items():
                digest = target.hashes.get("sha256", "")
                if not roles[publisher].is_delegated_path(path) or len(digest) != 64:
                    continue
                try:
                    owner, course, release = parse_bundle_path(path)
                except FormatError:
                    continue
                if owner == publisher:
                    custom = target.custom if isinstance(target.custom, dict) else {}
                    found.append(Offer(owner, course, release, bytes.fromhex(digest), target.length, custom))
        return tuple(sorted(found, key=lambda offer: (offer.key, offer.release)))

    def memory_now(self) -> Memory:
        """What is verified now, to be kept durably."""
        floors = {
            role: Floor(self._trusted_set[role].version, self._keyids(role))
            for role in (Root.type, Timestamp.type, Snapshot.type, Targets.type, *self._publishers())
            if role in self._trusted_set
        }
        keyids = self._keyids(Timestamp.type)
        issued = max((one for one in (self._issued(), self._proven(keyids)) if one), default=None)
        return Memory(floors, issued, keyids)

    def issued(self) -> datetime | None:
        """When the timestamp that is trusted now was signed."""
        return self._issued()

    @property
    def version(self) -> int:
        """The version of the timestamp that is trusted now."""
        return int(self._trusted_set.timestamp.version)

    # The seams

    def _load_root(self) -> None:
        super()._load_root()
        version = self._trusted_set.root.version
        floor = self._memory.floors.get(Root.type)
        if floor and version < floor.version:
            raise VerifyError(f"root: is version {version}, and version {floor.version} was verified before")
        # After the walk: which keys prove time is known only now. A time proven by keys
        # that were replaced is void, or a stolen key could freeze a school for ever.
        proven = self._proven(self._keyids(Timestamp.type))
        moments = [moment for moment in (BUILD_DATE, proven, self._reference) if moment]
        self._trusted_set.reference_time = max(moments)

    def _persist_metadata(self, rolename: str, data: bytes) -> None:
        version = self._trusted_set[rolename].version
        if version > VERSION_MAX:
            raise VerifyError(f"{rolename}: version {version} is beyond what the format allows")
        self._check_floor(rolename, version)  # before it is written: a rollback leaves no trace
        super()._persist_metadata(rolename, data)

    def _persist_file(self, filename: str, data: bytes) -> None:
        disk.put(Path(filename), data)

    def _update_root_symlink(self) -> None:
        link = Path(self._dir, "root.json")
        fresh = link.with_name("root.json.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(f"root_history/{self._trusted_set.root.version}.root.json")
        disk.adopt(fresh, link)

    # Floors and times

    def _check_cached_floors(self) -> None:
        """Check what came from the cache as well: it is not written again, so the seam does not see it."""
        for role in (Timestamp.type, Snapshot.type, Targets.type, *self._publishers()):
            if role in self._trusted_set:
                self._check_floor(role, self._trusted_set[role].version)

    def _check_floor(self, role: str, version: int) -> None:
        floor = self._memory.floors.get(role)
        if floor and version < floor.version and floor.keyids == self._keyids(role):
            raise VerifyError(
                f"{role} metadata: is version {version}, and version {floor.version} was verified before (a rollback)"
            )

    def _keyids(self, role: str) -> tuple[str, ...]:
        """The keys that vouch for a role's version: its own, and those of the roles that list it."""
        root = self._trusted_set.root
        if role == Root.type:
            return ()
        if role in (Timestamp.type, Snapshot.type):
            names = (Timestamp.type, Snapshot.type)
            return tuple(sorted(keyid for name in names for keyid in root.roles[name].keyids))
        own = root.roles[Targets.type].keyids if role == Targets.type else self._roles()[role].keyids
        return tuple(sorted([*own, *root.roles[Snapshot.type].keyids]))

    def _proven(self, keyids: tuple[str, ...]) -> datetime | None:
        return self._memory.issued if self._memory.issued_keyids == keyids else None

    def _issued(self) -> datetime | None:
        stated = self._trusted_set.timestamp.unrecognized_fields.get("x-issued")
        try:
            return datetime.strptime(str(stated), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            return None

    @property
    def _top(self) -> Any:
        return self._trusted_set.targets

    def _roles(self) -> Mapping[str, Any]:
        delegations = self._top.delegations
        return (delegations.roles if delegations else None) or {}

    def _publishers(self) -> list[str]:
        """The publishers that are vouched for, each for exactly its own paths."""
        return [
            name
            for name, role in sorted(self._roles().items())
            if role.terminating and role.paths == [f"{BUNDLES_DIR}/{name}/*"] and quote(name, "") == name
        ]


def read_cache(folder: Path) -> tuple[int, dict[str, bytes]]:
    """Read what is cached: the timestamp's version (0: none), and files by their names in a repository.

    Broken files are left out; nothing is believed here.
    """
    files: dict[str, bytes] = {}
    version = 0
    for path in sorted(folder.glob("*.json")):
        try:
            data = path.read_bytes()
            number = Metadata[Any].from_bytes(data).signed.version
        except (OSError, exceptions.RepositoryError):
            continue
        role = path.name.removesuffix(".json")
        if role == "timestamp":
            version = number
            files["timestamp.json"] = data
        elif role != "root":
            files[f"{number}.{role}.json"] = data
    for path in sorted((folder / "root_history").glob("*.root.json")):
        files[path.name] = path.read_bytes()
    return version, files
