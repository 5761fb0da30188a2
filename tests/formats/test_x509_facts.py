"""Certificates: every fact as `cryptography` sees it; algorithms no library knows are named; garbage is refused."""

import contextlib
import datetime as dt
import hashlib
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.formats.der import children, sequence
from keystrand.formats.x509_facts import (
    MAX_NAMES,
    MAX_TEXT,
    UNREADABLE_NAME,
    certificate_fact,
    public_key_fact,
    shortened,
)
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.errors import InvalidInput

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web.bank.example")])
BEGIN, END = dt.datetime(2024, 2, 29, tzinfo=dt.UTC), dt.datetime(2051, 3, 1, tzinfo=dt.UTC)
KEYS: dict[str, CertificateIssuerPrivateKeyTypes] = {
    "RSA-2048": rsa.generate_private_key(65537, 2048),
    "ECDSA-P-256": ec.generate_private_key(ec.SECP256R1()),
    "ECDSA-P-384": ec.generate_private_key(ec.SECP384R1()),
    "ECDSA-P-521": ec.generate_private_key(ec.SECP521R1()),
    "ECDSA-secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "ECDSA-brainpoolP256r1": ec.generate_private_key(ec.BrainpoolP256R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
    "ML-DSA-44": mldsa.MLDSA44PrivateKey.generate(),
    "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate(),
    "ML-DSA-87": mldsa.MLDSA87PrivateKey.generate(),
    "DSA-2048": dsa.generate_private_key(2048),
}
HASHED = ("RSA", "ECDSA", "DSA")


def made(name: str, *, authority: bool = False) -> x509.Certificate:
    """Return a certificate that the key called `name` signs for itself."""
    names = [x509.DNSName("web.bank.example"), x509.IPAddress(ipaddress.ip_address("192.0.2.7"))]
    builder = (
        x509.CertificateBuilder(NAME, NAME, KEYS[name].public_key(), 0x80FF, BEGIN, END)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    return builder.sign(KEYS[name], hashes.SHA256() if name.startswith(HASHED) else None)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("authority", [False, True])
def test_every_fact_is_what_cryptography_says(name: str, authority: bool) -> None:  # noqa: FBT001 - pytest gives it by name
    """Hashes, names, dates, serial, role, key and signature algorithm agree with the library's own view."""
    certificate = made(name, authority=authority)
    der = certificate.public_bytes(Encoding.DER)
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    fact = certificate_fact(der)
    assert fact.sha256 == certificate.fingerprint(hashes.SHA256()).hex()
    assert fact.spki_sha256 == hashlib.sha256(spki).hexdigest() == public_key_fact(spki).sha256
    assert fact.subject == certificate.subject.rfc4514_string()
    assert fact.issuer == certificate.issuer.rfc4514_string()
    assert int(fact.serial, 16) == certificate.serial_number
    assert fact.not_before == certificate.not_valid_before_utc.date()
    assert fact.not_after == certificate.not_valid_after_utc.date()
    assert fact.names == ("192.0.2.7", "web.bank.example")
    assert fact.authority is authority
    assert fact.key_algorithm == name == public_key_fact(spki).algorithm
    assert fact.key_bits == (2048 if name in ("RSA-2048", "DSA-2048") else None)
    assert name.startswith(fact.signature_algorithm)
    assert classify(fact.key_algorithm).function is Function.SIGNATURE


ML_DSA_65_OID = bytes.fromhex("0609608648016503040312")


@pytest.mark.parametrize(
    ("last", "name"), [(20, "SLH-DSA-SHA2-128s"), (25, "SLH-DSA-SHA2-256f"), (26, "SLH-DSA-SHAKE-128s")]
)
def test_slh_dsa_is_named_though_no_library_knows_it(last: int, name: str) -> None:
    """An object identifier alone is enough to name SLH-DSA, as key and as signature."""
    der = made("ML-DSA-65").public_bytes(Encoding.DER)
    assert der.count(ML_DSA_65_OID) == 3
    fact = certificate_fact(der.replace(ML_DSA_65_OID, ML_DSA_65_OID[:-1] + bytes([last])))
    assert (fact.key_algorithm, fact.signature_algorithm) == (name, name)
    assert classify(fact.key_algorithm).verdict is Verdict.QUANTUM_SAFE
    assert fact.subject == "CN=web.bank.example"


def test_an_algorithm_nobody_named_is_unknown_not_safe() -> None:
    """An unregistered object identifier is shown as it is, and never counts as safe."""
    der = made("ML-DSA-65").public_bytes(Encoding.DER)
    fact = certificate_fact(der.replace(ML_DSA_65_OID, ML_DSA_65_OID[:-1] + bytes([0x7F])))
    assert fact.key_algorithm == "OID-2.16.840.1.101.3.4.3.127"
    assert classify(fact.key_algorithm).verdict is Verdict.UNKNOWN


def test_a_name_as_a_bit_string_does_not_stop_the_reading() -> None:
    """`cryptography` refuses such a name with a TypeError; a server that shows one must not end a scan."""
    der = made("ML-DSA-65").public_bytes(Encoding.DER)
    text = b"\x0c\x10web.bank.example"
    assert der.count(text) == 2
    fact = certificate_fact(der.replace(text, b"\x03" + text[1:]))
    assert (fact.key_algorithm, fact.subject) == ("ML-DSA-65", UNREADABLE_NAME)


def test_a_version_the_library_refuses_is_still_read() -> None:
    """Version 4 does not exist; `cryptography` refuses it, we name its algorithms and read its names ourselves."""
    der = made("Ed25519").public_bytes(Encoding.DER)
    assert der.count(b"\xa0\x03\x02\x01\x02") == 1
    fact = certificate_fact(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03"))
    assert (fact.key_algorithm, fact.subject) == ("Ed25519", "CN=web.bank.example")


def test_octets_after_the_certificate_do_not_change_its_identity() -> None:
    """A trailing newline, as some tools leave it, makes no other certificate."""
    der = made("Ed25519").public_bytes(Encoding.DER)
    assert certificate_fact(der + b"\n") == certificate_fact(der)


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_garbage_is_refused_as_invalid_input(garbage: bytes) -> None:
    """Random octets raise `InvalidInput` and nothing else."""
    for read in (certificate_fact, public_key_fact):
        with pytest.raises(InvalidInput):
            read(garbage)


SAMPLES = [made(name).public_bytes(Encoding.DER) for name in ("RSA-2048", "ECDSA-P-256", "DSA-2048", "Ed25519")]


@given(st.sampled_from(SAMPLES), st.data())
@settings(deadline=None)
def test_truncation_is_always_noticed(der: bytes, choices: st.DataObject) -> None:
    """A certificate cut anywhere is refused."""
    with pytest.raises(InvalidInput):
        certificate_fact(der[: choices.draw(st.integers(0, len(der) - 1))])


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=400, deadline=None)
def test_damage_raises_invalid_input_or_nothing(der: bytes, choices: st.DataObject) -> None:
    """Octets changed anywhere give facts or `InvalidInput`, never another error."""
    damaged = bytearray(der)
    for at, value in choices.draw(
        st.dictionaries(st.integers(0, len(der) - 1), st.integers(0, 255), max_size=3)
    ).items():
        damaged[at] = value
    with contextlib.suppress(InvalidInput):
        assert len(certificate_fact(bytes(damaged)).sha256) == 64


def signed_with(*extensions: x509.ExtensionType, common_name: str = "web.bank.example") -> bytes:
    """Return a certificate in DER with these extensions."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=False)])
    builder = x509.CertificateBuilder(name, name, KEYS["Ed25519"].public_key(), 5, BEGIN, END)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEYS["Ed25519"], None).public_bytes(Encoding.DER)


def test_an_extension_that_makes_the_library_raise_key_error_is_unread() -> None:
    """`cryptography` raises KeyError on a TLS feature it does not know; the subject stays, the names are unread."""
    names = x509.SubjectAlternativeName([x509.DNSName("web.bank.example")])
    der = signed_with(x509.TLSFeature([x509.TLSFeatureType.status_request]), names)
    assert der.count(b"\x30\x03\x02\x01\x05") == 1
    damaged = der.replace(b"\x30\x03\x02\x01\x05", b"\x30\x03\x02\x01\x0b")
    with pytest.raises(KeyError):
        _ = x509.load_der_x509_certificate(damaged).extensions
    fact = certificate_fact(damaged)
    assert (fact.subject, fact.names) == ("CN=web.bank.example", (UNREADABLE_NAME,))


@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_long_and_many_names_are_shortened_and_the_remark_says_so() -> None:
    """However much text a certificate carries, a bounded part of it is kept, and that is stated."""
    names = x509.SubjectAlternativeName([x509.DNSName(f"{n:04}" + "x" * 3000) for n in range(MAX_NAMES + 44)])
    fact = certificate_fact(signed_with(names, common_name="y" * 200_000))
    assert len(fact.names) == MAX_NAMES + 1
    assert fact.names[-1] == "and 44 more names (shortened)"
    assert max(map(len, (fact.subject, fact.issuer, *fact.names))) < MAX_TEXT + 20
    assert "too long or too many" in shortened(fact)
    assert shortened(certificate_fact(made("Ed25519").public_bytes(Encoding.DER))) == ""


def test_a_huge_serial_number_is_shortened() -> None:
    """Serial numbers have 20 octets at most (RFC 5280, 4.1.2.2); one of 150,000 is not kept whole."""
    der = made("Ed25519").public_bytes(Encoding.DER)
    assert der.count(b"\x02\x03\x00\x80\xff") == 1
    outer = sequence(der)
    fields = [part.raw for part in children(outer[0].content)]
    fields[1] = _long(0x02, bytes([1]) * 150_000)
    fact = certificate_fact(_long(0x30, _long(0x30, b"".join(fields)) + outer[1].raw + outer[2].raw))
    assert len(fact.serial) < MAX_TEXT + 20
    assert shortened(fact)


def _long(tag: int, content: bytes) -> bytes:
    return bytes([tag, 0x84]) + len(content).to_bytes(4, "big") + content


def test_a_time_of_any_length_is_not_repeated_in_the_reason() -> None:
    """The error of a certificate with an absurd time does not carry its octets."""
    der = made("Ed25519").public_bytes(Encoding.DER)
    outer = sequence(der)
    fields = [part.raw for part in children(outer[0].content)]
    fields[4] = _long(0x30, _long(0x18, b"9" * 100_000) * 2)
    with pytest.raises(InvalidInput) as error:
        certificate_fact(_long(0x30, _long(0x30, b"".join(fields)) + outer[1].raw + outer[2].raw))
    assert len(error.value.message) < 200
