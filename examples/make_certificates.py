"""Makes the certificate files of `regional-bank/certs`: fresh keys that nobody keeps, fixed names, dates and serials.

Run it only when the set of files is to change: `python examples/make_certificates.py`. Keys and signatures differ with
each run; everything else that a scan reports, except hashes, stays.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, pkcs12
from cryptography.x509.oid import NameOID

CERTS = Path(__file__).resolve().parent / "regional-bank" / "certs"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | mldsa.MLDSA65PrivateKey


class Signer(NamedTuple):
    """An authority: its name and the key it signs with."""

    name: x509.Name
    key: Key


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Regional Bank (fictional)"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _certificate(common: str, key: Key, years: tuple[int, int], serial: int, signer: Signer | None) -> x509.Certificate:
    """Return a certificate valid from 1 January to 1 January of `years`; without a signer, a self-signed authority."""
    by = signer or Signer(_name(common), key)
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in years)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(by.name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    return builder.sign(by.key, None if isinstance(by.key, mldsa.MLDSA65PrivateKey) else hashes.SHA384())


def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def make() -> dict[str, bytes]:
    """Return the content of every file by its name."""
    root_key, partner_key, firmware_key = (
        ec.generate_private_key(ec.SECP384R1()),
        _rsa(),
        mldsa.MLDSA65PrivateKey.generate(),
    )
    root = _certificate("Issuing authority", root_key, (2024, 2044), 1001, None)
    bank = Signer(root.subject, root_key)
    partner = _certificate("Card processor authority", partner_key, (2022, 2037), 2001, None)
    signing = _certificate("Build signing", _rsa(), (2026, 2029), 1002, bank)
    mobile = _certificate(
        "Mobile application signing", ec.generate_private_key(ec.SECP256R1()), (2025, 2035), 1003, bank
    )
    clearing = _certificate("clearing.regional-bank.example", _rsa(), (2021, 2024), 1004, bank)
    firmware = _certificate("Network firmware", firmware_key, (2026, 2041), 3001, None)
    return {
        "issuing-authority-ecdsa-p384.pem": root.public_bytes(Encoding.PEM),
        "build-signing-rsa-2048.pem": signing.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM),
        "mobile-app-signing-ecdsa-p256.der": mobile.public_bytes(Encoding.DER),
        "clearing-expired-rsa-2048.pem": clearing.public_bytes(Encoding.PEM),
        "network-firmware-ml-dsa-65.pem": firmware.public_bytes(Encoding.PEM),
        "partner-trust-store.p12": pkcs12.serialize_key_and_certificates(
            None, None, None, [partner, root], NoEncryption()
        ),
    }


if __name__ == "__main__":
    for file_name, content in make().items():
        (CERTS / file_name).write_bytes(content)
