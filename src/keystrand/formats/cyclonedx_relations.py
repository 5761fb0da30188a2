"""What the assets of a CBOM refer to each other by: references, states of keys, and what was seen where.

Kept small, so that an inventory larger than memory can be written: for each certificate one octet and the hash of its
key, for each key with an asset of its own its reference, and what was seen at the places of endpoints and settings.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from keystrand.formats.cyclonedx_algorithm import sized
from keystrand.model.algorithm import Algorithm, classify
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Fact, Flow, ProtocolSettings, PublicKey
from keystrand.model.stages import Asset, OwnershipGap

ACTIVE, PRE_ACTIVATION, DEACTIVATED = "active", "pre-activation", "deactivated"
_BEST_FIRST = (ACTIVE, PRE_ACTIVATION, DEACTIVATED)
_DESCRIBES_PLACE = (Endpoint, ProtocolSettings)
_SILENT = (*_DESCRIBES_PLACE, Flow)

algorithm_of = lru_cache(16_384)(classify)
"""`classify`, remembered: an inventory says the same few names a hundred thousand times."""


class SeenThere(NamedTuple):
    """Something seen at the place of an endpoint: its reference, and the use where it is one."""

    ref: str
    use: AlgorithmUse | None


class References(NamedTuple):
    """What assets refer to each other by.

    `keys` gives the reference of a public key by its hash, `states` the state of a key by the hash's octets as the
    certificates with it say, `at` what was seen at the place of an endpoint or of settings (these apart), `unowned` the
    layers without owner of a system.
    """

    keys: dict[str, str]
    states: dict[bytes, int]
    at: dict[str, list[SeenThere]]
    unowned: dict[str, list[str]]


def references(assets: Iterable[Asset], gaps: Iterable[OwnershipGap], as_of: date) -> References:
    """Return what `assets` can refer to, in two passes over them; `as_of` is the day that states are told for."""
    unowned: dict[str, list[str]] = defaultdict(list)
    for gap in gaps:
        if gap.noun == "system":
            unowned[gap.id].append(gap.layer.value)
    keys: dict[str, str] = {}
    states: dict[bytes, int] = {}
    at: dict[str, list[SeenThere]] = {}
    for asset in assets:
        if isinstance(fact := asset.fact, PublicKey):
            keys[fact.sha256] = asset.id
        elif isinstance(fact, Certificate):
            key = bytes.fromhex(fact.spki_sha256)
            states[key] = min(states.get(key, len(_BEST_FIRST)), _BEST_FIRST.index(state_of(fact, as_of)))
        elif isinstance(fact, _DESCRIBES_PLACE):
            at.update((occurrence.place, []) for occurrence in asset.occurrences)
    _gather(assets, at)
    return References(keys, states, at, unowned)


def _gather(assets: Iterable[Asset], at: dict[str, list[SeenThere]]) -> None:
    for asset in assets if at else ():
        if not isinstance(asset.fact, _SILENT):
            use = asset.fact if isinstance(asset.fact, AlgorithmUse) else None
            for place in {occurrence.place for occurrence in asset.occurrences} & at.keys():
                at[place].append(SeenThere(asset.id, use))


def state_of(certificate: Certificate, as_of: date) -> str:
    """Return the state that a certificate's validity gives it on a day; whether it was revoked takes no part."""
    if as_of < certificate.not_before:
        return PRE_ACTIVATION
    return ACTIVE if as_of <= certificate.not_after else DEACTIVATED


def key_state(spki_sha256: str, refs: References) -> str | None:
    """Return the best state that the certificates with this key give it; None where no certificate has it."""
    found = refs.states.get(bytes.fromhex(spki_sha256))
    return None if found is None else _BEST_FIRST[found]


def algorithm_ref(algorithm: Algorithm) -> str:
    """Return the reference of an algorithm as such, wherever it is used."""
    return f"algorithm:{algorithm.name}"


def key_ref(spki_sha256: str, refs: References) -> str:
    """Return the reference of a public key: that of its asset, or its own where only a certificate shows it."""
    return refs.keys.get(spki_sha256, f"public-key:{spki_sha256}")


@lru_cache(16_384)
def _sized(name: str, bits: int | None) -> Algorithm:
    return sized(name, bits)


def referred_algorithms(fact: Fact) -> list[Algorithm]:
    """Return the algorithms a fact refers to: a key's, then a signature's; the parts of a hybrid; a flow's exchange."""
    match fact:
        case Certificate():
            return [_sized(fact.key_algorithm, fact.key_bits), algorithm_of(fact.signature_algorithm)]
        case PublicKey():
            return [_sized(fact.algorithm, fact.bits)]
        case AlgorithmUse():
            return [algorithm_of(part) for part in algorithm_of(fact.algorithm).components]
        case Flow(key_establishment=name) if name:
            return [algorithm_of(name)]
        case _:
            return []


def seen_there(asset: Asset, refs: References) -> list[SeenThere]:
    """Return what was seen where an endpoint or settings are, each once, by reference."""
    places = {occurrence.place for occurrence in asset.occurrences}
    return [*{seen.ref: seen for place in sorted(places) for seen in refs.at.get(place, ())}.values()]


def depends_on(asset: Asset, refs: References) -> list[str]:
    """Return the references that `asset` depends on, sorted; for an endpoint, all that was seen where it listens."""
    fact = asset.fact
    match fact:
        case Certificate():
            _, signature = referred_algorithms(fact)
            found = {key_ref(fact.spki_sha256, refs), algorithm_ref(signature)}
        case Endpoint() | ProtocolSettings():
            found = {seen.ref for seen in seen_there(asset, refs)}
        case _:
            found = {algorithm_ref(algorithm) for algorithm in referred_algorithms(fact)}
    return sorted(found)
