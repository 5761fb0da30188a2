"""A span of a network's life: history, blocks of key, their way to the demands, and what one wants to know of it.

All values are simulated. Drawn runs scatter as a real network would; expected runs give means, much faster.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from keystrand.model.telemetry import IntensityCounts, LinkTelemetry
from keystrand.pilot.key_flow import Flow, Route, flow, routes
from keystrand.pilot.link_blocks import Blocks, block_steps, blocks
from keystrand.pilot.network import Demand, Network
from keystrand.pilot.network_history import NetworkHistory, history
from keystrand.qkd.bb84_link import Transmitter


class NetworkRun(NamedTuple):
    """Everything that came of a run; links and demands in the order of the description."""

    network: Network
    history: NetworkHistory
    blocks: tuple[Blocks, ...]
    routes: tuple[tuple[Route, ...], ...]
    flow: Flow


class LinkSummary(Struct, frozen=True, kw_only=True):
    """One link over the whole run. `up_ratio`: share of time in which it could distil. Rates in bit/s over all time."""

    link: str
    up_ratio: float
    secret_key_rate_bits_per_s: float
    qber: float | None
    blocks: int
    blocks_without_key: int
    faults: int
    overflow_bits: float
    spent_bits: float
    lowest_store_bits: float
    simulated: bool = True


class DemandSummary(Struct, frozen=True, kw_only=True):
    """One demand over the whole run. `served_ratio` of bits; `longest_shortage_s` the longest time with any bit short.

    `trusted_nodes` see the key on the first route; empty where the two sites share a link, or no route exists.
    """

    demand: str
    served_ratio: float
    rerouted_ratio: float
    shortage_s: float
    longest_shortage_s: float
    routes: int
    trusted_nodes: tuple[str, ...]
    simulated: bool = True


def run(network: Network, duration_s: float, *, seed: int | np.random.SeedSequence, drawn: bool = True) -> NetworkRun:
    """Return a run of `duration_s`. The same seed gives the same run. Raises ValueError as `history` does."""
    root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    happened, counting = root.spawn(2)
    told = history(network, duration_s, np.random.default_rng(happened))
    rngs = [np.random.default_rng(one) for one in counting.spawn(len(network.link))]
    made = tuple(
        blocks(one, network.device_of(link).distillation, rng if drawn else None)
        for link, one, rng in zip(network.link, told.links, rngs, strict=True)
    )
    ways = tuple(tuple(_routes(network, demand)) for demand in network.demand)
    return NetworkRun(network, told, made, ways, _flow(network, told, made, ways))


def _routes(network: Network, demand: Demand) -> list[Route]:
    ends = [(link.a, link.b) for link in network.link]
    relays = frozenset(site.id for site in network.site if site.trusted_node)
    return routes(ends, relays, demand.a, demand.b, demand.most_hops)


def _flow(
    network: Network, told: NetworkHistory, made: tuple[Blocks, ...], ways: tuple[tuple[Route, ...], ...]
) -> Flow:
    steps = told.links[0].steps.size
    arriving = np.zeros((steps, len(made)))
    for n, (link, one) in enumerate(zip(network.link, made, strict=True)):
        size = block_steps(network.step_s, network.device_of(link).distillation)
        arriving[size - 1 :: size, n][: one.key_bits.size] = one.key_bits
    wanted = np.tile([demand.bits_per_s * network.step_s for demand in network.demand], (steps, 1))
    capacity = np.array([link.store_bits for link in network.link])
    return flow(arriving, capacity, wanted.reshape(steps, len(network.demand)), ways, told.passable)


def link_summaries(made: NetworkRun) -> list[LinkSummary]:
    """Return one summary a link."""
    seconds = made.history.links[0].steps.size * made.network.step_s
    return [
        LinkSummary(
            link=link.id,
            up_ratio=float((told.live > 0).mean()),
            secret_key_rate_bits_per_s=float(one.key_bits.sum()) / seconds,
            qber=_mean_qber(one),
            blocks=one.key_bits.size,
            blocks_without_key=int((one.key_bits == 0).sum()),
            faults=len(faults),
            overflow_bits=float(made.flow.overflow[n]),
            spent_bits=float(made.flow.spent[n]),
            lowest_store_bits=float(made.flow.stored[_filled(one, told.step_s) :, n].min(initial=np.inf)),
        )
        for n, (link, one, told, faults) in enumerate(
            zip(made.network.link, made.blocks, made.history.links, made.history.faults, strict=True)
        )
    ]


def _filled(made: Blocks, step_s: float) -> int:
    """Return the step of the first block with key: before it every store is empty and says nothing."""
    keyed = np.flatnonzero(made.key_bits)
    return 0 if not keyed.size else round(made.at_s[keyed[0]] / step_s) - 1


def _mean_qber(made: Blocks) -> float | None:
    whole = float(made.counts.key.sum())
    return float(made.counts.key_errors.sum()) / whole if whole else None


def demand_summaries(made: NetworkRun) -> list[DemandSummary]:
    """Return one summary a demand."""
    return [_demand_summary(made, n, demand) for n, demand in enumerate(made.network.demand)]


def _demand_summary(made: NetworkRun, n: int, demand: Demand) -> DemandSummary:
    delivered, step_s = made.flow.delivered[:, n], made.network.step_s
    lacking = made.flow.short[:, n] > 0
    wanted = float(delivered.sum() + made.flow.short[:, n].sum())
    return DemandSummary(
        demand=demand.id,
        served_ratio=float(delivered.sum()) / wanted,
        rerouted_ratio=float(made.flow.rerouted[:, n].sum()) / max(float(delivered.sum()), 1.0),
        shortage_s=float(lacking.sum()) * step_s,
        longest_shortage_s=_longest(lacking) * step_s,
        routes=len(made.routes[n]),
        trusted_nodes=_between(made.network, demand, made.routes[n][0]) if made.routes[n] else (),
    )


def _longest(marks: NDArray[np.bool_]) -> int:
    """Return the length of the longest run of marks."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marks.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _between(network: Network, demand: Demand, route: Route) -> tuple[str, ...]:
    at, made = demand.a, []
    for number in route[:-1]:
        link = network.link[number]
        at = link.b if at == link.a else link.a
        made.append(at)
    return tuple(made)


def telemetry(made: NetworkRun, n: int) -> Iterator[LinkTelemetry]:
    """Yield what link `n` reports, one report a block, as a real device would: nothing that it could not know."""
    link, one, told, states = made.network.link[n], made.blocks[n], made.history.links[n], made.history.states[n]
    device = made.network.device_of(link)
    size = block_steps(told.step_s, device.distillation)
    interval_s, of_block = size * told.step_s, told.steps[: one.at_s.size * size].reshape(-1, size)
    warm = np.array([state.temperature_c for state in states])[of_block].mean(axis=1)
    loss = np.array([state.link.channel_loss_db for state in states])[of_block].mean(axis=1)
    qbers, tests = one.qber, one.test_qber
    for at in range(one.at_s.size):
        up = bool(one.pulses[at] > 0)
        yield LinkTelemetry(
            link=link.id,
            at_s=float(one.at_s[at]),
            interval_s=interval_s,
            up=up,
            secret_key_rate_bits_per_s=float(one.key_bits[at]) / interval_s,
            sifted_rate_bits_per_s=float(one.counts.key[at].sum()) / interval_s,
            qber=_known(qbers[at]),
            test_qber=_known(tests[at]),
            channel_loss_db=float(loss[at]) if up else None,
            counts=_counts(one, at, device.transmitter) if up else (),
            double_click_ratio=_known(one.double_ratio[at]),
            ones_ratio=_known(one.ones_ratio[at]),
            temperature_c=float(warm[at]),
        )


def _counts(made: Blocks, at: int, sender: Transmitter) -> tuple[IntensityCounts, ...]:
    """Return the counts of one block by intensity, as whole numbers."""
    counts = np.stack([each[at] for each in made.counts], axis=1).round().astype(int).tolist()
    return tuple(
        IntensityCounts(
            intensity=mu, sent=int(made.pulses[at] * share), key=key, key_errors=bad, test=test, test_errors=wrong
        )
        for mu, share, (key, bad, test, wrong) in zip(sender.intensities, sender.probabilities, counts, strict=True)
    )


def _known(ratio: float) -> float | None:
    return None if np.isnan(ratio) else float(ratio)
