"""The rules that choose one of the five approaches from the facts of a segment. Pure: facts in, choice out.

Post-quantum cryptography is the default. A quantum approach must earn its place: each of its conditions has to be
answered in its favour. One `no` excludes it; one `unknown` leaves it undetermined, and asks.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import msgspec
from msgspec import Struct

from keystrand.model.stages import Approach, Fit
from keystrand.model.units import Answer

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


class Fact(NamedTuple):
    """One answer about a segment, and where it comes from, in words."""

    answer: Answer
    because: str


class SegmentFacts(Struct, frozen=True, kw_only=True):
    """Everything the rules look at. `nodes_accepted` is yes where one span needs no node.

    `dark_fibre` is also yes for a controlled wavelength on a lit fibre of measured loss, the weaker form.
    `psk_permitted`: quantum keys reach IPsec and WireGuard as keys shared beforehand, which some authorities retire.
    """

    research: Fact
    programme_named: Fact
    single_span: Fact
    may_wait: Fact
    permitted: Fact
    psk_permitted: Fact
    advice_accepted: Fact
    dedicated_optics: Fact
    dark_fibre: Fact
    specialised_operation: Fact
    nodes_accepted: Fact
    long_shelf_life: Fact
    rate_meets_demand: Fact


class Words(NamedTuple):
    """How to ask for a fact, and how to say that it were so or not so."""

    question: str
    if_yes: str
    if_no: str


WORDS: dict[str, Words] = {
    "research": Words(
        "Is the segment for research?", "the segment were for research", "the segment carried production traffic"
    ),
    "programme_named": Words(
        "Within which programme does the research take place?",
        "a programme were named",
        "no programme stood behind the research",
    ),
    "single_span": Words(
        "How many spans does the segment have?", "one span reached from end to end", "nodes were needed on the way"
    ),
    "may_wait": Words(
        "May the traffic wait for a key?", "the traffic could wait for a key", "the traffic had to go on"
    ),
    "permitted": Words(
        "Does the prohibition named here apply to you?",
        "no authority prohibited quantum key distribution here",
        "an authority prohibited quantum key distribution here",
    ),
    "psk_permitted": Words(
        "Does the prohibition of keys shared beforehand that is named here apply to you?",
        "no authority prohibited keys shared beforehand here",
        "an authority prohibited keys shared beforehand here",
    ),
    "advice_accepted": Words(
        "Who accepts a quantum link although the authorities named here advise against it?",
        "somebody were named who accepts it against the advice",
        "nobody answered for it against an authority's advice",
    ),
    "dedicated_optics": Words(
        "Does the segment justify dedicated optics?",
        "dedicated optics were justified",
        "dedicated optics were not justified",
    ),
    "dark_fibre": Words(
        "Is there a dark fibre on this route, or a wavelength of your own on a lit fibre of measured loss?",
        "a dark fibre or a controlled wavelength were there",
        "there were no fibre and no wavelength for it on the route",
    ),
    "specialised_operation": Words(
        "Is there a team for the specialised operation of quantum hardware?",
        "a team could operate quantum hardware",
        "no team could operate quantum hardware",
    ),
    "nodes_accepted": Words(
        "Who accepts that each node on the way sees every key, and are those sites controlled?",
        "the trusted nodes were accepted and their sites controlled",
        "a trusted node were not accepted or its site not controlled",
    ),
    "long_shelf_life": Words(
        "How long, and how much, must the data on this segment stay secret?",
        "the data had to stay secret for ten years or more",
        "none of the data had to stay secret that long",
    ),
    "rate_meets_demand": Words(
        "How many key bits per second do the consumers need, and what is the loss of the fibre?",
        "the modelled key rate met the demand with margin",
        "the modelled key rate fell short of the demand with margin",
    ),
}

Conditions = tuple[tuple[str, Answer], ...]

_HARDWARE: Conditions = (
    ("dedicated_optics", YES), ("dark_fibre", YES), ("specialised_operation", YES), ("nodes_accepted", YES),
    ("permitted", YES), ("psk_permitted", YES),
)  # fmt: skip
_PRODUCTION: Conditions = (
    ("long_shelf_life", YES),
    ("rate_meets_demand", YES),
    *_HARDWARE,
    ("advice_accepted", YES),
    ("research", NO),
)
CONDITIONS: dict[Approach, Conditions] = {
    Approach.QKD_FIBRE: (*_PRODUCTION, ("single_span", YES)),
    Approach.QKD_TRUSTED_NODE: (*_PRODUCTION, ("single_span", NO)),
    Approach.HYBRID: (*_PRODUCTION, ("single_span", YES)),
    Approach.PQC_ONLY: (),
    Approach.QUANTUM_INTERNET_TESTBED: (("research", YES), ("programme_named", YES), *_HARDWARE),
}
"""What each approach needs, what weighs most first. Post-quantum only needs nothing: so it is the default."""


class Judgement(NamedTuple):
    """How one approach stands, with the names of the facts that speak for it, against it, or are missing."""

    fit: Fit
    met: tuple[str, ...]
    unmet: tuple[str, ...]
    unknown: tuple[str, ...]


def fact(facts: SegmentFacts, name: str) -> Fact:
    """Return the fact called `name`."""
    found: Fact = getattr(facts, name)
    return found


def judge(approach: Approach, facts: SegmentFacts) -> Judgement:
    """Return how `approach` stands under `facts`: excluded, undetermined, or possible."""
    answers = [(name, fact(facts, name).answer, wanted) for name, wanted in CONDITIONS[approach]]
    met = tuple(name for name, answer, wanted in answers if answer is wanted)
    unknown = tuple(name for name, answer, _ in answers if answer is UNKNOWN)
    unmet = tuple(name for name, answer, wanted in answers if answer not in (wanted, UNKNOWN))
    fit = Fit.EXCLUDED if unmet else Fit.UNDETERMINED if unknown else Fit.POSSIBLE
    return Judgement(fit, met, unmet, unknown)


def choose(facts: SegmentFacts) -> Approach:
    """Return the approach for a segment with `facts`."""
    possible = {a for a in Approach if judge(a, facts).fit is Fit.POSSIBLE} - {Approach.PQC_ONLY}
    if {Approach.QKD_FIBRE, Approach.HYBRID} <= possible:
        # only traffic that may wait for a key can do without a second source
        return Approach.QKD_FIBRE if facts.may_wait.answer is YES else Approach.HYBRID
    return next(iter(possible), Approach.PQC_ONLY)


def flips(facts: SegmentFacts) -> Iterator[tuple[str, Answer, Approach]]:
    """Yield every single fact whose other answer changes the choice: its name, that answer, the new choice.

    The number of spans is left out: with it the loss, the rate and the nodes would all be others. So are the nodes
    where there are none.
    """
    settled = {"single_span"} | ({"nodes_accepted"} if facts.single_span.answer is YES else set())
    now = choose(facts)
    # what would take a quantum link away is what its owner must watch: it comes first
    for answer, name in product((NO, YES), SegmentFacts.__struct_fields__):
        then = choose(msgspec.structs.replace(facts, **{name: Fact(answer, "")}))
        if then is not now and name not in settled:
            yield name, answer, then


SETTLED = frozenset({"single_span", "research"})
"""What no answer can change: another route or another use would be another segment."""


def smallest_change(facts: SegmentFacts, to: Approach) -> tuple[tuple[str, Answer], ...]:
    """Return the fewest answers that would have to be others for a quantum approach `to`; none where none leads there.

    Searched by number: every condition that is open must change, and then what else decides between two that are met.
    What leads back to the default is any one condition of the choice: `flips` names them all.
    """
    answers = [(name, wanted) for name, wanted in CONDITIONS[to] if fact(facts, name).answer is not wanted]
    if SETTLED.intersection(name for name, _ in answers):
        return ()
    further = [(name, answer) for name in STEERING for answer in Answer if fact(facts, name).answer is not answer]
    for more in ((), *((one,) for one in further)):
        changed = {name: Fact(answer, "") for name, answer in (*answers, *more)}
        if choose(msgspec.structs.replace(facts, **changed)) is to:
            return (*answers, *more)
    return ()


STEERING = ("may_wait",)
"""Facts that decide between approaches whose conditions are all met."""


def nearest(facts: SegmentFacts) -> tuple[Approach, Judgement]:
    """Return the quantum approach with the fewest conditions open, and how it stands."""
    rest = [(a, judge(a, facts)) for a in Approach if a is not Approach.PQC_ONLY]
    return min(rest, key=lambda pair: len(pair[1].unmet) + len(pair[1].unknown))
