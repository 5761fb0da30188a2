"""Key material at rest: AES-256-GCM under a key derived from the master key, each row bound to its place.

The master key is a file that only its owner reads. Nonces are 96 random bits (SP 800-38D, 8.2.2): far below 2**32 rows
are sealed in the life of one pilot store.
"""

import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keystrand.crypto.labels import STORE_SEALING_KEY, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.files import read_bytes, write_atomic
from keystrand.model.errors import InvalidInput, StoreFailure

_KEY_BYTES = 32
_NONCE_BYTES = 12


def make_master_key(file: Path) -> None:
    """Write a fresh master key to `file`, mode 0600. Raises `StoreFailure` where it cannot be written."""
    write_atomic(file, os.urandom(_KEY_BYTES), mode=0o600)


def read_master_key(file: Path) -> Secret:
    """Return the master key. Raises `MissingInput`, or `InvalidInput` where it is no key or others can reach it."""
    content = read_bytes(file, hint="without the master key of its store the KME cannot start")
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise InvalidInput(f"{file} can be reached by others than its owner", hint=f"chmod 600 {file}")
    if len(content) != _KEY_BYTES:
        raise InvalidInput(f"{file} holds {len(content)} bytes where a master key has {_KEY_BYTES}")
    return Secret(content)


class Seal:
    """Seals and opens rows of the store `store_id`."""

    def __init__(self, master: Secret, store_id: str) -> None:
        info = bound(STORE_SEALING_KEY, store_id)
        derived = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(master.view())
        self._cipher = AESGCM(derived)

    def close(self, content: memoryview, place: bytes) -> bytes:
        """Return `content` sealed for `place`: nonce, ciphertext, tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, place)

    def open(self, sealed: bytes, place: bytes) -> Secret:
        """Return the content of a row. Raises `StoreFailure` where it was altered, moved, or sealed by another key."""
        try:
            return Secret(self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place))
        except InvalidTag:
            raise StoreFailure(
                "a sealed row of the key store does not open",
                hint="the store was altered, or the master key is another's",
            ) from None
