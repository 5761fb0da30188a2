"""Attacks: what they do to the table by closed forms and published figures, what they hide, and what they refuse."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.model.link import LinkParameters
from keystrand.qkd import attacks, leaks
from keystrand.qkd.attacks import (
    AnyAttack,
    BeamSplitting,
    Blinding,
    InterceptResend,
    PhotonNumberSplitting,
    SourceFlaw,
    TimeShift,
    TrojanHorse,
)
from keystrand.qkd.bb84_link import KEY, TEST, Bb84Link, Receiver, Transmitter
from keystrand.qkd.distillation import Distillation
from keystrand.qkd.effects import effect
from keystrand.qkd.parameter_sets import GYS_2004, GYS_LOSS_DB_PER_KM
from keystrand.qkd.response import DOUBLE, honest, photon_response, shown

SENDER = Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.1, 0.001), probabilities=(0.7, 0.2, 0.1))
ratios = st.floats(0, 1)
pairs = st.tuples(ratios, ratios)


def link(loss_db: float = 10.0, misalignment: float = 0.02, dark: float = 1e-6) -> Bb84Link:
    """Return a link with the sender of these tests."""
    receiver = Receiver(efficiency=0.1, dark_count_ratio=dark, misalignment=misalignment)
    return Bb84Link(transmitter=SENDER, receiver=receiver, channel_loss_db=loss_db)


every = st.one_of(
    st.builds(InterceptResend, fraction=ratios, key_basis_ratio=ratios),
    st.builds(BeamSplitting, replaces_channel=st.booleans(), tapped_ratio=ratios),
    st.builds(Blinding, fraction=ratios, imitates_doubles=st.booleans()),
    st.builds(TimeShift, early=pairs, late=pairs, early_share=ratios, fraction=ratios),
    st.builds(TrojanHorse, photons_in=st.floats(0, 1e9), isolation_db=st.floats(0, 300)),
    st.builds(SourceFlaw, flipped_ratio=st.floats(0, 0.5)),
)


@given(st.floats(0, 40), st.floats(0, 1e-3), ratios, st.lists(every, max_size=3))
@settings(max_examples=60, deadline=None)
def test_any_attacks_together_leave_probabilities(
    loss_db: float, dark: float, fraction: float, more: list[AnyAttack]
) -> None:
    """Whatever is combined, the table stays one, and Eve's share is one."""
    made = link(loss_db, dark=dark)
    all_of_them = [PhotonNumberSplitting(fraction=fraction), *more]
    attacks.combined(all_of_them, made).check()
    assert all(0 <= one.eve_share(made) <= 1 for one in all_of_them)


@pytest.mark.parametrize(
    "attack",
    [
        InterceptResend(fraction=0.0),
        PhotonNumberSplitting(fraction=0.0),
        Blinding(fraction=0.0),
        TimeShift(early=(1.0, 0.1), late=(0.1, 1.0), fraction=0.0),
        BeamSplitting(replaces_channel=False, tapped_ratio=0.0),
        BeamSplitting(),
        TrojanHorse(photons_in=1e6, isolation_db=10.0),
        SourceFlaw(),
    ],
)
def test_no_attack_and_attacks_that_no_count_shows_change_nothing(attack: AnyAttack) -> None:
    """Fraction 0 is the identity; so are light taken from a better channel and light that leaves the transmitter."""
    table = honest(link())
    assert np.allclose(attack.apply(link(), table).table, table.table, rtol=1e-12, atol=0)


@given(ratios, ratios, st.floats(0, 0.3))
def test_intercept_resend_adds_the_errors_of_the_textbook(fraction: float, key_basis: float, e: float) -> None:
    """QBER e + x (1 - r)(1 - 2e) / 2 in the key basis and with r in the other; no gain changes, and r = 1/2 gives
    x (1 - 2e) / 4 + e."""
    made = link(misalignment=e, dark=0.0)
    seen = shown(InterceptResend(fraction=fraction, key_basis_ratio=key_basis).apply(made, honest(made)), [1e-6])
    assert seen.qber[0, KEY, KEY] == pytest.approx(e + fraction * (1 - key_basis) * (1 - 2 * e) / 2, abs=1e-7)
    assert seen.qber[0, TEST, TEST] == pytest.approx(e + fraction * key_basis * (1 - 2 * e) / 2, abs=1e-7)
    before, after = (
        shown(x, SENDER.intensities).gain for x in (honest(made), InterceptResend().apply(made, honest(made)))
    )
    assert np.allclose(before, after, rtol=1e-12)


def test_all_of_intercept_resend_is_a_quarter_wrong() -> None:
    """25 % with a perfect receiver, at every intensity, and Eve knows half of the bits."""
    made = link(misalignment=0.0, dark=0.0)
    seen = shown(InterceptResend().apply(made, honest(made)), SENDER.intensities)
    assert np.allclose(seen.qber[:, [KEY, TEST], [KEY, TEST]], 0.25, atol=1e-12)
    assert InterceptResend().eve_share(made) == 0.5


@given(st.floats(3, 40), ratios)
@settings(deadline=None)
def test_splitting_hides_from_the_signal_and_shows_in_the_decoy(loss_db: float, fraction: float) -> None:
    """Gain of the signal and error ratios stay, the vacuum's gain too; the decoy's gain falls with the fraction."""
    made = link(loss_db, dark=0.0, misalignment=0.01)
    before = shown(honest(made), SENDER.intensities)
    after = shown(PhotonNumberSplitting(fraction=fraction).apply(made, honest(made)), SENDER.intensities)
    assert after.gain[0, KEY, KEY] == pytest.approx(before.gain[0, KEY, KEY], rel=1e-9)
    assert after.qber[0, KEY, KEY] == pytest.approx(0.01, abs=2e-3)
    assert after.gain[1, KEY, KEY] <= before.gain[1, KEY, KEY] * (1 + 1e-9)
    if fraction > 0.1:
        assert after.gain[1, KEY, KEY] < before.gain[1, KEY, KEY] * (1 - 0.02 * fraction)


def test_splitting_takes_all_of_the_key_where_the_channel_loses_enough() -> None:
    """At 30 dB pulses of several photons are enough for the gain: Eve knows every bit; at 3 dB they are not."""
    far, near = PhotonNumberSplitting().eve_share(link(30.0, dark=0.0)), PhotonNumberSplitting().eve_share(link(3.0))
    assert far == pytest.approx(1.0)
    assert 0.3 < near < 0.9
    seen = effect(link(20.0), PhotonNumberSplitting(), Distillation())
    assert seen.before.secret_rate_bits_per_s > 0
    assert seen.after.secret_rate_bits_per_s == 0
    assert seen.after.key_qber == pytest.approx(seen.before.key_qber, abs=2e-3)


def test_splitting_replaces_the_channel_and_so_comes_first() -> None:
    """Behind another attack it is refused."""
    with pytest.raises(ValueError, match="first"):
        attacks.combined([InterceptResend(), PhotonNumberSplitting()], link())


@given(ratios, ratios, pairs, pairs)
@settings(deadline=None)
def test_attacks_on_different_places_commute(
    split: float, resent: float, early: tuple[float, float], late: tuple[float, float]
) -> None:
    """Photon number, state and detector are different indices: the order of what acts on them does not matter."""
    first, second, third = (
        PhotonNumberSplitting(fraction=split),
        InterceptResend(fraction=resent),
        TimeShift(early=early, late=late),
    )
    one = attacks.combined([first, second, third], link())
    other = attacks.combined([first, third, second], link())
    assert np.allclose(one.table, other.table, rtol=1e-9, atol=1e-15)


@given(st.floats(0, 20), st.floats(0, 20))
@settings(deadline=None)
def test_photons_are_lost_one_by_one(before_db: float, added_db: float) -> None:
    """A tap is exactly so much more loss of the channel."""
    made = attacks.attenuated(honest(link(before_db)), 10 ** (-added_db / 10))
    assert np.allclose(made.table, honest(link(before_db + added_db)).table, rtol=1e-9, atol=1e-13)


def test_beam_splitting_tells_eve_what_poisson_says() -> None:
    """Her share of the light holds a photon in 1 - exp(-mu (1 - t)) of the pulses."""
    assert BeamSplitting().eve_share(link(10.0)) == pytest.approx(1 - np.exp(-0.5 * 0.9))
    assert BeamSplitting(replaces_channel=False, tapped_ratio=0.1).eve_share(link()) == pytest.approx(1 - np.exp(-0.05))


def test_blinding_shows_in_double_clicks_alone() -> None:
    """Gains and QBER of every intensity stay, doubles vanish, Eve knows all; imitated doubles leave the table."""
    made = link()
    table = honest(made)
    blind = Blinding().apply(made, table)
    before, after = shown(table, SENDER.intensities), shown(blind, SENDER.intensities)
    assert np.allclose(before.gain, after.gain, rtol=1e-6)
    assert np.allclose(before.qber, after.qber, rtol=1e-6)
    assert np.all(blind.table[..., DOUBLE, :] == 0)
    assert Blinding().eve_share(made) == 1
    hidden = Blinding(imitates_doubles=True).apply(made, table)
    few = slice(0, 6)  # more photons than five click too often for a basis that Bob seldom takes
    assert np.allclose(hidden.table[..., few], table.table[..., few], rtol=1e-9)


def test_time_shift_meets_the_published_experiment() -> None:
    """Zhao et al. 2008, Table I: 10 992 and 1 541 clicks at one shift, 1 231 and 4 059 at the other. The mixture that
    hides the imbalance has 23.0 % early and 3 479 clicks of each detector, QBER 5.68 % over both same-basis tables.
    """
    early, late = (10_992, 1_541), (1_231, 4_059)
    most = 20_000
    share = attacks.equalising_share((early[0] / most, early[1] / most), (late[0] / most, late[1] / most))
    assert share == pytest.approx(0.230, abs=5e-4)
    clicks = [share * a + (1 - share) * b for a, b in zip(early, late, strict=True)]
    assert clicks == pytest.approx([3_479, 3_479], abs=0.5)
    wrong, kept = share * 383 + (1 - share) * 144, share * 6_243 + (1 - share) * 2_684
    assert wrong / kept == pytest.approx(0.0568, abs=5e-5)


def test_time_shift_is_the_table_of_unequal_detectors_where_clicks_are_rare() -> None:
    """Thinned clicks are those of detectors of other efficiencies."""
    made = link(20.0)
    shifted = TimeShift(early=(1.0, 0.2), late=(1.0, 1.0), early_share=1.0).apply(made, honest(made))
    eta = made.photon_efficiency
    exact = photon_response([eta, 0.2 * eta], made.receiver.misalignment, (made.dark_ratio, made.dark_ratio))
    thin, whole = (shown(x, SENDER.intensities) for x in (shifted, exact))
    assert np.allclose(thin.gain, whole.gain, rtol=1e-3)
    assert np.allclose(thin.qber, whole.qber, rtol=1e-2)


def test_an_equalising_mixture_shows_even_bits_and_tells_eve_as_much() -> None:
    """Ones are half of the bits, the gain is down, and Eve knows what the shift says."""
    early, late = (0.55, 0.08), (0.06, 0.2)
    even = TimeShift(early=early, late=late, early_share=attacks.equalising_share(early, late))
    seen = effect(link(), even, Distillation())
    assert seen.after.ones_ratio == pytest.approx(0.5, abs=1e-4)
    assert seen.after.sifted_rate_bits_per_s < 0.5 * seen.before.sifted_rate_bits_per_s
    assert seen.eve_share > 0.3
    sharp = TimeShift(early=(1.0, 0.0), late=(0.0, 1.0))
    assert sharp.eve_share(link()) == pytest.approx(1.0)
    for pair in (((1.0, 0.5), (1.0, 0.5)), ((0.5, 0.5), (0.5, 0.5))):
        with pytest.raises(ValueError, match="different detectors"):
            attacks.equalising_share(*pair)


LEAKY = LinkParameters(
    channel_loss_db=10.0, pulse_rate_hz=1e9, signal_intensity=0.5, decoy_intensity=0.1, receiver_efficiency=0.125,
    background_yield=1e-5, misalignment=0.01, correction_efficiency=1.2, basis_match=1.0,
)  # fmt: skip
"""The parameters of Figs. 3 and 4 of Lucamarini et al. 2015; their dark count ratio taken as that of both detectors."""


@pytest.mark.parametrize(("photons", "km", "within"), [(0.0, 146.0, 0.5), (1e-6, 140.0, 2.0)])
def test_leaked_light_shortens_the_reach_as_published(photons: float, km: float, within: float) -> None:
    """Lucamarini et al. 2015 after Eq. (9): 146 km without leak, and still key at 140 km (about) with 1e-6."""
    distance = np.arange(0, 200, 0.1)
    made = leaks.leaky_secret_fraction(LEAKY, 0.2 * distance, photons)
    assert distance[made > 0].max() == pytest.approx(km, abs=within)


def test_the_largest_leak_with_key_is_the_published_one() -> None:
    """Positive up to 0.012 photons, same paper."""
    assert leaks.leaky_secret_fraction(LEAKY, 0.0, 0.012) > 0
    assert leaks.leaky_secret_fraction(LEAKY, 0.0, 0.013) == 0


@given(st.floats(0, 0.5), ratios, st.floats(0, 1))
def test_a_leak_never_lowers_the_phase_error(error: float, yield_: float, photons: float) -> None:
    """It stays between the measured one and a half, and none is none."""
    raised = float(leaks.leaked_phase_error(error, yield_, photons))
    assert error - 1e-12 <= raised <= 0.5
    assert float(leaks.leaked_phase_error(error, 0.1, 0.0)) == pytest.approx(error)
    assert TrojanHorse(photons_in=1e6, isolation_db=120.0).photons_out == pytest.approx(1e-6)


def test_without_decoys_splitting_ends_the_reach_at_forty_kilometres() -> None:
    """GLLP with the parameters of Gobby et al.: 40.5 km is published; this form, its signal optimised, gives 40.2."""
    signal, distance = np.linspace(1e-4, 0.3, 2_000), np.arange(35, 50, 0.1)
    made = [
        leaks.secret_fraction_without_decoys(GYS_2004.hardware, GYS_LOSS_DB_PER_KM * km, signal).max()
        for km in distance
    ]
    assert distance[np.array(made) > 0].max() == pytest.approx(40.5, abs=0.5)


def test_a_source_that_is_set_wrong_is_what_is_sent() -> None:
    """Factors multiply intensities; what fits no transmitter is refused; stronger pulses hold more photons for Eve."""
    strong = SourceFlaw(intensity_factors=(1.2, 1.2, 1.2))
    assert strong.really_sent(link()).transmitter.intensities == pytest.approx((0.6, 0.12, 0.0012))
    assert strong.eve_share(link()) > 0
    assert (
        effect(link(), strong, Distillation()).after.gains[0] > effect(link(), strong, Distillation()).before.gains[0]
    )
    with pytest.raises(ValueError, match="its factor"):
        SourceFlaw(intensity_factors=(1.0,)).really_sent(link())
    with pytest.raises(ValueError, match="fall"):
        SourceFlaw(intensity_factors=(0.1, 1.0, 1.0)).really_sent(link())


def test_flipped_states_are_errors() -> None:
    """So many more of the bits are wrong."""
    made = link(misalignment=0.0, dark=0.0)
    seen = shown(SourceFlaw(flipped_ratio=0.03).apply(made, honest(made)), [1e-6])
    assert seen.qber[0, KEY, KEY] == pytest.approx(0.03, abs=1e-6)


def test_every_attack_says_what_tells_and_what_hides() -> None:
    """In words, with its source."""
    for kind in msgspec.inspect.type_info(AnyAttack).types:  # type: ignore[attr-defined]  # a union has types
        assert kind.cls.TELLS
        assert kind.cls.HIDES
        assert kind.cls.SOURCE


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (InterceptResend, {"fraction": 1.1}),
        (InterceptResend, {"fraction": float("nan")}),
        (TimeShift, {"early": (1.0, -0.1), "late": (1.0, 1.0)}),
        (TrojanHorse, {"photons_in": -1.0, "isolation_db": 10.0}),
        (Blinding, {"light_w": 2.0}),
        (SourceFlaw, {"flipped_ratio": 0.6}),
        (SourceFlaw, {"intensity_factor": (1.0,)}),
    ],
)
def test_attacks_that_cannot_be(kind: type[msgspec.Struct], fields: dict[str, object]) -> None:
    """Ranges and names are checked where attacks are read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": kind.__struct_config__.tag, **fields}, kind)
