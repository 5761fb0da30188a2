"""Needs for a network that says none: the busiest pairs of its traffic, or what the user names."""

from collections.abc import Sequence

import numpy as np

from keystrand.formats.decode import near_name
from keystrand.formats.network_raw import Traffic
from keystrand.model.errors import InvalidInput
from keystrand.model.network import FibreNetwork, KeyNeed
from keystrand.model.planning import Protection

KEY_BITS = 256
"""An AES-256 key."""
_KEYS_PER_S = (2, 20)


def busiest(traffic: Sequence[Traffic], count: int, seed: int, protection: Protection) -> tuple[KeyNeed, ...]:
    """Return needs for the `count` pairs with the most traffic, both directions together.

    How many keys they need, no traffic tells: 2 to 19 AES-256 keys a second are drawn for each. A made-up load.
    """
    total: dict[tuple[str, str], float] = {}
    for one in traffic:
        a, b = sorted((one.a, one.b))
        total[a, b] = total.get((a, b), 0.0) + one.value
    ranked = sorted(total.items(), key=lambda pair: -pair[1])[:count]
    draws = np.random.default_rng(seed)
    return tuple(
        KeyNeed(
            id=f"{a} - {b}", a=a, b=b, bits_per_s=float(draws.integers(*_KEYS_PER_S)) * KEY_BITS, protection=protection
        )
        for (a, b), _ in ranked
    )


def named(words: Sequence[str], network: FibreNetwork, protection: Protection) -> tuple[KeyNeed, ...]:
    """Return the needs that `words` name, each as PLACE:PLACE:BITS_PER_S. Raises `InvalidInput` with what is wrong."""
    known = [node.id for node in network.nodes]
    return tuple(_named(word, n, known, protection) for n, word in enumerate(words, start=1))


def _named(word: str, number: int, known: Sequence[str], protection: Protection) -> KeyNeed:
    parts = word.rsplit(":", 1)
    ends = parts[0].split(":") if len(parts) == 2 else []
    try:
        rate = float(parts[-1])
    except ValueError:
        rate = 0.0
    if len(ends) != 2 or not 0 < rate < float("inf"):
        raise InvalidInput(
            f"--demand {word!r} is no demand", hint="write PLACE:PLACE:BITS_PER_S, such as Ulm:Kiel:2560"
        )
    for name in ends:
        if name not in known:
            near = near_name(name, known)
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known[:8])}"
            raise InvalidInput(f"--demand {word!r}: the network has no place called {name!r}", hint=hint)
    if ends[0] == ends[1]:
        raise InvalidInput(f"--demand {word!r}: both ends are {ends[0]!r}", hint="name two different places")
    return KeyNeed(id=f"{number}: {ends[0]} - {ends[1]}", a=ends[0], b=ends[1], bits_per_s=rate, protection=protection)
