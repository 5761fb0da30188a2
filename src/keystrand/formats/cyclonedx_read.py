"""CBOMs read back: our own without loss, those of other generators as findings with their occurrences.

Read are CycloneDX 1.6 and 1.7 in JSON and IBM's `1.4-cbom-1.0`; a document of 1.5 or older has no cryptography but may
name libraries. Reading the same document again gives the same facts at the same places: an import is an upsert.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from keystrand.formats.cyclonedx_asset import FACT, place_of
from keystrand.formats.cyclonedx_foreign import ForeignReader
from keystrand.formats.cyclonedx_parts import Component, Document, MetadataPart, Seen
from keystrand.formats.report_parts import REPORT, at, decoded, guarded, reading
from keystrand.model.algorithm import Verdict
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Fact, Strength
from keystrand.model.reading import FileReader, Found, Reading
from keystrand.model.stages import Asset, Occurrence
from keystrand.model.words import shown

_OWN = "keystrand:asset:"
_WORDS = re.compile(r"([a-z]+); target (\S+) of (\S+?)(?: by rule (\S+))?, probe (.*)", re.DOTALL)
_WRITERS = (b"cyclonedx-python-lib", b"OWASP Foundation")
"""Libraries that write for others, and whose names stand beside the tool's."""
MAX_NESTED = 20


class Cbom(NamedTuple):
    """A CBOM that was read.

    `assets` are those that keystrand wrote, whole; `found` is what other generators tell; `reasons` say what of the
    document could not be used.
    """

    generator: str
    version: str
    assets: tuple[Asset, ...]
    found: tuple[Found, ...]
    reasons: tuple[str, ...]


def read_cbom(content: bytes) -> Cbom:
    """Return what a CycloneDX document tells. Raises `InvalidInput` or `msgspec.MsgspecError` where it is none."""
    document = decoded(content, Document)
    if document.format not in ("CycloneDX", "CBOM") or not document.version:
        raise InvalidInput("not a CycloneDX document: bomFormat or specVersion is missing")
    faults: list[str] = []
    components = list(_components(document.components or (), faults, "components"))
    services = list(_components(document.services or (), faults, "services"))
    assets, foreign = _own(components, services, faults)
    providers = {link.ref for link in document.dependencies or () if link.provides}
    generator = _generator(document)
    reader = ForeignReader(foreign, providers)
    found = [] if assets and not foreign else list(reader.found())
    return Cbom(generator, document.version, assets, tuple(found), (*faults, *reader.reasons()))


def _components(raws: Iterable[msgspec.Raw], faults: list[str], where: str, depth: int = 0) -> Iterator[Component]:
    """Yield components with those inside them; one that is not as it must be is a fault, with where."""
    for number, raw in enumerate(raws):
        place = f"{where}[{number}]"
        try:
            component = decoded(raw, Component)
        except (msgspec.MsgspecError, InvalidInput) as error:
            faults.append(f"$.{place}: {shown(str(error), 100)}")
            continue
        yield component
        if component.components and depth < MAX_NESTED:
            yield from _components(component.components, faults, f"{place}.components", depth + 1)


def _own(
    components: list[Component], services: list[Component], faults: list[str]
) -> tuple[tuple[Asset, ...], list[Component]]:
    """Return the assets that keystrand wrote, and the components that somebody else did."""
    assets: list[Asset] = []
    foreign: list[Component] = []
    ours = any(component.said(_OWN + FACT) for component in (*components, *services))
    for component in (*components, *services):
        if not (fact := component.said(_OWN + FACT)):
            # keys that only certificates show and algorithms as such are made anew each time: no assets
            foreign += [] if ours and re.match("public-key:|algorithm:", component.ref) else [component]
            continue
        try:
            assets.append(_asset(component, msgspec.json.decode(fact, type=Fact)))
        except (msgspec.MsgspecError, ValueError, KeyError) as error:
            faults.append(f"{shown(component.ref, 80)}: {shown(str(error), 80)}")
            foreign.append(component)
    return tuple(assets), foreign


def _asset(component: Component, fact: Fact) -> Asset:
    """Return one asset as it was before it was written. Raises `ValueError` or `KeyError` where a word is not ours."""
    said = [(p.name.removeprefix(_OWN), p.value or "") for p in component.properties or ()]
    first = dict(reversed(said))
    seen = component.evidence.occurrences if component.evidence else []
    if not component.evidence:
        seen = [msgspec.json.decode(value, type=Seen) for name, value in said if name == "occurrence"]
    return Asset(
        id=component.ref,
        name=component.name,
        verdict=Verdict(first["verdict"]),
        strength=Strength(first["strength"]),
        fact=fact,
        occurrences=tuple(map(_occurrence, seen)),
        conflicts=tuple(value for name, value in said if name == "conflict"),
    )


def _occurrence(seen: Seen) -> Occurrence:
    if not (words := _WORDS.fullmatch(seen.words or "")):
        raise ValueError("an occurrence is not in keystrand's words")
    place = place_of(seen.location, seen.line, seen.offset)
    strength, target, system, rule, probe = words.groups(default="")
    return Occurrence(target=target, system=system, place=place, probe=probe, strength=Strength(strength), rule=rule)


def _generator(document: Document) -> str:
    """Return the names of the tools that made a document, libraries that only wrote it apart."""
    metadata = document.metadata or MetadataPart()
    said = bytes(metadata.tools) + bytes(metadata.component)
    names = re.findall(rb'"name"\s*:\s*"((?:[^"\\]|\\.){1,80})"', said)
    told = [name.decode("utf-8", "replace") for name in names if name not in _WRITERS]
    return shown(told[0]) if told else "unknown"


@guarded
def read(_: str, content: bytes) -> Reading:
    """Return a CBOM's facts, each at the places that it tells."""
    cbom = read_cbom(content)
    own = [
        Found(at(occurrence.place), occurrence.strength, asset.fact)
        for asset in cbom.assets
        for occurrence in asset.occurrences
    ]
    return reading((*own, *cbom.found), (f"{cbom.generator}: {reason}" for reason in cbom.reasons))


def _wants(_: str, head: bytes) -> bool:
    return b'"bomFormat"' in head or b"cyclonedx.org/schema/bom-" in head or b'"bom-ref"' in head


READER = FileReader(REPORT, _wants, read)
