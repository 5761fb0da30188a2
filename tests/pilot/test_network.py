"""The network twin: names are checked, time is exact, faults do what they say, a seed gives one year."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from keystrand.model.telemetry import LinkTelemetry
from keystrand.pilot.network import Network, name_faults
from keystrand.pilot.network_history import history
from keystrand.pilot.network_run import NetworkRun, demand_summaries, link_summaries, run, telemetry
from keystrand.qkd.faults import YEAR_S

HOUR, DAY = 3600.0, 86_400.0
DEVICE = {
    "id": "d",
    "transmitter": {"pulse_rate_hz": 1e9, "intensities": [0.5, 0.1, 0.0], "probabilities": [0.8, 0.15, 0.05]},
    "receiver": {"efficiency": 0.1, "dark_count_ratio": 1e-6, "misalignment": 0.015, "dead_time_s": 5e-8},
}


def network(**more: Any) -> Network:
    """Return a triangle a-b-c, b a trusted node, with one demand from a to c."""
    raw = {
        "name": "triangle",
        "site": [{"id": "a"}, {"id": "b", "trusted_node": True}, {"id": "c"}],
        "device": [DEVICE],
        "link": [
            {"id": "ab", "a": "a", "b": "b", "device": "d", "channel_loss_db": 8.0},
            {"id": "bc", "a": "b", "b": "c", "device": "d", "channel_loss_db": 10.0},
            {"id": "ac", "a": "a", "b": "c", "device": "d", "channel_loss_db": 14.0},
        ],
        "demand": [{"id": "need", "a": "a", "b": "c", "bits_per_s": 1000}],
    }
    return msgspec.convert({**raw, **more}, Network)


def fault(kind: str, start_s: float, duration_s: float, link: str = "ab", **more: float) -> dict[str, Any]:
    """Return a fault of one link as it is declared."""
    return {"link": link, "fault": {"type": kind, "start_s": start_s, "duration_s": duration_s, **more}}


def made(days: float = 1.0, seed: int = 1, *, drawn: bool = False, **more: Any) -> NetworkRun:
    """Return a run of the triangle."""
    return run(network(**more), days * DAY, seed=seed, drawn=drawn)


def test_a_quiet_day() -> None:
    """Every link is up, every need is served by the direct link, no node sees the key."""
    told = made()
    assert all(one.up_ratio == 1.0 and one.blocks_without_key == 0 for one in link_summaries(told))
    (need,) = demand_summaries(told)
    assert need.rerouted_ratio == 0
    assert need.trusted_nodes == ()
    assert need.routes == 2
    # short only until the first block is there
    assert need.longest_shortage_s < 600


def test_a_cut_stops_one_link_and_the_need_goes_round() -> None:
    """Once the direct link's store is used up; its up time is exact to the second, not to the step."""
    told = made(fault=[fault("cut", 6 * HOUR + 7, 6 * HOUR, "ac")], link=[
        {"id": "ab", "a": "a", "b": "b", "device": "d", "channel_loss_db": 8.0},
        {"id": "bc", "a": "b", "b": "c", "device": "d", "channel_loss_db": 10.0},
        {"id": "ac", "a": "a", "b": "c", "device": "d", "channel_loss_db": 14.0, "store_bits": 1e6},
    ])  # fmt: skip
    live = told.history.links[2].live
    assert live.sum() * 60 == pytest.approx(18 * HOUR)
    assert 0 < live[360] < 1
    (need,) = demand_summaries(told)
    assert need.rerouted_ratio > 0.1
    assert need.served_ratio > 0.99


def test_a_site_that_is_out_relays_nothing() -> None:
    """Its links make no key, and what they stored cannot be used."""
    told = made(
        fault=[fault("cut", 0.0, DAY, "ac")], outage=[{"site": "b", "start_s": 12 * HOUR, "duration_s": 2 * HOUR}]
    )
    (need,) = demand_summaries(told)
    assert need.longest_shortage_s == pytest.approx(2 * HOUR, abs=60)
    assert need.trusted_nodes == ()
    assert link_summaries(told)[0].up_ratio == pytest.approx(22 / 24)


def test_a_switch_shares_time_and_a_dead_link_gives_its_turn_away() -> None:
    """Two links on one transmitter: half each, less the changes; all of it when the other is cut."""
    told = made(
        switch=[{"id": "s", "links": ["ab", "bc"], "dwell_s": 100, "change_s": 10}],
        fault=[fault("cut", 0.0, 12 * HOUR)],
    )
    live = told.history.links[1].live
    assert live[:720] == pytest.approx(1.0)
    assert live[720:] == pytest.approx(0.45)


def test_a_slow_fault_is_followed_in_pieces() -> None:
    """A bend that grows over an hour: the error between pieces is small, and both ends are exact."""
    told = history(
        network(fault=[fault("fibre-bend", HOUR, 4 * HOUR, loss_db=3.0, ramp_s=HOUR)]), DAY, np.random.default_rng(1)
    )
    loss = np.array([state.link.channel_loss_db for state in told.states[0]])[told.links[0].steps]
    minutes = np.arange(1440) + 0.5
    expected = 8.0 + 3.0 * np.clip((minutes - 60) / 60, 0, 1) * (minutes < 300)
    assert np.max(np.abs(loss - expected)) <= 3.0 / 20
    assert loss[0] == 8.0
    assert loss[200] == 11.0
    assert loss[-1] == 8.0


def test_random_faults_come_as_often_as_they_should() -> None:
    """Poisson with the declared rate; at least 4 sigma would have to be missed."""
    rate = {"fault": {"type": "cut", "start_s": 0}, "per_year": 40, "mean_duration_s": 600}
    told = history(network(fault_rate=[rate]), 10 * YEAR_S, np.random.default_rng(3))
    count = sum(map(len, told.faults))
    assert abs(count - 1200) < 4 * np.sqrt(1200)
    lasting = np.array([one.duration_s for some in told.faults for one in some])
    assert lasting.mean() == pytest.approx(600, rel=0.15)


def test_a_run_does_not_begin_healthy() -> None:
    """Faults that last half of the time are there in half of the runs' first steps."""
    rate = {"fault": {"type": "cut", "start_s": 0}, "per_year": 365.25, "mean_duration_s": 0.69 * DAY}
    down = [
        history(network(fault_rate=[rate]), 600.0, np.random.default_rng(seed)).links[0].live[0] == 0
        for seed in range(200)
    ]
    # none has begun with probability exp(-0.69): one half
    assert abs(sum(down) - 100) < 4 * np.sqrt(50)


def test_the_same_seed_gives_the_same_run() -> None:
    """And another one another."""
    rate = {"fault": {"type": "cut", "start_s": 0}, "per_year": 200, "mean_duration_s": 6000}
    one, same, other = (made(3, seed, drawn=True, fault_rate=[rate]) for seed in (1, 1, 2))
    assert all(np.array_equal(a.key_bits, b.key_bits) for a, b in zip(one.blocks, same.blocks, strict=True))
    assert not np.array_equal(one.blocks[0].key_bits, other.blocks[0].key_bits)


def test_an_attack_shows_in_the_reports() -> None:
    """Intercept-resend on a tenth of the pulses: both error ratios rise by 2.4 %, and the key is gone."""
    attack = {"type": "intercept-resend", "fraction": 0.1}
    told = made(drawn=True, attack=[{"link": "ab", "start_s": 12 * HOUR, "duration_s": 6 * HOUR, "attack": attack}])
    reports = list(telemetry(told, 0))
    before, during = reports[30], reports[90]
    assert during.qber is not None
    assert before.qber is not None
    assert during.qber - before.qber == pytest.approx(0.1 * (1 - 2 * 0.0165) / 4, rel=0.1)
    assert (during.secret_key_rate_bits_per_s or 0) < 0.7 * (before.secret_key_rate_bits_per_s or 0)


def test_reports_add_up_and_pass_their_own_checks() -> None:
    """They are valid telemetry; counts sum to the rates; a link that is down says so and counts nothing."""
    told = made(drawn=True, fault=[fault("cut", 0.0, 2 * HOUR)])
    reports = list(telemetry(told, 0))
    assert len(reports) == 144
    assert [one.up for one in reports] == [False] * 12 + [True] * 132
    assert reports[0].counts == ()
    assert reports[0].qber is None
    for one in msgspec.json.decode(msgspec.json.encode(reports[20:22]), type=list[LinkTelemetry]):
        key = sum(counted.key for counted in one.counts)
        assert key == pytest.approx((one.sifted_rate_bits_per_s or 0) * one.interval_s, abs=2)


def test_expected_and_drawn_runs_agree() -> None:
    """Over a day the scatter averages out."""
    expected, drawn = (link_summaries(made(drawn=one))[0] for one in (False, True))
    ratio = drawn.secret_key_rate_bits_per_s / expected.secret_key_rate_bits_per_s
    assert ratio == pytest.approx(1, abs=0.005)


LINK = {"id": "ab", "a": "a", "b": "b", "device": "d", "channel_loss_db": 8.0}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"link": [{**LINK, "a": "x"}]}, "no site is called 'x'"),
        ({"link": [{**LINK, "device": "x"}]}, "no device is called 'x'"),
        ({"link": [LINK, LINK]}, "'ab' is used twice"),
        ({"link": [{**LINK, "b": "a"}]}, "same site"),
        ({"demand": [{"id": "n", "a": "a", "b": "x", "bits_per_s": 1}]}, "no site is called 'x'"),
        ({"demand": [{"id": "n", "a": "a", "b": "a", "bits_per_s": 1}]}, "same site"),
        ({"fault": [fault("cut", 0, 1, "x")]}, "no link is called 'x'"),
        ({"fault": [fault("fibre-bend", 0, 30, loss_db=1.0)]}, "less than a step"),
        (
            {"attack": [{"link": "ab", "start_s": 0, "duration_s": 20, "attack": {"type": "intercept-resend"}}]},
            "less than a step",
        ),
        (
            {"fault_rate": [{"fault": {"type": "clock-loss", "start_s": 0}, "per_year": 1, "mean_duration_s": 5}]},
            "less than a step",
        ),
        ({"outage": [{"site": "x", "start_s": 0, "duration_s": 1}]}, "no site is called 'x'"),
        ({"switch": [{"id": "s", "links": ["ab", "ab"], "dwell_s": 9, "change_s": 1}]}, "more than one switch"),
        ({"switch": [{"id": "s", "links": ["ab", "x"], "dwell_s": 9, "change_s": 1}]}, "no link is called 'x'"),
    ],
)
def test_names_that_mean_nothing(changed: dict[str, Any], said: str) -> None:
    """Each is found, with its place."""
    found = list(name_faults(network(**changed)))
    assert any(said in one.message for one in found)
    assert not list(name_faults(network()))


@pytest.mark.parametrize("seconds", [0.0, 59.0, -1.0, float("nan"), float("inf"), 1e12])
def test_times_that_cannot_be_run(seconds: float) -> None:
    """Less than a step, no number, and more than can be held."""
    with pytest.raises(ValueError, match="at least one step"):
        run(network(), seconds, seed=1)


def test_a_switch_that_only_changes_is_refused() -> None:
    """It would never look at a link."""
    with pytest.raises(msgspec.ValidationError, match="longer"):
        network(switch=[{"id": "s", "links": ["ab", "bc"], "dwell_s": 9, "change_s": 9}])


def test_the_bundled_network_is_one() -> None:
    """It has every kind of thing, and its names fit."""
    text = (Path(__file__).parents[2] / "examples" / "quantum" / "metro-network.toml").read_bytes()
    told = msgspec.toml.decode(text, type=Network)
    assert not list(name_faults(told))
    assert all(getattr(told, kind) for kind in ("switch", "demand", "fault", "fault_rate", "outage", "attack"))


def test_detectors_that_always_click_still_make_reports() -> None:
    """No draw sifts more pulses than were sent."""
    blind = {"efficiency": 1.0, "dark_count_ratio": 1.0, "misalignment": 0.0, "key_basis_ratio": 0.99999}
    sender = {**DEVICE["transmitter"], "pulse_rate_hz": 1e5, "key_basis_ratio": 0.99999}  # type: ignore[dict-item]  # a table of the device
    happened = made(0.1, drawn=True, device=[{**DEVICE, "transmitter": sender, "receiver": blind}])
    assert all(one.counts for one in telemetry(happened, 0))
