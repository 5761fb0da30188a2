"""Faults over time, and the reports drawn from what they leave of a link."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, norm

from keystrand.model.telemetry import LinkTelemetry
from keystrand.qkd import faults
from keystrand.qkd.attacks import Blinding, InterceptResend
from keystrand.qkd.bb84_link import KEY, TEST, Bb84Link, Receiver, Transmitter
from keystrand.qkd.coexistence import Classical, Gate, background_with, raman_yield
from keystrand.qkd.distillation import Distillation
from keystrand.qkd.faults import AnyFault, LinkState, link_at
from keystrand.qkd.observables import Device, drawn, telemetry
from keystrand.qkd.response import honest, shown
from keystrand.qkd.sifted import sifted

LINK = Bb84Link(
    transmitter=Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.001), probabilities=(0.7, 0.2, 0.1)),
    receiver=Receiver(
        efficiency=0.1, dark_count_ratio=1e-6, misalignment=0.015, dead_time_s=1e-8, afterpulse_ratio=0.02
    ),
    channel_loss_db=10.0,
)
DEVICE = Device(link="a", current=True, distillation=Distillation())
FOREVER: list[AnyFault] = [
    faults.FibreBend(start_s=10.0, loss_db=1.7),
    faults.FibreBend(start_s=20.0, loss_db=0.3, ramp_s=100.0),
    faults.ConnectorAgeing(start_s=0.0, db_per_year=0.3),
    faults.PolarisationDrift(start_s=5.0, misalignment=0.02, ramp_s=30.0),
    faults.PolarisationDrift(start_s=6.0, misalignment=0.03),
    faults.Heat(start_s=0.0, rise_k=5.0),
    faults.Heat(start_s=1.0, rise_k=3.1),
    faults.DetectorDegradation(start_s=0.0, lost_ratio=0.1, added_afterpulse_ratio=0.01),
    faults.DetectorDegradation(start_s=3.0, lost_ratio=0.2, added_afterpulse_ratio=0.02),
    faults.RamanNoise(start_s=0.0, classical=Classical(co_propagating_mw=0.01), length_km=40.0),
    faults.RamanNoise(start_s=2.0, classical=Classical(counter_propagating_mw=0.02), length_km=40.0),
]


@given(st.permutations(FOREVER), st.floats(0, 1e6))
@settings(deadline=None)
def test_the_order_of_faults_does_not_matter(listed: list[AnyFault], at_s: float) -> None:
    """To the last bit."""
    assert link_at(LINK, listed, at_s) == link_at(LINK, FOREVER, at_s)


def test_faults_of_a_kind_add_up_as_physics_says() -> None:
    """Decibels and kelvins add, errors and clicks combine as independent events, efficiencies multiply."""
    made = link_at(LINK, FOREVER, 200.0)
    receiver = made.link.receiver
    assert made.link.channel_loss_db == pytest.approx(12.0 + 0.3 * 200 / faults.YEAR_S)
    once = 0.015 * 0.98 + 0.985 * 0.02
    assert receiver.misalignment == pytest.approx(once * 0.97 + (1 - once) * 0.03)
    assert made.temperature_c == pytest.approx(33.1)
    assert receiver.dark_count_ratio == pytest.approx(1e-6 * 2**0.81)
    assert receiver.efficiency == pytest.approx(0.1 * 0.9 * 0.8)
    assert receiver.afterpulse_ratio == pytest.approx(1 - 0.98 * 0.99 * 0.98)
    noise = [raman_yield(Classical(co_propagating_mw=0.01), Gate(), 40.0, 0.2)]
    noise.append(raman_yield(Classical(counter_propagating_mw=0.02), Gate(), 40.0, 0.2))
    assert made.link.background_ratio == pytest.approx(float(background_with(*noise)))
    assert made.up
    assert made.distilling
    assert "fibre bend" in made.reason


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e5))
@settings(max_examples=50, deadline=None)
def test_a_fault_rises_stays_and_goes(start: float, duration: float, ramp: float, recovery: float, at_s: float) -> None:
    """Its level is 0 before and long after, never outside 0..1, and whole when the ramp is over."""
    fault = faults.FibreBend(start_s=start, duration_s=duration, ramp_s=ramp, recovery_s=recovery, loss_db=1.0)
    assert 0 <= fault.level(at_s) <= 1
    assert fault.level(start + duration + recovery + 1) == 0
    if at_s < start:
        assert fault.level(at_s) == 0
    for_good = msgspec.structs.replace(fault, duration_s=None)
    assert for_good.level(start + ramp + 1) == 1
    assert link_at(LINK, [fault], start + duration + recovery + 1) == LinkState(LINK)


def test_straight_lines_up_and_down() -> None:
    """Half of the ramp is half of the fault, and so is half of the recovery."""
    fault = faults.FibreBend(start_s=100.0, duration_s=100.0, ramp_s=20.0, recovery_s=50.0, loss_db=2.0)
    found = [link_at(LINK, [fault], at_s).link.channel_loss_db for at_s in (99.0, 110.0, 120.0, 199.0, 225.0, 250.0)]
    assert found == pytest.approx([10.0, 11.0, 12.0, 12.0, 11.0, 10.0])


@pytest.mark.parametrize(
    ("fault", "up", "planned", "distilling"),
    [
        (faults.Cut(start_s=0.0), False, False, False),
        (faults.Maintenance(start_s=0.0), False, True, False),
        (faults.ClassicalOutage(start_s=0.0), True, False, False),
        (faults.ClockLoss(start_s=0.0), True, False, False),
        (faults.Heat(start_s=0.0, rise_k=15.5), False, False, False),
        (faults.Heat(start_s=0.0, rise_k=14.5), True, False, True),
    ],
)
def test_what_makes_no_key(fault: AnyFault, *, up: bool, planned: bool, distilling: bool) -> None:
    """Down, planned, or up without distilling; the reason is said."""
    made = link_at(LINK, [fault], 1.0)
    assert (made.up, made.planned, made.distilling) == (up, planned, distilling)
    assert made.reason
    report = telemetry(DEVICE, made, 60.0, 60.0, np.random.default_rng(1))
    assert (report.secret_key_rate_bits_per_s == 0) == (not distilling)
    assert bool(report.counts) == up


def test_without_a_clock_half_is_wrong_and_every_gain_is_the_mean() -> None:
    """What is counted belongs to other pulses."""
    state = link_at(LINK, [faults.ClockLoss(start_s=0.0)], 1.0)
    state.response().check()
    lost, kept = (shown(x, LINK.transmitter.intensities) for x in (state.response(), honest(LINK)))
    for basis in (KEY, TEST):
        assert np.allclose(lost.qber[:, basis, basis], 0.5)
        mean = np.dot(LINK.transmitter.probabilities, kept.gain[:, basis, basis])
        assert np.allclose(lost.gain[:, basis, basis], mean, rtol=1e-9)


@pytest.mark.parametrize("attacked", [False, True])
def test_drawn_counts_are_those_expected(*, attacked: bool) -> None:
    """Over all counts of a draw of 10^10 pulses chi-square is not extreme, honest or attacked."""
    response = InterceptResend(fraction=0.3).apply(LINK, honest(LINK)) if attacked else honest(LINK)
    pulses = 10**10
    made, expected = drawn(LINK, response, pulses, np.random.default_rng(4)), sifted(LINK, response)
    score = []
    for name in ("key", "key_errors", "test", "test_errors"):
        mean = pulses * getattr(expected, name)
        score.extend((getattr(made, name) - mean) / np.sqrt(mean))
    score.append((made.clicks - pulses * expected.clicks) / np.sqrt(pulses * expected.clicks))
    doubles = pulses * expected.clicks * expected.double_ratio
    score.append((made.doubles - doubles) / np.sqrt(doubles))
    kept = int((made.key + made.test).sum())
    score.append((made.ones - kept * expected.ones_ratio) / np.sqrt(kept / 4))
    assert 1e-3 < chi2.sf(np.square(score).sum(), len(score)) < 1 - 1e-3
    assert norm.sf(np.abs(score)).min() > 1e-4
    assert made.sent.sum() == pulses


def test_one_state_of_the_generator_gives_one_report() -> None:
    """Reports are reproducible, and what a device does not have it does not report."""
    one, other = (telemetry(DEVICE, LinkState(LINK), 60.0, 60.0, np.random.default_rng(9)) for _ in range(2))
    assert one == other
    assert isinstance(one, LinkTelemetry)
    poor = Device(link="a", counts=False, doubles=False, temperature=False, loss=False)
    bare = telemetry(poor, LinkState(LINK), 60.0, 60.0, np.random.default_rng(9))
    assert bare.counts == ()
    for name in ("double_click_ratio", "temperature_c", "channel_loss_db", "receiver_current_a"):
        assert getattr(bare, name) is None
    assert bare.secret_key_rate_bits_per_s is None
    assert bare.qber == one.qber


def test_bright_light_shows_in_the_current_alone() -> None:
    """Blinding light is hundreds of times the current of the clicks."""
    made = Blinding(imitates_doubles=True)
    state, rng = LinkState(LINK), np.random.default_rng(2)
    quiet = telemetry(DEVICE, state, 60.0, 60.0, rng)
    blind = telemetry(DEVICE, state, 120.0, 60.0, rng, response=made.apply(LINK, honest(LINK)), light_w=made.light_w)
    assert quiet.receiver_current_a is not None
    assert blind.receiver_current_a is not None
    assert blind.receiver_current_a > 300 * quiet.receiver_current_a
    assert blind.qber == pytest.approx(quiet.qber, rel=0.05)
    assert blind.sifted_rate_bits_per_s == pytest.approx(quiet.sifted_rate_bits_per_s, rel=0.01)


def test_alice_reports_the_intensities_she_believes_in() -> None:
    """A stronger source shows as more counts under the old names."""
    strong = msgspec.structs.replace(LINK.transmitter, intensities=(0.6, 0.12, 0.001))
    state = LinkState(msgspec.structs.replace(LINK, transmitter=strong))
    report = telemetry(DEVICE, state, 60.0, 60.0, np.random.default_rng(2), believed=LINK.transmitter)
    assert [one.intensity for one in report.counts] == list(LINK.transmitter.intensities)


@pytest.mark.parametrize("at_s", [-1.0, float("nan"), float("inf")])
def test_times_that_cannot_be(at_s: float) -> None:
    """Before the start, none and never."""
    with pytest.raises(ValueError, match="no time"):
        link_at(LINK, [], at_s)


@pytest.mark.parametrize(
    "read",
    [
        {"type": "fibre-bend", "start_s": -1.0, "loss_db": 1.0},
        {"type": "fibre-bend", "start_s": 0.0, "loss_db": float("nan")},
        {"type": "fibre-bend", "start_s": 0.0},
        {"type": "heat", "start_s": 0.0, "rise_k": 1000.0},
        {"type": "detector-degradation", "start_s": 0.0, "lost_ratio": 1.5},
        {"type": "polarisation-drift", "start_s": 0.0, "misalignment": 0.6},
        {"type": "cut", "start_s": 0.0, "durations_s": 5.0},
        {"type": "earthquake", "start_s": 0.0},
    ],
)
def test_faults_that_cannot_be(read: dict[str, object]) -> None:
    """Ranges, names and kinds are checked where faults are read; good ones come back as they were."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(read, AnyFault)
    for one in itertools.islice(FOREVER, 3):
        assert msgspec.json.decode(msgspec.json.encode(one), type=AnyFault) == one
