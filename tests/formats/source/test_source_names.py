"""Names of algorithms in the notations of many libraries, to canonical names; what is no such name stays none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.source.names import HOLE, parsed, protocol_version
from keystrand.formats.source.parts import named
from keystrand.model.algorithm import Function, Verdict, classify

CIPHERS = {
    "AES/CBC/PKCS5Padding": "AES-CBC-PKCS5",
    "aes-256-gcm": "AES-256-GCM",
    "AES_128/GCM/NoPadding": "AES-128-GCM",
    "id-aes128-GCM": "AES-128-GCM",
    "RSA/ECB/OAEPWithSHA-256AndMGF1Padding": "RSA-OAEP",
    "RSA/ECB/PKCS1Padding": "RSA-PKCS1-ENC",
    "DESede/CBC/PKCS5Padding": "3DES-CBC-PKCS5",
    "des-ede3-cbc": "3DES-CBC",
    "bf-cbc": "Blowfish-CBC",
    "chacha20poly1305": "ChaCha20-Poly1305",
    "ARCFOUR": "RC4",
    "aes128_wrap": "AES-128-KW",
    "camellia-256-ctr": "Camellia-256-CTR",
    f"AES/{HOLE}/PKCS5Padding": "AES",
}
SIGNATURES = {
    "SHA256withRSA": "RSA",
    "SHA256withECDSA": "ECDSA",
    "NONEwithRSA": "RSA",
    "RSASSA-PSS": "RSA-PSS",
    "ES256": "ECDSA-P-256",
    "PS384": "RSA-PSS",
    "Ed25519": "Ed25519",
    "prime256v1": "ECDSA-P-256",
    "NISTP384": "ECDSA-P-384",
    "ml_dsa_65": "ML-DSA-65",
    "slh_dsa_sha2_128s": "SLH-DSA-SHA2-128s",
    "Dilithium3": "Dilithium-3",
}
DIGESTS = {"SHA1": "SHA-1", "sha": "SHA-1", "SHA-512/256": "SHA-512/256", "sha3_256": "SHA3-256", "blake2b": "BLAKE2b",
           "MD5": "MD5", "shake128": "SHAKE128", "RIPEMD160": "RIPEMD-160"}  # fmt: skip
DERIVATIONS = {"PBKDF2WithHmacSHA256": "PBKDF2-HMAC-SHA-256", "hkdf": "HKDF", "argon2id": "Argon2id"}
CODES = {"HmacSHA256": "HMAC-SHA-256", "HS512": "HMAC-SHA-512", "HMAC-SHA1": "HMAC-SHA-1", "AESCMAC": "CMAC-AES"}
EXCHANGES = {
    "MLKEM768": "ML-KEM-768",
    "X25519": "X25519",
    "DiffieHellman": "FFDH",
    "ECDH": "ECDH",
    "secp256k1": "ECDH-secp256k1",
}
ALL = [
    (text, function, name)
    for function, names in (
        (Function.ENCRYPTION, CIPHERS),
        (Function.SIGNATURE, SIGNATURES),
        (Function.DIGEST, DIGESTS),
        (Function.KEY_DERIVATION, DERIVATIONS),
        (Function.MAC, CODES),
        (Function.KEY_ESTABLISHMENT, EXCHANGES),
    )
    for text, name in names.items()
]


@pytest.mark.parametrize(("text", "function", "name"), ALL)
def test_a_notation_gives_the_canonical_name(text: str, function: Function, name: str) -> None:
    """Each notation is read, and the name it gives is one that the catalogue knows."""
    parts = parsed(text)
    assert parts is not None
    assert named(parts, function) == name
    assert classify(name, function).note != "not in the catalogue"


NO_NAMES = ("", "hello", "cipher", "new", "MD_CTX_new", "default", "shaman", "desktop", "describe", "rsaKeyStore",
            "ecology", "dhcp", "aesthetic", "seedling", "ideal", "tiger2000x")  # fmt: skip


@pytest.mark.parametrize("text", NO_NAMES)
def test_a_word_that_holds_a_name_is_none(text: str) -> None:
    """A word is read whole or not at all."""
    assert parsed(text) is None


def test_a_broken_cipher_is_never_called_safe() -> None:
    """What a name is read to keeps the judgement of the catalogue."""
    parts = parsed("DES/ECB/PKCS5Padding")
    assert parts is not None
    assert classify(named(parts, Function.ENCRYPTION)).verdict is not Verdict.QUANTUM_SAFE


@pytest.mark.parametrize(
    ("text", "version"),
    [("TLSv1.2", "TLSv1.2"), ("VersionTLS12", "TLSv1.2"), ("TLSVersion.TLSv1_3", "TLSv1.3"), ("SSLv3", "SSLv3"),
     ("PROTOCOL_TLSv1", "TLSv1.0"), ("SslProtocols.Tls12", "TLSv1.2"), ("TLS1_2_VERSION", "TLSv1.2"), ("TLS", ""),
     ("DTLSv1.2", "DTLSv1.2"), ("PROTOCOL_TLS_CLIENT", ""), ("", "")],
)  # fmt: skip
def test_a_protocol_version_is_read_from_a_name(text: str, version: str) -> None:
    """The version is what the name ends in; a name without one gives none."""
    assert protocol_version(text) == version


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the reading of names fail."""
    parts = parsed(text)
    if parts is not None:
        for function in Function:
            assert named(parts, function)
    protocol_version(text)
