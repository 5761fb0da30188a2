"""Document 4: the approach of every segment and the dated measures."""

from datetime import date
from enum import StrEnum

from keystrand.model.document import Document, Part
from keystrand.model.link import LinkRate
from keystrand.model.policy import Stance
from keystrand.model.stages.judged import Assumption
from keystrand.model.stages.weighed import (
    Approach,
    Bucket,
    Change,
    Classical,
    FunctionChoice,
    Gate,
    Limitation,
    Residual,
    RuleResult,
)
from keystrand.model.units import Count, Interval, Ratio


class Fit(StrEnum):
    """How an approach stands for a segment."""

    CHOSEN = "chosen"
    POSSIBLE = "possible"
    EXCLUDED = "excluded"
    UNDETERMINED = "undetermined"


class ApproachOption(Part, frozen=True, kw_only=True):
    """One approach for one segment, with what speaks for it and against it."""

    approach: Approach
    fit: Fit
    reasons: tuple[str, ...]
    objections: tuple[str, ...]


class PositionRef(Part, frozen=True, kw_only=True):
    """An authority's position on quantum key distribution, with its source."""

    id: str
    authority: str
    stance: Stance
    text: str
    source: str
    as_of: date
    applies: bool
    limitations: tuple[Limitation, ...] = ()


class SegmentDecision(Part, frozen=True, kw_only=True):
    """The approach for one segment. `questions` are the facts that are missing; `would_change` what would flip it.

    `rules` are the rules one by one; `gates` the prohibitions that come before them; `functions` what each function
    gets; `changes` the fewest answers that lead to another approach; `residuals` what each approach leaves open.
    """

    segment: str
    chosen: Approach
    options: tuple[ApproachOption, ...]
    questions: tuple[str, ...]
    would_change: tuple[str, ...]
    rate: LinkRate | None
    positions: tuple[str, ...]
    bucket: Bucket = Bucket.CAN_BECOME_QUANTUM_SAFE
    rules: tuple[RuleResult, ...] = ()
    gates: tuple[Gate, ...] = ()
    functions: tuple[FunctionChoice, ...] = ()
    classical: tuple[Classical, ...] = ()
    changes: tuple[Change, ...] = ()
    residuals: tuple[Residual, ...] = ()


class MeasureKind(StrEnum):
    """The kinds of work."""

    FIND_OUT = "find-out"
    ASSIGN_OWNER = "assign-owner"
    MIGRATE_KEY_ESTABLISHMENT = "migrate-key-establishment"
    MIGRATE_SIGNATURE = "migrate-signature"
    RETIRE_CLASSICAL = "retire-classical"
    PILOT = "pilot"
    DEPLOY_QUANTUM_LINK = "deploy-quantum-link"


class Binding(StrEnum):
    """What keeps a measure from being done earlier."""

    START = "start"
    ORDER = "order"
    CAPACITY = "capacity"
    DEPENDENCY = "dependency"
    VENDOR = "vendor"
    FREEZE = "freeze"
    WINDOW = "window"
    DEADLINE = "deadline"
    ANNOUNCED = "announced"


class DateReason(Part, frozen=True, kw_only=True):
    """Why a measure stands where it stands, and what a quarter later would cost.

    `slip_data_years`: exposure that a slip of a quarter adds, what waits for the measure included, from the low to the
    high threat curve; no figure where the assessment has no curve. `slip_misses`: deadlines missed only through it.
    """

    binding: Binding
    because: str
    slip_data_years: Interval | None
    slip_misses: tuple[str, ...]


class Measure(Part, frozen=True, kw_only=True):
    """A piece of work with its dates, its reason, and who does it (None: nobody is named yet).

    `latest_finish` is the earliest deadline of a rule behind it, if there is one; `late` says the finish misses it.
    `engineers` work on it all the time.
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
    engineers: Count = 1
    why_date: DateReason | None = None


class Milestone(Part, frozen=True, kw_only=True):
    """A date by which a set of measures is done."""

    id: str
    title: str
    date: date
    measures: tuple[str, ...]


class CertificateChange(Part, frozen=True, kw_only=True):
    """A certificate that a phase replaces: what it is, when it ends by itself, who signs it, which measure needs it.

    `renewals`: how often it ends before the measure is done; each renewal still has the old algorithms.
    """

    asset: str
    subject: str
    issuer: str
    not_after: date
    systems: tuple[str, ...]
    measure: str
    renewals: str


class Phase(Part, frozen=True, kw_only=True):
    """Measures of one purpose, with what must hold before it and after it, and what it is worth.

    `sunk`, `avoidable` and `avoided` are data-years: recorded before today, to come without the phase, and saved by it.
    `met`, `missed`: rules that its measures meet in time, and too late. `cost` is filled in by who knows the prices.
    """

    id: str
    title: str
    start: date
    finish: date
    measures: tuple[str, ...]
    entry: tuple[str, ...]
    exit: tuple[str, ...]
    certificates: tuple[CertificateChange, ...]
    fallback: tuple[str, ...]
    rollback: str
    sunk: Interval | None
    avoidable: Interval | None
    avoided: Interval | None
    met: tuple[str, ...]
    missed: tuple[str, ...]
    cost: Interval | None = None


class RoadmapFigures(Part, frozen=True, kw_only=True):
    """How good the dates are. All but counts and ratios in data-years, by the high end of the threat curve.

    `bound`: no roadmap of these measures costs less. `gap`: share of the cost that a better roadmap could save at most.
    `proven`: it is the best. `first_deadline_first`: the exposure if the measures went by their deadlines.
    """

    method: str
    exposure: float
    lateness: float
    surcharge: float
    moves: float
    bound: float
    gap: Ratio
    proven: bool
    late: Count
    moved: Count
    first_deadline_first: float


class Plan(Document, frozen=True, kw_only=True, tag="plan"):
    """The approach of every segment and the dated, ordered measures."""

    decisions: tuple[SegmentDecision, ...]
    measures: tuple[Measure, ...]
    milestones: tuple[Milestone, ...]
    positions: tuple[PositionRef, ...]
    assumptions: tuple[Assumption, ...]
    phases: tuple[Phase, ...] = ()
    roadmap: RoadmapFigures | None = None
