"""What a cost is drawn from: the estate's prices in place of the lists', and random draws that all options share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, ndtri
from scipy.stats.qmc import Sobol

from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.estate import Estate
from keystrand.model.planning import Planning
from keystrand.model.prices import Factor, PriceItem, PriceLevel, PriceList, RateList, Spread
from keystrand.model.scenario import ScenarioSet

Values = NDArray[np.float64]

CURVE = "threat-curve"
"""The input that says where between the low and the high threat curve the truth lies: every place is as likely."""
LIFE = "life of "
"""Before the id of an item: the input that says after how many years it is bought again."""
CORRELATION = 0.5
"""Between the normal scores of two inputs of one factor. Assumed: nobody has measured it for such purchases."""
PERT_WEIGHT = 4.0
"""Weight of the likely value in a PERT distribution: mean = (low + 4 likely + high) / 6 (Malcolm et al., Operations
Research 7(5), 1959)."""
_MOST_SCORE, _SCORES_PER_UNIT = 5.0, 20
_SCORES = np.linspace(-_MOST_SCORE, _MOST_SCORE, int(2 * _MOST_SCORE) * _SCORES_PER_UNIT + 1)
"""Where the quantile function is tabulated, in normal scores; between them it is linear (error below 2e-4 of the
range, tested); 3e-7 of a normal distribution lies beyond each end, and is put there."""
_INSIDE = 2.0**-40
"""How near to 0 or 1 a uniform number may come, so that its score stays finite."""


class Inputs(NamedTuple):
    """Prices by item in the plan's currency, rates by id, and the odds that something goes wrong."""

    prices: dict[str, PriceItem]
    rates: dict[str, Spread]
    odds: ScenarioSet
    currency: str


def inputs_of(
    estate: Estate,
    price_lists: Iterable[PriceList],
    rate_lists: Iterable[RateList],
    odds: ScenarioSet,
    measured: Mapping[str, Spread] | None = None,
) -> Inputs:
    """Return the inputs of `estate`; later lists replace earlier ones, its own prices all lists, `measured` all rates.

    Raises `InvalidInput` with every price of an unknown item, and every currency without an exchange rate.
    """
    listed = {item.id: (item, prices.currency) for prices in price_lists for item in prices.item}
    if problems := [*_unknown(estate, listed), *_foreign(estate, {currency for _, currency in listed.values()})]:
        raise InvalidInput("the prices of the estate cannot be used", problems=tuple(problems))
    found = {name: _exchanged(item, currency, estate.planning) for name, (item, currency) in listed.items()}
    for own in estate.price:
        changed = msgspec.structs.replace(
            found[own.item], low=own.low, likely=own.likely, high=own.high, level=PriceLevel.ONE_SOURCE,
            source=own.source, as_of=own.as_of,
        )  # fmt: skip
        found[own.item] = _exchanged(changed, own.currency, estate.planning)
    rates = {rate.id: rate for one in rate_lists for rate in one.rate} | dict(measured or {})
    return Inputs(found, rates, odds, estate.planning.currency)


def _unknown(estate: Estate, listed: Mapping[str, object]) -> Iterable[Problem]:
    for n, own in enumerate(estate.price):
        if own.item not in listed:
            yield Problem(
                message=f"no price list has an item {own.item!r}",
                hint=f"known: {', '.join(sorted(listed))}",
                field=f"price[{n}].item",
            )


def _rate_of(currency: str, planning: Planning) -> float | None:
    rates = {one.currency: one.rate for one in planning.exchange} | {planning.currency: 1.0}
    return rates.get(currency)


def _foreign(estate: Estate, of_lists: Iterable[str]) -> Iterable[Problem]:
    planning = estate.planning
    hint = f"add [[planning.exchange]] with its worth in {planning.currency}, or give the price in {planning.currency}"
    for n, own in enumerate(estate.price):
        if _rate_of(own.currency, planning) is None:
            message = f"it is in {own.currency}, the plan in {planning.currency}, and no exchange rate is given"
            yield Problem(message=message, hint=hint, field=f"price[{n}].currency")
    for currency in sorted(of_lists):
        if _rate_of(currency, planning) is None:
            message = f"a price list is in {currency}, the plan in {planning.currency}, and no exchange rate is given"
            hint = f"add [[planning.exchange]] with the worth of 1 {currency} in {planning.currency}"
            yield Problem(message=message, hint=hint, field="planning.exchange")


def _exchanged(item: PriceItem, currency: str, planning: Planning) -> PriceItem:
    rate = _rate_of(currency, planning)
    if rate is None or item.ends is None:
        return item
    low, likely, high = (value * rate for value in item.ends)
    return msgspec.structs.replace(item, low=low, likely=likely, high=high)


def pert_quantiles(ends: tuple[float, float, float], scores: Values) -> Values:
    """Return the PERT quantiles at normal `scores`: a beta distribution between the ends, its peak at the likely value.

    With l, m, h: a = 1 + 4 (m - l)/(h - l), b = 1 + 4 (h - m)/(h - l); the mean is (l + 4 m + h)/6.
    """
    low, likely, high = ends
    if high <= low:
        return np.full(scores.shape, low)
    a = 1.0 + PERT_WEIGHT * (likely - low) / (high - low)
    b = 1.0 + PERT_WEIGHT * (high - likely) / (high - low)
    return np.asarray(low + (high - low) * betaincinv(a, b, ndtr(scores)), dtype=float)


Ends = tuple[tuple[float, float | None, float], Factor | None]
"""Low, likely and high of an input (likely None: every value between is as likely), and what moves it with others."""


class Draws(NamedTuple):
    """The scenarios: a row an input (`names`), a column a scenario. `scores`: the normal scores behind the values."""

    names: dict[str, int]
    values: Values
    scores: Values

    def of(self, name: str) -> Values:
        """Return the draws of one input."""
        return np.asarray(self.values[self.names[name]])


def spreads(inputs: Inputs) -> dict[str, Ends]:
    """Return every input that is known, by name."""
    found: dict[str, Ends] = {}
    for item in (*inputs.prices.values(), *inputs.rates.values()):
        if item.ends is not None:
            found[item.id] = item.ends, item.factor
        if isinstance(item, PriceItem) and item.life_years:
            short, long = item.life_years
            found[LIFE + item.id] = (short, (short + long) / 2, long), None
    found |= {odds.id: ((odds.low, None, odds.high), None) for odds in inputs.odds.assumed}
    found[CURVE] = (0.0, None, 1.0), None
    return found


def draw(inputs: Inputs, *, scenarios: int, seed: int, held: Mapping[Factor, float] | None = None) -> Draws:
    """Return `scenarios` draws of every input: equal arguments give equal draws.

    `held` fixes what is common to the inputs of a factor at a normal score, such as 1.28 for its 90th percentile; the
    rest of each draw stays the same. Odds are drawn independently of each other. The points are a scrambled Sobol
    sequence (Owen, Annals of Statistics 25, 1997): percentiles then differ less between seeds than with independent
    draws.
    """
    known = spreads(inputs)
    points = _scores(len(Factor) + len(known), scenarios, seed)
    common, own = dict(zip(Factor, points, strict=False)), points[len(Factor) :]
    common |= {factor: np.full(scenarios, score) for factor, score in (held or {}).items()}
    for n, (_, factor) in enumerate(known.values()):
        if factor is not None:
            own[n] = np.sqrt(1.0 - CORRELATION) * own[n] + np.sqrt(CORRELATION) * common[factor]
    return Draws({name: n for n, name in enumerate(known)}, values_at(list(known.values()), own), own)


def _scores(rows: int, columns: int, seed: int) -> Values:
    whole = Sobol(rows, rng=np.random.default_rng(seed)).random_base2(max(columns - 1, 1).bit_length())
    return np.asarray(ndtri(np.clip(whole[:columns].T, _INSIDE, 1.0 - _INSIDE)), dtype=float)


def values_at(known: Sequence[Ends], scores: Values) -> Values:
    """Return the values of inputs at normal `scores`, a row an input."""
    at = np.clip((scores + _MOST_SCORE) * _SCORES_PER_UNIT, 0.0, _SCORES.size - 1.0)
    left = np.minimum(at.astype(np.intp), _SCORES.size - 2)
    part = at - left
    values = np.empty_like(scores)
    for n, ((low, likely, high), _) in enumerate(known):
        if likely is None:
            values[n] = low + (high - low) * ndtr(scores[n])
        else:
            table = pert_quantiles((low, likely, high), _SCORES)
            values[n] = table[left[n]] + part[n] * np.diff(table)[left[n]]
    return values
