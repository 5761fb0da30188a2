"""The six documents, one after the other: each is made from the ones before it."""

from keystrand.model.policy import PolicyState
from keystrand.model.stages.costed import CostReport
from keystrand.model.stages.decided import (
    Approach,
    ApproachOption,
    Fit,
    Measure,
    MeasureKind,
    Milestone,
    Plan,
    PositionRef,
    SegmentDecision,
)
from keystrand.model.stages.judged import (
    Assessment,
    Assumption,
    Exposure,
    Finding,
    PolicyFinding,
    PolicyRef,
    Priority,
    WaiverUse,
)
from keystrand.model.stages.proved import CriterionResult, CriterionState, CutEvidence, PilotEvent, PilotReport
from keystrand.model.stages.seen import Asset, Inventory, Observations, Occurrence, OwnershipGap, SystemView
from keystrand.model.stages.told import (
    ControlScope,
    Figure,
    OperationsReport,
    ReportMeasure,
    ReportObligation,
    StandingAnswer,
    VerdictCount,
)

__all__ = [
    "Approach",
    "ApproachOption",
    "Assessment",
    "Asset",
    "Assumption",
    "ControlScope",
    "CostReport",
    "CriterionResult",
    "CriterionState",
    "CutEvidence",
    "Exposure",
    "Figure",
    "Finding",
    "Fit",
    "Inventory",
    "Measure",
    "MeasureKind",
    "Milestone",
    "Observations",
    "Occurrence",
    "OperationsReport",
    "OwnershipGap",
    "PilotEvent",
    "PilotReport",
    "Plan",
    "PolicyFinding",
    "PolicyRef",
    "PolicyState",
    "PositionRef",
    "Priority",
    "ReportMeasure",
    "ReportObligation",
    "SegmentDecision",
    "StandingAnswer",
    "SystemView",
    "VerdictCount",
    "WaiverUse",
]
