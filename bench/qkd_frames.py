"""The frames that Cascade is measured on, drawn from a seed."""

import numpy as np

from keystrand.qkd.cascade import Bits

BITS = 65_536


def drawn(qber: float, frames: int, seed: int) -> tuple[Bits, Bits, list[int]]:
    """Return Alice's frames, Bob's with errors, and the points of the tags."""
    rng = np.random.default_rng(seed)
    alice = rng.integers(0, 2, (frames, BITS), dtype=np.uint8)
    errors = (rng.random((frames, BITS), dtype=np.float32) < qber).view(np.uint8)
    return alice, alice ^ errors, [int(point) for point in rng.integers(1, 2**63, frames)]
