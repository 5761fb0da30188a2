"""What changed between two records of a policy, and which systems stand otherwise because of it."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from msgspec import Struct

from keystrand.assess.policy import Facts, judge
from keystrand.formats.wording import day_text
from keystrand.model.algorithm import Function
from keystrand.model.policy import Policy, PolicyState
from keystrand.model.stages import Finding

_NOT_COMPARED = frozenset({"rules", "test", "source"})


class Change(NamedTuple):
    """Something that one record says and the other says otherwise; empty where one of them does not say it."""

    where: str
    field: str
    old: str
    new: str


class Moved(NamedTuple):
    """A rule that leaves a system's function in another state. None: that record has no such rule for it."""

    system: str
    function: Function
    rule: str
    old: PolicyState | None
    new: PolicyState | None


def policy_changes(old: Policy, new: Policy) -> tuple[Change, ...]:
    """Return what `new` says otherwise than `old`: of the policy, of its source, and of each rule by its id."""
    before, after = {rule.id: rule for rule in old.rules}, {rule.id: rule for rule in new.rules}
    return (
        *_fields("policy", old, new, _NOT_COMPARED),
        *_fields("source", old.source, new.source),
        *(
            change
            for name in dict.fromkeys((*before, *after))
            for change in _of_rule(name, before.get(name), after.get(name))
        ),
    )


def _of_rule(name: str, old: Struct | None, new: Struct | None) -> Iterator[Change]:
    if old is None or new is None:
        yield Change(f"rule {name}", "", "" if old is None else "is there", "" if new is None else "is there")
    else:
        yield from _fields(f"rule {name}", old, new)


def _fields(where: str, old: Struct, new: Struct, but: frozenset[str] = frozenset()) -> Iterator[Change]:
    for name in old.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if name not in but and before != after:
            yield Change(where, name, _text(before), _text(after))


def _text(value: Any) -> str:
    match value:
        case None | "" | ():
            return ""
        case bool():
            return "yes" if value else "no"
        case date():
            return day_text(value)
        case tuple():
            return ", ".join(map(_text, value))
        case Struct():
            return "; ".join(f"{k} {_text(getattr(value, k))}" for k in value.__struct_fields__ if getattr(value, k))
        case _:
            return str(value)


def moved(old: Policy, new: Policy, findings: Iterable[Finding], facts: Mapping[str, Facts]) -> tuple[Moved, ...]:
    """Return the systems that a rule of `new` leaves in another state than the rule of `old` with the same id.

    Whoever names one of the two as an obligation is taken to be bound by the other as well: it is the same instrument.
    """
    both = frozenset({old.id, new.id})
    found: list[Moved] = []
    for finding in findings:
        said = facts[finding.system]
        bound = said._replace(obligations=said.obligations | both) if said.obligations & both else said
        before, after = (
            {p.rule: p.state for p in judge((policy,), finding, bound) if p.state is not PolicyState.NOT_APPLICABLE}
            for policy in (old, new)
        )
        found += (
            Moved(finding.system, finding.function, rule, before.get(rule), after.get(rule))
            for rule in dict.fromkeys((*before, *after))
            if before.get(rule) is not after.get(rule)
        )
    return tuple(found)
