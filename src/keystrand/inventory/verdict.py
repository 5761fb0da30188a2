"""What the inventory says of an asset's resistance to a quantum computer. Unknown never counts as safe."""

from collections.abc import Iterable

from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.observation import AlgorithmUse, Certificate, Fact, Flow, PublicKey, Strength

_OF_KEYS = (Function.KEY_ESTABLISHMENT, Function.SIGNATURE)
_SEVERITY = {Verdict.QUANTUM_SAFE: 0, Verdict.UNKNOWN: 1, Verdict.QUANTUM_VULNERABLE: 2}


def severity(verdict: Verdict) -> int:
    """Return 0 for safe, 1 for unknown, 2 for vulnerable."""
    return _SEVERITY[verdict]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of `verdicts`: vulnerable before unknown before safe; unknown where there is none."""
    return max(verdicts, key=severity, default=Verdict.UNKNOWN)


def fact_verdict(fact: Fact) -> Verdict:
    """Return what one fact says by itself.

    A certificate is as good as the worse of its key and of its issuer's signature. An endpoint says nothing by itself:
    see `endpoint_verdict`.
    """
    match fact:
        case Certificate():
            return worst((_of(fact.key_algorithm, *_OF_KEYS), _of(fact.signature_algorithm, Function.SIGNATURE)))
        case PublicKey():
            return _of(fact.algorithm, *_OF_KEYS)
        case AlgorithmUse(function=function) if function in _OF_KEYS:
            return _of(fact.algorithm, function)
        case AlgorithmUse():
            return classify(fact.algorithm, fact.function).verdict
        case Flow(key_establishment=name) if name:
            return _of(name, Function.KEY_ESTABLISHMENT)
        case _:
            return Verdict.UNKNOWN


def _of(name: str, *functions: Function) -> Verdict:
    """Return the verdict of an algorithm with public keys; what is safe for another use is not known to be for this."""
    known = classify(name, functions[0])
    return (
        known.verdict if known.function in functions or known.verdict is not Verdict.QUANTUM_SAFE else Verdict.UNKNOWN
    )


def endpoint_verdict(uses: Iterable[tuple[Strength, Verdict]], *, prefers_safe: bool | None) -> Verdict:
    """Return the verdict of an endpoint from the key establishment seen there, each use with its evidence.

    What was negotiated decides: safe where nothing else was, whatever is on offer beside it, unless the endpoint is
    known not to prefer the safe one (`prefers_safe`, None where not known). Safe beside another that was negotiated too
    counts only where it is known to. Where nothing was negotiated an endpoint is never safe, because an offer may not
    be taken; it is vulnerable where only vulnerable exchanges are on offer, and else unknown.
    """
    seen = set(uses)
    negotiated = {verdict for strength, verdict in seen if strength is Strength.NEGOTIATED}
    everything = {verdict for _, verdict in seen}
    if Verdict.QUANTUM_SAFE in negotiated:
        return _of_choice(negotiated, everything, prefers_safe=prefers_safe)
    if negotiated:
        return worst(negotiated)
    return Verdict.QUANTUM_VULNERABLE if everything == {Verdict.QUANTUM_VULNERABLE} else Verdict.UNKNOWN


def _of_choice(negotiated: set[Verdict], everything: set[Verdict], *, prefers_safe: bool | None) -> Verdict:
    """Return the verdict where a safe exchange was negotiated, by what else was seen and which one is preferred."""
    if prefers_safe is False:
        return worst((*everything, Verdict.UNKNOWN))
    chosen = negotiated == {Verdict.QUANTUM_SAFE} or (prefers_safe and Verdict.UNKNOWN not in negotiated)
    return Verdict.QUANTUM_SAFE if chosen else Verdict.UNKNOWN
