"""What an attack does to the figures of a link, before and after, expected values: the numbers behind its words."""

from typing import NamedTuple

from keystrand.qkd.attacks import AnyAttack, SourceFlaw, combined
from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.decoy import Values
from keystrand.qkd.distillation import Distillation, secret_bits
from keystrand.qkd.finite import Counts
from keystrand.qkd.response import Response, honest
from keystrand.qkd.sifted import Sifted, sifted


class Figures(NamedTuple):
    """Expected figures of a link: QBERs, detections a pulse sent of each intensity, and rates in bit/s."""

    key_qber: float
    test_qber: float
    gains: Values
    sifted_rate_bits_per_s: float
    secret_rate_bits_per_s: float
    double_ratio: float
    ones_ratio: float


class Effect(NamedTuple):
    """A link without and with an attack, and what Eve knows of the sifted key, at most."""

    before: Figures
    after: Figures
    eve_share: float


def effect(link: Bb84Link, attack: AnyAttack, distillation: Distillation) -> Effect:
    """Return what `attack` does to `link`. Alice distils with the intensities she believes in."""
    sent = attack.really_sent(link) if isinstance(attack, SourceFlaw) else link
    made = figures(link, sent, combined((attack,), sent), distillation)
    return Effect(figures(link, link, honest(link), distillation), made, attack.eve_share(link))


def figures(believed: Bb84Link, sent: Bb84Link, response: Response, distillation: Distillation) -> Figures:
    """Return the figures of what is `sent`, distilled as if it were what is `believed`."""
    made, pulses = sifted(sent, response), sent.transmitter.pulse_rate_hz
    counts = Counts(*(pulses * distillation.block_s * one for one in made[:4]))
    bits = int(secret_bits(counts, believed.transmitter, distillation))
    return Figures(
        key_qber=_share(made.key_errors, made.key),
        test_qber=_share(made.test_errors, made.test),
        gains=(made.key + made.test) / sent.transmitter.probabilities,
        sifted_rate_bits_per_s=pulses * _kept(made),
        secret_rate_bits_per_s=bits / distillation.block_s,
        double_ratio=float(made.double_ratio),
        ones_ratio=float(made.ones_ratio),
    )


def _kept(made: Sifted) -> float:
    return float(made.key.sum() + made.test.sum())


def _share(part: Values, whole: Values) -> float:
    return float(part.sum() / whole.sum()) if whole.sum() > 0 else 0.5
