"""A small explicit-state model checker: every state that can be reached, by the shortest way, and what is wrong there.

Breadth first, so the way to the first fault is as short as any. The states are kept, not their hashes alone: nothing is
left out by chance.
"""

from array import array
from collections.abc import Hashable, Iterator
from time import perf_counter
from typing import Generic, NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Step(NamedTuple, Generic[S]):
    """One thing that can happen next. `due`: it comes by itself, by a deadline or by whoever owns what waits."""

    what: str
    then: S
    due: bool = False


class System(Protocol[S]):
    """What is checked."""

    def start(self) -> S:
        """Return the first state."""

    def steps(self, state: S) -> Iterator[Step[S]]:
        """Yield everything that can happen in `state`."""

    def faults(self, state: S) -> Iterator[str]:
        """Yield what is wrong with `state`: each invariant that does not hold."""

    def rests(self, state: S) -> bool:
        """Return whether nothing is left to do in `state` unless somebody asks for more."""


class Report(NamedTuple):
    """What was found. `way` leads from the start to where `fault` is; without a fault both are empty."""

    states: int
    steps: int
    seconds: float
    fault: str = ""
    way: tuple[str, ...] = ()

    def __str__(self) -> str:
        numbers = f"{self.states:,} states, {self.steps:,} steps, {self.seconds:.1f} s"
        lines = [f"{n:3}. {what}" for n, what in enumerate(self.way, 1)]
        return "\n".join([numbers, *lines, f"     => {self.fault}"] if self.fault else [numbers])


class TooLarge(AssertionError):
    """There are more states than were allowed for."""


class _Walk(Generic[S]):
    """The states found so far, in order, each with the step that led to it first."""

    def __init__(self, system: System[S]) -> None:
        self.system, self.begun = system, perf_counter()
        self.found: dict[S, int] = {system.start(): 0}
        self.before, self.by = array("l", [-1]), [""]
        self.steps = 0

    def way(self, at: int) -> tuple[str, ...]:
        """Return what leads to state number `at`."""
        way: list[str] = []
        while at > 0:
            way.append(self.by[at])
            at = self.before[at]
        return tuple(reversed(way))

    def report(self, fault: str = "", way: tuple[str, ...] = ()) -> Report:
        """Return how far it came."""
        return Report(len(self.found), self.steps, perf_counter() - self.begun, fault, way)


def check(system: System[S], *, at_most: int) -> Report:
    """Return the first fault of `system` or none, after all its states. Raises `TooLarge` beyond `at_most` states.

    Beside the invariants: whatever happened, the steps that are due lead to rest, in whatever order they come.
    """
    walk = _Walk(system)
    found, states = walk.found, [system.start()]
    owed_from, owed_to = array("l"), array("l")
    for at, state in enumerate(states):  # grows while it is read
        for fault in system.faults(state):
            return walk.report(fault, walk.way(at))
        due = False
        for what, then, is_due in system.steps(state):
            walk.steps += 1
            to = found.setdefault(then, len(states))
            if to == len(states):
                states.append(then)
                walk.before.append(at)
                walk.by.append(what)
            if is_due:
                due = True
                owed_from.append(at)
                owed_to.append(to)
        if due == system.rests(state):
            return walk.report("nothing is due and yet it is not at rest, or the reverse", walk.way(at))
        if len(states) > at_most:
            raise TooLarge(f"more than {at_most} states")
    if (at := _goes_round(len(states), owed_from, owed_to)) >= 0:
        return walk.report("what is due goes round for ever", walk.way(at))
    return walk.report()


def _goes_round(states: int, heads: "array[int]", tails: "array[int]") -> int:
    """Return a state from which steps that are due need not end, -1 where there is none (Kahn's order of a graph)."""
    left = array("l", bytes(states * array("l").itemsize))
    into: list[list[int]] = [[] for _ in range(states)]
    for head, tail in zip(heads, tails, strict=True):
        left[head] += 1
        into[tail].append(head)
    ended = [at for at in range(states) if not left[at]]
    for at in ended:  # grows while it is read
        for head in into[at]:
            left[head] -= 1
            if not left[head]:
                ended.append(head)
    return -1 if len(ended) == states else next(at for at in range(states) if left[at])
