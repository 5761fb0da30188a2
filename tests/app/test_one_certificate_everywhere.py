"""One certificate on the wire, in every kind of file and in another tool's bill of materials is one asset."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from tests.app.test_inventory_pipeline import DAY, of
from tests.inventory.test_inventory_merge import an_estate

from keystrand.app.inventory import scan_estate
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import Certificate, PublicKey, Strength

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("keytool")), reason="needs openssl and keytool"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one certificate in PEM, DER, PKCS#7, PKCS#12, JKS and two bills of materials."""
    home = tmp_path_factory.mktemp("estate")
    files = home / "store"
    files.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Shop"), x509.NameAttribute(NameOID.COMMON_NAME, "web")]
    )
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(0x0A1B2C3D).not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC)).sign(key, hashes.SHA256())
    )  # fmt: skip
    (home / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (files / "web.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (files / "web.der").write_bytes(made.public_bytes(Encoding.DER))
    (files / "web.p7b").write_bytes(pkcs7.serialize_certificates([made], Encoding.DER))
    (files / "web.p12").write_bytes(pkcs12.serialize_key_and_certificates(b"web", key, made, None, NoEncryption()))
    command = ["keytool", "-importcert", "-noprompt", "-alias", "web", "-storetype", "JKS", "-storepass", "changeit"]
    command += ["-file", str(files / "web.pem"), "-keystore", str(files / "web.jks")]
    subprocess.run(command, check=True, capture_output=True)
    (files / "told.cdx.json").write_text(json.dumps(bill(made)))
    return home


def bill(made: x509.Certificate) -> dict[str, object]:
    """Return what another tool says of the certificate: whose it is, its number and its key, but no hash of it."""
    spki = hashes.Hash(hashes.SHA256())
    spki.update(made.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    key = {
        "type": "cryptographic-asset", "bom-ref": "k", "name": "key",
        "cryptoProperties": {
            "assetType": "related-crypto-material",
            "relatedCryptoMaterialProperties": {
                "type": "public-key", "size": 256, "algorithmRef": "a",
                "fingerprint": {"alg": "SHA-256", "content": spki.finalize().hex()},
            },
        },
    }  # fmt: skip
    algorithm = {
        "type": "cryptographic-asset", "bom-ref": "a", "name": "ECDSA-P-256",
        "cryptoProperties": {"assetType": "algorithm", "algorithmProperties": {"primitive": "signature"}},
    }  # fmt: skip
    certificate = {
        "type": "cryptographic-asset", "bom-ref": "c", "name": "web",
        "cryptoProperties": {
            "assetType": "certificate",
            "certificateProperties": {
                "serialNumber": "A1B2C3D", "subjectName": "CN=web, O=Shop", "issuerName": "CN=web, O=Shop",
                "notValidBefore": "2026-01-01T00:00:00Z", "notValidAfter": "2027-01-01T00:00:00Z",
                "signatureAlgorithmRef": "a", "subjectPublicKeyRef": "k",
            },
        },
    }  # fmt: skip
    return {"bomFormat": "CycloneDX", "specVersion": "1.7", "version": 1, "components": [certificate, key, algorithm]}


@contextmanager
def serving(home: Path) -> Iterator[int]:
    """Yield the port of an openssl server with the certificate."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-key", str(home / "key.pem"), "-quiet", "-www"]
    with subprocess.Popen([*command, "-cert", str(home / "store" / "web.pem")], stdout=subprocess.DEVNULL) as child:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        try:
            yield port
        finally:
            child.terminate()


def test_it_is_one_asset(folder: Path) -> None:
    """Seven places and the wire, one identity: the strongest evidence is what the server really sent."""
    with serving(folder) as port:
        targets = (
            Target(id="web", probe=ProbeKind.TLS, system="shop", host="127.0.0.1", port=port),
            Target(id="store", probe=ProbeKind.FILES, system="bank", path="store"),
        )
        inventory = scan_estate(of(an_estate(target=targets), folder), folder / "out", as_of=DAY).inventory
    (asset,) = [asset for asset in inventory.assets if isinstance(asset.fact, Certificate)]
    assert {o.place.partition("#")[0].rpartition("/")[2].partition("!")[0] for o in asset.occurrences} == {
        f"127.0.0.1:{port}", "web.pem", "web.der", "web.p7b", "web.p12", "web.jks", "told.cdx.json",
    }  # fmt: skip
    assert asset.strength is Strength.NEGOTIATED
    assert [conflict for conflict in asset.conflicts if conflict.startswith(("sha256", "spki"))] == []
    assert isinstance(asset.fact, Certificate)
    keys = [one.fact.sha256 for one in inventory.assets if isinstance(one.fact, PublicKey)]
    assert keys == [asset.fact.spki_sha256]
