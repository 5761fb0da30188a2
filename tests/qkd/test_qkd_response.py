"""The table of responses: closed forms of coherent light, limits, and links that cannot be."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.qkd import response
from keystrand.qkd.bb84_link import KEY, TEST, Bb84Link, Receiver, Transmitter, basis_ratios

SENDER = Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.0), probabilities=(0.7, 0.2, 0.1))
small = st.floats(0, 0.3)


def link(loss_db: float = 10.0, misalignment: float = 0.02, dark: float = 1e-5, **more: float) -> Bb84Link:
    """Return a link with the sender of these tests."""
    receiver = Receiver(efficiency=0.2, dark_count_ratio=dark, misalignment=misalignment)
    return Bb84Link(transmitter=SENDER, receiver=receiver, channel_loss_db=loss_db, **more)


@given(st.floats(0, 60), small, small)
def test_coherent_light_meets_two_detectors_on_its_own(loss_db: float, misalignment: float, dark: float) -> None:
    """The sum over photon numbers equals the closed form: Poisson light split in two stays Poisson in each."""
    made = link(loss_db, misalignment, dark)
    mu = np.array(SENDER.intensities)
    seen = response.cells(response.honest(made), mu)[:, KEY, KEY, 0]
    light = made.photon_efficiency * mu
    right = 1 - (1 - dark) * np.exp(-light * (1 - misalignment))
    wrong = 1 - (1 - dark) * np.exp(-light * misalignment)
    expected = np.stack([right * (1 - wrong), wrong * (1 - right), right * wrong], axis=-1)
    assert np.allclose(seen, expected, rtol=1e-9, atol=1e-15)


@given(st.floats(0, 60), small)
def test_the_gain_is_that_of_the_decoy_model(loss_db: float, dark: float) -> None:
    """Both detectors together have the background yield of the decoy model."""
    made = link(loss_db, dark=dark)
    mu = np.array(SENDER.intensities)
    shown = response.shown(response.honest(made), mu)
    both = 1 - (1 - dark) ** 2
    expected = 1 - (1 - both) * np.exp(-made.photon_efficiency * mu)
    assert np.allclose(shown.gain, expected[:, None, None], rtol=1e-9, atol=1e-15)


def test_the_error_ratio_is_that_of_the_decoy_model_where_clicks_are_rare() -> None:
    """They differ only where both detectors click."""
    made = link(30.0)
    shown = response.shown(response.honest(made), SENDER.intensities)
    light = -np.expm1(-made.photon_efficiency * np.array(SENDER.intensities))
    noise = 2 * made.dark_ratio * (1 - light)
    expected = (0.02 * light + 0.5 * noise) / (light + noise)
    for basis in (KEY, TEST):
        assert np.allclose(shown.qber[:, basis, basis], expected, rtol=1e-3)
    assert np.allclose(shown.qber[:, KEY, TEST], 0.5)


def test_background_light_falls_half_on_each_detector() -> None:
    """Without signal, the background is all of the gain."""
    made = link(60.0, dark=0.0, background_ratio=1e-4)
    assert response.shown(response.honest(made), [0.0]).gain[0, KEY, KEY] == pytest.approx(1e-4, rel=1e-4)


def test_unequal_detectors_show_unequal_bits() -> None:
    """A blind half of the receiver halves one bit and not the other."""
    made = response.photon_response([0.1, 0.05], 0.0, (0.0, 0.0))
    by_bit = response.cells(made, [0.1])[0, KEY, KEY]
    assert by_bit[0, 0] == pytest.approx(-np.expm1(-0.01))
    assert by_bit[1, 1] == pytest.approx(-np.expm1(-0.005))


@given(st.lists(st.floats(0, 2), min_size=1, max_size=4))
def test_photon_numbers_are_whole(mu: list[float]) -> None:
    """All probability is there, and so is the mean."""
    made = response.photon_numbers(mu)
    assert np.allclose(made.sum(axis=-1), 1)
    assert np.allclose(made @ np.arange(made.shape[-1]), mu, atol=1e-12)


def test_bases_are_chosen_on_their_own() -> None:
    """Alice and Bob choose without each other."""
    assert np.allclose(basis_ratios(link()), [[0.81, 0.09], [0.09, 0.01]])


def test_what_is_no_probability_is_refused() -> None:
    """Too much, less than nothing and no number."""
    for broken in (np.full((2, 2, 2, 3, 31), 0.4), np.full((2, 2, 2, 3, 31), -0.1), np.full((2, 2, 2, 3, 31), np.nan)):
        with pytest.raises(ValueError, match="probabilities"):
            response.Response(broken).check()
    response.honest(link()).check()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"intensities": [0.1, 0.5, 0.0]}, "fall"),
        ({"intensities": [0.5, 0.5, 0.0]}, "fall"),
        ({"intensities": [0.5, 0.3, 0.25]}, "stronger"),
        ({"intensities": [0.5, 0.0], "probabilities": [0.5, 0.5]}, "no intensity may be 0"),
        ({"intensities": [0.5, 0.1]}, "its probability"),
        ({"probabilities": [0.7, 0.2, 0.2]}, "sum 1"),
        ({"pulse_rate_hz": 0.0}, "pulse_rate_hz"),
        ({"key_basis_ratio": 1.0}, "key_basis_ratio"),
        ({"pulse_rate_hz": "fast"}, "pulse_rate_hz"),
    ],
)
def test_transmitters_that_cannot_be(changed: dict[str, object], said: str) -> None:
    """Each fault is named with its field or its rule."""
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(msgspec.to_builtins(SENDER) | changed, Transmitter)


@pytest.mark.parametrize("loss", [-1.0, float("nan"), float("inf")])
def test_losses_that_cannot_be(loss: float) -> None:
    """Less than nothing, no number and infinite."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(msgspec.to_builtins(link()) | {"channel_loss_db": loss}, Bb84Link)


def test_dead_time_is_counted_in_pulses() -> None:
    """In whole pulses."""
    receiver = msgspec.structs.replace(link().receiver, dead_time_s=50e-9)
    assert msgspec.structs.replace(link(), receiver=receiver).dead_slots == 50
