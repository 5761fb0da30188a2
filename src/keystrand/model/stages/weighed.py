"""What a decision on a segment rests on: the rules one by one, the gates, what is left over, and what would change."""

from datetime import date
from enum import StrEnum

from keystrand.model.algorithm import Function
from keystrand.model.document import Part
from keystrand.model.policy import Technique
from keystrand.model.units import Answer, Interval


class Approach(StrEnum):
    """The five approaches."""

    QKD_FIBRE = "qkd-fibre"
    QKD_TRUSTED_NODE = "qkd-trusted-node"
    HYBRID = "hybrid"
    PQC_ONLY = "pqc-only"
    QUANTUM_INTERNET_TESTBED = "quantum-internet-testbed"


class Bucket(StrEnum):
    """What becomes of a segment: three ways to go on."""

    MUST_REMAIN_CLASSICAL = "must-remain-classical"
    CAN_BECOME_QUANTUM_SAFE = "can-become-quantum-safe"
    PILOT_QUANTUM_FIRST = "pilot-quantum-first"


class RuleResult(Part, frozen=True, kw_only=True):
    """One rule on one segment: whether it fired, why, by what source, and what would change that.

    `unknown`: whether it fires depends on an answer that is missing.
    """

    id: str
    title: str
    fired: Answer
    reason: str
    source: str
    would_change: str


class Gate(Part, frozen=True, kw_only=True):
    """A prohibition that stands before every scoring. `since` or `until`: from when, or until when use may go on."""

    technique: Technique
    position: str
    applies: Answer
    since: date | None
    until: date | None
    reason: str


class FunctionChoice(Part, frozen=True, kw_only=True):
    """What one function of a segment gets. Quantum keys never sign: each function is planned by itself."""

    function: Function
    approach: Approach
    reason: str


class Classical(Part, frozen=True, kw_only=True):
    """A system that has no post-quantum path: until when it stays classical, and what protects it (None: unsaid)."""

    system: str
    until: date | None
    compensating: str | None


class Change(Part, frozen=True, kw_only=True):
    """The fewest answers that would have to be other ones for `approach` to be chosen."""

    approach: Approach
    needs: tuple[str, ...]


class Consequence(StrEnum):
    """What a scenario does to the traffic of a segment."""

    HOLDS = "holds"
    READABLE = "readable"
    FALLS_BACK = "falls-back"
    STOPS = "stops"


class ScenarioResult(Part, frozen=True, kw_only=True):
    """One scenario against one approach. `probability` is assumed, None where no figure is assumed."""

    scenario: str
    consequence: Consequence
    probability: Interval | None


class Residual(Part, frozen=True, kw_only=True):
    """What is left after an approach. Probabilities are assumed, over the years of the plan.

    `readable`: that recorded traffic can be read. `less_readable` is how much less than with post-quantum cryptography
    only; `avoided_data_years` is that share of what lies exposed. Both are negative where the approach adds risk.
    """

    approach: Approach
    scenarios: tuple[ScenarioResult, ...]
    readable: Interval
    less_readable: Interval
    avoided_data_years: Interval | None


class Limitation(Part, frozen=True, kw_only=True):
    """One objection of an authority, what keystrand does about it, and what is left."""

    says: str
    mitigation: str
    left: str
