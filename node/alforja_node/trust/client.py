"""Learn what is on offer from a source that is not trusted: one small request when nothing is new."""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root

from alforja_node import disk
from alforja_node.offers import Offer
from alforja_node.sources import NotThere, Source
from alforja_node.trust.cache import Held, read_cache, write_cache
from alforja_node.trust.updater import BUILD_DATE, Floor, HardenedUpdater, Memory
from alforja_packaging.errors import FormatError, StoreError, UnsupportedFormat, VerifyError
from alforja_packaging.layout import TRUST_DIR, trust_delta_path
from alforja_packaging.trustdelta import DELTA_MAX_BYTES, parse_delta

ROOT_MAX_BYTES: Final = 512_000
FIRST_ROOT: Final = f"{TRUST_DIR}/1.root.json"
_MEMORY_KEY = "trust"
_ETAG_KEY = "trust-etag"
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x2b\x2d-\x7e]{1,64}"')  # no list: no comma
_ADVICE = "give the file `1.root.json` that the hub's people handed out"


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


@dataclass(frozen=True, slots=True)
class _News:
    """Files that are new to the node, and how the source names this answer."""

    files: Mapping[str, bytes]
    etag: str | None


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
        await asyncio.to_thread(_check_root, "root", root)
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
            held = await asyncio.to_thread(read_cache, self._folder)
            news = await self._fetch_news(source, held)
            if news is not None:
                with suppress(VerifyError):  # the cache may be damaged, or the delta false: then from nothing
                    trusted = await self._verify(source.name, held, news.files, keep=True)
                    await self._note_etag(source.name, trusted, news.etag)
                    return trusted
            return await self._verify(source.name, held, await self._fetch_all(source), keep=True)

    async def load(self) -> Trusted:
        """What is on offer as far as the node has heard, without asking anybody. Changes nothing."""
        held = await asyncio.to_thread(read_cache, self._folder)
        if held.version:
            with suppress(VerifyError):  # a damaged cache: the next contact mends it
                return await self._verify(str(self._folder), held, {}, keep=False)
        return Trusted(0, False, (), clock_behind=self._clock() < BUILD_DATE)

    async def _fetch_news(self, source: Source, held: Held) -> _News | None:
        """Fetch what is new to this node, by one request; None when the source cannot tell."""
        if not held.version:
            return None
        # A hub names this answer by its version; any other server by what it told us before.
        etag: str | None = f'"{held.version}"'
        name, known, stored = await self._meta.get_meta(_ETAG_KEY) or ("", 0, None)
        if (name, known) == (source.name, held.version) and _may_be_sent(stored):
            etag = stored
        with suppress(NotThere, VerifyError, FormatError):
            answer = await source.check(trust_delta_path(held.version), max_bytes=DELTA_MAX_BYTES, etag=etag)
            if answer.body is None:
                return _News({}, answer.etag)
            delta = await asyncio.to_thread(parse_delta, answer.body, held.version, held.files)
            return _News(delta.files, answer.etag)
        return None

    async def _fetch_all(self, source: Source) -> Mapping[str, bytes]:
        """Fetch all metadata: at the first contact, or when a source cannot tell what is new to this node."""
        answer = await source.check(trust_delta_path(0), max_bytes=DELTA_MAX_BYTES)
        if answer.body is None:
            raise VerifyError(f"{source.name}: answers that nothing has changed, without having been told what is held")
        try:
            return (await asyncio.to_thread(parse_delta, answer.body, 0, {})).files
        except UnsupportedFormat as error:
            raise UnsupportedFormat(f"{source.name}: {error.what}", error.version, error.newest_known) from None
        except (FormatError, VerifyError) as error:
            raise VerifyError(f"{source.name}: {error.message}") from None

    async def _note_etag(self, name: str, trusted: Trusted, etag: str | None) -> None:
        value = [name, trusted.version, etag if _may_be_sent(etag) and not trusted.changed else None]
        if await self._meta.get_meta(_ETAG_KEY) != value:
            await self._meta.set_meta({_ETAG_KEY: value})

    async def _verify(self, name: str, held: Held, offered: Mapping[str, bytes], *, keep: bool) -> Trusted:
        memory = _parse_memory(await self._meta.get_meta(_MEMORY_KEY))
        trusted, after = await asyncio.to_thread(self._run, name, held, offered, memory, keep=keep)
        if keep and after != memory:
            # After the cache: floors that are ahead of it would make the node refuse what it holds.
            await self._meta.set_meta({_MEMORY_KEY: _format_memory(after)})
        return trusted

    def _run(
        self, name: str, held: Held, offered: Mapping[str, bytes], memory: Memory, *, keep: bool
    ) -> tuple[Trusted, Memory]:
        """Verify, and write down what is new. Synchronous, for a thread."""
        now = self._clock()
        updater, stale = self._workflow(name, held, offered, memory, now)
        if keep:
            write_cache(self._folder, updater.fresh, updater.names())
        after = updater.memory_now()
        trusted = Trusted(
            updater.version, updater.version != held.version, updater.offers(),
            updater.confirmed() if stale else None, clock_behind=now < max(BUILD_DATE, after.issued or BUILD_DATE),
        )  # fmt: skip
        return trusted, after

    def _workflow(
        self, name: str, held: Held, offered: Mapping[str, bytes], memory: Memory, now: datetime
    ) -> tuple[HardenedUpdater, bool]:
        """Run TUF's workflow; if all that is wrong is expiry, run it again at the proven time."""
        root = self._bootstrap_root()
        for reference in (now, None):
            try:
                updater = HardenedUpdater(self._folder, root, held, offered, memory, reference=reference)
                updater.refresh()
            except exceptions.ExpiredMetadataError as error:
                if self._strict or reference is None:
                    raise VerifyError(
                        f"{name}: its metadata has expired ({error})", advice="sync from a source that is up to date"
                    ) from None
            except exceptions.DownloadError as error:
                raise VerifyError(f"{name}: its metadata is not complete ({error})") from None
            except exceptions.BadVersionNumberError as error:
                raise VerifyError(
                    f"{name}: its metadata is older than what was verified before, or does not fit together ({error})"
                ) from None
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
        path, advice = self._bootstrap_path, "run `alforja-node init` again, with the root that the hub's people gave"
        with disk.reporting(path):
            root = path.read_bytes() if path.exists() else b""
        if not root and not missing_ok:
            raise StoreError(f"{path}: is missing", advice=advice)
        if root:
            try:
                _check_root(str(path), root)
            except VerifyError as error:
                raise StoreError(error.message, advice=f"remove it, then {advice}") from None
        return root


async def fetch_root(source: Source) -> bytes:
    """Fetch the root that a source shows, for a person to compare its fingerprint. Nothing is believed."""
    answer = await source.check(FIRST_ROOT, max_bytes=ROOT_MAX_BYTES)
    if answer.body is None:
        raise VerifyError(f"{source.name}: shows no root")
    await asyncio.to_thread(_check_root, f"{source.name}: {FIRST_ROOT}", answer.body)
    return answer.body


def _check_root(what: str, data: bytes) -> None:
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
        if not isinstance(metadata.signed, Root):
            raise VerifyError(f"{what}: is not a root of trust, but {metadata.signed.type} metadata", advice=_ADVICE)
        metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
    except (exceptions.RepositoryError, ValueError) as error:
        raise VerifyError(f"{what}: is not a root of trust ({error})", advice=_ADVICE) from None


def _may_be_sent(etag: str | None) -> bool:
    """Tell whether an ETag is a plain one that a server cannot misuse.

    `*`, or a list of them, would match whatever is offered later: told once, by
    whoever stands between, it would freeze the node for ever. A bare number is how
    a hub names versions, and those the node names itself.
    """
    return etag is not None and bool(_ETAG.fullmatch(etag)) and not etag.strip('W/"').isdecimal()


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
