"""Names that others give to algorithms: each is the canonical one, and none is taken for something safe by accident."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats import capture_ssh
from keystrand.formats import ike_codepoints as codes
from keystrand.formats.foreign_names import canonical, curve_name, oid_names, ssh_algorithm
from keystrand.formats.ike_names import proposal_uses
from keystrand.formats.source.parts import Parts
from keystrand.formats.source.parts import named as source_name
from keystrand.formats.symmetric_names import cipher_name, hash_name, mac_name
from keystrand.formats.tls_codepoints import cipher_of
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.observation import AlgorithmUse

KEX, SIG, ENC, MAC = Function.KEY_ESTABLISHMENT, Function.SIGNATURE, Function.ENCRYPTION, Function.MAC
DIGEST, KDF = Function.DIGEST, Function.KEY_DERIVATION


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AES128-ECB", "AES-128-ECB"),  # sonar
        ("AES/CBC/PKCS5Padding", "AES-CBC-PKCS5"),  # JCA
        ("AES/GCM/NoPadding", "AES-GCM"),
        ("AES/ECB/NoPadding", "AES-ECB-NoPadding"),
        ("aes256-gcm@openssh.com", "AES-256-GCM"),  # SSH
        ("aes256-gcm96", "AES-256-GCM"),  # Vault
        ("SYMMETRIC_DEFAULT", "AES-256-GCM"),  # AWS
        ("id-aes256-GCM", "AES-256-GCM"),
        ("DESede168-CBC", "3DES-168-CBC"),
        ("3DES_EDE_CBC", "3DES-168-CBC"),
        ("DESede", "3DES"),
        ("DES56-CBC-PKCS5", "DES-56-CBC-PKCS5"),
        ("ChaCha20Poly1305", "ChaCha20-Poly1305"),
        ("SHA", "SHA-1"),
        ("SHA2-256", "SHA-256"),
        ("SHA512-256", "SHA-512/256"),
        ("sha3-384", "SHA3-384"),
        ("HmacSHA256", "HMAC-SHA-256"),
        ("hmac-sha2-512-etm@openssh.com", "HMAC-SHA-512"),
        ("hmac-sha1-96", "HMAC-SHA-1"),
        ("HMAC_256", "HMAC-SHA-256"),
        ("AES-CMAC", "CMAC-AES"),
        ("PBKDF2WithHmacSHA256", "PBKDF2-HMAC-SHA-256"),
        ("md5crypt", "MD5-crypt"),
        ("RSASSA-PSS", "RSA-PSS"),
        ("RSA_SIGN_PSS_2048_SHA256", "RSA-PSS-2048"),
        ("RSA_DECRYPT_OAEP_3072_SHA256", "RSA-OAEP-3072"),
        ("RSA/ECB/PKCS1Padding", "RSA-PKCS1-ENC"),
        ("RSA_4096", "RSA-4096"),
        ("ECC_NIST_P256", "ECDSA-P-256"),
        ("EC_SIGN_P384_SHA384", "ECDSA-P-384"),
        ("prime256v1", "ECDH-P-256"),
        ("curve25519", "X25519"),
        ("ffdhe3072", "FFDH-3072"),
        ("DH-Group14", "FFDH-2048"),
        ("MLKEM768", "ML-KEM-768"),
        ("ML_DSA_65", "ML-DSA-65"),
        ("PQ_SIGN_SLH_DSA_SHA2_128S", "SLH-DSA-SHA2-128s"),
        ("x25519mlkem768", "X25519MLKEM768"),
        ("Kyber768", "Kyber768"),
    ],
)
def test_one_name(text: str, expected: str) -> None:
    """The one algorithm that the name says; what it is for is what the catalogue says of it."""
    (named,) = canonical(text)
    assert named.algorithm == expected
    assert classify(expected).family or expected == "Kyber768"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SHA256withRSA", [("RSA", SIG), ("SHA-256", DIGEST)]),
        ("sha256WithRSAEncryption", [("RSA", SIG), ("SHA-256", DIGEST)]),
        ("ecdsa-with-SHA384", [("ECDSA", SIG), ("SHA-384", DIGEST)]),
        ("SHA256-RSA", [("RSA", SIG), ("SHA-256", DIGEST)]),
        ("SHA1withRSAandMGF1", [("RSA-PSS", SIG), ("SHA-1", DIGEST)]),
        ("ES256", [("ECDSA-P-256", SIG), ("SHA-256", DIGEST)]),
        ("Fernet", [("AES-128-CBC", ENC), ("HMAC-SHA-256", MAC)]),
    ],
)
def test_names_of_two_algorithms(text: str, expected: list[tuple[str, Function]]) -> None:
    """What signs, and what digests before it."""
    assert [tuple(named) for named in canonical(text)] == expected


def test_sizes_and_curves_complete_a_name() -> None:
    """A name that leaves them open takes them; one that says them keeps its own."""
    assert canonical("RSA", bits=3072)[0].algorithm == "RSA-3072"
    assert canonical("RSA-2048", bits=3072)[0].algorithm == "RSA-2048"
    assert canonical("ECDH", curve="secg/secp384r1")[0].algorithm == "ECDH-P-384"
    assert canonical("RSA", function=KEX) == (("RSA-KEX", KEX),)


@given(st.text(max_size=40), st.sampled_from((None, *Function)))
def test_no_text_becomes_safe_by_accident(text: str, function: Function | None) -> None:
    """A public-key algorithm that comes out safe stands, letter for letter, in what went in."""
    for named in canonical(text, function=function):
        if named.function in (KEX, SIG) and classify(named.algorithm, named.function).verdict is Verdict.QUANTUM_SAFE:
            plain = "".join(filter(str.isalnum, named.algorithm)).lower()
            assert plain in "".join(filter(str.isalnum, text)).lower()


def test_an_unknown_name_that_sounds_safe_is_marked() -> None:
    """Words that nobody knows stay, bounded; without a use that is known they are nothing."""
    assert canonical("our-own-cipher") == ()
    assert canonical("our-own-cipher", function=ENC) == (("our-own-cipher", ENC),)
    assert len(canonical("x" * 5000, function=ENC)[0].algorithm) == 120
    assert canonical("  ", function=ENC) == ()


def test_curves_hashes_and_identifiers() -> None:
    """Each by its several names; what is none is an empty string."""
    assert {curve_name(text) for text in ("P-256", "secp256r1", "prime256v1", "nist/P-256", "nistp256")} == {"P-256"}
    assert (curve_name("brainpoolP256r1tls13"), curve_name("nonsense")) == ("brainpoolP256r1", "")
    assert (hash_name("sha-384"), hash_name("BLAKE2b-512"), hash_name("rsa")) == ("SHA-384", "BLAKE2b-512", "")
    assert oid_names("2.16.840.1.101.3.4.3.18") == (("ML-DSA-65", SIG),)
    assert oid_names("1.2.3") == ()


@pytest.mark.parametrize(
    ("name", "function", "expected"),
    [
        ("arcfour256", ENC, "RC4"),
        ("cast128-cbc", ENC, "CAST5-CBC"),
        ("blowfish-cbc", ENC, "Blowfish-CBC"),
        ("aes256-gcm@openssh.com", ENC, "AES-256-GCM"),
        ("umac-128-etm@openssh.com", MAC, "UMAC-128"),
        ("hmac-ripemd160@openssh.com", MAC, "HMAC-RIPEMD-160"),
        ("x@example.org", MAC, "x"),
    ],
)
def test_ssh_names_are_the_same_from_a_report_a_capture_and_a_configuration(
    name: str, function: Function, expected: str
) -> None:
    """One algorithm of one service is one asset, whoever tells of it; what is not known stays as it is."""
    told = ssh_algorithm(name, function)
    assert told == (expected, function)
    kinds = {ENC: (cipher_name, capture_ssh.cipher_name), MAC: (mac_name, capture_ssh.mac_name)}[function]
    assert expected == "x" or {of(name) for of in kinds} == {expected}


@pytest.mark.parametrize(
    ("words", "name", "function"),
    [
        (("AES-CMAC", "AESCMAC", "CMAC-AES", "AES/CMAC"), "CMAC-AES", MAC),
        (("AES-128-CMAC", "CMAC-AES-128", "AES128_CMAC", "AES_CMAC_128"), "CMAC-AES-128", MAC),
        (("AES-256-GMAC", "GMAC-AES-256", "aes256-gmac"), "AES-256-GMAC", MAC),
        (("NULL", "eNULL", "ENCR_NULL"), "NULL", ENC),
    ],
)
def test_one_thing_has_one_name(words: tuple[str, ...], name: str, function: Function) -> None:
    """However other tools spell it, it is one asset."""
    for word in words:
        assert [(one.algorithm, one.function) for one in canonical(word)] == [(name, function)], word


def test_a_code_of_a_cipher_has_one_name_everywhere() -> None:
    """What a gateway negotiates, what its configuration says and what source code calls is one thing."""
    on_the_wire = codes.integrity_name(8)
    (configured,) = proposal_uses("aescmac")
    in_source = source_name(Parts(family="AES", bits=128, mode="CMAC"), MAC)
    assert isinstance(configured, AlgorithmUse)
    assert {on_the_wire, configured.algorithm, in_source} == {"CMAC-AES-128"}
    assert classify(on_the_wire).verdict is Verdict.QUANTUM_SAFE


def test_no_encryption_has_one_name_everywhere_and_is_never_safe() -> None:
    """TLS, IKE, SSH and configuration files agree on it, and the catalogue says what it is worth."""
    found = {cipher_of(0x0002), codes.cipher_name(11, None), capture_ssh.cipher_name("none"), cipher_name("eNULL")}
    assert (asked := ssh_algorithm("none", ENC)) is not None
    assert found | {asked.algorithm} == {"NULL"}
    assert ssh_algorithm("none", MAC) is None
    known = classify("NULL")
    assert (known.function, known.verdict) == (ENC, Verdict.QUANTUM_VULNERABLE)
    assert "nothing" in known.note
