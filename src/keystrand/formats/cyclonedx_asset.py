"""One asset as CycloneDX 1.6 describes it: its `cryptoProperties`, its own properties, and what it refers to."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from keystrand.formats.cyclonedx_algorithm import Json, algorithm_properties, sized
from keystrand.model.algorithm import Algorithm, Function, classify
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Fact, PublicKey
from keystrand.model.stages import Asset, Inventory

Properties = Iterable[tuple[str, str]]

_PROTOCOLS = frozenset({"tls", "ssh", "ipsec", "ike", "sstp", "wpa"})
_YES_NO_UNKNOWN = {True: "yes", False: "no", None: "unknown"}


class References(NamedTuple):
    """What assets refer to each other by.

    `keys` gives the reference of a public key by its hash, `at` the references of what was seen at a place (endpoints
    apart), `unowned` the layers without owner of a system.
    """

    keys: dict[str, str]
    at: dict[str, list[str]]
    unowned: dict[str, list[str]]


def references(inventory: Inventory) -> References:
    """Return what the assets of `inventory` can refer to, in one pass."""
    keys: dict[str, str] = {}
    at: dict[str, list[str]] = defaultdict(list)
    unowned: dict[str, list[str]] = defaultdict(list)
    for asset in inventory.assets:
        if isinstance(asset.fact, PublicKey):
            keys[asset.fact.sha256] = asset.id
        if not isinstance(asset.fact, Endpoint):
            for place in {occurrence.place for occurrence in asset.occurrences}:
                at[place].append(asset.id)
    for gap in inventory.ownership_gaps:
        if gap.noun == "system":
            unowned[gap.id].append(gap.layer.value)
    return References(keys, at, unowned)


def algorithm_ref(algorithm: Algorithm) -> str:
    """Return the reference of an algorithm as such, wherever it is used."""
    return f"algorithm:{algorithm.name}"


def key_ref(spki_sha256: str, refs: References) -> str:
    """Return the reference of a public key: that of its asset, or its own where only a certificate shows it."""
    return refs.keys.get(spki_sha256, f"public-key:{spki_sha256}")


def referred_algorithms(fact: Fact) -> list[Algorithm]:
    """Return the algorithms a fact refers to: a key's, then a signature's; the parts of a hybrid."""
    match fact:
        case Certificate():
            return [sized(fact.key_algorithm, fact.key_bits), classify(fact.signature_algorithm)]
        case PublicKey():
            return [sized(fact.algorithm, fact.bits)]
        case AlgorithmUse():
            return [classify(part) for part in classify(fact.algorithm).components]
        case _:
            return []


def depends_on(asset: Asset, refs: References) -> list[str]:
    """Return the references that `asset` depends on, sorted; for an endpoint, all that was seen where it listens."""
    fact = asset.fact
    match fact:
        case Certificate():
            _, signature = referred_algorithms(fact)
            found = {key_ref(fact.spki_sha256, refs), algorithm_ref(signature)}
        case Endpoint():
            places = {occurrence.place for occurrence in asset.occurrences}
            found = {ref for place in places for ref in refs.at.get(place, ())}
        case _:
            found = {algorithm_ref(algorithm) for algorithm in referred_algorithms(fact)}
    return sorted(found)


def midnight(day: date) -> str:
    """Return the day's first moment in UTC; a validity that ends on that day is thus told short, never long."""
    return f"{day.isoformat()}T00:00:00Z"


def algorithm_crypto(algorithm: Algorithm, function: Function | None = None) -> Json:
    """Return the `cryptoProperties` of an algorithm, used for `function` or only referred to."""
    return {"assetType": "algorithm", "algorithmProperties": algorithm_properties(algorithm, function)}


def public_key_crypto(algorithm: Algorithm, sha256: str, bits: int | None) -> Json:
    """Return the `cryptoProperties` of a public key; its size is left out where nobody knows it."""
    size = bits or algorithm.bits
    return {
        "assetType": "related-crypto-material",
        "relatedCryptoMaterialProperties": {
            "type": "public-key",
            "id": sha256,
            "algorithmRef": algorithm_ref(algorithm),
            **({"size": size} if size else {}),
        },
    }


def _certificate_crypto(fact: Certificate, refs: References) -> Json:
    _, signature = referred_algorithms(fact)
    return {
        "assetType": "certificate",
        "certificateProperties": {
            "subjectName": fact.subject,
            "issuerName": fact.issuer,
            "notValidBefore": midnight(fact.not_before),
            "notValidAfter": midnight(fact.not_after),
            "signatureAlgorithmRef": algorithm_ref(signature),
            "subjectPublicKeyRef": key_ref(fact.spki_sha256, refs),
            "certificateFormat": "X.509",
        },
    }


def _protocol_crypto(fact: Endpoint, seen_there: list[str]) -> Json:
    return {
        "assetType": "protocol",
        "protocolProperties": {
            "type": fact.protocol if fact.protocol in _PROTOCOLS else "other",
            **({"version": ", ".join(fact.versions)} if fact.versions else {}),
            "cryptoRefArray": seen_there,
        },
    }


def asset_crypto(asset: Asset, refs: References) -> Json:
    """Return the `cryptoProperties` of `asset`."""
    fact = asset.fact
    match fact:
        case AlgorithmUse():
            return algorithm_crypto(classify(fact.algorithm, fact.function), fact.function)
        case Certificate():
            return _certificate_crypto(fact, refs)
        case PublicKey():
            (algorithm,) = referred_algorithms(fact)
            return public_key_crypto(algorithm, fact.sha256, fact.bits)
        case Endpoint():
            return _protocol_crypto(fact, depends_on(asset, refs))
        case _:
            return {"assetType": "related-crypto-material", "relatedCryptoMaterialProperties": {"type": "other"}}


def _fact_properties(fact: Fact) -> Properties:
    match fact:
        case AlgorithmUse():
            yield "function", fact.function.value
            yield "code-point", fact.code_point
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


def asset_properties(asset: Asset, refs: References) -> Properties:
    """Yield name and value of what CycloneDX has no field for; a value may be empty, a name may come again."""
    yield "strength", asset.strength.value
    yield "verdict", asset.verdict.value
    systems = sorted({occurrence.system for occurrence in asset.occurrences})
    yield from (("system", system) for system in systems)
    yield from (("no-owner", f"{s}: {', '.join(refs.unowned[s])}") for s in systems if s in refs.unowned)
    yield from (("conflict", conflict) for conflict in asset.conflicts)
    yield from _fact_properties(asset.fact)
