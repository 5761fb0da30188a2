"""Re-checks a schedule step by step, with nothing of what made it but the words of the problem."""

from collections import defaultdict
from collections.abc import Iterator

from keystrand.plan.roadmap_problem import Problem, Whole


def broken(problem: Problem, starts: Whole) -> tuple[str, ...]:
    """Return every rule that `starts` breaks, in words; empty: none. It counts the hands of every team from event to
    event, by its own reckoning."""
    if len(starts) != problem.size:
        return (f"{len(starts)} starts for {problem.size} jobs",)
    begins = [int(start) for start in starts]
    ends = [begin + int(length) for begin, length in zip(begins, problem.length, strict=True)]
    return (*_alone(problem, begins, ends), *_waiting(problem, begins, ends), *_crowded(problem, begins, ends))


def _alone(problem: Problem, begins: list[int], ends: list[int]) -> Iterator[str]:
    for n, name in enumerate(problem.ids):
        if begins[n] < problem.release[n]:
            yield f"{name} begins at {begins[n]}, before its release at {problem.release[n]}"
        row = int(problem.calendar[n])
        for low, high in problem.frozen[row] if row >= 0 else ():
            if low <= ends[n] < high:
                yield f"{name} ends at {ends[n]}, in the freeze from {low} to {high}"


def _waiting(problem: Problem, begins: list[int], ends: list[int]) -> Iterator[str]:
    for n, before in enumerate(problem.before):
        for first in before:
            if begins[n] < ends[first]:
                yield f"{problem.ids[n]} begins at {begins[n]}, before {problem.ids[first]} ends at {ends[first]}"


def _crowded(problem: Problem, begins: list[int], ends: list[int]) -> Iterator[str]:
    events: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for n in range(problem.size):
        events[int(problem.team[n])] += [(begins[n], int(problem.engineers[n])), (ends[n], -int(problem.engineers[n]))]
    for team, changes in events.items():
        busy = 0
        for step, hands in sorted(changes):
            busy += hands
            if busy > problem.capacity[team]:
                yield f"team {team} has {problem.capacity[team]} hands, and {busy} are busy at {step}"
                break
