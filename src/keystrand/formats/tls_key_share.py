"""Key shares of TLS 1.3: our public part, and the secret that the server's part makes of it. Keys are arguments.

A hybrid share is its parts one after the other, and so is its secret (draft-ietf-tls-ecdhe-mlkem, 4.1 to 4.3).
"""

from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystrand.formats.tls_wire import TlsUnreadable


class SharePart(Protocol):
    """One key exchange. `answer_octets` is the length of what the server sends for it."""

    answer_octets: int

    @property
    def public(self) -> bytes:
        """Return what we send."""

    def secret(self, answer: bytes) -> bytes:
        """Return the shared secret. Raises `ValueError` where `answer` is no answer to it."""


class X25519Part:
    """X25519 (RFC 7748)."""

    answer_octets = 32

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private

    @property
    def public(self) -> bytes:
        """Return our public value."""
        return self._private.public_key().public_bytes_raw()

    def secret(self, answer: bytes) -> bytes:
        """Return the shared value."""
        return self._private.exchange(X25519PublicKey.from_public_bytes(answer))


class X25519BasePart:
    """X25519 whose public value is the base point, so that the other side's public value is the secret.

    It costs no curve arithmetic, and keeps nothing secret: only for a talk that ends before anything is encrypted.
    """

    answer_octets = 32
    public = (9).to_bytes(32, "little")

    def secret(self, answer: bytes) -> bytes:
        """Return the shared value, which is `answer`. Raises `ValueError` where that is zero (RFC 7748, 6.1)."""
        if not any(answer):
            raise ValueError("the point at infinity")
        return answer


class X448Part:
    """X448 (RFC 7748)."""

    answer_octets = 56

    def __init__(self, private: X448PrivateKey) -> None:
        self._private = private

    @property
    def public(self) -> bytes:
        """Return our public value."""
        return self._private.public_key().public_bytes_raw()

    def secret(self, answer: bytes) -> bytes:
        """Return the shared value."""
        return self._private.exchange(X448PublicKey.from_public_bytes(answer))


class CurvePart:
    """ECDH on a NIST curve, uncompressed points (RFC 8446, 4.2.8.2)."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self.answer_octets = 1 + 2 * ((private.curve.key_size + 7) // 8)

    @property
    def public(self) -> bytes:
        """Return our point."""
        return self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def secret(self, answer: bytes) -> bytes:
        """Return the x coordinate of the shared point."""
        return self._private.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(self._private.curve, answer)
        )


class KemPart:
    """ML-KEM (FIPS 203): the server's part is a ciphertext."""

    def __init__(self, private: MLKEM768PrivateKey | MLKEM1024PrivateKey) -> None:
        self._private = private
        self.answer_octets = 1088 if isinstance(private, MLKEM768PrivateKey) else 1568

    @property
    def public(self) -> bytes:
        """Return our encapsulation key."""
        return self._private.public_key().public_bytes_raw()

    def secret(self, answer: bytes) -> bytes:
        """Return the encapsulated secret; a forged ciphertext gives an unrelated one (FIPS 203, 6.3)."""
        return self._private.decapsulate(answer)


def joint_secret(parts: tuple[SharePart, ...], answer: bytes) -> bytes:
    """Return the secrets of all `parts`, one after the other. Raises `TlsUnreadable` as `KeyShare.secret` does."""
    if len(answer) != sum(part.answer_octets for part in parts):
        raise TlsUnreadable(f"the server's key share has {len(answer)} octets, which its group does not allow")
    secret, at = b"", 0
    for part in parts:
        try:
            secret += part.secret(answer[at : at + part.answer_octets])
        except ValueError as error:
            raise TlsUnreadable("the server's key share is no valid point or ciphertext") from error
        at += part.answer_octets
    return secret


class KeyShare(NamedTuple):
    """Our half of the key exchange in `group`."""

    group: int
    parts: tuple[SharePart, ...]

    @property
    def public(self) -> bytes:
        """Return what a ClientHello carries."""
        return b"".join(part.public for part in self.parts)

    def secret(self, answer: bytes) -> bytes:
        """Return the shared secret. Raises `TlsUnreadable` where `answer` cannot be the server's half."""
        return joint_secret(self.parts, answer)
