"""Series of reports with a known cause, drawn from the link's physics: what the signs are to be judged by."""

from collections.abc import Callable, Sequence

import numpy as np

from keystrand.model.telemetry import LinkTelemetry
from keystrand.qkd import attacks, faults
from keystrand.qkd.bb84_link import Bb84Link, Receiver, Transmitter
from keystrand.qkd.coexistence import Classical
from keystrand.qkd.distillation import Distillation
from keystrand.qkd.observables import Device, telemetry

WATCHED = Device(link="a", current=True, distillation=Distillation())
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
    return made
