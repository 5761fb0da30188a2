"""How much traffic several captures and logs saw of one flow, when some of them may have seen the same packets."""

from collections.abc import Iterable, Iterator
from typing import Any

from keystrand.model.observation import Flow

COUNTS = ("octets_to_server", "octets_to_client", "packets")


def together(flows: Iterable[Flow]) -> dict[str, Any]:
    """Return the counts and times of all sightings of one flow.

    Sightings that overlap in time are taken to be of the same packets, of which the larger counts hold; those that do
    not, and those without a clock, add up.
    """
    seen = set(flows)
    timed = sorted((flow for flow in seen if flow.first and flow.last), key=lambda flow: (flow.first, flow.last))
    untimed = [flow for flow in seen if not (flow.first and flow.last)]
    spells = [*_spells(timed), *([flow] for flow in untimed)]
    counts = {name: sum(max(getattr(flow, name) for flow in spell) for spell in spells) for name in COUNTS}
    return counts | {
        "first": min((flow.first for flow in timed), default=""),
        "last": max((flow.last for flow in timed), default=""),
    }


def _spells(flows: list[Flow]) -> Iterator[list[Flow]]:
    """Yield the sightings, in the order of their begin, that overlap each other or through others."""
    spell: list[Flow] = []
    end = ""
    for flow in flows:
        if spell and flow.first > end:
            yield spell
            spell = []
        end = max(end, flow.last)
        spell.append(flow)
    if spell:
        yield spell
