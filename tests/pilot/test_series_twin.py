"""A run played to key servers: every bit once, when it is due, at any speed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.pilot.link_blocks import Blocks
from keystrand.pilot.series_twin import SeriesTwin
from keystrand.pilot.twin import LinkEvent
from keystrand.qkd.finite import Counts

INTERVAL_S = 10.0


def series(bits: list[int]) -> Blocks:
    """Return blocks with these bits and an error ratio of 1 %, 2 % and so on."""
    size = len(bits)
    key = np.full((size, 2), 5000.0)
    wrong = np.array([[50.0 * (n + 1)] * 2 for n in range(size)]).reshape(size, 2)
    ratio = np.zeros(size)
    at_s = INTERVAL_S * np.arange(1.0, size + 1)
    return Blocks(at_s, Counts(key, wrong, key, wrong), ratio, np.array(bits, np.int64), ratio, ratio)


def twin(bits: list[int], *, speed: float = 1.0, block_bits: int = 100) -> SeriesTwin:
    """Return the twin of these blocks, beginning at second 1000."""
    return SeriesTwin(series(bits), interval_s=INTERVAL_S, block_bits=block_bits, now_s=1000.0, speed=speed)


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=8),
    st.lists(st.floats(0, 20), max_size=20),
    st.sampled_from([0.5, 1.0, 60.0]),
)
def test_every_whole_piece_comes_once(bits: list[int], waits: list[float], speed: float) -> None:
    """However it is polled; no piece before it is complete, and dates never fall."""
    made, now, got = twin(bits, speed=speed), 1000.0, []
    for wait in [*waits, 10_000.0]:
        now += wait
        got += [(piece, now) for piece in made.poll(now)]
    assert len(got) == sum(bits) // 100
    assert all(piece.at_s <= seen for piece, seen in got)
    assert [piece.at_s for piece, _ in got] == sorted(piece.at_s for piece, _ in got)
    assert made.next_due_s() is None


def test_polled_when_it_said_the_piece_is_there() -> None:
    """The first block's bits come evenly while the second is measured, at the speed asked for."""
    made = twin([250, 0, 150], speed=2.0)
    due = []
    while (at := made.next_due_s()) is not None:
        (piece,) = made.poll(at)
        due.append((at - 1000, piece.qber))
    assert [at for at, _ in due] == pytest.approx([7.0, 9.0, 15 + 5 / 3, 20.0])
    assert [qber for _, qber in due] == pytest.approx([0.01, 0.01, 0.03, 0.03])


def test_a_cut_by_hand_loses_what_would_have_come() -> None:
    """Nothing during it, nothing later for it."""
    made = twin([1000, 1000])
    made.poll(1015.0)
    made.handle(LinkEvent.CUT, 1015.0)
    assert made.poll(1020.0) == ()
    assert made.next_due_s() is None
    made.handle(LinkEvent.RESTORED, 1020.0)
    assert made.lost_bits == 500
    assert len(made.poll(1030.0)) == 10


def test_what_cannot_be_played() -> None:
    """No bits, no speed, and time that runs backwards."""
    with pytest.raises(ValueError, match="at least one bit"):
        twin([1], block_bits=0)
    with pytest.raises(ValueError, match="forwards"):
        twin([1], speed=0.0)
    made = twin([1000])
    made.poll(1012.0)
    with pytest.raises(ValueError, match="backwards"):
        made.poll(1011.0)
