"""Signs of faults and attacks, from reports alone: the confusion matrix, what stays unseen, and what is refused."""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest

from keystrand.model.telemetry import LinkTelemetry
from keystrand.operate.link_kinds import ATTACKS, Kind
from keystrand.operate.link_signs import UNSEEN, classify, unseen
from keystrand.qkd import attacks, faults
from keystrand.qkd.attacks import AnyAttack
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.coexistence import Classical
from keystrand.qkd.distillation import Distillation
from keystrand.qkd.observables import Device, distilled, telemetry

WATCHED = Device(link="a", current=True)
BASELINE, REPORTS, INTERVAL_S = 60, 60, 60.0
START_S = (BASELINE + 15) * INTERVAL_S
Scene = Callable[[np.random.Generator], tuple[Sequence[faults.AnyFault], Sequence[attacks.AnyAttack]]]


def random_link(rng: np.random.Generator) -> Bb84Link:
    """Return one of many links a bank might have."""
    receiver = Receiver(
        efficiency=rng.uniform(0.05, 0.2), dark_count_ratio=10 ** rng.uniform(-6.3, -5.5),
        misalignment=rng.uniform(0.005, 0.02), dead_time_s=rng.choice([0.0, 5e-8]),
        afterpulse_ratio=rng.uniform(0, 0.02),
    )  # fmt: skip
    sender = Transmitter(
        pulse_rate_hz=10 ** rng.uniform(8, 9), intensities=(0.5, 0.1, 0.001), probabilities=(0.7, 0.2, 0.1)
    )
    return Bb84Link(transmitter=sender, receiver=receiver, channel_loss_db=rng.uniform(6, 14))


def _fault(made: Callable[[np.random.Generator], faults.AnyFault]) -> Scene:
    return lambda rng: ((made(rng),), ())


def _attack(made: Callable[[np.random.Generator], attacks.AnyAttack]) -> Scene:
    return lambda rng: ((), (made(rng),))


SCENES: dict[str, Scene] = {
    "quiet": lambda rng: ((), ()),  # noqa: ARG005 - every scene is asked alike
    "intercept-resend": _attack(lambda rng: attacks.InterceptResend(fraction=rng.uniform(0.02, 1))),
    "photon-number splitting": _attack(lambda rng: attacks.PhotonNumberSplitting(fraction=rng.uniform(0.2, 1))),
    "blinding": _attack(lambda rng: attacks.Blinding(imitates_doubles=bool(rng.random() < 0.5))),
    "time-shift": _attack(
        lambda rng: attacks.TimeShift(
            early=(rng.uniform(0.7, 1), rng.uniform(0.1, 0.3)), late=(0.1, 0.4), early_share=rng.uniform(0.6, 1)
        )
    ),
    "loss of the fibre": _fault(
        lambda rng: faults.FibreBend(start_s=START_S, ramp_s=rng.uniform(0, 600), loss_db=rng.uniform(0.3, 3))
    ),
    "polarisation drift": _fault(
        lambda rng: faults.PolarisationDrift(
            start_s=START_S, ramp_s=rng.uniform(600, 1800), duration_s=rng.uniform(1800, 2400),
            recovery_s=rng.uniform(0, 600), misalignment=rng.uniform(0.01, 0.05),
        )
    ),
    "heat": _fault(lambda rng: faults.Heat(start_s=START_S, ramp_s=1200.0, rise_k=rng.uniform(4, 14))),
    "detector degradation": _fault(
        lambda rng: faults.DetectorDegradation(
            start_s=START_S, ramp_s=rng.uniform(0, 1200), lost_ratio=rng.uniform(0.1, 0.6),
            added_afterpulse_ratio=rng.uniform(0, 0.03),
        )
    ),
    "clock loss": _fault(lambda rng: faults.ClockLoss(start_s=START_S, duration_s=rng.uniform(300, 2400))),
    "background light": _fault(
        lambda rng: faults.RamanNoise(
            start_s=START_S, length_km=40.0, classical=Classical(co_propagating_mw=10 ** rng.uniform(-3, -1.5))
        )
    ),
    "classical channel out": _fault(
        lambda rng: faults.ClassicalOutage(start_s=START_S, duration_s=rng.uniform(120, 2400))
    ),
    "down": _fault(lambda rng: faults.Cut(start_s=START_S, duration_s=rng.uniform(120, 2400))),
}  # fmt: skip
"""By the kind that is to be said of it. The sizes are those of the physics; nothing is tuned to the signs."""


def series(scene: str, seed: int, device: Device = WATCHED) -> list[LinkTelemetry]:
    """Return baseline and reports of a random link in which `scene` happens."""
    rng = np.random.default_rng([seed, sorted(SCENES).index(scene)])
    link = random_link(rng)
    broken, attacked = SCENES[scene](rng)
    return reports(link, rng, broken, attacked, device)


def reports(
    link: Bb84Link,
    rng: np.random.Generator,
    broken: Sequence[faults.AnyFault] = (),
    attacked: Sequence[attacks.AnyAttack] = (),
    device: Device = WATCHED,
) -> list[LinkTelemetry]:
    """Return the reports of a link with faults, and attacks from `START_S` on."""
    made = []
    for n in range(1, BASELINE + REPORTS + 1):
        at_s = n * INTERVAL_S
        state = faults.link_at(link, broken, at_s)
        on = bool(attacked) and at_s > START_S
        light = sum(one.light_w * one.fraction for one in attacked if isinstance(one, attacks.Blinding)) if on else 0.0
        made.append(
            telemetry(
                device,
                state,
                at_s,
                INTERVAL_S,
                rng,
                response=attacks.combined(attacked, state.link) if on else None,
                light_w=light,
            )
        )
    return distilled(made, link.transmitter, Distillation())


TEST_SEEDS, ALL_SEEDS = range(5000, 5003), range(5000, 5050)
"""The limits were not chosen with these: seeds 0 to 49 and 1000 to 3002 were looked at for that."""


def confusion(seeds: range) -> Counter[tuple[str, str]]:
    """Return how often each scene was called each kind."""
    found: Counter[tuple[str, str]] = Counter()
    for scene in SCENES:
        for seed in seeds:
            made = series(scene, seed)
            found[scene, str(classify(made[:BASELINE], made[BASELINE:]).kind)] += 1
    return found


def right(found: Counter[tuple[str, str]]) -> float:
    """Return the share of scenes called by their name."""
    return sum(count for (scene, kind), count in found.items() if scene == kind) / found.total()


def test_causes_are_told_apart() -> None:
    """Thirteen kinds, three links each, on seeds that were not used for tuning."""
    found = confusion(TEST_SEEDS)
    assert right(found) >= 0.9, found


@pytest.mark.slow
def test_causes_are_told_apart_in_95_of_100() -> None:
    """Thirteen kinds, fifty links each: at least 95 % right in all, at least 80 % of each kind, and no quiet link is
    called attacked."""
    found = confusion(ALL_SEEDS)
    assert right(found) >= 0.95, found
    assert all(found[scene, scene] >= 40 for scene in SCENES), found
    assert not any(found["quiet", str(kind)] for kind in ATTACKS), found


def judged(
    attacked: list[AnyAttack], broken: list[faults.AnyFault] | None = None, device: Device = WATCHED, seed: int = 5
) -> Kind:
    """Return what is said of a link under attacks and faults."""
    rng = np.random.default_rng(seed)
    made = reports(random_link(rng), rng, broken or [], attacked, device)
    return classify(made[:BASELINE], made[BASELINE:]).kind


BLIND_DEVICE = msgspec.structs.replace(WATCHED, current=False)


@pytest.mark.parametrize(
    ("attack", "device"),
    [
        (attacks.Blinding(imitates_doubles=True), BLIND_DEVICE),
        (attacks.Blinding(), msgspec.structs.replace(BLIND_DEVICE, doubles=False)),
        (attacks.BeamSplitting(), WATCHED),
        (attacks.TrojanHorse(photons_in=1e6, isolation_db=60.0), WATCHED),
    ],
)
@pytest.mark.parametrize("seed", [5, 6])
def test_what_cannot_be_seen_is_not_seen(attack: AnyAttack, device: Device, seed: int) -> None:
    """No alarm, though Eve learns key; what shows them is a monitor that is not there."""
    assert attack.eve_share(random_link(np.random.default_rng(seed))) > 0
    assert judged([attack], device=device, seed=seed) is Kind.QUIET


def test_splitting_without_counts_by_intensity_looks_like_a_little_loss() -> None:
    """The decoys' missing clicks are all that is left of it, and they have no name."""
    said = judged([attacks.PhotonNumberSplitting()], device=msgspec.structs.replace(WATCHED, counts=False))
    assert said not in ATTACKS


def test_what_cannot_be_seen_is_said() -> None:
    """By the figures that a device reports: fewer monitors, more that stays hidden."""
    rng = np.random.default_rng(1)
    link = random_link(rng)
    whole = unseen(reports(link, rng)[:3])
    assert whole == UNSEEN
    part = unseen(reports(link, rng, device=BLIND_DEVICE)[:3])
    assert [one.attack for one in part if one not in whole] == ["blinding whose faked states imitate double clicks"]
    bare = unseen(reports(link, rng, device=Device(link="a", counts=False, doubles=False))[:3])
    assert [one.attack for one in bare if one not in whole] == ["blinding", "photon-number splitting"]


def test_a_balanced_time_shift_is_called_what_it_looks_like() -> None:
    """Even bits and fewer clicks at an unchanged fibre: a worn detector, with the attack among what it may be."""
    early, late = (0.55, 0.08), (0.06, 0.2)
    even = attacks.TimeShift(early=early, late=late, early_share=attacks.equalising_share(early, late))
    rng = np.random.default_rng(3)
    made = reports(random_link(rng), rng, [], [even])
    said = classify(made[:BASELINE], made[BASELINE:])
    assert said.kind is Kind.DETECTOR_DEGRADATION
    assert any("time-shift" in words for words in said.also)


def test_a_stronger_source_is_unknown_and_says_what_it_may_be() -> None:
    """More light in all intensities alike: seeding or a better fibre, no fault that the signs know."""
    rng = np.random.default_rng(31)
    link = random_link(rng)
    strong = faults.LinkState(attacks.SourceFlaw(intensity_factors=(1.2, 1.2, 1.2)).really_sent(link))
    usual = faults.LinkState(link)
    made = [
        telemetry(WATCHED, strong if n > 80 else usual, n * INTERVAL_S, INTERVAL_S, rng, believed=link.transmitter)
        for n in range(1, 121)
    ]
    said = classify(made[:BASELINE], made[BASELINE:])
    assert said.kind is Kind.UNKNOWN
    assert any("seeded" in words for words in said.also)


def test_without_a_vacuum_intensity_background_is_among_the_causes() -> None:
    """One decoy cannot tell background from an attack, and the verdict says so."""
    rng = np.random.default_rng(32)
    sender = Transmitter(pulse_rate_hz=1e9, intensities=(0.5, 0.15), probabilities=(0.7, 0.3))
    link = msgspec.structs.replace(random_link(rng), transmitter=sender)
    broken, _ = SCENES["background light"](rng)
    made = reports(link, rng, broken)
    said = classify(made[:BASELINE], made[BASELINE:])
    assert any("background" in words for words in said.also)


def test_a_cut_hides_no_attack() -> None:
    """Whoever cuts the fibre to cover what follows is named for what follows; a cut and a bend are both said."""
    cut: list[faults.AnyFault] = [faults.Cut(start_s=START_S, duration_s=600.0)]
    assert judged([attacks.InterceptResend(fraction=0.2)], cut) is Kind.INTERCEPT_RESEND
    rng = np.random.default_rng(33)
    made = reports(random_link(rng), rng, [*cut, faults.FibreBend(start_s=START_S, loss_db=1.0)])
    said = classify(made[:BASELINE], made[BASELINE:])
    assert said.kind is Kind.DOWN
    assert "loss of the fibre" in said.why


def test_a_loss_hides_no_attack() -> None:
    """Errors that the loss does not explain make the change unknown, and intercept-resend is among the causes."""
    rng = np.random.default_rng(34)
    bend = faults.FibreBend(start_s=START_S, loss_db=2.0)
    made = reports(random_link(rng), rng, [bend], [attacks.InterceptResend(fraction=0.1)])
    said = classify(made[:BASELINE], made[BASELINE:])
    assert said.kind is Kind.UNKNOWN
    assert any("intercept-resend" in words for words in said.also)


def test_one_basis_attacked_is_said() -> None:
    """Errors in the test basis only."""
    rng = np.random.default_rng(4)
    made = reports(random_link(rng), rng, [], [attacks.InterceptResend(fraction=0.2, key_basis_ratio=1.0)])
    said = classify(made[:BASELINE], made[BASELINE:])
    assert said.kind is Kind.INTERCEPT_RESEND
    assert "in one basis only (test_qber)" in said.why


def test_an_attack_and_a_drift_name_each_other() -> None:
    """They give the same figures, and the verdict says so; the start is found within two reports."""
    rng = np.random.default_rng(6)
    made = reports(random_link(rng), rng, [], [attacks.InterceptResend(fraction=0.1)])
    said = classify(made[:BASELINE], made[BASELINE:])
    assert any("polarisation" in words for words in said.also)
    assert said.since_s == pytest.approx(START_S, abs=2 * INTERVAL_S)
    assert said.alarm_at_s is not None
    assert said.alarm_at_s > START_S


def test_heat_that_trips_a_device_is_called_heat() -> None:
    """Down, and hot just before."""
    hot: list[faults.AnyFault] = [faults.Heat(start_s=START_S, ramp_s=1200.0, rise_k=20.0)]
    assert judged([], hot) is Kind.HEAT


def test_announced_work_is_not_judged() -> None:
    """Down within the window is planned; down beyond it is not."""
    rng = np.random.default_rng(7)
    work: list[faults.AnyFault] = [faults.Maintenance(start_s=START_S, duration_s=600.0)]
    made = reports(random_link(rng), rng, work)
    base, rest = made[:BASELINE], made[BASELINE:]
    assert classify(base, rest, planned=[(START_S - 60, START_S + 660)]).kind is Kind.PLANNED
    assert classify(base, rest, planned=[(START_S - 60, START_S + 300)]).kind is Kind.DOWN
    assert classify(base, rest, planned=[(0.0, 1e9)]).kind is Kind.PLANNED


@pytest.mark.parametrize("fault", ["empty", "short", "backwards", "nan"])
def test_series_that_cannot_be_judged(fault: str) -> None:
    """Nothing to judge, no baseline, disorder, and figures that are no numbers."""
    rng = np.random.default_rng(8)
    made = reports(random_link(rng), rng)[: BASELINE + 3]
    base, rest = made[:BASELINE], made[BASELINE:]
    if fault == "empty":
        rest = []
    elif fault == "short":
        base = base[:5]
    elif fault == "backwards":
        rest = rest[::-1]
    else:
        rest = [*rest[:2], msgspec.structs.replace(rest[2], test_qber=float("nan"))]
    with pytest.raises(ValueError, match=r"baseline needs|order|no number"):
        classify(base, rest)
