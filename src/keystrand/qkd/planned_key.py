"""The finite key a BB84 link is planned to make: blocks of a given size, with the counts that are expected.

The sum is that of the two protocols' proofs (`finite_one_decoy`, `finite_two_decoys`), with expected counts in place of
measured ones. So it is a plan, never a guarantee: a real block has its own counts, and its own key length.

The same physics as `sifted.sifted`, which goes by photon numbers, in closed form: a phase-randomised pulse of mean mu
leaves each of two threshold detectors quiet independently of the other. Every argument may be an array, which is what
curves and the search for the best setting need.
"""

from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import ArrayLike

from keystrand.qkd import finite_one_decoy, finite_two_decoys
from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.decoy import Values
from keystrand.qkd.distillation import least_leak
from keystrand.qkd.finite import Counts, KeyLength, Security, Source
from keystrand.qkd.response import port_clicks

MODEL = "decoy-state BB84, finite key of expected counts"
SOURCE = {
    2: "Rusca et al., Appl. Phys. Lett. 112, 171104 (2018)",
    3: "Lim et al., Phys. Rev. A 89, 022307 (2014)",
}
"""By the number of intensities."""


class Block(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a block becomes key: once `block_bits` are sifted in the basis of the key.

    `correction_efficiency` is f of error correction, whose cost is f n h(E); `authentication_bits` is what the
    messages of a block cost in key. With `afterpulses_follow` an afterpulse belongs to the intensity of the click
    before it, as Lim et al. have it; without, it falls on any pulse.
    """

    block_bits: Annotated[float, Meta(ge=1, le=1e18)] = 1e7
    correction_efficiency: Annotated[float, Meta(ge=1, le=2)] = 1.05
    authentication_bits: Annotated[int, Meta(ge=0, le=2**40)] = 16_384
    security: Security = Security()
    afterpulses_follow: bool = False


class PlannedLink(Bb84Link, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link and how its blocks become key: the file of `keystrand qkd optimise`."""

    block: Block = Block()


class Setting(NamedTuple):
    """What the two ends choose: shapes (..., intensities), the same, and (...) for the ratios of the key's basis."""

    intensities: Values
    probabilities: Values
    alice_key_basis: Values
    bob_key_basis: Values


class Expected(NamedTuple):
    """Per pulse sent: what is sifted, shapes (..., intensities), and for what share of time the receiver is live."""

    counts: Counts
    live: Values


class Planned(NamedTuple):
    """What a link is planned to make, arrays of one shape. `sum` is the waterfall of a block, in bits.

    `secret_bits` of a block are after authentication. Where nothing is sifted, rates are 0, QBERs and the phase error
    1/2, and a block takes for ever (infinity).
    """

    sum: KeyLength
    secret_bits: Values
    rate_bits_per_s: Values
    bits_per_pulse: Values
    sifted_bits_per_s: Values
    block_s: Values
    key_qber: Values
    test_qber: Values
    phase_error: Values


def setting_of(link: Bb84Link) -> Setting:
    """Return what the link's own ends choose."""
    sender = link.transmitter
    return Setting(
        np.array(sender.intensities),
        np.array(sender.probabilities),
        np.array(sender.key_basis_ratio),
        np.array(link.receiver.key_basis_ratio),
    )


def expected(
    link: Bb84Link, loss_db: ArrayLike | None = None, setting: Setting | None = None, *, follow: bool = False
) -> Expected:
    """Return what is sifted a pulse, dead time and afterpulses in it, at losses and settings that broadcast.

    Raises ValueError for a loss that is negative or not finite.
    """
    chosen = setting_of(link) if setting is None else setting
    light = chosen.intensities * _arriving(link, loss_db)[..., None]
    right, wrong = port_clicks(light, link.receiver.misalignment, link.dark_ratio)
    click = right + wrong - right * wrong
    failed = wrong * (1 - right) + right * wrong / 2  # a double is a random bit
    primary = (chosen.probabilities * click).sum(axis=-1, keepdims=True)
    after = link.receiver.afterpulse_ratio * (click if follow else primary)
    clicks = (1 + link.receiver.afterpulse_ratio) * primary[..., 0]
    live = 1 / (1 + clicks * link.dead_slots)
    weight = chosen.probabilities * live[..., None]
    key = weight * (chosen.alice_key_basis * chosen.bob_key_basis)[..., None]
    test = weight * ((1 - chosen.alice_key_basis) * (1 - chosen.bob_key_basis))[..., None]
    kept, bad = click + after, failed + after / 2
    return Expected(Counts(key * kept, key * bad, test * kept, test * bad), np.asarray(live))


def planned(
    link: Bb84Link, block: Block, loss_db: ArrayLike | None = None, setting: Setting | None = None
) -> Planned:  # fmt: skip
    """Return the key of blocks of `block` at losses (by default the link's) and settings (the link's) that broadcast.

    Raises ValueError for losses, intensities or probabilities that cannot be.
    """
    chosen = setting_of(link) if setting is None else setting
    seen = expected(link, loss_db, chosen, follow=block.afterpulses_follow).counts
    sifted = seen.key.sum(axis=-1)
    some = sifted > 0
    pulses = np.where(some, block.block_bits / np.where(some, sifted, 1.0), 0.0)
    counts = Counts(*(one * pulses[..., None] for one in seen))
    module = finite_one_decoy if chosen.intensities.shape[-1] == 2 else finite_two_decoys
    leak = block.correction_efficiency * least_leak(counts)
    made: KeyLength = module.key_length(counts, Source(chosen.intensities, chosen.probabilities), leak, block.security)
    secret = np.maximum(made.length_bits - block.authentication_bits, 0.0)
    per_pulse = np.where(some, secret / np.where(some, pulses, 1.0), 0.0)
    hz = link.transmitter.pulse_rate_hz
    return Planned(
        sum=made,
        secret_bits=secret,
        rate_bits_per_s=per_pulse * hz,
        bits_per_pulse=per_pulse,
        sifted_bits_per_s=sifted * hz,
        block_s=np.where(some, pulses / hz, np.inf),
        key_qber=_error(seen.key_errors, seen.key),
        test_qber=_error(seen.test_errors, seen.test),
        phase_error=made.phase_error,
    )


def _arriving(link: Bb84Link, loss_db: ArrayLike | None) -> Values:
    loss = np.asarray(link.channel_loss_db if loss_db is None else loss_db, dtype=np.float64)
    if not np.all(np.isfinite(loss) & (loss >= 0)):
        raise ValueError("a loss must be finite and not negative")
    return np.asarray(link.receiver.efficiency * 10.0 ** (-loss / 10.0))


def _error(wrong: Values, whole: Values) -> Values:
    total = whole.sum(axis=-1)
    return np.where(total > 0, wrong.sum(axis=-1) / np.where(total > 0, total, 1.0), 0.5)
