"""Vendors: how long the sensitivity of twenty offers takes, and a questionnaire out and in. CPU time."""

import time
from collections.abc import Callable
from datetime import date

import numpy as np

from bench.measure import Missing, Row, interleaved, row
from keystrand.edge.vendor_files import requirements
from keystrand.formats.questionnaire import sheet_of
from keystrand.formats.questionnaire_workbook import read_xlsx
from keystrand.model.units import Interval
from keystrand.model.vendor import VendorSheet
from keystrand.plan.vendor_weights import DRAWS, first_ratios, order_of, weight_ranges

VENDORS, STEPS = 20, 40
_DAY = date(2026, 11, 26)


def rows() -> list[Row]:
    """Return the rows of this part. Raises `Missing` where workbooks cannot be written."""
    asked = requirements()
    weights = dict.fromkeys(asked, 1.0)
    table = np.random.default_rng(1).random((VENDORS, len(asked)))
    worths = {f"vendor-{n}": list(map(float, values)) for n, values in enumerate(table)}
    first = order_of({name: sum(values) for name, values in worths.items()})[0]
    ours, theirs = interleaved(
        9,
        lambda: _seconds(lambda: weight_ranges(weights, worths, first)),
        lambda: _seconds(lambda: _by_trying(table, list(worths).index(first))),
    )
    ranges = {name: [Interval(low=value / 2, high=value) for value in values] for name, values in worths.items()}
    draws = [_seconds(lambda: first_ratios(weights, ranges)) for _ in range(9)]
    return [
        row(f"vendors: exact weight intervals, {VENDORS} offers", ours, "s", peer=f"bisection, {STEPS} steps an end",
            peer_samples=theirs),
        row(f"vendors: {DRAWS:,} weightings, {VENDORS} offers", draws, "s"),
        row("vendors: questionnaire out and in as a workbook", _round_trips(), "s"),
    ]  # fmt: skip


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _by_trying(table: np.ndarray, first: int) -> list[tuple[float, float]]:
    """Return the same intervals found by scoring anew, up to a weight of 1,000."""
    found = []
    for k in range(table.shape[1]):
        ends = []
        for far in (0.0, 1000.0):
            held, lost = 1.0, far
            for _ in range(STEPS):
                middle = (held + lost) / 2
                weights = np.ones(table.shape[1])
                weights[k] = middle
                scores = table @ weights
                held, lost = (middle, lost) if scores[first] >= scores.max() else (held, middle)
            ends.append(held)
        found.append((ends[0], ends[1]))
    return found


def _round_trips() -> list[float]:
    try:
        from keystrand.formats.questionnaire_xlsx import questionnaire_xlsx  # noqa: PLC0415 - an extra that may be absent
    except ImportError as error:
        raise Missing("openpyxl is not installed") from error
    asked = requirements()
    sheet = VendorSheet(id="acme", name="Acme", offer="X1", as_of=_DAY)

    def trip() -> None:
        content = questionnaire_xlsx(sheet, list(asked.values()))
        sheet_of(read_xlsx(content, "q.xlsx"), sheet, asked, as_of=_DAY)

    return [_seconds(trip) for _ in range(9)]
