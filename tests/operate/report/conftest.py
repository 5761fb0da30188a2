"""What was decided and proved at the regional bank, and the report on it."""

from datetime import UTC, date, datetime

import pytest

from keystrand.edge.catalogue import controls
from keystrand.model.document import FORMAT_VERSION, Coverage, InputRef
from keystrand.model.estate import (
    Estate,
    System,
)
from keystrand.model.link import LinkParameters, LinkRate
from keystrand.model.policy import Stance
from keystrand.model.stages import (
    Approach,
    ApproachOption,
    Assessment,
    Assumption,
    CriterionResult,
    CriterionState,
    CutEvidence,
    Fit,
    Inventory,
    Measure,
    MeasureKind,
    Milestone,
    OperationsReport,
    PilotReport,
    Plan,
    PositionRef,
    SegmentDecision,
)
from keystrand.model.units import Estimate
from keystrand.operate.report import make_report

AS_OF = date(2026, 11, 24)
MADE = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
_CHOSEN = (
    Approach.QKD_FIBRE,
    Approach.QKD_TRUSTED_NODE,
    Approach.PQC_ONLY,
    Approach.HYBRID,
    Approach.PQC_ONLY,
    Approach.PQC_ONLY,
    Approach.PQC_ONLY,
    Approach.QUANTUM_INTERNET_TESTBED,
)
"""The approach of each segment of the estate, in its order."""


def _ref(kind: str) -> InputRef:
    return InputRef(kind=kind, content_sha256="ab" * 32, file_sha256="cd" * 32)


def link_rate() -> LinkRate:
    """Return what a model says of a 14 km link."""
    parameters = LinkParameters(
        channel_loss_db=3.1,
        pulse_rate_hz=1e8,
        signal_intensity=0.5,
        decoy_intensity=0.1,
        receiver_efficiency=0.1,
        background_yield=1e-6,
        misalignment=0.01,
        correction_efficiency=1.16,
        basis_match=0.5,
    )
    return LinkRate(
        model="decoy-state BB84",
        source="Lo, Ma, Chen 2005",
        secret_key_rate_bits_per_s=91234.0,
        sifted_rate_bits_per_s=400000.0,
        qber=0.013,
        limit_bits_per_s=1e6,
        limited_by="the detectors",
        parameters=parameters,
    )


def _decision(n: int, segment: str) -> SegmentDecision:
    chosen = _CHOSEN[n]
    quantum = chosen not in (Approach.PQC_ONLY, Approach.QUANTUM_INTERNET_TESTBED)
    options = (
        ApproachOption(
            approach=chosen,
            fit=Fit.CHOSEN,
            reasons=(
                "dedicated fibre, one span, and the operation team accepts the extra work"
                if quantum
                else "software on both ends is enough, and no question is open",
            ),
            objections=("a cut fibre stops new keys, so a fallback must be agreed",) if quantum else (),
        ),
        ApproachOption(
            approach=Approach.HYBRID, fit=Fit.POSSIBLE, reasons=("two sources",), objections=("more to run",)
        ),
    )
    return SegmentDecision(
        segment=segment,
        chosen=chosen,
        options=options,
        questions=("Is a dark fibre pair available on this route?", "Who accepts the node?") if n in (1, 4) else (),
        would_change=("a measured loss above 18 dB",) if quantum else (),
        rate=link_rate() if quantum else None,
        positions=("ncsc", "bsi") if quantum else (),
    )


def _measure(n: int, system: System) -> Measure:
    name = system.name
    finish = date(2027 + n // 6, 1 + (n * 5) % 12, 28)
    kind = (MeasureKind.FIND_OUT, MeasureKind.MIGRATE_KEY_ESTABLISHMENT, MeasureKind.MIGRATE_SIGNATURE)[n % 3]
    title = (
        f"Find out what {name} uses",
        f"Move {name} to quantum-safe key exchange",
        f"Change the certificates of {name} up to the root",
    )
    return Measure(
        id=f"m-{n}",
        rank=n + 1,
        kind=kind,
        title=title[n % 3],
        subject=system.id,
        owner=(None, "crypto", "platform", "network")[n % 4],
        start=date(2026 + n // 8, 12 if n < 8 else 2, 1),
        finish=finish,
        latest_finish=date(2030, 12, 31) if n % 2 else None,
        late=bool(n % 2) and finish > date(2030, 12, 31),
        depends_on=(),
        reasons=("data that must stay secret for 30 years crosses the internet", "its deadline is the nearest one"),
        done_when="a scan shows that the old exchange is refused",
        fallback="stay on the old exchange, with a dated waiver",
    )


@pytest.fixture(scope="session")
def plan(estate: Estate) -> Plan:
    """Return a plan with every approach in it and 34 measures, some late and some without an owner."""
    return Plan(
        format_version=FORMAT_VERSION,
        tool_version="0.1.0",
        as_of=AS_OF,
        created_at=MADE,
        made_from=(_ref("assessment"),),
        seed=None,
        coverage=Coverage(unit="segments", looked_at=8, answered=6),
        decisions=tuple(_decision(n, segment.id) for n, segment in enumerate(estate.segment)),
        measures=tuple(_measure(n, estate.system[n % len(estate.system)]) for n in range(34)),
        milestones=(Milestone(id="y2030", title="High risk done", date=date(2030, 12, 31), measures=("m-1",)),),
        positions=(
            PositionRef(
                id="ncsc", authority="UK NCSC", stance=Stance.DISCOURAGES, text="Does not support QKD for government.",
                source="NCSC white paper", as_of=date(2026, 10, 1), applies=False,
            ),
            PositionRef(
                id="bsi", authority="BSI", stance=Stance.LIMITS, text="Sees QKD as a niche beside post-quantum.",
                source="joint position paper", as_of=date(2026, 10, 1), applies=True,
            ),
        ),
        assumptions=(Assumption(name="Team capacity", value="3 measures at once", source="default of the plan"),),
    )  # fmt: skip


def estimate(value: float, unit: str, *, simulated: bool = False) -> Estimate:
    """Return an estimate with a spread of a tenth to either side."""
    return Estimate(
        value=value, low=value * 0.9, high=value * 1.1, sample_size=100, unit=unit, simulated=simulated
    )  # fmt: skip


@pytest.fixture(scope="session")
def pilot() -> PilotReport:
    """Return a pilot with criteria met, missed and not measured, on a simulated link."""
    score = (
        ("Secret key rate", "at least 20,000 bit/s", CriterionState.MET,
         estimate(91234.0, "bit/s", simulated=True), ""),
        ("Handshake, median", "at most 50 ms", CriterionState.MET, estimate(12.34, "ms"), ""),
        ("Key delivery, median", "at most 5 ms", CriterionState.MISSED, estimate(7.91, "ms"), ""),
        ("Recovery after a cut", "at most 10 s", CriterionState.MET, estimate(3.2, "s"), ""),
        ("Operational effort", "at most 2 hours a month", CriterionState.NOT_MEASURED, None,
         "a campaign of minutes cannot show the effort of a month"),
    )  # fmt: skip
    return PilotReport(
        format_version=FORMAT_VERSION,
        tool_version="0.1.0",
        as_of=AS_OF,
        created_at=MADE,
        made_from=(_ref("plan"),),
        seed=7,
        coverage=Coverage(unit="criteria", looked_at=5, answered=4),
        pilot="corridor",
        segment="corridor",
        rate=link_rate(),
        consumer="TLS 1.3 echo with an external key",
        key_management_entities=2,
        key_exchange=("X25519MLKEM768",),
        secret_key_rate=estimate(91234.0, "bit/s", simulated=True),
        enc_keys=estimate(4.31, "ms"),
        dec_keys=estimate(3.9, "ms"),
        handshake=estimate(12.34, "ms"),
        handshakes=100,
        failed_handshakes=0,
        fresh_key_each=True,
        cut=CutEvidence(
            requests=40,
            refused_with_503=28,
            keys_from_stock=12,
            handshakes_without_key=0,
            old_keys=0,
            zero_keys=0,
            consumer_error="no key available (503): check the quantum link",
            recovered=True,
            recovery_s=3.2,
        ),
        events=(),
        scorecard=tuple(
            CriterionResult(name=n, goal=g, state=s, measured=m, reason=r) for n, g, s, m, r in score
        ),
        limits=("no hardware took part", "one consumer, one link, some minutes"),
    )  # fmt: skip


@pytest.fixture(scope="session")
def report(
    estate: Estate, inventory: Inventory, assessment: Assessment, plan: Plan, pilot: PilotReport
) -> OperationsReport:
    """Return the report on the bank."""
    return make_report(
        estate, inventory, assessment, plan, pilot,
        made_from=(_ref("estate"), _ref("inventory"), _ref("assessment"), _ref("plan"), _ref("pilot-report")),
        as_of=AS_OF, created_at=MADE, tool_version="0.1.0", controls=controls(),
    )  # fmt: skip
