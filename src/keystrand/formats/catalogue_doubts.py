"""What is possible in a sound record of a policy, and worth a question: a date that has passed, a reading grown old."""

from collections.abc import Collection, Iterator
from datetime import date

from keystrand.formats.decode import Fault
from keystrand.formats.wording import day_text
from keystrand.model.policy import Policy, Position, Source, ThreatCurve


def record_doubts(record: Policy | Position | ThreatCurve, known: Collection[str], as_of: date) -> Iterator[Fault]:
    """Yield the questions that `record` raises on `as_of`; `known` are the ids of the policies there are."""
    yield from _reading(record.source, as_of)
    if isinstance(record, Policy):
        yield from _dates(record, as_of)
        yield from _line(record, known)


def _reading(source: Source, as_of: date) -> Iterator[Fault]:
    if source.expires and source.old(as_of):
        yield Fault(
            ("source", "expires"),
            f"the reading was good until {day_text(source.expires)}: until it is read again it gives notices only",
            "read the source again, then write the day in as_of and a new expires",
        )


def _dates(policy: Policy, as_of: date) -> Iterator[Fault]:
    for n, rule in enumerate(policy.rules):
        day = day_text(rule.deadline)
        if rule.deadline < policy.source.published and not policy.supersedes:
            yield Fault(
                ("rules", n, "deadline"),
                f"{day} is before the text was published on {day_text(policy.source.published)}",
                "is the year right?",
            )
        elif rule.deadline < as_of:
            yield Fault(
                ("rules", n, "deadline"),
                f"{day} has passed: is it still what the text asks?",
                "a duty that comes round needs its next date, one that was moved its new date; else leave it",
            )


def _line(policy: Policy, known: Collection[str]) -> Iterator[Fault]:
    named = [(("supersedes", n), name) for n, name in enumerate(policy.supersedes)]
    if policy.superseded_by:
        yield from _unknown(("superseded_by",), policy.superseded_by, known)
    for path, name in named:
        yield from _unknown(path, name, known)


def _unknown(path: tuple[str | int, ...], name: str, known: Collection[str]) -> Iterator[Fault]:
    if name not in known:
        yield Fault(path, f"no record is called {name!r}", "keystrand policy list shows the records that there are")
