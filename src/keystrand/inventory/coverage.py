"""What was looked at and what was not. Every gap has a reason; nothing drops out of the denominator."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from keystrand.model.document import Coverage, Gap, OutcomeCount
from keystrand.model.estate import Estate
from keystrand.model.observation import Attempt, Outcome, Record

_UNIT = "targets"
KNOWN = (Outcome.SEEN, Outcome.NONE)
"""Outcomes of an endpoint or file after which it is known what is there; after every other one it is not."""


def _attempts(records: Iterable[Record]) -> set[Attempt]:
    return {record for record in records if isinstance(record, Attempt)}


def answered_targets(records: Iterable[Record]) -> set[str]:
    """Return the ids of the targets whose cryptography was seen."""
    return {attempt.target for attempt in _attempts(records) if attempt.outcome is Outcome.SEEN}


def unknown_of_each(records: Iterable[Record]) -> dict[str, tuple[int, int]]:
    """Return for each target how many of its endpoints and files are unknown, and how many it has."""
    by_target: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in _attempts(records):
        by_target[attempt.target].append(attempt)
    counts = {target: _outcomes(attempts) for target, attempts in by_target.items()}
    return {
        target: (sum(one.count for one in ended if one.outcome not in KNOWN), sum(one.count for one in ended))
        for target, ended in counts.items()
    }


def _incomplete(attempts: Iterable[Attempt]) -> Iterator[Gap]:
    """Yield a gap for each attempt that saw nothing, and for each that saw a part: its reason says what is missing."""
    for attempt in attempts:
        if attempt.outcome is not Outcome.SEEN or attempt.reason:
            where = f" at {attempt.place}" if attempt.place else ""
            reason = attempt.reason or "the probe gave no reason"
            yield Gap(what=f"target {attempt.target}{where}", outcome=attempt.outcome, reason=reason)


def _left_out(estate: Estate, attempted: set[str]) -> Iterator[Gap]:
    for target in estate.target:
        if target.id not in attempted:
            yield Gap(what=f"target {target.id}", outcome=Outcome.SKIPPED, reason="no attempt on it is recorded")
    targeted = {target.system for target in estate.target}
    for system in estate.system:
        if system.id not in targeted:
            yield Gap(what=f"system {system.id}", outcome=Outcome.SKIPPED, reason="no target names this system")


def _ordered(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    return tuple(sorted(set(gaps), key=lambda gap: (gap.what, gap.outcome, gap.reason)))


def _outcomes(attempts: Iterable[Attempt], left_out: int = 0) -> tuple[OutcomeCount, ...]:
    """Return how many endpoints and files ended in each way.

    An attempt with counts speaks for all its files or endpoints; one on a single file or endpoint below it is in them.
    """
    attempts = list(attempts)
    tallied = {attempt.target for attempt in attempts if attempt.counts}
    found: Counter[Outcome] = Counter()
    for attempt in attempts:
        if attempt.counts:
            found.update(dict(attempt.counts))
        elif attempt.target not in tallied:
            found[attempt.outcome] += 1
    found[Outcome.SKIPPED] += left_out
    return tuple(OutcomeCount(outcome=outcome, count=found[outcome]) for outcome in Outcome if found[outcome])


def attempts_coverage(records: Iterable[Record]) -> Coverage:
    """Return the coverage of a scan: targets attempted, targets seen, and a gap for each that saw nothing or a part."""
    attempts = _attempts(records)
    return Coverage(
        unit=_UNIT,
        looked_at=len({attempt.target for attempt in attempts}),
        answered=len(answered_targets(attempts)),
        gaps=_ordered(_incomplete(attempts)),
        outcomes=_outcomes(attempts),
    )


def estate_coverage(estate: Estate, records: Iterable[Record]) -> Coverage:
    """Return the coverage of the whole estate, in targets.

    Beside the failed attempts, a target without an attempt and a system without a target are gaps; every target that
    the estate names is counted in `looked_at`, so that one left out lowers the share that answered.
    """
    attempts = _attempts(records)
    attempted = {attempt.target for attempt in attempts}
    return Coverage(
        unit=_UNIT,
        looked_at=len(attempted | {target.id for target in estate.target}),
        answered=len(answered_targets(attempts)),
        gaps=_ordered((*_incomplete(attempts), *_left_out(estate, attempted))),
        outcomes=_outcomes(attempts, left_out=len({target.id for target in estate.target} - attempted)),
    )
