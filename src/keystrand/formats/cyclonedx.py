"""The inventory as a CycloneDX 1.6 cryptography bill of materials (CBOM), in JSON.

Plain values and one pass: time and size grow with the inventory, not with its square. What CycloneDX has no field for
(strength, verdict, systems, owners, coverage) travels in properties named `keystrand:...`. `compositions`, where
incompleteness could be told too, is left out: a widely used reader refuses documents that have it.
"""

import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from keystrand.formats.cyclonedx_algorithm import Json
from keystrand.formats.cyclonedx_asset import (
    Properties,
    References,
    algorithm_crypto,
    algorithm_ref,
    asset_crypto,
    asset_properties,
    depends_on,
    key_ref,
    midnight,
    public_key_crypto,
    references,
    referred_algorithms,
)
from keystrand.formats.documents import content_hash
from keystrand.model.algorithm import classify
from keystrand.model.observation import Certificate
from keystrand.model.stages import Asset, Inventory

_ROOT = "estate"


class _Entry(NamedTuple):
    """One component, and the references it depends on."""

    component: Json
    depends_on: list[str]


def _properties(group: str, properties: Properties) -> list[Json]:
    return [{"name": f"keystrand:{group}:{name}", "value": value} for name, value in properties if value]


def _component(ref: str, name: str, crypto: Json, **more: Any) -> Json:
    return {"type": "cryptographic-asset", "bom-ref": ref, "name": name, "cryptoProperties": crypto, **more}


def _occurrences(asset: Asset) -> list[Json]:
    return [
        {
            "location": seen.place,
            "additionalContext": f"{seen.strength.value}; target {seen.target} of {seen.system}, probe {seen.probe}",
        }
        for seen in asset.occurrences
    ]


def _asset_entry(asset: Asset, refs: References) -> _Entry:
    component = _component(
        asset.id,
        asset.name,
        asset_crypto(asset, refs),
        evidence={"occurrences": _occurrences(asset)},
        properties=_properties("asset", asset_properties(asset, refs)),
    )
    return _Entry(component, depends_on(asset, refs))


def _key_entries(inventory: Inventory, refs: References) -> Iterator[_Entry]:
    """Yield the public keys that only a certificate shows: they are no assets of their own."""
    done = set(refs.keys)
    for asset in inventory.assets:
        fact = asset.fact
        if isinstance(fact, Certificate) and fact.spki_sha256 not in done:
            done.add(fact.spki_sha256)
            algorithm, _ = referred_algorithms(fact)
            crypto = public_key_crypto(algorithm, fact.spki_sha256, fact.key_bits)
            name = f"{algorithm.name} key {fact.spki_sha256[:16]}".strip()
            yield _Entry(_component(key_ref(fact.spki_sha256, refs), name, crypto), [algorithm_ref(algorithm)])


def _algorithm_entries(inventory: Inventory) -> Iterator[_Entry]:
    """Yield the algorithms that assets refer to, once each, with the parts of hybrids."""
    named = {algorithm.name: algorithm for asset in inventory.assets for algorithm in referred_algorithms(asset.fact)}
    parts = {part: classify(part) for algorithm in named.values() for part in algorithm.components}
    for algorithm in (named | parts).values():
        name = algorithm.name or "unnamed algorithm"
        part_refs = sorted(algorithm_ref(classify(part)) for part in algorithm.components)
        yield _Entry(_component(algorithm_ref(algorithm), name, algorithm_crypto(algorithm)), part_refs)


def _entries(inventory: Inventory) -> list[_Entry]:
    refs = references(inventory)
    assets = (_asset_entry(asset, refs) for asset in inventory.assets)
    entries = (*assets, *_key_entries(inventory, refs), *_algorithm_entries(inventory))
    return sorted(entries, key=lambda entry: str(entry.component["bom-ref"]))


def _dependencies(inventory: Inventory, entries: list[_Entry]) -> list[Json]:
    """Return who depends on whom. The estate depends on its assets; who depends on nothing known is left out."""
    root = {"ref": _ROOT, "dependsOn": sorted(asset.id for asset in inventory.assets)}
    rest = ({"ref": entry.component["bom-ref"], "dependsOn": entry.depends_on} for entry in entries if entry.depends_on)
    return [root, *rest]


def _coverage(inventory: Inventory) -> Properties:
    coverage = inventory.coverage
    yield "unit", coverage.unit
    yield "looked-at", str(coverage.looked_at)
    yield "answered", str(coverage.answered)
    yield from (("gap", f"{gap.what}: {gap.outcome.value}, {gap.reason}") for gap in coverage.gaps)


def _metadata(inventory: Inventory, name: str) -> Json:
    tool = {"type": "application", "name": "keystrand", "version": inventory.tool_version}
    return {
        "timestamp": midnight(inventory.as_of),
        "lifecycles": [{"phase": "discovery"}],
        "tools": {"components": [tool]},
        "component": {"type": "platform", "bom-ref": _ROOT, "name": name},
        "properties": [
            *_properties("coverage", _coverage(inventory)),
            *_properties("demonstration", [("stand-in", target) for target in inventory.stand_ins]),
        ],
    }


def cbom(inventory: Inventory, *, name: str) -> bytes:
    """Return `inventory` as a CycloneDX 1.6 CBOM: indented JSON in UTF-8 with one final newline.

    `name` says whose estate it is. A component's `bom-ref` is its asset's id. Equal content gives equal bytes: the
    serial number comes from the content hash, the timestamp from the day the inventory judges for, and measured values
    such as the hour of the run are left out. Source: ECMA-424, first edition, the standard that CycloneDX 1.6 is.
    """
    entries = _entries(inventory)
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"keystrand:cbom:{content_hash(inventory)}:{name}")
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": _metadata(inventory, name),
        "components": [entry.component for entry in entries],
        "dependencies": _dependencies(inventory, entries),
    }
    return msgspec.json.format(msgspec.json.encode(bom), indent=2) + b"\n"
