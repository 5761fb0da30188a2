"""What no protocol can exceed: bounds of secret bits per optical mode, without and with repeaters.

The bound without a repeater is `keystrand.qkd.decoy.repeaterless_bound`. With repeaters the network is cut at each
segment in turn, and the weakest one decides: S. Pirandola, Communications Physics 2, 51 (2019). Every loss is that
of the whole channel between the two users, so that a protocol with a station in the middle is measured alike.
"""

import numpy as np
from numpy.typing import ArrayLike

from keystrand.qkd.decoy import Values, repeaterless_bound

SOURCE = "Pirandola, Communications Physics 2, 51 (2019)"


def single_repeater_bound(loss_db: ArrayLike) -> Values:
    """Return -log2(1 - sqrt(t)) bits per mode: one repeater halfway along `loss_db`, which must be above 0."""
    return segments_bound(loss_db, 2)


def segments_bound(loss_db: ArrayLike, segments: ArrayLike) -> Values:
    """Return bits per mode of `loss_db` cut by repeaters into so many equal segments. Broadcasts like NumPy.

    Raises `ValueError` for less than one segment.
    """
    parts = np.asarray(segments, dtype=np.float64)
    if np.any(parts < 1):
        raise ValueError("a chain has at least one segment")
    return repeaterless_bound(np.asarray(loss_db, dtype=np.float64) / parts)


def chain_bound(segment_losses_db: ArrayLike) -> Values:
    """Return bits per mode of a chain whose last axis holds each segment's loss: the bound of the weakest."""
    return np.asarray(np.min(repeaterless_bound(segment_losses_db), axis=-1))
