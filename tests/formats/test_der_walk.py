"""The walk over DER against `cryptography`'s encoder: lengths, tags, object identifiers; bounded on hostile input."""

import contextlib

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.der import MAX_OID_OCTETS, children, element, object_identifier, sequence
from keystrand.formats.oids import NAMES, name_of
from keystrand.formats.oids_drafts import DRAFTS
from keystrand.model.algorithm import Verdict, classify


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4))
def test_object_identifiers_are_read_as_cryptography_writes_them(first: int, second: int, rest: list[int]) -> None:
    """The dotted form comes back from the library's own DER encoding of a name attribute's type."""
    dotted = ".".join(map(str, (first, second, *rest)))
    name = x509.Name([x509.NameAttribute(x509.ObjectIdentifier(dotted), "x")]).public_bytes()
    (attributes,) = sequence(name)
    (attribute,) = children(attributes.content)
    kind, value = children(attribute.content)
    assert (object_identifier(kind.content), value.content) == (dotted, b"x")


@pytest.mark.parametrize("size", [1, 127, 128, 255, 256, 40_000])
def test_lengths_of_every_form_are_read(size: int) -> None:
    """Short and long lengths delimit the value that the library encoded."""
    oid = x509.ObjectIdentifier("2.5.4.13")  # a description: of any length
    name = x509.Name([x509.NameAttribute(oid, "a" * size)]).public_bytes()
    (attributes,) = sequence(name)
    _, value = children(next(children(attributes.content)).content)
    assert value.content == b"a" * size
    assert element(name + b"rest").raw == name


@pytest.mark.parametrize(
    "octets", [b"", b"\x30", b"\x30\x80\x00\x00", b"\x30\x85" + bytes(9), b"\x1f\x01\x00", b"\x30\x02\x05"]
)
def test_what_is_not_definite_and_whole_is_refused(octets: bytes) -> None:
    """Nothing, indefinite lengths, overlong ones, long tags and cut values raise `ValueError`."""
    with pytest.raises(ValueError, match=r"ends early|not definite|several octets"):
        element(octets)


def test_an_endless_object_identifier_is_refused() -> None:
    """A number as long as the file would take quadratic time; it is refused at its length."""
    with pytest.raises(ValueError, match="longer"):
        object_identifier(b"\x81" * MAX_OID_OCTETS + b"\x01")


@given(st.binary(max_size=200))
def test_random_octets_raise_value_error_only(octets: bytes) -> None:
    """The walk gives elements that cover the input exactly, or `ValueError`."""
    with contextlib.suppress(ValueError):
        assert b"".join(part.raw for part in children(octets)) == octets


def test_every_registered_name_is_one_the_model_judges() -> None:
    """No name in the table reads as unknown to the model."""
    assert {name for name in NAMES.values() if classify(name).verdict is Verdict.UNKNOWN} == set()


def test_no_draft_is_called_safe_and_each_has_one_name() -> None:
    """Drafts, prototypes and candidates are named by what they are, and the model calls none of them safe."""
    assert DRAFTS.keys().isdisjoint(NAMES)
    assert {oid for oid in DRAFTS if classify(name_of(oid)).verdict is Verdict.QUANTUM_SAFE} == set()
    assert not any("OID" in name for name in DRAFTS.values())


@pytest.mark.parametrize(
    ("oid", "name"),
    [
        ("1.3.6.1.4.1.2.267.7.6.5", "Dilithium3"),
        ("1.3.9999.3.6", "Falcon-512"),
        ("1.3.9999.6.4.16", "SPHINCS+-SHA2-128s-simple"),
        ("1.3.9999.6.4.18", "RSA-3072 with SPHINCS+-SHA2-128s-simple"),
        ("1.3.9999.6.5.13", "ECDSA-P-384 with SPHINCS+-SHA2-192s-simple"),
        ("2.16.840.1.114027.80.8.1.28", "MLDSA65-ECDSA-P384-SHA512 (draft 03)"),
        ("2.16.840.1.114027.80.8.1.35", "MLDSA65-RSA4096-PKCS15-SHA512 (draft 03)"),
        ("2.16.840.1.114027.80.8.1.53", "HashMLDSA87-Ed448-SHA512 (draft 03)"),
        ("2.16.840.1.114027.80.9.1.17", "MLDSA87-ECDSA-P521-SHA512 (draft 07)"),
        ("1.3.6.1.5.5.7.6.66", "MLKEM1024-ECDH-P521-SHA3-256"),
        ("1.0.18033.2.2.7.8", "eFrodoKEM-1344-AES"),
        ("1.0.18033.2.2.6.16", "Classic-McEliece-8192128pcf"),
        ("1.3.6.1.4.1.22554.5.5.4", "NTRU-HRSS-701"),
        ("1.2.3.4", "OID-1.2.3.4"),
    ],
)
def test_drafts_are_named(oid: str, name: str) -> None:
    """The ends and middles of the tables stand where their drafts put them."""
    assert name_of(oid) == name


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=8))
def test_unregistered_object_identifiers_are_never_safe(numbers: list[int]) -> None:
    """Whatever the number, a name that is not in the table has verdict unknown."""
    oid = ".".join(map(str, (1, 3, *numbers)))
    if oid not in NAMES:
        assert classify(name_of(oid)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("last", "name"),
    [
        (36, None),
        (37, "MLDSA44-RSA2048-PSS-SHA256"),
        (45, "MLDSA65-ECDSA-P256-SHA512"),
        (54, "MLDSA87-ECDSA-P521-SHA512"),
        (67, None),
    ],
)
def test_composites_stand_where_they_are_registered(last: int, name: str | None) -> None:
    """The first, one in the middle and the last of the composite signatures; what no table names is unknown."""
    oid = f"1.3.6.1.5.5.7.6.{last}"
    assert NAMES.get(oid) == name
    assert (classify(name_of(oid)).verdict is Verdict.UNKNOWN) == (name is None)
