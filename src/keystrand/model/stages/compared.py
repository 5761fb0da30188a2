"""Vendors compared: what each answered, what of it is proven, and how far the order can be trusted."""

from enum import StrEnum

from keystrand.model.document import Document, Part
from keystrand.model.stages.judged import Assumption
from keystrand.model.units import Answer, Count, Interval, Ratio
from keystrand.model.vendor import EvidenceLevel, Offer


class GateState(StrEnum):
    """How an offer stands at a must-have. What is not known is asked, and never failed."""

    PASSED = "passed"
    FAILED = "failed"
    ASK = "ask"


class Standing(StrEnum):
    """Whether an offer is in the comparison: out by a must-have, in with must-haves still to be asked, or in."""

    IN = "in"
    ASK = "ask"
    OUT = "out"


class GateResult(Part, frozen=True, kw_only=True):
    """One must-have and how the offer stands there."""

    requirement: str
    state: GateState
    wanted: str
    reason: str


class AnswerWorth(Part, frozen=True, kw_only=True):
    """One requirement: what was said, and its worth from 0 to 1 as said (`raw`) and as proven (`supported`).

    `level` is None where nothing was said; `question` is what to find out, empty where nothing is open.
    """

    requirement: str
    said: str
    level: EvidenceLevel | None
    raw: Interval
    supported: Interval
    reason: str
    question: str


class SegmentFit(Part, frozen=True, kw_only=True):
    """Whether what was said to a requirement is enough on the worst span of a segment, and why."""

    requirement: str
    segment: str
    loss_db: float
    length_km: float
    enough: Answer
    reason: str


class VendorResult(Part, frozen=True, kw_only=True):
    """One vendor. Scores are shares of the whole weight, 0 to 1.

    `raw` takes every answer as true, `supported` counts it by its evidence; an open question spans what it could still
    bring. `best_rank` and `worst_rank` are those the `supported` ranges allow, None where the offer is out.
    `first_ratio`: in what share of drawn weights and open answers nobody is ahead of it. `beaten_by`: offers that are
    surely no dearer and no less proven. `questions` are open; `notes` tell of answers that disagree, or did not count.
    """

    vendor: str
    name: str
    offer: str
    standing: Standing
    gates: tuple[GateResult, ...]
    raw: Interval
    supported: Interval
    best_rank: Count | None
    worst_rank: Count | None
    first_ratio: Ratio | None
    price: Offer | None
    beaten_by: tuple[str, ...]
    answers: tuple[AnswerWorth, ...]
    segments: tuple[SegmentFit, ...]
    questions: tuple[str, ...]
    notes: tuple[str, ...]


class WeightRange(Part, frozen=True, kw_only=True):
    """The weights of one requirement for which the first stays first, all others held. `high` None: no upper end."""

    requirement: str
    weight: float
    share: Ratio
    low: float
    high: float | None


class Swap(Part, frozen=True, kw_only=True):
    """Two neighbours in the order that may change places within the change of weights that was tried."""

    ahead: str
    behind: str


class VendorComparison(Document, frozen=True, kw_only=True, tag="vendor-comparison"):
    """The vendors in the order of what their evidence supports today, those that are out last.

    `segments_judged` is None where there was no plan to say which segments may and should have a quantum link.
    `first` is None where two or more share the first place, or none is in. `swaps`: neighbours whose order some change
    of the weights by up to `weight_change` each, all at once, turns round; empty: the order holds.
    """

    segments_judged: Count | None
    vendors: tuple[VendorResult, ...]
    first: str | None
    weights: tuple[WeightRange, ...]
    weight_change: Ratio
    swaps: tuple[Swap, ...]
    draws: Count
    assumptions: tuple[Assumption, ...]
