"""Where files rest: whole plain files by digest, and what has arrived of the next ones.

Only verified bytes come under a digest's name. What is partly received or partly
decoded lies apart, under names made of the pack it belongs to, so that any source
with the same layout can carry on.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from alforja_node import disk
from alforja_packaging.errors import DigestMismatch, StoreError
from alforja_packaging.files import DIGEST_BYTES
from alforja_packaging.frames import Frame, Piece
from alforja_packaging.layout import file_path
from alforja_packaging.manifest import Manifest, chunks_of, digests_behind, parse_manifest


class Store:
    """A node's files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._partial = root / "partial"

    def prepare(self) -> None:
        """Make the folders that are always there."""
        with disk.reporting(self.root):
            for name in ("files", "partial", "manifests"):
                (self.root / name).mkdir(parents=True, exist_ok=True)

    def path_of(self, digest: bytes) -> Path:
        """Where the file of a digest lies, or would lie."""
        return self.root / file_path(digest)

    def adopt(self, staged: Path, digest: bytes, what: str, got: bytes | None = None) -> None:
        """Take a staged file in as the content it claims to be; durable only after `settle`.

        The one door into the store. `got` is the digest that was taken while the file
        was written, if it was. Raises DigestMismatch, and drops the staged file, when
        its bytes are something else.
        """
        got = got or disk.digest_of(staged)[0]
        if got != digest:
            disk.remove(staged)
            raise DigestMismatch(what, digest.hex(), got.hex())
        disk.sync(staged)
        disk.place(staged, self.path_of(digest))

    def settle(self, digests: Iterable[bytes]) -> None:
        """Make what was adopted durable: each folder once, however many files came into it."""
        one_of_each = {digest[:1]: digest for digest in digests}
        for digest in sorted(one_of_each.values()):
            disk.sync_folder(self.path_of(digest).parent)

    def remove(self, digest: bytes) -> None:
        """Drop a file."""
        disk.remove(self.path_of(digest))

    def folders(self) -> list[Path]:
        """The folders that files lie in, by the first byte of their digests."""
        with disk.reporting(self.root):
            return sorted((self.root / "files").iterdir())

    def held_on_disk(self) -> Iterator[tuple[str, int]]:
        """Name and size in bytes of every file that lies in the store, folder by folder."""
        for folder in self.folders():
            for path in sorted(folder.iterdir()):
                yield path.name, path.stat().st_size

    def put_manifest(self, bundle: str, manifest: Manifest) -> None:
        """Keep the manifest of a release, which was found to be the one that was signed."""
        disk.put(self._manifest_path(bundle), chunks_of(manifest))

    def get_manifest(self, bundle: str) -> Manifest:
        """Read back the manifest of a release. Raises StoreError when it is gone or broken."""
        path = self._manifest_path(bundle)
        try:
            return parse_manifest(path.read_bytes())
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}", advice="run `alforja-node verify --repair`") from None

    def has_manifest(self, bundle: str, digest: bytes) -> bool:
        """Tell whether the manifest of a release is kept, and is the one of a digest. Quick: nothing is parsed."""
        with suppress(StoreError):
            return disk.digest_of(self._manifest_path(bundle))[0] == digest
        return False

    def digests_in(self, bundle: str, digest: bytes) -> Iterator[bytes]:
        """The digests of all files of a release, if its manifest is the one of a digest. Quick: nothing is parsed.

        Raises StoreError when it is gone or another one.
        """
        path = self._manifest_path(bundle)
        if not self.has_manifest(bundle, digest):
            raise StoreError(f"{path}: is not the manifest that was kept", advice="run `alforja-node verify --repair`")
        table = digests_behind(disk.chunks_of(path))
        return (table[at : at + DIGEST_BYTES] for at in range(0, len(table), DIGEST_BYTES))

    def manifests(self) -> list[str]:
        """The bundles whose manifests are kept."""
        with disk.reporting(self.root):
            names = sorted(path.name for path in (self.root / "manifests").iterdir())
        return [name.replace(",", "/") for name in names if not name.endswith(".new")]

    def remove_manifest(self, bundle: str) -> None:
        """Drop the manifest of a release."""
        disk.remove(self._manifest_path(bundle))

    # What has arrived of packs: `arrived` grows byte by byte, `staged` holds decoded pieces.

    def arrived_path(self, pack: str, offset: int, length: int) -> Path:
        """Where the bytes of one run of a pack gather."""
        return self._partial / f"{pack.replace('/', ',')}@{offset}+{length}"

    def spare_path(self, pack: str, offset: int) -> Path:
        """Where bytes gather that came behind a pack's index, until it is known which frames they belong to."""
        return self._partial / f"{pack.replace('/', ',')}@{offset}"

    def staged_path(self, bundle: str, content: int) -> Path:
        """Where the pieces of one new content gather until it can be verified."""
        return self._partial / f"{bundle.replace('/', ',')}#{content}"

    def arrived(self, pack: str, frame: Frame) -> int:
        """Bytes of a frame that have arrived."""
        return disk.length_of(self.arrived_path(pack, frame.offset, frame.length))

    def scratch(self, reserve_bytes: int) -> disk.Scratch:
        """Room to work in, that does not grow into what must stay free."""
        return disk.Scratch(self._partial, reserve_bytes)

    def is_staged(self, bundle: str, piece: Piece) -> bool:
        """Tell whether a piece of a new content has been decoded."""
        path = self.staged_path(bundle, piece.content)
        return path.exists() and disk.length_of(path) >= piece.offset + piece.length

    def drop_partial(self, bundle: str) -> None:
        """Forget everything that was gathered for a bundle."""
        start = bundle.replace("/", ",")
        self._drop(f"{start},", f"{start}#")

    def drop_pack(self, bundle: str, pack: str) -> int:
        """Forget what was gathered of one pack, and what was decoded for its bundle; give the pack's bytes."""
        self._drop(f"{bundle.replace('/', ',')}#")
        return self._drop(f"{pack.replace('/', ',')}@")

    def drop_all_partial(self) -> int:
        """Forget everything gathered, for every bundle; give the bytes freed."""
        freed = sum(path.stat().st_size for path in self._partial.iterdir())
        with suppress(FileNotFoundError):
            shutil.rmtree(self._partial)
        self.prepare()
        return freed

    def _drop(self, *starts: str) -> int:
        dropped = 0
        with disk.reporting(self.root):
            for path in list(self._partial.iterdir()):
                if path.name.startswith(starts):
                    dropped += path.stat().st_size
                    path.unlink()
        return dropped

    def _manifest_path(self, bundle: str) -> Path:
        return self.root / "manifests" / bundle.replace("/", ",")
