"""What the rules say of every asset of a run's inventory, a million of them or one."""

from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

from keystrand.app.estate import OpenEstate
from keystrand.app.query import store_of
from keystrand.assess.assets import Judge, in_state, tallies
from keystrand.assess.policy import facts_of
from keystrand.edge.analytics.assets import asking, asset, assets, groups
from keystrand.edge.catalogue import beside, policies
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate
from keystrand.model.policy import Policy
from keystrand.model.stages import PolicyState

Row = dict[str, Any]


def tally_rows(opened: OpenEstate, out: Path, *, as_of: date, parquet: Path | None = None) -> list[Row]:
    """Return one row for each rule and state with the number of assets, violations first."""
    known = policies(beside(opened.folder, "policies"))
    rules = {(policy.id, rule.id): rule for policy in known for rule in policy.rules}
    with asking(store_of(out, parquet), parquet) as ask:
        counted = tallies(_judge(opened.estate, known, as_of), groups(ask))
    return [
        {
            "policy": one.policy,
            "rule": one.rule,
            "state": one.state.value,
            "deadline": rules[one.policy, one.rule].deadline.isoformat(),
            "binding": one.policy in opened.estate.organisation.obligations,
            "assets": one.assets,
        }
        for one in counted
    ]


def state_rows(
    opened: OpenEstate, out: Path, state: str, *, as_of: date, policy: str = "", most: int, parquet: Path | None = None
) -> list[Row]:
    """Return one row for each asset that a rule leaves in `state`, `most` at most.

    Raises `InvalidInput` for a policy that there is not.
    """
    known = policies(beside(opened.folder, "policies"))
    if policy and policy not in (names := [p.id for p in known]):
        raise InvalidInput(f"no policy is called {policy!r}", hint=f"known policies: {', '.join(names)}")
    judge = _judge(opened.estate, known, as_of)
    with asking(store_of(out, parquet), parquet) as ask:
        found = in_state(judge, assets(ask), PolicyState(state), policy)
        return [
            {
                "asset": name,
                "system": alike.system,
                "algorithm": alike.algorithm,
                "verdict": alike.verdict,
                "rules": "; ".join(f"{one.policy} {one.clause}" for one in said),
            }
            for name, alike, said in islice(found, most)
        ]


def asset_rows(opened: OpenEstate, out: Path, name: str, *, as_of: date, parquet: Path | None = None) -> list[Row]:
    """Return what every rule says of the asset `name`, and why, in each system that has it.

    Raises `InvalidInput` where no system has an asset of that name.
    """
    judge = _judge(opened.estate, policies(beside(opened.folder, "policies")), as_of)
    with asking(store_of(out, parquet), parquet) as ask:
        found = list(asset(ask, name))
    if not found:
        raise InvalidInput(
            f"no system has an asset {name!r} that a rule could speak of",
            hint="keystrand inventory show lists the assets by their ids",
        )
    return [
        {
            "system": alike.system,
            "policy": said.policy,
            "clause": said.clause,
            "state": said.state.value,
            "deadline": said.deadline.isoformat(),
            "waiver": said.waiver,
            "why": said.reason,
        }
        for _, alike in found
        for said in judge.reasons(alike)
    ]


def _judge(estate: Estate, known: tuple[Policy, ...], as_of: date) -> Judge:
    return Judge(known, dict(_facts(estate, as_of)))


def _facts(estate: Estate, as_of: date) -> Iterator[tuple[str, Any]]:
    return ((system.id, facts_of(estate, system, as_of)) for system in estate.system)
