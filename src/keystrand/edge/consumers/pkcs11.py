"""A consumer: a PKCS#11 token (an HSM) that gets each key as an object of its own, for applications that use it there.

The object is an AES key that encrypts and decrypts, sensitive and not extractable, with the 16 octets of the `key_ID`
as CKA_ID; an application finds it by that. It neither wraps nor unwraps, since a key that may decrypt what it has
wrapped lets keys out of the token. What is proven is that the token holds the very key and computes with it.

Sealing by a key that never leaves the token is the other half, and is where the key server keeps its own
(`edge/store/pkcs11`).
"""

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Proof, Role, Settings
from keystrand.edge.consumers.settings import read_settings
from keystrand.edge.store.master_key import SecretSource, read_secret
from keystrand.model.errors import InvalidInput, KeystrandError, MissingInput, Problem

_SIZES = (16, 24, 32)
_BLOCK = 16


class Pkcs11Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator writes: the token's library and label, where its PIN is, and the label of our objects."""

    module: str
    token: str
    pin_file: str = ""
    pin_credential: str = ""
    label: str = "keystrand"


class TokenKeys:
    """The keys of one label in one token."""

    def __init__(self, token: Any, label: str) -> None:
        self._token, self._label = token, label
        self._checks: dict[str, tuple[bytes, bytes]] = {}

    def prepare(self) -> None:
        """See that the token is there, takes the PIN, and can be written to."""
        with self._token.session():
            pass

    def install(self, key: NewKey) -> None:
        """Import the key, beside those that are there. See `Consumer`."""
        if len(key.octets) not in _SIZES:
            raise ConsumerFailure(f"a token takes AES keys of 128, 192 or 256 bits, not {8 * len(key.octets)}")
        with self._session() as session:
            if not self._found(session, key.key_id):
                session.create_object(self._template(key))
        self._checks[key.key_id] = _check(key.octets)

    def prove(self, key_id: str) -> Proof:
        """Have the token encrypt a block of ours, and compare."""
        if key_id not in self._checks:
            return Proof(key_id=key_id, in_use=False, shown_by="the key was not imported since we started")
        block, expected = self._checks[key_id]
        from pkcs11 import Mechanism  # noqa: PLC0415 - an extra that may be absent

        with self._session() as session:
            held = self._found(session, key_id)
            same = bool(held) and held[0].encrypt(block, mechanism=Mechanism.AES_ECB) == expected
        shown = "the token holds the key and computes with it; who uses it there is not visible"
        return Proof(key_id=key_id, in_use=same, shown_by=shown if same else "the token does not hold this key")

    def retire(self, key_id: str) -> None:
        """Destroy the object. Where it was the last one, applications find none."""
        with self._session() as session:
            for held in self._found(session, key_id):
                held.destroy()
        self._checks.pop(key_id, None)

    def _found(self, session: Any, key_id: str) -> list[Any]:
        from pkcs11 import Attribute, ObjectClass  # noqa: PLC0415 - as above

        wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: self._label, Attribute.ID: _octets(key_id)}
        return list(session.get_objects(wanted))

    def _template(self, key: NewKey) -> dict[Any, Any]:
        from pkcs11 import Attribute, KeyType, ObjectClass  # noqa: PLC0415 - as above

        return {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.VALUE: key.octets.reveal(),
            Attribute.ID: _octets(key.key_id),
            Attribute.LABEL: self._label,
            Attribute.TOKEN: True,
            Attribute.PRIVATE: True,
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.ENCRYPT: True,
            Attribute.DECRYPT: True,
            Attribute.WRAP: False,
            Attribute.UNWRAP: False,
        }

    @contextmanager
    def _session(self) -> Iterator[Any]:
        """Yield a session whose failures are those of a consumer."""
        try:
            with self._token.session() as session:
                yield session
        except ConsumerFailure:
            raise
        except KeystrandError as error:
            raise ConsumerFailure(error.message, hint=error.hint) from error


def make(settings: Settings, _role: Role) -> TokenKeys:
    """Return the consumer. Raises `InvalidInput` with the field, `MissingInput` without the extra `hsm`."""
    given = read_settings(settings, Pkcs11Settings)
    if bool(given.pin_file) == bool(given.pin_credential):
        problem = Problem(field="pin_file", message="name it or pin_credential, one of the two", hint="never the PIN")
        raise InvalidInput(f"the settings of this consumer are not right: {problem}", problems=(problem,))
    try:
        from keystrand.edge.pkcs11_token import Token  # noqa: PLC0415 - an extra that may be absent
    except ImportError as error:
        raise MissingInput("PKCS#11 tokens need python-pkcs11", hint="install keystrand with the extra hsm") from error
    with read_secret(SecretSource(file=given.pin_file, credential=given.pin_credential), Path("/")) as content:
        pin = Secret(content.reveal().rstrip(b"\r\n"))
    return TokenKeys(Token(Path(given.module), given.token, pin), given.label)


def _octets(key_id: str) -> bytes:
    try:
        return uuid.UUID(key_id).bytes
    except ValueError:
        raise ConsumerFailure(f"the key ID {key_id!r} is no UUID, and so no CKA_ID") from None


def _check(key: Secret) -> tuple[bytes, bytes]:
    """Return a random block and what it is encrypted to: it tells whether another holds the same key."""
    block = secrets.token_bytes(_BLOCK)
    encryptor = Cipher(AES(key.view()), ECB()).encryptor()  # noqa: S305 - one random block, as a check of the key
    return block, encryptor.update(block) + encryptor.finalize()
