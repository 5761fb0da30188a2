"""A greedy planner: each need by the cheapest ways there are now, the largest first, then ripped up and laid again."""

import heapq
from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

from keystrand.model.planning import Protection
from keystrand.plan.topology_links import Link, Problem, cheapest

Step = tuple[int, str, str]
Path = tuple[Step, ...]
Touched = str
"""What two paths may not share: a fibre by its name, a place with `@` in front, a link's number with `#`."""
_TIE = 1e-3
"""Of equally cheap ways, the one with fewer hops."""


class Layout(NamedTuple):
    """The paths of each served need, by its number."""

    routes: dict[int, tuple[Path, ...]]

    def loads(self, problem: Problem) -> dict[int, float]:
        """Return the bit/s on each link that is used."""
        made: dict[int, float] = defaultdict(float)
        for number, paths in self.routes.items():
            for path in paths:
                for link, _, _ in path:
                    made[link] += problem.needs[number].bits_per_s
        return dict(made)

    def relays(self, problem: Problem) -> set[str]:
        """Return the places where keys of others are in the clear."""
        return {
            end for number, paths in self.routes.items() for path in paths for _, _, end in path
            if end != problem.needs[number].b
        }  # fmt: skip

    def cost(self, problem: Problem) -> float:
        """Return what it costs, in thousands; infinite where a fibre cannot hold the systems."""
        total, on_fibre = 0.0, defaultdict[str, int](int)
        for number, load in sorted(self.loads(problem).items()):
            made = cheapest(problem.links[number], load, problem.most_systems)
            if made is None:
                return float("inf")
            total += made[0]
            for fibre in problem.links[number].fibres:
                on_fibre[fibre] += sum(made[1])
        if max(on_fibre.values(), default=0) > problem.most_systems:
            return float("inf")
        return total + sum(problem.node_cost[name] for name in sorted(self.relays(problem)))


class _Built(NamedTuple):
    """What stands on a link."""

    cost: float
    systems: int
    rate_bits_per_s: float


_NOTHING = _Built(0.0, 0, 0.0)


class Laying:
    """Lays paths one by one, and knows what each link carries and what it all costs."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.routes: dict[int, tuple[Path, ...]] = {}
        self.cost = 0.0
        self.loads = [0.0] * len(problem.links)
        self._made = [_NOTHING] * len(problem.links)
        self._on_fibre: dict[str, int] = defaultdict(int)
        self._passing: dict[str, int] = defaultdict(int)
        self._steps = tuple(_steps(problem, number) for number in range(len(problem.needs)))

    def _built(self, number: int, load: float) -> _Built | None:
        """Return what carries `load` on a link, None where its fibres cannot hold it."""
        link, most = self.problem.links[number], self.problem.most_systems
        if (found := cheapest(link, load, most)) is None:
            return None
        systems, had = sum(found[1]), self._made[number].systems
        if systems > had and any(self._on_fibre[f] + systems - had > most for f in link.fibres):
            return None
        return _Built(
            found[0], systems, sum(n * v.rate_bits_per_s for n, v in zip(found[1], link.variants, strict=True))
        )

    def _more(self, number: int, load: float) -> float:
        """Return what `load` more on a link costs; infinite where it cannot carry it."""
        made, total = self._made[number], self.loads[number] + load
        if total <= made.rate_bits_per_s:
            return 0.0
        then = self._built(number, total)
        return float("inf") if then is None else then.cost - made.cost

    def put(self, number: int, paths: Collection[Path]) -> None:
        """Lay these paths of a need, which fit."""
        self._change(number, paths, 1)
        self.routes[number] = tuple(paths)

    def take(self, number: int) -> tuple[Path, ...]:
        """Take the paths of a need away, and return them."""
        paths = self.routes.pop(number)
        self._change(number, paths, -1)
        return paths

    def _change(self, number: int, paths: Collection[Path], sign: int) -> None:
        need = self.problem.needs[number]
        for path in paths:
            for link, _, end in path:
                self._set(link, self.loads[link] + sign * need.bits_per_s)
                if end != need.b:
                    self._passing[end] += sign
                    if self._passing[end] == (1 if sign > 0 else 0):
                        self.cost += sign * self.problem.node_cost[end]

    def _set(self, number: int, load: float) -> None:
        load = load if load > 1e-6 else 0.0
        before = self._made[number]
        found = cheapest(self.problem.links[number], load, self.problem.most_systems)
        if found is None:
            raise ValueError("a path was laid where it does not fit")
        variants = self.problem.links[number].variants
        rate = sum(n * v.rate_bits_per_s for n, v in zip(found[1], variants, strict=True))
        made = self._made[number] = _Built(found[0], sum(found[1]), rate)
        self.loads[number] = load
        self.cost += made.cost - before.cost
        for fibre in self.problem.links[number].fibres:
            self._on_fibre[fibre] += made.systems - before.systems

    def shortest(self, number: int, banned: Collection[Touched]) -> Path | None:
        """Return the cheapest path of a need that touches none of `banned`."""
        need, costs, steps = self.problem.needs[number], self.problem.node_cost, self._steps[number]
        closed = frozenset(banned)
        far: dict[str, float] = {need.a: 0.0}
        came: dict[str, Step] = {}
        queue = [(0.0, need.a)]
        while queue:
            cost, here = heapq.heappop(queue)
            if here == need.b:
                break
            if cost > far[here]:
                continue
            for link, end, touched in steps.get(here, ()):
                if not closed.isdisjoint(touched):
                    continue
                then = cost + self._more(link, need.bits_per_s) + _TIE
                if end != need.b and not self._passing[end]:
                    then += costs[end]
                if then < far.get(end, float("inf")):
                    far[end], came[end] = then, (link, here, end)
                    heapq.heappush(queue, (then, end))
        return _walked(came, need.a, need.b)

    def lay(self, number: int, banned: Collection[Touched] = ()) -> bool:
        """Lay a need's paths one after the other, each clear of the one before, and return whether all were found."""
        need, paths, clear = self.problem.needs[number], list[Path](), set(banned)
        for _ in range(need.paths):
            path = self.shortest(number, clear)
            if path is None:
                self._change(number, paths, -1)
                return False
            self._change(number, (path,), 1)
            paths.append(path)
            clear |= kept_clear(self.problem, number, path)
        self.routes[number] = tuple(paths)
        return True

    def lay_again(self, numbers: Collection[int], banned: Collection[Touched] = ()) -> bool:
        """Take these needs away and lay them anew in this order, clear of `banned`; keep it where it costs less."""
        cost, missing = self.cost, sum(n not in self.routes for n in numbers)
        before = {n: self.take(n) for n in numbers if n in self.routes}
        failed = sum(not self.lay(n, banned) for n in numbers)
        if failed < missing or (failed == missing and self.cost < cost - 1e-6):
            return True
        for n in numbers:
            if n in self.routes:
                self.take(n)
        for n, paths in before.items():
            self.put(n, paths)
        return False

    def layout(self) -> Layout:
        """Return what is laid."""
        return Layout(dict(sorted(self.routes.items())))


def _touched(link: Link, end: str, target: str) -> frozenset[Touched]:
    made = frozenset((*link.fibres, *(f"@{name}" for name in link.bypassed)))
    return made if end == target else made | {f"@{end}"}


def _steps(problem: Problem, number: int) -> dict[str, list[tuple[int, str, frozenset[Touched]]]]:
    made: dict[str, list[tuple[int, str, frozenset[Touched]]]] = defaultdict(list)
    for link, start, end in problem.arcs[number]:
        touched = _touched(problem.links[link], end, problem.needs[number].b)
        made[start].append((link, end, touched | {f"#{link}"}))
    return dict(made)


def kept_clear(problem: Problem, number: int, path: Path) -> set[Touched]:
    """Return what a second path must not touch: fibres, and places where it must survive the loss of one."""
    need = problem.needs[number]
    touched: set[Touched] = set()
    for link, _, end in path:
        touched |= _touched(problem.links[link], end, need.b)
    return touched if need.protection is Protection.NODE else {one for one in touched if not one.startswith("@")}


def _walked(came: dict[str, Step], start: str, end: str) -> Path | None:
    if end not in came:
        return None
    path = [came[end]]
    while path[-1][1] != start:
        path.append(came[path[-1][1]])
    return tuple(reversed(path))


def greedy(problem: Problem, rounds: int = 3) -> Layout:
    """Return the layout of a greedy planner; needs that it finds no room for are not in it."""
    laying = Laying(problem)
    order = by_size(problem)
    for number in order:
        laying.lay(number)
    for _ in range(rounds):
        for number in order:
            laying.lay_again((number,))
    return laying.layout()


def by_size(problem: Problem) -> list[int]:
    """Return the needs, the largest first."""
    return sorted(range(len(problem.needs)), key=lambda n: (-problem.needs[n].bits_per_s, n))
