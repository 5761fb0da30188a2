"""What a link sifts a pulse, expected: detections and errors by intensity and basis, dead time and afterpulses in it.

The sums of the law that the photon engines draw from; its dead time and afterpulses are those of `expected`.
"""

from typing import NamedTuple

from keystrand.qkd.bb84_link import KEY, TEST, Bb84Link
from keystrand.qkd.decoy import Values
from keystrand.qkd.expected import clicks, wrong_weights
from keystrand.qkd.response import DOUBLE, Response, honest


class Sifted(NamedTuple):
    """Expected per pulse sent, all intensities together. The first four have shape (intensities,), strongest first.

    `clicks` are all detections, whatever the bases; `double_ratio` the share of them where both detectors clicked,
    `ones_ratio` the share of 1 among the sifted bits, doubles being even.
    """

    key: Values
    key_errors: Values
    test: Values
    test_errors: Values
    clicks: float
    double_ratio: float
    ones_ratio: float


def sifted(link: Bb84Link, response: Response | None = None) -> Sifted:
    """Return what `link` sifts a pulse, with its own response or what an attack makes of it."""
    made = clicks(link, honest(link) if response is None else response)
    wrong = (made * wrong_weights(len(made))).sum(axis=(3, 4))
    ones = made[..., 1].sum(axis=3) + made[..., DOUBLE].sum(axis=3) / 2
    whole, total = made.sum(axis=(3, 4)), float(made.sum())
    kept = float(sum(whole[:, b, b].sum() for b in (KEY, TEST)))
    ones_kept = float(sum(ones[:, b, b].sum() for b in (KEY, TEST)))
    return Sifted(
        key=whole[:, KEY, KEY],
        key_errors=wrong[:, KEY, KEY],
        test=whole[:, TEST, TEST],
        test_errors=wrong[:, TEST, TEST],
        clicks=total,
        double_ratio=float(made[..., DOUBLE].sum()) / total if total > 0 else 0.0,
        ones_ratio=ones_kept / kept if kept > 0 else 0.5,
    )
