"""Packets sent and answered, to losses and silences."""

from itertools import pairwise
from math import inf, isclose, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.pilot.intervals import mean_count_range
from keystrand.pilot.traffic import Packets, losses_in

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


def test_losses_belong_to_something() -> None:
    """Where nothing was done there is no figure; else it reads as the interval it is judged by."""
    with pytest.raises(ValueError, match="nothing was done"):
        losses_in(_packets(0.1), ())
    losses = losses_in(_packets(0.1, nan, nan, 3.1), ((0, 2), (2, 9)))
    assert (losses.sent, losses.each, losses.mean) == (4, (1, 1), 1.0)
    low, _value, high = mean_count_range((1, 1))
    assert str(losses) == f"1.00 lost each time (95 %: {low:.2f} to {high:.2f}), 4 sent, (1, 1)"
