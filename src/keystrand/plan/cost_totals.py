"""Lines and draws to money: what each scenario spends in each year, by category, and its present value.

Every line is a product of a drawn price and drawn rates with an amount and a share of each year, so lines of equal
factors are added up first: the draws are multiplied once for each of these, however many systems there are.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.model.prices import CostCategory, PriceItem
from keystrand.plan.cost_inputs import LIFE, Draws
from keystrand.plan.cost_lines import Line

Values = NDArray[np.float64]

MIDDLE = 0.5
"""Money of a year counts as spent in its middle (mid-year convention of discounting)."""


BATCH = 50_000
"""Lines taken at once: a hundred thousand systems have over a million."""


class Kind(NamedTuple):
    """What makes lines equal but for amount and time."""

    item: str
    rates: tuple[str, ...]
    category: CostCategory


class Purchase(NamedTuple):
    """What is bought again after its life: `amount` first at `start`, until `end`."""

    item: str
    start: float
    amount: float


class Bill(NamedTuple):
    """Amounts by kind (rows) and year (columns), what wears out, and what has no price."""

    kinds: tuple[Kind, ...]
    amounts: Values
    purchases: tuple[Purchase, ...]
    missing: tuple[str, ...]


def discounts(rate: float, years: int) -> Values:
    """Return the present value of 1 spent in each year: (1 + rate)^-(year + 1/2)."""
    return np.asarray((1.0 + rate) ** -(np.arange(years) + MIDDLE), dtype=float)


def yearly_shares(lines: Sequence[Line], years: int) -> Values:
    """Return how much of each line's amount falls into each year, lines by years; what lies outside is left out."""
    start = np.array([line.start for line in lines])[:, None]
    end = np.array([line.end for line in lines])[:, None]
    amount = np.array([line.amount for line in lines])[:, None]
    yearly = np.array([line.yearly for line in lines])[:, None]
    first = np.arange(years, dtype=float)[None, :]
    inside = np.clip(np.minimum(end, first + 1.0) - np.maximum(start, first), 0.0, None)
    length = end - start
    at_once = (first == np.floor(np.clip(start, 0.0, None))) | ((first == years - 1) & (start == years))
    spread = np.where(length > 0, inside / np.where(length > 0, length, 1.0), at_once)
    return np.asarray(amount * np.where(yearly, inside, spread), dtype=float)


def bill_of(lines: Iterable[Line], prices: dict[str, PriceItem], years: int) -> Bill:
    """Return the bill of `lines`. What has no price is left out of the amounts, and named in `missing`."""
    rows: dict[Kind, Values] = {}
    bought: dict[tuple[str, float], float] = {}
    missing: dict[str, None] = {}
    ahead = iter(lines)
    while batch := list(islice(ahead, BATCH)):
        missing |= dict.fromkeys(line.item for line in batch if prices[line.item].ends is None)
        priced = [line for line in batch if prices[line.item].ends is not None]
        for line, share in zip(priced, yearly_shares(priced, years), strict=True):
            kind = kind_of(line, prices)
            if kind in rows:
                rows[kind] += share
            else:
                rows[kind] = share
            if prices[line.item].life_years and not line.yearly and line.start < years:
                key = line.item, line.start
                bought[key] = bought.get(key, 0.0) + line.amount
    purchases = tuple(Purchase(item, start, amount) for (item, start), amount in sorted(bought.items()))
    amounts = np.array(list(rows.values())).reshape(len(rows), years)
    return Bill(tuple(rows), amounts, purchases, tuple(missing))


def kind_of(line: Line, prices: dict[str, PriceItem]) -> Kind:
    """Return what `line` has in common with others."""
    return Kind(line.item, line.rates, line.category or prices[line.item].category)


def worths(kinds: Sequence[Kind], draws: Draws) -> Values:
    """Return the money that one unit of each kind costs in each scenario, kinds by scenarios."""
    made = np.empty((len(kinds), draws.values.shape[1]))
    for n, kind in enumerate(kinds):
        made[n] = draws.of(kind.item)
        for rate in kind.rates:
            made[n] *= draws.of(rate)
    return made


class Priced(NamedTuple):
    """What one option costs, in money of today: by scenario and year; and present values by category and scenario."""

    cash: Values
    present: Values
    by_category: dict[CostCategory, Values]
    by_item: dict[str, float]


def price(bill: Bill, draws: Draws, discount: Values) -> Priced:
    """Return what `bill` costs in each scenario of `draws`; `discount`: see `discounts`."""
    unit = worths(bill.kinds, draws)
    years = discount.size
    cash = unit.T @ bill.amounts
    by_category: dict[CostCategory, Values] = {}
    by_item: dict[str, float] = {}
    weights = bill.amounts @ discount
    for kind, row, weight in zip(bill.kinds, unit, weights, strict=True):
        part = row * weight
        by_category[kind.category] = by_category.get(kind.category, 0.0) + part
        by_item[kind.item] = by_item.get(kind.item, 0.0) + float(part.mean())
    for bought in bill.purchases:
        again = _bought_again(bought, draws, years)
        cash += again
        part = again @ discount
        by_category[CostCategory.REFRESH] = by_category.get(CostCategory.REFRESH, 0.0) + part
        by_item[bought.item] = by_item.get(bought.item, 0.0) + float(part.mean())
    return Priced(cash, cash @ discount, by_category, by_item)


def _bought_again(bought: Purchase, draws: Draws, years: int) -> Values:
    """Return what replacements cost, scenarios by years: one at the end of each life that ends before the horizon."""
    life, paid = draws.of(LIFE + bought.item), draws.of(bought.item) * bought.amount
    cash = np.zeros((life.size, years))
    rows = np.arange(life.size)
    for n in range(1, ceil((years - bought.start) / float(life.min())) + 1):
        when = bought.start + n * life
        due = when < years
        cash[rows[due], np.floor(when[due]).astype(int)] += paid[due]
    return cash


def expected(lines: Iterable[Line], prices: dict[str, PriceItem], draws: Draws, discount: Values) -> dict[str, float]:
    """Return the expected present value of the lines of each subject, replacements left out: no migration has any."""
    unit: dict[Kind, float] = {}
    found: dict[str, float] = {}
    ahead = iter(lines)
    while batch := [line for line in islice(ahead, BATCH) if prices[line.item].ends is not None]:
        for line, weight in zip(batch, yearly_shares(batch, discount.size) @ discount, strict=True):
            kind = kind_of(line, prices)
            if kind not in unit:
                unit[kind] = float(worths([kind], draws)[0].mean())
            found[line.subject] = found.get(line.subject, 0.0) + unit[kind] * float(weight)
    return found
