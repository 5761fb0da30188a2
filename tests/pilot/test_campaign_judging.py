"""The record of a campaign against its criteria: worked out by hand, and nothing unmeasured counts as met."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pilot.recorded_campaign import (
    ORIGIN,
    PILOT,
    SERVICE,
    cut,
    cuts,
    flows,
    footings,
    in_band,
    normal,
    plan,
    quiet,
    record,
    rotations,
    run,
)

from keystrand.formats.documents import content_hash, decode, encode
from keystrand.model.errors import InvalidInput
from keystrand.model.pilot import ConsumerKind, EventKind, SourceChoice
from keystrand.model.pilot_criteria import CriterionName
from keystrand.model.stages import CriterionResult, CriterionState, PilotReport
from keystrand.model.stages.recorded import Alarm, DeedKind, Episode, PilotRecord, Seen
from keystrand.pilot.judging import judge

replace = msgspec.structs.replace
MET, MISSED, NOT = CriterionState.MET, CriterionState.MISSED, CriterionState.NOT_MEASURED
N = CriterionName


def judged(made: PilotRecord | None = None) -> PilotReport:
    """Return the report on a record."""
    return judge(PILOT, plan(), made or record(), ORIGIN)


def result(report: PilotReport, name: str, consumer: str = "") -> CriterionResult:
    """Return the one result of a criterion for a consumer."""
    (found,) = [one for one in report.scorecard if one.name == name and one.consumer == consumer]
    return found


def tunnel_result(name: str, made: PilotRecord) -> CriterionResult:
    """Return how the IPsec tunnel did against one criterion in `made`."""
    return result(judged(made), name, "tunnel")


def state(found: CriterionResult) -> tuple[CriterionState, object]:
    """Return state and measured value."""
    return found.state, found.measured.value if found.measured else None


def test_a_campaign_that_went_well_meets_all_it_measured() -> None:
    """Every criterion of all three consumers is met; the value is that of the record, and the rate alone simulated."""
    report = judged()
    assert {one.state for one in report.scorecard} == {MET}
    assert state(result(report, N.ROTATION, "tunnel")) == (MET, pytest.approx(0.1))
    assert state(result(report, N.CLEAR, "tunnel")) == (MET, 0)
    assert [one.name for one in report.scorecard if one.measured and one.measured.simulated] == [N.KEY_RATE]
    assert report.coverage.complete
    assert (report.campaign, report.took_s, report.fresh_key_each) == ("first campaign", 200.0, True)


def test_each_consumer_is_judged_by_what_means_something_for_it() -> None:
    """A consumer in band has no rotations, no packets of its own, no failover; the report says what is left out."""
    report = judged()
    names: dict[str, set[str]] = {one.consumer: set() for one in report.scorecard}
    for one in report.scorecard:
        names[one.consumer].add(one.name)
    assert names["shop"] == {N.GAP, N.THROUGHPUT, N.RECOVERY, N.WRONG_KEYS}
    assert names["tunnel"] == names["second"] >= {N.ROTATION, N.ROTATION_LOSS, N.FAILOVER, N.CLEAR, N.KEY_AGE, N.AUDIT}
    assert any("shop" in limit and "rotat" in limit for limit in report.limits)


def test_the_record_alone_gives_the_report_again() -> None:
    """From its file as from memory; other times with the same outcome say the same."""
    made = record()
    assert judged(decode(encode(made), PilotRecord)) == judged(made)
    slower = replace(made, episodes=(normal(rotations=rotations(took_s=0.2)), *cuts()))
    assert content_hash(judged(slower)) == content_hash(judged(made))


def test_too_few_rotations_show_nothing() -> None:
    """71 rotations bound no 95th percentile from above, 72 do; unless so few were already too slow."""
    for count, expected in ((0, NOT), (71, NOT), (72, MET)):
        made = record(episodes=(normal(rotations=rotations(count)), *cuts()))
        assert tunnel_result(N.ROTATION, made).state is expected
    slow = record(episodes=(normal(rotations=rotations(30, took_s=3.0)), *cuts()))
    assert state(tunnel_result(N.ROTATION, slow)) == (MISSED, 3.0)


def test_an_interval_that_reaches_over_the_goal_misses_and_says_so() -> None:
    """Of 100 rotations four are too slow: the 95th percentile is good, the upper end of its interval is not."""
    made = record(episodes=(normal(rotations=(*rotations(96), *rotations(4, took_s=2.0))), *cuts()))
    found = tunnel_result(N.ROTATION, made)
    assert state(found) == (MISSED, pytest.approx(0.1))
    assert found.measured is not None
    assert found.measured.high == 2.0
    assert "interval reaches" in found.reason


def test_packets_lost_in_rotations_are_counted_in_quiet_times_alone() -> None:
    """80 rotations without a loss: at most 3.69 / 80 each. What a cut loses is no rotation's."""
    made = record(episodes=(normal(), *cuts()))
    found = tunnel_result(N.ROTATION_LOSS, made)
    assert found.measured is not None
    assert (found.measured.value, found.measured.high) == pytest.approx((0, 3.6889 / 80), abs=1e-4)
    heavy = replace(cuts()[0], seen=(cut("tunnel", rotations=rotations(9, lost=500)),))
    assert tunnel_result(N.ROTATION_LOSS, record(episodes=(normal(), heavy))).state is MET
    assert tunnel_result(N.ROTATION_LOSS, record(episodes=(heavy,))).state is NOT
    lossy = record(episodes=(normal(rotations=rotations(lost=2)), *cuts()))
    assert state(tunnel_result(N.ROTATION_LOSS, lossy)) == (MISSED, 2.0)


def test_no_packet_in_clear_counts_only_where_keys_were_kept_away() -> None:
    """25,500 packets after the key was too old, of 36,000 sent in three cuts; else nothing tempts a packet; one that
    leaked misses.
    """
    found = result(judged(), N.CLEAR, "tunnel")
    assert found.measured is not None
    assert found.measured.sample_size == 8000 + 3 * 12_000
    assert "25,500 of them" in found.reason
    assert tunnel_result(N.CLEAR, record(episodes=(normal(),))).state is NOT
    unseen = replace(cuts()[0], seen=(cut("tunnel", in_clear=None),))
    assert tunnel_result(N.CLEAR, record(episodes=(unseen,))).state is NOT
    silent = replace(cuts()[0], seen=(cut("tunnel", tried=0, failed=0, tried_without=0),))
    assert tunnel_result(N.CLEAR, record(episodes=(silent,))).state is NOT
    leak = replace(cuts()[0], seen=(cut("tunnel", in_clear=1),))
    assert state(tunnel_result(N.CLEAR, record(episodes=(leak,)))) == (MISSED, 1)


def test_failover_and_recovery_take_every_outage() -> None:
    """The slowest decides, and its event is named; one that never came misses; without an outage nothing is shown."""
    slow = replace(cuts()[0], event=EventKind.KME_DEATH, seen=(cut("tunnel", failover_s=2.5, recovery_s=10.5),))
    made = record(episodes=(normal(), *cuts()[1:], slow))
    for name in (N.FAILOVER, N.RECOVERY):
        found = tunnel_result(name, made)
        assert (found.state, found.reason) == (MISSED, "beyond it: kme-death")
        assert tunnel_result(name, record(episodes=(normal(),))).state is NOT
    never = replace(cuts()[0], seen=(cut("tunnel", recovery_s=None, waited_s=11.0),))
    assert "no fresh key within 11 s" in tunnel_result(N.RECOVERY, record(episodes=(never,))).reason
    impatient = replace(cuts()[0], seen=(cut("tunnel", recovery_s=None, waited_s=9.0),))
    assert tunnel_result(N.RECOVERY, record(episodes=(impatient,))).state is NOT


def test_a_consumer_must_go_over_to_what_its_policy_names() -> None:
    """One that should fall back and stopped misses; one whose key's age is not known is no measurement."""
    stopped = cut("second", footings=footings("fresh", "invalid", "fresh"))
    found = result(judged(record(episodes=cuts(stopped))), N.FAILOVER, "second")
    assert found.state is MISSED
    assert found.reason == "3 of 3 times it did not go over to what fallback-pqc names: link-cut"
    undated = replace(cuts()[0], seen=(cut("tunnel", failover_s=None),))
    assert tunnel_result(N.FAILOVER, record(episodes=(undated,))).state is NOT
    silent = replace(cuts()[0], seen=(cut("tunnel", failover_s=None, footings=()),))
    assert tunnel_result(N.FAILOVER, record(episodes=(silent,))).state is MISSED


def test_silence_is_judged_while_the_policy_lets_traffic_run() -> None:
    """fail-secure may stop in an outage, fallback-pqc may not, until its time is up; nobody passes a cut carrier."""
    report = judged()
    assert result(report, N.GAP, "tunnel").reason == "3 events aside in which it has to stop"
    on_fallback = result(report, N.GAP, "second").measured
    assert on_fallback is not None
    assert (on_fallback.low, on_fallback.value, on_fallback.high, on_fallback.sample_size) == (0.05, 0.1, 0.1, 4)
    stopped = record(episodes=cuts(cut("second", longest_gap_s=8.0, footings=footings("fresh", "invalid", "fresh"))))
    assert state(result(judged(stopped), N.GAP, "second")) == (MISSED, 8.0)
    up = tuple(replace(change, at_s=20.0 * n) for n, change in enumerate(footings("fresh", "substitute")))
    late = (*up, replace(up[-1], footing="invalid", at_s=80.0))
    ended = record(episodes=cuts(cut("second", longest_gap_s=8.0, footings=late)))
    assert result(judged(ended), N.GAP, "second").state is NOT
    early = record(episodes=cuts(cut("second", longest_gap_s=8.0, footings=(*up, replace(late[-1], at_s=30.0)))))
    assert result(judged(early), N.GAP, "second").state is MISSED
    carrier = replace(cuts()[0], event=EventKind.CARRIER_CUT, seen=(quiet("second", longest_gap_s=8.0),))
    assert result(judged(record(episodes=(carrier,))), N.GAP, "second").state is NOT


def test_a_policy_may_let_a_key_serve_longer() -> None:
    """hold-until-ttl is judged by its ttl where that is longer; any other by the criterion."""
    old = replace(cuts()[0], seen=(cut("tunnel", oldest_key_s=7.0),))
    assert tunnel_result(N.KEY_AGE, record(episodes=(old,))).state is MISSED
    held = record(episodes=(old,), consumers=(run("tunnel", ConsumerKind.IPSEC, "hold-until-ttl", may_serve_s=8.0),))
    found = tunnel_result(N.KEY_AGE, held)
    assert (found.state, found.goal) == (MET, "at most 8 s, as hold-until-ttl says")


def test_throughput_is_judged_by_the_lower_end() -> None:
    """Half as fast meets a goal of a half not quite: the interval reaches below. Too few samples show nothing."""
    made = record(flows=(*flows("tunnel", slower=1.99),))
    found = tunnel_result(N.THROUGHPUT, made)
    assert found.measured is not None
    assert found.measured.low < 0.5 < found.measured.value < found.measured.high
    assert (found.state, "interval reaches" in found.reason) == (MISSED, True)
    few = tuple(replace(one, bits_per_s=one.bits_per_s[:3]) for one in flows("tunnel"))
    assert tunnel_result(N.THROUGHPUT, record(flows=few)).state is NOT
    untried = (flows("tunnel")[0], replace(flows("tunnel")[1], not_measured="no iperf3 here"))
    assert tunnel_result(N.THROUGHPUT, record(flows=untried)).reason == "no iperf3 here"
    assert tunnel_result(N.THROUGHPUT, record(flows=())).state is NOT


def test_a_change_without_an_audit_line_misses() -> None:
    """79 of 80 changes are not all; no change at all shows nothing."""
    assert state(tunnel_result(N.AUDIT, record(episodes=(normal(audited=79),)))) == (MISSED, pytest.approx(79 / 80))
    assert tunnel_result(N.AUDIT, record(episodes=(normal(changes=0, audited=0),))).state is NOT


def test_a_key_given_twice_misses() -> None:
    """One wrong key among many, and also where it is the only one."""
    assert state(tunnel_result(N.WRONG_KEYS, record(episodes=(normal(wrong_keys=1),)))) == (MISSED, 1)
    assert state(tunnel_result(N.WRONG_KEYS, record(episodes=(normal(wrong_keys=1, rotations=()),)))) == (MISSED, 1)


def test_a_packet_or_a_failure_is_no_key_that_was_seen() -> None:
    """A tunnel's keys are its rotations, and its packets show none; in band a try that failed used no key."""
    found = tunnel_result(N.WRONG_KEYS, record(episodes=(normal(),)))
    assert found.measured
    assert (found.state, found.measured.sample_size) == (MET, 80)
    assert "cannot be seen" in found.reason
    assert tunnel_result(N.WRONG_KEYS, record(episodes=(normal(rotations=()),))).state is NOT
    for failed, expected in ((199, MET), (200, NOT)):
        shop = Episode(event=EventKind.NORMAL, number=1, seen=(in_band(failed=failed),))
        assert result(judged(record(episodes=(shop,))), N.WRONG_KEYS, "shop").state is expected


def test_a_fault_that_nobody_told_of_is_a_gap_with_what_would_close_it() -> None:
    """The alarm of one cut came after 9 s, that of another never: missed, and a gap in monitoring."""
    first, second, third = cuts()
    late = replace(first, alarms=tuple(replace(alarm, after_s=9.0) for alarm in first.alarms))
    made = judged(record(episodes=(normal(), late, replace(second, alarms=()), third)))
    (gap,) = made.monitoring_gaps
    assert gap.what == "2 of 3 times no alarm within 5 s: 1 time never, first after 9 s"
    assert "link" in gap.mend
    assert result(made, N.DETECTION).state is MISSED
    assert judged().monitoring_gaps == ()
    assert result(judged(record(episodes=(normal(),))), N.DETECTION).state is NOT


def test_an_alarm_of_quiet_times_tells_of_no_fault() -> None:
    """What rings anyhow, with other numbers, is no detection; alarms that differ in numbers alone are told once."""
    ringing = (Alarm(after_s=0.1, who="agent a", text="1 keys are not retired yet"),)
    noisy = tuple(replace(ringing[0], after_s=n, text=f"{n} keys are not retired yet") for n in (1, 2))
    made = record(episodes=(replace(normal(), alarms=ringing), *(replace(one, alarms=noisy) for one in cuts())))
    report = judged(made)
    assert result(report, N.DETECTION).state is MISSED
    assert [gap.event for gap in report.monitoring_gaps] == ["link-cut"]
    assert report.proofs[1].alarms == ("agent a: 1 keys are not retired yet",)
    unheard = record(episodes=(normal(), *(replace(one, alarms=noisy) for one in cuts())))
    assert result(judged(unheard), N.DETECTION).state is MET


def test_without_quiet_times_no_alarm_is_known_to_tell_of_a_fault() -> None:
    """It may ring always: not measured. That a fault raised none at all is known all the same."""
    assert result(judged(record(episodes=cuts())), N.DETECTION).state is NOT
    silent = tuple(replace(one, alarms=()) for one in cuts())
    assert result(judged(record(episodes=silent)), N.DETECTION).state is MISSED


def test_what_did_not_run_is_named_and_shows_nothing() -> None:
    """A consumer without rights, an event without a command, one that the record does not have."""
    consumers = (run("shop", ConsumerKind.TLS), run("tunnel", ConsumerKind.IPSEC, "fail-secure", not_run="not root"))
    unable = Episode(event=EventKind.KME_DEATH, number=1, not_run="no command is given")
    report = judged(record(consumers=consumers, episodes=(unable,)))
    left = {one.what: one.why for one in report.left_out}
    assert left["consumer tunnel"] == "not root"
    assert left["event kme-death"] == "no command is given"
    assert {"consumer second", "event normal", "event link-cut"} <= set(left)
    of_tunnel = [one for one in report.scorecard if one.consumer == "tunnel"]
    assert {(one.state, one.reason) for one in of_tunnel} == {(NOT, "it did not run: not root")}
    assert report.consumers == ("shop (tls)",)
    assert not report.coverage.complete
    assert [one.consumer for one in report.integration] == ["shop"]


def test_without_a_cut_and_without_tls_the_key_service_is_not_measured() -> None:
    """No evidence is made up: a cut of no requests, and reasons for each criterion."""
    service = replace(SERVICE, cut=None, handshakes=0, failed_handshakes=0, handshakes_ms=(), enc_keys_ms=(), key_ids=0)
    report = judged(record(key_service=service))
    assert report.cut.requests == 0
    assert not report.fresh_key_each
    for name in (N.HANDSHAKE, N.KEY_DELIVERY, N.CUT_RECOVERY, N.FAILED_HANDSHAKES):
        assert result(report, name).state is NOT
        assert result(report, name).reason


def test_keys_of_a_vendor_are_measured_not_simulated() -> None:
    """The same rates from a vendor's devices are measurements, and the limits are others."""
    report = judged(record(source=SourceChoice.VENDOR))
    assert not report.secret_key_rate.simulated
    rate = result(report, N.KEY_RATE)
    assert rate.measured is not None
    assert not rate.measured.simulated
    assert not any("simulated" in limit for limit in report.limits)


def test_effort_and_integration_are_sums_of_deeds() -> None:
    """42 lines for the tunnel, one shared command, two restarts by the same event."""
    report = judged()
    rows = [(one.consumer, one.event, one.kind, one.count, len(one.what)) for one in report.effort]
    assert rows == [
        ("tunnel", "", DeedKind.CONFIG_LINES, 42, 2), ("all", "", DeedKind.COMMAND, 1, 1),
        ("tunnel", "agent-death", DeedKind.RESTART, 2, 1),
    ]  # fmt: skip
    assert [(one.consumer, one.config_lines) for one in report.integration] == [
        ("shop", 0), ("tunnel", 42), ("second", 0),
    ]  # fmt: skip


def test_the_corridor_without_keys_stands_beside_it() -> None:
    """WireGuard took 1.1 times as long and passed 1 / 1.1 of the bits; each with what it is compared with."""
    rows = {(one.consumer, one.quantity): one for one in judged().compared}
    slower, thinner = rows["second", "time of an operation"], rows["second", "throughput"]
    assert slower.ratio is not None
    assert thinner.ratio is not None
    assert slower.ratio.value == pytest.approx(1.1)
    assert thinner.ratio.value == pytest.approx(1 / 1.1)
    assert slower.without is not None
    assert slower.without.value == pytest.approx(10.45)
    assert slower.without.unit == "ms"
    assert slower.baseline == "the same without keys"


def test_proofs_tell_what_consumers_saw() -> None:
    """Event by event: the footings, the traffic, the times, the packets in clear, and the alarms."""
    proof = next(one for one in judged().proofs if one.event == "link-cut")
    assert proof.times == 3
    said = {words.partition(":")[0]: words for words in proof.seen}
    assert "went over to no key, then fresh keys" in said["tunnel"]
    assert "the post-quantum fallback" in said["second"]
    assert "0 packets in clear" in said["tunnel"]
    assert "24,000 of 36,000 tries failed" in said["tunnel"]
    assert proof.alarms == ("link: no block from the link",)


def test_papers_of_different_pilots_are_not_mixed() -> None:
    """The record of another pilot is refused."""
    with pytest.raises(InvalidInput, match="other"):
        judged(record(pilot="other"))


numbers = st.one_of(st.none(), st.floats(0, 100))
seens = st.builds(
    Seen,
    consumer=st.sampled_from(["shop", "tunnel", "second"]), tried=st.integers(0, 10**6), failed=st.just(0),
    tried_without=st.integers(0, 9), longest_gap_s=numbers, in_clear=st.one_of(st.none(), st.integers(0, 3)),
    outage=st.booleans(), failover_s=numbers, recovery_s=numbers, waited_s=st.floats(0, 100),
    oldest_key_s=numbers, changes=st.integers(0, 9), audited=st.integers(0, 9), wrong_keys=st.integers(0, 1),
    rotations=st.lists(st.floats(0, 5), max_size=90).map(lambda times: tuple(
        replace(one, took_s=took_s) for one, took_s in zip(rotations(len(times)), times, strict=True))),
    footings=st.lists(st.sampled_from(["fresh", "invalid", "substitute", "held"]), max_size=4).map(
        lambda names: footings(*names)),
)  # fmt: skip
episodes = st.lists(
    st.builds(
        Episode, event=st.sampled_from(EventKind), number=st.just(1), seen=st.lists(seens, max_size=3).map(tuple)
    ),
    max_size=4,
).map(tuple)


@settings(max_examples=40)
@given(episodes)
def test_whatever_was_recorded_is_judged_soundly(seen: tuple[Episode, ...]) -> None:
    """Ends in order, a document that survives its file, and nothing met without a measurement or over its goal."""
    report = judged(record(episodes=seen))
    assert decode(encode(report), PilotReport) == report
    for one in report.scorecard:
        assert one.state is not MET or (one.measured is not None and one.measured.sample_size)
        assert one.state is MET or one.reason or one.measured
        if one.measured:
            assert one.measured.low <= one.measured.value <= one.measured.high
    leaks = sum(s.in_clear or 0 for e in seen for s in e.seen if s.consumer == "tunnel")
    assert not leaks or result(report, N.CLEAR, "tunnel").state is MISSED
    exercised = any(s.tried_without and s.tried and s.in_clear is not None for e in seen for s in e.seen
                    if s.consumer == "tunnel")  # fmt: skip
    assert leaks or exercised == (result(report, N.CLEAR, "tunnel").state is MET)
