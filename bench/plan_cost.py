"""The cost of a plan: 10,000 scenarios of forty lines over ten years, beside the shortest NumPy way to such a sum.

Times are CPU seconds of one thread of this program, so that a busy machine does not count.
"""

import time
from datetime import date

import numpy as np

from bench.measure import Row, interleaved, row
from keystrand.edge.scenarios import scenario_set
from keystrand.model.prices import CostCategory, Factor, PriceItem, PriceLevel
from keystrand.plan.cost_inputs import Inputs, draw
from keystrand.plan.cost_lines import Line
from keystrand.plan.cost_totals import Bill, bill_of, discounts, price

LINES, YEARS, SCENARIOS, SEEDS, RUNS = 40, 10, 10_000, 12, 15


def inputs_of_forty() -> Inputs:
    """Return forty prices with ranges of a factor two to five; a third of them wear out."""
    rng = np.random.default_rng(7)
    low = rng.uniform(5, 80, LINES)
    likely, factors = low * rng.uniform(1.1, 1.8, LINES), list(Factor)
    high = likely * rng.uniform(1.2, 2.5, LINES)
    items = [
        PriceItem(id=f"item-{n}", name="Item", unit="piece", low=low[n], likely=likely[n], high=high[n],
                  level=PriceLevel.ASSUMED, source="made up", as_of=date(2026, 11, 26), factor=factors[n % 5],
                  category=list(CostCategory)[n % 16], life_years=(5, 8) if n % 3 == 0 else None)
        for n in range(LINES)
    ]  # fmt: skip
    return Inputs({item.id: item for item in items}, {}, scenario_set(), "EUR")


def bill_of_forty(inputs: Inputs) -> Bill:
    """Return a line for each price, every second one paid yearly."""
    lines = [Line("x", name, 1.0 + n % 12, n % 4, 10.0, yearly=n % 2 == 1) for n, name in enumerate(inputs.prices)]
    return bill_of(lines, inputs.prices, YEARS)


def ours(inputs: Inputs, bill: Bill, seed: int) -> tuple[float, float]:
    """Return the CPU seconds of one simulation, draws included, and its 95th percentile."""
    begun = time.process_time()
    total = price(bill, draw(inputs, scenarios=SCENARIOS, seed=seed), discounts(0.03, YEARS)).present
    found = float(np.quantile(total, 0.95))
    return time.process_time() - begun, found


def plain(inputs: Inputs, seed: int) -> tuple[float, float]:
    """Return the same of independent beta draws by NumPy, without factors, lives and categories."""
    low, likely, high = (np.array(ends) for ends in zip(*(i.ends or (0, 0, 0) for i in inputs.prices.values()),
                                                        strict=True))  # fmt: skip
    begun = time.process_time()
    rng = np.random.default_rng(seed)
    a, b = 1 + 4 * (likely - low) / (high - low), 1 + 4 * (high - likely) / (high - low)
    unit = low + (high - low) * rng.beta(a, b, (SCENARIOS, LINES))
    total = unit @ np.ones((LINES, YEARS)) @ discounts(0.03, YEARS)
    found = float(np.quantile(total, 0.95))
    return time.process_time() - begun, found


def rows() -> list[Row]:
    """Return the rows."""
    inputs = inputs_of_forty()
    bill = bill_of_forty(inputs)
    mine, peer = interleaved(RUNS, lambda: ours(inputs, bill, 1)[0], lambda: plain(inputs, 1)[0])
    tops = np.array([[ours(inputs, bill, seed)[1], plain(inputs, seed)[1]] for seed in range(SEEDS)])
    apart = 100 * np.abs(tops / tops.mean(axis=0) - 1)
    peer_name = "independent beta draws by NumPy, no factors, lives or categories"
    return [
        row("cost: 10,000 scenarios of 40 lines", mine, "s", peer=peer_name, peer_samples=peer, goal=0.1),
        row("cost: 95th percentile, distance of 12 seeds from their mean", [float(apart[:, 0].max())], "%",
            peer=peer_name, peer_samples=[float(apart[:, 1].max())], goal=0.5),
    ]  # fmt: skip
