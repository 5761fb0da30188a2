"""Packets sent and answered, to losses and silences."""

from itertools import pairwise
from math import inf, isclose, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from keystrand.pilot.traffic import Losses, Packets, losses_in, windows

MOMENTS = st.lists(st.floats(0, 100), min_size=1, max_size=40).map(sorted)


def _packets(*answered: float) -> Packets:
    """Return one packet a second from 0 on, each with its answer."""
    return Packets(np.arange(float(len(answered))), np.array(answered, dtype=np.float64))


def test_a_silence_is_counted_to_both_its_ends() -> None:
    """Sent at 0, 1, 2, 3; the answers of 0 and 3 came: nothing for 3 s between, and 1.9 s after to the end at 5."""
    packets = _packets(0.1, nan, nan, 3.1)
    assert packets.lost == 2
    assert isclose(packets.longest_gap_s(0, 5), 3.0)
    assert isclose(packets.longest_gap_s(0.5, 2.5), 2.0)
    assert isclose(packets.longest_gap_s(3.0, 5.0), 1.9)
    assert np.allclose(packets.ways_s, (0.1, 0.1))


def test_a_packet_belongs_to_the_moment_it_was_sent_at() -> None:
    """From the first moment on, and before the last."""
    within = _packets(0.1, nan, 7.0, 3.1).between(1, 3)
    assert list(within.sent_s) == [1, 2]
    assert within.lost == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.one_of(st.just(nan), st.floats(0, 5))), max_size=60), MOMENTS)
def test_every_packet_is_in_one_span_and_every_gap_is_one(shot: list[tuple[float, float]], cuts: list[float]) -> None:
    """Spans that follow each other split what was sent, lost and all; a whole's gap is at least that of its parts."""
    shot.sort()
    sent = np.array([one for one, _ in shot], dtype=np.float64)
    packets = Packets(sent, sent + np.array([way for _, way in shot], dtype=np.float64))
    edges = [-inf, *cuts, inf]
    losses = losses_in(packets, tuple(pairwise(edges)))
    assert losses.sent == len(shot)
    assert sum(losses.each) == packets.lost == sum(np.isnan(way) for _, way in shot)
    gap_s = packets.longest_gap_s(0, 200)
    answers = sorted(one + way for one, way in shot if not np.isnan(way))
    assert gap_s == max(later - earlier for earlier, later in pairwise([0, *answers, 200]))
    assert all(packets.longest_gap_s(*span) <= gap_s for span in pairwise([0, *cuts, 200]))


@given(MOMENTS, st.data())
def test_no_loss_belongs_to_two_changes(began: list[float], data: st.DataObject) -> None:
    """Each window begins with its change, lasts as long as it and the margin, and ends before the next begins."""
    lasted = data.draw(st.lists(st.floats(0, 10), min_size=len(began), max_size=len(began)))
    made = windows(began, lasted, 0.5)
    assert [begin for begin, _ in made] == began
    assert all(end <= later for (_, end), (later, _) in pairwise(made))
    for (begin, end), long in zip(made, lasted, strict=True):
        assert end <= begin + long + 0.5
    assert made[-1][1] == began[-1] + lasted[-1] + 0.5


def test_changes_come_in_order_and_there_are_some() -> None:
    """What could not be split is said, not guessed."""
    with pytest.raises(ValueError, match="order of time"):
        windows((2.0, 1.0), (0.1, 0.1), 0)
    with pytest.raises(ValueError, match="zip"):
        windows((1.0, 2.0), (0.1,), 0)
    with pytest.raises(ValueError, match="nothing was done"):
        losses_in(_packets(0.1), ())


@given(st.integers(0, 30), st.integers(1, 20))
def test_the_exact_interval_is_garwoods(each: int, times: int) -> None:
    """Where all times are alike: at its ends the count seen is at the edge of what Poisson allows (2.5 % each)."""
    losses = Losses(1000, (each,) * times)
    low, high = losses.interval
    total = each * times
    assert low <= losses.mean <= high
    assert isclose(poisson.cdf(total, high * times), 0.025, rel_tol=1e-6)
    assert low == 0 if not total else isclose(poisson.sf(total - 1, low * times), 0.025, rel_tol=1e-6)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=20))
def test_the_interval_holds_the_mean_and_lies_within_what_was_seen(each: list[int]) -> None:
    """A bootstrap of the mean never goes beyond the least and the most; the figure reads as it was computed."""
    losses = Losses(1000, tuple(each))
    low, high = losses.interval
    assert low <= losses.mean <= high
    assert len(set(each)) == 1 or min(each) <= low <= high <= max(each)
    assert str(losses).startswith(f"{np.mean(each):.2f} lost each time")
