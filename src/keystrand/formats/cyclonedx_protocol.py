"""A protocol as CycloneDX describes it: versions, groups and signature schemes of TLS, transforms of IKEv2.

Sources: ECMA-424 (1.6, 1.7); IANA "TLS SupportedGroups", "TLS SignatureScheme" and "IKEv2 Parameters" for the names.
"""

from collections.abc import Callable, Iterable
from typing import Any

from keystrand.formats.cyclonedx_algorithm import Json, Spec
from keystrand.formats.cyclonedx_relations import SeenThere, algorithm_of
from keystrand.model.algorithm import Function
from keystrand.model.observation import AlgorithmUse

_TYPES = {Spec.V1_6: frozenset({"tls", "ssh", "ipsec", "ike", "sstp", "wpa"})}
_TYPES[Spec.V1_7] = _TYPES[Spec.V1_6] | {"dtls", "quic", "eap-aka", "prins", "5g-aka"}
_WITH_TLS = frozenset({"tls", "quic", "dtls"})

_TLS_GROUPS = {"X25519": "x25519", "X448": "x448", "ML-KEM-512": "MLKEM512", "ML-KEM-768": "MLKEM768",
               "ML-KEM-1024": "MLKEM1024", "ECDH-P-256": "secp256r1", "ECDH-P-384": "secp384r1",
               "ECDH-P-521": "secp521r1", "ECDH-SM2": "curveSM2"}  # fmt: skip
_TLS_SCHEMES = {
    0x0401: "rsa_pkcs1_sha256", 0x0501: "rsa_pkcs1_sha384", 0x0601: "rsa_pkcs1_sha512",
    0x0403: "ecdsa_secp256r1_sha256", 0x0503: "ecdsa_secp384r1_sha384", 0x0603: "ecdsa_secp521r1_sha512",
    0x0804: "rsa_pss_rsae_sha256", 0x0805: "rsa_pss_rsae_sha384", 0x0806: "rsa_pss_rsae_sha512",
    0x0807: "ed25519", 0x0808: "ed448", 0x0809: "rsa_pss_pss_sha256", 0x080A: "rsa_pss_pss_sha384",
    0x080B: "rsa_pss_pss_sha512", 0x0201: "rsa_pkcs1_sha1", 0x0203: "ecdsa_sha1",
    0x0904: "mldsa44", 0x0905: "mldsa65", 0x0906: "mldsa87",
}  # fmt: skip


def _code(use: AlgorithmUse) -> int | None:
    """Return the value on the wire, written decimal or hexadecimal; None where there is none or it is no number."""
    try:
        return int(use.code_point, 0)
    except ValueError:
        return None


def _group(use: AlgorithmUse) -> str:
    if use.algorithm.startswith("FFDH-"):
        return f"ffdhe{use.algorithm[5:]}"
    return _TLS_GROUPS.get(use.algorithm) or use.algorithm.removeprefix("ECDH-")


def _uses(seen: Iterable[SeenThere], function: Function) -> list[tuple[str, AlgorithmUse]]:
    return [(ref, use) for ref, use in seen if use is not None and use.function is function]


def _tls(seen: list[SeenThere]) -> Json:
    """Return one entry of cipher suites: which cipher went with which group is not told by what was seen."""
    schemes = (_TLS_SCHEMES.get(_code(use) or 0, "") for _, use in _uses(seen, Function.SIGNATURE))
    groups = (_group(use) for _, use in _uses(seen, Function.KEY_ESTABLISHMENT))
    suite = {
        "algorithms": [ref for ref, use in seen if use is not None],
        "tlsGroups": list(dict.fromkeys(name for name in groups if name)),
        "tlsSignatureSchemes": list(dict.fromkeys(name for name in schemes if name)),
    }
    return {"cipherSuites": [{key: value for key, value in suite.items() if value}]} if suite["algorithms"] else {}


def _named(ref: str, use: AlgorithmUse) -> Json:
    return {"name": use.algorithm, "algorithm": ref}


def _cipher(ref: str, use: AlgorithmUse) -> Json:
    bits = algorithm_of(use.algorithm).bits
    return {"name": use.algorithm, **({"keyLength": bits} if bits else {}), "algorithm": ref}


def _exchange(ref: str, use: AlgorithmUse) -> Json:
    group = _code(use)
    return {**({} if group is None else {"group": group}), "algorithm": ref}


_TRANSFORMS: tuple[tuple[str, Function, Callable[[str, AlgorithmUse], Json]], ...] = (
    ("encr", Function.ENCRYPTION, _cipher),
    ("prf", Function.KEY_DERIVATION, _named),
    ("integ", Function.MAC, _named),
    ("ke", Function.KEY_ESTABLISHMENT, _exchange),
    ("auth", Function.SIGNATURE, _named),
)


def _ike(seen: list[SeenThere], spec: Spec) -> Json:
    """Return the transforms: structured since 1.7, references before."""
    found: dict[str, Any] = {}
    for name, function, described in _TRANSFORMS:
        if uses := _uses(seen, function):
            found[name] = [described(*use) if spec is Spec.V1_7 else use[0] for use in uses]
    return {"ikev2TransformTypes": found} if found else {}


def protocol_crypto(protocol: str, versions: tuple[str, ...], seen: list[SeenThere], spec: Spec) -> Json:
    """Return the `cryptoProperties` of a protocol at a place where `seen` was seen."""
    kind = protocol.lower()
    described: Json = {"type": kind if kind in _TYPES[spec] else "other"}
    if versions:
        described["version"] = ", ".join(versions)
    refs = sorted(there.ref for there in seen)
    if spec is Spec.V1_6:
        described["cryptoRefArray"] = refs
    else:
        described |= _tls(seen) if kind in _WITH_TLS else {}
        described["relatedCryptographicAssets"] = [
            {"type": ref.partition(":")[0] or "other", "ref": ref} for ref in refs
        ]
    if kind == "ike":
        described |= _ike(seen, spec)
    return {"assetType": "protocol", "protocolProperties": described}
