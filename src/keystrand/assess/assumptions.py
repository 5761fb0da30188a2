"""What an assessment rests on that nobody measured here, said in the document itself."""

from datetime import date

from keystrand.formats.wording import day_text
from keystrand.model.horizon import RECORDED_YEARS
from keystrand.model.policy import ThreatCurve
from keystrand.model.stages import Assumption

_HERE = "keystrand, method of the assessment"


def assumptions(curve: ThreatCurve, as_of: date) -> tuple[Assumption, ...]:
    """Return what every assessment with `curve` on `as_of` rests on and nobody measured here."""
    return (*_about_the_curve(curve, as_of), *_about_the_traffic(), *_about_the_verdicts())


def _ours(name: str, value: str) -> Assumption:
    return Assumption(name=name, value=value, source=_HERE)


def _about_the_curve(curve: ThreatCurve, as_of: date) -> tuple[Assumption, ...]:
    anchors = "; ".join(f"{a.years:g} years {a.low * 100:g} to {a.high * 100:g} percent" for a in curve.anchors)
    last = curve.anchors[-1]
    return (
        Assumption(
            name="threat horizon",
            value=f"{curve.name}: {anchors}. Both ends are used, never a middle; between the anchors the curve rises "
            "without steps.",
            source=f"{curve.source.publisher}: {curve.source.title} ({curve.source.verification.value} source)",
        ),
        _ours(
            "no quantum computer so far",
            f"The years count from {day_text(curve.origin)}. The curve is moved to {day_text(as_of)} on the "
            "condition that no quantum computer breaks RSA-2048 by then.",
        ),
        _ours(
            "flat after the last anchor",
            f"After {last.years:g} years the curve stays at {last.low * 100:g} to {last.high * 100:g} percent. "
            "The survey says nothing of later years: exposure of data with a longer life is rather too low.",
        ),
    )


def _about_the_traffic() -> tuple[Assumption, ...]:
    return (
        _ours(
            "all traffic is recorded",
            "Exposure is what is readable if the traffic is recorded. How likely that is nobody knows; which "
            "networks it crosses orders the work and is not multiplied in.",
        ),
        _ours(
            "recorded so far",
            f"Sunk exposure counts the last {RECORDED_YEARS:g} years at today's rate. No migration removes it.",
        ),
        _ours(
            "even production",
            "Each data class produces one unit a year, evenly, until the system is migrated or retires; the "
            "span of the migration is its owner's estimate in the estate. Where a retention is a range, its shortest "
            "time counts in the low end and its longest in the high end.",
        ),
        _ours(
            "ranges of ranks",
            "Threat curve, migration times and shelf lives are drawn evenly within their ranges; all systems of a draw "
            "share the curve. A verdict that is not known counts as exposed there.",
        ),
    )


def _about_the_verdicts() -> tuple[Assumption, ...]:
    return (
        _ours(
            "signatures are not harvested",
            "Only key establishment is exposed to later reading. A signature can be forged once a quantum "
            "computer is there, not read back in time: how long that could go on is counted apart, until the last "
            "verifier stops accepting the old algorithm.",
        ),
        _ours(
            "trust anchors",
            "A system's signatures are trusted through the identity and code-signing systems it depends on. Devices in "
            "the field count where the estate says until when they trust the old signature.",
        ),
        _ours(
            "unknown is not safe",
            "Where the verdict is unknown, exposure runs from none to that of a vulnerable system.",
        ),
    )
