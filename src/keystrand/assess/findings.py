"""What each system uses for key establishment and for signatures, and what that means: one finding for each.

The evidence decides, place by place, and the weakest place decides for the system. Among what was seen at one place the
strongest evidence counts: what is negotiated over what is offered, what is offered over what merely lies there.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from keystrand.formats.wording import counted, joined
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.estate import Estate, ProbeKind, System
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, PublicKey, Strength
from keystrand.model.stages import Asset, Finding, Inventory, Occurrence, SystemView
from keystrand.model.units import Answer

JUDGED = (Function.KEY_ESTABLISHMENT, Function.SIGNATURE)
"""The functions that a quantum computer breaks. Ciphers and digests of today's sizes are not among them."""

_WORST_FIRST = (Verdict.QUANTUM_VULNERABLE, Verdict.UNKNOWN, Verdict.QUANTUM_SAFE)
_SHOWS_USE = frozenset({Strength.NEGOTIATED, Strength.OFFERED, Strength.CONFIGURED})
"""Evidence that a thing is used. A library that lies there proves no protection."""


_SENDS_ITS_WHOLE_OFFER = frozenset({"ssh"})
"""Protocols whose service names everything it accepts (SSH: RFC 4253, 7.1). A TLS server answers only what is asked."""


class _Use(NamedTuple):
    """One algorithm at one place. `told`: a report of another tool says so, and nobody looked."""

    place: str
    algorithm: str
    verdict: Verdict
    strength: Strength
    asset: str
    told: bool


class _PlaceView(NamedTuple):
    """What one place shows. `service` is None where the place is a file."""

    uses: tuple[_Use, ...]
    service: Endpoint | None

    @property
    def prefers_safe(self) -> bool | None:
        """Return what a service takes when both kinds are on offer, None if not known."""
        return self.service.prefers_post_quantum if self.service else None

    @property
    def shows_all(self) -> bool:
        """Return whether what was not seen here is not there."""
        return self.service is None or self.service.protocol in _SENDS_ITS_WHOLE_OFFER


class _Judgement(NamedTuple):
    verdict: Verdict
    classical: Answer
    reason: str


def findings(estate: Estate, inventory: Inventory) -> tuple[Finding, ...]:
    """Return one finding for each system and function, in the order of the estate, without policies yet.

    A function counts where the estate declares it or where it was seen.
    """
    views = {view.system: view for view in inventory.systems}
    found = _by_system(inventory.assets)
    return tuple(
        finding
        for system in estate.system
        for finding in _of_system(system, found.get(system.id, []), views.get(system.id))
    )


_Seen = tuple[Asset, Occurrence]


def _by_system(assets: Iterable[Asset]) -> dict[str, list[_Seen]]:
    found: dict[str, list[_Seen]] = defaultdict(list)
    for asset in assets:
        for occurrence in asset.occurrences:
            found[occurrence.system].append((asset, occurrence))
    return found


def _of_system(system: System, seen: list[_Seen], view: SystemView | None) -> Iterator[Finding]:
    endpoints = {at.place: asset.fact for asset, at in seen if isinstance(asset.fact, Endpoint)}
    for function in JUDGED:
        uses = [use for asset, at in seen if (use := _use(asset, at, function))]
        if uses or function in system.functions:
            yield _finding(system, function, uses, endpoints, view)


def _use(asset: Asset, at: Occurrence, function: Function) -> _Use | None:
    match asset.fact:
        case AlgorithmUse() if "!client://" in at.place:
            return None  # what a client offered says what it could do, not what protects its traffic
        case AlgorithmUse(in_tests=True):
            return None
        case AlgorithmUse(algorithm=name, function=purpose):
            serves = served(name, purpose)
        case Certificate(key_algorithm=name, key_bits=bits):
            serves = classify(name, Function.SIGNATURE).function
            name = sized(name, bits)
        case PublicKey(algorithm=name, bits=bits):
            serves = classify(name, Function.SIGNATURE).function
            name = sized(name, bits)
        case _:
            return None
    told = at.probe == ProbeKind.REPORT
    return _Use(at.place, name, asset.verdict, at.strength, asset.id, told) if serves is function else None


def served(name: str, purpose: Function) -> Function:
    """Return the function that a use is judged by: what public keys encrypt is a key for something longer."""
    wraps = purpose is Function.ENCRYPTION and classify(name, purpose).family in ("RSA", "ElGamal")
    return Function.KEY_ESTABLISHMENT if wraps else purpose


def sized(name: str, bits: int | None) -> str:
    """Return the name of an algorithm with the size of its key where the name does not say it."""
    return f"{name}-{bits}" if bits and not any(char.isdigit() for char in name) else name


def _finding(
    system: System, function: Function, uses: list[_Use], endpoints: dict[str, Endpoint], view: SystemView | None
) -> Finding:
    uses = sorted(uses, key=lambda use: (use.strength.rank, use.algorithm, use.place, use.asset))
    judged = _judge_system(uses, endpoints, function, view)
    return Finding(
        id=f"{system.id}/{function.value}",
        system=system.id,
        function=function,
        verdict=judged.verdict,
        strength=uses[0].strength if uses else None,
        algorithms=tuple(dict.fromkeys(use.algorithm for use in uses)),
        assets=tuple(sorted({use.asset for use in uses})),
        classical_still_accepted=judged.classical,
        policies=(),
        reason=judged.reason,
    )


def _judge_system(
    uses: list[_Use], endpoints: dict[str, Endpoint], function: Function, view: SystemView | None
) -> _Judgement:
    if not uses:
        return _Judgement(Verdict.UNKNOWN, Answer.UNKNOWN, _nothing_seen(function, view))
    judgements = [_judge_place(place, function) for _, place in sorted(_places(uses, endpoints).items())]
    worst = min(judgements, key=lambda j: _WORST_FIRST.index(j.verdict))
    classical = _any_answer(j.classical for j in judgements)
    silent = view.targets - view.answered if view else 0
    if silent and worst.verdict is Verdict.QUANTUM_SAFE:
        reason = f"{worst.reason}; but {silent} of {counted(view.targets if view else 0, 'target')} gave no answer"
        return _Judgement(Verdict.UNKNOWN, _any_answer((classical, Answer.UNKNOWN)), reason)
    return _Judgement(worst.verdict, classical, worst.reason)


def _places(uses: list[_Use], endpoints: dict[str, Endpoint]) -> dict[str, _PlaceView]:
    """Return every place with its uses; a service that showed none of them is there with no use at all."""
    at: dict[str, list[_Use]] = {place: [] for place in endpoints}
    for use in uses:
        at.setdefault(use.place, []).append(use)
    return {place: _PlaceView(tuple(found), endpoints.get(place)) for place, found in at.items()}


def _judge_place(view: _PlaceView, function: Function) -> _Judgement:
    if not view.uses:
        return _Judgement(
            Verdict.UNKNOWN, Answer.UNKNOWN, f"a service answered but showed nothing about {_words(function)}"
        )
    best = view.uses[0].strength
    strongest = [use for use in view.uses if use.strength is best]
    names = list(dict.fromkeys(use.algorithm for use in strongest))
    verdict, why = _weigh(strongest, view, function)
    if verdict is Verdict.QUANTUM_SAFE and all(use.told for use in strongest):
        verdict, why = Verdict.UNKNOWN, " as another tool reports; nobody looked here"
    # what keeps an algorithm from being judged is known to the catalogue: the reader should not have to look it up
    unknown = [use for use in strongest if verdict is use.verdict is Verdict.UNKNOWN]
    notes = dict.fromkeys(classify(use.algorithm).note for use in unknown)
    return _Judgement(verdict, _classical(view), "; ".join([f"{joined(names)} {best.value}{why}", *notes]))


def _weigh(strongest: list[_Use], view: _PlaceView, function: Function) -> tuple[Verdict, str]:
    """Return the verdict on the strongest evidence of a place, and what to add to the reason."""
    verdicts = {use.verdict for use in strongest}
    if function is Function.KEY_ESTABLISHMENT and Verdict.QUANTUM_SAFE in verdicts:
        everything = {use.verdict for use in view.uses}
        if view.prefers_safe is False:
            return _weigh_unpreferred(everything)
        if len(verdicts) > 1:
            # a library that lies there is not what the service prefers
            return _weigh_choice(verdicts, prefers_safe=view.prefers_safe and strongest[0].strength in _SHOWS_USE)
    worst = min(verdicts, key=_WORST_FIRST.index)
    if worst is Verdict.QUANTUM_SAFE and strongest[0].strength not in _SHOWS_USE:
        return Verdict.UNKNOWN, ", which does not show that it is used"
    if worst is Verdict.QUANTUM_SAFE and any(use.verdict is Verdict.QUANTUM_VULNERABLE for use in view.uses):
        if function is Function.SIGNATURE:
            return Verdict.QUANTUM_VULNERABLE, ", but classical signatures are accepted as well"
        return worst, ", though a peer without it still gets a classical exchange"
    return worst, ""


def _weigh_choice(verdicts: set[Verdict], *, prefers_safe: bool | None) -> tuple[Verdict, str]:
    """Return the verdict where a service takes a safe exchange from one peer and something else from another."""
    if prefers_safe and Verdict.UNKNOWN not in verdicts:
        return Verdict.QUANTUM_SAFE, "; the safe one is taken where the peer has it"
    return Verdict.UNKNOWN, "; which of them is taken was not seen"


def _weigh_unpreferred(everything: set[Verdict]) -> tuple[Verdict, str]:
    """Return the verdict where a service has a safe exchange and takes another even from a peer that has both."""
    worst = min(everything, key=_WORST_FIRST.index)
    return (worst if worst is not Verdict.QUANTUM_SAFE else Verdict.UNKNOWN), "; the safe one is not preferred"


def _classical(view: _PlaceView) -> Answer:
    """Return whether a peer still gets a vulnerable exchange here. `no` needs a question that was put and answered."""
    shown = [use for use in view.uses if use.strength in _SHOWS_USE]
    if any(use.verdict is Verdict.QUANTUM_VULNERABLE for use in shown):
        return Answer.YES
    listed = view.shows_all and any(use.strength is not Strength.NEGOTIATED for use in shown)
    asked = view.prefers_safe is not None or listed
    return Answer.NO if asked and all(use.verdict is Verdict.QUANTUM_SAFE for use in view.uses) else Answer.UNKNOWN


def _any_answer(answers: Iterable[Answer]) -> Answer:
    given = set(answers)
    return next(answer for answer in (Answer.YES, Answer.UNKNOWN, Answer.NO) if answer in given)


def _nothing_seen(function: Function, view: SystemView | None) -> str:
    if view is None or not view.targets:
        return "no target is declared for this system, so nothing was looked at"
    if not view.answered:
        return f"none of its {counted(view.targets, 'target')} gave an answer"
    return f"what answered showed nothing about {_words(function)}"


def _words(function: Function) -> str:
    return function.value.replace("-", " ")
