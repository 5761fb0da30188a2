"""Where the key of a network goes: stores on links fill, demands draw on them along routes over trusted nodes.

A key that travels over several links is relayed: each hop spends as many bits of its own link as are delivered, and
every trusted node on the way sees the key. Demands are served in their order, each by its routes in their order, step
by step; what no route can carry in a step is short, and is not made up for later.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.qkd.compiled import compiled
from keystrand.qkd.decoy import Values

Route = tuple[int, ...]


class Flow(NamedTuple):
    """What came of it, by step. Bits: `stored` (steps, links) at each step's end, `delivered` and `short` (steps,
    demands), `rerouted` bits that did not take the first route; `overflow` (links,) had no room, `spent` (links,)."""

    stored: Values
    delivered: Values
    short: Values
    rerouted: Values
    overflow: Values
    spent: Values


def routes(ends: Sequence[tuple[str, str]], relays: frozenset[str], a: str, b: str, most_hops: int) -> list[Route]:
    """Return the simple paths of links from `a` to `b`, fewest hops first, then in the order of the links.

    `ends[i]` are the sites of link i; only `relays` may stand on the way.
    """
    beside: dict[str, list[tuple[int, str]]] = {}
    for number, (one, two) in enumerate(ends):
        beside.setdefault(one, []).append((number, two))
        beside.setdefault(two, []).append((number, one))
    found = _paths(beside, relays, [a], b, most_hops)
    return sorted(found, key=lambda path: (len(path), path))


def _paths(
    beside: Mapping[str, Sequence[tuple[int, str]]], relays: frozenset[str], visited: list[str], goal: str, left: int
) -> Iterator[Route]:
    if not left:
        return
    for number, site in beside.get(visited[-1], ()):
        if site == goal:
            yield (number,)
        elif site in relays and site not in visited:
            for rest in _paths(beside, relays, [*visited, site], goal, left - 1):
                yield (number, *rest)


def flow(
    made: Values, capacity: Values, wanted: Values, by_demand: Sequence[Sequence[Route]], passable: NDArray[np.bool_]
) -> Flow:
    """Return the flow of `made` bits (steps, links) to `wanted` bits (steps, demands).

    `capacity` (links,) bounds each store; `by_demand` lists the routes of each demand; `passable` (steps, links) says
    where a link's two ends can talk: a key store behind a node that is down is out of reach. Raises `ValueError` where
    shapes do not fit or bits are negative.
    """
    steps, links = made.shape
    fits = capacity.shape == (links,) and wanted.shape == (steps, len(by_demand)) and passable.shape == made.shape
    if not fits or np.any(made < 0) or np.any(capacity < 0) or np.any(wanted < 0):
        raise ValueError("bits must not be negative, and every step needs every link and demand")
    table, starts = _packed(by_demand, links)
    shape = (steps, len(by_demand))
    out = Flow(
        np.zeros((steps, links)), np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(links), np.zeros(links)
    )
    _run(np.ascontiguousarray(made, np.float64), capacity, wanted, passable, table, starts, out)
    return out


def _packed(by_demand: Sequence[Sequence[Route]], links: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return routes as rows filled up with -1, and where each demand's rows begin."""
    every = [route for choices in by_demand for route in choices]
    table = np.full((len(every), max([len(route) for route in every], default=1)), -1, np.int64)
    for row, route in zip(table, every, strict=True):
        row[: len(route)] = route
    if np.any(table >= links):
        raise ValueError("a route names a link that is not there")
    return table, np.cumsum([0, *map(len, by_demand)]).astype(np.int64)


@compiled
def _carry(left: float, route: NDArray[np.int64], store: Values, spent: Values, passable: NDArray[np.bool_]) -> float:
    """Send what all links of `route` can carry, at most `left` bits; return how much that was."""
    for link in route:
        if link >= 0:
            left = min(left, store[link] if passable[link] else 0.0)
    if left > 0.0:
        for link in route:
            if link >= 0:
                store[link] -= left
                spent[link] += left
    return left


@compiled
def _run(
    made: Values,
    capacity: Values,
    wanted: Values,
    passable: NDArray[np.bool_],
    table: NDArray[np.int64],
    starts: NDArray[np.int64],
    out: Flow,
) -> None:
    stored, delivered, short, rerouted, overflow, spent = out
    store = np.zeros(capacity.size)
    for step in range(made.shape[0]):
        full = store + made[step]
        store = np.minimum(full, capacity)
        overflow += full - store
        for demand in range(wanted.shape[1]):
            left = wanted[step, demand]
            for row in range(starts[demand], starts[demand + 1]):
                sent = _carry(left, table[row], store, spent, passable[step])
                delivered[step, demand] += sent
                if row > starts[demand]:
                    rerouted[step, demand] += sent
                left -= sent
            short[step, demand] = left
        stored[step] = store
