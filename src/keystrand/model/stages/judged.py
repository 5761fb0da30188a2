"""Document 3: the inventory, judged."""

from datetime import date
from enum import StrEnum

from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import Document, Part
from keystrand.model.observation import Strength
from keystrand.model.policy import DatePrecision, Effect, Force, PolicyState, Status, ThreatCurve, Verification
from keystrand.model.units import Answer, Count, Interval, Ratio


class PolicyFinding(Part, frozen=True, kw_only=True):
    """One rule against one finding.

    `state` is what holds without any waiver; `waiver` is the one in force that covers it, if there is one.
    """

    policy: str
    rule: str
    clause: str
    effect: Effect
    state: PolicyState
    deadline: date
    precision: DatePrecision = DatePrecision.DAY
    waiver: str = ""
    reason: str


class Finding(Part, frozen=True, kw_only=True):
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


class Exposure(Part, frozen=True, kw_only=True):
    """Harvest-now-decrypt-later exposure of one data class in one system (Mosca's x, y and z as distributions).

    Ratios are probabilities; `data_years` are expected years of readable data per year of production, from the low
    threat curve with the shortest times to the high one with the longest. `sunk` was recorded before `as_of` and no
    migration removes it; `avoidable` is still to come. `shelf_life_range_years`: where the retention is not one number.
    `..._evenly`: with both times spread evenly over their ranges, so that only the threat curve is left as a range.
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
    shelf_life_range_years: Interval | None = None
    shelf_life_exceeds_horizon_evenly: Interval | None = None
    avoidable_evenly_data_years: Interval | None = None

    @property
    def shelf_life(self) -> Interval:
        """Return how long the data must stay secret, in years, as a range with equal ends where it is one number."""
        return self.shelf_life_range_years or Interval(low=self.shelf_life_years, high=self.shelf_life_years)


class Trusted(StrEnum):
    """What a signature is trusted for. Code and firmware are trusted now and forged later, on devices in the field."""

    SIGNATURE = "signature"
    CODE_SIGNING = "code-signing"
    FIRMWARE = "firmware"


class Forgeable(Part, frozen=True, kw_only=True):
    """Authenticity of one system that signs, apart from confidentiality: nothing of it is harvested or sunk.

    `trusted_until_years`: until the last verifier stops accepting the old algorithm, from the system itself or from an
    issuer it depends on. `held_by` names what keeps the trust alive longest, at the far end of the range: systems, or
    verifiers in the field. `service_years`: expected years in which a signature could be forged and is still trusted.
    """

    system: str
    trusted_for: Trusted
    own_change_years: Interval
    trusted_until_years: Interval
    held_by: tuple[str, ...]
    service_years: Interval
    verdict: Verdict


class RankRange(Part, frozen=True, kw_only=True):
    """Where a system stands by its avoidable exposure when the horizon and the times vary: never one number.

    `low` and `high`: 5th and 95th percentile of its rank over the draws, 1 being the most exposed. `first_tenth`: the
    share of the draws in which it is among the most exposed tenth of the systems.
    """

    system: str
    low: Count
    high: Count
    first_tenth: Ratio


class Priority(Part, frozen=True, kw_only=True):
    """Where a system stands in the order of work, and why. `tier` groups those whose order the inputs do not settle."""

    rank: Count
    tier: Count
    system: str
    reasons: tuple[str, ...]


class PolicyRef(Part, frozen=True, kw_only=True):
    """A policy that took part, with what a reader needs to judge it. `remarks`: why it can give a notice at most."""

    id: str
    name: str
    status: Status
    force: Force
    verification: Verification
    as_of: date
    expires: date | None = None
    source: str
    binding: bool
    remarks: tuple[str, ...] = ()


class WaiverUse(Part, frozen=True, kw_only=True):
    """A waiver of the estate on the day of the judgement, and how many rules against findings it covers.

    `violations` are those that count as violations without it. One that is not `in_force` covers none.
    """

    id: str
    policy: str
    owner: str
    reason: str
    granted: date
    expires: date
    in_force: bool
    violations: Count
    others: Count


class Assumption(Part, frozen=True, kw_only=True):
    """Something the result rests on that nobody measured here."""

    name: str
    value: str
    source: str


class Assessment(Document, frozen=True, kw_only=True, tag="assessment"):
    """Findings with verdicts, exposures, and the order of work.

    `curve`: the threat curve that the exposures rest on, whole, so that later stages judge dates by the same one.
    """

    findings: tuple[Finding, ...]
    exposures: tuple[Exposure, ...]
    priorities: tuple[Priority, ...]
    policies: tuple[PolicyRef, ...]
    waivers: tuple[WaiverUse, ...] = ()
    assumptions: tuple[Assumption, ...]
    curve: ThreatCurve | None = None
    forgeable: tuple[Forgeable, ...] = ()
    exposure_ranks: tuple[RankRange, ...] = ()
