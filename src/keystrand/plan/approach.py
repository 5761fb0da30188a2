"""One decision for each segment: the facts from the estate, the choice, and everything that speaks for and against."""

from collections.abc import Iterator, Sequence
from datetime import date

from keystrand.formats.wording import joined
from keystrand.model.algorithm import Function
from keystrand.model.estate import Estate, LossBasis, Segment
from keystrand.model.policy import Position, Technique
from keystrand.model.stages import (
    Approach,
    ApproachOption,
    Assumption,
    Bucket,
    Change,
    Classical,
    Fit,
    FunctionChoice,
    Gate,
    SegmentDecision,
)
from keystrand.model.units import Answer
from keystrand.plan import numbered, rules
from keystrand.plan.comparison import profile_text
from keystrand.plan.facts import Said, facts_of, is_shared, margin
from keystrand.plan.ground import Ground, ground_of
from keystrand.plan.physics import (
    COEXISTENCE_MARGIN,
    PLANNING_HOP_KM,
    RATE_MARGIN,
    Span,
    modelled_rate,
    most_loss_db,
    worst_span,
)
from keystrand.plan.positions import advisers_against, gates
from keystrand.plan.rules import UNKNOWN, YES, Judgement, SegmentFacts

NAMES: dict[Approach, str] = {
    Approach.QKD_FIBRE: "QKD over dedicated fibre",
    Approach.QKD_TRUSTED_NODE: "QKD through trusted nodes",
    Approach.HYBRID: "QKD combined with post-quantum cryptography",
    Approach.PQC_ONLY: "post-quantum cryptography only",
    Approach.QUANTUM_INTERNET_TESTBED: "a quantum-internet testbed",
}

_SOFTWARE = ("software on the network that is there, with final standards",)
_WITHOUT_FALLBACK = frozenset({Approach.QKD_FIBRE, Approach.QKD_TRUSTED_NODE})
ASSUMPTIONS = (
    Assumption(
        name="margin of the modelled key rate",
        value=f"the demand {RATE_MARGIN:g} times over; {COEXISTENCE_MARGIN:g} times on a lit fibre, where neighbours' "
        "light scatters into the quantum channel",
        source="assumed by keystrand, to be replaced by a pilot's measurement",
    ),
    Assumption(
        name="length of a hop for planning",
        value=f"up to {PLANNING_HOP_KM:g} km, as in networks in service; a longer one is told as an objection",
        source="lengths and numbers of links of two networks in China, from two public sources",
    ),
)
"""What the choice rests on that nobody measured here."""

_QKD_OBJECTIONS = (
    "it does not authenticate the peers: that needs post-quantum signatures or keys shared beforehand",
    "cutting or disturbing the fibre stops new keys",
    "end points, insiders and wrong configuration stay as they are",
)
_OBJECTIONS: dict[Approach, tuple[str, ...]] = {
    Approach.QKD_FIBRE: ("without a second key source, traffic stops when the stock of keys is used up",),
    Approach.QKD_TRUSTED_NODE: ("every node on the way sees every key: whoever enters one reads all",),
    Approach.HYBRID: ("two key sources and a combiner have to be run and tested",),
    Approach.PQC_ONLY: ("it rests on mathematical problems that are younger than those it replaces",),
    Approach.QUANTUM_INTERNET_TESTBED: ("research: not a protection for production traffic",),
}


def _because(facts: SegmentFacts, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(rules.fact(facts, name).because for name in names)


def _own_reasons(approach: Approach, facts: SegmentFacts) -> Iterator[str]:
    if approach is Approach.HYBRID:
        yield "the key holds while either source holds; without the quantum link it falls back to post-quantum, visibly"
        if facts.may_wait.answer is not YES:
            yield facts.may_wait.because
    elif approach is Approach.QKD_FIBRE and facts.may_wait.answer is YES:
        yield facts.may_wait.because
    elif approach is Approach.PQC_ONLY:
        yield from _default_reasons(facts)


def _default_reasons(facts: SegmentFacts) -> Iterator[str]:
    chosen = rules.choose(facts)
    closest, standing = rules.nearest(facts)
    if chosen is not Approach.PQC_ONLY:
        yield f"it is the baseline beneath {NAMES[chosen]}, and its fallback"
    elif standing.unmet:
        yield f"{NAMES[closest]} has not earned its place: {rules.fact(facts, standing.unmet[0]).because}"
    else:
        yield f"the default, until it is known whether {NAMES[closest]} fits"
    yield from _SOFTWARE


def _doubts(approach: Approach, facts: SegmentFacts, segment: Segment, span: Span) -> Iterator[str]:
    """Yield what a quantum link on this very segment would have against it."""
    if approach in _WITHOUT_FALLBACK and facts.may_wait.answer is not YES:
        yield "its traffic must go on: only with post-quantum cryptography as a fallback"
    if segment.loss_basis is LossBasis.ASSUMED:
        yield "the loss is assumed: measure the fibre before anything is bought"
    if span.length_km > PLANNING_HOP_KM:
        yield f"a hop of {span.length_km:.3g} km is longer than the {PLANNING_HOP_KM:g} km that networks plan with"
    if is_shared(segment):
        yield "other traffic on the fibre scatters light into the quantum channel: measure the noise in the pilot"
    if segment.spans > 1 and segment.quantum.accepted_sensitivity is None:
        yield "the acceptance of trusted nodes does not say up to which sensitivity of data it holds"


def _option(approach: Approach, facts: SegmentFacts, segment: Segment, span: Span, chosen: Approach) -> ApproachOption:
    standing = rules.judge(approach, facts)
    quantum = approach is not Approach.PQC_ONLY
    objections = (
        *_because(facts, standing.unmet),
        *_because(facts, standing.unknown),
        *_OBJECTIONS[approach],
        *(_QKD_OBJECTIONS if quantum else ()),
        *(_doubts(approach, facts, segment, span) if quantum else ()),
    )
    return ApproachOption(
        approach=approach,
        fit=Fit.CHOSEN if approach is chosen else standing.fit,
        reasons=(*_because(facts, standing.met), *_own_reasons(approach, facts), *profile_text(approach)),
        objections=objections,
    )


def _questions(standings: Sequence[Judgement]) -> tuple[str, ...]:
    asked = [name for s in standings if s.fit is Fit.UNDETERMINED for name in s.unknown]
    return tuple(rules.WORDS[name].question for name in dict.fromkeys(asked))


def _would_change(facts: SegmentFacts) -> tuple[str, ...]:
    said = tuple(
        f"if {rules.WORDS[name].if_yes if answer is YES else rules.WORDS[name].if_no}: {NAMES[then]}"
        for name, answer, then in rules.flips(facts)
    )
    if said:
        return said
    closest, standing = rules.nearest(facts)
    missing = joined([_wish(closest, name) for name in (*standing.unmet, *standing.unknown)], most=13)
    return (f"no single fact; {NAMES[closest]} is nearest, and would be chosen if {missing}",)


def _wish(approach: Approach, name: str) -> str:
    return _words((name, dict(rules.CONDITIONS[approach])[name]))


def _changes(facts: SegmentFacts) -> tuple[Change, ...]:
    chosen = rules.choose(facts)
    found = [
        (to, rules.smallest_change(facts, to)) for to in rules.CONDITIONS if to is not chosen and rules.CONDITIONS[to]
    ]
    made = [Change(approach=to, needs=tuple(map(_words, needs))) for to, needs in found if needs]
    return tuple(sorted(made, key=lambda change: len(change.needs)))


def _words(need: tuple[str, Answer]) -> str:
    name, answer = need
    return rules.WORDS[name].if_yes if answer is YES else rules.WORDS[name].if_no


def _threshold(facts: SegmentFacts, segment: Segment, span: Span) -> Iterator[str]:
    """Yield the loss at which the rule on the key rate turns, where a demand is stated and a loss known."""
    answer = facts.rate_meets_demand.answer
    if answer is UNKNOWN or segment.key_demand_bits_per_s <= 0 or span.loss_db <= 0:
        return
    most = most_loss_db(margin(segment) * segment.key_demand_bits_per_s)
    now = f"the loss of the worst span, now {span.loss_db:.3g} dB ({segment.loss_basis}),"
    if answer is YES:
        yield f"if {now} rose above {most:.1f} dB, the modelled rate would no longer carry the demand with margin"
    elif most > 0:
        yield f"if {now} fell below {most:.1f} dB, the modelled rate would carry the demand with margin"
    else:
        yield "no loss is low enough for the modelled rate to carry the demand with margin: ask for less key"


def _functions(chosen: Approach) -> tuple[FunctionChoice, ...]:
    """Return what key establishment and signatures get; quantum keys sign nothing, so the two never share a choice."""
    signs = "signatures that authenticate the peers are post-quantum on every segment: a quantum link signs nothing"
    return (
        FunctionChoice(function=Function.KEY_ESTABLISHMENT, approach=chosen, reason=f"{NAMES[chosen]}, by the rules"),
        FunctionChoice(function=Function.SIGNATURE, approach=Approach.PQC_ONLY, reason=signs),
    )


def _bucket(segment: Segment, ground: Ground, chosen: Approach, stays: Sequence[Classical]) -> Bucket:
    users = {system.id for system in ground.users(segment)}
    if chosen is not Approach.PQC_ONLY:
        return Bucket.PILOT_QUANTUM_FIRST
    all_stay = bool(users) and users == {one.system for one in stays}
    return Bucket.MUST_REMAIN_CLASSICAL if all_stay else Bucket.CAN_BECOME_QUANTUM_SAFE


def decide(estate: Estate, positions: Sequence[Position], as_of: date) -> tuple[SegmentDecision, ...]:
    """Return the approach of every segment with all five options, what is not known, and what would change the choice.

    `positions` are all that are known; every quantum choice shows them all, an exclusion those that caused it. A
    prohibition that applies decides before anything is weighed.
    """
    found, ground = tuple(gates(positions, estate, as_of)), ground_of(estate)
    if any(gate.applies is YES for gate in found):
        return tuple(_forbidden(segment, ground, found) for segment in estate.segment)
    said, known = Said(found, advisers_against(positions, estate)), tuple(position.id for position in positions)
    return tuple(_decided(segment, ground, said, known) for segment in estate.segment)


def _decided(segment: Segment, ground: Ground, said: Said, known: tuple[str, ...]) -> SegmentDecision:
    span = worst_span(segment, ground.sites)
    rate, stays = modelled_rate(span), numbered.stays_classical(segment, ground)
    facts = facts_of(segment, ground, said, span, rate)
    chosen = rules.choose(facts)
    shown = known if chosen is not Approach.PQC_ONLY else {gate.position for gate in said.gates}
    return SegmentDecision(
        segment=segment.id,
        chosen=chosen,
        options=tuple(_option(approach, facts, segment, span, chosen) for approach in Approach),
        questions=_questions([rules.judge(approach, facts) for approach in Approach]),
        would_change=(*_would_change(facts), *_threshold(facts, segment, span)),
        rate=rate,
        positions=tuple(sorted(shown)),
        bucket=_bucket(segment, ground, chosen, stays),
        rules=numbered.results(facts, segment, stays),
        gates=said.gates,
        functions=_functions(chosen),
        classical=stays,
        changes=_changes(facts),
    )


def _forbidden(segment: Segment, ground: Ground, found: tuple[Gate, ...]) -> SegmentDecision:
    """Return the decision where a prohibition applies: no rate, no weighing, no question on quantum links."""
    stays, chosen = numbered.stays_classical(segment, ground), Approach.PQC_ONLY
    deciding = [gate for gate in found if gate.applies is YES]
    return SegmentDecision(
        segment=segment.id,
        chosen=chosen,
        options=tuple(_barred(approach, deciding) for approach in Approach),
        questions=(),
        would_change=tuple(
            f"if {rules.WORDS[name].if_yes}: the rules on quantum links would be asked"
            for name in dict.fromkeys(_GATED[gate.technique] for gate in deciding)
        ),
        rate=None,
        positions=tuple(sorted({gate.position for gate in deciding})),
        bucket=_bucket(segment, ground, chosen, stays),
        rules=numbered.stopped(found, segment, stays),
        gates=found,
        functions=_functions(chosen),
        classical=stays,
    )


_GATED = {Technique.QKD: "permitted", Technique.PSK: "psk_permitted"}
_PSK_PATH = (
    "quantum keys reach IPsec (RFC 8784), WireGuard and MACsec as keys shared beforehand: they are no target where "
    "those end"
)


def _barred(approach: Approach, deciding: Sequence[Gate]) -> ApproachOption:
    if approach is Approach.PQC_ONLY:
        reasons = ("the baseline, and what the prohibition leaves", *_SOFTWARE, *profile_text(approach))
        return ApproachOption(approach=approach, fit=Fit.CHOSEN, reasons=reasons, objections=_OBJECTIONS[approach])
    path = (_PSK_PATH,) if any(gate.technique is Technique.PSK for gate in deciding) else ()
    return ApproachOption(
        approach=approach,
        fit=Fit.EXCLUDED,
        reasons=("not weighed: a prohibition comes first",),
        objections=(*(gate.reason for gate in deciding), *path),
    )
