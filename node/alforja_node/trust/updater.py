"""TUF's client workflow, hardened for boards that lose power and have no clock. Synchronous.

A subclass of python-tuf's `Updater` over its private seams, so the exact version is
pinned: what is verified is held back until all of it is, versions never fall below
durable floors, and time is never earlier than the newest that was proven.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from tuf.api import exceptions
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from alforja_node import disk
from alforja_node.offers import Offer
from alforja_node.trust.cache import TIMESTAMP, Held
from alforja_packaging.errors import FormatError, VerifyError
from alforja_packaging.jsonform import parse_json
from alforja_packaging.layout import BUNDLES_DIR, check_id, parse_bundle_path
from alforja_packaging.trustdelta import METADATA_MAX_BYTES, VERSION_MAX

BUILD_DATE: Final = datetime(2026, 11, 1, tzinfo=UTC)  # no clock of a node that runs this can honestly be earlier
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_BASE: Final = "https://source.invalid/"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_TOP: Final = (Root.type, Timestamp.type, Snapshot.type, Targets.type)


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

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Give a file without the detour over a temporary one."""
        data = b"".join(self._fetch(url))
        if len(data) > max_length:
            raise exceptions.DownloadLengthMismatchError(f"{url.removeprefix(_BASE)} has {len(data)} bytes")
        return data

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(_BASE)
        if name not in self._files:
            raise exceptions.DownloadHTTPError(f"{name} is not there", 404)
        yield self._files[name]


class HardenedUpdater(Updater):
    """One run of the TUF client workflow over files that are in memory.

    Only roots are written, as soon as they are verified: keys that were replaced must
    stay replaced, whatever else a source withholds. All else is in `fresh` afterwards.
    """

    def __init__(
        self, folder: Path, bootstrap: bytes, held: Held, offered: Mapping[str, bytes], memory: Memory,
        *, reference: datetime | None,
    ) -> None:  # fmt: skip
        """`reference` is the time to judge expiry by, besides what was proven; None: only what was proven."""
        self._held, self._memory, self._reference = held, memory, reference
        self.fresh: dict[str, bytes] = {}
        limit = METADATA_MAX_BYTES
        config = UpdaterConfig(
            max_delegations=2048, timestamp_max_length=65536, snapshot_max_length=limit, targets_max_length=limit
        )
        fetcher = MappingFetcher({**held.files, **offered})
        super().__init__(str(folder), _BASE, fetcher=fetcher, config=config, bootstrap=bootstrap)

    def refresh(self) -> None:
        """Run the workflow for the top-level roles and for every publisher. Raises tuf's errors and VerifyError."""
        super().refresh()
        if self._reference is None:
            # One institution that let its signatures lapse must not silence all the others.
            self._trusted_set.reference_time = _LONG_AGO
        for publisher in self._publishers():
            self._load_targets(publisher, Targets.type)
        for role in (*_TOP[1:], *self._publishers()):
            # What came from the cache as well: it did not pass the seam below.
            self._check_floor(role, self._trusted_set[role].version)

    def offers(self) -> tuple[Offer, ...]:
        """All manifests that publishers signed, each under its own publisher's path only."""
        found: list[Offer] = []
        for publisher in self._publishers():
            for path, target in cast("Targets", self._trusted_set[publisher]).targets.items():
                digest = target.hashes.get("sha256", "")
                if not self._roles()[publisher].is_delegated_path(path) or not _DIGEST.fullmatch(digest):
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
            role: Floor(self._trusted_set[role].version, self._keyids(role)) for role in (*_TOP, *self._publishers())
        }
        keyids = self._keyids(Timestamp.type)
        issued = max((one for one in (self._issued(), self._proven(keyids)) if one), default=None)
        return Memory(floors, issued, keyids)

    def names(self) -> set[str]:
        """The names of all files that are trusted now, roots aside."""
        roles = (Snapshot.type, Targets.type, *self._publishers())
        return {TIMESTAMP, *(f"{self._trusted_set[role].version}.{role}.json" for role in roles)}

    def confirmed(self) -> datetime:
        """Up to when everything was confirmed: when the timestamp was signed, or when the first thing expired."""
        expiries = [self._trusted_set[role].expires for role in (*_TOP, *self._publishers())]
        return min([*expiries, *(one for one in [self._issued()] if one)])

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
            raise VerifyError(f"root metadata: is version {version}, and version {floor.version} was verified before")
        # After the walk: which keys prove time is known only now. A time proven by keys
        # that were replaced is void, or a stolen key could freeze a school for ever.
        proven = self._proven(self._keyids(Timestamp.type))
        moments = [moment for moment in (BUILD_DATE, proven, self._reference) if moment]
        self._trusted_set.reference_time = max(moments)

    def _load_local_metadata(self, rolename: str) -> bytes:
        """Give what TUF compares new files with; what did not change is found by its name."""
        held = self._held.files.get(TIMESTAMP) if rolename == Timestamp.type else None
        held = self._held.snapshot() if rolename == Snapshot.type else held
        if held is None:
            raise FileNotFoundError(rolename)
        return held

    def _download_metadata(self, rolename: str, length: int, version: int | None = None) -> bytes:
        data: bytes = super()._download_metadata(rolename, length, version)
        if data not in self._held.files.values():
            try:
                parse_json(data, f"{rolename} metadata")  # a key that is there twice is read differently by others
            except FormatError as error:
                raise VerifyError(error.message) from None
        return data

    def _persist_metadata(self, rolename: str, data: bytes) -> None:
        version = self._trusted_set[rolename].version
        if type(version) is not int or version > VERSION_MAX:
            raise VerifyError(f"{rolename} metadata: version {version} is beyond what the format allows")
        self._check_floor(rolename, version)
        name = TIMESTAMP if rolename == Timestamp.type else f"{version}.{rolename}.json"
        if self._held.files.get(name) != data:
            self.fresh[name] = data

    def _persist_root(self, version: int, data: bytes) -> None:
        name = f"{version}.root.json"
        if self._held.files.get(name) != data:
            disk.put(Path(self._dir, "root_history", name), data)

    def _update_root_symlink(self) -> None:
        """The walk always begins at the bootstrap root: no link is needed, which FAT does not have."""

    # Floors and times

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
        """When the timestamp says it was signed: nothing, when what it vouches for would have expired by then."""
        stated = self._trusted_set.timestamp.unrecognized_fields.get("x-issued")
        try:
            moment = datetime.strptime(str(stated), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            return None
        return moment if all(moment < self._trusted_set[role].expires for role in _TOP) else None

    def _roles(self) -> Mapping[str, Any]:
        delegations = self._trusted_set.targets.delegations
        return (delegations.roles if delegations else None) or {}

    def _publishers(self) -> list[str]:
        """The publishers that are vouched for, each for exactly its own paths."""
        return [
            name
            for name, role in sorted(self._roles().items())
            if role.terminating and role.paths == [f"{BUNDLES_DIR}/{name}/*"] and _is_id(name)
        ]


def _is_id(name: str) -> bool:
    try:
        return bool(check_id("publisher", name))
    except FormatError:
        return False
