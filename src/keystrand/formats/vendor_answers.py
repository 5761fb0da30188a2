"""Whether an answer is one to its requirement: form, words, unit, condition."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from keystrand.formats.decode import near_name
from keystrand.model.vendor import AnswerKind, Requirement, VendorAnswer


class AnswerFault(NamedTuple):
    """What is wrong with one field of an answer."""

    field: str
    message: str
    hint: str = ""


def answer_faults(answer: VendorAnswer, requirement: Requirement) -> Iterator[AnswerFault]:
    """Yield everything that keeps `answer` from being one to `requirement`."""
    if requirement.kind is AnswerKind.QUANTITY:
        yield from _quantity(answer, requirement)
    else:
        yield from _in_words(answer, requirement)
        for name, said in (("unit", answer.unit), ("up_to", answer.up_to), ("at", answer.at)):
            if said is not None:
                yield AnswerFault(name, f"{requirement.id} asks for no number", "leave it out")
    if answer.judged is not None and requirement.kind is not AnswerKind.WORDS:
        hint = "only an answer in words needs your judgement: leave it out"
        yield AnswerFault("judged", f"{requirement.id} is judged by its value", hint)


def _in_words(answer: VendorAnswer, requirement: Requirement) -> Iterator[AnswerFault]:
    if not isinstance(answer.value, str):
        wanted = " or ".join(map(repr, requirement.words)) or "a sentence"
        yield AnswerFault("value", f"{requirement.id} asks for words, this is a number", f"write {wanted}")
    elif requirement.words and answer.value not in requirement.words:
        yield AnswerFault(
            "value", f"{answer.value!r} is no answer to {requirement.id}", _one_of(requirement, answer.value)
        )


def _one_of(requirement: Requirement, said: str) -> str:
    near = near_name(said, requirement.words)
    return f"did you mean {near!r}?" if near else f"write {' or '.join(map(repr, requirement.words))}"


def _quantity(answer: VendorAnswer, requirement: Requirement) -> Iterator[AnswerFault]:
    if isinstance(answer.value, str):
        hint = "write the number alone, such as 1000 or 10.5, and its unit in its own place"
        yield AnswerFault("value", f"{requirement.id} asks for a number, this is {answer.value!r}", hint)
    elif answer.value < 0:
        yield AnswerFault("value", "a quantity below 0", "write 0 or more")
    elif answer.up_to is not None and answer.up_to < answer.value:
        yield AnswerFault("up_to", f"the range ends at {answer.up_to:g}, below {answer.value:g}", "put the lower first")
    yield from unit_faults(answer.unit, requirement)
    yield from _condition(answer.at, requirement)


def unit_faults(unit: str | None, requirement: Requirement) -> Iterator[AnswerFault]:
    """Yield what is wrong with the unit of a quantity: it is missing, or unknown to `requirement`."""
    known = f"write {' or '.join(map(repr, requirement.units))}"
    if unit is None:
        yield AnswerFault("unit", "a quantity without its unit", known)
    elif unit not in requirement.units:
        yield AnswerFault("unit", f"{unit!r} is no unit of {requirement.id}", known)


def _condition(at: float | None, requirement: Requirement) -> Iterator[AnswerFault]:
    if requirement.condition is None:
        if at is not None:
            yield AnswerFault("at", f"{requirement.id} holds under no condition", "leave it out")
    elif at is None:
        hint = f"add what it holds at, in {requirement.condition}"
        yield AnswerFault("at", "a figure without the condition it holds under", hint)
    elif at < 0:
        yield AnswerFault("at", "a condition below 0", "write 0 or more")


def repeated(answers: Sequence[VendorAnswer]) -> Iterator[int]:
    """Yield the place of each answer that says again, at the same level and condition, what an earlier one says."""
    seen = set()
    for n, answer in enumerate(answers):
        key = (answer.requirement, answer.level, answer.at)
        if key in seen:
            yield n
        seen.add(key)


def number_text(value: float) -> str:
    """Return a number exactly, without a needless `.0`: 100, 10.5."""
    exact = float(value)
    return str(int(exact)) if exact.is_integer() else repr(exact)


def answer_text(answer: VendorAnswer) -> str:
    """Return an answer on one line: `50 to 80 km`, `304 kbit/s at 14.5`, `partly`."""
    if isinstance(answer.value, str):
        return answer.value
    last = f" to {number_text(answer.up_to)}" if answer.up_to is not None else ""
    return f"{number_text(answer.value)}{last} {answer.unit}"
