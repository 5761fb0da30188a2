"""What the rules say of every single asset, at any number of them.

To a rule two assets are alike where algorithm, function and verdict are the same and their systems stand alike before
the law. So a database groups the assets, each kind is judged once by the rules that judge findings, and the numbers are
added up: a million certificates are a few thousand judgements, and there is one place that knows what a rule says.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from keystrand.assess.findings import JUDGED, served, sized
from keystrand.assess.policy import Facts, judge
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.estate import System
from keystrand.model.policy import Policy
from keystrand.model.stages import Finding, PolicyFinding, PolicyState
from keystrand.model.units import Answer


class Alike(NamedTuple):
    """Assets of one system that no rule tells apart. `function` is empty where the algorithm alone says it."""

    system: str
    algorithm: str
    bits: int | None
    function: str
    verdict: str


class Tally(NamedTuple):
    """How many assets one rule leaves in one state; an asset that several systems use counts in each of them."""

    policy: str
    rule: str
    state: PolicyState
    assets: int


_Judged = tuple[PolicyFinding, ...]


class Judge:
    """The rules over one estate, with a memory: what is alike is judged once."""

    def __init__(self, policies: tuple[Policy, ...], facts: Mapping[str, Facts]) -> None:
        self._policies, self._facts = policies, facts
        self._standing = {name: _standing(one) for name, one in facts.items()}
        self._known: dict[tuple[object, ...], _Judged] = {}

    def of(self, alike: Alike) -> _Judged:
        """Return what every rule says of assets that are `alike`; nothing of a function that no rule speaks of."""
        finding = finding_of(alike)
        if finding is None or alike.system not in self._facts:
            return ()
        key = (self._standing[alike.system], finding.function, finding.algorithms, finding.verdict)
        if key not in self._known:
            self._known[key] = judge(self._policies, finding, self._facts[alike.system])
        return self._known[key]

    def reasons(self, alike: Alike) -> _Judged:
        """Return the same as `of` with the reasons in the words of this very system."""
        finding = finding_of(alike)
        return judge(self._policies, finding, self._facts[alike.system]) if finding else ()


def finding_of(alike: Alike) -> Finding | None:
    """Return the finding that assets make by themselves, None for what no quantum computer threatens.

    An asset that is safe accepts nothing classical: what else its service accepts is another asset.
    """
    name = sized(alike.algorithm, alike.bits)
    function = _function(name, alike.function)
    if function not in JUDGED:
        return None
    verdict = Verdict(alike.verdict)
    return Finding(
        id=f"{alike.system}/{function.value}",
        system=alike.system,
        function=function,
        verdict=verdict,
        strength=None,
        algorithms=(name,),
        assets=(),
        classical_still_accepted=Answer.NO if verdict is Verdict.QUANTUM_SAFE else Answer.UNKNOWN,
        policies=(),
        reason=f"{name} is {verdict.value}",
    )


def tallies(judge_: Judge, groups: Iterable[tuple[Alike, int]]) -> tuple[Tally, ...]:
    """Return how many assets each rule leaves in each state, violations first."""
    counts: Counter[tuple[str, str, PolicyState]] = Counter()
    for alike, assets in groups:
        for said in judge_.of(alike):
            counts[said.policy, said.rule, said.state] += assets
    order = list(PolicyState)
    ranked = sorted(counts, key=lambda key: (order.index(key[2]), key[0], key[1]))
    return tuple(Tally(*key, counts[key]) for key in ranked)


def in_state(
    judge_: Judge, assets: Iterable[tuple[str, Alike]], state: PolicyState, policy: str = ""
) -> Iterator[tuple[str, Alike, _Judged]]:
    """Yield the assets (id, kind) that some rule, of one policy if named, leaves in `state`, with those rules."""
    for name, alike in assets:
        said = tuple(p for p in judge_.of(alike) if p.state is state and policy in ("", p.policy))
        if said:
            yield name, alike, said


def _function(name: str, purpose: str) -> Function:
    return served(name, Function(purpose)) if purpose else classify(name, Function.SIGNATURE).function


def _standing(facts: Facts) -> Facts:
    """Return `facts` with nothing of the system but what rules look at: where it stands, what it is, its waivers."""
    system = facts.system
    kept = System(
        id="-", name="-", site="-", functions=(), place=system.place, exposure=system.exposure, retires=system.retires,
        high_impact=system.high_impact,
    )  # fmt: skip
    return facts._replace(system=kept, asked="")
