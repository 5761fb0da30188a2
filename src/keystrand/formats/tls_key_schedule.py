"""The server's handshake keys of TLS 1.3 and its encrypted records (RFC 8446, sections 5.2, 5.3, 7.1 and 7.3)."""

import hashlib
import hmac
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from keystrand.formats.tls_wire import Record, TlsUnreadable, number, vector

_Cipher = Callable[[bytes], AESGCM | ChaCha20Poly1305 | AESCCM]
_SUITES: dict[int, tuple[str, _Cipher, int]] = {
    0x1301: ("sha256", AESGCM, 16),
    0x1302: ("sha384", AESGCM, 32),
    0x1303: ("sha256", ChaCha20Poly1305, 32),
    0x1304: ("sha256", AESCCM, 16),
    0x1305: ("sha256", partial(AESCCM, tag_length=8), 16),
}
NONCE_OCTETS = 12
_MESSAGE_HASH = 254


TLS_LABELS, DTLS_LABELS = b"tls13 ", b"dtls13"
"""What every label begins with (RFC 8446, 7.1; RFC 9147, 5.9)."""


def parameters_of(suite: int) -> tuple[str, _Cipher, int]:
    """Return hash, cipher and key length in octets of a suite. Raises `TlsUnreadable` for one that was not offered."""
    if suite not in _SUITES:
        raise TlsUnreadable(f"cipher suite 0x{suite:04x} was not offered")
    return _SUITES[suite]


def _hash_of(suite: int) -> str:
    return parameters_of(suite)[0]


def retried_transcript(suite: int, first_hello: bytes) -> bytes:
    """Return what stands for the first ClientHello after a HelloRetryRequest (RFC 8446, 4.4.1)."""
    digest = hashlib.new(_hash_of(suite), first_hello).digest()
    return number(_MESSAGE_HASH, 1) + vector(3, digest)


def expand(hash_name: str, secret: bytes, info: bytes, octets: int) -> bytes:
    """Return HKDF-Expand (RFC 5869, 2.3) of `octets` octets."""
    found, block = b"", b""
    while len(found) < octets:
        block = hmac.digest(secret, block + info + bytes((len(found) // len(secret) + 1,)), hash_name)
        found += block
    return found[:octets]


def expand_label(
    hash_name: str, secret: bytes, label: bytes, context: bytes, octets: int, labels: bytes = TLS_LABELS
) -> bytes:
    """Return HKDF-Expand-Label (RFC 8446, 7.1)."""
    return expand(hash_name, secret, number(octets) + vector(1, labels + label) + vector(1, context), octets)


class HandshakeSecrets(NamedTuple):
    """`client_handshake_traffic_secret` and `server_handshake_traffic_secret`."""

    client: bytes
    server: bytes


def handshake_secrets(
    suite: int, shared_secret: bytes, transcript: bytes, labels: bytes = TLS_LABELS
) -> HandshakeSecrets:
    """Return the secrets of the handshake's messages; `transcript` is every message up to the ServerHello."""
    name = _hash_of(suite)
    zeros = bytes(hashlib.new(name).digest_size)
    empty = hashlib.new(name, b"").digest()
    early = hmac.digest(zeros, zeros, name)
    handshake = hmac.digest(expand_label(name, early, b"derived", empty, len(zeros), labels), shared_secret, name)
    said = hashlib.new(name, transcript).digest()
    client, server = (
        expand_label(name, handshake, label, said, len(zeros), labels) for label in (b"c hs traffic", b"s hs traffic")
    )
    return HandshakeSecrets(client, server)


class RecordOpener:
    """Decrypts the server's records in their order."""

    def __init__(self, suite: int, secret: bytes) -> None:
        name, cipher, key_octets = parameters_of(suite)
        self._cipher = cipher(expand_label(name, secret, b"key", b"", key_octets))
        self._iv = int.from_bytes(expand_label(name, secret, b"iv", b"", NONCE_OCTETS), "big")
        self._sequence = 0

    def open(self, record: Record) -> tuple[int, bytes]:
        """Return content type and content. Raises `TlsUnreadable` where the record is not authentic."""
        nonce = number(self._iv ^ self._sequence, NONCE_OCTETS)
        try:
            padded = self._cipher.decrypt(nonce, record.body, record.header)
        except (InvalidTag, ValueError) as error:
            raise TlsUnreadable("an encrypted record cannot be opened") from error
        self._sequence += 1
        plain = padded.rstrip(b"\0")
        if not plain:
            raise TlsUnreadable("an encrypted record holds nothing but padding")
        return plain[-1], plain[:-1]
