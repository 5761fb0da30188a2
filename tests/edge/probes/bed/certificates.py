"""Self-signed certificates of every kind that the servers show."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


class Pair(NamedTuple):
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | mldsa.MLDSA65PrivateKey


def certificates(folder: Path) -> Mapping[str, Pair]:
    """Return a fresh pair of each kind by its canonical name, written to `folder`."""
    keys: dict[str, Key] = {
        "RSA-2048": rsa.generate_private_key(65537, 2048),
        "ECDSA-P-256": ec.generate_private_key(ec.SECP256R1()),
        "ECDSA-P-384": ec.generate_private_key(ec.SECP384R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate(),
    }
    return MappingProxyType({name: _written(folder, name, key) for name, key in keys.items()})


def _written(folder: Path, name: str, key: Key) -> Pair:
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    pair.certificate.write_bytes(_self_signed(key).public_bytes(Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pair.key.chmod(0o600)
    return pair


def _self_signed(key: Key) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server.example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=30)
    )
    digest = hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None
    return builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("*.example")]), critical=False).sign(
        key, digest
    )
