"""What was found at a regional bank, built from the types: the report's tests need no other stage to run."""

from datetime import UTC, date, datetime

import pytest

from keystrand.model.algorithm import Function, Verdict
from keystrand.model.document import FORMAT_VERSION, Coverage, Gap, InputRef
from keystrand.model.estate import (
    DataClass,
    Estate,
    Layer,
    LossBasis,
    Organisation,
    Owner,
    Place,
    Region,
    Segment,
    SegmentReach,
    Sensitivity,
    Site,
    SiteKind,
    System,
    TrustZone,
)
from keystrand.model.estate import (
    Exposure as Network,
)
from keystrand.model.observation import Outcome, Strength
from keystrand.model.policy import Effect, Force, Status, Verification
from keystrand.model.stages import (
    Assessment,
    Assumption,
    Exposure,
    Finding,
    Inventory,
    OwnershipGap,
    PolicyFinding,
    PolicyRef,
    PolicyState,
    Priority,
    SystemView,
)
from keystrand.model.units import Answer, Interval

AS_OF = date(2026, 11, 24)
MADE = datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
_KEX, _SIG = Function.KEY_ESTABLISHMENT, Function.SIGNATURE

_SYSTEMS = (
    ("core-banking-replication", "Core banking replication between the data centres", Place.REPLICATION),
    ("payments-gateway", "Payments gateway", Place.API),
    ("archive-transfer", "Archive transfer to the recovery site", Place.BACKUP_ARCHIVE),
    ("partner-clearing", "Clearing house link", Place.PARTNER_LINK),
    ("online-banking", "Online banking", Place.WEB),
    ("mobile-api", "Mobile banking API", Place.API),
    ("admin-tunnel-a", "Administration tunnel, data centre North", Place.ADMIN_TUNNEL),
    ("admin-tunnel-b", "Administration tunnel, data centre South", Place.ADMIN_TUNNEL),
    ("loan-files", "Loan files", Place.APPLICATION),
    ("customer-records", "Customer records database", Place.DATABASE),
    ("card-issuing", "Card issuing", Place.APPLICATION),
    ("mail-gateway", "Mail gateway", Place.MAIL),
    ("branch-vpn", "Branch VPN", Place.VPN),
    ("code-signing", "Code signing service", Place.CODE_SIGNING),
    ("atm-firmware", "Firmware channel of the cash machines", Place.FIRMWARE),
    ("identity-provider", "Identity provider", Place.IDENTITY),
    ("directory", "Directory service", Place.IDENTITY),
    ("treasury", "Treasury platform", Place.APPLICATION),
    ("fraud-scoring", "Fraud scoring", Place.API),
    ("document-store", "Document store", Place.STORAGE),
    ("monitoring", "Monitoring collectors", Place.MONITORING),
    ("backup-vault", "Backup vault", Place.BACKUP_ARCHIVE),
    ("website", "Public website", Place.WEB),
    ("investor-portal", "Investor portal", Place.WEB),
    ("reporting", "Regulatory reporting", Place.API),
    ("credit-bureau", "Credit bureau connection", Place.PARTNER_LINK),
    ("key-store", "Central key store", Place.STORAGE),
    ("hr-suite", "Personnel suite", Place.APPLICATION),
    ("data-lake", "Data lake", Place.STORAGE),
    ("telephony", "Call centre telephony", Place.APPLICATION),
)
_SITES = (
    ("dc-north", "Data centre North", SiteKind.DATA_CENTRE, 53.5511, 9.9937),
    ("dc-south", "Data centre South", SiteKind.DATA_CENTRE, 53.4610, 9.9830),
    ("recovery", "Recovery site", SiteKind.RECOVERY, 52.3759, 9.7320),
    ("hub-east", "Hub East", SiteKind.HUB, 53.8655, 10.6866),
    ("hub-west", "Hub West", SiteKind.HUB, 53.0793, 8.8017),
    ("clearing", "Clearing house", SiteKind.PARTNER, 50.1109, 8.6821),
    ("mid-way", "Amplifier hall Lüneburg", SiteKind.HUB, 52.8500, 10.2000),
)
_SEGMENTS = (
    ("corridor", "Data centre corridor", "dc-north", "dc-south", (), 14.0),
    ("north-recovery", "North to recovery", "dc-north", "recovery", ("mid-way",), 152.0),
    ("south-recovery", "South to recovery", "dc-south", "recovery", (), 141.0),
    ("east-ring", "Eastern ring", "dc-north", "hub-east", (), 66.0),
    ("west-ring", "Western ring", "dc-north", "hub-west", (), 118.0),
    ("clearing-link", "Clearing link", "recovery", "clearing", (), 352.0),
    ("backup-corridor", "Second corridor", "dc-north", "dc-south", (), 19.0),
    ("testbed", "University testbed", "hub-west", "recovery", (), 124.0),
)


def _functions(n: int) -> tuple[Function, ...]:
    return (_SIG,) if n in (13, 14) else (_KEX, _SIG)


@pytest.fixture(scope="session")
def estate() -> Estate:
    """Return the bank: 30 systems, 7 sites, 8 segments."""
    return Estate(
        format_version="1.0",
        organisation=Organisation(name="Hanse Regional Bank", sector="Banking", obligations=("eu-roadmap",)),
        region=(Region(id="de", name="Germany", jurisdiction="DE"),),
        trust_zone=(TrustZone(id="core", name="Core"),),
        owner=(
            Owner(id="network", name="Network engineering"),
            Owner(id="crypto", name="Cryptography team"),
            Owner(id="platform", name="Platform engineering"),
        ),
        site=tuple(
            Site(id=i, name=n, kind=k, latitude=lat, longitude=lon, region="de", trust_zone="core")
            for i, n, k, lat, lon in _SITES
        ),
        data_class=(
            DataClass(id="contracts", name="Customer contracts", retention_years=30, sensitivity=Sensitivity.CRITICAL),
            DataClass(id="payments", name="Payment records", retention_years=10, sensitivity=Sensitivity.HIGH),
            DataClass(id="logs", name="Operation logs", retention_years=1, sensitivity=Sensitivity.LOW),
        ),
        system=tuple(
            System(id=i, name=n, place=p, site="dc-north", functions=_functions(k), exposure=Network.INTERNET)
            for k, (i, n, p) in enumerate(_SYSTEMS)
        ),
        segment=tuple(
            Segment(
                id=i,
                name=n,
                a=a,
                b=b,
                via=via,
                length_km=km,
                loss_db_per_km=0.22,
                loss_basis=LossBasis.MEASURED if km < 30 else LossBasis.ASSUMED,
                carrier="Regional carrier",
                reach=SegmentReach.METRO if km < 70 else SegmentReach.LONG_HAUL,
            )
            for i, n, a, b, via, km in _SEGMENTS
        ),
    )


@pytest.fixture(scope="session")
def inventory() -> Inventory:
    """Return an inventory whose scan met four gaps, with three layers that nobody owns."""
    gaps = (
        Gap(what="tls-treasury", outcome=Outcome.UNREACHABLE, reason="connection refused"),
        Gap(what="tls-hr", outcome=Outcome.UNREACHABLE, reason="no route"),
        Gap(what="ssh-lake", outcome=Outcome.TIMED_OUT, reason="no answer in 5 s"),
        Gap(what="x509-telephony", outcome=Outcome.UNREADABLE, reason="permission denied"),
    )
    return Inventory(
        format_version=FORMAT_VERSION,
        tool_version="0.1.0",
        as_of=AS_OF,
        created_at=MADE,
        made_from=(_ref("observations"),),
        seed=None,
        coverage=Coverage(unit="targets", looked_at=41, answered=37, gaps=gaps),
        assets=(),
        systems=tuple(SystemView(system=i, assets=(), targets=1, answered=1) for i, _, _ in _SYSTEMS),
        ownership_gaps=(
            OwnershipGap(noun="system", id="hr-suite", layer=Layer.KEYS),
            OwnershipGap(noun="system", id="hr-suite", layer=Layer.ALGORITHMS),
            OwnershipGap(noun="segment", id="testbed", layer=Layer.LINK),
        ),
    )


def _ref(kind: str) -> InputRef:
    return InputRef(kind=kind, content_sha256="ab" * 32, file_sha256="cd" * 32)


def _fading(n: int, lows: tuple[float, ...], highs: tuple[float, ...]) -> Interval:
    return Interval(low=lows[n % 3] / (1 + n / 8), high=highs[n % 3] / (1 + n / 9))


def _verdict(n: int) -> Verdict:
    if n in (17, 27, 28, 29):
        return Verdict.UNKNOWN
    return Verdict.QUANTUM_SAFE if n in (4, 5, 22, 23, 18) else Verdict.QUANTUM_VULNERABLE


def _judged(n: int, function: Function, verdict: Verdict) -> tuple[PolicyFinding, ...]:
    late = function is _KEX and n in (11, 20) and verdict is Verdict.QUANTUM_VULNERABLE
    open_state = {
        Verdict.UNKNOWN: PolicyState.UNDETERMINED,
        Verdict.QUANTUM_SAFE: PolicyState.MET,
        Verdict.QUANTUM_VULNERABLE: PolicyState.DUE,
    }[verdict]
    rows = (
        ("eu-roadmap", "high-risk-2030", "section 4.2", Effect.DISALLOW, open_state, date(2030, 12, 31)),
        ("eu-roadmap", "all-2035", "section 4.3", Effect.DISALLOW, open_state, date(2035, 12, 31)),
        ("nist-ir-8547", "deprecate-112", "section 4.1.1", Effect.DEPRECATE, open_state, date(2030, 12, 31)),
        ("bank-directive", "no-old-tls", "article 9", Effect.REQUIRE,
         PolicyState.VIOLATION if late else PolicyState.NOT_APPLICABLE, date(2026, 1, 1)),
    )  # fmt: skip
    return tuple(
        PolicyFinding(policy=p, rule=r, clause=c, effect=e, state=s, deadline=d, reason="judged in a test")
        for p, r, c, e, s, d in rows
    )


@pytest.fixture(scope="session")
def assessment() -> Assessment:
    """Return a judgement with vulnerable, safe, half-migrated and unknown systems, and 20 exposures."""
    findings = []
    for n, (system, _, _) in enumerate(_SYSTEMS):
        for function in _functions(n):
            verdict = _verdict(n) if function is _KEX or n > 16 else Verdict.QUANTUM_VULNERABLE
            findings.append(
                Finding(
                    id=f"{system}-{function.value}",
                    system=system,
                    function=function,
                    verdict=verdict,
                    strength=Strength.CONFIGURED if n in (13, 14, 21) else Strength.NEGOTIATED,
                    algorithms=("X25519",),
                    assets=(),
                    classical_still_accepted=Answer.YES if n in (4, 22) else Answer.NO,
                    policies=_judged(n, function, verdict),
                    reason="seen in a test",
                )
            )
    exposures = tuple(
        Exposure(
            system=_SYSTEMS[n][0],
            data_class=("contracts", "payments", "logs")[n % 3],
            shelf_life_years=(30.0, 10.0, 1.0)[n % 3],
            migration_years=Interval(low=1.0, high=3.0),
            shelf_life_exceeds_horizon=Interval(low=(0.8512, 0.47, 0.004)[n % 3], high=(0.993, 0.66, 0.02)[n % 3]),
            avoidable_data_years=_fading(n, (15.4, 4.31, 0.002), (27.9, 9.8, 0.01)),
            sunk_data_years=_fading(n, (24.4, 6.31, 0.001), (33.2, 11.8, 0.004)),
            delay_cost_data_years_per_year=Interval(low=3.2 / (1 + n), high=6.6 / (1 + n)),
            verdict=_verdict(n),
        )
        for n in range(20)
    )  # fmt: skip
    return Assessment(
        format_version=FORMAT_VERSION,
        tool_version="0.1.0",
        as_of=AS_OF,
        created_at=MADE,
        made_from=(_ref("inventory"),),
        seed=None,
        coverage=Coverage(unit="systems", looked_at=30, answered=26),
        findings=tuple(findings),
        exposures=exposures,
        priorities=(Priority(rank=1, tier=1, system=_SYSTEMS[0][0], reasons=("long-lived data",)),),
        policies=(
            _policy("eu-roadmap", "EU coordinated roadmap", Force.GUIDANCE, Verification.PRIMARY, binding=True),
            _policy("nist-ir-8547", "NIST IR 8547", Force.STANDARD, Verification.SECONDARY, binding=False),
            _policy("bank-directive", "Banking directive", Force.DIRECTIVE, Verification.PRIMARY, binding=True),
        ),
        assumptions=(
            Assumption(name="Harvest window", value="10 years", source="declared by the assessment"),
            Assumption(name="Threat curve", value="expert survey of 2025, low and high", source="public survey"),
        ),
    )


def _policy(key: str, name: str, force: Force, verification: Verification, *, binding: bool) -> PolicyRef:
    return PolicyRef(
        id=key,
        name=name,
        status=Status.DRAFT if key == "nist-ir-8547" else Status.FINAL,
        force=force,
        verification=verification,
        as_of=date(2026, 10, 1),
        source="publisher, section",
        binding=binding,
    )
