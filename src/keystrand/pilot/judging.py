"""From the record of a campaign to its report: judged by criteria that were set before, and as often as one likes."""

from collections.abc import Iterator
from datetime import date, datetime

from msgspec import Struct

from keystrand.formats.wording import counted, joined, two_figures
from keystrand.model.document import FORMAT_VERSION, InputRef
from keystrand.model.errors import InvalidInput
from keystrand.model.pilot import EventKind, Pilot, PilotPlan, SourceChoice
from keystrand.model.pilot_criteria import CriterionName
from keystrand.model.stages import CutEvidence, PilotReport
from keystrand.model.stages.proved import LeftOut
from keystrand.model.stages.recorded import Flow, KeyService, PilotRecord, RunConsumer
from keystrand.pilot.asking import effort, integration, with_and_without
from keystrand.pilot.consumer_criteria import Subject, Witness, consumer_results, left_out_words
from keystrand.pilot.intervals import share_range
from keystrand.pilot.proving import campaign_events, detection_result, monitoring_gaps, proofs
from keystrand.pilot.report import LINK_LIMITS, coverage_of
from keystrand.pilot.scorecard import Samples, estimate, score

KEY_MANAGEMENT_ENTITIES = 2
"""One at each end."""
PLAN_KIND = "pilot-plan"
"""By which a document refers to the `pilot.toml` that it was made from."""
NO_CUT = CutEvidence(
    requests=0, refused_with_503=0, keys_from_stock=0, handshakes_without_key=0, old_keys=0, zero_keys=0,
    consumer_error="", recovered=False, recovery_s=None,
)  # fmt: skip
"""A cut that nobody tried: it proves nothing."""
VENDOR_LIMITS = (
    "what the vendor's devices do inside was not seen: the keys were judged by what both ends got",
    "no photon was examined by us: that the keys come from a quantum link is the vendor's word",
)


class Origin(Struct, frozen=True, kw_only=True):
    """What every document says of how it was made."""

    as_of: date
    made_from: tuple[InputRef, ...]
    created_at: datetime
    tool_version: str


def judge(pilot: Pilot, plan: PilotPlan, record: PilotRecord, origin: Origin) -> PilotReport:
    """Return the report on `record` by the criteria of `pilot`, the estate's, and of `plan`, the file beside it.

    Raises `InvalidInput` where the three are not of one pilot.
    """
    if not pilot.id == plan.pilot == record.pilot:
        raise InvalidInput(
            f"the record is of pilot {record.pilot!r}, the plan of {plan.pilot!r}, the criteria of {pilot.id!r}",
            hint="give the pilot.toml that belongs to the record",
        )
    subjects, key_service = _subjects(plan, record), record.key_service
    simulated = record.source is SourceChoice.TWIN
    scorecard = (
        *score(pilot.criteria, _samples(record), simulated=simulated),
        detection_result(record.episodes, plan.criteria.detection_max_s),
        *(result for one in subjects for result in consumer_results(one, plan.criteria)),
    )
    good = key_service.handshakes - key_service.failed_handshakes
    return PilotReport(
        format_version=FORMAT_VERSION, tool_version=origin.tool_version, as_of=origin.as_of,
        created_at=origin.created_at, made_from=origin.made_from, seed=None, coverage=coverage_of(scorecard),
        pilot=pilot.id, segment=record.segment, rate=record.rate,
        consumer="; ".join(one.how for one in record.consumers if not one.not_run) or "no consumer ran",
        key_management_entities=KEY_MANAGEMENT_ENTITIES, key_exchange=key_service.key_exchange,
        secret_key_rate=estimate(key_service.secret_key_rates_bits_per_s, "bit/s", simulated=simulated),
        enc_keys=estimate(key_service.enc_keys_ms, "ms", simulated=False),
        dec_keys=estimate(key_service.dec_keys_ms, "ms", simulated=False),
        handshake=estimate(key_service.handshakes_ms, "ms", simulated=False),
        handshakes=key_service.handshakes, failed_handshakes=key_service.failed_handshakes,
        fresh_key_each=0 < good == key_service.key_ids, cut=key_service.cut or NO_CUT,
        events=campaign_events(record.episodes), scorecard=scorecard, limits=_limits(record, subjects),
        campaign=record.name, key_source=f"{record.source}: {record.source_words}",
        consumers=tuple(_called(one) for one in record.consumers if not one.not_run),
        left_out=tuple(_left_out(plan, record)), proofs=proofs(record.episodes, subjects),
        compared=with_and_without(subjects),
        monitoring_gaps=monitoring_gaps(record.episodes, plan.criteria.detection_max_s),
        effort=effort(record.deeds), integration=integration(record.consumers, record.deeds), took_s=record.took_s,
        goals_set_before=_plans(record.made_from) <= _plans(origin.made_from),
    )  # fmt: skip


def _plans(made_from: tuple[InputRef, ...]) -> frozenset[str]:
    """Return what the pilot's plan said, by hash."""
    return frozenset(one.content_sha256 for one in made_from if one.kind == PLAN_KIND)


def _called(one: RunConsumer) -> str:
    """Return its name with what it is, and by what policy it fails."""
    return f"{one.id} ({', '.join(filter(None, (one.kind, one.policy)))})"


def _subjects(plan: PilotPlan, record: PilotRecord) -> tuple[Subject, ...]:
    declared = {one.id: one for one in plan.consumers}

    def subject(run: RunConsumer) -> Subject:
        here = declared.get(run.id)
        return Subject(
            run=run,
            witnesses=tuple(
                Witness(episode.event, seen)
                for episode in record.episodes if not episode.not_run
                for seen in episode.seen if seen.consumer == run.id
            ),
            plain=_flow(record, run.id, plain=True), keyed=_flow(record, run.id, plain=False),
            fallback_most_s=here.fallback_most_s if here else None,
        )  # fmt: skip

    return tuple(subject(run) for run in record.consumers)


def _flow(record: PilotRecord, consumer: str, *, plain: bool) -> Flow | None:
    return next((one for one in record.flows if one.consumer == consumer and one.plain is plain), None)


def _samples(record: PilotRecord) -> Samples:
    key_service = record.key_service
    cut = key_service.cut
    recovery_s = cut.recovery_s if cut is not None and cut.recovered else None
    waits_s = [one.ended_s - one.undone_s for one in record.episodes if one.event is EventKind.LINK_CUT]
    return Samples(
        secret_key_rates_bits_per_s=key_service.secret_key_rates_bits_per_s,
        handshakes_ms=key_service.handshakes_ms, enc_keys_ms=key_service.enc_keys_ms,
        dec_keys_ms=key_service.dec_keys_ms, recovery_s=recovery_s,
        waited_for_recovery_s=max(waits_s, default=0.0) if cut is not None else 0.0,
        handshakes=key_service.handshakes, failed_handshakes=key_service.failed_handshakes,
        unmeasured=tuple(_why_missing(key_service)),
    )  # fmt: skip


def _why_missing(key_service: KeyService) -> Iterator[tuple[str, str]]:
    if not key_service.handshakes:
        for name in (CriterionName.HANDSHAKE, CriterionName.FAILED_HANDSHAKES):
            yield name, "no consumer of kind tls made handshakes"
    if not (key_service.enc_keys_ms and key_service.dec_keys_ms):
        yield CriterionName.KEY_DELIVERY, "no consumer fetched keys in band at both ends"
    if key_service.cut is None:
        yield CriterionName.CUT_RECOVERY, "the quantum link was not cut under a consumer that takes keys in band"
    elif not key_service.cut.recovered:
        yield CriterionName.CUT_RECOVERY, "the link was not seen to recover"


def _left_out(plan: PilotPlan, record: PilotRecord) -> Iterator[LeftOut]:
    there = {one.id for one in record.consumers}
    yield from (LeftOut(what=f"consumer {one.id}", why=one.not_run) for one in record.consumers if one.not_run)
    for one in plan.consumers:
        if one.id not in there:
            yield LeftOut(what=f"consumer {one.id}", why="the record does not have it: it was declared later")
    for event in dict.fromkeys(one.event for one in record.episodes):
        those = [one for one in record.episodes if one.event is event]
        why = list(dict.fromkeys(one.not_run for one in those if one.not_run))
        missing = sum(bool(one.not_run) for one in those)
        if why:
            share = "" if missing == len(those) else f" ({missing} of {counted(len(those), 'time')})"
            yield LeftOut(what=f"event {event}{share}", why="; ".join(why))
    for wanted in plan.events:
        if wanted.kind not in {one.event for one in record.episodes}:
            yield LeftOut(what=f"event {wanted.kind}", why="the record does not have it")


def _limits(record: PilotRecord, subjects: tuple[Subject, ...]) -> tuple[str, ...]:
    of_source = LINK_LIMITS if record.source is SourceChoice.TWIN else VENDOR_LIMITS
    return tuple(dict.fromkeys((*of_source, *record.limits, *left_out_words(subjects), *_repetitions(record))))


def _repetitions(record: PilotRecord) -> Iterator[str]:
    """Yield what so few repetitions leave open: n successes in n bound the share of failures by 1 - 0.025^(1/n)."""
    faults = [one for one in record.episodes if not one.not_run and one.event is not EventKind.NORMAL]
    times = {event: sum(one.event is event for one in faults) for event in {one.event for one in faults}}
    if not times:
        return
    least = min(times.values())
    rare = sorted(event.value for event, count in times.items() if count == least)
    most = two_figures(100 * share_range(0, least).high)
    yield (
        f"{joined(rare, most=12)}: {counted(least, 'repetition')} each; what went well every time may still fail in up "
        f"to {most} of 100 (95 %)"
    )
