"""What a pilot measured stands beside the target's criteria: at worst, held to the target's own bound."""

import msgspec
import pytest
from tests.pilot.recorded_campaign import ORIGIN, PILOT, cut, cuts, normal, plan, record, run

from keystrand.model.pilot import ConsumerKind
from keystrand.model.stages import PilotReport
from keystrand.model.stages.targeted import CriterionKind, SuccessCriterion
from keystrand.pilot.judging import judge
from keystrand.plan.target_shown import shown_of


def criterion(kind: CriterionKind, bound: float, unit: str = "s") -> SuccessCriterion:
    """Return a criterion with a bound: at least for a ratio or a rate, else at most."""
    at_least = unit in ("ratio", "bit/s")
    return SuccessCriterion(
        id=f"segment/dc-metro/{kind}", subject="segment/dc-metro", kind=kind, at_least=bound if at_least else None,
        at_most=None if at_least else bound, unit=unit, measured_by=("pilot",), basis="x", assumed=True,
    )  # fmt: skip


def judged(**changed: object) -> PilotReport:
    """Return the report on a record with `changed` fields."""
    return judge(PILOT, plan(), record(**changed), ORIGIN)


@pytest.mark.parametrize(
    ("kind", "bound", "unit", "words"),
    [
        (CriterionKind.FAILOVER, 60, "s", "0.2 s at worst, within the bound; for tunnel and second"),
        (CriterionKind.FAILOVER, 0.1, "s", "0.2 s at worst, beyond the bound"),
        (CriterionKind.RECOVERY, 300, "s", "3 s at worst, within"),
        (CriterionKind.ROTATION, 3600, "s", "4.1 s at worst, within"),
        (CriterionKind.AUDIT, 1, "ratio", "1 at worst, within"),
        (CriterionKind.KEY_RATE, 1500, "bit/s", "1,600 bit/s, within the bound; simulated"),
        (CriterionKind.HANDSHAKE, 15, "ms", "20 ms, beyond the bound"),
    ],
)
def test_the_worst_of_what_was_measured_is_held_to_the_bound(
    kind: CriterionKind, bound: float, unit: str, words: str
) -> None:
    """Over all consumers, in the criterion's unit; a median where the criterion is one; simulated says so."""
    assert words in shown_of(criterion(kind, bound, unit), judged())


def test_what_a_pilot_did_not_measure_stays_open() -> None:
    """No outage, no such criterion, another unit: nothing is shown; a consumer that did not run is named."""
    quiet = judged(episodes=(normal(),))
    assert shown_of(criterion(CriterionKind.FAILOVER, 60), quiet) == ""
    assert shown_of(criterion(CriterionKind.KEY_AGE, 60), judged()) == ""
    assert shown_of(criterion(CriterionKind.FAILOVER, 60, "min"), judged()) == ""
    partly = judged(consumers=(*record().consumers, run("vault", ConsumerKind.HSM, "fail-secure", not_run="no")))
    assert shown_of(criterion(CriterionKind.FAILOVER, 60), partly).endswith("not shown for vault")


def test_an_outage_that_never_ended_is_not_shown_as_within() -> None:
    """One consumer that never stood on its policy: it is named as not shown, whatever the others did."""
    never = msgspec.structs.replace(cuts()[0], seen=(cut("tunnel", failover_s=None), cut("second", footings=())))
    words = shown_of(criterion(CriterionKind.FAILOVER, 60), judged(episodes=(normal(), never)))
    assert words.endswith("not shown for tunnel")
