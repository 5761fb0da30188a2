"""Fibre paths and the noise of the classical channels beside the photons."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from keystrand.qkd import channel, coexistence, decoy
from keystrand.qkd.channel import Fibre
from keystrand.qkd.coexistence import Classical, Gate
from keystrand.qkd.parameter_sets import PLANNING_1GHZ

LENGTHS = st.floats(0.1, 300.0)
LOSSES = st.floats(0.14, 0.5)


def test_every_loss_is_counted_once() -> None:
    """Fibre, splices, connectors and components add up; other lengths keep what is fixed."""
    path = Fibre(length_km=50, attenuation_db_per_km=0.2, splices=10, splice_db=0.1, connectors=2, connector_db=0.5,
                 components_db=3.0)  # fmt: skip
    assert channel.loss_db(path) == pytest.approx(10.0 + 1.0 + 1.0 + 3.0)
    assert channel.loss_db(path, [0.0, 100.0]) == pytest.approx([5.0, 25.0])
    assert channel.transmittance(10.0) == pytest.approx(0.1)
    assert channel.delay_s(1.0) == pytest.approx(4.9e-6, rel=0.01)


@given(LENGTHS, LOSSES, st.floats(0.01, 10.0))
def test_raman_noise_is_the_sum_along_the_fibre(length_km: float, attenuation: float, power_mw: float) -> None:
    """The closed forms equal what every piece of the fibre scatters, attenuated on its way to the receiver."""
    rate, width = attenuation * np.log(10) / 10, 0.8
    along = Classical(co_propagating_mw=power_mw)
    against = Classical(counter_propagating_mw=power_mw)

    def from_piece(z: float, *, launched_at_receiver: bool) -> float:
        travelled = length_km - z if launched_at_receiver else z
        return float(power_mw * 3e-9 * width * np.exp(-rate * (travelled + length_km - z)))

    for classical, back in ((along, False), (against, True)):
        whole, _ = quad(lambda z, back=back: from_piece(z, launched_at_receiver=back), 0, length_km)
        assert coexistence.raman_mw(classical, length_km, attenuation, width) == pytest.approx(whole, rel=1e-6)


def test_where_noise_is_worst() -> None:
    """Along with the signal it peaks at one over the attenuation; against it it only grows, to a limit."""
    lengths, rate = np.linspace(1, 200, 2000), 0.2 * np.log(10) / 10
    along = coexistence.raman_mw(Classical(co_propagating_mw=1.0), lengths, 0.2, 0.8)
    assert lengths[np.argmax(along)] == pytest.approx(1 / rate, rel=0.01)
    against = coexistence.raman_mw(Classical(counter_propagating_mw=1.0), lengths, 0.2, 0.8)
    assert np.all(np.diff(against) > 0)
    assert against[-1] == pytest.approx(3e-9 * 0.8 / (2 * rate), rel=1e-3)


@given(LENGTHS, st.floats(0, 100), st.floats(0, 100))
def test_classical_light_costs_key(length_km: float, along_mw: float, against_mw: float) -> None:
    """The yield is a probability, and a link with more of it has no more key."""
    classical = Classical(co_propagating_mw=along_mw, counter_propagating_mw=against_mw)
    added = coexistence.raman_yield(classical, Gate(), length_km, 0.2)
    assert 0 <= added < 1
    link = PLANNING_1GHZ.at(max(0.2 * length_km, 0.1))
    noisy = float(coexistence.background_with(link.background_yield, added))
    assert link.background_yield <= noisy <= 1
    with_noise = msgspec.structs.replace(link, background_yield=noisy)
    assert decoy.secret_fraction(with_noise, link.channel_loss_db) <= decoy.secret_fraction(link, link.channel_loss_db)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Fibre, "length_km", -1.0), (Fibre, "length_km", float("inf")), (Fibre, "length_km", float("nan")),
        (Fibre, "attenuation_db_per_km", 0.0), (Fibre, "splices", -1), (Gate, "efficiency", 1.1),
        (Gate, "gate_s", 0.0), (Classical, "co_propagating_mw", -0.1), (Classical, "raman_per_km_nm", float("inf")),
    ],
)  # fmt: skip
def test_what_no_fibre_has_is_refused(kind: type[msgspec.Struct], field: str, value: float) -> None:
    """Negative, infinite and impossible figures are faults of the input, named by their field."""
    fields = {"length_km": 1.0, field: value} if kind is Fibre else {field: value}
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert(fields, kind)
