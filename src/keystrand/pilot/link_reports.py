"""The quantum link of a pilot under what the campaign does to it: what its model gives, and what its devices report.

Each state is the link model with other parameters, so rate, error ratio and sifted rate belong together. A report's
counts scatter as so many bits would; nothing in it tells what was done to the link.
"""

import msgspec
import numpy as np

from keystrand.model.link import LinkRate
from keystrand.model.telemetry import LinkTelemetry
from keystrand.qkd.decoy import rate

_MOST_LOSS_DB = 60.0
_HALVINGS = 30


def sagging(link: LinkRate, to_bits_per_s: float) -> LinkRate:
    """Return the link with so much more loss that its key rate falls to `to_bits_per_s`, or as near as it gets.

    Raises `ValueError` where that is no less than what it gives.
    """
    if not 0 < to_bits_per_s < link.secret_key_rate_bits_per_s:
        raise ValueError(f"a sag to {to_bits_per_s:g} bit/s is none from {link.secret_key_rate_bits_per_s:g}")
    low, high = 0.0, _MOST_LOSS_DB
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = with_loss(link, middle).secret_key_rate_bits_per_s >= to_bits_per_s
        low, high = (middle, high) if enough else (low, middle)
    return with_loss(link, low)


def with_loss(link: LinkRate, further_db: float) -> LinkRate:
    """Return what the model gives with `further_db` of loss on the channel."""
    now = link.parameters
    return rate(msgspec.structs.replace(now, channel_loss_db=now.channel_loss_db + further_db))


def intercepted(link: LinkRate, fraction: float = 1.0) -> LinkRate:
    """Return the link with `fraction` of the pulses measured in a basis chosen at random and sent anew.

    Half the time the basis is wrong, and then half of the bits are: errors e become e + fraction (1 - 2e) / 4
    (C. H. Bennett, G. Brassard 1984). Gains stay.
    """
    now = link.parameters
    errors = now.misalignment + fraction * (1 - 2 * now.misalignment) / 4
    return rate(msgspec.structs.replace(now, misalignment=errors))


def report(
    link: str, state: LinkRate | None, *, at_s: float, interval_s: float, rng: np.random.Generator
) -> LinkTelemetry:
    """Return what the devices report of the `interval_s` that ends at `at_s`; `state` is None where no light comes."""
    if state is None:
        return LinkTelemetry(link=link, at_s=at_s, interval_s=interval_s, up=False)
    bits = int(rng.poisson(state.sifted_rate_bits_per_s * interval_s))
    wrong = int(rng.binomial(bits, state.qber))
    return LinkTelemetry(
        link=link, at_s=at_s, interval_s=interval_s, sifted_rate_bits_per_s=bits / interval_s,
        secret_key_rate_bits_per_s=max(0.0, state.secret_key_rate_bits_per_s), qber=wrong / bits if bits else None,
    )  # fmt: skip
