"""What the names of functions say of algorithms, for the libraries that name them there: weak evidence, by linking."""

import re
from collections.abc import Callable, Iterable

from keystrand.model.algorithm import Function, classify
from keystrand.model.observation import AlgorithmUse

_DIGESTS = {
    "md2": "MD2", "md4": "MD4", "md5": "MD5", "sha1": "SHA-1", "sha": "SHA-1", "ripemd160": "RIPEMD-160",
    "sha224": "SHA-224", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512", "sm3": "SM3",
    "sha3_224": "SHA3-224", "sha3_256": "SHA3-256", "sha3_384": "SHA3-384", "sha3_512": "SHA3-512",
}  # fmt: skip
_CIPHERS = {"rc4": "RC4", "des_cbc": "DES-CBC", "des_ecb": "DES-ECB", "des_ede3_cbc": "3DES-168-CBC",
            "des_ede3_ecb": "3DES-168-ECB", "rc2_cbc": "RC2-CBC", "bf_cbc": "Blowfish-CBC", "bf_ecb": "Blowfish-ECB",
            "cast5_cbc": "CAST5-CBC", "idea_cbc": "IDEA-CBC", "chacha20": "ChaCha20",
            "chacha20_poly1305": "ChaCha20-Poly1305", "sm4_cbc": "SM4-128-CBC", "sm4_ecb": "SM4-128-ECB"}  # fmt: skip
_PLAIN = {"RSA": "RSA", "DSA": "DSA", "ECDSA": "ECDSA", "DH": "FFDH", "ECDH": "ECDH", "ED25519": "Ed25519",
          "X25519": "X25519", "ed25519": "Ed25519", "curve25519": "X25519"}  # fmt: skip
_MODES = {"wrap": "KW"}


def _mode(m: re.Match[str]) -> str:
    return f"AES-{m[1]}-{_MODES.get(m[2], re.sub(r'^cfb[0-9]*$', 'CFB', m[2]).upper())}"


_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"EVP_aes_(128|192|256)_(cbc|gcm|ctr|ecb|ccm|xts|ocb|ofb|cfb\d*|wrap)", _mode),
        (r"EVP_(md[245]|sha1|sha224|sha256|sha384|sha512|sha3_\d+|ripemd160|sm3)", lambda m: _DIGESTS[m[1]]),
        (r"EVP_(rc4|des_\w+|rc2_cbc|bf_\w+|cast5_cbc|idea_cbc|chacha20(?:_poly1305)?|sm4_\w+)",
         lambda m: _CIPHERS.get(m[1], "")),
        (r"(MD4|MD5|SHA1|SHA224|SHA256|SHA384|SHA512|RIPEMD160)(?:_Init|_Update|_Final|)",
         lambda m: _DIGESTS[m[1].lower()]),
        (r"(?:AES_(?:set_(?:en|de)crypt_key|encrypt|decrypt|cbc_encrypt)|AES_\w+_encrypt)", lambda _: "AES"),
        (r"DES_(?:set_key\w*|ecb_encrypt|ncbc_encrypt|crypt|fcrypt)", lambda _: "DES"),
        (r"DES_ede3_\w+", lambda _: "3DES-168-CBC"),
        (r"(?:RC4|RC4_set_key)", lambda _: "RC4"),
        (r"(RSA|DSA|ECDSA)_(?:do_)?(?:sign|verify)\w*", lambda m: _PLAIN[m[1]]),
        (r"(RSA|DSA|DH)_generate_\w+", lambda m: _PLAIN[m[1]]),
        (r"(DH|ECDH)_compute_key\w*", lambda m: _PLAIN[m[1]]),
        (r"RSA_(?:public|private)_(?:en|de)crypt", lambda _: "RSA"),
        (r"(ED25519|X25519)(?:_\w+)?", lambda m: _PLAIN[m[1]]),
        (r"(?:HMAC|HMAC_Init(?:_ex)?)", lambda _: "HMAC"),
        (r"PKCS5_PBKDF2_HMAC", lambda _: "PBKDF2"),
        (r"PKCS5_PBKDF2_HMAC_SHA1", lambda _: "PBKDF2-HMAC-SHA-1"),
        (r"EVP_PBE_scrypt", lambda _: "scrypt"),
        (r"crypto_sign_(ed25519)\w*", lambda m: _PLAIN[m[1]]),
        (r"crypto_(?:scalarmult|box_)(curve25519)\w*", lambda m: _PLAIN[m[1]]),
        (r"crypto_aead_chacha20poly1305\w*", lambda _: "ChaCha20-Poly1305"),
        (r"crypto_aead_aes256gcm\w*", lambda _: "AES-256-GCM"),
        (r"(?:nettle_|mbedtls_|wc_?)(md4|md5|sha1|sha224|sha256|sha384|sha512)(?:_\w+)?",
         lambda m: _DIGESTS[m[1]]),
        (r"nettle_aes(128|192|256)_\w+", lambda m: f"AES-{m[1]}"),
        (r"mbedtls_(?:aes|gcm)_\w+", lambda _: "AES"),
        (r"OQS_KEM_ml_kem_(512|768|1024)_\w+", lambda m: f"ML-KEM-{m[1]}"),
        (r"OQS_SIG_ml_dsa_(44|65|87)_\w+", lambda m: f"ML-DSA-{m[1]}"),
        (r"OQS_KEM_kyber_(512|768|1024)_\w+", lambda m: f"Kyber-{m[1]}"),
    )
)  # fmt: skip


def uses_of(symbols: Iterable[str]) -> tuple[AlgorithmUse, ...]:
    """Return the algorithms that the names of imported functions tell, each once, in order of name."""
    names = {name for symbol in symbols if (name := _named(symbol))}
    return tuple(AlgorithmUse(algorithm=name, function=_function(name)) for name in sorted(names))


def _function(name: str) -> Function:
    return classify(name, Function.ENCRYPTION).function


def _named(symbol: str) -> str:
    plain = symbol.partition("@")[0]
    for pattern, name in _PATTERNS:
        if match := pattern.fullmatch(plain):
            return name(match)
    return ""
