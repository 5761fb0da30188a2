"""One asset as CycloneDX describes it: its `cryptoProperties`, its own properties, and what it refers to."""

import re
from collections.abc import Iterable
from datetime import date
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from keystrand.formats.cyclonedx_algorithm import Json, Spec, algorithm_properties
from keystrand.formats.cyclonedx_protocol import protocol_crypto
from keystrand.formats.cyclonedx_relations import (
    DEACTIVATED,
    References,
    algorithm_of,
    algorithm_ref,
    key_ref,
    key_state,
    referred_algorithms,
    seen_there,
    state_of,
)
from keystrand.model.algorithm import Algorithm, Function
from keystrand.model.observation import (
    AlgorithmUse,
    Certificate,
    Endpoint,
    Fact,
    Flow,
    Keystore,
    Library,
    ProtocolSettings,
    PublicKey,
)
from keystrand.model.stages import Asset, Occurrence

Properties = Iterable[tuple[str, str]]

FACT = "fact"
"""The property that holds the fact itself, as our own documents write it: so nothing is lost on the way back."""
_YES_NO_UNKNOWN = {True: "yes", False: "no", None: "unknown"}
_IN_FILE = re.compile(r"(file:.*)(?::(?P<line>[1-9]\d{0,8})|@0x(?P<offset>0|[1-9a-f][0-9a-f]{0,7}))", re.DOTALL)


def midnight(day: date) -> str:
    """Return the day's first moment in UTC; a validity that ends on that day is thus told short, never long."""
    return f"{day.isoformat()}T00:00:00Z"


class Property(Struct, frozen=True, gc=False):
    """A property of CycloneDX. A document has a million of them: the collector need not walk them."""

    name: str
    value: str


class OccurrenceEntry(Struct, frozen=True, gc=False, omit_defaults=True):
    """An occurrence of CycloneDX: a place, a line or an octet in it, and words."""

    location: str
    line: int | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    additionalContext: str = ""  # noqa: N815 - CycloneDX's name of it


def occurrence_entry(seen: Occurrence) -> OccurrenceEntry:
    """Return one occurrence as evidence: where (line or octet of a file apart), and in words how it was seen."""
    rule = f" by rule {seen.rule}" if seen.rule else ""
    words = f"{seen.strength.value}; target {seen.target} of {seen.system}{rule}, probe {seen.probe}"
    if not seen.place.startswith("file:") or not (inside := _IN_FILE.fullmatch(seen.place)):
        return OccurrenceEntry(location=seen.place, additionalContext=words)
    if line := inside["line"]:
        return OccurrenceEntry(location=inside[1], line=int(line), additionalContext=words)
    return OccurrenceEntry(location=inside[1], offset=int(inside["offset"], 16), additionalContext=words)


def place_of(location: str, line: int | None, offset: int | None) -> str:
    """Return the place that `occurrence_entry` took apart."""
    if line is not None:
        return f"{location}:{line}"
    return location if offset is None else f"{location}@0x{offset:x}"


def algorithm_crypto(algorithm: Algorithm, function: Function | None = None, spec: Spec = Spec.V1_6) -> Json:
    """Return the `cryptoProperties` of an algorithm, used for `function` or only referred to."""
    return {"assetType": "algorithm", "algorithmProperties": algorithm_properties(algorithm, function, spec)}


def public_key_crypto(sha256: str, algorithm: Algorithm, bits: int | None, refs: References, spec: Spec) -> Json:
    """Return the `cryptoProperties` of a public key; size and state are left out where nobody knows them."""
    described: Json = {"type": "public-key", "id": sha256}
    if state := key_state(sha256, refs):
        described["state"] = state
    if spec is Spec.V1_6:
        described["algorithmRef"] = algorithm_ref(algorithm)
    else:
        described["fingerprint"] = {"alg": "SHA-256", "content": sha256}
        described["relatedCryptographicAssets"] = [{"type": "algorithm", "ref": algorithm_ref(algorithm)}]
    if size := bits or algorithm.bits:
        described["size"] = size
    return {"assetType": "related-crypto-material", "relatedCryptoMaterialProperties": described}


def _certificate_crypto(fact: Certificate, refs: References, spec: Spec, as_of: date) -> Json:
    signature = algorithm_ref(referred_algorithms(fact)[1])
    key = key_ref(fact.spki_sha256, refs)
    described: Json = {
        "subjectName": fact.subject,
        "issuerName": fact.issuer,
        "notValidBefore": midnight(fact.not_before),
        "notValidAfter": midnight(fact.not_after),
    }
    if spec is Spec.V1_6:
        described |= {"signatureAlgorithmRef": signature, "subjectPublicKeyRef": key}
    else:
        described |= _newer_certificate(fact, as_of)
        described["relatedCryptographicAssets"] = [
            {"type": "algorithm", "ref": signature},
            {"type": "publicKey", "ref": key},
        ]
    described["certificateFormat"] = "X.509"
    return {"assetType": "certificate", "certificateProperties": described}


def _newer_certificate(fact: Certificate, as_of: date) -> Json:
    """Return what 1.7 added, as far as we know it."""
    state = state_of(fact, as_of)
    reason = "its validity has ended" if state == DEACTIVATED else "by its validity; revocation was not looked at"
    extensions = [("basicConstraints", f"CA:{'TRUE' if fact.authority else 'FALSE'}")]
    extensions += [("subjectAlternativeName", ", ".join(fact.names))] if fact.names else []
    return {
        "serialNumber": fact.serial,
        "fingerprint": {"alg": "SHA-256", "content": fact.sha256},
        "certificateState": [{"state": state, "reason": reason}],
        "certificateExtensions": [{"commonExtensionName": n, "commonExtensionValue": v} for n, v in extensions],
    }


def _keystore_crypto(fact: Keystore) -> Json:
    secured = {"securedBy": {"mechanism": "password"}} if fact.encrypted else {}
    described = {"type": "other", "format": fact.format, **secured}
    return {"assetType": "related-crypto-material", "relatedCryptoMaterialProperties": described}


def asset_crypto(asset: Asset, refs: References, spec: Spec, as_of: date) -> Json | None:
    """Return the `cryptoProperties` of `asset`, None for a library, which is a component of its own kind."""
    fact = asset.fact
    match fact:
        case AlgorithmUse():
            return algorithm_crypto(algorithm_of(fact.algorithm, fact.function), fact.function, spec)
        case Certificate():
            return _certificate_crypto(fact, refs, spec, as_of)
        case PublicKey():
            return public_key_crypto(fact.sha256, referred_algorithms(fact)[0], fact.bits, refs, spec)
        case Endpoint() | ProtocolSettings():
            return protocol_crypto(fact.protocol, fact.versions, seen_there(asset, refs), spec)
        case Keystore():
            return _keystore_crypto(fact)
        case _:
            return None


def library_fields(fact: Library) -> dict[str, Any]:
    """Return what a component of type library says beside its name."""
    return {key: value for key, value in (("version", fact.version), ("purl", fact.purl)) if value}


def _fact_properties(fact: Fact) -> Properties:
    match fact:
        case AlgorithmUse():
            yield "function", fact.function.value
            yield "code-point", fact.code_point
            yield "library", fact.library
            yield "in-tests", "yes" if fact.in_tests else ""
        case Certificate():
            yield "serial", fact.serial
            yield "authority", _YES_NO_UNKNOWN[fact.authority]
            yield from (("name", name) for name in fact.names)
        case PublicKey():
            yield "private-part-present", _YES_NO_UNKNOWN[fact.private_part_present]
        case Endpoint():
            yield "host", fact.host
            yield "port", str(fact.port)
            yield "software", fact.software
            yield "supports-post-quantum", _YES_NO_UNKNOWN[fact.supports_post_quantum]
            yield "negotiates-post-quantum", _YES_NO_UNKNOWN[fact.negotiates_post_quantum]
            yield "prefers-post-quantum", _YES_NO_UNKNOWN[fact.prefers_post_quantum]
        case Keystore():
            yield "entries", "unknown" if fact.entries is None else str(fact.entries)
            yield "encrypted", _YES_NO_UNKNOWN[fact.encrypted]
        case ProtocolSettings():
            yield "software", fact.software
            yield from (("listens", address) for address in fact.listens)
        case Flow():
            yield "client", fact.client
            yield "octets-to-server", str(fact.octets_to_server)
            yield "octets-to-client", str(fact.octets_to_client)
            yield "key-establishment", fact.key_establishment


def asset_properties(asset: Asset, refs: References) -> Properties:
    """Yield name and value of what CycloneDX has no field for; a value may be empty, a name may come again."""
    yield "strength", asset.strength.value
    yield "verdict", asset.verdict.value
    systems = sorted({occurrence.system for occurrence in asset.occurrences})
    for system in systems:
        yield "system", system
    for system in systems:
        if system in refs.unowned:
            yield "no-owner", f"{system}: {', '.join(refs.unowned[system])}"
    for conflict in asset.conflicts:
        yield "conflict", conflict
    yield from _fact_properties(asset.fact)
    yield FACT, msgspec.json.encode(asset.fact).decode()
