"""Algorithms by canonical name, what they are for, and what a quantum computer means to them.

Names follow the pattern of the CycloneDX cryptography registry: family, parameter, curve. Sources of the quantum
judgement: Shor (1994) breaks factoring and discrete logarithms of any size; FIPS 203, 204 and 205 and SP 800-208 name
what follows. Safe is what uses an algorithm of these unchanged, even where the protocol around it is a draft (its note
says so); an algorithm that none of them names is unknown, however likely it is to resist.
Ciphers, hashes and the like are judged in `symmetric`.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from keystrand.model.symmetric import symmetric


class Verdict(StrEnum):
    """What is known of a thing's resistance to a quantum computer."""

    QUANTUM_VULNERABLE = "quantum-vulnerable"
    QUANTUM_SAFE = "quantum-safe"
    UNKNOWN = "unknown"


class Function(StrEnum):
    """What an algorithm is used for. Policies date the two public-key functions apart, and no others."""

    KEY_ESTABLISHMENT = "key-establishment"
    SIGNATURE = "signature"
    ENCRYPTION = "encryption"
    DIGEST = "digest"
    MAC = "mac"
    KEY_DERIVATION = "key-derivation"
    RANDOM = "random"


class Algorithm(Struct, frozen=True, kw_only=True):
    """An algorithm with its parameters fixed.

    `components` names the parts of a hybrid; `note` says what a reader should know, such as a draft of a standard.
    """

    name: str
    family: str
    function: Function
    verdict: Verdict
    bits: int | None = None
    nist_level: int | None = None
    components: tuple[str, ...] = ()
    note: str = ""


MAX_NAME = 256
"""Characters of a name at most: eight key exchanges joined (RFC 9370) have fewer."""
_PREDRAFT = "draft of ML-KEM from before FIPS 203: resists, but no standard names it and it is being withdrawn"
_NOT_STANDARD = (
    "no quantum attack on sntrup761 is known, but no standard names it: RFC 9941, which describes its use in SSH, is"
    " informational"
)
_KEM_LEVEL = {"512": 1, "768": 3, "1024": 5}
_DSA_LEVEL = {"44": 2, "65": 3, "87": 5}
_SLH_LEVEL = {"128": 1, "192": 3, "256": 5}
_CURVE_BITS = {"P-256": 256, "P-384": 384, "P-521": 521, "P-192": 192, "P-224": 224, "secp256k1": 256,
               "brainpoolP256r1": 256, "brainpoolP384r1": 384, "brainpoolP512r1": 512, "SM2": 256}  # fmt: skip


def _hybrid(name: str, classical: str, kem: str) -> Algorithm:
    return Algorithm(
        name=name, family="hybrid", function=Function.KEY_ESTABLISHMENT, verdict=Verdict.QUANTUM_SAFE,
        nist_level=_KEM_LEVEL.get(kem.rpartition("-")[2]), components=(classical, kem),
        note="a classical exchange and ML-KEM as in FIPS 203 in one: holds while either holds; how a protocol"
        " joins them may still be a draft",
    )  # fmt: skip


def _classical(name: str, family: str, function: Function, bits: int | None) -> Algorithm:
    return Algorithm(name=name, family=family, function=function, verdict=Verdict.QUANTUM_VULNERABLE, bits=bits)


COMPOSITE_SIGNATURES = (
    "MLDSA44-RSA2048-PSS-SHA256",
    "MLDSA44-RSA2048-PKCS15-SHA256",
    "MLDSA44-Ed25519-SHA512",
    "MLDSA44-ECDSA-P256-SHA256",
    "MLDSA65-RSA3072-PSS-SHA512",
    "MLDSA65-RSA3072-PKCS15-SHA512",
    "MLDSA65-RSA4096-PSS-SHA512",
    "MLDSA65-RSA4096-PKCS15-SHA512",
    "MLDSA65-ECDSA-P256-SHA512",
    "MLDSA65-ECDSA-P384-SHA512",
    "MLDSA65-ECDSA-brainpoolP256r1-SHA512",
    "MLDSA65-Ed25519-SHA512",
    "MLDSA87-ECDSA-P384-SHA512",
    "MLDSA87-ECDSA-brainpoolP384r1-SHA512",
    "MLDSA87-Ed448-SHAKE256",
    "MLDSA87-RSA3072-PSS-SHA512",
    "MLDSA87-RSA4096-PSS-SHA512",
    "MLDSA87-ECDSA-P521-SHA512",
)
"""Two signatures in one, in the order in which they are registered (draft-ietf-lamps-pq-composite-sigs, 6)."""


def _composite(name: str) -> Algorithm:
    post_quantum, _, rest = name.partition("-")
    size, classical = post_quantum.removeprefix("MLDSA"), rest.rpartition("-")[0]
    classical = re.sub(r"^RSA(\d+)-.*", r"RSA-\1", re.sub(r"-P(\d)", r"-P-\1", classical))
    return Algorithm(
        name=name, family="composite", function=Function.SIGNATURE, verdict=Verdict.QUANTUM_SAFE,
        nist_level=_DSA_LEVEL[size], components=(f"ML-DSA-{size}", classical),
        note="ML-DSA as in FIPS 204 and a classical signature in one, both checked: holds while either holds; how they"
        " are joined is still a draft (draft-ietf-lamps-pq-composite-sigs)",
    )  # fmt: skip


_KEX, _SIG = Function.KEY_ESTABLISHMENT, Function.SIGNATURE
_FIXED: dict[str, Algorithm] = {
    a.name: a
    for a in (
        _hybrid("X25519MLKEM768", "X25519", "ML-KEM-768"),
        _hybrid("SecP256r1MLKEM768", "ECDH-P-256", "ML-KEM-768"),
        _hybrid("SecP384r1MLKEM1024", "ECDH-P-384", "ML-KEM-1024"),
        _hybrid("curveSM2MLKEM768", "ECDH-SM2", "ML-KEM-768"),
        _hybrid("mlkem768x25519-sha256", "X25519", "ML-KEM-768"),
        _hybrid("mlkem768nistp256-sha256", "ECDH-P-256", "ML-KEM-768"),
        _hybrid("mlkem1024nistp384-sha384", "ECDH-P-384", "ML-KEM-1024"),
        _classical("X25519", "ECDH", _KEX, 256),
        _classical("X448", "ECDH", _KEX, 448),
        _classical("Ed25519", "EdDSA", _SIG, 256),
        _classical("Ed448", "EdDSA", _SIG, 448),
        Algorithm(name="sntrup761", family="NTRU Prime", function=_KEX, verdict=Verdict.UNKNOWN, note=_NOT_STANDARD),
        Algorithm(
            name="sntrup761x25519-sha512",
            family="hybrid",
            function=_KEX,
            verdict=Verdict.UNKNOWN,
            components=("X25519", "sntrup761"),
            note=_NOT_STANDARD,
        ),
        Algorithm(
            name="X25519Kyber768Draft00",
            family="hybrid",
            function=_KEX,
            verdict=Verdict.UNKNOWN,
            note=_PREDRAFT,
        ),
        Algorithm(
            name="SecP256r1Kyber768Draft00",
            family="hybrid",
            function=_KEX,
            verdict=Verdict.UNKNOWN,
            note=_PREDRAFT,
        ),
        _classical("EdDSA", "EdDSA", _SIG, None),
        *(
            Algorithm(
                name=f"PPK ({standard})",
                family="PPK",
                function=_KEX,
                verdict=Verdict.UNKNOWN,
                note="a key from outside is mixed into IKEv2: it resists where that key has 256 bits of entropy, which"
                " nobody can see from outside",
            )
            for standard in ("RFC 8784", "RFC 9867")
        ),
        Algorithm(
            name="PSK",
            family="PSK",
            function=_KEX,
            verdict=Verdict.UNKNOWN,
            note="a pre-shared key: it resists where the key is random and of 256 bits, which cannot be seen",
        ),
        Algorithm(name="HSS", family="HBS", function=_SIG, verdict=Verdict.QUANTUM_SAFE, note="stateful: SP 800-208"),
        Algorithm(name="LMS", family="HBS", function=_SIG, verdict=Verdict.QUANTUM_SAFE, note="stateful: SP 800-208"),
        Algorithm(
            name="XMSS",
            family="HBS",
            function=_SIG,
            verdict=Verdict.QUANTUM_SAFE,
            note="stateful: SP 800-208",
        ),
        *map(_composite, COMPOSITE_SIGNATURES),
    )
}


def _ml_kem(name: str, m: re.Match[str]) -> Algorithm:
    return Algorithm(
        name=name, family="ML-KEM", function=_KEX, verdict=Verdict.QUANTUM_SAFE, nist_level=_KEM_LEVEL[m[1]]
    )


def _ml_dsa(name: str, m: re.Match[str]) -> Algorithm:
    return Algorithm(
        name=name, family="ML-DSA", function=_SIG, verdict=Verdict.QUANTUM_SAFE, nist_level=_DSA_LEVEL[m[1]]
    )


def _slh_dsa(name: str, m: re.Match[str]) -> Algorithm:
    return Algorithm(
        name=name, family="SLH-DSA", function=_SIG, verdict=Verdict.QUANTUM_SAFE, nist_level=_SLH_LEVEL[m[1]]
    )


def _rsa(name: str, m: re.Match[str]) -> Algorithm:
    use = {"-KEX": _KEX, "-OAEP": Function.ENCRYPTION, "-PKCS1-ENC": Function.ENCRYPTION}.get(m["use"] or "", _SIG)
    return _classical(name, "RSA", use, int(m["bits"]) if m["bits"] else None)


def _finite_field(name: str, m: re.Match[str]) -> Algorithm:
    use = {"FFDH": _KEX, "ElGamal": Function.ENCRYPTION}.get(m[1], _SIG)
    return _classical(name, m[1], use, int(m[2]) if m[2] else None)


def _not_yet(name: str, m: re.Match[str]) -> Algorithm:
    use = _SIG if m[1] in _SIGNATURES_TO_COME else _KEX
    return Algorithm(
        name=name, family=m[1], function=use, verdict=Verdict.UNKNOWN, note="resists as far as is known; no standard"
        " of NIST names it in this form",
    )  # fmt: skip


def _curve(name: str, m: re.Match[str]) -> Algorithm:
    return _classical(name, m[1], _KEX if m[1] == "ECDH" else _SIG, _CURVE_BITS.get(m[2]))


def _composite_kem(name: str, m: re.Match[str]) -> Algorithm:
    classical = re.sub(r"^RSA(\d+)", r"RSA-KEX-\1", re.sub(r"-P(\d)", r"-P-\1", m[2]))
    return Algorithm(
        name=name, family="hybrid", function=_KEX, verdict=Verdict.QUANTUM_SAFE, nist_level=_KEM_LEVEL[m[1]],
        components=(classical, f"ML-KEM-{m[1]}"),
        note="ML-KEM as in FIPS 203 and a classical exchange in one: holds while either holds; how they are joined is"
        " still a draft (draft-ietf-lamps-pq-composite-kem)",
    )  # fmt: skip


_SIGNATURES_TO_COME = ("FN-DSA", "Falcon", "Dilithium", "SPHINCS+", "MAYO", "CROSS", "UOV", "SNOVA", "HAWK", "SQIsign",
                       "Rainbow", "Picnic")  # fmt: skip
_TO_COME = ("HQC", "FrodoKEM", "Classic-McEliece", "BIKE", "NTRU-HPS", "NTRU-HRSS", "NTRU", "Kyber", "Saber", "CSIDH",
            "CECPQ2", "NewHope", "SIKE")  # fmt: skip
_PATTERNS: tuple[tuple[str, Callable[[str, re.Match[str]], Algorithm]], ...] = (
    (r"ML-KEM-(512|768|1024)", _ml_kem),
    (r"(?:Hash)?ML-DSA-(44|65|87)", _ml_dsa),
    (r"(?:Hash)?SLH-DSA-(?:SHA2|SHAKE)-(128|192|256)[sf]", _slh_dsa),
    (r"RSA(?P<use>-KEX|-PSS|-OAEP|-PKCS1-ENC|-PKCS1)?(?:-(?P<bits>[0-9]{1,6}))?", _rsa),
    (r"(FFDH|DSA|ElGamal)(?:-([0-9]{1,6}))?", _finite_field),
    (r"(ECDH|ECDSA)(?:-([^+]+))?", _curve),
    (r"MLKEM(512|768|1024)-(RSA\d+|X25519|X448|ECDH-\w+)-SHA3-256", _composite_kem),
    (rf"({'|'.join(map(re.escape, (*_SIGNATURES_TO_COME, *_TO_COME)))})(?:-[\w-]+|\d[\w-]*)?", _not_yet),
)


def _by_pattern(name: str) -> Algorithm | None:
    for pattern, make in _PATTERNS:
        if match := re.fullmatch(pattern, name):
            return make(name, match)
    return None


def _joined(name: str) -> Algorithm | None:
    """Return algorithms that are joined into one, written with `+` between them: safe where one of them is.

    Key exchanges whose keys go into one (RFC 9370, OpenPGP), or signatures that are all checked (OpenPGP).
    """
    if "+" not in name:
        return None
    parts = tuple(classify(part) for part in name.split("+"))
    functions, verdicts = {part.function for part in parts}, {part.verdict for part in parts}
    if len(functions) > 1 or not functions < {_KEX, _SIG} or any(not part.family for part in parts):
        return None
    return Algorithm(
        name=name, family="hybrid" if functions == {_KEX} else "composite", function=functions.pop(),
        verdict=Verdict.QUANTUM_SAFE if Verdict.QUANTUM_SAFE in verdicts else max(verdicts),
        nist_level=max((part.nist_level or 0 for part in parts), default=0) or None,
        components=tuple(part.name for part in parts),
        note="several algorithms joined into one: holds while one of them holds",
    )  # fmt: skip


_SYMMETRIC = {True: Verdict.QUANTUM_SAFE, False: Verdict.QUANTUM_VULNERABLE, None: Verdict.UNKNOWN}


def _symmetric(name: str) -> Algorithm | None:
    """Return a cipher, hash and the like. What today's computers break resists no computer of tomorrow either."""
    if (known := symmetric(name)) is None:
        return None
    return Algorithm(
        name=name, family=known.family, function=Function(known.use), verdict=_SYMMETRIC[known.safe], bits=known.bits,
        nist_level=known.nist_level, note=known.note,
    )  # fmt: skip


@lru_cache(8192)
def classify(name: str, function: Function = Function.KEY_ESTABLISHMENT) -> Algorithm:
    """Return what is known of the algorithm called `name`; one that is not known has verdict unknown, never safe.

    `function` is used only for a name that is not known.
    """
    if len(name) > MAX_NAME:
        return Algorithm(name=name, family="", function=function, verdict=Verdict.UNKNOWN, note="no name is so long")
    known = _FIXED.get(name) or _joined(name) or _by_pattern(name) or _symmetric(name)
    return known or Algorithm(
        name=name, family="", function=function, verdict=Verdict.UNKNOWN, note="not in the catalogue"
    )
