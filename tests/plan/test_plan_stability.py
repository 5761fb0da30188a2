"""How firm the ratings of the comparison are, and that both the guide's tips and its fits come out of the rules."""

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from keystrand.model.estate import Estate
from keystrand.model.stages import Approach, SegmentDecision
from keystrand.model.units import Answer
from keystrand.plan.comparison import CUTS, PROFILES, Burden, weight
from keystrand.plan.rules import NO, YES, Fact, SegmentFacts, choose
from keystrand.plan.stability import CUTS_BY, WEIGHTS_BY, stability


def test_complexity_survives_as_often_as_an_independent_count() -> None:
    """One draw after the other in plain Python, with another generator: the same share within four standard errors."""
    random, draws, kept = np.random.RandomState(7), 4000, 0
    for _ in range(draws):
        cuts = [cut + random.uniform(-CUTS_BY, CUTS_BY) for cut in CUTS]
        changed = {one: random.uniform(1 - WEIGHTS_BY, 1 + WEIGHTS_BY) for one in Burden}
        kept += all(
            _level(sum(weight(b, degrades=p.degrades) * changed[b] for b in set_), cuts)
            == _level(sum(weight(b, degrades=p.degrades) for b in set_), CUTS)
            for p in PROFILES.values()
            for set_ in (p.always, p.always | p.sometimes)
        )
    share = kept / draws
    assert abs(stability().complexity_column - share) < 4 * np.sqrt(2 * share * (1 - share) / draws)
    assert 0.74 < stability().complexity_column < 0.82


def _level(total: float, cuts: Any) -> int:
    return sum(total >= cut for cut in cuts)


def test_same_seed_same_shares_and_no_column_is_firmer_than_its_cells() -> None:
    """The result is repeatable; all five stay less often than any one of them."""
    found = stability(draws=500, seed=3)
    assert found == stability.__wrapped__(draws=500, seed=3)
    assert found.complexity_column <= min(found.complexity.values())
    assert found.readiness_column <= min(found.readiness.values())
    assert "500 draws (seed 3)" in found.text


def test_post_quantum_is_the_broad_default() -> None:
    """Over every combination of answers, the default is chosen far more often than all others together."""
    names = SegmentFacts.__struct_fields__
    free = [name for name in names if name not in ("permitted", "psk_permitted", "advice_accepted", "programme_named")]
    given = dict.fromkeys(names, Fact(YES, ""))
    chosen = Counter(
        choose(SegmentFacts(**given | {n: Fact(a, "") for n, a in zip(free, answers, strict=True)}))
        for answers in product((YES, NO), repeat=len(free))
    )
    assert chosen[Approach.PQC_ONLY] > 0.9 * chosen.total()
    assert set(chosen) == set(Approach)


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"continuity": "may-wait"}, Approach.QKD_FIBRE),
        ({}, Approach.HYBRID),
        ({"via": ["hub"], "length_km": 100.0, "loss_db": 21.0}, Approach.QKD_TRUSTED_NODE),
        ({"purpose": "research", "programme": "National testbed"}, Approach.QUANTUM_INTERNET_TESTBED),
        ({"retention_years": 2}, Approach.PQC_ONLY),
    ],
)
@pytest.mark.parametrize("sector", ["banking", "electricity grid", "federal ministry"])
def test_best_fit_of_the_guide(
    sector: str,
    changes: dict[str, Any],
    fits: Approach,
    estate: Callable[..., Estate],
    decision: Callable[..., SegmentDecision],
) -> None:
    """A few links of the highest value; backbones of several sites; most links that must go on; research; the rest."""
    assert decision(estate(sector=sector, **changes)).chosen is fits


@pytest.mark.parametrize("lacking", [{"dedicated_optics": "no"}, {"specialised_operation": "no"}, {}])
@pytest.mark.parametrize("answer", [Answer.NO, Answer.UNKNOWN])
def test_second_tip_no_candidate_yet(
    lacking: dict[str, str],
    answer: Answer,
    estate: Callable[..., Estate],
    decision: Callable[..., SegmentDecision],
    segment_row: dict[str, Any],
) -> None:
    """What does not justify optics, nodes and operation is no candidate yet, and is asked where nobody knows."""
    case = segment_row["quantum"] | (dict.fromkeys(lacking, answer.value) or {"trusted_nodes": answer.value})
    made = decision(estate(via=["hub"], length_km=100.0, loss_db=21.0, quantum=case))
    assert made.chosen is Approach.PQC_ONLY
    assert made.rules[2].fired is (YES if answer is Answer.NO else Answer.UNKNOWN)
    assert bool(made.questions) is (answer is Answer.UNKNOWN)
