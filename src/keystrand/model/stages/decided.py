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
from keystrand.model.units import Count


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


class Measure(Part, frozen=True, kw_only=True):
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


class Milestone(Part, frozen=True, kw_only=True):
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
