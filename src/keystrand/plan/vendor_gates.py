"""Must-haves: an offer that surely fails one is out; what is not known, or not proven far enough, is asked."""

from collections.abc import Sequence

from keystrand.formats.vendor_answers import answer_text, number_text
from keystrand.formats.wording import counted
from keystrand.model.stages.compared import GateResult, GateState, Standing
from keystrand.model.units import Answer
from keystrand.model.vendor import JUDGED_WORDS, AnswerKind, Gate, Requirement, VendorAnswer
from keystrand.plan.vendor_fit import Fits, amounts


def gate_result(gate: Gate, asked: Requirement, answer: VendorAnswer | None, fits: Sequence[Fits]) -> GateResult:
    """Return how an offer whose strongest answer is `answer` stands at `gate`."""
    state, reason = _state(gate, asked, answer, fits)
    if state is GateState.PASSED and answer and answer.level.rank < gate.level.rank:
        state, reason = GateState.ASK, f"{reason}, but only {answer.level}: {gate.level} is wanted"
    return GateResult(requirement=gate.requirement, state=state, wanted=wanted_text(gate), reason=reason)


def standing(gates: Sequence[GateResult]) -> Standing:
    """Return whether an offer is in, in with questions, or out."""
    states = {gate.state for gate in gates}
    return Standing.OUT if GateState.FAILED in states else Standing.ASK if GateState.ASK in states else Standing.IN


def wanted_text(gate: Gate) -> str:
    """Return a must-have in words."""
    if gate.every_segment:
        what = "enough on every segment"
    elif gate.word is not None:
        what = f"{gate.word!r} or better"
    else:
        low = gate.at_least is not None
        bound = gate.at_least if gate.at_least is not None else gate.at_most or 0.0
        what = f"at {'least' if low else 'most'} {number_text(bound)} {gate.unit}"
    return f"{what}: {gate.why}"


def _state(gate: Gate, asked: Requirement, answer: VendorAnswer | None, fits: Sequence[Fits]) -> tuple[GateState, str]:
    if gate.every_segment:
        return _every(fits)
    if answer is None:
        return GateState.ASK, "nothing is known"
    if gate.word is not None:
        return _word(gate.word, asked, answer)
    return _bound(gate, asked, answer)


def _every(fits: Sequence[Fits]) -> tuple[GateState, str]:
    if not fits:
        return GateState.ASK, "no segment of the estate is there to judge it against"
    for answer, state in ((Answer.NO, GateState.FAILED), (Answer.UNKNOWN, GateState.ASK)):
        if found := [one for one in fits if one.answer is answer]:
            return state, f"{counted(len(found), 'segment')} of {len(fits)}: {found[0].reason}"
    return GateState.PASSED, f"enough on {counted(len(fits), 'segment')}"


def _word(least: str, asked: Requirement, answer: VendorAnswer) -> tuple[GateState, str]:
    if asked.kind is AnswerKind.WORDS:
        if answer.judged is None:
            return GateState.ASK, "the answer has not been judged"
        said, words = answer.judged.value, JUDGED_WORDS
    else:
        said, words = str(answer.value), asked.words
    enough = words.index(said) >= words.index(least)
    return GateState.PASSED if enough else GateState.FAILED, f"it is {said!r}"


def _bound(gate: Gate, asked: Requirement, answer: VendorAnswer) -> tuple[GateState, str]:
    said, factor = amounts(answer, asked), asked.units[gate.unit or asked.unit]
    if gate.at_least is not None:
        limit = gate.at_least * factor
        surely, never = said.low >= limit, said.high < limit
    else:
        limit = (gate.at_most or 0.0) * factor
        surely, never = said.high <= limit, said.low > limit
    state = GateState.PASSED if surely else GateState.FAILED if never else GateState.ASK
    return state, f"it is {answer_text(answer)}"
