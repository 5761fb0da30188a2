"""What happens to the links of a network over a span of time: faults, attacks, outages and switches.

Time is cut where something changes, and slow changes into short pieces; a piece has the state of its middle. What
cuts, maintenance and outages leave of a step is exact. Random faults are drawn beforehand from one generator, link by
link in the order of the description: the same seed gives the same year.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from keystrand.pilot.link_blocks import Condition, LinkHistory
from keystrand.pilot.network import STOPS, LinkAttack, Network, NetworkLink, SiteOutage
from keystrand.qkd.attacks import combined
from keystrand.qkd.decoy import Values
from keystrand.qkd.faults import (
    YEAR_S,
    AnyFault,
    ConnectorAgeing,
    LinkState,
    link_at,
)

_Span = tuple[float, float]
MOST_CELLS = 100_000_000
"""Of a run: some gigabytes. A hundred links for nearly two years of minutes."""
PIECES = 20
"""Into so many pieces a slow beginning or end of a fault is cut."""
AGEING_S = 86_400.0
"""Connectors age by the day."""


class NetworkHistory(NamedTuple):
    """One entry a link, in the order of the description: its history, the state of receiver and fibre beside each of
    its conditions, and its faults as drawn. `passable` (steps, links) says where both ends can use what they stored."""

    links: tuple[LinkHistory, ...]
    states: tuple[tuple[LinkState, ...], ...]
    faults: tuple[tuple[AnyFault, ...], ...]
    passable: NDArray[np.bool_]


def history(network: Network, duration_s: float, rng: np.random.Generator) -> NetworkHistory:
    """Return what happens within `duration_s`. Raises ValueError for less than a step, or more than can be held."""
    steps = int(duration_s // network.step_s) if np.isfinite(duration_s) else 0
    if not 1 <= steps <= MOST_CELLS // (len(network.link) + len(network.demand)):
        raise ValueError(f"the time must hold at least one step, and steps x (links + demands) at most {MOST_CELLS:,}")
    edges: Values = np.arange(steps + 1, dtype=np.float64) * network.step_s
    faults = tuple(_faults(network, link, duration_s, rng) for link in network.link)
    made = [_link_history(network, link, some, edges) for link, some in zip(network.link, faults, strict=True)]
    shares = _switched(network, np.stack([live for _, _, live, _ in made]))
    links = tuple(
        LinkHistory(conditions, index, share, network.step_s)
        for (conditions, index, _, _), share in zip(made, shares, strict=True)
    )
    passable = np.stack([_free(edges, _outages(network, link)) == 1.0 for link in network.link], axis=1)
    return NetworkHistory(links, tuple(states for *_, states in made), faults, passable)


def _faults(network: Network, link: NetworkLink, duration_s: float, rng: np.random.Generator) -> tuple[AnyFault, ...]:
    """Return the faults of a link: those declared, and those that chance brings."""
    made: list[AnyFault] = [one.fault for one in network.fault if one.link == link.id]
    for rate in network.fault_rate:
        if not rate.links or link.id in rate.links:
            begun, coming = rng.poisson([rate.per_year * span / YEAR_S for span in (rate.mean_duration_s, duration_s)])
            # what had begun before the run lasts on from its start, and as long again: exponential times forget
            starts = np.concatenate([np.zeros(begun), np.sort(rng.uniform(0.0, duration_s, coming))])
            lasting = rng.exponential(rate.mean_duration_s, begun + coming)
            made += [
                msgspec.structs.replace(rate.fault, start_s=float(at), duration_s=float(length))
                for at, length in zip(starts, lasting, strict=True)
            ]
    return tuple(made)


def _link_history(
    network: Network, link: NetworkLink, faults: tuple[AnyFault, ...], edges: Values
) -> tuple[list[Condition], NDArray[np.int32], Values, tuple[LinkState, ...]]:
    """Return the distinct conditions of a link, which one holds in each step, how much of it counts, and the states."""
    healthy = network.healthy(link)
    attacks = [one for one in network.attack if one.link == link.id]
    stops = [one for one in faults if isinstance(one, STOPS)]
    changes = [one for one in faults if not isinstance(one, STOPS)]
    states, conditions = [LinkState(healthy)], [Condition(healthy)]
    index = np.zeros(edges.size - 1, np.int32)
    spans = np.array([_span(one) for one in changes]).reshape(-1, 2)
    for first, last in pairwise(_pieces(changes, attacks, edges)):
        middle = float(edges[first] + edges[last]) / 2
        there = np.flatnonzero((spans[:, 0] <= middle) & (middle < spans[:, 1]))
        state = link_at(healthy, [changes[n] for n in there], middle)
        present = [one for one in attacks if _lasting(one)[0] <= middle < _lasting(one)[1]]
        if present or state != states[0]:
            index[first:last] = len(states)
            states.append(state)
            conditions.append(_condition(state, present))
    working = np.array([one.up and one.distilling for one in states], np.float64)[index]
    free = _free(edges, [*map(_span, stops), *_outages(network, link)])
    return conditions, index, working * free, tuple(states)


def _pieces(changes: Sequence[AnyFault], attacks: Sequence[LinkAttack], edges: Values) -> list[int]:
    """Return the steps at which a link may change, first and last included."""
    times = [at for one in attacks for at in _lasting(one)]
    for one in changes:
        start, end = _span(one)
        whole = end - one.recovery_s
        slow = [(start, start + one.ramp_s), (whole, end)]
        times += [at for low, high in slow if np.isfinite(low) for at in np.linspace(low, high, PIECES + 1)]
        if isinstance(one, ConnectorAgeing):
            times += list(np.arange(start, min(end, float(edges[-1])), AGEING_S))
    inside = np.searchsorted(edges, np.array([at for at in times if np.isfinite(at)]))
    return sorted({0, edges.size - 1, *np.minimum(inside, edges.size - 1).tolist()})


def _condition(state: LinkState, attacks: Sequence[LinkAttack]) -> Condition:
    attacked = combined([one.attack for one in attacks], state.link) if attacks else None
    return Condition(state.link, state.response(attacked) if attacks or state.clock_lost else None)


def _switched(network: Network, live: Values) -> Values:
    """Return `live` with every switch's turns: the links that are up share the time, less what changes take."""
    made, places = live.copy(), {link.id: n for n, link in enumerate(network.link)}
    for switch in network.switch:
        rows = [places[one] for one in switch.links]
        up = (live[rows] > 0).sum(axis=0)
        useful = np.where(up > 1, 1.0 - switch.change_s / switch.dwell_s, 1.0)
        made[rows] = live[rows] * useful / np.maximum(up, 1)
    return made


def _outages(network: Network, link: NetworkLink) -> list[_Span]:
    return [_lasting(one) for one in network.outage if one.site in (link.a, link.b)]


def _span(fault: AnyFault) -> _Span:
    lasting = np.inf if fault.duration_s is None else fault.duration_s + fault.recovery_s
    return fault.start_s, fault.start_s + lasting


def _lasting(one: LinkAttack | SiteOutage) -> _Span:
    return one.start_s, one.start_s + one.duration_s


def _free(edges: Values, spans: Iterable[_Span]) -> Values:
    """Return the share of each step that no span covers."""
    free = np.ones(edges.size - 1)
    width = edges[1] - edges[0]
    for start, end in _merged(spans):
        first, last = np.searchsorted(edges, [start, end], side="right") - 1
        first, last = max(int(first), 0), min(int(last), free.size - 1)
        if first >= free.size or end <= edges[0]:
            continue
        covered = np.minimum(edges[first + 1 : last + 2], end) - np.maximum(edges[first : last + 1], start)
        free[first : last + 1] -= np.maximum(covered, 0.0) / width
    return np.clip(free, 0.0, 1.0)


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    made: list[_Span] = []
    for start, end in sorted(spans):
        if made and start <= made[-1][1]:
            made[-1] = (made[-1][0], max(end, made[-1][1]))
        else:
            made.append((start, end))
    return made
