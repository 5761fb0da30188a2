"""JSON web keys, alone, in sets, and anywhere in a JSON document (RFC 7517, 7518, 8037; RFC 9964 for ML-DSA)."""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from keystrand.formats import spki
from keystrand.formats.key_facts import Found
from keystrand.formats.x509_facts import certificate_fact, public_key_fact
from keystrand.model.algorithm import Function
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import AlgorithmUse

MARK = b'"kty"'
MAX_OCTETS = 8 * 1024**2
"""Octets of a JSON document that is read for keys."""
MAX_KEYS = 10_000
_CURVES = {"P-256": "P-256", "P-384": "P-384", "P-521": "P-521", "secp256k1": "secp256k1"}
_PRIVATE = ("d", "priv", "k")
_MACS = {"HS256": "HMAC-SHA-256", "HS384": "HMAC-SHA-384", "HS512": "HMAC-SHA-512"}


def web_keys(content: bytes) -> tuple[Found, ...]:
    """Return every web key in `content`, a JSON document or one a line; empty where it is none."""
    if MARK not in content or len(content) > MAX_OCTETS:
        return ()
    return tuple(one for document in _documents(content) for one in _keys(document))[:MAX_KEYS]


def _documents(content: bytes) -> Iterator[Any]:
    try:
        yield json.loads(content)
    except (ValueError, RecursionError):
        for line in content.splitlines():
            if MARK in line and line.lstrip().startswith(b"{"):
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError):
                    continue


def _keys(document: Any) -> Iterator[Found]:
    """Yield the keys in a document, in its order; without recursion, for it may be as deep as it likes."""
    waiting = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, dict):
            if isinstance(one.get("kty"), str):
                yield _key(one)
            waiting += reversed(list(one.values()))


def _key(key: dict[str, Any]) -> Found:
    private = any(isinstance(key.get(part), str) for part in _PRIVATE)
    try:
        if key["kty"] == "oct":
            return _shared(key)
        facts = [public_key_fact(_information(key), private_part_present=private)]
        chain = key.get("x5c")
        certificates = [certificate_fact(base64.b64decode(one)) for one in (chain if isinstance(chain, list) else ())]
    except (KeyError, ValueError, TypeError, binascii.Error, InvalidInput):
        return Found(gap="a JSON web key that cannot be read, or of a kind that this release does not know")
    return Found((*facts, *certificates))


def _shared(key: dict[str, Any]) -> Found:
    """Return the use that a secret key is for: nothing else of it may be told."""
    name = _MACS.get(str(key.get("alg")))
    use = AlgorithmUse(algorithm=name, function=Function.MAC) if name else None
    return Found((use,) if use else (), "" if use else "a secret JSON web key")


def _information(key: dict[str, Any]) -> bytes:
    """Return the SubjectPublicKeyInfo. Raises `KeyError` and `ValueError` where a part is missing or wrong."""
    kind = key["kty"]
    if kind == "RSA":
        return spki.rsa(_octets(key["n"]), _octets(key["e"]))
    if kind == "EC":
        curve = spki.CURVE_OIDS[_CURVES[key["crv"]]]
        return spki.on_curve(curve, b"\4" + _octets(key["x"]) + _octets(key["y"]))
    if kind == "OKP":
        return spki.raw(str(key["crv"]), _octets(key["x"]))
    if kind == "AKP":
        return spki.raw(str(key["alg"]), _octets(key["pub"]))
    raise ValueError("a kind of key that is not known")


def _octets(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
