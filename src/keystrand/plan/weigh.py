"""The plan's decisions with what each approach leaves open, from odds that an organisation assumes."""

from collections.abc import Mapping

from msgspec.structs import replace

from keystrand.formats.wording import ratio_text
from keystrand.model.estate import Estate
from keystrand.model.horizon import horizons
from keystrand.model.policy import ThreatCurve
from keystrand.model.scenario import Assumed, ScenarioSet
from keystrand.model.stages import Assumption, Limitation, Plan, SegmentDecision
from keystrand.model.units import Answer, Interval
from keystrand.plan.ground import ground_of
from keystrand.plan.residual import at_stake, residuals
from keystrand.plan.stability import stability


def weigh(
    plan: Plan, estate: Estate, odds: ScenarioSet, curve: ThreatCurve, answers: Mapping[str, tuple[Limitation, ...]]
) -> Plan:
    """Return `plan` with residuals beside its decisions and answers beside its positions. No choice changes by it."""
    segments, ends = {segment.id: segment for segment in estate.segment}, horizons(curve, plan.as_of)
    ground = ground_of(estate)

    def weighed(decision: SegmentDecision) -> SegmentDecision:
        # where a prohibition decides, nothing is weighed
        if any(gate.applies is Answer.YES for gate in decision.gates):
            return decision
        segment = segments[decision.segment]
        return replace(decision, residuals=residuals(segment, odds, at_stake(segment, ground, ends)))

    return replace(
        plan,
        decisions=tuple(map(weighed, plan.decisions)),
        positions=tuple(replace(p, limitations=answers.get(p.id, ())) for p in plan.positions),
        assumptions=(*plan.assumptions, _stable(), *(_said(one, odds) for one in odds.assumed)),
    )


def _stable() -> Assumption:
    return Assumption(name="stability of the ratings", value=stability().text, source="counted by keystrand")


def _said(one: Assumed, odds: ScenarioSet) -> Assumption:
    return Assumption(
        name=f"odds of {one.id.value} ({one.level.value})",
        value=f"{ratio_text(Interval(low=one.low, high=one.high))}. {one.text}",
        source=f"{odds.name}; {one.source}",
    )
