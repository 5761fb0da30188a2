"""Document 5: what a pilot showed."""

from enum import StrEnum

from keystrand.model.document import Document, Measured, Part
from keystrand.model.link import LinkRate
from keystrand.model.stages.recorded import CutEvidence, DeedKind
from keystrand.model.units import Count, Estimate

SHARED = "all"
"""Whose deeds are those that serve every consumer."""


class CriterionState(StrEnum):
    """How a pilot did against one criterion."""

    MET = "met"
    MISSED = "missed"
    NOT_MEASURED = "not-measured"


class CriterionResult(Part, frozen=True, kw_only=True):
    """One success criterion with its goal and the measured value.

    `reason` says why it was not measured, or what else belongs to the value. `consumer`: whose it is; empty for the
    link's and the key service's own.
    """

    name: str
    consumer: str = ""
    goal: str
    state: CriterionState
    measured: Measured[Estimate | None]
    reason: Measured[str] = ""

    @property
    def called(self) -> str:
        """Its name, with whose it is."""
        return f"{self.consumer}: {self.name}" if self.consumer else self.name


class PilotEvent(Part, frozen=True, kw_only=True):
    """Something that happened in the campaign, and what the consumer saw."""

    name: str
    at_s: Measured[float]
    seen: str


class LeftOut(Part, frozen=True, kw_only=True):
    """A consumer or an event that was declared and did not run, and why."""

    what: str
    why: str


class EventProof(Part, frozen=True, kw_only=True):
    """One event of the campaign over all its repetitions, in words: what was done, what consumers saw, who alarmed."""

    event: str
    times: Count
    seen: Measured[tuple[str, ...]]
    alarms: Measured[tuple[str, ...]]
    detection: Measured[Estimate | None] = None


class MonitoringGap(Part, frozen=True, kw_only=True):
    """Something that happened and that no alarm told of in time, and what would close the gap."""

    event: str
    what: Measured[str]
    mend: str


class Effort(Part, frozen=True, kw_only=True):
    """What the pilot asked of operators for one consumer (`all`: what they share), while setting up or by an event."""

    consumer: str
    event: str
    kind: DeedKind
    count: Count
    what: tuple[str, ...]


class Integration(Part, frozen=True, kw_only=True):
    """How much one consumer asks for: lines of configuration, programs of others, rights, and how it takes keys."""

    consumer: str
    how: str
    config_lines: Count
    programs: tuple[str, ...]
    needs: tuple[str, ...]


class WithAndWithout(Part, frozen=True, kw_only=True):
    """One quantity of one consumer with keystrand's keys and on the same corridor without.

    `ratio`: by what factor it is typically greater with keys. `baseline`: what ran without, in words.
    """

    consumer: str
    quantity: str
    without: Measured[Estimate | None]
    with_keys: Measured[Estimate | None]
    ratio: Measured[Estimate | None]
    baseline: str = ""
    why_not: Measured[str] = ""


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
    campaign: str = ""
    """The name of the pilot's run, from `pilot.toml`; empty for the short one that needs no file."""
    key_source: str = "twin"
    consumers: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    proofs: tuple[EventProof, ...] = ()
    compared: tuple[WithAndWithout, ...] = ()
    monitoring_gaps: tuple[MonitoringGap, ...] = ()
    effort: tuple[Effort, ...] = ()
    integration: tuple[Integration, ...] = ()
    took_s: Measured[float | None] = None
    goals_set_before: bool = True
    """Whether `pilot.toml` was the same when the campaign ran; False where its record was judged anew by another."""
