"""`./dev bench inventory`: the inventory against its peers and its goals, part by part, in one run.

`KEYSTRAND_BENCH_INVENTORY` names parts, separated by commas, in place of all. A part whose peer or daemon is not here
says so and leaves the others alone.
"""

import os
import sys
from collections.abc import Callable

from bench import (
    inventory_cbom,
    inventory_files,
    inventory_net,
    inventory_passive,
    inventory_source,
    inventory_store,
    inventory_truth,
    inventory_udp,
)
from bench.measure import Failed, Missing, Row

PARTS: dict[str, Callable[[], list[Row]]] = {
    "truth": inventory_truth.rows,
    "network": inventory_net.rows,
    "udp": inventory_udp.rows,
    "captures": inventory_passive.rows,
    "files": inventory_files.rows,
    "source": inventory_source.rows,
    "cbom": inventory_cbom.rows,
    "store": inventory_store.rows,
}


def rows() -> list[Row]:
    """Return the rows of all chosen parts. Raises `Failed` where a part is named that is none."""
    return [row for name in _chosen() for row in _measured(name)]


def _chosen() -> list[str]:
    named = [word.strip() for word in os.environ.get("KEYSTRAND_BENCH_INVENTORY", "").split(",") if word.strip()]
    if strangers := sorted(set(named) - PARTS.keys()):
        raise Failed(f"no part {strangers[0]!r} of the inventory's benchmark: there are {', '.join(PARTS)}")
    return named or list(PARTS)


def _measured(name: str) -> list[Row]:
    try:
        return PARTS[name]()
    except Missing as missing:
        sys.stderr.write(f"bench inventory, {name} left out: {missing}\n")
        return []
