"""The inventory by system, and the layers that nobody owns."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from keystrand.inventory.coverage import answered_targets
from keystrand.model.estate import Estate, Layer
from keystrand.model.observation import Record
from keystrand.model.stages import Asset, OwnershipGap, SystemView


def system_views(estate: Estate, assets: Iterable[Asset], records: Iterable[Record]) -> tuple[SystemView, ...]:
    """Return one view for each system of the estate, by id; a system that no target names has an empty one."""
    found: dict[str, set[str]] = defaultdict(set)
    for asset in assets:
        for occurrence in asset.occurrences:
            found[occurrence.system].add(asset.id)
    answered = answered_targets(records)
    targets = Counter(target.system for target in estate.target)
    seen = Counter(target.system for target in estate.target if target.id in answered)
    return tuple(
        SystemView(system=name, assets=tuple(sorted(found[name])), targets=targets[name], answered=seen[name])
        for name in sorted(system.id for system in estate.system)
    )


def ownership_gaps(estate: Estate, assets: Mapping[str, int] | None = None) -> tuple[OwnershipGap, ...]:
    """Return every layer of a segment or system that names no owner, by noun, id and layer.

    `assets` says how many were found in each system, and so how much a missing owner leaves alone.
    """
    found = assets or {}
    nouns = [("segment", segment.id, segment.owners) for segment in estate.segment]
    nouns += [("system", system.id, system.owners) for system in estate.system]
    return tuple(
        OwnershipGap(noun=noun, id=name, layer=layer, assets=found.get(name, 0) if noun == "system" else 0)
        for noun, name, owners in sorted(nouns, key=lambda entry: entry[:2])
        for layer in Layer
        if owners.of(layer) is None
    )
