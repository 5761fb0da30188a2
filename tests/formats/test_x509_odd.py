"""Certificates as they should not be: each that can be walked is named, whatever the library thinks of it."""

import datetime as dt
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.key_files import objects_in
from keystrand.formats.oids import NAMES, name_of
from keystrand.formats.oids_drafts import DRAFTS
from keystrand.formats.spki import encoded, oid_element
from keystrand.formats.x509_facts import MAX_NAMES, certificate_fact
from keystrand.model.algorithm import Function
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import AlgorithmUse, Certificate, PublicKey

SEQUENCE, INTEGER, BITS, OCTETS = 0x30, 0x02, 0x03, 0x04
UTC_TIME, GENERAL_TIME = 0x17, 0x18
COMMON_NAME = encoded(SEQUENCE, encoded(0x31, encoded(SEQUENCE, oid_element("2.5.4.3"), encoded(0x0C, b"odd"))))


def made(
    signature: str = "1.2.840.10045.4.3.2",
    key: str = "1.2.840.10045.2.1",
    serial: bytes = b"\x01",
    begin: bytes = encoded(UTC_TIME, b"250101000000Z"),
    end: bytes = encoded(GENERAL_TIME, b"20500101000000Z"),
    extensions: bytes = b"",
    name: bytes = COMMON_NAME,
    octets: bytes = bytes(32),
) -> bytes:
    """Return a certificate with these parts; its key and signature are octets of no meaning."""
    algorithm = encoded(SEQUENCE, oid_element(signature))
    information = encoded(SEQUENCE, encoded(SEQUENCE, oid_element(key)), encoded(BITS, b"\0" + octets))
    more = encoded(0xA3, encoded(SEQUENCE, extensions)) if extensions else b""
    fields = (encoded(INTEGER, serial), algorithm, name, encoded(SEQUENCE, begin, end), name, information)
    tbs = encoded(SEQUENCE, encoded(0xA0, b"\x02\x01\x02"), *fields, more)
    return encoded(SEQUENCE, tbs, algorithm, encoded(BITS, b"\0" + bytes(64)))


def extension(oid: str, value: bytes) -> bytes:
    """Return an extension that is not critical."""
    return encoded(SEQUENCE, oid_element(oid), encoded(OCTETS, value))


@pytest.mark.parametrize("oid", [*NAMES, *DRAFTS])
def test_every_algorithm_of_the_tables_is_named(oid: str) -> None:
    """A certificate with any of them as its key's and its signature's algorithm is read, and both are named."""
    der = made(signature=oid, key=oid)
    fact = certificate_fact(der)
    assert fact.signature_algorithm == fact.key_algorithm == name_of(oid)
    assert "OID" not in fact.key_algorithm
    assert fact.sha256 == hashlib.sha256(der).hexdigest()
    assert any(isinstance(one, Certificate) for found in objects_in(der) for one in found.facts)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=8))
def test_unknown_algorithms_are_named_by_their_number(rest: list[int]) -> None:
    """What no table knows is `OID-` and its number."""
    oid = "1.2.999." + ".".join(map(str, rest))
    fact = certificate_fact(made(signature=oid, key=oid))
    assert (fact.key_algorithm, fact.signature_algorithm) == (f"OID-{oid}",) * 2


@pytest.mark.parametrize("serial", [b"\xff", b"\x80\x00", b"\x00", b"\x00\x00\x01", b"\x7f" * 30, b""])
def test_odd_serial_numbers_are_kept_as_they_stand(serial: bytes) -> None:
    """Negative, zero, not minimal, too long and empty: kept octet for octet."""
    fact = certificate_fact(made(serial=serial))
    assert fact.serial == serial.hex()
    assert fact.subject == "CN=odd"


@pytest.mark.parametrize(
    ("tag", "text", "day"),
    [
        (GENERAL_TIME, b"99991231235959Z", dt.date(9999, 12, 31)),
        (GENERAL_TIME, b"20500101000000.123Z", dt.date(2050, 1, 1)),
        (GENERAL_TIME, b"20500101000000+0100", dt.date(2050, 1, 1)),
        (GENERAL_TIME, b"205001010000Z", dt.date(2050, 1, 1)),
        (GENERAL_TIME, b"20500101", dt.date(2050, 1, 1)),
        (GENERAL_TIME, b"20500230000000Z", dt.date(2050, 2, 28)),
        (GENERAL_TIME, b"00000000000000Z", dt.date(1, 1, 1)),
        (GENERAL_TIME, b"20501399000000Z", dt.date(2050, 12, 31)),
        (UTC_TIME, b"4912312359Z", dt.date(2049, 12, 31)),
        (UTC_TIME, b"500101000000Z", dt.date(1950, 1, 1)),
        (UTC_TIME, b"991231235959-0500", dt.date(1999, 12, 31)),
    ],
)
def test_odd_times_give_their_day(tag: int, text: bytes, day: dt.date) -> None:
    """Fractions, zones, missing seconds, days that no calendar has, and the year 9999: the certificate is named."""
    assert certificate_fact(made(end=encoded(tag, text))).not_after == day


@pytest.mark.parametrize("text", [b"", b"2050", b"never", b"2050013\xff", b"9" * 33])
def test_a_time_without_a_day_is_refused(text: bytes) -> None:
    """Where there are no digits for a day, nothing is made up."""
    with pytest.raises(InvalidInput):
        certificate_fact(made(end=encoded(GENERAL_TIME, text)))


def test_ten_thousand_names_are_bounded() -> None:
    """The first are kept, and the certificate says how many more there are."""
    names = b"".join(encoded(0x82, b"n%05d.example" % n) for n in range(10_000))
    fact = certificate_fact(made(extensions=extension("2.5.29.17", encoded(SEQUENCE, names))))
    assert len(fact.names) == MAX_NAMES + 1
    assert fact.names[-1].startswith(f"and {10_000 - MAX_NAMES} more names")


def test_names_that_the_library_refuses_are_read_by_our_own_walk() -> None:
    """Text in old alphabets, an address of the wrong size beside a good name, and a role told in odd DER."""
    old = encoded(
        SEQUENCE,
        encoded(0x31, encoded(SEQUENCE, oid_element("2.5.4.10"), encoded(0x14, b"B\xfcro"))),
        encoded(0x31, encoded(SEQUENCE, oid_element("2.5.4.3"), encoded(0x1E, "µ".encode("utf-16-be")))),
    )
    names = encoded(
        SEQUENCE, encoded(0x82, b"web.example"), encoded(0x87, b"\1\2\3"), encoded(0x87, bytes([192, 0, 2, 1]))
    )
    more = extension("2.5.29.17", names) + extension("2.5.29.19", encoded(SEQUENCE, encoded(0x01, b"\x01")))
    fact = certificate_fact(made(name=old, extensions=more, serial=b""))
    assert (fact.subject, fact.names) == ("CN=µ,O=Büro", ("192.0.2.1", "web.example"))
    assert fact.authority


def test_both_keys_of_a_hybrid_certificate_are_told() -> None:
    """The second key and the second signature stand in extensions: both are facts beside the certificate."""
    second = mldsa.MLDSA65PrivateKey.generate().public_key()
    spki = second.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hybrid")])
    begin = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, begin, begin + dt.timedelta(days=90))
    algorithm = encoded(SEQUENCE, oid_element("2.16.840.1.101.3.4.3.18"))
    for number, value in ((72, spki), (73, algorithm), (74, encoded(BITS, bytes(100)))):
        oid = x509.ObjectIdentifier(f"2.5.29.{number}")
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
    (found,) = objects_in(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    first, alternative, signature = found.facts
    assert isinstance(first, Certificate)
    assert first.key_algorithm == "ECDSA-P-256"
    assert alternative == PublicKey(sha256=hashlib.sha256(spki).hexdigest(), algorithm="ML-DSA-65")
    assert signature == AlgorithmUse(algorithm="ML-DSA-65", function=Function.SIGNATURE)


@pytest.mark.parametrize("key", [b"", b"\x30", b"\x02\x01\x05", bytes(300)])
def test_a_key_that_cannot_be_read_costs_its_size_only(key: bytes) -> None:
    """An RSA key of no known form: the certificate and its algorithm are named all the same."""
    fact = certificate_fact(made(key="1.2.840.113549.1.1.1", octets=key))
    assert (fact.key_algorithm, fact.key_bits) == ("RSA", None)


@pytest.mark.parametrize(
    ("signature", "digest"),
    [("1.2.840.113549.1.1.5", "SHA-1"), ("1.2.840.113549.1.1.4", "MD5"), ("1.2.840.113549.1.1.11", None)],
)
def test_a_broken_digest_under_an_issuers_signature_is_told(signature: str, digest: str | None) -> None:
    """SHA-1 and MD5 under a signature that others rely on; that of a certificate by itself is left out."""
    issued = made(signature=signature)
    other = COMMON_NAME.replace(b"odd", b"ca!")
    tbs = issued.replace(COMMON_NAME, other, 1)
    uses = [one.algorithm for found in objects_in(tbs) for one in found.facts if isinstance(one, AlgorithmUse)]
    assert uses == ([digest] if digest else [])
    assert [one for found in objects_in(issued) for one in found.facts if isinstance(one, AlgorithmUse)] == []
