"""A small estate, its assessment and its plan, built whole so that every test states only what it is about."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import Coverage
from keystrand.model.estate import Estate
from keystrand.model.policy import Effect, Force, Position, Status, ThreatCurve, Verification
from keystrand.model.stages import (
    Assessment,
    Finding,
    Inventory,
    Measure,
    MeasureKind,
    OwnershipGap,
    Plan,
    PolicyFinding,
    PolicyRef,
    PolicyState,
    Priority,
    SegmentDecision,
)
from keystrand.model.units import Answer
from keystrand.plan.roadmap import DEFAULT_RUN, Run
from keystrand.plan.run import make_plan

AS_OF = date(2026, 11, 24)
HEAD: dict[str, Any] = {"as_of": AS_OF, "made_from": (), "created_at": datetime(2026, 11, 24, tzinfo=UTC)}
SITES = [("north", 48.0, 10.0), ("hub", 48.0, 10.4), ("south", 48.0, 11.0)]
SEGMENT: dict[str, Any] = {
    "id": "corridor", "name": "Corridor", "a": "north", "b": "south", "reach": "metro", "length_km": 80.0,
    "loss_db": 16.0, "loss_basis": "measured", "dark_fibre": "yes", "carrier": "utility", "continuity": "must-continue",
    "key_demand_bits_per_s": 256, "owners": {"link": "network", "governance": "risk"},
    "quantum": {"dedicated_optics": "yes", "trusted_nodes": "yes", "specialised_operation": "yes",
                "accepted_by": "risk"},
}  # fmt: skip
SYSTEM: dict[str, Any] = {
    "id": "replication", "name": "Replication", "place": "replication", "site": "north", "exposure": "internal",
    "functions": ["key-establishment", "signature"], "data_classes": ["ledger"], "segments": ["corridor"],
    "owners": {"algorithms": "crypto", "governance": "risk"}, "migration_years": [1.0, 2.0],
}  # fmt: skip


def _estate(*, systems: list[dict[str, Any]] | None = None, **segment: Any) -> Estate:
    """Return an estate with three sites, one segment (changed by `segment`) and `systems`."""
    raw = {
        "format_version": "1.0",
        "organisation": {"name": "Bank", "sector": segment.pop("sector", "banking")},
        "region": [{"id": "eu", "name": "Germany", "jurisdiction": segment.pop("jurisdiction", "DE")}],
        "trust_zone": [{"id": "core", "name": "Core"}],
        "owner": [{"id": n, "name": n} for n in ("crypto", "network", "risk")],
        "site": [
            {"id": n, "name": n, "kind": "hub", "latitude": lat, "longitude": lon, "region": "eu", "trust_zone": "core",
             "controlled": segment.get("controlled", "yes")}
            for n, lat, lon in SITES
        ],
        "data_class": [{"id": "ledger", "name": "Ledger", "sensitivity": "critical",
                        "retention_years": segment.pop("retention_years", 30)}],
        "system": [SYSTEM] if systems is None else systems,
    }  # fmt: skip
    segment.pop("controlled", None)
    raw["segment"] = [SEGMENT | segment]
    return msgspec.convert(raw, Estate)


def _position(**changes: Any) -> Position:
    """Return an authority's prohibition for everyone in Germany, but for `changes`."""
    raw = {
        "id": "authority", "authority": "Authority", "stance": "prohibits", "jurisdictions": ["DE"],
        "applies_to": "all users", "text": "Not permitted.",
        "source": {"title": "Notice", "publisher": "Authority", "clause": "1", "published": "2025-01-01",
                   "as_of": "2026-01-01", "verification": "secondary"},
    }  # fmt: skip
    return msgspec.convert(raw | changes, Position)


def _rule(deadline: date, **changes: Any) -> PolicyFinding:
    """Return a duty that is due on `deadline`."""
    made = PolicyFinding(
        policy="rules", rule="one", clause="1", effect=Effect.DISALLOW, state=PolicyState.DUE, deadline=deadline,
        reason="",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def _finding(function: Function = Function.KEY_ESTABLISHMENT, **changes: Any) -> Finding:
    """Return a vulnerable finding on the replication, but for `changes`."""
    made = Finding(
        id=f"replication/{function}", system="replication", function=function, verdict=Verdict.QUANTUM_VULNERABLE,
        strength=None, algorithms=("X25519",), assets=(), classical_still_accepted=Answer.YES, policies=(),
        reason="X25519 negotiated",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def _inventory(*gaps: OwnershipGap) -> Inventory:
    """Return an inventory that has nothing but `gaps`."""
    coverage = Coverage(unit="target", looked_at=0, answered=0)
    return Inventory(
        format_version="1.0", tool_version="0", seed=None, coverage=coverage, assets=(), systems=(),
        ownership_gaps=gaps, **HEAD,
    )  # fmt: skip


def _assessment(*findings: Finding, ranks: dict[str, int] | None = None) -> Assessment:
    """Return an assessment with `findings`; its one policy binds."""
    ref = PolicyRef(
        id="rules", name="Rules", status=Status.FINAL, force=Force.LAW, verification=Verification.PRIMARY,
        as_of=AS_OF, source="", binding=True,
    )  # fmt: skip
    order = tuple(
        Priority(rank=n, tier=1, system=s, reasons=("first",))
        for s, n in ({"replication": 1} if ranks is None else ranks).items()
    )
    return Assessment(
        format_version="1.0", tool_version="0", seed=None,
        coverage=Coverage(unit="finding", looked_at=len(findings), answered=len(findings)),
        findings=findings, exposures=(), priorities=order, policies=(ref,), assumptions=(), **HEAD,
    )  # fmt: skip


def _plan(
    of: Estate,
    *findings: Finding,
    positions: tuple[Position, ...] = (),
    gaps: tuple[OwnershipGap, ...] = (),
    ranks: dict[str, int] | None = None,
    curve: ThreatCurve | None = None,
    run: Run = DEFAULT_RUN,
) -> Plan:
    """Return the plan for `of`."""
    judged = msgspec.structs.replace(_assessment(*findings, ranks=ranks), curve=curve)
    return make_plan(of, _inventory(*gaps), judged, positions, tool_version="0", run=run, **HEAD)


def _decision(of: Estate, *positions: Position) -> SegmentDecision:
    """Return the decision on the one segment of `of`."""
    (made,) = _plan(of, positions=positions).decisions
    return made


def _measure(of: Plan, kind: MeasureKind) -> Measure:
    """Return the one measure of `kind`."""
    (made,) = [m for m in of.measures if m.kind is kind]
    return made


@pytest.fixture(scope="session")
def as_of() -> date:
    """Return the day of every plan in these tests."""
    return AS_OF


@pytest.fixture(scope="session")
def curve() -> ThreatCurve:
    """Return a threat curve of two anchors."""
    return msgspec.convert(
        {
            "id": "test", "name": "Test", "origin": "2026-11-24",
            "anchors": [{"years": 5, "low": 0.05, "high": 0.15}, {"years": 15, "low": 0.5, "high": 0.7}],
            "source": {"title": "T", "publisher": "P", "clause": "1", "published": "2026-01-01", "as_of": "2026-01-01",
                       "verification": "primary"},
        },
        ThreatCurve,
    )  # fmt: skip


@pytest.fixture(scope="session")
def segment_row() -> dict[str, Any]:
    """Return the one segment of the estate as its file has it."""
    return SEGMENT


@pytest.fixture(scope="session")
def system_row() -> dict[str, Any]:
    """Return the system of the estate as its file has it."""
    return SYSTEM


@pytest.fixture(scope="session")
def estate() -> Callable[..., Estate]:
    """Return a maker of estates: its systems, and what differs in its segment."""
    return _estate


@pytest.fixture(scope="session")
def plan() -> Callable[..., Plan]:
    """Return a maker of plans: an estate, findings, positions, gaps and ranks."""
    return _plan


@pytest.fixture(scope="session")
def finding() -> Callable[..., Finding]:
    """Return a maker of findings on the replication."""
    return _finding


@pytest.fixture(scope="session")
def rule() -> Callable[..., PolicyFinding]:
    """Return a maker of duties: the day they are due."""
    return _rule


@pytest.fixture(scope="session")
def position() -> Callable[..., Position]:
    """Return a maker of positions: what differs from a prohibition for everyone in Germany."""
    return _position


@pytest.fixture(scope="session")
def decision() -> Callable[..., SegmentDecision]:
    """Return a maker of decisions: an estate, and positions."""
    return _decision


@pytest.fixture(scope="session")
def measure() -> Callable[..., Measure]:
    """Return a function from a plan and a kind to its one measure of that kind."""
    return _measure
