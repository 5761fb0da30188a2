"""What limits a planned link: each cause taken away in turn, and what the key rate would be without it."""

from typing import NamedTuple

import msgspec

from keystrand.qkd.bb84_link import Bb84Link
from keystrand.qkd.planned_key import Block, planned

ENDLESS_BITS = 1e15
"""A block where chance no longer counts: within 1 % of the asymptotic rate."""
NAMED_FROM = 2.0
"""A cause is named when without it there would be so many times the key; else it is the loss."""
LOSS = "loss of the channel"


class Limit(NamedTuple):
    """What the rate would be without a cause, and by what factor that is more.

    The factor is None where the link makes no key as it stands: then any key is without measure more.
    """

    name: str
    rate_without_bits_per_s: float
    factor: float | None


def limits(link: Bb84Link, block: Block) -> tuple[Limit, ...]:
    """Return every cause with the rate without it, the costliest first; the link keeps its setting."""
    base = float(planned(link, block).rate_bits_per_s)
    rates = ((name, float(planned(*without).rate_bits_per_s)) for name, without in _without(link, block))
    made = [Limit(name, rate, rate / base if base > 0 else None) for name, rate in rates]
    return tuple(sorted(made, key=lambda one: -one.rate_without_bits_per_s))


def limited_by(link: Bb84Link, block: Block) -> str:
    """Return in words the cause whose absence would help most; the loss, where none would give twice the key."""
    found = [one for one in limits(link, block) if one.name != LOSS]
    base, first = float(planned(link, block).rate_bits_per_s), found[0]
    if base <= 0 and first.rate_without_bits_per_s <= 0:
        return f"{LOSS} and imperfections together: taking one away makes no key"
    return first.name if first.rate_without_bits_per_s > NAMED_FROM * base else LOSS


def _without(link: Bb84Link, block: Block) -> tuple[tuple[str, tuple[Bb84Link, Block]], ...]:
    replace = msgspec.structs.replace

    def receiver(**better: float) -> tuple[Bb84Link, Block]:
        return replace(link, receiver=replace(link.receiver, **better)), block

    return (
        (LOSS, (replace(link, channel_loss_db=0.0), block)),
        ("dark counts of the detectors", receiver(dark_count_ratio=0.0)),
        ("background light, Raman noise with it", (replace(link, background_ratio=0.0), block)),
        ("misalignment of the optics", receiver(misalignment=0.0)),
        ("size of the block", (link, replace(block, block_bits=max(ENDLESS_BITS, block.block_bits)))),
        ("saturation: the detectors are blind after each click", receiver(dead_time_s=0.0)),
        ("afterpulses of the detectors", receiver(afterpulse_ratio=0.0)),
        ("error correction beyond Shannon's limit", (link, replace(block, correction_efficiency=1.0))),
    )
