"""From contests with peers to rows: ours beside each peer, the ratio of each turn, a row for every peer left out."""

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bench.measure import Failed, Missing, Row, interleaved, row

Figures = Mapping[str, float]
"""What one run showed. `rate` is there always, a second of processor time; of ours also `wall`, a second of the day."""
Job = Callable[[int], Figures]
"""One run, by its seed."""

RATE, WALL = "rate", "wall"


class Stopwatch:
    """Starts when it is made."""

    def __init__(self) -> None:
        self._cpu_s, self._wall_s = time.process_time(), time.perf_counter()

    def rates(self, amount: float) -> dict[str, float]:
        """Return how much of `amount` was done a second, by both clocks."""
        cpu_s, wall_s = time.process_time() - self._cpu_s, time.perf_counter() - self._wall_s
        return {RATE: amount / cpu_s, WALL: amount / wall_s}


class Rival(NamedTuple):
    """A peer: `start` makes it ready and returns its job, or raises `Missing` or `Failed`."""

    name: str
    start: Callable[[], Job]


class Contest(NamedTuple):
    """What was measured in turns: a list of figures each, or for a rival why there is none."""

    ours: list[Figures]
    rivals: dict[str, list[Figures] | str]


def say(text: str) -> None:
    """Tell how far it is, beside the rows."""
    sys.stderr.write(f"bench qkd: {text}\n")


def contest(repeats: int, ours: Job, rivals: Sequence[Rival] = (), *, slow: bool = False) -> Contest:
    """Run ours and every rival in turns. A rival that cannot start or fails its first run is left out, and told.

    `slow` rivals run that once, and ours once after its warm-up: a peer's warm-up of a minute would show nothing.
    """
    jobs, tried, reasons = {"": _numbered(ours)}, dict[str, Figures](), dict[str, list[Figures] | str]()
    for rival in rivals:
        try:
            job = _numbered(rival.start())
            tried[rival.name] = job()
        except (Missing, Failed) as error:
            say(f"{rival.name} not available: {error}")
            reasons[rival.name] = str(error)
        else:
            jobs[rival.name] = job
    if slow:
        jobs[""]()
        return Contest([jobs[""]()], {name: reasons.get(name) or [tried[name]] for name in (*tried, *reasons)})
    own, *others = interleaved(repeats, *jobs.values())
    return Contest(own, {**dict(zip(list(jobs)[1:], others, strict=True)), **reasons})


def _numbered(job: Job) -> Callable[[], Figures]:
    seeds = itertools.count(1)
    return lambda: job(next(seeds))


def figures(samples: Sequence[Figures], name: str = RATE) -> list[float]:
    """Return one figure of every run."""
    return [sample[name] for sample in samples]


def total(samples: Sequence[Figures], name: str) -> float:
    """Return the sum of one figure over all runs."""
    return sum(figures(samples, name))


def speed_rows(
    title: str, unit: str, made: Contest, *, at_least: float | None = None, ratios: Mapping[str, float] | None = None
) -> list[Row]:
    """Return our rate, each rival's rate, and our ratio to each; `ratios` holds the least that these may be."""
    goals, rows = ratios or {}, rate_rows(title, unit, made.ours, at_least=at_least)
    for rival, theirs in made.rivals.items():
        name = f"{title}: ratio to {rival}"
        if isinstance(theirs, str):
            rows.append(absent(name, rival, theirs, at_least=goals.get(rival)))
        else:
            rows.append(row(f"{title} ({rival})", figures(theirs), unit))
            rows.append(ratio_row(name, figures(made.ours), figures(theirs), rival, at_least=goals.get(rival)))
    return rows


def rate_rows(title: str, unit: str, samples: Sequence[Figures], *, at_least: float | None = None) -> list[Row]:
    """Return our rate by processor time, which is that of one core, and by the wall clock, which others' work slows."""
    rows = [row(title, figures(samples), unit, at_least=at_least)]
    if WALL in samples[0]:
        rows.append(row(f"{title}, by the wall clock", figures(samples, WALL), unit))
    return rows


def ratio_row(
    name: str, ours: Sequence[float], theirs: Sequence[float], peer: str, *, at_least: float | None = None
) -> Row:
    """Return the row of the ratio of each turn; one sample of ours has one of the peer beside it."""
    made = row(name, [one / other for one, other in zip(ours, theirs, strict=True)], "x", at_least=at_least)
    return msgspec.structs.replace(made, peer=peer, ratio=round(made.value, 2))


def absent(name: str, peer: str, why: str, *, at_least: float | None = None) -> Row:
    """Return the row of a comparison that could not be made: it says why, and a goal it has is not met."""
    made = row(name, [0.0], "x", at_least=at_least)
    return msgspec.structs.replace(
        made, peer=f"peer not available: {peer}: {why}", met=None if at_least is None else False
    )


def limit_row(name: str, values: Sequence[float], unit: str, limit: str, bound: float, *, goal: float) -> Row:
    """Return the row of values held against a physical limit `bound`, at most `goal`."""
    made = row(name, values, unit, peer=limit, peer_samples=[bound], goal=goal)
    return msgspec.structs.replace(made, ratio=round(statistics.median(values) / bound, 4))


def within_row(name: str, value: float, unit: str, published: float, tolerance: float) -> Row:
    """Return the row of a value that must lie within `tolerance` of a published one."""
    made = row(name, [value], unit, peer="published", peer_samples=[published])
    within = abs(value - published) <= tolerance
    return msgspec.structs.replace(
        made, value=value, low=value, high=value, goal=f"{published} +- {tolerance} {unit}", met=within
    )
