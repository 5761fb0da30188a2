"""Which input changes the order of the systems: each moved alone over its own range, all others held.

Held at: the high end of the threat curve, the middle of every range of years, a verdict not known counted as exposed.
The order is that of the avoidable exposure. An input that moves nobody is not worth a better figure; one that moves
many is what to find out first.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from keystrand.assess.ranks import Pairs, by_system, pairs_of, ranks_by
from keystrand.assess.words import years_text
from keystrand.formats.wording import counted
from keystrand.model.algorithm import Verdict
from keystrand.model.errors import InvalidInput
from keystrand.model.horizon import Horizon, Values, avoidable, horizons, years_between
from keystrand.model.policy import ThreatCurve
from keystrand.model.stages import Exposure

SURVIVES_YEARS = 15.0
"""How long after the last anchor the curve is let rise to certainty, to see what the flat tail decides."""


class Swing(Struct, frozen=True, kw_only=True):
    """One input moved from one end of its range to the other, and what that does to the order.

    `moved`: how many systems change their place; `most`: by how many places at most, and `system` is the one that does.
    `rank_from` and `rank_to` are its places at both ends.
    """

    input: str
    one_end: str
    other_end: str
    moved: int
    most: int
    system: str
    rank_from: int
    rank_to: int

    @property
    def words(self) -> str:
        """Return the swing as one sentence without its full stop."""
        if not self.moved:
            return f"{self.input}, from {self.one_end} to {self.other_end}: the order stays as it is"
        if not self.most:
            level = "draws level with it or leaves it" if self.moved == 1 else "draw level with it or leave it"
            return f"{self.input}, from {self.one_end} to {self.other_end}: {counted(self.moved, 'system')} {level}"
        verb = "changes its place" if self.moved == 1 else "change their places"
        return (
            f"{self.input}, from {self.one_end} to {self.other_end}: {counted(self.moved, 'system')} {verb}, "
            f"{self.system} the most, from {self.rank_from} to {self.rank_to}"
        )


class _Base(NamedTuple):
    """Where everything is held: arrays over the pairs, and the amounts that follow over the systems; also sorted."""

    pairs: Pairs
    horizon: Horizon
    m: Values
    x: Values
    amounts: Values
    rising: Values

    def order_with(
        self, horizon: Horizon | None = None, m: Values | None = None, x: Values | None = None
    ) -> NDArray[np.int32]:
        """Return the rank of every system with one input changed."""
        at = avoidable(horizon or self.horizon, self.m if m is None else m, self.x if x is None else x)
        return ranks_by(by_system(self.pairs, at))[0]


def sensitivity(
    exposures: Sequence[Exposure], curve: ThreatCurve, others: Sequence[ThreatCurve], as_of: date
) -> tuple[Swing, ...]:
    """Return every input with a range, the one that moves a system farthest first.

    `others` are the curves to compare `curve` with; one that has run out by `as_of` is left out.
    """
    if not exposures:
        return ()
    pairs = pairs_of(exposures)
    m, x, horizon = pairs.migration.mean(axis=1), pairs.shelf_life.mean(axis=1), horizons(curve, as_of)[1]
    amounts = by_system(pairs, avoidable(horizon, m, x))
    base = _Base(pairs, horizon, m, x, amounts, np.sort(amounts))
    swings = [
        *_of_curves(base, curve, others, as_of),
        *_of_shelf_lives(base),
        *_of_migrations(base),
        *_of_verdicts(base, exposures),
    ]
    return tuple(sorted(swings, key=lambda s: (-s.most, -s.moved, s.input, s.other_end)))


def _swing(base: _Base, what: tuple[str, str, str], before: NDArray[np.int32], after: NDArray[np.int32]) -> Swing:
    steps = np.abs(after - before)
    farthest = int(steps.argmax())
    return Swing(
        input=what[0],
        one_end=what[1],
        other_end=what[2],
        moved=int((steps > 0).sum()),
        most=int(steps[farthest]),
        system=base.pairs.systems[farthest],
        rank_from=int(before[farthest]),
        rank_to=int(after[farthest]),
    )


def _of_curves(base: _Base, curve: ThreatCurve, others: Sequence[ThreatCurve], as_of: date) -> Iterator[Swing]:
    low, high = horizons(curve, as_of)
    held = base.order_with(high)
    yield _swing(base, ("threat curve", f"the low end of {curve.id}", "its high end"), base.order_with(low), held)
    yield _swing(
        base,
        ("what comes after the survey", "nothing more", f"certainty {years_text(SURVIVES_YEARS)} later"),
        held,
        base.order_with(_rising_on(curve, as_of)),
    )
    for other in others:
        if other.id == curve.id:
            continue
        try:
            compared = horizons(other, as_of)[1]
        except InvalidInput:  # it says nothing of the time after that day, so there is nothing to compare
            continue
        yield _swing(base, ("threat curve", curve.id, other.id), held, base.order_with(compared))


def _rising_on(curve: ThreatCurve, as_of: date) -> Horizon:
    points = [(anchor.years, anchor.high) for anchor in curve.anchors]
    return Horizon([*points, (points[-1][0] + SURVIVES_YEARS, 1.0)], years_between(curve.origin, as_of))


def _of_shelf_lives(base: _Base) -> Iterator[Swing]:
    for n, name in enumerate(base.pairs.classes):
        its = base.pairs.data_class == n
        low, high = base.pairs.shelf_life[its][0]
        if low < high:
            orders = [base.order_with(x=np.where(its, end, base.x)) for end in (low, high)]
            yield _swing(base, (f"retention of {name}", years_text(low), years_text(high)), *orders)


def _of_migrations(base: _Base) -> Iterator[Swing]:
    low, high = base.pairs.migration.T
    ends = [by_system(base.pairs, avoidable(base.horizon, end, base.x)) for end in (low, high)]
    spans = dict(zip(base.pairs.system.tolist(), base.pairs.migration.tolist(), strict=True))
    for n, (shortest, longest) in sorted(spans.items()):
        if shortest < longest:
            what = f"time to migrate {base.pairs.systems[n]}", years_text(shortest), years_text(longest)
            yield _alone(base, n, what, (float(ends[0][n]), float(ends[1][n])))


def _of_verdicts(base: _Base, exposures: Sequence[Exposure]) -> Iterator[Swing]:
    unknown = {e.system for e in exposures if e.verdict is Verdict.UNKNOWN}
    for n, name in enumerate(base.pairs.systems):
        if name in unknown:
            what = f"verdict of {name}", "quantum-safe", "quantum-vulnerable"
            yield _alone(base, n, what, (0.0, float(base.amounts[n])))


def _alone(base: _Base, n: int, what: tuple[str, str, str], ends: tuple[float, float]) -> Swing:
    """Return the swing of an input of system `n` alone: it passes whoever stands between its two amounts."""
    held = float(base.amounts[n])
    above = len(base.rising) - np.searchsorted(base.rising, ends, "right") - (held > np.array(ends))
    before, after = (int(count) + 1 for count in above)
    # another one moves where this one was not above it at one end and is at the other
    least, most = sorted(ends)
    passed = int(np.diff(np.searchsorted(base.rising, (least, most), "left"))[0]) - (least <= held < most)
    return Swing(
        input=what[0],
        one_end=what[1],
        other_end=what[2],
        moved=passed + (before != after),
        most=abs(before - after),
        system=base.pairs.systems[n],
        rank_from=before,
        rank_to=after,
    )
