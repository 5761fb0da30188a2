"""From a block's counts to its secret bits, as a device distils: finite key, error correction, authentication.

The two-party session does this with bits; here it is arithmetic on counts, for plans, twins and fits.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from keystrand.qkd import finite_one_decoy, finite_two_decoys
from keystrand.qkd.bb84_link import Bb84Link, Transmitter
from keystrand.qkd.decoy import Values, binary_entropy
from keystrand.qkd.finite import Counts, KeyLength, Security
from keystrand.qkd.sifted import sifted


class Distillation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a device makes key of its detections: those of `block_s` together.

    `correction_efficiency` is f of error correction, whose cost is f n h(E); `authentication_bits` is what the
    messages of a block cost in key.
    """

    block_s: Annotated[float, Meta(gt=0, le=1e7)] = 600.0
    correction_efficiency: Annotated[float, Meta(ge=1, le=2)] = 1.05
    authentication_bits: Annotated[int, Meta(ge=0, le=2**40)] = 16_384
    security: Security = Security()


def key_length(counts: Counts, transmitter: Transmitter, distillation: Distillation) -> KeyLength:
    """Return the finite key of blocks of `counts` (..., intensities), its leak estimated as f n h(E)."""
    bounded = finite_one_decoy.key_length if len(transmitter.intensities) == 2 else finite_two_decoys.key_length
    leak = distillation.correction_efficiency * least_leak(counts)
    return bounded(counts, transmitter.source, leak, distillation.security)


def secret_bits(counts: Counts, transmitter: Transmitter, distillation: Distillation) -> NDArray[np.int64]:
    """Return the bits that are left of each block once its messages are authenticated, at least 0."""
    length = key_length(counts, transmitter, distillation).length_bits
    return np.asarray(np.maximum(length - distillation.authentication_bits, 0.0).astype(np.int64))


def expected_counts(link: Bb84Link, seconds: float) -> Counts:
    """Return what `link` sifts in `seconds`, on average."""
    made, pulses = sifted(link), link.transmitter.pulse_rate_hz * seconds
    return Counts(*(pulses * one for one in (made.key, made.key_errors, made.test, made.test_errors)))


def secret_rate_bits_per_s(link: Bb84Link, distillation: Distillation) -> float:
    """Return the secret key rate of blocks with the expected counts; a modelled value."""
    counts = expected_counts(link, distillation.block_s)
    return float(secret_bits(counts, link.transmitter, distillation)) / distillation.block_s


def least_leak(counts: Counts) -> Values:
    """Return the fewest bits that correct a block: n h(E)."""
    whole, wrong = counts.key.sum(axis=-1), counts.key_errors.sum(axis=-1)
    ratio = np.where(whole > 0, wrong / np.where(whole > 0, whole, 1.0), 0.0)
    return np.asarray(whole * binary_entropy(ratio))
