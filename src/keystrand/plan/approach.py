"""One decision for each segment: the facts from the estate, the choice, and everything that speaks for and against."""

from collections.abc import Iterator, Sequence

from keystrand.formats.wording import joined
from keystrand.model.estate import Estate, LossBasis, Segment
from keystrand.model.policy import Position
from keystrand.model.stages import Approach, ApproachOption, Fit, SegmentDecision
from keystrand.plan import rules
from keystrand.plan.comparison import profile_text
from keystrand.plan.facts import facts_of
from keystrand.plan.physics import modelled_rate, worst_span
from keystrand.plan.positions import prohibitions
from keystrand.plan.rules import YES, Judgement, SegmentFacts

NAMES: dict[Approach, str] = {
    Approach.QKD_FIBRE: "QKD over dedicated fibre",
    Approach.QKD_TRUSTED_NODE: "QKD through trusted nodes",
    Approach.HYBRID: "QKD combined with post-quantum cryptography",
    Approach.PQC_ONLY: "post-quantum cryptography only",
    Approach.QUANTUM_INTERNET_TESTBED: "a quantum-internet testbed",
}

_WITHOUT_FALLBACK = frozenset({Approach.QKD_FIBRE, Approach.QKD_TRUSTED_NODE})
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
    yield "software on the network that is there, with final standards"


def _option(approach: Approach, facts: SegmentFacts, segment: Segment, chosen: Approach) -> ApproachOption:
    standing = rules.judge(approach, facts)
    quantum = approach is not Approach.PQC_ONLY
    objections = (
        *_because(facts, standing.unmet),
        *_because(facts, standing.unknown),
        *_OBJECTIONS[approach],
        *(_QKD_OBJECTIONS if quantum else ()),
    )
    if approach in _WITHOUT_FALLBACK and facts.may_wait.answer is not YES:
        objections += ("its traffic must go on: only with post-quantum cryptography as a fallback",)
    if quantum and segment.loss_basis is LossBasis.ASSUMED:
        objections += ("the loss is assumed: measure the fibre before anything is bought",)
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
    missing = joined([_wish(closest, name) for name in (*standing.unmet, *standing.unknown)], most=11)
    return (f"no single fact; {NAMES[closest]} is nearest, and would be chosen if {missing}",)


def _wish(approach: Approach, name: str) -> str:
    wanted = dict(rules.CONDITIONS[approach])[name]
    return rules.WORDS[name].if_yes if wanted is YES else rules.WORDS[name].if_no


def decide(segment: Segment, estate: Estate, positions: Sequence[Position]) -> SegmentDecision:
    """Return the approach of `segment` with all five options, what is not known, and what would change the choice.

    `positions` are all that are known; every quantum choice shows them all, an exclusion those that caused it.
    """
    span = worst_span(segment, {site.id: site for site in estate.site})
    rate = modelled_rate(span)
    facts = facts_of(segment, estate, positions, span, rate)
    chosen = rules.choose(facts)
    shown = positions if chosen is not Approach.PQC_ONLY else [p for p, _ in prohibitions(positions, estate)]
    return SegmentDecision(
        segment=segment.id,
        chosen=chosen,
        options=tuple(_option(approach, facts, segment, chosen) for approach in Approach),
        questions=_questions([rules.judge(approach, facts) for approach in Approach]),
        would_change=_would_change(facts),
        rate=rate,
        positions=tuple(sorted(p.id for p in shown)),
    )
