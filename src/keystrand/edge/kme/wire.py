"""Bodies with key material: on the wire base64, here secrets and nothing else."""

from typing import Any, TypeVar

from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Key

T = TypeVar("T")

SecretKey = Key[Secret]
"""A key of ETSI GS QKD 014 as it is handled here."""


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
