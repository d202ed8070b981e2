"""Private keys as files: one folder a role, one file a key, readable by their owner alone.

Keys of a role may lie elsewhere; what is not here does not sign.
"""

from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, Signer

from alforja_hub import shelf
from alforja_packaging.errors import RequestError, StoreError

PassphraseOf = Callable[[str], bytes | None]
"""Gives the passphrase for a role's keys, None for keys that have none."""


class KeyRing:
    """The keys below one folder. `root` may be carried away and brought back for rotations."""

    def __init__(self, folder: Path, passphrase_of: PassphraseOf) -> None:
        self._folder, self._passphrase_of = folder, passphrase_of

    def make(self, role: str) -> Signer:
        """Make a key for a role and keep it, PKCS#8, encrypted if the role has a passphrase."""
        signer = CryptoSigner.generate_ed25519()
        passphrase = self._passphrase_of(role)
        encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        private = signer._private_key  # noqa: SLF001 (the library offers unencrypted bytes only)
        data = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        shelf.put_private(self._path(role, signer.public_key.keyid), data)
        return signer

    def signers(self, role: str, keyids: list[str]) -> list[Signer]:
        """Open those of a role's keys that are here. Raises RequestError for a wrong passphrase, StoreError."""
        return [self._load(role, keyid) for keyid in keyids if self._path(role, keyid).exists()]

    def forget(self, role: str, keyid: str) -> None:
        """Remove a key that signs nothing any more."""
        shelf.remove(self._path(role, keyid))

    def _load(self, role: str, keyid: str) -> Signer:
        path = self._path(role, keyid)
        passphrase = self._passphrase_of(role)
        try:
            private = serialization.load_pem_private_key(path.read_bytes(), passphrase)
        except OSError as error:
            raise StoreError(f"key {path}: cannot be read ({error.strerror})") from None
        except TypeError:
            needed = "needs a passphrase" if passphrase is None else "has no passphrase, but one was given"
            raise RequestError(f"key {path}: {needed}", advice="set ALFORJA_HUB_PASSPHRASE, or unset it") from None
        except (ValueError, UnsupportedAlgorithm):
            raise RequestError(
                f"key {path}: the passphrase is wrong, or the file is broken", advice="set ALFORJA_HUB_PASSPHRASE anew"
            ) from None
        signer = CryptoSigner(private) if isinstance(private, Ed25519PrivateKey) else None
        if signer is None or signer.public_key.keyid != keyid:
            # Its signatures would be refused by every node, after they were published.
            raise StoreError(f"key {path}: is not the key it is named for", advice="bring the file back from a copy")
        return signer

    def _path(self, role: str, keyid: str) -> Path:
        return self._folder / role / f"{keyid[:16]}.pem"
