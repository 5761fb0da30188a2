"""Object identifiers of algorithms that no standard of today names: drafts, prototypes, and algorithms of nations.

The names say what stands there; none of them is one that the model calls safe.
Sources: the tables of the IETF hackathon on post-quantum certificates (oid_mapping.md and its historical part, 2026),
the drafts named there, oqs-provider's ALGORITHMS.md, draft-ietf-lamps-pq-composite-sigs-02, -03 and -07,
draft-ounsworth-pq-composite-sigs-09, draft-ietf-lamps-pq-composite-kem-15, ISO/IEC 18033-2 (FrodoKEM, McEliece),
RFC 4491 and 9215 (GOST), GM/T 0006 (SM2), BSI TR-03111 (plain ECDSA).
"""

from collections.abc import Iterator

from keystrand.model.algorithm import COMPOSITE_SIGNATURES

_ENTRUST = "2.16.840.1.114027.80."
_BOUNCY = "1.3.6.1.4.1.22554.5."
_OQS = "1.3.9999."
_IBM = "1.3.6.1.4.1.2.267."

COMPOSITE_KEMS = (
    "MLKEM768-RSA2048-SHA3-256", "MLKEM768-RSA3072-SHA3-256", "MLKEM768-RSA4096-SHA3-256", "MLKEM768-X25519-SHA3-256",
    "MLKEM768-ECDH-P256-SHA3-256", "MLKEM768-ECDH-P384-SHA3-256", "MLKEM768-ECDH-brainpoolP256r1-SHA3-256",
    "MLKEM1024-RSA3072-SHA3-256", "MLKEM1024-ECDH-P384-SHA3-256", "MLKEM1024-ECDH-brainpoolP384r1-SHA3-256",
    "MLKEM1024-X448-SHA3-256", "MLKEM1024-ECDH-P521-SHA3-256",
)  # fmt: skip
"""Two key establishments in one, from 1.3.6.1.5.5.7.6.55 on (draft-ietf-lamps-pq-composite-kem-15)."""

_COMPOSITES_01 = (
    "MLDSA44-RSA2048-PSS-SHA256", "MLDSA44-RSA2048-PKCS15-SHA256", "MLDSA44-Ed25519-SHA512",
    "MLDSA44-ECDSA-P256-SHA256", "MLDSA44-ECDSA-brainpoolP256r1-SHA256", "MLDSA65-RSA3072-PSS-SHA512",
    "MLDSA65-RSA3072-PKCS15-SHA512", "MLDSA65-ECDSA-P256-SHA512", "MLDSA65-ECDSA-brainpoolP256r1-SHA512",
    "MLDSA65-Ed25519-SHA512", "MLDSA87-ECDSA-P384-SHA512", "MLDSA87-ECDSA-brainpoolP384r1-SHA512",
    "MLDSA87-Ed448-SHA512", "Falcon512-ECDSA-P256-SHA256", "Falcon512-ECDSA-brainpoolP256r1-SHA256",
    "Falcon512-Ed25519-SHA512",
)  # fmt: skip
_COMPOSITES_02 = (
    "MLDSA44-RSA2048-PSS-SHA256", "MLDSA44-RSA2048-PKCS15-SHA256", "MLDSA44-Ed25519-SHA512",
    "MLDSA44-ECDSA-P256-SHA256", "", "MLDSA65-RSA3072-PSS-SHA512", "MLDSA65-RSA3072-PKCS15-SHA512",
    "MLDSA65-ECDSA-P384-SHA512", "MLDSA65-ECDSA-brainpoolP256r1-SHA512", "MLDSA65-Ed25519-SHA512",
    "MLDSA87-ECDSA-P384-SHA512", "MLDSA87-ECDSA-brainpoolP384r1-SHA512", "MLDSA87-Ed448-SHA512",
    "MLDSA65-RSA4096-PSS-SHA512", "MLDSA65-RSA4096-PKCS15-SHA512",
)  # fmt: skip
_HASH_COMPOSITES = (
    "MLDSA44-RSA2048-PSS-SHA256", "MLDSA44-RSA2048-PKCS15-SHA256", "MLDSA44-Ed25519-SHA512",
    "MLDSA44-ECDSA-P256-SHA256", "MLDSA65-RSA3072-PSS-SHA512", "MLDSA65-RSA3072-PKCS15-SHA512",
    "MLDSA65-RSA4096-PSS-SHA512", "MLDSA65-RSA4096-PKCS15-SHA512", "MLDSA65-ECDSA-P384-SHA512",
    "MLDSA65-ECDSA-brainpoolP256r1-SHA512", "MLDSA65-Ed25519-SHA512", "MLDSA87-ECDSA-P384-SHA512",
    "MLDSA87-ECDSA-brainpoolP384r1-SHA512", "MLDSA87-Ed448-SHA512",
)  # fmt: skip
_DILITHIUM_COMPOSITES = (
    "Dilithium3-RSA-PKCS15-SHA256", "Dilithium3-ECDSA-P256-SHA256", "Dilithium3-ECDSA-brainpoolP256r1-SHA256",
    "Dilithium3-Ed25519", "Dilithium5-ECDSA-P384-SHA384", "Dilithium5-ECDSA-brainpoolP384r1-SHA384",
    "Dilithium5-Ed448", "Falcon512-ECDSA-P256-SHA256", "Falcon512-ECDSA-brainpoolP256r1-SHA256", "Falcon512-Ed25519",
    "SPHINCS+-SHA256-128s-ECDSA-P256-SHA256", "SPHINCS+-SHA256-128s-ECDSA-brainpoolP256r1-SHA256",
    "SPHINCS+-SHA256-128s-Ed25519", "Dilithium3-RSA-PSS-SHA256",
)  # fmt: skip
_KEM_COMPOSITES_03 = (
    "MLKEM512-ECDH-P256-KMAC128", "MLKEM512-ECDH-brainpoolP256r1-KMAC128", "MLKEM512-X25519-KMAC128",
    "MLKEM512-RSA3072-KMAC128", "MLKEM768-ECDH-P256-KMAC256", "MLKEM768-ECDH-brainpoolP256r1-KMAC256",
    "MLKEM768-X25519-KMAC256", "MLKEM1024-ECDH-P384-KMAC256", "MLKEM1024-ECDH-brainpoolP384r1-KMAC256",
    "MLKEM1024-X448-KMAC256", "", "", "MLKEM512-RSA2048-KMAC128",
)  # fmt: skip
_MCELIECE = ("460896", "6688128", "6960119", "8192128")
_FRODO = tuple(f"{e}FrodoKEM-{size}-{x}" for x in ("SHAKE", "AES") for e in ("", "e") for size in (976, 1344))
_SPHINCS = {  # arc and last numbers of each set: first round of submissions, third round, and FIPS 205's public draft
    "4": ("SHA2-128", (1, 7), (4, 10), (13, 16), 3), "5": ("SHA2-192", (1, 5), (3, 7), (10, 12), 2),
    "6": ("SHA2-256", (1, 5), (3, 7), (10, 12), 2), "7": ("SHAKE-128", (1, 7), (4, 10), (13, 16), 3),
    "8": ("SHAKE-192", (1, 5), (3, 7), (10, 12), 2), "9": ("SHAKE-256", (1, 5), (3, 7), (10, 12), 2),
}  # fmt: skip
_DIGESTS = ("SHA-256", "SHA-384", "SHA-512", "SHA3-256", "SHA3-384", "SHA3-512", "SHAKE128", "SHAKE256")
_HASHED = "1.3.6.1.4.1.18227.999."
_PARTNERS = {"128": ("ECDSA-P-256", "RSA-3072"), "192": ("ECDSA-P-384",), "256": ("ECDSA-P-521",)}


def _numbered(arc: str, names: tuple[str, ...], first: int, form: str) -> Iterator[tuple[str, str]]:
    """Yield the object identifiers below `arc` from `first` on, and their names in `form`; an empty name is a gap."""
    for number, name in enumerate(names, start=first):
        if name:
            yield f"{arc}.{number}", form.format(name)


def _sphincs() -> Iterator[tuple[str, str]]:
    """Yield SPHINCS+ as oqs-provider has numbered it over the years, alone and with a classical partner."""
    for arc, (family, robust, simple, draft, _step) in _SPHINCS.items():
        partners = _PARTNERS[family.rpartition("-")[2]]
        for kind, numbers in (("-robust", robust), ("-simple", simple), ("-simple", draft)):
            for speed, number in zip("fs", numbers, strict=True):
                name = f"SPHINCS+-{family}{speed}{kind}"
                yield f"{_OQS}6.{arc}.{number}", name
                for offset, partner in enumerate(partners, start=1):
                    yield f"{_OQS}6.{arc}.{number + offset}", f"{partner} with {name}"


def _hashed() -> Iterator[tuple[str, str]]:
    """Yield signatures over a digest; the second number stands for two sizes of Dilithium in their own table."""
    for number, digest in enumerate(_DIGESTS, start=1):
        for arc, name in (("1.1", "Dilithium2"), ("1.2", "Dilithium3 or Dilithium5")):
            yield f"{_HASHED}{arc}.{number}", f"{name} with {digest}"
        for arc, name in (("2.1", "Falcon-512"), ("2.3", "Falcon-512"), ("2.2", "Falcon-1024")):
            yield f"{_HASHED}{arc}.{number}", f"{name} with {digest}"
            yield f"{_HASHED}{arc}.{number}.1", f"{name} with {digest}"


DRAFTS: dict[str, str] = {
    **dict(_sphincs()),
    **dict(_numbered(_ENTRUST + "9.1", COMPOSITE_SIGNATURES, 0, "{} (draft 07)")),
    **dict(_numbered(_ENTRUST + "8.1", _COMPOSITES_01, 1, "{} (draft 01)")),
    **dict(_numbered(_ENTRUST + "8.1", _COMPOSITES_02, 21, "{} (draft 03)")),
    **dict(_numbered(_ENTRUST + "8.1", _HASH_COMPOSITES, 40, "Hash{} (draft 03)")),
    **dict(_numbered(_ENTRUST + "5.1", _DILITHIUM_COMPOSITES, 1, "{} (draft)")),
    **dict(_numbered(_ENTRUST + "5.2", _KEM_COMPOSITES_03, 1, "{} (draft 03)")),
    **dict(_numbered(_ENTRUST + "5.2", COMPOSITE_KEMS, 74, "{} (draft)")),
    **{f"{_ENTRUST}5.1.{8 + n}.1": f"{name} (draft)" for n, name in enumerate(_DILITHIUM_COMPOSITES[7:10])},
    _ENTRUST + "5.1": "explicit composite signature (draft)",
    _ENTRUST + "4.1": "composite key (draft)",
    _ENTRUST + "4.1.2": "composite key, hashed (draft)",
    **{f"{_IBM}7.{arc}": f"Dilithium{n}" for n, arc in ((2, "4.4"), (3, "6.5"), (5, "8.7"))},
    **{f"{_IBM}11.{arc}": f"Dilithium{n}-AES" for n, arc in ((2, "4.4"), (3, "6.5"), (5, "8.7"))},
    **{f"{_IBM}12.{arc}": f"ML-DSA-{n} (draft)" for n, arc in ((44, "4.4"), (65, "6.5"), (87, "8.7"))},
    **{f"1.1.4.1.2.267.12.{arc}": f"ML-DSA-{n} (draft)" for n, arc in ((65, "6.5"), (87, "8.7"))},
    _OQS + "2.7.1": "ECDSA-P-256 with Dilithium2",
    _OQS + "2.7.2": "RSA-3072 with Dilithium2",
    _OQS + "2.7.3": "ECDSA-P-384 with Dilithium3",
    _OQS + "2.7.4": "ECDSA-P-521 with Dilithium5",
    **{f"{_OQS}3.{n}": "Falcon-512" for n in (1, 6, 11)},
    **{f"{_OQS}3.{n}": "ECDSA-P-256 with Falcon-512" for n in (2, 7, 12)},
    **{f"{_OQS}3.{n}": "RSA-3072 with Falcon-512" for n in (3, 8, 13)},
    **{f"{_OQS}3.{n}": "Falcon-1024" for n in (4, 9, 14)},
    **{f"{_OQS}3.{n}": "ECDSA-P-521 with Falcon-1024" for n in (5, 10, 15)},
    **dict(_numbered(_BOUNCY + "5", ("NTRU-HPS-2048509", "NTRU-HPS-2048677", "NTRU-HPS-4096821", "NTRU-HRSS-701",
                                     "NTRU-HPS-40961229", "NTRU-HRSS-1373"), 1, "{}")),
    **{f"{_BOUNCY}6.{n}": f"ML-KEM-{size} (draft)" for n, size in ((1, 512), (2, 768), (3, 1024))},
    **{f"{_BOUNCY}6.{3 + n}": f"Kyber-{size}-AES" for n, size in ((1, 512), (2, 768), (3, 1024))},
    **{f"{_BOUNCY}6.{6 + n}": f"Kyber-{size}" for n, size in ((1, 512), (2, 768), (3, 1024))},
    **{f"{_BOUNCY}8.{n}": f"BIKE-{size}" for n, size in ((1, 128), (2, 192), (3, 256))},
    **{f"{_BOUNCY}9.{n}": f"HQC-{size}" for n, size in ((1, 128), (2, 192), (3, 256))},
    **{f"{_BOUNCY}1.{n}": f"Classic-McEliece-{size}" for n, size in ((1, "348864"), *zip((3, 5, 7, 9), _MCELIECE,
                                                                                        strict=True))},
    **dict(_numbered("1.0.18033.2.2.7", _FRODO, 1, "{}")),
    **dict(_numbered("1.0.18033.2.2.6", tuple(f"{size}{form}" for size in _MCELIECE for form in ("", "f", "pc", "pcf")),
                     1, "Classic-McEliece-{}")),
    "1.3.6.1.4.1.18227.2.1": "composite signature (draft)",
    **dict(_numbered("1.3.6.1.4.1.18227.2.1", _DIGESTS, 2, "composite signature with {} (draft)")),
    "1.3.6.1.4.1.18227.2.1.999.1": "composite key (draft)",
    **dict(_hashed()),
    "1.2.643.2.2.19": "GOST R 34.10-2001",
    "1.2.643.2.2.3": "GOST R 34.10-2001",
    "1.2.643.2.2.20": "GOST R 34.10-94",
    "1.2.643.2.2.4": "GOST R 34.10-94",
    "1.2.643.7.1.1.1.1": "GOST R 34.10-2012-256",
    "1.2.643.7.1.1.1.2": "GOST R 34.10-2012-512",
    "1.2.643.7.1.1.3.2": "GOST R 34.10-2012-256",
    "1.2.643.7.1.1.3.3": "GOST R 34.10-2012-512",
}  # fmt: skip

PREFIXES = {
    _IBM: "Dilithium (before FIPS 204)",
    _OQS: "experimental post-quantum (before the standards)",
    "1.3.6.1.4.1.62245.": "CROSS (candidate)",
    _ENTRUST: "composite (before the standards)",
    _BOUNCY: "experimental post-quantum (before the standards)",
    "1.3.6.1.4.1.18227.": "composite or hashed (before the standards)",
    "1.3.6.1.5.5.7.6.": "composite or newer",
}
"""What is known of an object identifier by its arc alone."""
