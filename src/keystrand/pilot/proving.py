"""A campaign event by event, in words: what consumers saw, who alarmed in time, and what nobody told of."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from keystrand.formats.wording import counted, joined, plain_number, two_figures
from keystrand.model.pilot import EventKind
from keystrand.model.pilot_criteria import CriterionName
from keystrand.model.stages import CriterionResult
from keystrand.model.stages.proved import EventProof, MonitoringGap, PilotEvent
from keystrand.model.stages.recorded import Alarm, Episode, Seen
from keystrand.model.units import Estimate
from keystrand.pilot.consumer_criteria import Subject
from keystrand.pilot.verdicts import at_most, missed, of_each, unmeasured

_NUMBERS = re.compile(r"\d[\d.,]*")
NOT_FAULTS = frozenset({EventKind.NORMAL, EventKind.MAINTENANCE})
"""Nobody has to be told of quiet times, nor of work that was announced."""
MENDS = {
    EventKind.RATE_SAG: "an alarm where the stock of keys (014 status) falls steadily, before it is empty",
    EventKind.LINK_CUT: "an alarm where the link reports no block for several times its usual interval",
    EventKind.KME_DEATH: "a look at each KME's status from outside, every few seconds, and an alarm where none answers",
    EventKind.AGENT_DEATH: "an alarm on every agent that does not run: a dead one raises none itself",
    EventKind.EAVESDROPPER: "an alarm on the error ratio in the link's reports",
    EventKind.CLOCK_SKEW: "an alarm on the clock's offset at both ends: audits that disagree on time prove little",
    EventKind.CERTIFICATE_EXPIRY: "an alarm days before a certificate ends, not when it has ended",
    EventKind.IMPAIRED: "an alarm on delay and loss between the sites: no key system sees them",
    EventKind.CARRIER_CUT: "an alarm where the other site cannot be reached over the carrier",
}
"""What would close the gap where nothing alarmed in time."""
FOOTINGS = {
    "invalid": "no key", "fresh": "fresh keys", "held": "an old key, held by policy",
    "substitute": "the post-quantum fallback", "open": "an old key, by exception",
}  # fmt: skip


def by_event(episodes: Sequence[Episode]) -> Iterator[tuple[EventKind, tuple[Episode, ...]]]:
    """Yield each kind of event that took place with its episodes, in the order of the campaign."""
    kinds = list(dict.fromkeys(one.event for one in episodes if not one.not_run))
    for kind in kinds:
        yield kind, tuple(one for one in episodes if one.event is kind and not one.not_run)


def proofs(episodes: Sequence[Episode], subjects: Sequence[Subject]) -> tuple[EventProof, ...]:
    """Return each event with what consumers saw over all its repetitions, and the alarms."""
    quiet = said_in_quiet(episodes)
    return tuple(
        EventProof(
            event=kind.value,
            times=len(those),
            seen=(*(words for one in subjects if (words := _consumer_words(one, those))), *_told(those)),
            alarms=_alarm_words(those),
            detection=_detection(those, quiet),
        )
        for kind, those in by_event(episodes)
    )


def _told(those: Sequence[Episode]) -> Iterator[str]:
    yield from dict.fromkeys(one.told for one in those if one.told)


def _alike(alarm: Alarm) -> str:
    """Return what an alarm says whatever its numbers: who rings, and for what."""
    return _NUMBERS.sub("#", f"{alarm.who}: {alarm.text}")


def _alarm_words(those: Sequence[Episode]) -> tuple[str, ...]:
    """Return the alarms, the first of those that differ in numbers alone."""
    first: dict[str, str] = {}
    for one in those:
        for alarm in one.alarms:
            first.setdefault(_alike(alarm), f"{alarm.who}: {alarm.text}")
    return tuple(first.values())


def said_in_quiet(episodes: Sequence[Episode]) -> frozenset[str]:
    """Return what alarms say in quiet times too: by that nobody learns of a fault."""
    return frozenset(_alike(alarm) for one in episodes if one.event is EventKind.NORMAL for alarm in one.alarms)


def first_alarm_s(episode: Episode, quiet: frozenset[str]) -> float | None:
    """Return how long after the event began the first alarm came that is not heard in quiet times."""
    return min((one.after_s for one in episode.alarms if one.after_s >= 0 and _alike(one) not in quiet), default=None)


def _detection(those: Sequence[Episode], quiet: frozenset[str]) -> Estimate | None:
    times = [at for one in those if (at := first_alarm_s(one, quiet)) is not None]
    return of_each(times, "s") if times else None


def _consumer_words(subject: Subject, those: Sequence[Episode]) -> str:
    seen = [one for episode in those for one in episode.seen if one.consumer == subject.run.id]
    if not seen:
        return ""
    parts = (_footing_words(seen), _traffic_words(seen), _times_words(seen), _clear_words(seen))
    return f"{subject.run.id}: " + "; ".join(filter(None, parts))


def _footing_words(seen: Sequence[Seen]) -> str:
    ways = {tuple(footing for footing, _ in groupby(change.footing for change in one.footings)) for one in seen}
    told = sorted(", then ".join(FOOTINGS.get(footing, footing) for footing in way) for way in map(_left, ways) if way)
    return f"went over to {' / '.join(dict.fromkeys(told))}" if told else ""


def _left(way: tuple[str, ...]) -> tuple[str, ...]:
    """Return the footings from the first that is not fresh: nothing where keys stayed fresh."""
    return way[next((n for n, footing in enumerate(way) if footing != "fresh"), len(way)) :]


def _traffic_words(seen: Sequence[Seen]) -> str:
    tried, failed = sum(one.tried for one in seen), sum(one.failed for one in seen)
    gaps = [one.longest_gap_s for one in seen if one.longest_gap_s is not None]
    if not tried:
        return "no traffic"
    lost = f"{failed:,} of {tried:,} tries failed"
    return f"{lost}, longest silence {two_figures(max(gaps))} s" if gaps else lost


def _times_words(seen: Sequence[Seen]) -> str:
    rows = (
        ("stood on what its policy names {} s after its key was too old", [one.failover_s for one in seen]),
        ("fresh keys {} s after the end", [one.recovery_s for one in seen]),
    )
    said = []
    for words, values in rows:
        times = sorted(value for value in values if value is not None)
        if times:
            low, high = two_figures(times[0]), two_figures(times[-1])
            said.append(words.format(low if low == high else f"{low} to {high}"))
    return "; ".join(said)


def _clear_words(seen: Sequence[Seen]) -> str:
    counts = [one.in_clear for one in seen if one.in_clear is not None]
    return f"{counted(sum(counts), 'packet')} in clear" if counts else ""


def detection_result(episodes: Sequence[Episode], limit_s: float) -> CriterionResult:
    """Judge how soon something alarmed after each fault."""
    goal, quiet = f"at most {plain_number(limit_s)} s after each", said_in_quiet(episodes)
    faults = [one for one in episodes if not one.not_run and one.event not in NOT_FAULTS]
    if not faults:
        return unmeasured(goal, CriterionName.DETECTION, "no fault took place")
    first = [(one.event.value, first_alarm_s(one, quiet)) for one in faults]
    late = joined(list(dict.fromkeys(event for event, at in first if at is None or at > limit_s)), most=12)
    times = [at for _, at in first if at is not None]
    if len(times) < len(faults):
        never = len(faults) - len(times)
        return missed(goal, CriterionName.DETECTION, f"{never} of {counted(len(faults), 'fault')} raised none: {late}")
    if not late and not any(one.event is EventKind.NORMAL and not one.not_run for one in episodes):
        why = "there were no quiet times: what rings anyhow is not known"
        return unmeasured(goal, CriterionName.DETECTION, why, of_each(times, "s"))
    return at_most(limit_s, goal, CriterionName.DETECTION, of_each(times, "s"), f"late: {late}" if late else "")


def monitoring_gaps(episodes: Sequence[Episode], limit_s: float) -> tuple[MonitoringGap, ...]:
    """Return each kind of fault that no alarm told of in time, once or every time, and what would close the gap."""
    quiet = said_in_quiet(episodes)
    return tuple(
        MonitoringGap(event=kind.value, what=what, mend=MENDS[kind])
        for kind, those in by_event(episodes)
        if kind not in NOT_FAULTS and (what := _gap_words([first_alarm_s(one, quiet) for one in those], limit_s))
    )


def _gap_words(first: Sequence[float | None], limit_s: float) -> str:
    late = [at for at in first if at is None or at > limit_s]
    if not late:
        return ""
    when = sorted(at for at in late if at is not None)
    never = len(late) - len(when)
    ends = (
        f"{counted(never, 'time')} never" if never and when else "",
        f"first after {plain_number(when[0], 2)} s" if when else "",
    )
    further = f": {', '.join(filter(None, ends))}" if when else ""
    return f"{len(late)} of {counted(len(first), 'time')} no alarm within {plain_number(limit_s)} s{further}"


def campaign_events(episodes: Sequence[Episode]) -> tuple[PilotEvent, ...]:
    """Return the campaign's course: every repetition of every event, and why one was not run."""
    return tuple(
        PilotEvent(
            name=f"{one.event.value} {one.number + 1}", at_s=round(one.began_s, 3),
            seen=f"not run: {one.not_run}" if one.not_run else _outcome(one),
        )
        for one in episodes
    )  # fmt: skip


def _outcome(episode: Episode) -> str:
    outages = [one.consumer for one in episode.seen if one.outage]
    return f"fresh keys were kept from {joined(outages)}" if outages else "fresh keys went on for all"
