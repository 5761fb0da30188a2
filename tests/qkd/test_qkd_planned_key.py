"""The planned finite key: against the photon-number model, the asymptotic one, and what nature allows."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.model.link import LinkParameters
from keystrand.qkd import continuous_variables as cv
from keystrand.qkd import decoy
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.distillation import Distillation, secret_rate_bits_per_s
from keystrand.qkd.finite import Security
from keystrand.qkd.planned_key import Block, PlannedLink, Setting, expected, planned, setting_of
from keystrand.qkd.planned_limits import LOSS, limited_by, limits
from keystrand.qkd.sifted import sifted

RECEIVER = Receiver(efficiency=0.2, dark_count_ratio=1e-6, misalignment=0.01, key_basis_ratio=0.7)
TWO = Bb84Link(
    transmitter=Transmitter(
        pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.0), probabilities=(0.6, 0.25, 0.15), key_basis_ratio=0.8
    ),
    receiver=RECEIVER,
    channel_loss_db=10.0,
)
ONE = msgspec.structs.replace(
    TWO, transmitter=Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.15), probabilities=(0.6, 0.4))
)
PLAIN = Block(authentication_bits=0)
ratios = st.floats(0.0, 1.0)


def changed(link: Bb84Link, **receiver: float) -> Bb84Link:
    """Return the link with another receiver."""
    return msgspec.structs.replace(link, receiver=msgspec.structs.replace(link.receiver, **receiver))


@settings(max_examples=60, deadline=None)
@given(
    base=st.sampled_from([ONE, TWO]),
    loss=st.floats(0.0, 60.0),
    dark=st.floats(0.0, 1.0),
    error=st.floats(0.0, 0.5),
    dead=st.floats(0.0, 1e-6),
    after=st.floats(0.0, 0.5),
    background=ratios,
)
def test_counts_are_those_of_the_photon_numbers(
    base: Bb84Link, loss: float, dark: float, error: float, dead: float, after: float, background: float
) -> None:
    """The closed form gives what the sum over photon numbers gives, dead time and afterpulses in it."""
    link = changed(base, dark_count_ratio=dark, misalignment=error, dead_time_s=dead, afterpulse_ratio=after)
    link = msgspec.structs.replace(link, channel_loss_db=loss, background_ratio=background)
    found, slow = expected(link).counts, sifted(link)
    for name in ("key", "key_errors", "test", "test_errors"):
        assert np.allclose(getattr(found, name), getattr(slow, name), rtol=1e-9, atol=1e-15), name


def test_afterpulses_may_follow_their_click() -> None:
    """As Lim et al. have it, D_k (1 + p): as many in all, but none are lent to a weaker intensity."""
    link = changed(TWO, afterpulse_ratio=0.04)
    free, spread, follow = expected(TWO).counts, expected(link).counts, expected(link, follow=True).counts
    assert np.allclose(follow.key, 1.04 * free.key)
    assert np.allclose(follow.key_errors, free.key_errors + 0.02 * free.key)
    assert spread.key[2] > 2 * follow.key[2]


def test_the_plan_is_what_distillation_makes_of_the_same_seconds() -> None:
    """A block of so many bits takes so many seconds; a block of so many seconds makes the same key."""
    link = changed(ONE, dead_time_s=5e-8, afterpulse_ratio=0.01)
    made = planned(link, Block(block_bits=1e8))
    told = Distillation(block_s=float(made.block_s), correction_efficiency=1.05, authentication_bits=16_384)
    assert made.rate_bits_per_s == pytest.approx(secret_rate_bits_per_s(link, told), rel=1e-6)
    assert made.sifted_bits_per_s * made.block_s == pytest.approx(1e8)
    assert made.secret_bits / made.block_s == pytest.approx(made.rate_bits_per_s)


def endless(loss_db: float, misalignment: float) -> tuple[float, LinkParameters]:
    """Return the asymptotic rate of the link at a loss, both bases' choice in it, and its parameters."""
    link = LinkParameters(
        channel_loss_db=loss_db, pulse_rate_hz=1e9, signal_intensity=0.5, decoy_intensity=0.1, receiver_efficiency=0.2,
        background_yield=1 - (1 - 1e-7) ** 2, misalignment=misalignment, correction_efficiency=1.05,
        basis_match=0.7 * 0.8,
    )  # fmt: skip
    return float(decoy.secret_fraction(link, loss_db)), link


@pytest.mark.parametrize("loss_db", [3.0, 10.0, 20.0])
@pytest.mark.parametrize(
    ("intensities", "probabilities", "misalignment"),
    [((0.5, 0.1, 0.0), (0.998, 0.001, 0.001), 0.01), ((0.5, 0.1), (0.998, 0.002), 0.0)],
)
def test_endless_blocks_make_the_asymptotic_key(
    loss_db: float, intensities: tuple[float, ...], probabilities: tuple[float, ...], misalignment: float
) -> None:
    """At 10^15 bits, within 1 % of Ma et al.; with one decoy where no errors but dark counts blur the vacuum."""
    sender = msgspec.structs.replace(TWO.transmitter, intensities=intensities, probabilities=probabilities)
    link = msgspec.structs.replace(TWO, transmitter=sender, channel_loss_db=loss_db)
    link = changed(link, misalignment=misalignment, dark_count_ratio=1e-7)
    made = planned(link, Block(block_bits=1e15, authentication_bits=0))
    assert made.bits_per_pulse == pytest.approx(endless(loss_db, misalignment)[0], rel=0.01)


def test_one_decoy_pays_for_errors_it_cannot_tell_from_vacuum() -> None:
    """Endless blocks with misalignment: below two decoys, above nothing, and never above the asymptotic model."""
    sender = msgspec.structs.replace(TWO.transmitter, intensities=(0.5, 0.1), probabilities=(0.998, 0.002))
    link = changed(msgspec.structs.replace(TWO, transmitter=sender), dark_count_ratio=1e-7)
    made = float(planned(link, Block(block_bits=1e15, authentication_bits=0)).bits_per_pulse)
    assert 0.5 * endless(10.0, 0.01)[0] < made < endless(10.0, 0.01)[0]


@pytest.mark.parametrize("link", [ONE, TWO])
def test_the_waterfall_adds_up(link: Bb84Link) -> None:
    """Vacuum and single photons less every deduction is the key, to the bit."""
    made = planned(link, Block(block_bits=1e9, authentication_bits=1000), [0.0, 5.0, 10.0]).sum
    down = made.phase_error_bits + made.leak_bits + made.verification_bits + made.privacy_bits
    assert np.all(made.length_bits == np.floor(made.vacuum_bits + made.single_photon_bits - down))
    kept = planned(link, Block(block_bits=1e9, authentication_bits=1000), [0.0, 5.0, 10.0]).secret_bits
    assert np.all(made.length_bits - kept == 1000)


@pytest.mark.parametrize("link", [ONE, TWO])
def test_curves_are_their_points(link: Bb84Link) -> None:
    """Arrays of losses and of settings give what each gives alone, and key only falls with loss."""
    losses = np.linspace(0, 60, 13)
    curve = planned(link, PLAIN, losses)
    alone = [planned(msgspec.structs.replace(link, channel_loss_db=float(loss)), PLAIN) for loss in losses]
    for name in ("rate_bits_per_s", "block_s", "key_qber", "phase_error"):
        assert np.allclose(getattr(curve, name), [getattr(one, name) for one in alone], rtol=1e-12), name
    assert np.all(np.diff(curve.rate_bits_per_s) <= 0)
    assert curve.rate_bits_per_s[0] > 0
    assert curve.rate_bits_per_s[-1] == 0
    own = setting_of(link)
    many = Setting(*(np.stack([one, one]) for one in own))
    assert np.all(planned(link, PLAIN, setting=many).rate_bits_per_s == planned(link, PLAIN).rate_bits_per_s)


def test_a_dark_link_makes_nothing() -> None:
    """No light, no dark counts: no rate, no error that could be known, and a block that never fills."""
    made = planned(changed(TWO, efficiency=0.0, dark_count_ratio=0.0), Block())
    assert all(one == 0 for one in (made.rate_bits_per_s, made.sifted_bits_per_s, made.secret_bits))
    assert made.block_s == np.inf
    assert all(one == 0.5 for one in (made.key_qber, made.test_qber, made.phase_error))


def test_what_cannot_be_is_refused() -> None:
    """Losses below 0 or no numbers, blocks of nothing, unknown keys."""
    for loss in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite and not negative"):
            planned(TWO, Block(), loss)
    for wrong in ({"block_bits": 0}, {"block_bits": float("inf")}, {"correction_efficiency": 0.9}, {"size": 1}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Block)


def test_a_file_of_a_link_is_one_of_a_planned_link() -> None:
    """The block may be left out."""
    made = msgspec.convert(msgspec.to_builtins(TWO), PlannedLink)
    assert planned(made, made.block).rate_bits_per_s == planned(TWO, Block()).rate_bits_per_s


MIXED = msgspec.structs.replace(
    changed(TWO, misalignment=0.008, dark_count_ratio=8e-5, afterpulse_ratio=0.016), background_ratio=1.6e-4
)
"""Four causes of errors in equal parts: none of them alone costs as much as correcting all of them badly."""
LIMITED: list[tuple[str, Bb84Link, Block]] = [
    (LOSS, TWO, Block(block_bits=1e12)),
    ("dark counts", msgspec.structs.replace(TWO, channel_loss_db=38.0), Block(block_bits=1e15)),
    ("background light", msgspec.structs.replace(TWO, background_ratio=1e-3), Block(block_bits=1e15)),
    ("misalignment", changed(TWO, misalignment=0.08), Block(block_bits=1e15)),
    ("size of the block", TWO, Block(block_bits=1e5)),
    ("saturation", changed(TWO, dead_time_s=1e-5), Block(block_bits=1e12)),
    ("afterpulses", changed(TWO, afterpulse_ratio=0.13), Block(block_bits=1e15)),
    ("error correction", MIXED, Block(block_bits=1e15, correction_efficiency=2.0)),
]


@pytest.mark.parametrize(("words", "link", "block"), LIMITED, ids=[words for words, *_ in LIMITED])
def test_what_limits_a_link_is_named(words: str, link: Bb84Link, block: Block) -> None:
    """A link that one cause costs more than half of its key is said to be limited by it; figures stand beside it."""
    assert limited_by(link, block).startswith(words)
    table = limits(link, block)
    assert len({one.name for one in table}) == 8
    base = float(planned(link, block).rate_bits_per_s)
    for one in table:
        assert one.rate_without_bits_per_s >= base * (1 - 1e-3)
        assert one.factor is None if base == 0 else one.factor == pytest.approx(one.rate_without_bits_per_s / base)


def test_a_link_beyond_single_causes_is_called_so() -> None:
    """Where no cause alone helps, none is blamed."""
    hopeless = changed(TWO, dark_count_ratio=0.5, misalignment=0.5)
    assert "together" in limited_by(hopeless, Block())
    assert all(one.factor is None for one in limits(hopeless, Block()))


def random_link(draw: np.random.Generator, kind: int) -> tuple[Bb84Link, Block, dict[str, Any]]:
    """Return a link on hardware from perfect to poor, a block, and 100 settings."""

    def bad() -> float:
        return float(draw.choice([0.0, 10 ** draw.uniform(-9, -1)]))

    receiver = Receiver(
        efficiency=float(draw.choice([1.0, draw.uniform(0.05, 1)])), dark_count_ratio=bad(), misalignment=bad(),
        dead_time_s=bad() * 1e-6, afterpulse_ratio=bad(),
    )  # fmt: skip
    link = msgspec.structs.replace(ONE if kind else TWO, receiver=receiver, background_ratio=bad())
    block = Block(
        block_bits=float(10 ** draw.uniform(3, 16)),
        correction_efficiency=1 + bad(),
        authentication_bits=0,
        security=Security(secrecy=1e-3, correctness=0.5),
        afterpulses_follow=bool(draw.integers(2)),
    )
    mu = draw.uniform(0.05, 1.9, 100)
    weak = [mu * draw.uniform(0.05, 0.9, 100)] if kind else [mu * draw.uniform(0.1, 0.8, 100), mu * 0.05]
    p = draw.dirichlet(np.ones(3 - kind), 100)
    bases = draw.uniform(0.05, 0.999, (2, 100))
    setting = Setting(np.stack([mu, *weak], axis=-1), np.maximum(p, 1e-12), *bases)
    return link, block, {"setting": setting}


def test_no_finite_key_beats_nature() -> None:
    """On 10^4 random points, none of the finite models exceeds the repeaterless bound, and none is no number."""
    draw = np.random.default_rng(44)
    alive = 0
    for n in range(100):
        loss = draw.uniform(0.01, 60, 100)
        link, block, more = random_link(draw, n % 2)
        gaussian = cv.ContinuousVariableParameters(
            modulation_variance=10 ** draw.uniform(-1, 2), source_excess_noise=0.001 * draw.random(),
            receiver_excess_noise=0.0, receiver_efficiency=1.0, electronic_noise=0.0, reconciliation_efficiency=1.0,
            detection="homodyne" if n % 2 else "heterodyne",
        )  # fmt: skip
        symbols = 10 ** draw.uniform(4, 16, 100)
        for made in (
            planned(link, block, loss, **more).bits_per_pulse,
            cv.finite_secret_fraction(gaussian, loss, symbols=symbols),
        ):
            assert np.all(np.isfinite(made) & (made >= 0) & (made <= decoy.repeaterless_bound(loss)))
            alive += int(np.count_nonzero(made))
    assert alive > 2000
