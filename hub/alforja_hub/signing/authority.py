"""The hub's authority: who may sign what, and the signed metadata that says so.

A TUF repository (https://theupdateframework.github.io/specification/): root with a
threshold and keys that may lie elsewhere, timestamp and snapshot online, top-level
targets that delegate `bundles/<publisher>/*` to one role per publisher.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from alforja_hub import shelf
from alforja_hub.signing.chronicle import Chronicle
from alforja_hub.signing.keys import KeyRing, PassphraseOf
from alforja_packaging.errors import RequestError, StoreError
from alforja_packaging.jsonform import format_json
from alforja_packaging.layout import BUNDLES_DIR, TRUST_DIR, check_id, parse_bundle_path

_TOP = ("root", "targets", "snapshot", "timestamp")


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """For how long signatures hold, in days."""

    timestamp: int = 90
    snapshot: int = 400
    targets: int = 400
    root: int = 5 * 365

    def of(self, role: str) -> timedelta:
        """The lifetime of a role's metadata; a publisher's is that of targets."""
        return timedelta(days=getattr(self, role) if role in _TOP else self.targets)


@dataclass(frozen=True, slots=True)
class Target:
    """A manifest as it is signed: its length in bytes, its SHA-256, and what is stated beside."""

    length: int
    digest: bytes
    custom: Mapping[str, Any] = field(hash=False)


class Authority:
    """The metadata in a repository, and the keys that sign it."""

    def __init__(
        self, repository: Path, keys: Path, memory: Path, *, now: Callable[[], datetime],
        passphrase_of: PassphraseOf = lambda _role: None, lifetimes: Lifetimes | None = None,
    ) -> None:  # fmt: skip
        self._folder = repository / TRUST_DIR
        self._keys = KeyRing(keys, passphrase_of)
        self._chronicle = Chronicle(memory, repository)
        self._now, self._lifetimes = now, lifetimes or Lifetimes()

    # Making and asking

    def create(self, publisher: str, *, root_keys: int = 1, root_threshold: int = 1) -> bytes:
        """Make keys, first metadata and a first publisher; give the first root. Raises RequestError."""
        check_id("publisher", publisher)
        if not 1 <= root_threshold <= root_keys:
            raise RequestError(f"root: {root_threshold} of {root_keys} signatures cannot be reached")
        if self.exists():
            raise RequestError(f"{self._folder}: holds metadata already")
        self._chronicle.clear()
        root = Root(consistent_snapshot=True)
        for role in _TOP:
            for _ in range(root_keys if role == "root" else 1):
                root.add_key(self._keys.make(role).public_key, role)
        root.roles["root"].threshold = root_threshold
        targets = Targets(delegations=Delegations({}, {}))
        self._delegate(targets, publisher)
        documents: dict[str, Metadata[Any]] = {
            "targets": Metadata(targets),
            publisher: Metadata(Targets()),
            "root": Metadata(root),
        }
        self._commit(documents, fresh=documents)
        return (self._folder / "1.root.json").read_bytes()

    def exists(self) -> bool:
        """Tell whether there is metadata to go on from."""
        return (self._folder / "timestamp.json").exists()

    def list_publishers(self) -> Mapping[str, int]:
        """The institutions that publish here, with the number of releases each has signed."""
        return {name: len(self.targets(name)) for name in sorted(self._publishers())}

    def targets(self, publisher: str) -> Mapping[str, Target]:
        """All that a publisher has signed, by bundle path. Raises RequestError when it is not known."""
        self._check_publisher(publisher)
        signed = cast("Targets", self._read(publisher).signed)
        return {
            path: Target(target.length, bytes.fromhex(target.hashes["sha256"]), target.custom or {})
            for path, target in signed.targets.items()
        }

    def describe(self) -> Mapping[str, Mapping[str, Any]]:
        """Version, expiry and number of keys of every role."""
        return {role: self._describe(role) for role in [*_TOP, *sorted(self._publishers())]}

    def _describe(self, role: str) -> Mapping[str, Any]:
        signed, (keyids, threshold) = self._read(role).signed, self._role(role)
        return {
            "version": signed.version, "expires": signed.expires.isoformat(), "threshold": threshold,
            "keys": len(keyids), "keys_here": len(self._signers(role)),
        }  # fmt: skip

    # Changing

    def publish(self, publisher: str, add: Mapping[str, Target], remove: Collection[str] = ()) -> None:
        """Sign manifests as a publisher's, and stop signing others. Visible to nodes once this returns."""
        self.finish()
        self._check_publisher(publisher)
        document = self._read(publisher)
        signed = cast("Targets", document.signed)
        for path in remove:
            signed.targets.pop(path, None)
        for path, target in add.items():
            if parse_bundle_path(path)[0] != publisher:
                raise RequestError(f"{path}: does not belong to publisher {publisher}")
            signed.targets[path] = TargetFile(
                target.length, {"sha256": target.digest.hex()}, path, {"custom": dict(target.custom)}
            )
        self._commit({publisher: document})

    def add_publisher(self, publisher: str) -> None:
        """Let an institution publish: a key of its own, for its own paths."""
        check_id("publisher", publisher)
        finished = self.finish()
        if publisher in self._publishers():
            if finished:
                return  # by a run that was cut off
            raise RequestError(f"publisher {publisher}: publishes here already")
        document = self._read("targets")
        self._delegate(cast("Targets", document.signed), publisher)
        own = Metadata(Targets(version=self._last_version(publisher) + 1))
        self._commit({"targets": document, publisher: own}, fresh=[publisher])

    def remove_publisher(self, publisher: str) -> None:
        """Stop vouching for an institution: nodes accept nothing new of it. What they hold stays served."""
        if self.finish() and publisher not in self._publishers():
            return  # by a run that was cut off
        self._check_publisher(publisher)
        document = self._read("targets")
        delegations = cast("Targets", document.signed).delegations
        assert delegations is not None
        assert delegations.roles is not None
        for keyid in delegations.roles[publisher].keyids:
            delegations.keys.pop(keyid, None)
        del delegations.roles[publisher]
        self._commit({"targets": document})

    def renew(self) -> list[str]:
        """Sign the timestamp anew, and all that is past half of its life and whose keys are here; give the roles."""
        self.finish()
        due = [
            role
            for role in ["snapshot", "targets", *sorted(self._publishers()), "root"]
            if self._read(role).signed.expires - self._now() < self._lifetimes.of(role) / 2 and self._can_sign(role)
        ]
        self._commit({role: self._read(role) for role in due if role != "snapshot"}, snapshot_due="snapshot" in due)
        return [*due, "timestamp"]

    def rotate(self, role: str) -> None:
        """Replace a role's keys by new ones. The old ones sign nothing any more."""
        self.finish()
        if role in _TOP:
            document = self._read("root")
            root = cast("Root", document.signed)
            old, count = list(root.roles[role].keyids), len(root.roles[role].keyids)
            extra = self._old_root_signers()
            for keyid in old:
                root.revoke_key(keyid, role)
            for _ in range(count):
                root.add_key(self._keys.make(role).public_key, role)
            changed = {"targets": self._read("targets")} if role == "targets" else {}
            self._commit(changed | {"root": document}, also_sign_root=extra)
        else:
            document = self._read("targets")
            delegations = cast("Targets", document.signed).delegations
            if delegations is None or not delegations.roles or role not in delegations.roles:
                raise RequestError(f"role {role}: is not known here", advice="see `alforja-hub keys list`")
            old = list(delegations.roles[role].keyids)
            for keyid in old:
                cast("Targets", document.signed).revoke_key(keyid, role)
            cast("Targets", document.signed).add_key(self._keys.make(role).public_key, role)
            self._commit({"targets": document, role: self._read(role)})
        for keyid in old:
            self._keys.forget(role, keyid)

    def set_root(self, *, keys: int, threshold: int) -> None:
        """Make a new set of root keys: so many, of which `threshold` must sign. Old and new keys sign the change."""
        if not 1 <= threshold <= keys:
            raise RequestError(f"root: {threshold} of {keys} signatures cannot be reached")
        self.finish()
        document = self._read("root")
        root = cast("Root", document.signed)
        extra, old = self._old_root_signers(), list(root.roles["root"].keyids)
        for keyid in old:
            root.revoke_key(keyid, "root")
        for _ in range(keys):
            root.add_key(self._keys.make("root").public_key, "root")
        root.roles["root"].threshold = threshold
        self._commit({"root": document}, also_sign_root=extra)
        for keyid in old:
            self._keys.forget("root", keyid)

    def finish(self) -> bool:
        """Finish telling of a change that was cut off once it was decided; give whether there was one.

        Some nodes may have heard of it, so it cannot be taken back. Every change begins with this.
        """
        decided = self._chronicle.newest()
        if not self.exists() or decided <= self._read("timestamp").signed.version:
            return False
        self._tell(decided)
        return True

    # Committing: new files first, then the note that decides, deltas then, the timestamp last

    def _commit(
        self, changed: Mapping[str, Metadata[Any]], *, fresh: Collection[str] = (),
        also_sign_root: Iterable[Signer] = (), snapshot_due: bool = False,
    ) -> None:  # fmt: skip
        """Sign and lay down new versions, decide, then tell of them.

        A cut before the note changes nothing for anybody; a cut after it is made good by `finish`.
        `fresh` documents have their first version already; all others get the next one.
        """
        root = cast("Metadata[Root]", changed.get("root") or self._read("root")).signed
        targets = cast("Metadata[Targets]", changed.get("targets") or self._read("targets")).signed
        for role, document in changed.items():
            document.signed.version += role not in fresh
            keyids, threshold = self._role(role, root, targets)
            self._sign(role, document, keyids, threshold, also_sign_root if role == "root" else ())
        snapshot, timestamp = self._sign_online(changed, root, snapshot_due=snapshot_due or bool(changed))
        for role, document in {"snapshot": snapshot, **changed}.items():
            shelf.put(self._folder / f"{document.signed.version}.{role}.json", _to_bytes(document))
        version = timestamp.signed.version
        self._chronicle.note(version, self._names(root, targets, snapshot.signed), _to_bytes(timestamp))
        self._tell(version)

    def _tell(self, version: int) -> None:
        """Let nodes know of a version. Running it again after a cut writes the same bytes."""
        self._chronicle.write_deltas(version)
        shelf.put(self._folder / "timestamp.json", self._chronicle.timestamp(version))
        needed = self._chronicle.prune(version)
        for path in self._folder.glob("[0-9]*.json"):
            if path.name not in needed and not path.name.endswith(".root.json"):
                shelf.remove(path)

    def _sign_online(
        self, changed: Mapping[str, Metadata[Any]], root: Root, *, snapshot_due: bool
    ) -> tuple[Metadata[Any], Metadata[Any]]:
        """Sign the next timestamp, and the next snapshot if it has anything to say."""
        begun = self.exists()
        snapshot = self._read("snapshot") if begun else Metadata(Snapshot())
        timestamp = self._read("timestamp") if begun else Metadata(Timestamp())
        if snapshot_due:
            # A role that is delegated no more stays listed: TUF lets none leave the snapshot (section 5.5.5).
            for role, document in changed.items():
                if role != "root":
                    snapshot.signed.meta[f"{role}.json"] = MetaFile(document.signed.version)
            snapshot.signed.version += begun
            self._sign("snapshot", snapshot, root.roles["snapshot"].keyids, root.roles["snapshot"].threshold, ())
        timestamp.signed.version += begun
        timestamp.signed.snapshot_meta = MetaFile(snapshot.signed.version)
        timestamp.signed.unrecognized_fields["x-issued"] = _stamp(self._now())
        self._sign("timestamp", timestamp, root.roles["timestamp"].keyids, root.roles["timestamp"].threshold, ())
        return snapshot, timestamp

    def _sign(
        self, role: str, document: Metadata[Any], keyids: list[str], threshold: int, also: Iterable[Signer]
    ) -> None:
        document.signed.expires = self._now().replace(microsecond=0) + self._lifetimes.of(role)
        signers = self._keys.signers(role, keyids)
        if len(signers) < threshold:
            raise _keys_missing(role, len(signers), threshold)
        document.signatures.clear()
        for signer in [*signers, *also]:
            document.sign(signer, append=True)

    def _names(self, root: Root, targets: Targets, snapshot: Snapshot) -> list[str]:
        """All files a node holds at this state, the timestamp aside."""
        roots = [f"{version}.root.json" for version in range(1, root.version + 1)]
        publishers = (targets.delegations.roles if targets.delegations else None) or {}
        roles = [f"{snapshot.meta[f'{role}.json'].version}.{role}.json" for role in ["targets", *sorted(publishers)]]
        return [*roots, f"{snapshot.version}.snapshot.json", *roles]

    # Reading

    def _read(self, role: str) -> Metadata[Any]:
        """The current metadata of a role: what the timestamp that nodes see refers to."""
        if role == "timestamp":
            return self._parse("timestamp.json")
        timestamp = self._parse("timestamp.json").signed
        if role == "root":
            # Not simply the highest on disk: a rotation that was cut off before it was decided left
            # a root whose new keys have signed nothing yet.
            names = self._chronicle.names(timestamp.version) or [path.name for path in self._folder.iterdir()]
            versions = [int(name.partition(".")[0]) for name in names if name.endswith(".root.json")]
            return self._parse(f"{max(versions)}.root.json")
        snapshot = self._parse(f"{timestamp.snapshot_meta.version}.snapshot.json")
        if role == "snapshot":
            return snapshot
        return self._parse(f"{snapshot.signed.meta[f'{role}.json'].version}.{role}.json")

    def _parse(self, name: str) -> Metadata[Any]:
        path = self._folder / name
        try:
            return Metadata.from_bytes(path.read_bytes())
        except FileNotFoundError:
            raise StoreError(f"{path}: is missing", advice="bring the folder `repository` back from a copy") from None
        except RepositoryError as error:
            raise StoreError(f"{path}: is not readable ({error})", advice="bring it back from a copy") from None

    def _check_publisher(self, publisher: str) -> None:
        if publisher not in self._publishers():
            raise RequestError(f"publisher {publisher}: is not known here", advice="see `alforja-hub publisher list`")

    def _publishers(self) -> set[str]:
        delegations = cast("Targets", self._read("targets").signed).delegations
        return set((delegations.roles if delegations else None) or {})

    def _role(self, role: str, root: Root | None = None, targets: Targets | None = None) -> tuple[list[str], int]:
        """Key ids and threshold of a role."""
        if role in _TOP:
            found = (root or cast("Root", self._read("root").signed)).roles[role]
            return list(found.keyids), found.threshold
        delegations = (targets or cast("Targets", self._read("targets").signed)).delegations
        assert delegations is not None
        assert delegations.roles is not None
        return list(delegations.roles[role].keyids), delegations.roles[role].threshold

    def _signers(self, role: str) -> list[Signer]:
        return self._keys.signers(role, self._role(role)[0])

    def _old_root_signers(self) -> list[Signer]:
        """The keys that must agree to a new root. Raises RequestError when too few are here."""
        signers, threshold = self._signers("root"), self._role("root")[1]
        if len(signers) < threshold:
            raise _keys_missing("root", len(signers), threshold)
        return signers

    def _can_sign(self, role: str) -> bool:
        return len(self._signers(role)) >= self._role(role)[1]

    def _last_version(self, publisher: str) -> int:
        """The version a publisher's role had if it was here before: it must only rise."""
        snapshot = cast("Snapshot", self._read("snapshot").signed)
        held = snapshot.meta.get(f"{publisher}.json")
        return held.version if held else 0

    def _delegate(self, targets: Targets, publisher: str) -> None:
        assert targets.delegations is not None
        assert targets.delegations.roles is not None
        role = DelegatedRole(publisher, [], 1, terminating=True, paths=[f"{BUNDLES_DIR}/{publisher}/*"])
        targets.delegations.roles[publisher] = role
        targets.add_key(self._keys.make(publisher).public_key, publisher)


def _keys_missing(role: str, here: int, threshold: int) -> RequestError:
    return RequestError(
        f"role {role}: {here} of the {threshold} keys that must sign are here",
        advice=f"bring the keys back to the folder `keys/{role}` of the hub's home, then run the command again",
    )


def _to_bytes(document: Metadata[Any]) -> bytes:
    """Metadata in the one form of JSON: only of that can a delta give the bytes again."""
    return format_json(document.to_dict()).encode()


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
