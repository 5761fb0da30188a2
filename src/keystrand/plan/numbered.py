"""The rules on a segment one by one, as an auditor reads them: fired, why, by what source, what would change that.

They say the same as `rules.choose`, from the same facts; here each stands by itself under a lasting number.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from keystrand.formats.wording import joined
from keystrand.model.estate import Segment
from keystrand.model.stages import Classical, Gate, RuleResult
from keystrand.model.units import Answer
from keystrand.plan.ground import Ground
from keystrand.plan.rules import NO, UNKNOWN, WORDS, YES, Fact, SegmentFacts, fact


class _Numbered(NamedTuple):
    """A rule that fires where one of its facts has the answer `on`."""

    id: str
    title: str
    names: tuple[str, ...]
    on: Answer
    source: str


G1 = "what an authority forbids is left out before anything is weighed; what one advises against needs an acceptor"
_TABLE = (
    _Numbered("G1", G1, ("permitted", "psk_permitted", "advice_accepted"), NO, "positions on quantum key distribution"),
    _Numbered(
        "G3",
        "no quantum link without dedicated optics, managed trusted nodes and specialised operation",
        ("dedicated_optics", "dark_fibre", "nodes_accepted", "specialised_operation"),
        NO,
        "dark_fibre and quantum",
    ),
    _Numbered(
        "G4",
        "no quantum link where the modelled rate does not carry the demand with margin",
        ("rate_meets_demand",),
        NO,
        "loss_db or loss_db_per_km, key_demand_bits_per_s, and the link model",
    ),
    _Numbered(
        "G5",
        "no trusted node that nobody answers for, on foreign ground, or for data more sensitive than was accepted",
        ("nodes_accepted",),
        NO,
        "via, quantum.accepted_by, quantum.accepted_sensitivity, and the sites",
    ),
    _Numbered(
        "G6",
        "no quantum link for data that is not of high sensitivity for ten years or more",
        ("long_shelf_life",),
        NO,
        "data classes of the systems on the segment",
    ),
    _Numbered(
        "G7",
        "traffic that must go on gets a second key source as its fallback",
        ("may_wait",),
        NO,
        "continuity",
    ),
    _Numbered(
        "G8", "a testbed is for research in a named programme, never for production", ("research",), YES, "purpose"
    ),
)  # fmt: skip


def results(facts: SegmentFacts, segment: Segment, stays: Sequence[Classical]) -> tuple[RuleResult, ...]:
    """Return the rules G1 to G9 on `segment`."""
    made = (_result(one, facts, segment) for one in _TABLE)
    return tuple(sorted((*made, _baseline(), _classical(stays, segment)), key=lambda rule: rule.id))


def stopped(found: Sequence[Gate], segment: Segment, stays: Sequence[Classical]) -> tuple[RuleResult, ...]:
    """Return the rules on a segment where a prohibition decides: the rules on quantum links are not asked."""
    forbidding = [gate for gate in found if gate.applies is YES]
    gate = RuleResult(
        id="G1",
        title=G1,
        fired=YES,
        reason=joined([one.reason for one in forbidding]),
        source="positions " + joined(sorted({one.position for one in forbidding})),
        would_change=f"{WORDS['permitted'].if_yes}; the rules on quantum links were not asked",
    )
    return (gate, _baseline(), _classical(stays, segment))


def _result(one: _Numbered, facts: SegmentFacts, segment: Segment) -> RuleResult:
    said = [(name, fact(facts, name)) for name in one.names]
    fired, deciding = _fired(said, one.on)
    return RuleResult(
        id=one.id,
        title=one.title,
        fired=fired,
        reason=joined([item.because for _, item in deciding], most=len(deciding)),
        source=one.source if one.id == "G1" else f"estate.toml, segment {segment.id}: {one.source}",
        would_change=(" and " if fired is YES else " or ").join(_otherwise(one, fired, deciding)),
    )


def _fired(said: list[tuple[str, Fact]], on: Answer) -> tuple[Answer, list[tuple[str, Fact]]]:
    for answer, fired in ((on, YES), (UNKNOWN, UNKNOWN)):
        if deciding := [(name, item) for name, item in said if item.answer is answer]:
            return fired, deciding
    return NO, said


def _otherwise(one: _Numbered, fired: Answer, deciding: list[tuple[str, Fact]]) -> Iterator[str]:
    for name, _ in deciding:
        if fired is UNKNOWN:
            yield f"the answer to: {WORDS[name].question}"
        else:
            yield WORDS[name].if_yes if (fired is YES) is (one.on is NO) else WORDS[name].if_no


def _baseline() -> RuleResult:
    return RuleResult(
        id="G2",
        title="post-quantum cryptography is the baseline; a quantum link is only ever added to it",
        fired=YES,
        reason="software on the network that is there, with final standards",
        source="keystrand, method of the plan",
        would_change="nothing on a single segment",
    )


def _classical(stays: Sequence[Classical], segment: Segment) -> RuleResult:
    named = joined([one.system for one in stays])
    return RuleResult(
        id="G9",
        title="what has no post-quantum path before it retires stays classical, with a compensating control and an end",
        fired=YES if stays else NO,
        reason=f"no post-quantum path: {named}" if stays else "no system on it is said to have no post-quantum path",
        source=f"estate.toml, systems of segment {segment.id}: post_quantum_path, compensating, retires",
        would_change=f"a post-quantum path for {named}" if stays else "a system without a post-quantum path",
    )


def stays_classical(segment: Segment, ground: Ground) -> tuple[Classical, ...]:
    """Return the systems on `segment` of which the estate says that there is no post-quantum path."""
    return tuple(
        Classical(system=system.id, until=system.retires, compensating=system.compensating)
        for system in ground.users(segment)
        if system.post_quantum_path is NO
    )
