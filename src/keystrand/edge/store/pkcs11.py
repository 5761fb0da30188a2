"""A keyring behind a PKCS#11 token (v2.40): what wraps a data key never leaves the token, and goes with its epoch.

Each epoch has an AES-256 key of its own in the token: sensitive, not extractable, used once. The data key is ours
(32 random bytes), sealed by that key with CKM_AES_GCM and kept in the keyring's file. `destroy` destroys the token's
key: then a copy of the file opens nothing, not even with the token and its PIN.
"""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.exceptions import PKCS11Error

from keystrand.crypto.secret import Secret
from keystrand.edge.pkcs11_token import Token, named
from keystrand.edge.store.keyring import KEY_BYTES, NONCE_BYTES, destroyed, entry_place
from keystrand.edge.store.keyring_file import Sheet, alone_with, read_sheet, wrapped_keys, write_sheet
from keystrand.model.errors import StoreFailure

_WRAPPED_BY = "pkcs11"
_TAG_BITS = 128


class Pkcs11Keyring:
    """Data keys wrapped by the token called `token` of the library `module`, their wrapped forms in `file`.

    A session is opened for each call, with the PIN: a token that was away and came back is used again. Once the token
    has refused the PIN it is not tried again, since most tokens lock after a few tries. Raises `InvalidInput` or
    `MissingInput` where module, token or PIN are not right, `StoreFailure` where the token fails. See `Keyring`.
    """

    def __init__(
        self, module: Path, token: str, pin: Secret, store_id: str, *, file: Path, new: bool = False
    ) -> None:  # fmt: skip
        self._slot, self._store_id, self._file = Token(module, token, pin), store_id, file
        with self._session(), alone_with(file):
            if new and not file.exists():
                self._write({})
            self._read()

    @property
    def store_id(self) -> str:
        """The store whose keys these are."""
        return self._store_id

    def create(self, epoch: int) -> Secret:
        """Return a new data key. See `Keyring`."""
        with self._session() as session, alone_with(self._file):
            keys = self._read()
            if epoch in keys and self._find(session, epoch):
                raise StoreFailure(f"epoch {epoch} has a data key already, which is never replaced")
            self._destroy(session, epoch)  # one that a crash left before the file knew of it wraps nothing
            nonce, key = os.urandom(NONCE_BYTES), Secret(os.urandom(KEY_BYTES))
            wrapping = self._generate(session, epoch)
            keys[epoch] = nonce + wrapping.encrypt(key.reveal(), **self._gcm(epoch, nonce))
            self._write(keys)
        return key

    def open(self, epoch: int) -> Secret:
        """Return a data key. See `Keyring`."""
        with self._session() as session:
            wrapped = self._read().get(epoch)
            wrapping = self._find(session, epoch)
            if wrapped is None or wrapping is None:
                raise destroyed(epoch)
            try:
                key = wrapping.decrypt(wrapped[NONCE_BYTES:], **self._gcm(epoch, wrapped[:NONCE_BYTES]))
            except PKCS11Error as error:
                raise StoreFailure(
                    f"the token {self._slot.label} does not open the data key of epoch {epoch}: {named(error)}",
                    hint=f"{self._file} was altered, or the token has a fault",
                ) from error
        return Secret(key)

    def epochs(self) -> tuple[int, ...]:
        """Return the epochs whose keys are there, in the token and in the file."""
        with self._session() as session:
            return tuple(epoch for epoch in sorted(self._read()) if self._find(session, epoch))

    def destroy(self, epoch: int) -> None:
        """Destroy a data key, first of all what opens it. See `Keyring`."""
        with self._session() as session, alone_with(self._file):
            self._destroy(session, epoch)
            keys = self._read()
            if keys.pop(epoch, None) is not None:
                self._write(keys)

    def close(self) -> None:
        """Forget the PIN."""
        self._slot.close()

    def _read(self) -> dict[int, bytes]:
        return read_sheet(self._file, self._store_id, _WRAPPED_BY).by_epoch()

    def _write(self, keys: dict[int, bytes]) -> None:
        write_sheet(self._file, Sheet(store=self._store_id, wrapped_by=_WRAPPED_BY, keys=wrapped_keys(keys)))

    def _label(self, epoch: int) -> str:
        return f"keystrand {self._store_id} {epoch}"

    def _gcm(self, epoch: int, nonce: bytes) -> dict[str, Any]:
        place = GCMParams(nonce, entry_place(self._store_id, epoch), _TAG_BITS)
        return {"mechanism": Mechanism.AES_GCM, "mechanism_param": place}

    def _generate(self, session: Any, epoch: int) -> Any:
        key = session.generate_key(
            KeyType.AES,
            8 * KEY_BYTES,
            label=self._label(epoch),
            store=True,
            capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
            template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True},
        )
        return self._kept_inside(key)

    def _kept_inside(self, key: Any) -> Any:
        """Return a key that was never outside the token, as the token itself says; another one wraps nothing."""
        if not (key[Attribute.ALWAYS_SENSITIVE] and key[Attribute.NEVER_EXTRACTABLE]):
            key.destroy()
            raise StoreFailure(f"the token {self._slot.label} makes keys that can leave it", hint="use another token")
        return key

    def _find(self, session: Any, epoch: int) -> Any:
        return next(iter(self._all(session, epoch)), None)

    def _all(self, session: Any, epoch: int) -> list[Any]:
        wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: self._label(epoch)}
        return list(session.get_objects(wanted))

    def _destroy(self, session: Any, epoch: int) -> None:
        for key in self._all(session, epoch):
            key.destroy()

    def _session(self) -> AbstractContextManager[Any]:
        return self._slot.session()
