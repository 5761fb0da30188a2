"""What a campaign does to the quantum link: each state is the model's own, and its reports scatter as counts do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.pilot.link_reports import intercepted, report, sagging, with_loss
from keystrand.pilot.twin import ChangingTwin, LinkEvent
from keystrand.qkd.decoy import rate
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

LINK = rate(PLANNING_1GHZ.at(11.9))


@given(st.floats(1e-4, 0.99))
def test_a_sag_gives_the_rate_that_was_asked_for_by_loss_alone(share: float) -> None:
    """The rate is hit, and what changed is the channel's loss."""
    wanted = share * LINK.secret_key_rate_bits_per_s
    made = sagging(LINK, wanted)
    assert made.secret_key_rate_bits_per_s == pytest.approx(wanted, rel=1e-3)
    further = made.parameters.channel_loss_db - LINK.parameters.channel_loss_db
    assert made == with_loss(LINK, further)
    assert further > 0


@pytest.mark.parametrize("share", [0.0, 1.0, 2.0])
def test_what_is_no_sag_is_refused(share: float) -> None:
    """A sag to as much, to more, or to nothing."""
    with pytest.raises(ValueError, match="is none from"):
        sagging(LINK, share * LINK.secret_key_rate_bits_per_s)


def test_who_intercepts_everything_leaves_a_quarter_of_errors_and_no_key() -> None:
    """Bennett and Brassard 1984: a quarter of the sifted bits is wrong beside those that were; no key is left."""
    made = intercepted(LINK)
    e = LINK.parameters.misalignment
    wrong = e + (1 - 2 * e) / 4
    assert made.qber == pytest.approx(wrong + (LINK.qber - e) * (0.5 - wrong) / (0.5 - e), rel=1e-6)
    assert made.secret_key_rate_bits_per_s <= 0
    assert made.sifted_rate_bits_per_s == pytest.approx(LINK.sifted_rate_bits_per_s)


@given(st.floats(0.01, 1.0))
def test_the_more_is_intercepted_the_less_key_there_is(fraction: float) -> None:
    """Errors rise and the key shrinks with every share that is intercepted."""
    less, more = intercepted(LINK, fraction / 2), intercepted(LINK, fraction)
    assert LINK.qber < less.qber < more.qber
    assert more.secret_key_rate_bits_per_s <= less.secret_key_rate_bits_per_s < LINK.secret_key_rate_bits_per_s


def test_reports_scatter_around_the_state_as_counts_do() -> None:
    """The mean of many reports is that of the state, and their spread that of so many bits."""
    rng = np.random.default_rng(7)
    made = [report("l", LINK, at_s=n + 1.0, interval_s=0.5, rng=rng) for n in range(400)]
    bits = np.array([one.sifted_rate_bits_per_s for one in made], dtype=np.float64) * 0.5
    wrong = np.array([one.qber for one in made], dtype=np.float64) * bits
    expected = LINK.sifted_rate_bits_per_s * 0.5
    assert abs(bits.mean() - expected) < 5 * np.sqrt(expected / 400)
    assert abs(wrong.sum() / bits.sum() - LINK.qber) < 5 * np.sqrt(LINK.qber / bits.sum())
    assert 0.8 < bits.std() / np.sqrt(expected) < 1.2


def test_a_dark_link_reports_that_it_is_down_and_nothing_else() -> None:
    """What was not measured is None, never 0."""
    made = report("l", None, at_s=1.0, interval_s=0.5, rng=np.random.default_rng(1))
    assert (made.up, made.qber, made.sifted_rate_bits_per_s) == (False, None, None)


def test_a_link_that_is_changed_while_it_runs_gives_what_it_is_told() -> None:
    """The rate changes when it is next asked, nothing comes without a rate, and a cut stays a cut."""
    twin = ChangingTwin(secret_bits_per_s=1000.0, qber=0.02, block_bits=100, now_s=0.0)
    assert len(twin.poll(1.0)) == 10
    twin.change(0.0, 0.26)
    assert len(twin.poll(1.1)) == 1
    assert twin.next_due_s() is None
    assert twin.poll(5.0) == ()
    twin.change(500.0, 0.03)
    assert twin.poll(5.0) == ()
    (block, *_) = twin.poll(6.0)
    assert block.qber == 0.03
    twin.handle(LinkEvent.CUT, 6.0)
    twin.change(1000.0, 0.02)
    assert twin.poll(8.0) == ()
    assert twin.next_due_s() is None
    twin.handle(LinkEvent.RESTORED, 8.0)
    assert len(twin.poll(9.0)) == 10
