"""Document 6: what leadership and auditors read."""

from datetime import date

from keystrand.model.algorithm import Function
from keystrand.model.document import Document, Measured, Part
from keystrand.model.units import Count


class Figure(Part, frozen=True, kw_only=True):
    """One number or statement of the report, with the document and field it came from."""

    id: str
    label: str
    value: Measured[str]
    document: str
    pointer: str
    note: str = ""


class ReportMeasure(Part, frozen=True, kw_only=True):
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


class ReportObligation(Part, frozen=True, kw_only=True):
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


class VerdictCount(Part, frozen=True, kw_only=True):
    """How many systems stand where for one function. `mixed`: quantum-safe, but the old way is not ruled out."""

    function: Function
    vulnerable: Count
    unknown: Count
    mixed: Count
    safe: Count
    document: str = "assessment"
    pointer: str = "/findings"


class ControlScope(Part, frozen=True, kw_only=True):
    """What one control does, and does not do, for each of the four properties, and what it leaves open where."""

    control: str
    confidentiality: str
    integrity: str
    availability: str
    recoverability: str
    covers: str = ""
    endpoint: str = ""
    insider: str = ""
    malware: str = ""
    misconfiguration: str = ""


class StandingAnswer(Part, frozen=True, kw_only=True):
    """A question that leadership asks, and its answer."""

    question: str
    answer: str


class OperationsReport(Document, frozen=True, kw_only=True, tag="operations-report"):
    """What leadership reads: exposure, what to do first and why, the pilot's scorecard, and what is not known.

    Every figure names its document and the JSON pointer of its source. `notice` stands above everything where a reader
    must know something first, such as that stand-ins answered for the estate's servers.
    """

    organisation: str
    notice: str = ""
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
