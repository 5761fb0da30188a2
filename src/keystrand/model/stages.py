"""The six documents, one after the other: each is made from the ones before it."""

from datetime import date
from enum import StrEnum

from msgspec import Struct

from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import Document, Measured
from keystrand.model.estate import Layer
from keystrand.model.link import LinkRate
from keystrand.model.observation import Fact, Record, Strength
from keystrand.model.policy import Effect, Force, Stance, Status, Verification
from keystrand.model.units import Answer, Count, Estimate, Interval


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every part of a document refuses fields it does not know."""


# 1 Observations: what was seen


class Observations(Document, frozen=True, kw_only=True, tag="observations"):
    """Every record of one scan, in a fixed order. On disk: JSON Lines, the head first, then one record a line."""

    records: tuple[Record, ...]


# 2 Inventory: what is there


class Occurrence(_Part, frozen=True, kw_only=True):
    """One place where an asset was seen."""

    target: str
    system: str
    place: str
    probe: str
    strength: Strength


class Asset(_Part, frozen=True, kw_only=True):
    """A thing with an identity that survives a new scan and another collector.

    `strength` is that of its best occurrence. `fact` is the observation itself; where two observations of one identity
    differ, the strongest is kept and the difference is listed in `conflicts`.
    """

    id: str
    name: str
    verdict: Verdict
    strength: Strength
    fact: Fact
    occurrences: tuple[Occurrence, ...]
    conflicts: tuple[str, ...] = ()


class OwnershipGap(_Part, frozen=True, kw_only=True):
    """A layer of a system or segment that nobody owns: work to be done."""

    noun: str
    id: str
    layer: Layer


class SystemView(_Part, frozen=True, kw_only=True):
    """What the inventory knows of one system: its assets, and how many of its targets answered."""

    system: str
    assets: tuple[str, ...]
    targets: Count
    answered: Count


class Inventory(Document, frozen=True, kw_only=True, tag="inventory"):
    """The assets, where each occurs, and what has no owner."""

    assets: tuple[Asset, ...]
    systems: tuple[SystemView, ...]
    ownership_gaps: tuple[OwnershipGap, ...]


# 3 Assessment: judged


class PolicyState(StrEnum):
    """What a rule says of a system on the day of the judgement.

    A violation needs a final text that we read at its source or in two independent places, addressed to this
    organisation, and a date that has passed. Everything weaker is a notice.
    """

    VIOLATION = "violation"
    DUE = "due"
    NOTICE = "notice"
    MET = "met"
    UNDETERMINED = "undetermined"
    NOT_APPLICABLE = "not-applicable"


class PolicyFinding(_Part, frozen=True, kw_only=True):
    """One rule against one finding."""

    policy: str
    rule: str
    clause: str
    effect: Effect
    state: PolicyState
    deadline: date
    reason: str


class Finding(_Part, frozen=True, kw_only=True):
    """What one system uses for one function, and the verdict.

    `classical_still_accepted`: a quantum-safe exchange is negotiated, but another peer still gets a vulnerable one.
    """

    id: str
    system: str
    function: Function
    verdict: Verdict
    strength: Strength | None
    algorithms: tuple[str, ...]
    assets: tuple[str, ...]
    classical_still_accepted: Answer
    policies: tuple[PolicyFinding, ...]
    reason: str


class Exposure(_Part, frozen=True, kw_only=True):
    """Harvest-now-decrypt-later exposure of one data class in one system (Mosca's x, y and z as distributions).

    Ratios are probabilities; `data_years` are expected years of readable data per year of production, over the low and
    high threat curve. `sunk` was recorded before `as_of` and no migration removes it; `avoidable` is still to come.
    """

    system: str
    data_class: str
    shelf_life_years: float
    migration_years: Interval
    shelf_life_exceeds_horizon: Interval
    avoidable_data_years: Interval
    sunk_data_years: Interval
    delay_cost_data_years_per_year: Interval
    verdict: Verdict


class Priority(_Part, frozen=True, kw_only=True):
    """Where a system stands in the order of work, and why. `tier` groups those whose order the inputs do not settle."""

    rank: Count
    tier: Count
    system: str
    reasons: tuple[str, ...]


class PolicyRef(_Part, frozen=True, kw_only=True):
    """A policy that took part, with what a reader needs to judge it."""

    id: str
    name: str
    status: Status
    force: Force
    verification: Verification
    as_of: date
    source: str
    binding: bool


class Assumption(_Part, frozen=True, kw_only=True):
    """Something the result rests on that nobody measured here."""

    name: str
    value: str
    source: str


class Assessment(Document, frozen=True, kw_only=True, tag="assessment"):
    """Findings with verdicts, exposures, and the order of work."""

    findings: tuple[Finding, ...]
    exposures: tuple[Exposure, ...]
    priorities: tuple[Priority, ...]
    policies: tuple[PolicyRef, ...]
    assumptions: tuple[Assumption, ...]


# 4 Plan: decided


class Approach(StrEnum):
    """The five approaches."""

    QKD_FIBRE = "qkd-fibre"
    QKD_TRUSTED_NODE = "qkd-trusted-node"
    HYBRID = "hybrid"
    PQC_ONLY = "pqc-only"
    QUANTUM_INTERNET_TESTBED = "quantum-internet-testbed"


class Fit(StrEnum):
    """How an approach stands for a segment."""

    CHOSEN = "chosen"
    POSSIBLE = "possible"
    EXCLUDED = "excluded"
    UNDETERMINED = "undetermined"


class ApproachOption(_Part, frozen=True, kw_only=True):
    """One approach for one segment, with what speaks for it and against it."""

    approach: Approach
    fit: Fit
    reasons: tuple[str, ...]
    objections: tuple[str, ...]


class PositionRef(_Part, frozen=True, kw_only=True):
    """An authority's position on quantum key distribution, with its source."""

    id: str
    authority: str
    stance: Stance
    text: str
    source: str
    as_of: date
    applies: bool


class SegmentDecision(_Part, frozen=True, kw_only=True):
    """The approach for one segment. `questions` are the facts that are missing; `would_change` what would flip it."""

    segment: str
    chosen: Approach
    options: tuple[ApproachOption, ...]
    questions: tuple[str, ...]
    would_change: tuple[str, ...]
    rate: LinkRate | None
    positions: tuple[str, ...]


class MeasureKind(StrEnum):
    """The kinds of work."""

    FIND_OUT = "find-out"
    ASSIGN_OWNER = "assign-owner"
    MIGRATE_KEY_ESTABLISHMENT = "migrate-key-establishment"
    MIGRATE_SIGNATURE = "migrate-signature"
    RETIRE_CLASSICAL = "retire-classical"
    PILOT = "pilot"
    DEPLOY_QUANTUM_LINK = "deploy-quantum-link"


class Measure(_Part, frozen=True, kw_only=True):
    """A piece of work with its dates, its reason, and who does it (None: nobody is named yet).

    `latest_finish` is the earliest deadline of a rule behind it, if there is one; `late` says the finish misses it.
    """

    id: str
    rank: Count
    kind: MeasureKind
    title: str
    subject: str
    owner: str | None
    start: date
    finish: date
    latest_finish: date | None
    late: bool
    depends_on: tuple[str, ...]
    reasons: tuple[str, ...]
    done_when: str
    fallback: str


class Milestone(_Part, frozen=True, kw_only=True):
    """A date by which a set of measures is done."""

    id: str
    title: str
    date: date
    measures: tuple[str, ...]


class Plan(Document, frozen=True, kw_only=True, tag="plan"):
    """The approach of every segment and the dated, ordered measures."""

    decisions: tuple[SegmentDecision, ...]
    measures: tuple[Measure, ...]
    milestones: tuple[Milestone, ...]
    positions: tuple[PositionRef, ...]
    assumptions: tuple[Assumption, ...]


# 5 Pilot: proved


class CriterionState(StrEnum):
    """How a pilot did against one criterion."""

    MET = "met"
    MISSED = "missed"
    NOT_MEASURED = "not-measured"


class CriterionResult(_Part, frozen=True, kw_only=True):
    """One success criterion with its goal, the measured value, and why it was not measured if it was not."""

    name: str
    goal: str
    state: CriterionState
    measured: Measured[Estimate | None]
    reason: Measured[str] = ""


class PilotEvent(_Part, frozen=True, kw_only=True):
    """Something that happened in the campaign, and what the consumer saw."""

    name: str
    at_s: Measured[float]
    seen: str


class CutEvidence(_Part, frozen=True, kw_only=True):
    """What consumers got while the quantum link was cut. The counts of old and zero keys must be 0."""

    requests: Measured[Count]
    refused_with_503: Measured[Count]
    keys_from_stock: Measured[Count]
    handshakes_without_key: Count
    old_keys: Count
    zero_keys: Count
    consumer_error: str
    recovered: bool
    recovery_s: Measured[float | None]


class PilotReport(Document, frozen=True, kw_only=True, tag="pilot-report"):
    """One campaign on one segment: the modelled rate, what was measured, and the scorecard."""

    pilot: str
    segment: str
    rate: LinkRate
    consumer: str
    key_management_entities: Count
    key_exchange: tuple[str, ...]
    secret_key_rate: Measured[Estimate]
    enc_keys: Measured[Estimate]
    dec_keys: Measured[Estimate]
    handshake: Measured[Estimate]
    handshakes: Count
    failed_handshakes: Count
    fresh_key_each: bool
    cut: CutEvidence
    events: tuple[PilotEvent, ...]
    scorecard: tuple[CriterionResult, ...]
    limits: tuple[str, ...]


# 6 Operations: run, evidence


class Figure(_Part, frozen=True, kw_only=True):
    """One number or statement of the report, with the document and field it came from."""

    id: str
    label: str
    value: Measured[str]
    document: str
    pointer: str
    note: str = ""


class ReportMeasure(_Part, frozen=True, kw_only=True):
    """A measure as leadership reads it. `latest_finish` is the deadline behind it, if there is one."""

    id: str
    title: str
    why: str
    owner: str
    finish: date
    late: bool
    latest_finish: date | None = None
    done_when: str = ""
    document: str = "plan"
    pointer: str = ""


class ReportObligation(_Part, frozen=True, kw_only=True):
    """One dated rule of one policy, with how many systems stand where. `standing` says how firm the text is."""

    policy: str
    rule: str
    clause: str
    demand: str
    deadline: date
    binding: bool
    standing: str
    violations: Count
    due: Count
    notices: Count
    undetermined: Count
    met: Count
    document: str
    pointer: str


class VerdictCount(_Part, frozen=True, kw_only=True):
    """How many systems stand where for one function. `mixed`: quantum-safe, but the old way is not ruled out."""

    function: Function
    vulnerable: Count
    unknown: Count
    mixed: Count
    safe: Count
    document: str = "assessment"
    pointer: str = "/findings"


class ControlScope(_Part, frozen=True, kw_only=True):
    """What one control does, and does not do, for each of the four properties."""

    control: str
    confidentiality: str
    integrity: str
    availability: str
    recoverability: str


class StandingAnswer(_Part, frozen=True, kw_only=True):
    """A question that leadership asks, and its answer."""

    question: str
    answer: str


class OperationsReport(Document, frozen=True, kw_only=True, tag="operations-report"):
    """What leadership reads: exposure, what to do first and why, the pilot's scorecard, and what is not known.

    Every figure names its document and the JSON pointer of its source.
    """

    organisation: str
    headline: tuple[Figure, ...]
    exposure: tuple[Figure, ...]
    first_measures: tuple[ReportMeasure, ...]
    approaches: tuple[Figure, ...]
    pilot: tuple[Figure, ...]
    not_covered: tuple[str, ...]
    unknown: tuple[Figure, ...]
    verdicts: tuple[VerdictCount, ...] = ()
    decisions_needed: tuple[Figure, ...] = ()
    obligations: tuple[ReportObligation, ...] = ()
    pilot_limits: tuple[Figure, ...] = ()
    controls: tuple[ControlScope, ...] = ()
    answers: tuple[StandingAnswer, ...] = ()
