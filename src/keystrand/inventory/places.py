"""Every kind of place where cryptography lives, each covered or a named gap: what is forgotten is not left out."""

from collections.abc import Iterable, Iterator, Mapping

from keystrand.formats.wording import counted
from keystrand.inventory.coverage import answered_targets, unknown_of_each
from keystrand.model.estate import Estate, Place, System
from keystrand.model.observation import Record
from keystrand.model.stages.seen import PlaceLine, PlaceState


def place_lines(estate: Estate, records: Iterable[Record]) -> tuple[PlaceLine, ...]:
    """Return one line for each `Place`, in their order, with what was not looked at there."""
    records = list(records)
    answered, unknown = answered_targets(records), unknown_of_each(records)
    return tuple(_line(estate, place, answered, unknown) for place in Place)


def _line(estate: Estate, place: Place, answered: set[str], unknown: Mapping[str, tuple[int, int]]) -> PlaceLine:
    systems = [system for system in estate.system if system.place is place]
    targets = [target.id for system in systems for target in estate.target if target.system == system.id]
    missing = tuple(_missing(estate, systems, answered, unknown))
    seen = sum(name in answered for name in targets)
    if not systems:
        declared_none = place in estate.organisation.has_none
        undeclared = f'no system of the estate has place = "{place.value}": declare one, or say has_none'
        missing = () if declared_none else (undeclared,)
        state = PlaceState.NONE_DECLARED if declared_none else PlaceState.NOT_DECLARED
    elif not seen:
        state = PlaceState.NOT_LOOKED_AT
    else:
        state = PlaceState.PARTLY if missing else PlaceState.COVERED
    return PlaceLine(
        place=place, state=state, systems=len(systems), targets=len(targets), answered=seen, missing=missing
    )


def _missing(
    estate: Estate, systems: Iterable[System], answered: set[str], unknown: Mapping[str, tuple[int, int]]
) -> Iterator[str]:
    for system in systems:
        targets = [target.id for target in estate.target if target.system == system.id]
        silent = [name for name in targets if name not in answered]
        if not targets:
            yield f"{system.id}: no target"
        elif silent:
            yield f"{system.id}: no answer from {counted(len(silent), 'target')} ({', '.join(silent[:3])})"
        for name in targets:
            of_it, everything = unknown.get(name, (0, 0))
            if name in answered and of_it:
                yield f"{system.id}: {of_it} of {everything} endpoints and files of {name} are unknown"
