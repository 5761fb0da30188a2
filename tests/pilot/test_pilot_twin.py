"""The twin of the quantum link: bits are conserved, and a cut link makes none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.model.link import LinkRate
from keystrand.pilot.twin import KeyBlock, LinkEvent, LinkTwin
from keystrand.qkd.decoy import rate
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

RATE = rate(PLANNING_1GHZ.at(12.0))
BITS_PER_S = RATE.secret_key_rate_bits_per_s
DEAD = rate(PLANNING_1GHZ.at(60.0))


def twin_of(link: LinkRate, *, block_bits: int, now_s: float, rng: np.random.Generator | None = None) -> LinkTwin:
    """Return the twin of what the model says of a link."""
    return LinkTwin(
        secret_bits_per_s=link.secret_key_rate_bits_per_s,
        sifted_bits_per_s=link.sifted_rate_bits_per_s,
        qber=link.qber,
        block_bits=block_bits,
        now_s=now_s,
        rng=rng,
    )


steps = st.lists(
    st.tuples(st.floats(0, 5), st.sampled_from([LinkEvent.CUT, LinkEvent.RESTORED, None])), min_size=1, max_size=30
)


@given(steps, st.integers(64, 500_000))
def test_bits_are_conserved(history: list[tuple[float, LinkEvent | None]], block_bits: int) -> None:
    """Rate x time up = bits handed out + bits lost to cuts + the block in progress; nothing appears from nowhere."""
    twin, now, up_s, handed, run_s = twin_of(RATE, block_bits=block_bits, now_s=100.0), 100.0, 0.0, 0, 0.0
    for wait, event in history:
        now += wait
        up_s += wait if twin.up else 0.0
        run_s = run_s + wait if twin.up else 0.0
        if event:
            twin.handle(event, now)
            run_s = run_s if twin.up else 0.0
        handed += sum(block.bits for block in twin.poll(now))
    made = up_s * BITS_PER_S
    assert handed == twin.made_bits
    in_progress = made - handed - twin.lost_bits
    assert -1e-3 <= in_progress <= block_bits + 1e-3
    if not twin.up:
        assert in_progress == pytest.approx(0, abs=1e-3)


@given(steps, st.integers(64, 500_000))
def test_cut_link_makes_no_block(history: list[tuple[float, LinkEvent | None]], block_bits: int) -> None:
    """No block is dated inside a cut, and polling a cut link twice gives nothing the second time."""
    twin, now = twin_of(RATE, block_bits=block_bits, now_s=0.0), 0.0
    cuts: list[tuple[float, float]] = []
    cut_at: float | None = None
    blocks: list[KeyBlock] = []
    for wait, event in history:
        now += wait
        if event is LinkEvent.CUT and cut_at is None:
            cut_at = now
        elif event is LinkEvent.RESTORED and cut_at is not None:
            cuts.append((cut_at, now))
            cut_at = None
        if event:
            twin.handle(event, now)
        blocks += twin.poll(now)
    if cut_at is not None:
        assert twin.poll(now + 3600) == ()
        assert twin.next_due_s() is None
    for block in blocks:
        assert not any(start + 1e-9 < block.at_s < end for start, end in cuts)


def test_block_is_there_when_it_was_promised() -> None:
    """Polled exactly at `next_due_s`, on a clock with a large offset, the block is due; never one too many."""
    twin = twin_of(RATE, block_bits=4096, now_s=1_700_000_000.0)
    for n in range(1, 200):
        due = twin.next_due_s()
        assert due is not None
        (block,) = twin.poll(due)
        assert (block.sequence, block.bits) == (n, 4096)


def test_blocks_complete_before_a_cut_are_not_lost() -> None:
    """What was complete when the fibre broke is still handed out; the block in progress is not."""
    twin = twin_of(RATE, block_bits=1000, now_s=0.0)
    twin.handle(LinkEvent.CUT, 2500 / BITS_PER_S)
    assert [block.bits for block in twin.poll(1e6)] == [1000, 1000]
    assert twin.lost_bits == pytest.approx(500)


def test_link_without_key_never_makes_a_block() -> None:
    """Where the model gives no key, no waiting brings any."""
    twin = twin_of(DEAD, block_bits=1, now_s=0.0, rng=np.random.default_rng(1))
    assert twin.poll(1e9) == ()
    assert twin.next_due_s() is None


def test_scatter_is_repeatable_and_honest() -> None:
    """The same seed gives the same blocks; the error ratio scatters around the model's as its sifted bits allow."""

    def ratios(seed: int) -> list[float]:
        twin = twin_of(RATE, block_bits=10_000, now_s=0.0, rng=np.random.default_rng(seed))
        return [block.qber for block in twin.poll(400 * 10_000 / BITS_PER_S + 1e-6)]

    one = ratios(7)
    assert one == ratios(7)
    assert one != ratios(8)
    behind = 10_000 * RATE.sifted_rate_bits_per_s / BITS_PER_S
    spread = (RATE.qber * (1 - RATE.qber) / behind) ** 0.5
    assert np.mean(one) == pytest.approx(RATE.qber, abs=5 * spread / len(one) ** 0.5)
    assert np.std(one) == pytest.approx(spread, rel=0.2)


def test_without_scatter_every_block_shows_the_model() -> None:
    """No random source, no made-up scatter."""
    twin = twin_of(RATE, block_bits=1000, now_s=0.0)
    assert {block.qber for block in twin.poll(0.1)} == {RATE.qber}


def test_time_does_not_run_backwards() -> None:
    """An earlier time than the last is refused, and so is an empty block."""
    twin = twin_of(RATE, block_bits=1000, now_s=10.0)
    with pytest.raises(ValueError, match="backwards"):
        twin.poll(9.0)
    with pytest.raises(ValueError, match="at least one bit"):
        twin_of(RATE, block_bits=0, now_s=0.0)
