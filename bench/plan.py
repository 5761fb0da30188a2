"""`./dev bench plan`: assessing and planning against their peers and goals, part by part, in one run.

`KEYSTRAND_BENCH_PLAN` names parts, separated by commas, in place of all. A part whose input or peer is not here says so
and leaves the others alone.
"""

import os
import sys
from collections.abc import Callable

from bench import (
    plan_approach,
    plan_assets,
    plan_cost,
    plan_exposure,
    plan_roadmap,
    plan_topology,
    plan_vendors,
)
from bench.measure import Failed, Missing, Row

PARTS: dict[str, Callable[[], list[Row]]] = {
    "assets": plan_assets.rows,
    "exposure": plan_exposure.rows,
    "approach": plan_approach.rows,
    "topology": plan_topology.rows,
    "roadmap": plan_roadmap.rows,
    "cost": plan_cost.rows,
    "vendors": plan_vendors.rows,
}


def rows() -> list[Row]:
    """Return the rows of all chosen parts. Raises `Failed` where a part is named that is none."""
    return [row for name in _chosen() for row in _measured(name)]


def _chosen() -> list[str]:
    named = [word.strip() for word in os.environ.get("KEYSTRAND_BENCH_PLAN", "").split(",") if word.strip()]
    if strangers := sorted(set(named) - PARTS.keys()):
        raise Failed(f"no part {strangers[0]!r} of the plan's benchmark: there are {', '.join(PARTS)}")
    return named or list(PARTS)


def _measured(name: str) -> list[Row]:
    try:
        return PARTS[name]()
    except Missing as missing:
        sys.stderr.write(f"bench plan, {name} left out: {missing}\n")
        return []
