"""Two ends show each other that they hold the same key, without showing the key.

The tag is HMAC-SHA-512 (RFC 2104) under a key of its own, derived from the key in question by HKDF (RFC 5869): to
whoever cannot tell these from chance a tag says nothing about the key. It covers who says it, both ends, what the key
is for and the nonces, so that no tag serves at another end, for another use, or twice.
"""

import hmac

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keystrand.crypto.labels import AGENT_AGREED_KEY, AGENT_PROOF, bound
from keystrand.crypto.secret import Secret

_OCTETS = 64


def key_proof(key: Secret, *told: str) -> bytes:
    """Return the tag that whoever says `told` holds `key`; compare it with `hmac.compare_digest`."""
    made = bytearray(_OCTETS)
    try:
        HKDF(SHA512(), _OCTETS, AGENT_PROOF.encode(), b"").derive_into(key.view(), made)
        return hmac.digest(made, bound(AGENT_PROOF, *told), "sha512")
    finally:
        made[:] = bytes(_OCTETS)


def agreed_key(secret: bytes, octets: int, *told: str) -> Secret:
    """Return the key of `octets` bytes that two agents derive from the `secret` of their agreement, bound to `told`."""
    made = bytearray(octets)
    try:
        HKDF(SHA512(), octets, AGENT_AGREED_KEY.encode(), bound(AGENT_AGREED_KEY, *told)).derive_into(secret, made)
        return Secret(made)
    finally:
        made[:] = bytes(octets)
