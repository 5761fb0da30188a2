"""The signed exception that `fail-open` needs: who permits it, why, and until when.

A TOML file, and beside it `FILE.sig`: the ML-DSA-65 signature (FIPS 204) over the file's bytes, bound by a label.
"""

from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from msgspec import Struct

from keystrand.crypto.labels import AGENT_EXCEPTION, bound
from keystrand.edge.files import read_bytes, write_atomic
from keystrand.edge.store.audit_signer import open_signer, read_public_key
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput
from keystrand.model.units import Identifier, Text


class Permission(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Permission for one consumer to go on under a stale key until `expires` (UTC)."""

    consumer: Identifier
    approved_by: Text
    reason: Text
    expires: datetime


def signature_of(file: Path) -> Path:
    """Return where the signature of an exception stands."""
    return file.with_name(file.name + ".sig")


def read_exception(file: Path, public_key: Path, consumer: str) -> Permission:
    """Return the exception in `file`. Raises `MissingInput`, or `InvalidInput` where it is not signed for `consumer`.

    Whether it has ended is for the failure policy: an ended one permits nothing.
    """
    content = read_bytes(file, hint="sign one: keystrand agent except")
    signature = read_bytes(signature_of(file), hint="an exception counts with its signature beside it")
    try:
        read_public_key(public_key).verify(signature, _message(content))
    except InvalidSignature:
        raise InvalidInput(f"{file} is not signed by the key of {public_key}", hint="have it signed anew") from None
    told = read_toml(content.decode(), Permission, file=str(file), what=f"the exception {file}")
    if told.consumer != consumer:
        raise InvalidInput(f"{file} is for the consumer {told.consumer!r}", hint="each consumer needs its own")
    return told


def sign_exception(file: Path, key: Path, told: Permission) -> None:
    """Write an exception and its signature by the private `key`. Raises as `open_signer` does.

    `InvalidInput` for words that a line cannot hold: nothing is written then.
    """
    signer = open_signer(key, make=False)
    quoted = {name: text.replace("\\", "\\\\").replace('"', '\\"') for name, text in
              (("approved_by", told.approved_by), ("reason", told.reason))}  # fmt: skip
    content = (
        f'consumer = "{told.consumer}"\napproved_by = "{quoted["approved_by"]}"\nreason = "{quoted["reason"]}"\n'
        f"expires = {told.expires:%Y-%m-%dT%H:%M:%S}\n"
    ).encode()
    read_toml(content.decode(), Permission, file=str(file), what=f"the exception {file}")
    write_atomic(file, content)
    write_atomic(signature_of(file), signer.sign(_message(content)))


def _message(content: bytes) -> bytes:
    return bound(AGENT_EXCEPTION) + content
