"""The decoy-state model against its paper, against a published experiment, and against its own bounds."""

import math
from decimal import Decimal, localcontext

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.model.link import LinkParameters
from keystrand.qkd import decoy
from keystrand.qkd.parameter_sets import GYS_2004, GYS_LOSS_DB_PER_KM, PARAMETER_SETS, PLANNING_1GHZ


@st.composite
def links(draw: st.DrawFn) -> LinkParameters:
    """Any link the model accepts, far beyond sensible hardware."""
    signal = draw(st.floats(0.02, 1.2))
    return LinkParameters(
        channel_loss_db=draw(st.floats(1e-6, 120)),
        pulse_rate_hz=draw(st.floats(1e3, 1e10)),
        signal_intensity=signal,
        decoy_intensity=signal * draw(st.floats(0.01, 0.9)),
        receiver_efficiency=draw(st.floats(0, 1)),
        background_yield=draw(st.floats(0, 1)),
        misalignment=draw(st.floats(0, 0.5)),
        correction_efficiency=draw(st.floats(1, 2)),
        basis_match=draw(st.floats(0, 1)),
        dead_time_s=draw(st.sampled_from([0.0, 1e-8, 1e-5])),
    )


def reach_km(*, infinite_decoys: bool) -> float:
    """Return the longest fibre, to 10 m, that still gives key on the hardware of the paper."""
    km = np.arange(120.0, 160.0, 0.01)
    made = decoy.secret_fraction(GYS_2004.hardware, km * GYS_LOSS_DB_PER_KM, infinite_decoys=infinite_decoys)
    return float(km[made > 0].max())


def test_reach_is_that_of_the_paper() -> None:
    """Ma et al. (2005): 142.05 km with infinitely many decoys, 140.55 km with a vacuum and a weak one."""
    assert reach_km(infinite_decoys=True) == pytest.approx(142.05, abs=0.1)
    assert reach_km(infinite_decoys=False) == pytest.approx(140.55, abs=0.1)


@pytest.mark.parametrize(("efficiency", "published"), [(1.22, 0.48), (1.0, 0.54)])
def test_best_intensity_is_that_of_the_paper(efficiency: float, published: float) -> None:
    """Ma et al. (2005), after Eq. (12): the best signal holds 0.48 photons, 0.54 with perfect error correction."""
    link = msgspec.structs.replace(GYS_2004.hardware, correction_efficiency=efficiency)
    best = decoy.optimal_signal_intensity(link, 50 * GYS_LOSS_DB_PER_KM, infinite_decoys=True)
    assert best == pytest.approx(published, abs=0.01)


@pytest.mark.parametrize(("loss_db", "published"), [(7, 2.20e6), (10, 1.09e6), (13, 0.40e6), (16, 0.12e6)])
def test_planning_set_promises_no_more_than_an_experiment(loss_db: float, published: float) -> None:
    """A 1 GHz experiment (Lucamarini 2013, tabulated by Islam 2017) made more key; but not ten times more."""
    made = decoy.rate(PLANNING_1GHZ.at(loss_db)).secret_key_rate_bits_per_s
    assert published / 10 < made <= published


def test_one_photon_bounds_close_in_as_the_decoy_weakens() -> None:
    """With an ever weaker decoy the two bounds reach what infinitely many decoys show."""
    truth = decoy.true_single_photons(GYS_2004.hardware, 10.0)
    link = msgspec.structs.replace(GYS_2004.hardware, decoy_intensity=1e-4)
    bound = decoy.bounded_single_photons(link, 10.0)
    assert float(bound.yield_) == pytest.approx(float(truth.yield_), rel=1e-3)
    assert float(bound.qber) == pytest.approx(float(truth.qber), rel=1e-3)


@given(links())
def test_bounds_are_on_the_safe_side(link: LinkParameters) -> None:
    """The decoys never promise more one-photon clicks, fewer errors or more key than the channel really gives."""
    truth = decoy.true_single_photons(link, link.channel_loss_db)
    bound = decoy.bounded_single_photons(link, link.channel_loss_db)
    assert bound.yield_ <= truth.yield_ * (1 + 1e-6) + 1e-9
    if bound.yield_ > 1e-6:
        assert float(bound.qber) >= min(float(truth.qber), 0.5) - 1e-4
    real = decoy.secret_fraction(link, link.channel_loss_db, infinite_decoys=True)
    assert decoy.secret_fraction(link, link.channel_loss_db) <= real + 1e-6


@given(links())
def test_rate_stays_within_nature(link: LinkParameters) -> None:
    """0 <= secret rate <= the repeaterless bound and the sifted rate; QBER lies in 0..1/2; every number is finite."""
    said = decoy.rate(link)
    assert 0 <= said.secret_key_rate_bits_per_s <= said.limit_bits_per_s
    assert said.secret_key_rate_bits_per_s <= said.sifted_rate_bits_per_s * (1 + 1e-9)
    assert 0 <= said.qber <= 0.5
    assert all(math.isfinite(x) for x in (said.limit_bits_per_s, said.sifted_rate_bits_per_s))


@given(links(), st.floats(0.001, 30))
def test_more_loss_never_gives_more_key(link: LinkParameters, more_db: float) -> None:
    """The secret fraction falls with loss, or stays 0."""
    here, further = decoy.secret_fraction(link, [link.channel_loss_db, link.channel_loss_db + more_db])
    assert further <= here + 1e-12


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("channel_loss_db", 10.0, "loss"),
        ("background_yield", 1e-3, "dark counts"),
        ("misalignment", 0.09, "misalignment"),
        ("dead_time_s", 1e-5, "saturation"),
    ],
)
def test_limit_is_named(field: str, value: float, words: str) -> None:
    """The imperfection that costs most is named; with none that costs half of the key, it is the loss."""
    assert words in decoy.limited_by(msgspec.structs.replace(PLANNING_1GHZ.at(10.0), **{field: value}))


def test_dead_link_says_that_nothing_alone_would_help() -> None:
    """Where no single improvement brings key, the words say so instead of naming one."""
    link = msgspec.structs.replace(GYS_2004.at(10.0), background_yield=0.5, misalignment=0.4)
    assert decoy.rate(link).secret_key_rate_bits_per_s == 0
    assert "together" in decoy.limited_by(link)


def test_arrays_and_scalars_agree() -> None:
    """A whole curve in one call equals its points one by one."""
    losses = np.linspace(0.5, 40, 80)
    curve = decoy.secret_fraction(GYS_2004.hardware, losses)
    assert curve.shape == losses.shape
    assert curve == pytest.approx([float(decoy.secret_fraction(GYS_2004.hardware, x)) for x in losses], rel=1e-12)


@given(st.floats(1e-9, 200))
def test_repeaterless_bound_keeps_its_digits(loss_db: float) -> None:
    """-log2(1 - t) against 60-digit arithmetic, from a nanobel to 200 dB."""
    with localcontext() as context:
        context.prec = 60
        transmitted = Decimal(10) ** (-Decimal(loss_db) / 10)
        exact = -(1 - transmitted).ln() / Decimal(2).ln()
    assert float(decoy.repeaterless_bound(loss_db)) == pytest.approx(float(exact), rel=1e-12)


def test_channel_without_loss_is_refused() -> None:
    """0 dB is no measured value: a missing loss must not turn into a perfect link."""
    with pytest.raises(ValueError, match="above 0 dB"):
        PLANNING_1GHZ.at(0.0)


def test_every_value_of_a_set_is_sourced_or_called_assumed() -> None:
    """`assumed` names real fields, and a set that is all assumed says so in its source."""
    fields = set(LinkParameters.__struct_fields__) - {"channel_loss_db"}
    for made in PARAMETER_SETS.values():
        assert made.source
        assert set(made.assumed) <= fields
    assert "assumed" in PLANNING_1GHZ.source
