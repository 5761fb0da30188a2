"""Certificates and keys in files: every container gives the same identities, and no private octet comes out."""

import base64
import datetime as dt
import hashlib
import warnings

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.formats import key_objects
from keystrand.formats.key_facts import ENCRYPTED
from keystrand.formats.key_files import objects_in
from keystrand.formats.ssh_wire import read_string, string
from keystrand.model.observation import AlgorithmUse, Certificate, Keystore, PublicKey

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web")])
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
ML_DSA = mldsa.MLDSA65PrivateKey.generate()
DSA = dsa.generate_private_key(2048)
KEYS: dict[str, CertificateIssuerPrivateKeyTypes] = {
    "RSA-2048": RSA, "ECDSA-P-256": P256, "Ed25519": ED25519, "ML-DSA-65": ML_DSA, "DSA-2048": DSA,
}  # fmt: skip


def certificate(key: CertificateIssuerPrivateKeyTypes) -> x509.Certificate:
    """Return a certificate that `key` signs for itself."""
    begin = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 7, begin, begin + dt.timedelta(days=90))
    hashed = isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return builder.sign(key, hashes.SHA256() if hashed else None)


def identity(key: CertificateIssuerPrivateKeyTypes) -> str:
    """Return the SHA-256 of the key's SubjectPublicKeyInfo."""
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def private(key: CertificateIssuerPrivateKeyTypes, form: PrivateFormat, encoding: Encoding = Encoding.PEM) -> bytes:
    """Return `key` without a password."""
    return key.private_bytes(encoding, form, NoEncryption())


def only_key(content: bytes) -> PublicKey:
    """Return the one fact in `content`, which must be a key."""
    (found,) = objects_in(content)
    (fact,) = found.facts
    assert isinstance(fact, PublicKey)
    assert found.gap == ""
    return fact


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_private_and_public_file_of_one_key_share_its_identity(name: str, encoding: Encoding) -> None:
    """PKCS#8 and SubjectPublicKeyInfo, in PEM and DER, are the same key; only one has a private part."""
    key = KEYS[name]
    private_fact = only_key(private(key, PrivateFormat.PKCS8, encoding))
    public_fact = only_key(key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo))
    assert private_fact.sha256 == public_fact.sha256 == identity(key)
    assert private_fact.algorithm == public_fact.algorithm == name
    assert (private_fact.private_part_present, public_fact.private_part_present) == (True, False)


@pytest.mark.parametrize("key", [RSA, P256, DSA])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_traditional_private_keys_are_read(key: CertificateIssuerPrivateKeyTypes, encoding: Encoding) -> None:
    """PKCS#1, SEC1 and OpenSSL's DSA form give the same identity."""
    assert only_key(private(key, PrivateFormat.TraditionalOpenSSL, encoding)).sha256 == identity(key)


@pytest.mark.parametrize("key", [RSA, P256, ED25519])
@pytest.mark.parametrize("encrypted", [False, True])
def test_openssh_private_key_shows_its_public_part_even_if_encrypted(
    key: CertificateIssuerPrivateKeyTypes,
    encrypted: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    """OpenSSH leaves the public part in clear: the identity is known without the password."""
    content = private(key, PrivateFormat.OpenSSH)
    fact = only_key(_as_if_encrypted(content) if encrypted else content)
    assert (fact.sha256, fact.private_part_present) == (identity(key), True)


def _as_if_encrypted(pem: bytes) -> bytes:
    """Return an OpenSSH private key with the header of an encrypted one and noise for its private part."""
    blob = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    plain = b"openssh-key-v1\0" + string(b"none") + string(b"none") + string(b"")
    assert blob.startswith(plain)
    public, _ = read_string(blob, len(plain) + 4)
    options = string(bytes(range(16))) + bytes([0, 0, 0, 16])
    made = b"openssh-key-v1\0" + string(b"aes256-ctr") + string(b"bcrypt") + string(options)
    made += bytes([0, 0, 0, 1]) + string(public) + string(bytes(range(160)))
    lines = base64.encodebytes(made)
    return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + lines + b"-----END OPENSSH PRIVATE KEY-----\n"


def test_pkcs1_public_key_is_read() -> None:
    """`BEGIN RSA PUBLIC KEY` is the same key as its SubjectPublicKeyInfo."""
    assert only_key(RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)).sha256 == identity(RSA)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_encrypted_private_key_is_recorded_as_such(form: PrivateFormat) -> None:
    """An encrypted key tells that it is there, and what it is encrypted with; so does its DER form."""
    pem = RSA.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"x"))
    (found,) = objects_in(pem)
    store, cipher, *derivation = found.facts
    name = "PKCS#8" if form is PrivateFormat.PKCS8 else "PEM"
    assert (store, found.gap) == (Keystore(format=name, entries=1, encrypted=True), ENCRYPTED)
    assert isinstance(cipher, AlgorithmUse)
    assert cipher.algorithm == "AES-256-CBC"
    assert len(derivation) == (form is PrivateFormat.PKCS8)
    if form is PrivateFormat.PKCS8:
        der = RSA.private_bytes(Encoding.DER, form, BestAvailableEncryption(b"x"))
        assert [one.gap for one in objects_in(der)] == [ENCRYPTED]


def _windows(octets: bytes) -> set[bytes]:
    return {octets[at : at + 8] for at in range(len(octets) - 7)}


@pytest.mark.parametrize("key", KEYS.values())
def test_no_private_octet_comes_out(key: CertificateIssuerPrivateKeyTypes) -> None:
    """No window of the private key's own octets appears in what is returned, as octets, hex or repr."""
    content = private(key, PrivateFormat.PKCS8, Encoding.DER)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    said = repr(objects_in(content)) + str(msgspec.json.encode(objects_in(content)))
    windows = _windows(content) - _windows(spki)
    assert windows
    assert not any(window.hex() in said or repr(window)[2:-1] in said for window in windows)


def test_der_objects_one_after_the_other_are_all_read() -> None:
    """A second certificate in a DER file is not passed over; a line end after the last is no object."""
    first, second = (certificate(key).public_bytes(Encoding.DER) for key in (ML_DSA, RSA))
    found = objects_in(first + second + b"\r\n")
    assert [fact.key_algorithm for one in found for fact in one.facts if isinstance(fact, Certificate)] == [
        "ML-DSA-65",
        "RSA-2048",
    ]
    assert [one.gap for one in found] == ["", ""]


@pytest.mark.parametrize("rest", [b"\x30\x03\x02\x01", b"\x30\x00", b"text"])
def test_what_follows_a_der_object_unread_is_said(rest: bytes) -> None:
    """What comes after the last object and is not recognised is a gap, for it may be a key."""
    *_, last = objects_in(certificate(RSA).public_bytes(Encoding.DER) + rest)
    assert not last.facts
    assert last.gap.startswith("something after the last object")


def test_indefinite_length_of_others_holds_nothing() -> None:
    """A structure of open length (BER) that is none of ours holds nothing; cut off, it does not raise."""
    assert objects_in(b"\x30\x80\x02\x01\x03\x30\x80\x00\x00\x00\x00") == ()
    assert objects_in(b"\x30\x80\x02\x01\x03\x30\x80") == ()


def test_pem_with_several_objects_keeps_their_order_and_text_between() -> None:
    """A chain with its key, comments and CRLF line ends gives one object each, in order."""
    pem = b"subject=web\n" + certificate(RSA).public_bytes(Encoding.PEM) + private(RSA, PrivateFormat.PKCS8)
    pem += b"# the issuer\n" + certificate(ML_DSA).public_bytes(Encoding.PEM).replace(b"\n", b"\r\n")
    kinds = [type(fact) for found in objects_in(b"\xef\xbb\xbf" + pem) for fact in found.facts]
    assert kinds == [Certificate, PublicKey, Certificate]
    first, key, _ = (fact for found in objects_in(pem) for fact in found.facts)
    assert isinstance(first, Certificate)
    assert isinstance(key, PublicKey)
    assert first.spki_sha256 == key.sha256


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_pkcs7_gives_every_certificate(encoding: Encoding) -> None:
    """A PKCS#7 bundle gives the same facts as its certificates one by one."""
    certificates = [certificate(RSA), certificate(P256), certificate(ML_DSA)]
    found = objects_in(pkcs7.serialize_certificates(certificates, encoding))
    alone = [objects_in(one.public_bytes(Encoding.DER))[0] for one in certificates]
    assert {one.facts for one in found} == {one.facts for one in alone}
    assert len(found) == 3


@pytest.mark.parametrize("password", [None, b"changeit"])
def test_pkcs12_opens_without_or_with_the_usual_password(password: bytes | None) -> None:
    """A store with key, certificate and authority gives all three, and itself."""
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    store = pkcs12.serialize_key_and_certificates(b"web", RSA, certificate(RSA), [certificate(P256)], protection)
    facts = [fact for found in objects_in(store) for fact in found.facts]
    assert [type(fact) for fact in facts] == [Certificate, Certificate, PublicKey, Keystore]
    assert facts[3] == Keystore(format="PKCS#12", entries=3, encrypted=password is not None)
    assert isinstance(facts[2], PublicKey)
    assert (facts[2].sha256, facts[2].private_part_present) == (identity(RSA), True)


def test_pkcs12_with_another_password_is_encrypted() -> None:
    """A store that none of the usual passwords opens says so."""
    store = pkcs12.serialize_key_and_certificates(
        b"web", RSA, certificate(RSA), None, BestAvailableEncryption(b"secret of ours")
    )
    (found,) = objects_in(store)
    assert found.facts[0] == Keystore(format="PKCS#12", entries=None, encrypted=True)
    assert found.gap == ENCRYPTED
    (*_, opened) = objects_in(store, ("another", "secret of ours"))
    assert opened.facts == (Keystore(format="PKCS#12", entries=2, encrypted=True),)


ML_DSA_65_OID, SLH_DSA_OID = bytes.fromhex("0609608648016503040312"), bytes.fromhex("0609608648016503040314")


def test_private_key_of_an_algorithm_no_library_knows_is_named() -> None:
    """The structure names SLH-DSA; its identity cannot be told, and the gap says so."""
    (found,) = objects_in(private(ML_DSA, PrivateFormat.PKCS8, Encoding.DER).replace(ML_DSA_65_OID, SLH_DSA_OID))
    (use,) = found.facts
    assert isinstance(use, AlgorithmUse)
    assert use.algorithm == "SLH-DSA-SHA2-128s"
    assert "could not be told" in found.gap


@pytest.mark.parametrize(
    ("content", "gap"),
    [
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "does not end"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!A\n-----END CERTIFICATE-----\n", "not"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not an X.509 certificate"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "not a list of revoked"),
        (b"-----BEGIN A THING-----\nAAAA\n-----END A THING-----\n", "A THING, which this release does not read"),
    ],
)
def test_what_cannot_be_read_has_a_reason(content: bytes, gap: str) -> None:
    """A damaged or unknown object is an object without facts and with its reason, never nothing."""
    (found,) = objects_in(content)
    assert found.facts == ()
    assert gap in found.gap


@pytest.mark.parametrize("content", [b"", b"hello", b"\x30", b"\x30\x00", b"\x7fELF" + bytes(60), b"0123456789" * 20])
def test_other_files_hold_nothing(content: bytes) -> None:
    """A file that is neither PEM nor any structure of ours gives no object."""
    assert objects_in(content) == ()


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_random_octets_never_raise(octets: bytes) -> None:
    """Random octets, bare and inside each kind of PEM block, give objects or none, never an error."""
    assert isinstance(objects_in(octets), tuple)
    for label in (b"CERTIFICATE", b"PRIVATE KEY", b"OPENSSH PRIVATE KEY", b"PKCS7", b"RSA PUBLIC KEY"):
        begin, end = b"-----BEGIN " + label + b"-----\n", b"-----END " + label + b"-----\n"
        (found,) = objects_in(begin + base64.encodebytes(octets) + end)
        assert found.facts or found.gap


def _samples() -> list[bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            certificate(P256).public_bytes(Encoding.DER),
            private(P256, PrivateFormat.PKCS8, Encoding.DER),
            private(P256, PrivateFormat.TraditionalOpenSSL, Encoding.DER),
            private(ML_DSA, PrivateFormat.PKCS8, Encoding.DER),
            private(ED25519, PrivateFormat.OpenSSH),
            pkcs7.serialize_certificates([certificate(P256)], Encoding.DER),
            pkcs12.serialize_key_and_certificates(b"w", P256, certificate(P256), None, NoEncryption()),
            certificate(ED25519).public_bytes(Encoding.PEM),
        ]


SAMPLES = _samples()


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_files_never_raise(content: bytes, choices: st.DataObject) -> None:
    """Real files with octets changed and cut anywhere give objects or none, never an error."""
    damaged = bytearray(content)
    changes = choices.draw(st.dictionaries(st.integers(0, len(content) - 1), st.integers(0, 255), max_size=3))
    for at, value in changes.items():
        damaged[at] = value
    found = objects_in(bytes(damaged[: choices.draw(st.integers(len(content) // 2, len(content)))]))
    assert all(one.facts or one.gap for one in found)


def test_an_error_that_nobody_foresaw_costs_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library raises on one object, it becomes that object's gap by the error's type; the others stay."""

    def fail(*_: object, **__: object) -> None:
        raise KeyError("octets of the file")

    monkeypatch.setattr(key_objects, "load_der_private_key", fail)
    found = objects_in(private(P256, PrivateFormat.PKCS8) + certificate(RSA).public_bytes(Encoding.PEM))
    assert [one.gap for one in found] == ["something that cannot be read (KeyError)", ""]
    assert isinstance(found[1].facts[0], Certificate)
    (bare,) = objects_in(private(P256, PrivateFormat.PKCS8, Encoding.DER))
    assert bare.gap == "something that cannot be read (KeyError)"


def test_a_certificate_with_too_much_text_says_so() -> None:
    """Its facts are kept in part, and the gap says that."""
    names = x509.SubjectAlternativeName([x509.DNSName(f"n{n}.example") for n in range(2000)])
    begin = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(NAME, NAME, P256.public_key(), 7, begin, begin + dt.timedelta(days=90))
    made = builder.add_extension(names, critical=False).sign(P256, hashes.SHA256())
    (found,) = objects_in(made.public_bytes(Encoding.PEM))
    assert found.facts
    assert "too many to keep" in found.gap
