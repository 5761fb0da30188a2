"""The target state: what each system and segment is to become, by when, and how it will be seen that it has."""

from datetime import date
from enum import StrEnum

from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import Document, Measured, Part
from keystrand.model.stages.judged import Assumption
from keystrand.model.stages.weighed import Approach
from keystrand.model.units import Answer


class TargetKind(StrEnum):
    """What a system or a segment is to become for one function."""

    POST_QUANTUM = "post-quantum"
    QUANTUM_LINK = "quantum-link"
    RESEARCH = "research"
    CLASSICAL = "stays-classical"
    UNDECIDED = "undecided"


class TargetLine(Part, frozen=True, kw_only=True):
    """The target of one function of one system or segment. Key establishment and signatures have lines of their own.

    `today` is the verdict of the assessment, None for a segment. `algorithms` are families with their standards. `by`
    is the day on which the last `measure` behind it ends, None where the plan has none; a segment without a quantum
    link is there when its last system is. `reached`: nothing is to be done. `until` and `compensating`: for what stays
    classical, when that ends and what protects it meanwhile.
    """

    id: str
    noun: str
    subject: str
    function: Function
    today: Verdict | None
    target: TargetKind
    approach: Approach
    algorithms: tuple[str, ...]
    reached: bool
    by: date | None
    measure: str | None
    owner: str | None
    until: date | None
    compensating: str | None
    reason: str


class Protection(Part, frozen=True, kw_only=True):
    """Physical protection that a quantum link needs at one site, or (site None) on its route.

    `ready`: whether the estate says that the ground for it is there.
    """

    id: str
    segment: str
    site: str | None
    needs: tuple[str, ...]
    ready: Answer
    reason: str


class CriterionKind(StrEnum):
    """What success is measured by."""

    QUANTUM_SAFE = "quantum-safe"
    ROTATION = "rotation"
    KEY_AGE = "key-age"
    FAILOVER = "failover"
    RECOVERY = "recovery"
    AUDIT = "audit"
    KEY_RATE = "key-rate"
    HANDSHAKE = "handshake"
    KEY_DELIVERY = "key-delivery"
    FAILED_HANDSHAKES = "failed-handshakes"


class SuccessCriterion(Part, frozen=True, kw_only=True):
    """One success criterion with its bound, at least or at most. `basis` says where the bound comes from.

    Pilots and operations refer to it by `id`. `subject`: segment/ID or system/ID. `measured_by` names who measures it:
    pilot, operations, or inventory. `assumed`: nobody has set the bound yet; it is a proposal of keystrand. `shown`:
    what a pilot on the segment measured, and whether that is within the bound; empty where none did.
    """

    id: str
    subject: str
    kind: CriterionKind
    at_least: float | None
    at_most: float | None
    unit: str
    measured_by: tuple[str, ...]
    basis: str
    assumed: bool
    shown: Measured[str] = ""


class TargetDocument(Document, frozen=True, kw_only=True, tag="target"):
    """The target state, made from the plan: targets, physical protection, and the criteria that decide success."""

    targets: tuple[TargetLine, ...]
    protections: tuple[Protection, ...]
    criteria: tuple[SuccessCriterion, ...]
    assumptions: tuple[Assumption, ...]
