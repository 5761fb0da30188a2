"""The days of every year on which nothing goes live, as spans of ends."""

from calendar import isleap
from collections.abc import Iterable, Iterator
from datetime import date

from keystrand.model.planning import Freeze
from keystrand.plan.roadmap_problem import Span

_YEARS = 60
"""How far ahead freezes are laid out; nobody plans further."""


def frozen_spans(freezes: Iterable[Freeze], owner: str | None, as_of: date) -> tuple[Span, ...]:
    """Return the ends that the freezes of `owner` rule out, in days from `as_of`, in order and apart."""
    mine = [freeze for freeze in freezes if not freeze.owners or owner in freeze.owners]
    made: list[Span] = []
    for low, high in sorted(span for freeze in mine for span in _yearly(freeze, as_of)):
        if made and low <= made[-1][1]:
            made[-1] = (made[-1][0], max(high, made[-1][1]))
        else:
            made.append((low, high))
    return tuple(made)


def _yearly(freeze: Freeze, as_of: date) -> Iterator[Span]:
    over_new_year = freeze.last < freeze.first
    for year in range(as_of.year - 1, min(as_of.year + _YEARS, 9998)):
        low = (_on(freeze.first, year) - as_of).days
        high = (_on(freeze.last, year + over_new_year) - as_of).days + 1
        if high > 0:
            yield max(low, 0), high


def _on(day: str, year: int) -> date:
    """Return month and day in `year`; 29 February is the 28th where there is none."""
    month, number = int(day[:2]), int(day[3:])
    return date(year, month, 28 if (month, number) == (2, 29) and not isleap(year) else number)
