"""Document 5: what a pilot showed."""

from enum import StrEnum

from keystrand.model.document import Document, Measured, Part
from keystrand.model.link import LinkRate
from keystrand.model.units import Count, Estimate


class CriterionState(StrEnum):
    """How a pilot did against one criterion."""

    MET = "met"
    MISSED = "missed"
    NOT_MEASURED = "not-measured"


class CriterionResult(Part, frozen=True, kw_only=True):
    """One success criterion with its goal and the measured value.

    `reason` says why it was not measured, or what else belongs to the value.
    """

    name: str
    goal: str
    state: CriterionState
    measured: Measured[Estimate | None]
    reason: Measured[str] = ""


class PilotEvent(Part, frozen=True, kw_only=True):
    """Something that happened in the campaign, and what the consumer saw."""

    name: str
    at_s: Measured[float]
    seen: str


class CutEvidence(Part, frozen=True, kw_only=True):
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
