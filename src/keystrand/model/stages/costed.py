"""Cost of a plan over its whole life, what it saves for the effort it brings, and which parts are worth it."""

from datetime import date
from enum import StrEnum

from keystrand.model.document import Document, Measured, Part
from keystrand.model.prices import CostCategory
from keystrand.model.stages.judged import Assumption
from keystrand.model.stages.weighed import Approach
from keystrand.model.units import Count, Estimate, Interval


class OptionKind(StrEnum):
    """What can be done as a whole. Doing nothing and post-quantum cryptography only are always among it."""

    DO_NOTHING = "do-nothing"
    PQC_ONLY = "pqc-only"
    PLAN = "plan"


class CategoryCost(Part, frozen=True, kw_only=True):
    """The present value of one category over the horizon."""

    category: CostCategory
    cost: Estimate


class CostOption(Part, frozen=True, kw_only=True):
    """One option with its whole cost.

    `cost`: present value in money of today. `by_year`: money of each year, inflation included, 5th to 95th percentile.
    `saved`: data-years that are not readable any more; `operation`: person-hours a year once all is done.
    `unverified_share`: of the cost, by its mean, that rests on unverified defaults. `usable` says whether the totals
    may be used for a decision; `fill_in` names the prices to get first, those with the largest part first.
    """

    option: OptionKind
    cost: Estimate
    by_year: tuple[Interval, ...]
    by_category: tuple[CategoryCost, ...]
    saved: Estimate
    operation: Estimate
    unverified_share: float
    usable: bool
    fill_in: tuple[str, ...]


class PhaseCost(Part, frozen=True, kw_only=True):
    """The present value of one phase of the plan, what it keeps costing included."""

    phase: str
    title: str
    cost: Estimate


class CostComparison(Part, frozen=True, kw_only=True):
    """Two options over the same draws. `cheaper`: in which share of the scenarios `option` costs less than `other`."""

    option: OptionKind
    other: OptionKind
    cheaper: float
    difference: Estimate


class ScenarioCost(Part, frozen=True, kw_only=True):
    """What the options cost where one thing is held at its 90th percentile."""

    scenario: str
    what: str
    option: OptionKind
    cost: Estimate


class Swing(Part, frozen=True, kw_only=True):
    """What one input moves in the cost of the plan, in present value.

    `alone`: it goes from its 10th to its 90th percentile, all others at their mean. `together`: the mean of the
    scenarios in which it is at most its 10th, and at least its 90th percentile, with all that moves with it.
    """

    input: str
    name: str
    low_at: float
    high_at: float
    unit: str
    alone: tuple[float, float]
    together: tuple[float, float]


class InformationWorth(Part, frozen=True, kw_only=True):
    """What knowing one input for sure would be worth at most, in money, to somebody undecided between two options."""

    input: str
    name: str
    worth: float
    share: float


class Information(Part, frozen=True, kw_only=True):
    """What to find out before a decision: a link on a segment beyond post-quantum cryptography, or the whole migration.

    `price_per_data_year`: where both are worth the same on average; there, knowing more is worth most. `perfect`: the
    worth of knowing everything.
    """

    subject: str
    question: str
    price_per_data_year: float
    perfect: float
    inputs: tuple[InformationWorth, ...]


class Standing(StrEnum):
    """How one way stands beside the others for a segment."""

    BASE = "base"
    EFFICIENT = "efficient"
    DOMINATED = "dominated"
    EXTENDEDLY_DOMINATED = "extendedly-dominated"


class SegmentWay(Part, frozen=True, kw_only=True):
    """One approach for one segment; None is to leave it as it is.

    `saved_per_hour`: what it saves more than the efficient way before it, for each further person-hour a year.
    `stays`: the share of scenarios in which it is efficient. `against`: what dominates it.
    """

    segment: str
    approach: Approach | None
    planned: bool
    saved: Estimate
    operation: Estimate
    cost: Estimate
    standing: Standing
    saved_per_hour: Estimate | None
    stays: float
    against: str


class FrontierStep(Part, frozen=True, kw_only=True):
    """The next best thing to do: `subject` is a system, or a segment that gets a quantum link. The sums run on."""

    step: Count
    subject: str
    what: str
    saved_per_hour: Estimate
    saved: Estimate
    operation: Estimate
    cost: Estimate


class Portfolio(Part, frozen=True, kw_only=True):
    """The best choice within the limits, by expected values.

    Nothing else that fits saves more on average, but for the share `gap` at most; 0 is proven best.

    `committed_cost` and `committed_operation` are for signatures, owners and enquiries: they are not weighed in
    data-years, and come first; `within` says whether they alone fit. `per_hour` and `per_money` are the shadow prices:
    what one more hour a year, or one more unit of money, would save (of the relaxed problem, in which things may be
    done by halves).
    """

    budget: float | None
    operating_hours_per_year: float | None
    committed_cost: float
    committed_operation: float
    within: bool
    systems: tuple[str, ...]
    links: tuple[tuple[str, Approach], ...]
    left_out: Count
    expected_saved: float
    expected_cost: float
    expected_operation: float
    gap: float
    saved: Estimate
    cost: Estimate
    operation: Estimate
    per_hour: float | None
    per_money: float | None


class PilotEvidence(Part, frozen=True, kw_only=True):
    """What a pilot on `segment` showed of a figure that the cost assumes: `bears_on` is a rate's id or a category.

    `subject`: the consumer or event it speaks of; empty for the whole pilot.
    """

    pilot: str
    segment: str
    as_of: date
    bears_on: str
    subject: str
    shown: Measured[str]


class CostReport(Document, frozen=True, kw_only=True, tag="cost"):
    """The cost of the plan in `currency`, beside doing nothing and post-quantum cryptography only.

    `data_year`: the unit of what is saved. `scenarios` is the number of draws.
    """

    currency: str
    scenarios: Count
    data_year: str
    sunk_data_years: Interval
    options: tuple[CostOption, ...]
    phases: tuple[PhaseCost, ...]
    comparisons: tuple[CostComparison, ...]
    named_scenarios: tuple[ScenarioCost, ...]
    swings: tuple[Swing, ...]
    information: tuple[Information, ...]
    ways: tuple[SegmentWay, ...]
    steps: tuple[FrontierStep, ...]
    steps_not_listed: Count
    portfolio: Portfolio | None
    assumptions: tuple[Assumption, ...]
    shown: tuple[PilotEvidence, ...] = ()
    """By the pilot of this estate, where there was one."""
