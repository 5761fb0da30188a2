"""Times as their owners put them, in words."""

from datetime import date

from keystrand.formats.wording import day_text
from keystrand.model.policy import DatePrecision
from keystrand.model.units import Interval


def years_text(years: float) -> str:
    """Return `1 year` or `2.5 years`."""
    return f"{years:.3g} year{'' if years == 1 else 's'}"


def span_text(years: Interval) -> str:
    """Return `2 to 4 years`, or `2 years` where both ends are the same."""
    low, high = f"{years.low:.3g}", years_text(years.high)
    return high if high.split()[0] == low else f"{low} to {high}"


def deadline_text(day: date, precision: DatePrecision) -> str:
    """Return `31 March 2025`, or `the end of March 2025`, `the end of 2035` where the source says no more."""
    if precision is DatePrecision.DAY:
        return day_text(day)
    return f"the end of {day.year if precision is DatePrecision.YEAR else day_text(day).partition(' ')[2]}"
