"""One consumer against the criteria of a campaign. What nothing exercised is not measured, and never met."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from msgspec import Struct, structs

from keystrand.formats.pilot_toml import IN_BAND, TUNNELS
from keystrand.formats.wording import counted, joined, plain_number, two_figures
from keystrand.model.lapsing import FailurePolicy
from keystrand.model.pilot import CampaignCriteria, EventKind
from keystrand.model.pilot_criteria import CriterionName
from keystrand.model.stages import CriterionResult, CriterionState
from keystrand.model.stages.recorded import Flow, RunConsumer, Seen
from keystrand.pilot.intervals import mean_count_range, quantile_range, ratio_range, samples_for_quantile, share_range
from keystrand.pilot.verdicts import at_least, at_most, missed, of_count, of_each, of_range, unmeasured

Criterion = Callable[["Subject", CampaignCriteria], CriterionResult]

N = CriterionName
ROTATIONS_SHARE = 0.95
"""The share of rotations that must be within the goal."""
_RUNS_ON = frozenset({FailurePolicy.FALLBACK_PQC, FailurePolicy.HOLD_UNTIL_TTL, FailurePolicy.FAIL_OPEN})
_TIME_UP_SLACK = 0.9
"""A fallback that ends after so much of its time was ended by its policy; the clocks of both ends differ a little."""


class Witness(Struct, frozen=True):
    """What a consumer saw, and of which event."""

    event: EventKind
    seen: Seen


class Subject(Struct, frozen=True, kw_only=True):
    """One consumer with all it went through. `plain`, `keyed`: what it did on the quiet corridor, without and with."""

    run: RunConsumer
    witnesses: tuple[Witness, ...] = ()
    plain: Flow | None = None
    keyed: Flow | None = None
    fallback_most_s: float | None = None

    @property
    def runs_on(self) -> bool:
        """Return whether its policy keeps it running without fresh keys, for a time at least."""
        return self.run.policy in _RUNS_ON

    @property
    def all_seen(self) -> Iterator[Seen]:
        """Yield what it saw, whatever the event."""
        return (one.seen for one in self.witnesses)


def consumer_results(subject: Subject, criteria: CampaignCriteria) -> tuple[CriterionResult, ...]:
    """Return how the consumer did against each criterion that means something for its kind."""
    made = (structs.replace(judge(subject, criteria), consumer=subject.run.id) for judge in _judges(subject))
    if not subject.run.not_run:
        return tuple(made)
    why = f"it did not run: {subject.run.not_run}"
    return tuple(structs.replace(one, state=CriterionState.NOT_MEASURED, measured=None, reason=why) for one in made)


def left_out_words(subjects: tuple[Subject, ...]) -> tuple[str, ...]:
    """Return what is not judged for some kinds of consumers, and why."""
    in_band = [one.run.id for one in subjects if one.run.kind in IN_BAND]
    packetless = [one.run.id for one in subjects if one.run.kind not in TUNNELS]
    return (
        *((f"no rotation is judged for {joined(in_band)}: a fresh key each time leaves nothing to rotate",)
          if in_band else ()),
        *((f"no packets are counted for {joined(packetless)}: only a tunnel's packets can be told apart on the way",)
          if packetless else ()),
    )  # fmt: skip


def _judges(subject: Subject) -> Iterator[Criterion]:
    agent, tunnel = subject.run.kind not in IN_BAND, subject.run.kind in TUNNELS
    chosen = (
        (_in_clear, tunnel),
        (_wrong_keys, True),
        (_gap, True),
        (_failover, agent),
        (_recovery, True),
        (_key_age, agent or any(one.oldest_key_s is not None for one in subject.all_seen)),
        (_rotation, agent),
        (_rotation_loss, tunnel),
        (_throughput, True),
        (_audit, agent or any(one.changes for one in subject.all_seen)),
    )
    return (judge for judge, meant in chosen if meant)


def _rotation(subject: Subject, criteria: CampaignCriteria) -> CriterionResult:
    limit_s = criteria.rotation_p95_max_s
    goal = f"at most {plain_number(limit_s)} s for 95 of 100"
    times = [rotation.took_s for one in subject.all_seen for rotation in one.rotations]
    if not times:
        return unmeasured(goal, N.ROTATION, "no rotation took place")
    found, least = quantile_range(times, ROTATIONS_SHARE), samples_for_quantile(ROTATIONS_SHARE)
    if len(times) >= least:
        return at_most(limit_s, goal, N.ROTATION, of_range(found, len(times), "s"))
    why = f"{counted(len(times), 'rotation')} cannot show it: {least} are needed for an interval"
    if found.low > limit_s:
        return missed(goal, N.ROTATION, why + ", but so many were too slow", of_each(times, "s"))
    return unmeasured(goal, N.ROTATION, why, of_each(times, "s"))


def _rotation_loss(subject: Subject, criteria: CampaignCriteria) -> CriterionResult:
    """Judge rotations of quiet times alone: elsewhere the event itself loses packets."""
    limit = criteria.rotation_lost_max_packets
    goal = f"at most {plain_number(limit)} packets each on average"
    lost = [
        rotation.lost
        for one in subject.witnesses if one.event is EventKind.NORMAL
        for rotation in one.seen.rotations if rotation.lost is not None
    ]  # fmt: skip
    if not lost:
        return unmeasured(goal, N.ROTATION_LOSS, "no rotation of quiet times was watched packet by packet")
    return at_most(limit, goal, N.ROTATION_LOSS, of_range(mean_count_range(lost), len(lost), "packets"))


NAMED_FOOTINGS: dict[str, str] = {
    FailurePolicy.FAIL_SECURE: "invalid",
    FailurePolicy.FALLBACK_PQC: "substitute",
    FailurePolicy.HOLD_UNTIL_TTL: "held",
    FailurePolicy.FAIL_OPEN: "open",
}
"""The footing that each policy names for a consumer whose fresh keys ran out."""


def _beyond(rows: Iterable[tuple[EventKind, float]], limit: float) -> str:
    """Return which events brought values beyond the limit; empty for none."""
    events = dict.fromkeys(event.value for event, value in rows if value > limit)
    return f"beyond it: {joined(list(events), most=12)}" if events else ""


def _failover(subject: Subject, criteria: CampaignCriteria) -> CriterionResult:
    """Judge every outage. One whose beginning is not known is no measurement; one that led elsewhere is a miss.

    While the carrier is cut no key at all can be proven to be in use, so there is nothing to go over to.
    """
    limit_s = criteria.failover_max_s
    goal = f"at most {plain_number(limit_s)} s each time"
    outages = [one for one in subject.witnesses if one.seen.outage and one.event is not EventKind.CARRIER_CUT]
    if not outages:
        return unmeasured(goal, N.FAILOVER, "no event lasted until its key was too old")
    never = [one.event.value for one in outages if not _stood(subject.run.policy, one.seen)]
    if never:
        where = joined(list(dict.fromkeys(never)), most=12)
        why = f"{len(never)} of {counted(len(outages), 'time')} it did not go over to what {subject.run.policy} names"
        return missed(goal, N.FAILOVER, f"{why}: {where}")
    times = [(one.event, one.seen.failover_s) for one in outages if one.seen.failover_s is not None]
    if len(times) < len(outages):
        return unmeasured(goal, N.FAILOVER, f"{counted(len(outages) - len(times), 'time')} its key's age was not known")
    return at_most(limit_s, goal, N.FAILOVER, of_each([at_s for _, at_s in times], "s"), _beyond(times, limit_s))


def _stood(policy: str, seen: Seen) -> bool:
    reached = {change.footing for change in seen.footings}
    return NAMED_FOOTINGS.get(policy) in reached if reached else seen.failover_s is not None


def _may_stop(subject: Subject, one: Witness) -> bool:
    """Return whether silence is what its policy, or a cut carrier, asks for."""
    if one.event is EventKind.CARRIER_CUT:
        return True
    if not subject.runs_on:
        return one.seen.outage
    begun_s: float | None = None
    for before, after in pairwise(one.seen.footings):
        if before.footing == "substitute" and begun_s is None:
            begun_s = before.at_s
        if before.footing == "fresh":
            begun_s = None
        if after.footing == "invalid" and before.footing in ("held", "open"):
            return True
        if after.footing == "invalid" and begun_s is not None and subject.fallback_most_s is not None:
            return after.at_s - begun_s >= _TIME_UP_SLACK * subject.fallback_most_s
    return False


def _gap(subject: Subject, criteria: CampaignCriteria) -> CriterionResult:
    limit_s = criteria.traffic_gap_max_s
    goal = f"at most {plain_number(limit_s)} s while its policy lets it run"
    judged = [one for one in subject.witnesses if not _may_stop(subject, one) and one.seen.tried]
    gaps = [(one.event, one.seen.longest_gap_s) for one in judged if one.seen.longest_gap_s is not None]
    if not gaps:
        return unmeasured(goal, N.GAP, "no traffic was seen in an event that should leave it running")
    stopped = sum(_may_stop(subject, one) for one in subject.witnesses)
    aside = f"{counted(stopped, 'event')} aside in which it has to stop" if stopped else ""
    why = "; ".join(filter(None, (_beyond(gaps, limit_s), aside)))
    return at_most(limit_s, goal, N.GAP, of_each([gap_s for _, gap_s in gaps], "s"), why)


def _in_clear(subject: Subject, criteria: CampaignCriteria) -> CriterionResult:
    """Judge over packets really sent, and only where an event took the keys away: nothing tempts a packet else."""
    limit = criteria.leaked_max_packets
    goal = f"at most {limit} packets"
    watched = [one for one in subject.all_seen if one.in_clear is not None]
    leaked = sum(one.in_clear or 0 for one in watched)
    sent = sum(one.tried for one in watched)
    without_keys = sum(one.tried_without for one in watched)
    if leaked > limit:
        return missed(goal, N.CLEAR, f"of {sent:,} sent", of_count(leaked, sent, "packets"))
    if not sent:
        return unmeasured(goal, N.CLEAR, "no packet was sent where it could be seen")
    if not without_keys:
        why = f"{sent:,} packets were sent, none of them while it stood on no fresh key"
        return unmeasured(goal, N.CLEAR, why, of_count(leaked, sent, "packets"))
    most = share_range(leaked, without_keys).high
    why = f"{without_keys:,} of them sent while it stood on no fresh key: at most 1 in {int(1 / most):,} leaks (95 %)"
    return at_most(limit, goal, N.CLEAR, of_count(leaked, sent, "packets"), why)


def _key_age(subject: Subject, criteria: CampaignCriteria) -> CriterionResult:
    limit_s, by_policy = criteria.key_age_max_s, ""
    holds = subject.run.policy in (FailurePolicy.HOLD_UNTIL_TTL, FailurePolicy.FAIL_OPEN)
    if holds and subject.run.may_serve_s is not None and subject.run.may_serve_s > limit_s:
        limit_s, by_policy = subject.run.may_serve_s, f", as {subject.run.policy} says"
    goal = f"at most {plain_number(limit_s)} s{by_policy}"
    ages = [(one.event, one.seen.oldest_key_s) for one in subject.witnesses if one.seen.oldest_key_s is not None]
    if not ages:
        return unmeasured(goal, N.KEY_AGE, "no key was seen in use")
    return at_most(limit_s, goal, N.KEY_AGE, of_each([age_s for _, age_s in ages], "s"), _beyond(ages, limit_s))


def _throughput(subject: Subject, criteria: CampaignCriteria) -> CriterionResult:
    """Judge bits a second where both sides have them, else the time of an operation, turned round."""
    limit = criteria.throughput_min_ratio
    goal = f"a ratio of at least {plain_number(limit)} to that without"
    plain, keyed = subject.plain, subject.keyed
    for side in (plain, keyed):
        if side is None or side.not_measured:
            why = side.not_measured if side is not None else "it was not run both with keys and without"
            return unmeasured(goal, N.THROUGHPUT, why)
    assert plain is not None  # noqa: S101 - the loop has seen to it
    assert keyed is not None  # noqa: S101 - as above
    if plain.bits_per_s and keyed.bits_per_s:
        found, what = ratio_range(keyed.bits_per_s, plain.bits_per_s), "bits a second"
        samples = min(len(keyed.bits_per_s), len(plain.bits_per_s))
    else:
        found, what = ratio_range(plain.operation_s, keyed.operation_s), "operations a second"
        samples = min(len(keyed.operation_s), len(plain.operation_s))
    if found is None:
        return unmeasured(goal, N.THROUGHPUT, f"{counted(samples, 'sample')} of {what} are too few for an interval")
    return at_least(limit, goal, N.THROUGHPUT, of_range(found, samples, "ratio"), what)


def _audit(subject: Subject, criteria: CampaignCriteria) -> CriterionResult:
    limit = criteria.audit_min_ratio
    goal = f"a ratio of at least {plain_number(limit)}"
    changes, audited = (sum(getattr(one, name) for one in subject.all_seen) for name in ("changes", "audited"))
    if not changes:
        return unmeasured(goal, N.AUDIT, "no key or footing changed")
    seen = of_count(min(1.0, audited / changes), changes, "ratio")
    return at_least(limit, goal, N.AUDIT, seen, f"{audited:,} of {changes:,} stand in both audits")


def _recovery(subject: Subject, criteria: CampaignCriteria) -> CriterionResult:
    limit_s = criteria.recovery_max_s
    goal = f"at most {plain_number(limit_s)} s after the end of each"
    outages = [one for one in subject.witnesses if one.seen.outage]
    times = [(one.event, one.seen.recovery_s) for one in outages if one.seen.recovery_s is not None]
    never = [(one.event, one.seen.waited_s) for one in outages if one.seen.recovery_s is None]
    if late := _beyond(never, limit_s):
        return missed(goal, N.RECOVERY, f"no fresh key within {two_figures(max(s for _, s in never))} s; {late}")
    if never:
        waited_s = two_figures(max(waited_s for _, waited_s in never))
        return unmeasured(goal, N.RECOVERY, f"no fresh key came, and it was waited for {waited_s} s only")
    if not times:
        return unmeasured(goal, N.RECOVERY, "no event kept fresh keys away until they were missed")
    return at_most(limit_s, goal, N.RECOVERY, of_each([at_s for _, at_s in times], "s"), _beyond(times, limit_s))


def _wrong_keys(subject: Subject, _: CampaignCriteria) -> CriterionResult:
    """Judge over keys that were used: in band each success is one, elsewhere each rotation; a packet is none."""
    wrong = sum(one.wrong_keys for one in subject.all_seen)
    in_band = subject.run.kind in IN_BAND
    used = sum(one.tried - one.failed if in_band else len(one.rotations) for one in subject.all_seen)
    goal = "at most 0 given twice or empty"
    if not used and not wrong:
        return unmeasured(goal, N.WRONG_KEYS, "it used no key")
    why = "told by key_ID: what a tunnel's key is cannot be seen" if subject.run.kind in TUNNELS else ""
    return at_most(0, goal, N.WRONG_KEYS, of_count(wrong, max(used, wrong), "keys"), why)
