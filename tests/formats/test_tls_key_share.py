"""A hybrid share is its parts in order, and so is the secret: checked from the server's side."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey, MLKEM1024PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystrand.formats.tls_codepoints import SECP384R1_MLKEM1024
from keystrand.formats.tls_key_share import CurvePart, KemPart, KeyShare, X25519BasePart, joint_secret
from keystrand.formats.tls_wire import TlsUnreadable


def share() -> KeyShare:
    """Return a fresh share of SecP384r1MLKEM1024."""
    curve = CurvePart(ec.generate_private_key(ec.SECP384R1()))
    return KeyShare(SECP384R1_MLKEM1024, (curve, KemPart(MLKEM1024PrivateKey.generate())))


def test_both_sides_agree() -> None:
    """The server, splitting our share at the point's 97 octets, computes the same secret: curve first, then ML-KEM."""
    ours = share()
    server = ec.generate_private_key(ec.SECP384R1())
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), ours.public[:97])
    encapsulated, ciphertext = MLKEM1024PublicKey.from_public_bytes(ours.public[97:]).encapsulate()
    answer = server.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) + ciphertext
    assert ours.secret(answer) == server.exchange(ec.ECDH(), point) + encapsulated


@pytest.mark.parametrize("answer", [b"", bytes(97 + 1567), bytes(97 + 1569), bytes(97 + 1568)])
def test_what_cannot_be_an_answer(answer: bytes) -> None:
    """A wrong length and a point that is not on the curve are refused."""
    with pytest.raises(TlsUnreadable):
        share().secret(answer)


def test_against_the_base_point_the_answer_is_the_secret() -> None:
    """What the server computes from the base point is its own public value; the point at infinity is refused."""
    ours, server = X25519BasePart(), X25519PrivateKey.generate()
    answer = server.public_key().public_bytes_raw()
    assert joint_secret((ours,), answer) == server.exchange(X25519PublicKey.from_public_bytes(ours.public))
    with pytest.raises(TlsUnreadable):
        joint_secret((ours,), bytes(32))
