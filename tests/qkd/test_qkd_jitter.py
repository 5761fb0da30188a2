"""Jitter and gates: drawn detections, limits, what a link becomes, and gates that cannot be."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.qkd import jitter, pulse_engine
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.expected import expected_shown
from keystrand.qkd.jitter import NEIGHBOURS, Jitter, gated, with_jitter
from keystrand.qkd.response import honest

LINK = Bb84Link(
    transmitter=Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.0), probabilities=(0.7, 0.2, 0.1)),
    receiver=Receiver(efficiency=0.2, dark_count_ratio=1e-6, misalignment=0.01),
    channel_loss_db=10.0,
)


@pytest.mark.parametrize(
    ("gaussian", "share", "tail", "gate", "offset"),
    [
        (40, 0.1, 200, 500, 30),
        (0, 0.3, 900, 1000, 0),
        (100, 0, 0, 300, -50),
        (150, 1, 5, 400, 0),
        (1, 0.5, 400, 800, 0),
    ],
)
def test_shares_are_those_of_drawn_detections(
    gaussian: float, share: float, tail: float, gate: float, offset: float
) -> None:
    """Detections drawn as the docstring says, and counted by gate."""
    rng = np.random.default_rng(3)
    size = 400_000
    time = rng.normal(0, 1, size) * gaussian + (rng.random(size) < share) * rng.exponential(1, size) * tail
    number = np.floor((time - offset + 500) / 1000)
    inside = np.abs(time - offset - 1000 * number) < gate / 2
    found = gated(Jitter(gaussian_ps=gaussian, tail_ratio=share, tail_ps=tail, gate_ps=gate, offset_ps=offset), 1e9)
    for step in (-1, 0, 1, 2):
        drawn = np.mean(inside & (number == step))
        assert found.leaks[NEIGHBOURS + step] == pytest.approx(drawn, abs=4e-3)
    assert found.own == found.leaks[NEIGHBOURS]
    assert found.others == pytest.approx(np.mean(inside & (number != 0)), abs=4e-3)


times = st.one_of(st.just(0.0), st.floats(1e-9, 1e6))


@given(times, st.floats(0, 1), times, st.floats(1e-3, 1000), st.floats(-1e6, 1e6))
def test_shares_are_shares(gaussian: float, share: float, tail: float, gate: float, offset: float) -> None:
    """Within 0 and 1, together at most 1, never NaN, whatever the times."""
    found = gated(Jitter(gaussian_ps=gaussian, tail_ratio=share, tail_ps=tail, gate_ps=gate, offset_ps=offset), 1e9)
    assert 0 <= found.own <= 1
    assert 0 <= found.others <= 1
    assert found.own + found.others <= 1 + 1e-9
    assert np.all(found.leaks >= 0)


def test_a_sharp_detector_leaves_the_link_as_it_is() -> None:
    """No jitter: all in the own gate."""
    assert with_jitter(LINK, Jitter(gaussian_ps=0, gate_ps=200)) == LINK


def test_a_tail_costs_more_errors_than_a_gaussian_of_the_same_width() -> None:
    """What Diamanti et al. saw: at 1 GHz the tail reaches the next gates, a Gaussian does not."""
    gauss = with_jitter(LINK, Jitter(gaussian_ps=100, gate_ps=400))
    tailed = with_jitter(LINK, Jitter(gaussian_ps=60, tail_ratio=0.2, tail_ps=400, gate_ps=400))
    errors = [expected_shown(link, honest(link)).qber[0, 0, 0] for link in (LINK, gauss, tailed)]
    assert errors[0] == pytest.approx(errors[1], rel=0.01)
    assert errors[2] > 1.5 * errors[1]
    assert gauss.receiver.efficiency == pytest.approx(0.2 * 0.9545, rel=1e-4)


def test_leaked_light_is_the_light_that_was_lost() -> None:
    """With gates that touch, what leaves the own gate all arrives in others: the mean gain stays, but for overlaps."""
    fuzzy = with_jitter(LINK, Jitter(gaussian_ps=100, tail_ratio=0.5, tail_ps=500, gate_ps=1000))
    runs = [pulse_engine.run(link, honest(link), 20_000_000, 4) for link in (LINK, fuzzy)]
    clicks = [run.bob.slot.size for run in runs]
    assert fuzzy.background_ratio > 0.15 * clicks[0] / 2e7
    assert clicks[1] == pytest.approx(clicks[0], rel=0.02)


@pytest.mark.parametrize(
    "wrong",
    [{"gaussian_ps": -1}, {"gate_ps": 0}, {"tail_ratio": 1.1}, {"gaussian_ps": float("inf")}, {"tail_ps": 1e9}],
)
def test_jitter_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """Negative, endless, or no gate at all."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"gaussian_ps": 50.0, "gate_ps": 200.0} | wrong, Jitter)


def test_gates_that_overlap_are_refused() -> None:
    """A gate longer than the time between pulses."""
    with pytest.raises(ValueError, match="longer"):
        jitter.gated(Jitter(gaussian_ps=50, gate_ps=1001), 1e9)
