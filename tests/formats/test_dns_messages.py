"""DNS messages and the records of DNSSEC: made by hand here, and any octets at all."""

import hashlib
import struct
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats import dns_security as security
from keystrand.formats.dns_messages import (
    DNSKEY,
    MAX_RECORDS,
    Asked,
    DnsUnreadable,
    name_at,
    query,
    reply,
    wire_name,
)

ZONE = b"\4bank\7example\0"
ASKED = Asked(0x1234, ZONE, DNSKEY)


def answered(*records: bytes, flags: int = 0x8180, asked: Asked = ASKED, count: int | None = None) -> bytes:
    """Return an answer that repeats the question."""
    head = struct.pack(">HHHHHH", asked.identifier, flags, 1, len(records) if count is None else count, 0, 0)
    return head + asked.name + struct.pack(">HH", asked.kind, 1) + b"".join(records)


def record(content: bytes, kind: int = DNSKEY, owner: bytes = b"\xc0\x0c") -> bytes:
    """Return a record; its owner is at first the name of the question."""
    return owner + struct.pack(">HHIH", kind, 1, 3600, len(content)) + content


PublicKey = (
    rsa.RSAPublicKey | dsa.DSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)


def spki(key: PublicKey) -> bytes:
    """Return a key as everything but DNS writes it."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_query_is_laid_out_as_the_standard_says() -> None:
    """Recursion and no validation asked for, one question, EDNS with DO (RFC 1035, 4.1; RFC 3225)."""
    assert query(ASKED) == bytes.fromhex("1234 0110 0001 0000 0000 0001") + ZONE + bytes.fromhex(
        "0030 0001 00 0029 04d0 0000 8000 0000"
    )


def test_names_are_written_as_dns_holds_them() -> None:
    """Lower case, A-labels, the root; what DNS cannot hold is refused."""
    assert wire_name("Bank.Example.") == ZONE
    assert wire_name(".") == b"\0"
    assert wire_name("bücher.example") == b"\x0dxn--bcher-kva\7example\0"
    for bad in ("a..example", "x" * 64 + ".example", ".".join(["x" * 60] * 5)):
        with pytest.raises(UnicodeError):
            wire_name(bad)


def test_an_answer_is_read_with_compressed_names_in_lower_case() -> None:
    """Its response code, and the records of its answer section."""
    found = reply(ASKED, answered(record(b"one"), record(b"two", owner=b"\3WWW\xc0\x0c")))
    assert (found.truncated, found.code) == (False, 0)
    assert found.records == ((ZONE, DNSKEY, b"one"), (b"\3www" + ZONE, DNSKEY, b"two"))
    assert reply(ASKED, answered(flags=0x8183)).code == 3
    cut = reply(ASKED, answered(record(b"one"), flags=0x8380))
    assert cut.truncated
    assert cut.records == ()


def test_what_answers_something_else_is_no_answer() -> None:
    """Another identifier, name, type, a query, no question at all: an outsider's guess."""
    good = answered(record(b"one"))
    for bad, words in (
        (b"\x12\x35" + good[2:], "nothing of ours"),
        (good[:2] + b"\1\x80" + good[4:], "nothing of ours"),
        (answered(asked=ASKED._replace(name=b"\1x\0")), "another question"),
        (answered(asked=ASKED._replace(kind=1)), "another question"),
        (good[:4] + bytes(8), "without the question"),
        (good[:-1], "cut short"),
        (answered(count=5), "cut short"),
        (good[:11], "too short"),
    ):
        with pytest.raises(DnsUnreadable, match=words):
            reply(ASKED, bad)


def test_pointers_in_circles_and_names_without_end_are_refused() -> None:
    """A pointer leads backwards only (RFC 1035, 4.1.4)."""
    for bad in (b"\xc0\0", b"\1a\xc0\0", b"\xc0\2\xc0\0", b"\x3f" + b"a" * 63, b"\x80", (b"\x3f" + b"a" * 63) * 5):
        with pytest.raises(DnsUnreadable):
            name_at(bad, 0)
    many = reply(ASKED, answered(*[record(b"")] * (MAX_RECORDS + 1)))
    assert len(many.records) == MAX_RECORDS


@given(st.binary(max_size=200))
def test_no_octets_make_the_readers_raise_anything_but_unreadable(octets: bytes) -> None:
    """A message, what follows a plausible head, and the content of each kind of record."""
    readers = (
        lambda one: reply(ASKED, one),
        lambda one: reply(ASKED, answered(one, count=3)),
        security.dnskey,
        lambda one: security.dnskey(b"\1\1\3\x08" + one),
        lambda one: security.dnskey(b"\1\1\3\3" + one),
        security.rrsig,
        security.ds,
        security.nsec3,
        security.tlsa,
        security.sshfp,
    )
    for read in readers:
        try:
            read(octets)
        except DnsUnreadable:
            continue


def dnskey(algorithm: int, key: bytes, flags: int = 257) -> bytes:
    """Return the content of a DNSKEY record."""
    return struct.pack(">HBB", flags, 3, algorithm) + key


def rsa_key(public: rsa.RSAPublicKey) -> bytes:
    """Return an RSA key as RFC 3110 writes it."""
    numbers = public.public_numbers()
    exponent = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
    return bytes((len(exponent),)) + exponent + numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")


def test_keys_are_the_ones_known_everywhere_else() -> None:
    """The hash of the SubjectPublicKeyInfo, the canonical name and the size."""
    of_rsa = rsa.generate_private_key(65537, 2048).public_key()
    of_curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    point = of_curve.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    edwards_448 = ed448.Ed448PrivateKey.generate().public_key()
    for content, key, name in (
        (dnskey(8, rsa_key(of_rsa)), of_rsa, "RSA-2048"),
        (dnskey(5, b"\0" + struct.pack(">H", 3) + rsa_key(of_rsa)[1:]), of_rsa, "RSA-2048"),
        (dnskey(14, point), of_curve, "ECDSA-P-384"),
        (dnskey(15, edwards.public_bytes_raw()), edwards, "Ed25519"),
        (dnskey(16, edwards_448.public_bytes_raw()), edwards_448, "Ed448"),
    ):
        fact = security.dnskey(content).fact
        assert fact is not None
        assert (fact.algorithm, fact.sha256) == (name, hashlib.sha256(spki(key)).hexdigest())


def test_a_dsa_key_is_read_and_a_key_of_an_unknown_kind_only_named() -> None:
    """And a key that is not on its curve, or is no number, is no key."""
    numbers = dsa.generate_private_key(1024).public_key().public_numbers()  # noqa: S505 - such keys exist
    parameters = numbers.parameter_numbers
    large = b"".join(one.to_bytes(128, "big") for one in (parameters.p, parameters.g, numbers.y))
    key = b"\x08" + parameters.q.to_bytes(20, "big") + large
    fact = security.dnskey(dnskey(3, key)).fact
    assert fact is not None
    assert fact.algorithm == "DSA-1024"
    for algorithm, bad in ((13, bytes(64)), (8, b"\x03\1\0\1"), (3, b""), (12, bytes(64)), (250, b"x")):
        assert security.dnskey(dnskey(algorithm, bad)).fact is None
    assert [security.algorithm_name(one) for one in (7, 6, 13, 250)] == [
        "RSA",
        "DSA",
        "ECDSA-P-256",
        "DNSSEC-algorithm-250",
    ]
    assert [security.digest_name(one) for one in (7, 14, 15)] == ["SHA-1", "SHA-384", ""]
    with pytest.raises(DnsUnreadable, match="protocol 2"):
        security.dnskey(b"\1\1\2\x08")


def test_tags_and_delegations_are_computed_as_the_standard_says() -> None:
    """By another way of adding up (RFC 4034, appendix B), and with the digest over owner and key."""
    content = dnskey(13, bytes(range(64)))
    words = struct.unpack(f">{len(content) // 2}H", content)
    total = sum(words)
    key = security.dnskey(content)
    assert key.tag == (total + (total >> 16)) & 0xFFFF
    digest = hashlib.sha256(ZONE + content).digest()
    head = struct.pack(">HBB", key.tag, 13, 2)
    assert security.delegates_to(security.ds(head + digest), ZONE, key) is True
    assert security.delegates_to(security.ds(head + bytes(32)), ZONE, key) is False
    assert security.delegates_to(security.ds(head[:3] + b"\3" + bytes(32)), ZONE, key) is None


def test_signatures_denials_and_published_keys_are_read() -> None:
    """Each by its drawing in the standard."""
    times = (datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    content = (
        struct.pack(">HBBIIIH", 6, 13, 2, 3600, *(int(one.timestamp()) for one in times), 99) + ZONE + b"signature"
    )
    assert security.rrsig(content) == (6, 13, times[1], times[0], 99, ZONE)
    assert security.nsec3(b"\1\0\0\x0a\4salt") == (1, 10, 4)
    assert security.sshfp(b"\4\2" + bytes(32)) == (4, 2)
    assert security.tlsa(b"\3\1\1" + bytes(32)) == (3, 1, 1, None)
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    whole = security.tlsa(b"\3\1\0" + spki(key)).whole
    assert whole is not None
    assert security.tlsa(b"\3\0\0no certificate").whole is None
