"""What is left after an approach: against simulation, against brute force, and the promises of its ranges."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan.conftest import AS_OF, _estate

from keystrand.assess.run import DEFAULT_CURVE
from keystrand.edge.catalogue import curves, positions
from keystrand.edge.scenarios import limitations, scenario_set
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate
from keystrand.model.horizon import horizons
from keystrand.model.policy import Position, Stance, ThreatCurve
from keystrand.model.scenario import Assumed, Level, Odds, ScenarioSet
from keystrand.model.stages import Approach, Consequence, Plan, Residual
from keystrand.model.units import Interval
from keystrand.plan.ground import ground_of
from keystrand.plan.residual import Legs, at_stake, both, leg, legs_of, path, residuals
from keystrand.plan.weigh import weigh

ratios = st.floats(min_value=0.0, max_value=1.0)
SEGMENT = _estate().segment[0]
SEED = 20261126


@st.composite
def odds_sets(draw: st.DrawFn) -> ScenarioSet:
    """Any ranges."""
    pairs = {one.name.lower(): sorted((draw(ratios), draw(ratios))) for one in Odds}
    return _odds(**{name: (low, high) for name, (low, high) in pairs.items()})


def _odds(**ranges: tuple[float, float]) -> ScenarioSet:
    """Return the shipped odds with `ranges` in place of theirs."""
    shipped = scenario_set()
    made = [
        msgspec.structs.replace(one, low=low, high=high)
        for one in shipped.assumed
        for low, high in [ranges.get(one.id.name.lower(), (one.low, one.high))]
    ]
    return msgspec.structs.replace(shipped, assumed=tuple(made))


def _by_approach(found: tuple[Residual, ...]) -> dict[Approach, Residual]:
    return {one.approach: one for one in found}


@pytest.mark.parametrize(("node", "shared", "nodes"), [(0.1, 0.3, 3), (0.3, 0.0, 2), (0.2, 1.0, 5), (0.4, 0.5, 1)])
def test_path_of_nodes_is_what_a_simulation_counts(node: float, shared: float, nodes: int) -> None:
    """Each node falls by itself, or all fall at once by the shared cause: within four standard errors."""
    random, draws = np.random.default_rng(SEED), 200_000
    common = random.random(draws) < shared * node
    alone = (random.random((draws, nodes)) < (1 - shared) * node).any(axis=1)
    seen = float((common | alone).mean())
    expected = path(node, shared, nodes)
    assert abs(seen - expected) < 4 * np.sqrt(expected * (1 - expected) / draws)


@pytest.mark.parametrize(("p", "q", "c"), [(0.1, 0.2, 0.0), (0.3, 0.3, 0.25), (0.05, 0.15, 0.3)])
def test_both_is_the_odds_of_two_correlated_events(p: float, q: float, c: float) -> None:
    """Events drawn with that correlation happen together as often as the formula says."""
    found = float(both(Legs(*map(np.asarray, (p, q, c, 0.0)))))
    random, draws = np.random.default_rng(SEED), 400_000
    cells = np.array([found, p - found, q - found, 1 - p - q + found])
    drawn = random.choice(4, draws, p=cells)
    first, second = np.isin(drawn, (0, 1)), np.isin(drawn, (0, 2))
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(c, abs=0.01)
    assert (first.mean(), second.mean()) == (pytest.approx(p, abs=0.005), pytest.approx(q, abs=0.005))


@given(ratios, ratios, ratios)
def test_hybrid_is_never_weaker_than_either_source(p: float, q: float, c: float) -> None:
    """It holds while either holds, whatever they share."""
    legs = Legs(*map(np.asarray, (p, q, c, 0.0)))
    assert 0.0 <= leg(Approach.HYBRID, legs) <= min(leg(Approach.PQC_ONLY, legs), leg(Approach.QKD_FIBRE, legs))


@given(odds_sets(), st.integers(min_value=0, max_value=4))
def test_every_draw_lies_within_the_ranges(odds: ScenarioSet, nodes: int) -> None:
    """Whatever figures within the assumed ranges come true, the result was inside what was said."""
    legs, random = legs_of(odds, nodes), np.random.default_rng(SEED)
    # both ranges are continuous in every figure: what lies between two steps may pass an end by a step's rise
    for _ in range(5):
        one = Legs(*(np.asarray(random.uniform(a.min(), a.max())) for a in legs))
        for approach in (Approach.PQC_ONLY, Approach.HYBRID, Approach.QKD_TRUSTED_NODE):
            safe, box = 1 - one.endpoint, (1 - legs.endpoint) * (legs.pqc - leg(approach, legs))
            value = float(safe * (one.pqc - leg(approach, one)))
            assert box.min() - 0.02 <= value <= box.max() + 0.02
    drawn = {o: random.uniform(odds.of(o).low, odds.of(o).high) for o in Odds}
    nodes_fall = path(drawn[Odds.TRUSTED_NODE], drawn[Odds.SHARED_CAUSE], nodes)
    q = 1 - (1 - drawn[Odds.QKD_SIDE_CHANNEL]) * (1 - nodes_fall)
    assert legs.qkd.min() - 1e-3 <= q <= legs.qkd.max() + 1e-3


def test_ranges_of_the_shipped_odds_by_brute_force(estate: Callable[..., Estate]) -> None:
    """Every corner by plain arithmetic gives the same ends for the approaches whose ends lie in corners."""
    odds = scenario_set()
    ends = [(odds.of(o).low, odds.of(o).high) for o in (Odds.PQC_CRYPTANALYSIS, Odds.PQC_IMPLEMENTATION, Odds.ENDPOINT)]
    readable = [1 - (1 - e) * (1 - a) * (1 - b) for a, b, e in product(*ends)]
    found = _by_approach(residuals(estate().segment[0], odds, None))
    assert found[Approach.PQC_ONLY].readable.low == pytest.approx(min(readable), rel=5e-3)
    assert found[Approach.PQC_ONLY].readable.high == pytest.approx(max(readable), rel=5e-3)
    assert found[Approach.PQC_ONLY].less_readable == Interval(low=0.0, high=0.0)
    assert Approach.QUANTUM_INTERNET_TESTBED not in found


def test_nodes_alone_may_add_risk_and_the_range_says_so(estate: Callable[..., Estate]) -> None:
    """A path of nodes by itself can be weaker than post-quantum only: below zero. Combined it never is."""
    found = _by_approach(residuals(estate(via=["hub"]).segment[0], scenario_set(), Interval(low=1.0, high=2.0)))
    alone, combined = found[Approach.QKD_TRUSTED_NODE], found[Approach.HYBRID]
    assert alone.less_readable.low < 0 < alone.less_readable.high
    assert combined.less_readable.low >= 0
    assert alone.avoided_data_years
    assert alone.avoided_data_years.low == pytest.approx(2 * alone.less_readable.low, rel=1e-2)
    consequences = {one.scenario: one.consequence for one in combined.scenarios}
    assert consequences["trusted-node"] is Consequence.HOLDS
    assert consequences["endpoint"] is Consequence.READABLE
    assert consequences["denial-of-service"] is Consequence.FALLS_BACK


@given(st.integers(min_value=0, max_value=6))
def test_every_further_node_adds_risk(nodes: int) -> None:
    """The odds of a path rise with its nodes, and never pass one."""
    assert path(0.05, 0.3, nodes) < path(0.05, 0.3, nodes + 1) < 1


def test_what_lies_exposed_is_that_of_the_data_on_the_segment(estate: Callable[..., Estate]) -> None:
    """Longer secrets lie exposed longer; where no data is named it is unknown, not zero."""
    curve = _curve()
    ends = horizons(curve, AS_OF)
    short, long = (
        at_stake(of.segment[0], ground_of(of), ends) for of in (estate(retention_years=5), estate(retention_years=30))
    )
    assert short
    assert long
    assert short.low < long.low
    assert short.high < long.high
    nothing = estate(systems=[])
    assert at_stake(nothing.segment[0], ground_of(nothing), ends) is None


def test_weighing_changes_no_choice_and_names_its_assumptions(
    estate: Callable[..., Estate], plan: Callable[..., Plan], position: Callable[..., Position]
) -> None:
    """Residuals stand beside the decisions, answers beside the positions, and every figure among the assumptions."""
    known = positions()
    curve = _curve()
    made = plan(estate(), positions=known)
    weighed = weigh(made, estate(), scenario_set(), curve, limitations(known))
    assert weighed == weigh(made, estate(), scenario_set(), curve, limitations(known))
    (before,), (after,) = made.decisions, weighed.decisions
    assert msgspec.structs.replace(after, residuals=()) == before
    assert after.residuals
    nsa = next(ref for ref in weighed.positions if ref.id == "us-nsa")
    assert len(nsa.limitations) == 5
    assert all(one.mitigation and one.left for one in nsa.limitations)
    names = [assumption.name for assumption in weighed.assumptions]
    assert {f"odds of {one.value} (assumed)" for one in Odds} <= set(names)
    forbidden = plan(estate(), positions=(position(),))
    (gated,) = weigh(forbidden, estate(), scenario_set(), curve, {}).decisions
    assert gated.residuals == ()


def test_who_speaks_against_it_is_answered() -> None:
    """Every shipped position that discourages has an answer to each of its limitations, or to it as a whole."""
    answered = limitations(positions())
    for position in positions():
        if position.stance is Stance.DISCOURAGES:
            assert len(answered[position.id]) == max(1, len(position.limitations))


def test_odds_of_ones_own_take_the_place_of_the_shipped(tmp_path: Path) -> None:
    """One file beside the estate is used; none leaves the shipped ones."""
    assert scenario_set(tmp_path) == scenario_set()
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "ours.toml").write_text(_text().replace('id = "assumed"', 'id = "ours"', 1))
    assert scenario_set(tmp_path).id == "ours"
    (tmp_path / "scenarios" / "second.toml").write_text(_text())
    with pytest.raises(InvalidInput, match="several"):
        scenario_set(tmp_path)


def _text() -> str:
    rows = "".join(
        f'[[assumed]]\nid = "{one.value}"\nlow = 0.1\nhigh = 0.2\nlevel = "assumed"\ntext = "t"\nsource = "s"\n'
        for one in Odds
    )
    return f'id = "assumed"\nname = "n"\nas_of = 2026-11-26\n{rows}'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("low = 0.1", "low = 0.3", "above the high end"),
        ("high = 0.2", "high = 1.2", "ours.toml:7: assumed[0].high: 1.2 is too large"),
        ('id = "endpoint"', 'id = "trusted-node"', "missing or repeated: trusted-node, endpoint"),
        ('level = "assumed"', 'level = "sure"', "level"),
        ("low = 0.1", "low = ", "ours.toml:6: Invalid value"),
    ],
)
def test_bad_odds_are_told_with_file_and_field(tmp_path: Path, old: str, new: str, said: str) -> None:
    """What is no range, no ratio or not complete is an error that names the file, and the place."""
    (tmp_path / "scenarios").mkdir()
    path_ = tmp_path / "scenarios" / "ours.toml"
    path_.write_text(_text().replace(old, new, 1))
    with pytest.raises(InvalidInput) as caught:
        scenario_set(tmp_path)
    problems: Any = caught.value.problems
    assert any(said in str(problem) for problem in problems)
    assert all(str(path_) == problem.file for problem in problems)


def test_levels_are_named() -> None:
    """Nothing that ships claims to be more than assumed."""
    assert {one.level for one in scenario_set().assumed} == {Level.ASSUMED}
    with pytest.raises(ValueError, match="above the high end"):
        Assumed(id=Odds.ENDPOINT, low=0.2, high=0.1, level=Level.ASSUMED, text="t", source="s")


@given(st.floats(min_value=0.01, max_value=0.5), st.floats(min_value=0.01, max_value=0.5))
def test_gain_of_a_hybrid_is_the_published_product(p: float, q: float) -> None:
    """Independent sources behind perfect end points: the gain is p (1 - q), the odds that only the other one fails."""
    odds = _odds(
        pqc_cryptanalysis=(p, p), pqc_implementation=(0.0, 0.0), qkd_side_channel=(q, q), trusted_node=(0.0, 0.0),
        endpoint=(0.0, 0.0), common_failure=(0.0, 0.0),
    )  # fmt: skip
    found = _by_approach(residuals(SEGMENT, odds, Interval(low=10.0, high=10.0)))[Approach.HYBRID]
    assert found.less_readable.low == pytest.approx(p * (1 - q), rel=6e-3)
    assert found.less_readable.high == pytest.approx(p * (1 - q), rel=6e-3)
    assert found.avoided_data_years
    assert found.avoided_data_years.low == pytest.approx(10 * p * (1 - q), rel=2e-2)


def test_a_range_of_shelf_lives_widens_what_lies_exposed(estate: Callable[..., Estate]) -> None:
    """Where retention is a range, its ends are taken; the single figure lies within."""
    of, ends = estate(retention_years=20), horizons(_curve(), AS_OF)
    wide = tuple(msgspec.structs.replace(one, retention_range_years=(10.0, 30.0)) for one in of.data_class)
    one = at_stake(of.segment[0], ground_of(of), ends)
    other = at_stake(of.segment[0], ground_of(msgspec.structs.replace(of, data_class=wide)), ends)
    assert one
    assert other
    assert other.low < one.low <= one.high < other.high


def _curve() -> ThreatCurve:
    return next(one for one in curves() if one.id == DEFAULT_CURVE)
