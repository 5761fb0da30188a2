"""Numbers in plain words: two significant figures, ranges instead of points, no precision that is not there."""

import math
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from keystrand.model.observation import Outcome
from keystrand.model.stages import PilotReport
from keystrand.model.units import Estimate, Interval

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December")  # fmt: skip

OUTCOME_WORDS: Mapping[Outcome, str] = {
    Outcome.SEEN: "seen",
    Outcome.NONE: "with nothing there",
    Outcome.UNREACHABLE: "unreachable",
    Outcome.TIMED_OUT: "timed out",
    Outcome.UNREADABLE: "unreadable",
    Outcome.UNPARSABLE: "not understood",
    Outcome.SKIPPED: "left out by policy",
}
"""How each look at an endpoint or a file ended, behind a number of them."""


def two_figures(value: float) -> str:
    """Return `value` rounded to two significant figures: 12.34 -> 12, 1,234 -> 1,200, 0.0123 -> 0.012."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    digits = 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    # 9.96 rounds up to 10.0: the magnitude has grown, and one decimal too many would be shown
    shown = max(0, 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{shown}f}"


def plain_number(value: float, figures: int | None = None) -> str:
    """Return `value` without an exponent and with separated thousands: 1e6 -> 1,000,000, 1e-05 -> 0.00001.

    Exact without `figures`, as a goal must be; with it, rounded to that many significant figures.
    """
    words = repr(float(value)) if figures is None else f"{value:.{figures}g}"
    return f"{Decimal(words).normalize():,f}"


def interval_text(interval: Interval, unit: str = "") -> str:
    """Return a range such as `12 to 17 years`, or `about 12 years` where both ends round to the same."""
    low, high = two_figures(interval.low), two_figures(interval.high)
    tail = f" {unit}" if unit else ""
    if low == high:
        return f"about {low}{tail}" if interval.high else f"{low}{tail}"
    return f"{low} to {high}{tail}"


def _percent(ratio: float) -> str:
    if 0 < ratio < 0.01:
        return "less than 1"
    if 0.99 < ratio < 1:
        return "more than 99"
    return two_figures(ratio * 100) if ratio < 0.995 else "100"


def ratio_text(interval: Interval) -> str:
    """Return a range of ratios (0..1) in percent; never rounded to certainty at either end."""
    low, high = _percent(interval.low), _percent(interval.high)
    if low != high:
        return f"{low} to {high} percent"
    return f"{low} percent" if low[0] in "lm" or interval.low == interval.high else f"about {low} percent"


def estimate_text(estimate: Estimate) -> str:
    """Return an estimate with its unit, spread and sample size; a simulated one says so. No samples: not measured."""
    if not estimate.sample_size:
        return "not measured"
    spread = f"{spread_text(estimate)}, {estimate.spread}, " if spread_text(estimate) else ""
    return f"{value_text(estimate)} ({spread}{counted(estimate.sample_size, 'sample')}{simulated_text(estimate)})"


def value_text(estimate: Estimate) -> str:
    """Return the median with its unit; a ratio has none."""
    unit = "" if estimate.unit in ("", "ratio") else f" {estimate.unit}"
    return f"{two_figures(estimate.value)}{unit}"


def spread_text(estimate: Estimate) -> str:
    """Return the spread as `low to high`; empty where both ends round to the same."""
    low, high = two_figures(estimate.low), two_figures(estimate.high)
    return f"{low} to {high}" if low != high else ""


def simulated_text(estimate: Estimate) -> str:
    """Return `, simulated` for a number that no hardware took part in."""
    return ", simulated" if estimate.simulated else ""


def is_simulated(pilot: PilotReport) -> bool:
    """Return whether any of the pilot's numbers came from a simulation."""
    scores = [criterion.measured for criterion in pilot.scorecard if criterion.measured is not None]
    return any(e.simulated for e in (pilot.secret_key_rate, pilot.enc_keys, pilot.dec_keys, pilot.handshake, *scores))


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 system`, `2 systems`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def joined(words: Sequence[str], *, most: int = 5) -> str:
    """Return `a, b and c`; beyond `most` the rest is counted: `a, b and 4 more`."""
    shown = list(words) if len(words) <= most else [*words[: most - 1], f"{len(words) - most + 1} more"]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1] if shown else ""


def day_text(day: date) -> str:
    """Return a date as people read it: 31 December 2030."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def short_day(day: date) -> str:
    """Return a date for tight places: 31 Dec 2030."""
    return f"{day.day} {month_year(day)}"


def month_year(day: date) -> str:
    """Return a month as charts show it: Dec 2030."""
    return f"{_MONTHS[day.month - 1][:3]} {day.year}"


def capital(words: str) -> str:
    """Return `words` with a capital first letter; an identifier (a first word with digits) stays as it is."""
    first = words.partition(" ")[0]
    return words if any(c.isdigit() for c in first) else words[:1].upper() + words[1:]


def sentences(parts: Sequence[str]) -> str:
    """Return the parts as sentences: each begins with a capital and ends with one full stop."""
    trimmed = (part.strip().rstrip(".") for part in parts)
    return " ".join(f"{capital(part)}." for part in trimmed if part)
