"""Roadmaps: sound schedules, the best by brute force, bounds below every schedule, reasons, and conflicts in words."""

from datetime import date
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystrand.model.planning import Freeze
from keystrand.plan.roadmap_bound import bounded
from keystrand.plan.roadmap_check import broken
from keystrand.plan.roadmap_core import conditions, relaxed, smallest_conflict
from keystrand.plan.roadmap_exact import feasible, improved, in_time
from keystrand.plan.roadmap_freeze import frozen_spans
from keystrand.plan.roadmap_problem import NEVER, Problem, Whole, cost, heads
from keystrand.plan.roadmap_search import search, usual_effort
from keystrand.plan.roadmap_serial import as_announced, best_serial, by_deadline, hurried, serial, tightened

AS_OF = date(2026, 11, 24)
TEAMS = 2


def whole(values: list[int]) -> Whole:
    """Return the values as an array of whole numbers."""
    return np.array(values, dtype=np.int64)


@st.composite
def problems(draw: st.DrawFn, most: int = 8, longest: int = 6) -> Problem:
    """A small problem; jobs wait only for earlier ones, so there is no circle, and every job fits its team."""
    size = draw(st.integers(1, most))
    some = st.integers(0, 30)
    return Problem(
        ids=tuple(f"j{n}" for n in range(size)),
        team=whole([draw(st.integers(0, TEAMS - 1)) for _ in range(size)]),
        length=whole([draw(st.integers(1, longest)) for _ in range(size)]),
        engineers=whole([draw(st.integers(1, 2)) for _ in range(size)]),
        release=whole([draw(st.integers(0, 5)) for _ in range(size)]),
        deadline=whole([draw(st.sampled_from([5, 10, NEVER])) for _ in range(size)]),
        before=tuple(tuple(sorted(draw(st.sets(st.integers(0, n - 1), max_size=2)))) if n else () for n in range(size)),
        capacity=whole([draw(st.integers(2, 3)) for _ in range(TEAMS)]),
        calendar=whole([draw(st.sampled_from([-1, 0])) for _ in range(size)]),
        frozen=(((4, 7), (12, 14)),),
        windows=tuple(((low, low + 2),) for low in (draw(some) for _ in range(size))),
        surcharge=np.array([draw(st.sampled_from([0.0, 1.5])) for _ in range(size)]),
        pitch=5,
        exposure=np.cumsum(
            np.sort([[draw(st.integers(0, 20)) / 4 for _ in range(6)] for _ in range(size)], axis=1), axis=1
        ),
        late_cost=0.5,
        announced=whole([draw(st.sampled_from([-1, 9])) for _ in range(size)]),
        move_cost=draw(st.sampled_from([0.0, 0.25])),
    )


@given(problems())
def test_serial_schedules_are_sound(problem: Problem) -> None:
    """Whatever the order, the independent check finds nothing; nor after moves into windows or to the left."""
    for starts in (serial(problem, by_deadline(problem)), best_serial(problem), as_announced(problem)):
        assert broken(problem, starts) == ()
        tight = tightened(problem, starts)
        assert broken(problem, tight) == ()
        assert cost(problem, tight).total <= cost(problem, starts).total


@given(problems(most=12), st.data())
def test_the_check_finds_what_is_broken(problem: Problem, choices: st.DataObject) -> None:
    """A sound schedule with one job moved to before its release, or before what it waits for, is told."""
    starts = best_serial(problem)
    n = choices.draw(st.integers(0, problem.size - 1))
    starts[n] = -1
    assert any(problem.ids[n] in words for words in broken(problem, starts))


@settings(max_examples=15, deadline=None)
@given(problems(most=3, longest=3))
def test_the_proven_best_is_the_best_of_all(problem: Problem) -> None:
    """No sound schedule of all those within the time that matters is cheaper than what is called the best; where some
    hold every deadline, the best of those counts."""
    found = search(problem, effort=5.0)
    assert found.proven
    last = int(max(heads(problem).max(), 14)) + 8
    tried = (whole(list(starts)) for starts in product(range(last), repeat=problem.size))
    sound = [cost(problem, starts) for starts in tried if not broken(problem, starts)]
    in_time = [made for made in sound if not made.late]
    best = min(made.total for made in in_time or sound)
    assert cost(problem, found.starts).total == pytest.approx(best, abs=0.001 * problem.size)
    assert bool(in_time) == (cost(problem, found.starts).late == 0)


@settings(max_examples=25, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_the_bound_is_below_every_schedule(problem: Problem, random: Any) -> None:
    """Of a known schedule and of any other that the serial method makes, the bound is never above the cost."""
    bound = bounded(problem, best_serial(problem)).value
    for _ in range(10):
        starts = serial(problem, np.array([random.random() for _ in problem.ids]))
        assert bound <= cost(problem, starts).total + 1e-6


@settings(max_examples=25, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_what_ends_add_to_the_bound_is_below_what_a_schedule_costs(problem: Problem, random: Any) -> None:
    """Summed over the ends of any schedule, the excess and the bound are never above its cost (reduced costs)."""
    bound = bounded(problem, best_serial(problem))
    assert bound.excess is not None
    assert broken(problem, bound.starts) == ()
    for _ in range(10):
        starts = serial(problem, np.array([random.random() for _ in problem.ids]))
        ends = np.minimum(starts + problem.length, bound.excess.shape[1] - 1)
        added = float(bound.excess[np.arange(problem.size), ends].sum())
        assert bound.value + added <= cost(problem, starts).total + 1e-6


@settings(max_examples=25, deadline=None)
@given(problems())
def test_hurrying_and_the_solver_hold_deadlines(problem: Problem) -> None:
    """What is late comes earlier, in sound schedules; where the solver says that all can be in time, they are."""
    starts = best_serial(problem)
    hurry, exact = hurried(problem, starts), in_time(problem, limit=1.0)
    assert broken(problem, hurry) == ()
    assert not cost(problem, hurry).late or (hurry == starts).all()
    assert (exact is not None) == (feasible(problem, limit=1.0) is True)
    if exact is not None:
        assert broken(problem, exact) == ()
        assert cost(problem, exact).late == 0


@settings(max_examples=15, deadline=None)
@given(problems())
def test_searching_is_repeatable_and_never_worse(problem: Problem) -> None:
    """Equal problems give equal starts, sound and no dearer than the serial ones, unless those miss a deadline that can
    be held; stopping at once gives sound ones."""
    found, again = search(problem, effort=0.3), search(problem, effort=0.3)
    assert (found.starts == again.starts).all()
    assert broken(problem, found.starts) == ()
    made, peer = cost(problem, found.starts), cost(problem, best_serial(problem))
    assert made.total <= peer.total + 1e-9 or made.late == 0 < peer.late
    assert found.bound <= cost(problem, found.starts).total + 1e-9
    assert broken(problem, search(problem, stop=lambda: True).starts) == ()


@settings(max_examples=20, deadline=None)
@given(problems())
def test_a_smallest_conflict_is_one_and_every_part_of_it_is_needed(problem: Problem) -> None:
    """What is returned is impossible, and possible without any one of its conditions."""
    found = smallest_conflict(problem)
    every = relaxed(problem, conditions(problem))
    if not found:
        assert feasible(every, limit=1.0) is True
        return
    assert feasible(relaxed(problem, found), limit=5.0) is False
    for one in found:
        rest = [other for other in found if other != one]
        assert feasible(relaxed(problem, rest), limit=5.0) is True


def test_a_neighbourhood_leaves_the_others_alone() -> None:
    """Only the free jobs move, and the whole stays sound."""
    problem = three_in_a_row()
    starts = serial(problem, by_deadline(problem))
    answer = improved(problem, starts, [2], limit=1.0)
    assert (answer.starts[:2] == starts[:2]).all()
    assert broken(problem, answer.starts) == ()


def three_in_a_row() -> Problem:
    """Return three jobs of one team with one hand."""
    return Problem(
        ids=("a", "b", "c"), team=whole([0, 0, 0]), length=whole([3, 3, 3]), engineers=whole([1, 1, 1]),
        release=whole([0, 0, 0]), deadline=whole([NEVER] * 3), before=((), (), ()), capacity=whole([1]),
        calendar=whole([-1] * 3), frozen=(), windows=((), (), ()), surcharge=np.zeros(3), pitch=10,
        exposure=np.array([[0.0, 1.0], [0.0, 5.0], [0.0, 2.0]]), late_cost=1.0, announced=whole([-1] * 3),
    )  # fmt: skip


def test_what_exposes_most_goes_first() -> None:
    """Smith's rule on one machine: by exposure over length, which is the optimum there."""
    found = search(three_in_a_row())
    assert found.proven
    assert found.starts.tolist() == [6, 0, 3]


def test_the_usual_effort_keeps_proofs_that_are_cheap() -> None:
    """Whole where everything may be proven and where there is much to find; half in between."""
    assert [usual_effort(size) for size in (1, 60, 61, 200, 201, 5000)] == [1.0, 1.0, 0.5, 0.5, 1.0, 1.0]


def test_an_announced_date_is_kept_unless_moving_it_saves_more() -> None:
    """The announced order stands when a move costs more than the exposure that it saves, and falls when it is cheap."""
    announced = three_in_a_row()._replace(announced=whole([3, 6, 9]))
    assert search(announced._replace(move_cost=5.0)).starts.tolist() == [0, 3, 6]
    assert search(announced._replace(move_cost=0.001)).starts.tolist() == [6, 0, 3]


def test_a_freeze_over_the_new_year_is_one_span_and_two_freezes_join() -> None:
    """15 December to 6 January, and the rest of January after it; a leap day is there in leap years alone."""
    freezes = [
        Freeze(id="a", why="peak", first="12-15", last="01-06"),
        Freeze(id="b", why="audit", first="01-07", last="01-31"),
    ]
    spans = frozen_spans(freezes, "any", date(2026, 12, 1))
    assert spans[0] == (14, 62)
    assert all(high < low for (_, high), (low, _) in pairwise(spans))
    leap = frozen_spans([Freeze(id="c", why="x", first="02-29", last="02-29")], None, date(2027, 2, 27))
    assert leap[0] == (1, 2)
    assert frozen_spans([Freeze(id="d", why="x", first="01-01", last="01-31", owners=("other",))], "any", AS_OF) == ()
