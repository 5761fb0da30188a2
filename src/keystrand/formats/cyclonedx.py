"""The inventory as a CycloneDX 1.6 or 1.7 cryptography bill of materials (CBOM), in JSON.

Written as it is read: one component a line, a few passes over the assets, nothing kept but what they refer to each
other by. What CycloneDX has no field for (strength, verdict, systems, owners, coverage) travels in properties named
`keystrand:...`; one of them holds each fact itself, so that our own reader gets back all that went out.
`compositions`, where incompleteness could be told too, is left out: a widely used reader refuses documents that have
it. Source: ECMA-424, the standard that CycloneDX 1.6 is, and the CycloneDX 1.7 schema.
"""

import hashlib
import io
import uuid
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

import msgspec

from keystrand.formats.cyclonedx_algorithm import Json, Spec
from keystrand.formats.cyclonedx_asset import (
    Properties,
    Property,
    algorithm_crypto,
    asset_crypto,
    asset_properties,
    library_fields,
    midnight,
    occurrence_entry,
    public_key_crypto,
)
from keystrand.formats.cyclonedx_relations import (
    References,
    algorithm_of,
    algorithm_ref,
    depends_on,
    key_ref,
    references,
    referred_algorithms,
)
from keystrand.model.algorithm import Algorithm
from keystrand.model.document import Coverage
from keystrand.model.observation import Certificate, Flow, Library
from keystrand.model.stages import Asset, Inventory, OwnershipGap

_ROOT = "estate"
_IDS_AT_ONCE = 1000
_AT_ONCE = 64 * 1024
"""Octets that are hashed and written together: a component is short."""
_encode = msgspec.json.Encoder().encode


class Head(NamedTuple):
    """What a CBOM says beside its assets. `name` is whose estate it is, `made_from` the hashes of its inputs."""

    name: str
    tool_version: str
    as_of: date
    coverage: Coverage
    made_from: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    ownership_gaps: tuple[OwnershipGap, ...] = ()


def head_of(inventory: Inventory, name: str) -> Head:
    """Return what the CBOM of `inventory` says beside its assets."""
    return Head(
        name=name,
        tool_version=inventory.tool_version,
        as_of=inventory.as_of,
        coverage=inventory.coverage,
        made_from=tuple(f"{ref.kind} {ref.content_sha256}" for ref in inventory.made_from),
        stand_ins=inventory.stand_ins,
        ownership_gaps=inventory.ownership_gaps,
    )


def _properties(group: str, properties: Properties) -> list[Property]:
    prefix = f"keystrand:{group}:"
    return [Property(prefix + n, value) for n, value in properties if value or n == "conflict"]


def _component(ref: str, name: str, crypto: Json, **more: Any) -> Json:
    return {"type": "cryptographic-asset", "bom-ref": ref, "name": name, "cryptoProperties": crypto, **more}


class _Writer:
    """Writes a CBOM piece by piece, and keeps the hash of what it wrote."""

    def __init__(self, stream: BinaryIO, head: Head, assets: Iterable[Asset], spec: Spec) -> None:
        self._stream, self._head, self._assets, self._spec = stream, head, assets, spec
        self._refs: References = references(assets, head.ownership_gaps, head.as_of)
        self._hash, self._waiting = hashlib.sha256(), bytearray()
        self._algorithms: dict[str, Algorithm] = {}

    def write(self) -> None:
        """Write the whole document."""
        self._put(b'{"$schema":"http://cyclonedx.org/schema/bom-%s.schema.json"' % self._spec.encode())
        self._put(b',"bomFormat":"CycloneDX","specVersion":"%s","version":1' % self._spec.encode())
        self._put(b',"metadata":' + _encode(_metadata(self._head)))
        self._array("components", self._components())
        self._array("services", self._services(), optional=True)
        self._dependencies()
        self._flush()
        serial = uuid.uuid5(uuid.NAMESPACE_URL, f"keystrand:cbom:{self._hash.hexdigest()}")
        self._stream.write(b',"serialNumber":"urn:uuid:%s"}\n' % str(serial).encode())

    def _put(self, content: bytes) -> None:
        self._waiting += content
        if len(self._waiting) > _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._hash.update(self._waiting)
        self._stream.write(self._waiting)
        self._waiting = bytearray()

    def _array(self, name: str, entries: Iterator[Json], *, optional: bool = False) -> None:
        """Write a member with one entry a line; an `optional` one is left out where it is empty."""
        opening = b',"%s":[\n' % name.encode()
        separator = opening
        for entry in entries:
            self._put(separator + _encode(entry))
            separator = b",\n"
        if separator is not opening:
            self._put(b"\n]")
        elif not optional:
            self._put(opening.rstrip() + b"]")

    def _components(self) -> Iterator[Json]:
        """Yield assets in their order, then keys that only certificates show, then the algorithms all refer to."""
        for asset in self._assets:
            for algorithm in referred_algorithms(asset.fact):
                self._algorithms.setdefault(algorithm.name, algorithm)
            if not isinstance(asset.fact, Flow):
                yield self._asset(asset)
        for fact, algorithm in self._keys():
            crypto = public_key_crypto(fact.spki_sha256, algorithm, fact.key_bits, self._refs, self._spec)
            name = f"{algorithm.name} key {fact.spki_sha256[:16]}".strip()
            yield _component(key_ref(fact.spki_sha256, self._refs), name, crypto)
        parts = [algorithm_of(part) for algorithm in self._algorithms.values() for part in algorithm.components]
        self._algorithms |= {part.name: part for part in parts}
        for name, algorithm in sorted(self._algorithms.items()):
            crypto = algorithm_crypto(algorithm, spec=self._spec)
            yield _component(algorithm_ref(algorithm), name or "unnamed algorithm", crypto)

    def _described(self, asset: Asset) -> Json:
        return {
            "evidence": {"occurrences": [occurrence_entry(seen) for seen in asset.occurrences]},
            "properties": _properties("asset", asset_properties(asset, self._refs)),
        }

    def _asset(self, asset: Asset) -> Json:
        if isinstance(fact := asset.fact, Library):
            head = {"type": "library", "bom-ref": asset.id, "name": asset.name}
            return head | library_fields(fact) | self._described(asset)
        crypto = asset_crypto(asset, self._refs, self._spec, self._head.as_of)
        return _component(asset.id, asset.name, crypto or {}, **self._described(asset))

    def _keys(self) -> Iterator[tuple[Certificate, Algorithm]]:
        """Yield each public key that is no asset of its own once: a certificate with it, and its algorithm."""
        done: set[bytes] = set()
        for asset in self._assets:
            if not isinstance(fact := asset.fact, Certificate) or fact.spki_sha256 in self._refs.keys:
                continue
            if (key := bytes.fromhex(fact.spki_sha256)) not in done:
                done.add(key)
                yield fact, referred_algorithms(fact)[0]

    def _services(self) -> Iterator[Json]:
        """Yield the flows. A service has no evidence in CycloneDX: where it was seen is a property."""
        for asset in self._assets:
            if isinstance(fact := asset.fact, Flow):
                seen = [("occurrence", _encode(occurrence_entry(o)).decode()) for o in asset.occurrences]
                yield {
                    "bom-ref": asset.id,
                    "name": asset.name,
                    "group": f"{fact.transport} {fact.port}",
                    "properties": _properties("asset", (*asset_properties(asset, self._refs), *seen)),
                }

    def _dependencies(self) -> None:
        """Write who depends on whom. The estate depends on its assets; who depends on nothing known is left out."""
        self._put(b',"dependencies":[\n{"ref":"%s","dependsOn":[' % _ROOT.encode())
        separator = b""
        ids = (asset.id for asset in self._assets)
        while some := list(islice(ids, _IDS_AT_ONCE)):
            self._put(separator + _encode(some)[1:-1])
            separator = b","
        self._put(b"]}")
        for link in self._links():
            self._put(b",\n" + _encode(link))
        self._put(b"\n]")

    def _links(self) -> Iterator[Json]:
        for asset in self._assets:
            if found := depends_on(asset, self._refs):
                yield {"ref": asset.id, "dependsOn": found}
        for fact, algorithm in self._keys():
            yield {"ref": key_ref(fact.spki_sha256, self._refs), "dependsOn": [algorithm_ref(algorithm)]}
        for _, algorithm in sorted(self._algorithms.items()):
            if parts := sorted(algorithm_ref(algorithm_of(part)) for part in algorithm.components):
                yield {"ref": algorithm_ref(algorithm), "dependsOn": parts}


def _coverage(coverage: Coverage) -> Properties:
    yield "unit", coverage.unit
    yield "looked-at", str(coverage.looked_at)
    yield "answered", str(coverage.answered)
    yield from (("gap", f"{gap.what}: {gap.outcome.value}, {gap.reason}") for gap in coverage.gaps)


def _metadata(head: Head) -> Json:
    tool = {"type": "application", "name": "keystrand", "version": head.tool_version}
    return {
        "timestamp": midnight(head.as_of),
        "lifecycles": [{"phase": "discovery"}],
        "tools": {"components": [tool]},
        "component": {"type": "platform", "bom-ref": _ROOT, "name": head.name},
        "properties": [
            *_properties("coverage", _coverage(head.coverage)),
            *_properties("document", [("made-from", ref) for ref in head.made_from]),
            *_properties("demonstration", [("stand-in", target) for target in head.stand_ins]),
        ],
    }


def write_cbom(stream: BinaryIO, head: Head, assets: Iterable[Asset], *, spec: Spec = Spec.V1_6) -> None:
    """Write the CBOM of `assets` to `stream`: JSON in UTF-8, a component a line.

    `assets` is gone through several times and must give the same assets in the same order each time, as a tuple or a
    view of a store does. A component's `bom-ref` is its asset's id. Equal content gives equal bytes: the serial number
    comes from the hash of all that stands before it, the timestamp from the day the inventory judges for, and measured
    values such as the hour of the run are left out.
    """
    _Writer(stream, head, assets, spec).write()


def cbom(inventory: Inventory, *, name: str, spec: Spec = Spec.V1_6) -> bytes:
    """Return the CBOM of `inventory`, the estate of `name`; see `write_cbom`."""
    stream = io.BytesIO()
    write_cbom(stream, head_of(inventory, name), inventory.assets, spec=spec)
    return stream.getvalue()
