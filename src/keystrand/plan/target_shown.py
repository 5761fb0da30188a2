"""What a pilot's report shows of the success criteria of its segment, held to the target's own bounds."""

from collections.abc import Iterator
from typing import NamedTuple

from keystrand.formats.wording import joined, plain_number
from keystrand.model.pilot_criteria import CriterionName
from keystrand.model.stages import CriterionState, PilotReport
from keystrand.model.stages.targeted import CriterionKind, SuccessCriterion
from keystrand.model.units import Estimate


class _Reading(NamedTuple):
    """Which criteria of a pilot speak of a criterion of the target, and whether their medians do, or the worse end."""

    names: tuple[CriterionName, ...]
    medians: bool = False


_N = CriterionName
_READ = {
    CriterionKind.ROTATION: _Reading((_N.KEY_AGE,)),
    CriterionKind.FAILOVER: _Reading((_N.FAILOVER,)),
    CriterionKind.RECOVERY: _Reading((_N.CUT_RECOVERY, _N.RECOVERY)),
    CriterionKind.AUDIT: _Reading((_N.AUDIT,)),
    CriterionKind.KEY_RATE: _Reading((_N.KEY_RATE,), medians=True),
    CriterionKind.HANDSHAKE: _Reading((_N.HANDSHAKE,), medians=True),
    CriterionKind.KEY_DELIVERY: _Reading((_N.KEY_DELIVERY,), medians=True),
    CriterionKind.FAILED_HANDSHAKES: _Reading((_N.FAILED_HANDSHAKES,)),
}
"""The target's rotation is the time until a consumer has a fresh key: the age of the oldest key in use. How long keys
wait unused is not among what a pilot measures."""


def shown_of(criterion: SuccessCriterion, pilot: PilotReport) -> str:
    """Return what `pilot` measured of `criterion` at worst, and whether it is within its bound; empty for nothing."""
    seen = list(_measured(criterion, pilot))
    if not seen:
        return ""
    medians = _READ[criterion.kind].medians
    at_least = criterion.at_least is not None
    ends = [one.value if medians else one.low if at_least else one.high for _, one in seen]
    worst = min(ends) if at_least else max(ends)
    within = worst >= (criterion.at_least or 0.0) if at_least else worst <= (criterion.at_most or 0.0)
    whose = list(dict.fromkeys(consumer for consumer, _ in seen if consumer))
    unit = "" if criterion.unit == "ratio" else f" {criterion.unit}"
    parts = (
        f"pilot {pilot.pilot} on {pilot.as_of}: {plain_number(worst, 3)}{unit}{'' if medians else ' at worst'}, "
        f"{'within' if within else 'beyond'} the bound",
        *((f"for {joined(whose)}",) if whose else ()),
        *(("simulated",) if any(one.simulated for _, one in seen) else ()),
        *_open(criterion, pilot),
    )
    return "; ".join(parts)


def _measured(criterion: SuccessCriterion, pilot: PilotReport) -> Iterator[tuple[str, Estimate]]:
    read = _READ.get(criterion.kind)
    for one in pilot.scorecard if read else ():
        told = one.measured
        if (
            read
            and one.name in read.names
            and told is not None
            and told.sample_size
            and told.unit == criterion.unit
            and one.state is not CriterionState.NOT_MEASURED
        ):
            yield one.consumer, told


def _open(criterion: SuccessCriterion, pilot: PilotReport) -> Iterator[str]:
    """Yield for whom it is still open: not measured, or never reached."""
    names = _READ[criterion.kind].names
    missing = [one.consumer or one.name for one in pilot.scorecard if one.name in names
               and (one.state is CriterionState.NOT_MEASURED or one.measured is None)]  # fmt: skip
    if missing:
        yield f"not shown for {joined(list(dict.fromkeys(missing)))}"
