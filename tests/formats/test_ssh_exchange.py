"""Signatures of SSH host keys, against asyncssh's own: what is checked, what is not, and what is wrong."""

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric import x25519

from keystrand.formats.ssh_exchange import Transcript, doubt_of_signature, exchange_hash, opening
from keystrand.formats.tls_key_share import X25519Part
from keystrand.model.errors import InvalidInput

RSA = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
KEYS = {
    "ssh-rsa": RSA,
    "rsa-sha2-256": RSA,
    "rsa-sha2-512": RSA,
    **{
        name: asyncssh.generate_private_key(name)
        for name in ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
    },
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_signatures_of_asyncssh_are_checked(algorithm: str) -> None:
    """Every algorithm in use: the right signature leaves no doubt, one over something else is refused."""
    key = KEYS[algorithm]
    signature = key.sign(b"the exchange", algorithm.encode())
    assert doubt_of_signature(key.public_data, algorithm, signature, b"the exchange") == ""
    with pytest.raises(InvalidInput, match="not by the host key"):
        doubt_of_signature(key.public_data, algorithm, signature, b"another exchange")


def test_one_rsa_algorithm_is_not_taken_for_another() -> None:
    """SHA-1 where SHA-512 was agreed is refused (RFC 8332, 3)."""
    with pytest.raises(InvalidInput, match="another algorithm"):
        doubt_of_signature(RSA.public_data, "rsa-sha2-512", RSA.sign(b"x", b"ssh-rsa"), b"x")


@pytest.mark.parametrize("algorithm", ["ssh-dss", "sk-ssh-ed25519@openssh.com", "ssh-ed25519-cert-v01@openssh.com"])
def test_what_is_not_checked_is_a_doubt(algorithm: str) -> None:
    """Neither proven nor refuted."""
    assert "not checked" in doubt_of_signature(b"", algorithm, b"", b"")


@pytest.mark.parametrize("answer", [b"", bytes(32), bytes(33)])
def test_an_answer_that_is_none_is_refused(answer: bytes) -> None:
    """No octets, the point of order one, and one octet too many."""
    ours = opening("sha256", X25519Part(x25519.X25519PrivateKey.generate()))
    with pytest.raises(InvalidInput):
        exchange_hash(Transcript(b"", b"", b"", b""), b"", ours, answer)
