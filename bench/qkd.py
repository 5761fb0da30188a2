"""How fast and how right the quantum layer is, beside its peers and the limits of physics, all in one call.

Rates are of one core, by processor time, which other work on the machine hardly changes; the wall clock's stand beside
them. Ours and a peer's runs take turns, and a ratio is the median over the turns. A peer that cannot
be had has its row all the same, which says why, and its goal is not met. What can be chosen, by environment:

- `KEYSTRAND_BENCH_QKD`: parts to run, of cascade batched ldpc toeplitz engines chain twin models (default: all)
- `KEYSTRAND_BENCH_QKD_REPEATS` (5) samples of each figure; a warm-up comes before
- `KEYSTRAND_BENCH_CASCADE_CPP`, `KEYSTRAND_BENCH_LDPC4QKD`: folders of these peers' sources, else they are cloned
- `KEYSTRAND_BENCH_CACHE`: where peers are kept (see `bench.peers.packages`)
"""

import os
from collections.abc import Callable

from bench import qkd_cascade, qkd_ldpc, qkd_models, qkd_photons, qkd_toeplitz
from bench.measure import Missing, Row

PARTS: dict[str, Callable[[int], list[Row]]] = {
    "cascade": qkd_cascade.rows,
    "batched": qkd_cascade.batched_rows,
    "ldpc": qkd_ldpc.rows,
    "toeplitz": qkd_toeplitz.rows,
    "engines": qkd_photons.engine_rows,
    "chain": qkd_photons.chain_rows,
    "twin": qkd_photons.twin_rows,
    "models": qkd_models.rows,
}


def chosen() -> list[str]:
    """Return the parts to run, in their order. Raises `Missing` for a part that there is not."""
    named = {name for name in os.environ.get("KEYSTRAND_BENCH_QKD", ",".join(PARTS)).split(",") if name}
    if unknown := named.difference(PARTS):
        raise Missing(f"no parts named {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    return [name for name in PARTS if name in named]


def repeats() -> int:
    """Return how many samples each figure gets. Raises `Missing` for none."""
    text = os.environ.get("KEYSTRAND_BENCH_QKD_REPEATS", "5")
    if not text.isdecimal() or int(text) < 1:
        raise Missing(f"KEYSTRAND_BENCH_QKD_REPEATS must be a number from 1 on, not {text}")
    return int(text)


def rows() -> list[Row]:
    """Return the rows of all chosen parts."""
    count = repeats()
    return [r for name in chosen() for r in PARTS[name](count)]
