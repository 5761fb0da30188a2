"""Key files that would keep the library busy for hours are left unopened, with a reason; ordinary ones are not."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from keystrand.formats import key_objects
from keystrand.formats.key_costs import MAX_PRIME_BITS, MAX_ROUNDS, costly_store, slow_private_key
from keystrand.formats.key_files import objects_in
from keystrand.model.observation import AlgorithmUse, Keystore

P256 = ec.generate_private_key(ec.SECP256R1())
DSA_OID, DH_OID = bytes.fromhex("06072a8648ce380401"), bytes.fromhex("06092a864886f70d010301")
PBES2_OID, PBKDF2_OID = bytes.fromhex("06092a864886f70d01050d"), bytes.fromhex("06092a864886f70d01050c")
DATA_OID, SHROUDED_OID = bytes.fromhex("06092a864886f70d010701"), bytes.fromhex("060b2a864886f70d010c0a0102")
KEY_BAG_OID = bytes.fromhex("060b2a864886f70d010c0a0101")
SCRYPT_OID = bytes.fromhex("06092b06010401da47040b")


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return one element in DER."""
    content = b"".join(parts)
    size = len(content)
    octets = b"" if size < 128 else size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets) if octets else size]) + octets + content


def seq(*parts: bytes) -> bytes:
    """Return a SEQUENCE."""
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    """Return an INTEGER that is not negative."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def pkcs8(oid: bytes, prime_bits: int, exponent_bits: int) -> bytes:
    """Return a private key of DSA or DH with numbers of these sizes."""
    prime, exponent = (1 << prime_bits) - 1, (1 << exponent_bits) - 1
    numbers = (integer(prime), integer(5)) if oid == DH_OID else (integer(prime), integer(7), integer(5))
    return seq(integer(0), seq(oid, seq(*numbers)), tlv(4, integer(exponent)))


def store(*bags: bytes, mac_rounds: int = 1) -> bytes:
    """Return a PKCS#12 store with `bags` in clear and a MAC that asks for `mac_rounds`."""
    contents = seq(seq(DATA_OID, tlv(0xA0, tlv(4, seq(*bags)))))
    sha256 = seq(bytes.fromhex("0609608648016503040201"), b"\5\0")
    mac = seq(seq(sha256, tlv(4, bytes(32))), tlv(4, bytes(8)), integer(mac_rounds))
    return seq(integer(3), seq(DATA_OID, tlv(0xA0, tlv(4, contents))), mac)


def shrouded(kdf: bytes, octets: int = 64) -> bytes:
    """Return a bag with an encrypted key of `octets`."""
    cipher = seq(bytes.fromhex("060960864801650304012a"), tlv(4, bytes(16)))
    return seq(SHROUDED_OID, tlv(0xA0, seq(seq(PBES2_OID, seq(kdf, cipher)), tlv(4, bytes(octets)))))


def pbkdf2(rounds: int) -> bytes:
    """Return the parameters of a key derivation with `rounds`."""
    return seq(PBKDF2_OID, seq(tlv(4, bytes(8)), integer(rounds)))


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test where the library is asked."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the library was asked")

    monkeypatch.setattr(key_objects, "load_der_private_key", refuse)
    monkeypatch.setattr(pkcs12, "load_pkcs12", refuse)


@pytest.mark.usefixtures("unopened")
@pytest.mark.parametrize(
    ("oid", "prime_bits", "exponent_bits"),
    [(DSA_OID, 16385, 256), (DSA_OID, 40_960, 40_960), (DSA_OID, 2048, 1_000_000), (DH_OID, 100_000, 100_000)],
)
def test_huge_primes_and_exponents_are_named_only(oid: bytes, prime_bits: int, exponent_bits: int) -> None:
    """A DSA or DH key whose public part takes a huge exponentiation keeps its name, and a gap says what is missing."""
    (found,) = objects_in(pkcs8(oid, prime_bits, exponent_bits))
    (use,) = found.facts
    assert isinstance(use, AlgorithmUse)
    assert use.algorithm == ("DSA" if oid == DSA_OID else "FFDH")
    assert "could not be told" in found.gap


def test_ordinary_keys_are_not_slow() -> None:
    """Real keys of every family are opened, up to the largest groups in use."""
    keys = (P256, dsa.generate_private_key(2048), rsa.generate_private_key(65537, 2048))
    for key in keys:
        assert not slow_private_key(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    assert not slow_private_key(pkcs8(DSA_OID, MAX_PRIME_BITS, MAX_PRIME_BITS))
    assert slow_private_key(pkcs8(DSA_OID, MAX_PRIME_BITS + 8, 160))


@pytest.mark.usefixtures("unopened")
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (store(mac_rounds=MAX_ROUNDS + 1), "rounds"),
        (store(mac_rounds=1 << 200_000), "rounds"),
        (store(shrouded(pbkdf2(MAX_ROUNDS + 1))), "rounds"),
        (store(*[shrouded(pbkdf2(MAX_ROUNDS // 2))] * 3), "rounds"),
        (store(shrouded(seq(SCRYPT_OID, seq(tlv(4, bytes(8)), *map(integer, (1 << 17, 1, 1 << 17)))))), "scrypt"),
        (store(shrouded(pbkdf2(1), octets=50_000)), "larger"),
        (store(seq(KEY_BAG_OID, tlv(0xA0, pkcs8(DSA_OID, 32_768, 32_768)))), "larger"),
        (store(b"\x24\x80\x04\x02\x30\x00\x00\x00"), "not in DER"),
        (store(b"\x24\x04\x04\x02\x30\x00"), "not in DER"),
    ],
)
def test_a_costly_store_is_left_unopened(content: bytes, why: str) -> None:
    """Rounds of the MAC and of every encrypted key add up; huge keys, scrypt and what cannot be judged are refused."""
    (found,) = objects_in(content)
    assert found.facts[0] == Keystore(format="PKCS#12", entries=None, encrypted=True)
    assert why in found.gap


@pytest.mark.usefixtures("unopened")
def test_a_structure_nested_without_end_is_refused() -> None:
    """Depth is bounded before the walk gets dear."""
    deep = seq()
    for _ in range(200):
        deep = seq(deep)
    assert "not in DER" in costly_store(store(deep))


@pytest.mark.parametrize("rounds", [2_000, 600_000])
def test_ordinary_stores_are_opened(rounds: int) -> None:
    """A store as OpenSSL and Java write it, up to the rounds that OWASP recommends, is not costly."""
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(rounds)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(b"changeit")
    )
    made = pkcs12.serialize_key_and_certificates(b"web", P256, None, None, encryption)
    assert costly_store(made) == ""


def test_one_store_to_a_file() -> None:
    """Thousands of small stores in one file are not all opened: after the first the rest is said to be unread."""
    made = pkcs12.serialize_key_and_certificates(b"web", P256, None, None, NoEncryption())
    found = objects_in(made * 3)
    assert len([fact for one in found for fact in one.facts if isinstance(fact, Keystore)]) == 1
    assert "after the last object" in found[-1].gap
