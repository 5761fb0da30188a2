"""The record of a small campaign, made by hand: what its tests change a piece of."""

from datetime import UTC, date, datetime

from keystrand.formats.pilot_toml import pilot_plan_from_toml
from keystrand.model.document import FORMAT_VERSION, Coverage
from keystrand.model.pilot import ConsumerKind, Criteria, EventKind, Pilot, PilotPlan, SourceChoice
from keystrand.model.stages.recorded import (
    Alarm,
    CutEvidence,
    Deed,
    DeedKind,
    Episode,
    Flow,
    FootingChange,
    KeyService,
    PilotRecord,
    Rotation,
    RunConsumer,
    Seen,
)
from keystrand.pilot.judging import Origin
from keystrand.qkd.decoy import rate
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

MADE = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
ORIGIN = Origin(as_of=date(2026, 11, 26), made_from=(), created_at=MADE, tool_version="0")
PILOT = Pilot(
    id="corridor", name="Corridor", segment="dc-metro",
    criteria=Criteria(
        secret_key_rate_min_bits_per_s=1000, handshake_median_max_ms=50, key_delivery_median_max_ms=20,
        recovery_max_s=10,
    ),
)  # fmt: skip
PLAN_TEXT = """pilot = "corridor"
name = "first campaign"

[[consumer]]
id = "shop"
kind = "tls"

[[consumer]]
id = "tunnel"
kind = "ipsec"
policy = "fail-secure"

[[consumer]]
id = "second"
kind = "wireguard"
policy = "fallback-pqc"
fallback_most_s = 60.0

[[event]]
kind = "normal"

[[event]]
kind = "link-cut"
times = 3

[criteria]
rotation_p95_max_s = 1.0
rotation_lost_max_packets = 1.0
failover_max_s = 2.0
traffic_gap_max_s = 1.0
key_age_max_s = 5.0
throughput_min_ratio = 0.5
detection_max_s = 5.0
recovery_max_s = 10.0
"""


def plan() -> PilotPlan:
    """Return how the pilot is run."""
    return pilot_plan_from_toml(PLAN_TEXT, "pilot.toml", ["corridor"])


def rotations(count: int = 80, *, took_s: float = 0.1, lost: int | None = 0) -> tuple[Rotation, ...]:
    """Return equal rotations, one after another."""
    return tuple(Rotation(at_s=1.5 * n, took_s=took_s, lost=lost) for n in range(count))


def quiet(consumer: str, **changed: object) -> Seen:
    """Return what a consumer sees in quiet times."""
    seen: dict[str, object] = {
        "consumer": consumer, "tried": 8000, "failed": 0, "longest_gap_s": 0.05, "in_clear": 0, "oldest_key_s": 1.8,
        "rotations": rotations(), "changes": 80, "audited": 80,
    }  # fmt: skip
    return Seen(**seen | changed)  # type: ignore[arg-type]  # each case states only what it is about


def cut(consumer: str, **changed: object) -> Seen:
    """Return what a tunnel sees while its keys are kept away: it stops in time, and comes back."""
    seen: dict[str, object] = {
        "consumer": consumer, "tried": 12_000, "failed": 8000, "tried_without": 8500, "longest_gap_s": 8.0,
        "in_clear": 0, "outage": True, "failover_s": 0.2, "recovery_s": 1.5, "waited_s": 1.5,
        "oldest_key_s": 4.1, "changes": 3, "audited": 3,
        "footings": footings("fresh", "invalid", "fresh"),
    }  # fmt: skip
    return Seen(**seen | changed)  # type: ignore[arg-type]  # as above


def footings(*names: str) -> tuple[FootingChange, ...]:
    """Return changes of footing, five seconds apart."""
    return tuple(FootingChange(at_s=5.0 * n, footing=name, label="") for n, name in enumerate(names))


def in_band(**changed: object) -> Seen:
    """Return what the consumer in band sees."""
    seen: dict[str, object] = {"consumer": "shop", "tried": 200, "failed": 0, "longest_gap_s": 0.1}
    return Seen(**seen | changed)  # type: ignore[arg-type]  # as above


def cuts(second: Seen | None = None) -> tuple[Episode, ...]:
    """Return three cuts of the link, each told of by an alarm."""
    on_fallback = second or cut(
        "second", failed=1, longest_gap_s=0.1, footings=footings("fresh", "substitute", "fresh"), oldest_key_s=3.0
    )
    return tuple(
        Episode(
            event=EventKind.LINK_CUT, number=n, began_s=20.0 * n, undone_s=20.0 * n + 8, ended_s=20.0 * n + 11,
            seen=(in_band(failed=90, outage=True, longest_gap_s=6.0, recovery_s=0.5, waited_s=0.5), cut("tunnel"),
                  on_fallback),
            alarms=(Alarm(after_s=1.0 + n, who="link", text="no block from the link"),),
        )
        for n in (1, 2, 3)
    )  # fmt: skip


def normal(**of_tunnel: object) -> Episode:
    """Return the quiet times; `of_tunnel` changes what the IPsec tunnel saw."""
    return Episode(
        event=EventKind.NORMAL, number=1, began_s=0.0, undone_s=8.0, ended_s=8.0,
        seen=(in_band(), quiet("tunnel", **of_tunnel), quiet("second")),
    )  # fmt: skip


def flows(consumer: str, *, slower: float = 1.0, packets: bool = True) -> tuple[Flow, Flow]:
    """Return what a consumer does on the quiet corridor, without keys and with."""
    base = [0.010 + 0.0001 * n for n in range(10)]
    bits = [3e8 + 1e6 * n for n in range(10)] if packets else []
    return (
        Flow(consumer=consumer, plain=True, how="the same without keys", tried=10, operation_s=tuple(base),
             bits_per_s=tuple(bits)),
        Flow(consumer=consumer, plain=False, how="with keys", tried=10, operation_s=tuple(slower * x for x in base),
             bits_per_s=tuple(x / slower for x in bits)),
    )  # fmt: skip


def run(consumer: str, kind: ConsumerKind, policy: str = "", **changed: object) -> RunConsumer:
    """Return a consumer as it was run."""
    agent = bool(policy)
    said: dict[str, object] = {
        "id": consumer, "kind": kind, "policy": policy, "max_age_s": 4.0 if agent else None,
        "may_serve_s": 4.0 if agent else None, "how": f"{kind} takes keys", "programs": (f"{kind}-program",),
        "needs": ("root",) if agent else (),
    }  # fmt: skip
    return RunConsumer(**said | changed)  # type: ignore[arg-type]  # as above


EVIDENCE = CutEvidence(
    requests=90, refused_with_503=60, keys_from_stock=30, handshakes_without_key=0, old_keys=0, zero_keys=0,
    consumer_error="no key", recovered=True, recovery_s=3.0,
)  # fmt: skip
SERVICE = KeyService(
    secret_key_rates_bits_per_s=(1500.0, 1600.0, 1700.0), enc_keys_ms=(4.0, 5.0), dec_keys_ms=(6.0, 7.0),
    handshakes_ms=(10.0, 20.0, 30.0), handshakes=3, failed_handshakes=0, key_ids=3, key_exchange=("X25519MLKEM768",),
    cut=EVIDENCE,
)  # fmt: skip
DEEDS = (
    Deed(kind=DeedKind.CONFIG_LINES, what="connection file", count=30, consumer="tunnel"),
    Deed(kind=DeedKind.CONFIG_LINES, what="agent's table", count=12, consumer="tunnel"),
    Deed(kind=DeedKind.COMMAND, what="keystrand pki make"),
    Deed(kind=DeedKind.RESTART, what="start the agent", consumer="tunnel", event="agent-death"),
    Deed(kind=DeedKind.RESTART, what="start the agent", consumer="tunnel", event="agent-death"),
)


def record(**changed: object) -> PilotRecord:
    """Return the record of a campaign that went well, with `changed` fields."""
    said: dict[str, object] = {
        "format_version": FORMAT_VERSION, "tool_version": "0", "as_of": ORIGIN.as_of, "created_at": MADE,
        "made_from": (), "seed": None, "coverage": Coverage(unit="event", looked_at=4, answered=4),
        "pilot": "corridor", "name": "first campaign", "segment": "dc-metro", "source": SourceChoice.TWIN,
        "source_words": "the twin of the link", "rate": rate(PLANNING_1GHZ.at(12.0)), "key_service": SERVICE,
        "consumers": (run("shop", ConsumerKind.TLS), run("tunnel", ConsumerKind.IPSEC, "fail-secure"),
                      run("second", ConsumerKind.WIREGUARD, "fallback-pqc")),
        "episodes": (normal(), *cuts()),
        "flows": (*flows("shop", packets=False), *flows("tunnel"), *flows("second", slower=1.1)),
        "deeds": DEEDS, "limits": ("both sites were one machine",), "took_s": 200.0,
    }  # fmt: skip
    return PilotRecord(**said | changed)  # type: ignore[arg-type]  # as above
