"""Data keys, one for each epoch, outside the store: who destroys one makes all that was sealed under it unreadable.

The store seals every row under the data key of the epoch in which it was written, and holds no data key. When nothing
live is sealed under an epoch any more, its key is destroyed here; from then on no backup, snapshot, old page or disk
image of the store opens what that epoch sealed, not even for who has the master key. That holds only as long as the
keyring itself is in no backup: it changes with every epoch, and a lost one is answered by a new store.
"""

import hmac
import os
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keystrand.crypto.labels import KEYRING_ENTRY, KEYRING_TAG_KEY, KEYRING_WRAPPING_KEY, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.store.keyring_file import Sheet, alone_with, read_sheet, wrapped_keys, write_sheet
from keystrand.model.errors import InvalidInput, KeystrandError, StoreFailure

KEY_BYTES = 32
NONCE_BYTES = 12
_TAG_BYTES = 16
_SEALS_PER_KEY = 1 << 32
"""SP 800-38D, 8.3: with random 96-bit nonces one key seals at most 2**32 times."""
_WRAPPED_BY = "master-key"


class Keyring(Protocol):
    """Where data keys are kept. Its methods block and may be called from any thread; all raise `StoreFailure`."""

    @property
    def store_id(self) -> str:
        """The store whose keys these are."""

    def create(self, epoch: int) -> Secret:
        """Return a new data key for `epoch`, durable before it is returned. One that is there is never replaced."""

    def open(self, epoch: int) -> Secret:
        """Return the data key of `epoch`."""

    def epochs(self) -> tuple[int, ...]:
        """Return the epochs whose data keys are there, in their order."""

    def destroy(self, epoch: int) -> None:
        """Destroy the data key of `epoch`, durable on return: nothing in reach opens it. Again does nothing."""

    def close(self) -> None:
        """Let go of the keyring."""


def entry_place(store_id: str, epoch: int) -> bytes:
    """Return what binds a wrapped data key to its store and epoch."""
    return bound(KEYRING_ENTRY, store_id, str(epoch), "1")


def destroyed(epoch: int) -> StoreFailure:
    """Return the error for an epoch that is not in the keyring."""
    return StoreFailure(
        f"the data key of epoch {epoch} is not in the keyring: it was destroyed",
        hint="a store that needs it was put back from a copy: make a new store",
    )


class FileKeyring:
    """Data keys in a file, each sealed with AES-256-GCM under a key derived from the master key (HKDF-SHA-256).

    The file is read at every call, under a lock, so that several processes of one host can share it. `new`: make it
    where it is not there. After `destroy` the file holds the key no more and its old blocks are overwritten as far as
    the file system lets us; who has the master key and an older image of that disk can still open it. A token leaves
    no such remainder (`Pkcs11Keyring`).
    """

    def __init__(self, file: Path, master: Secret, store_id: str, *, new: bool = False) -> None:
        self._file, self._store_id = file, store_id
        self._cipher = AESGCM(_derived(master, KEYRING_WRAPPING_KEY, store_id))
        self._tag_key = _derived(master, KEYRING_TAG_KEY, store_id)
        with alone_with(file):
            if new and not file.exists():
                self._write({})
            self._read()

    @property
    def store_id(self) -> str:
        """The store whose keys these are."""
        return self._store_id

    def create(self, epoch: int) -> Secret:
        """Return a new data key. See `Keyring`."""
        with alone_with(self._file):
            keys = self._read()
            if epoch in keys:
                raise StoreFailure(f"epoch {epoch} has a data key already, which is never replaced")
            key, nonce = Secret(os.urandom(KEY_BYTES)), os.urandom(NONCE_BYTES)
            keys[epoch] = nonce + self._cipher.encrypt(nonce, key.view(), entry_place(self._store_id, epoch))
            self._write(keys)
        return key

    def open(self, epoch: int) -> Secret:
        """Return a data key. See `Keyring`."""
        with alone_with(self._file):
            wrapped = self._read().get(epoch)
        if wrapped is None:
            raise destroyed(epoch)
        return opened(self._cipher, wrapped, entry_place(self._store_id, epoch), f"the data key of epoch {epoch}")

    def epochs(self) -> tuple[int, ...]:
        """Return the epochs whose keys are there."""
        with alone_with(self._file):
            return tuple(sorted(self._read()))

    def destroy(self, epoch: int) -> None:
        """Destroy a data key. See `Keyring`."""
        with alone_with(self._file):
            keys = self._read()
            if keys.pop(epoch, None) is not None:
                self._write(keys)

    def close(self) -> None:
        """Let go of the keyring."""

    def _read(self) -> dict[int, bytes]:
        sheet = read_sheet(self._file, self._store_id, _WRAPPED_BY)
        if not hmac.compare_digest(sheet.tag, self._tag(sheet)):
            raise StoreFailure(
                f"{self._file} was altered, or the master key is another's",
                hint="name the keyring and the master key that were made with this store",
            )
        return sheet.by_epoch()

    def _write(self, keys: dict[int, bytes]) -> None:
        sheet = Sheet(store=self._store_id, wrapped_by=_WRAPPED_BY, keys=wrapped_keys(keys))
        write_sheet(self._file, msgspec.structs.replace(sheet, tag=self._tag(sheet)))

    def _tag(self, sheet: Sheet) -> bytes:
        return hmac.digest(self._tag_key, msgspec.json.encode(msgspec.structs.replace(sheet, tag=b"")), "sha256")


class KeyringFault(KeystrandError):
    """The keyring did not do what it was asked. Nothing hangs on it yet, and it may do so later."""

    id = "keyring-fault"
    http_status = 503
    default_hint = "see that the keyring's file, or its token, is there and can be used"


class SealBroken(StoreFailure):
    """A sealed row does not open, though its data key is there: it was altered or moved."""


class Sealer:
    """Seals and opens the store's rows under the data keys of a keyring; it keeps their ciphers at hand.

    Seals are counted in this process alone: a process starts an epoch of its own when it starts.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._ciphers: dict[int, AESGCM] = {}
        self._seals: dict[int, int] = {}

    def seal(self, epoch: int, content: bytes | bytearray | memoryview, place: bytes) -> bytes:
        """Return `content` sealed for `place` (`crypto.labels.bound`): nonce, ciphertext, tag.

        Raises `StoreFailure` where the epoch is not there or has sealed as often as its key may, and `KeyringFault`.
        """
        cipher = self._ciphers.get(epoch) or self._cipher(epoch)
        seals = self._seals[epoch]
        if seals >= _SEALS_PER_KEY:
            raise StoreFailure(f"the data key of epoch {epoch} has sealed {seals} times, more is not safe")
        self._seals[epoch] = seals + 1
        nonce = os.urandom(NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, content, place)

    def open(self, epoch: int, sealed: bytes, place: bytes) -> Secret:
        """Return what was sealed for `place`.

        Raises `StoreFailure` where the epoch is destroyed, `SealBroken` where the row was altered or moved, and
        `KeyringFault`.
        """
        cipher = self._ciphers.get(epoch) or self._cipher(epoch)
        try:
            return opened(cipher, sealed, place, "a sealed row of the key store")
        except StoreFailure as error:
            raise SealBroken(error.message, hint=error.hint) from None

    def adopt(self, epoch: int, key: Secret) -> None:
        """Take the new data key of an epoch: what is sealed under it needs the keyring no more."""
        self._ciphers[epoch] = AESGCM(key.view())
        self._seals[epoch] = 0

    def forget(self, epoch: int) -> None:
        """Drop the cipher of an epoch, before its data key is destroyed."""
        self._ciphers.pop(epoch, None)

    def _cipher(self, epoch: int) -> AESGCM:
        try:
            key = self._keyring.open(epoch)
        except InvalidInput as error:  # no fault of who asked for something that needs it
            raise KeyringFault(error.message, hint=error.hint) from error
        with key:
            cipher = self._ciphers[epoch] = AESGCM(key.view())
        self._seals.setdefault(epoch, 0)
        return cipher


def opened(cipher: AESGCM, sealed: bytes, place: bytes, what: str) -> Secret:
    """Return what stands in `sealed` (nonce, ciphertext, tag). Raises `StoreFailure`, naming `what`."""
    content = bytearray(max(len(sealed) - NONCE_BYTES - _TAG_BYTES, 0))
    try:
        cipher.decrypt_into(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place, content)
        return Secret(content)
    except (InvalidTag, ValueError):  # one that is too short is a ValueError
        raise StoreFailure(
            f"{what} does not open", hint="it was altered or moved, or sealed under another key"
        ) from None
    finally:
        content[:] = bytes(len(content))


def _derived(master: Secret, label: str, store_id: str) -> bytes:
    info = bound(label, store_id)
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(master.view())
