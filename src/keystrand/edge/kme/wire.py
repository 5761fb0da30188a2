"""Bodies with key material: on the wire base64, here secrets and nothing else. And what another KME says went wrong."""

from typing import Any, TypeVar

from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Error, Key, KeyContainer, Status
from keystrand.model.errors import InvalidInput
from keystrand.model.taken_apart import take_apart
from keystrand.model.words import shown

T = TypeVar("T")

SecretKey = Key[Secret]
"""A key of ETSI GS QKD 014 as it is handled here."""
take_apart(Status, KeyContainer[Secret], Error)


def _write(value: Any) -> str:
    if isinstance(value, Secret):
        return etsi014.base64_of(value.view())
    raise NotImplementedError(f"{type(value).__name__} is no part of a body")


def _read(kind: type[Any], value: Any) -> Any:
    if kind is not Secret:
        raise NotImplementedError(f"{kind.__name__} is no part of a body")
    return Secret(etsi014.octets_of(value))


def encode(body: Struct) -> bytes:
    """Return the JSON of a body that may hold secrets: here they become base64, and nowhere else."""
    return etsi014.encode(body, _write)


def decode(body: bytes, kind: type[T]) -> T:
    """Return `body` as a `kind` that may hold secrets. Raises `InvalidInput`."""
    return etsi014.decode(body, kind, _read)


_DETAILS = 1024
"""As many details as a request has key IDs."""


def error_of(answer: bytes) -> Error:
    """Return what another KME says is wrong, cut to what may stand in a log; without a reason where that is no Error.

    Table 4 lets a 401 come without a body.
    """
    try:
        told = etsi014.decode(answer, Error)
    except InvalidInput:
        return Error(message="without a reason")
    details = [{shown(name): shown(str(value))} for one in told.details for name, value in one.items()]
    return Error(message=shown(told.message), details=tuple(details[:_DETAILS]))
