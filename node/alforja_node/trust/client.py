"""Learn what is on offer from a source that is not trusted: one small request when nothing is new."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from tuf.api import exceptions

from alforja_node import disk
from alforja_node.offers import Offer
from alforja_node.sources import NotThere, Source
from alforja_node.trust.updater import Floor, HardenedUpdater, Memory, read_cache
from alforja_packaging.errors import FormatError, StoreError, VerifyError
from alforja_packaging.layout import TRUST_DIR, trust_delta_path
from alforja_packaging.trustdelta import DELTA_MAX_BYTES, parse_delta

ROOT_MAX_BYTES: Final = 512_000
FIRST_ROOT: Final = f"{TRUST_DIR}/1.root.json"
_MEMORY_KEY = "trust"
_ETAG_KEY = "trust-etag"


class Meta(Protocol):
    """Durable small values: what the ledger keeps for trust."""

    async def get_meta(self, key: str) -> Any:
        """Read a value, None when there is none."""
        ...

    async def set_meta(self, values: Mapping[str, Any]) -> None:
        """Write values, all or none, durably."""
        ...


@dataclass(frozen=True, slots=True)
class Trusted:
    """What is verified to be on offer.

    `stale_since` is set when the metadata has expired: nothing newer was confirmed
    since then, though nothing older is accepted either. `clock_behind` tells that
    the system's clock is earlier than a time that was proven.
    """

    version: int
    changed: bool
    offers: tuple[Offer, ...]
    stale_since: datetime | None = None
    clock_behind: bool = False


class Trust:
    """The node's trust in one repository. One run at a time."""

    def __init__(
        self,
        folder: Path,
        meta: Meta,
        *,
        strict: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._folder, self._meta, self._strict, self._clock = folder, meta, strict, clock
        self._lock = asyncio.Lock()

    async def bootstrap(self, root: bytes) -> None:
        """Begin to trust a root that a person vouches for. Raises VerifyError when it is no root."""
        await asyncio.to_thread(_check_root, root)
        held = await asyncio.to_thread(self._bootstrap_root, missing_ok=True)
        if held and held != root:
            raise VerifyError(
                f"{self._folder}: this node trusts another root already",
                advice="make a new node in another --home to follow another hub",
            )
        await asyncio.to_thread(disk.put, self._bootstrap_path, root)

    async def refresh(self, source: Source) -> Trusted:
        """Ask a source what came after the metadata held, and verify it.

        Raises LinkError when it cannot be asked, VerifyError when what it says is not
        signed, rolled back, or (in strict mode) expired.
        """
        async with self._lock:
            version, held = await asyncio.to_thread(read_cache, self._folder)
            files, etag = await self._fetch(source, version, held)
            try:
                trusted = await self._verify(source.name, {**held, **files}, version)
            except VerifyError:
                if not version:
                    raise
                # The cache may be damaged, or the delta wrong: once more, from nothing.
                files, etag = await self._fetch(source, 0, {})
                trusted = await self._verify(source.name, files, version)
            await self._meta.set_meta({_ETAG_KEY: [source.name, trusted.version, etag]})
            return trusted

    async def load(self) -> Trusted:
        """What is on offer as far as the node has heard, without asking anybody."""
        async with self._lock:
            version, held = await asyncio.to_thread(read_cache, self._folder)
            if not version:
                return Trusted(0, False, ())
            try:
                return await self._verify(str(self._folder), held, version)
            except VerifyError:
                return Trusted(0, False, ())  # a damaged cache: the next contact mends it

    async def _fetch(
        self, source: Source, version: int, held: Mapping[str, bytes]
    ) -> tuple[Mapping[str, bytes], str | None]:
        """Fetch the files that are new to this node: by one request, unless the source has forgotten its version."""
        etag = None
        if version:
            name, known, stored = await self._meta.get_meta(_ETAG_KEY) or ("", 0, None)
            # A hub names this answer by its version; any other server by what it told us before.
            etag = stored if (name, known) == (source.name, version) and stored else f'"{version}"'
        with suppress(NotThere, VerifyError, FormatError):
            answer = await source.check(trust_delta_path(version), max_bytes=DELTA_MAX_BYTES, etag=etag)
            if answer.body is None:
                return {}, answer.etag
            return parse_delta(answer.body, version, held).files, answer.etag
        answer = await source.check(trust_delta_path(0), max_bytes=DELTA_MAX_BYTES)
        if answer.body is None:
            raise VerifyError(f"{source.name}: answers that nothing has changed, without having been told what is held")
        try:
            return parse_delta(answer.body, 0, {}).files, None
        except (FormatError, VerifyError) as error:
            raise VerifyError(f"{source.name}: {error.message}") from None

    async def _verify(self, name: str, files: Mapping[str, bytes], held_version: int) -> Trusted:
        memory = _parse_memory(await self._meta.get_meta(_MEMORY_KEY))
        now = self._clock()
        updater, stale = await asyncio.to_thread(self._run, name, files, memory, now)
        after = updater.memory_now()
        if after != memory:
            await self._meta.set_meta({_MEMORY_KEY: _format_memory(after)})
        return Trusted(
            updater.version, updater.version != held_version, updater.offers(),
            updater.issued() if stale else None, clock_behind=after.issued is not None and now < after.issued,
        )  # fmt: skip

    def _run(
        self, name: str, files: Mapping[str, bytes], memory: Memory, now: datetime
    ) -> tuple[HardenedUpdater, bool]:
        """Run TUF's workflow; if all that is wrong is expiry, run it again at the proven time."""
        root = self._bootstrap_root()
        for reference in (now, None):
            updater = HardenedUpdater(self._folder, root, files, memory, reference)
            try:
                updater.refresh()
            except exceptions.ExpiredMetadataError as error:
                if self._strict or reference is None:
                    raise VerifyError(
                        f"{name}: its metadata has expired ({error})", advice="sync from a source that is up to date"
                    ) from None
            except exceptions.DownloadError as error:
                raise VerifyError(f"{name}: its metadata is not complete ({error})") from None
            except (exceptions.RepositoryError, ValueError) as error:
                raise VerifyError(
                    f"{name}: its metadata is not what this node's root of trust allows ({error})"
                ) from None
            except VerifyError as error:
                raise VerifyError(f"{name}: {error.message}") from None
            else:
                return updater, reference is None
        raise AssertionError

    @property
    def _bootstrap_path(self) -> Path:
        return self._folder / "bootstrap" / "root.json"

    def _bootstrap_root(self, *, missing_ok: bool = False) -> bytes:
        try:
            return self._bootstrap_path.read_bytes()
        except FileNotFoundError:
            if missing_ok:
                return b""
            raise StoreError(f"{self._bootstrap_path}: is missing", advice="run `alforja-node init` again") from None


async def fetch_root(source: Source) -> bytes:
    """Fetch the root that a source shows, for a person to compare its fingerprint. Nothing is believed."""
    answer = await source.check(FIRST_ROOT, max_bytes=ROOT_MAX_BYTES)
    if answer.body is None:
        raise VerifyError(f"{source.name}: shows no root")
    await asyncio.to_thread(_check_root, answer.body)
    return answer.body


def _check_root(data: bytes) -> None:
    from tuf.api.metadata import Metadata, Root  # noqa: PLC0415

    try:
        root = Metadata[Root].from_bytes(data)
        root.verify_delegate(Root.type, root)
    except (exceptions.RepositoryError, ValueError, AttributeError) as error:
        raise VerifyError(
            f"root: is not a root of trust ({error})",
            advice="give the file `1.root.json` that the hub's people handed out",
        ) from None


def _parse_memory(value: Any) -> Memory:
    if not value:
        return Memory()
    floors = {role: Floor(version, tuple(keyids)) for role, (version, keyids) in value["floors"].items()}
    issued = datetime.fromisoformat(value["issued"]) if value["issued"] else None
    return Memory(floors, issued, tuple(value["issued_keyids"]))


def _format_memory(memory: Memory) -> dict[str, Any]:
    return {
        "floors": {role: [floor.version, list(floor.keyids)] for role, floor in memory.floors.items()},
        "issued": memory.issued.isoformat() if memory.issued else None,
        "issued_keyids": list(memory.issued_keyids),
    }
