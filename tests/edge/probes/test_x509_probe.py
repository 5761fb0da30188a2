"""The X.509 file probe: real files in real folders, and never a file outside the estate's folder."""

import datetime as dt
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from keystrand.edge.probes.tree import TreeProbe
from keystrand.formats.documents import encode_record
from keystrand.model.algorithm import Function
from keystrand.model.estate import ProbeKind, Target
from keystrand.model.observation import (
    AlgorithmUse,
    Attempt,
    Certificate,
    Keystore,
    Observation,
    Outcome,
    PublicKey,
    Record,
    Strength,
)

EXAMPLE = Path(__file__).parents[3] / "examples" / "regional-bank"
KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web")])
BEGIN = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
CERTIFICATE = x509.CertificateBuilder(NAME, NAME, KEY.public_key(), 7, BEGIN, BEGIN + dt.timedelta(days=90)).sign(
    KEY, hashes.SHA256()
)
PEM = CERTIFICATE.public_bytes(Encoding.PEM)


def _read(folder: Path, path: str) -> tuple[list[Observation], Attempt]:
    """Return the observations and the one attempt on the whole target, which is the last record."""
    target = Target(id="files", probe=ProbeKind.X509, system="web", path=path)
    records: tuple[Record, ...] = TreeProbe(ProbeKind.X509).read(target, folder)
    attempt = records[-1]
    assert isinstance(attempt, Attempt)
    assert attempt.place == f"file:{path}"
    assert all(encode_record(record) for record in records)
    return [record for record in records if isinstance(record, Observation)], attempt


def _names(found: list[Observation]) -> dict[str, list[str]]:
    """Return the key algorithms of the certificates by place."""
    names: dict[str, list[str]] = {}
    for one in found:
        if isinstance(one.fact, Certificate):
            names.setdefault(one.place, []).append(one.fact.key_algorithm)
    return names


def test_the_example_estate_reads_as_its_readme_says() -> None:
    """The six files of the regional bank: each format is read, and each certificate has its place."""
    found, attempt = _read(EXAMPLE, "certs")
    assert (attempt.outcome, attempt.reason) == (Outcome.SEEN, "")
    assert _names(found) == {
        "file:certs/build-signing-rsa-2048.pem#1": ["RSA-2048"],
        "file:certs/build-signing-rsa-2048.pem#2": ["ECDSA-P-384"],
        "file:certs/clearing-expired-rsa-2048.pem#1": ["RSA-2048"],
        "file:certs/issuing-authority-ecdsa-p384.pem#1": ["ECDSA-P-384"],
        "file:certs/mobile-app-signing-ecdsa-p256.der#1": ["ECDSA-P-256"],
        "file:certs/network-firmware-ml-dsa-65.pem#1": ["ML-DSA-65"],
        "file:certs/partner-trust-store.p12#1": ["RSA-2048"],
        "file:certs/partner-trust-store.p12#2": ["ECDSA-P-384"],
    }
    assert {one.strength for one in found} == {Strength.CONFIGURED}


def test_use_is_told_of_end_entities_only() -> None:
    """A certificate of a service is a use of its key; that of an authority is not."""
    found, _ = _read(EXAMPLE, "certs/build-signing-rsa-2048.pem")
    uses = [(one.place, one.fact) for one in found if isinstance(one.fact, AlgorithmUse)]
    expected = AlgorithmUse(algorithm="RSA-2048", function=Function.SIGNATURE)
    assert uses == [("file:certs/build-signing-rsa-2048.pem#1", expected)]


def test_folders_are_read_in_a_fixed_order(tmp_path: Path) -> None:
    """A folder is read with all below it; other files in it are passed over."""
    (tmp_path / "b").mkdir()
    for name in ("z.pem", "a.pem", "b/c.pem"):
        (tmp_path / name).write_bytes(PEM)
    (tmp_path / "notes.txt").write_text("nothing here")
    found, attempt = _read(tmp_path, ".")
    assert list(_names(found)) == ["file:a.pem#1", "file:z.pem#1", "file:b/c.pem#1"]
    assert (attempt.outcome, attempt.reason) == (Outcome.SEEN, "")


def test_private_key_beside_its_certificate(tmp_path: Path) -> None:
    """The key is known by its public part; no octet of the private part is in any record."""
    (tmp_path / "web.pem").write_bytes(PEM + KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    found, _ = _read(tmp_path, "web.pem")
    (certificate,) = [one.fact for one in found if isinstance(one.fact, Certificate)]
    (key,) = [one.fact for one in found if isinstance(one.fact, PublicKey)]
    assert (key.sha256, key.private_part_present) == (certificate.spki_sha256, True)
    scalar = f"{KEY.private_numbers().private_value:064x}"
    assert not any(scalar[:16] in encode_record(one).decode() for one in found)


@pytest.mark.parametrize("path", ["../outside.pem", "link.pem", "folder-link", "inside/../../outside.pem"])
def test_nothing_outside_the_folder_is_read(tmp_path: Path, path: str) -> None:
    """Paths and links that lead out of the estate's folder are refused, with the reason."""
    (tmp_path / "outside.pem").write_bytes(PEM)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "web.pem").write_bytes(PEM)
    estate = tmp_path / "estate"
    (estate / "inside").mkdir(parents=True)
    (estate / "link.pem").symlink_to(tmp_path / "outside.pem")
    (estate / "folder-link").symlink_to(tmp_path / "elsewhere")
    found, attempt = _read(estate, path)
    assert found == []
    assert attempt.outcome is Outcome.SKIPPED
    assert "outside the estate's folder" in attempt.reason


def test_links_inside_a_folder_do_not_lead_out(tmp_path: Path) -> None:
    """Within a folder that is read, a link that leads out and a link to a folder are reasons; the rest is read."""
    (tmp_path / "outside.pem").write_bytes(PEM)
    estate = tmp_path / "estate"
    estate.mkdir()
    (estate / "own.pem").write_bytes(PEM)
    (estate / "same.pem").symlink_to("own.pem")
    (estate / "out.pem").symlink_to(tmp_path / "outside.pem")
    (estate / "loop").symlink_to(".")
    found, attempt = _read(estate, ".")
    assert list(_names(found)) == ["file:own.pem#1", "file:same.pem#1"]
    assert "out.pem: a link that leads out" in attempt.reason
    assert "loop: a link to a folder" in attempt.reason


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    """Missing, too large, not a file, encrypted, damaged and without content: each has its outcome and reason."""
    (tmp_path / "damaged.pem").write_bytes(PEM.replace(b"MII", b"AAA", 1))
    (tmp_path / "notes.txt").write_text("nothing here")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.pem")
    (tmp_path / "round.pem").symlink_to("round.pem")
    expected = {
        "missing.pem": (Outcome.UNREADABLE, "no such file"),
        "pipe.pem": (Outcome.UNREADABLE, "not a regular file"),
        "round.pem": (Outcome.UNREADABLE, "round.pem: "),
        "damaged.pem": (Outcome.UNPARSABLE, "not an X.509 certificate"),
        "notes.txt": (Outcome.NONE, "no certificate or key"),
        "empty": (Outcome.NONE, "no certificate or key"),
        "nul\0.pem": (Outcome.UNREADABLE, "not a path that can be read"),
        "": (Outcome.SKIPPED, "outside"),
    }
    for path, (outcome, reason) in expected.items():
        found, attempt = _read(tmp_path, path)
        assert (found, attempt.outcome) == ([], outcome), path
        assert reason in attempt.reason
    assert _read(tmp_path, ".")[1].outcome is Outcome.UNREADABLE


def test_a_locked_store_is_recorded_as_present(tmp_path: Path) -> None:
    """A store that no known password opens is seen, with its content unknown; the target's own passwords are tried."""
    store = pkcs12.serialize_key_and_certificates(b"w", KEY, CERTIFICATE, None, BestAvailableEncryption(b"of ours"))
    (tmp_path / "store.p12").write_bytes(store)
    found, attempt = _read(tmp_path, "store.p12")
    assert found[0].fact == Keystore(format="PKCS#12", entries=None, encrypted=True)
    assert (attempt.outcome, attempt.reason) == (Outcome.SEEN, "store.p12: #1 encrypted")
    target = Target(id="files", probe=ProbeKind.X509, system="web", path="store.p12", passwords=("of ours",))
    records = TreeProbe(ProbeKind.X509).read(target, tmp_path)
    facts = [type(one.fact) for one in records if isinstance(one, Observation)]
    assert facts == [Certificate, AlgorithmUse, PublicKey, Keystore]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    """A file and a folder that may not be read are unreadable, not empty."""
    (tmp_path / "closed.pem").write_bytes(PEM)
    (tmp_path / "closed.pem").chmod(0)
    found, attempt = _read(tmp_path, "closed.pem")
    assert (found, attempt.outcome) == ([], Outcome.UNREADABLE)


def test_names_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    """A file name of any octets can be written to the observations."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.pem")).write_bytes(PEM)
    found, _ = _read(tmp_path, ".")
    assert list(_names(found)) == [r"file:caf\xe9.pem#1"]
