"""Requirements, vendors' sheets and what counts how much, from TOML, every problem at once; a sheet back to TOML."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from keystrand.formats.decode import Fault, faults_of, near_name
from keystrand.formats.estate_references import rows
from keystrand.formats.toml_input import read_toml
from keystrand.formats.vendor_answers import answer_faults, repeated, unit_faults
from keystrand.model.noun import Noun
from keystrand.model.vendor import (
    JUDGED_WORDS,
    AnswerKind,
    Evaluation,
    Gate,
    Requirement,
    VendorAnswer,
    VendorSheet,
)

Raw = dict[str, Any]
Requirements = Mapping[str, Requirement]


class _RequirementFile(Noun, frozen=True, kw_only=True):
    requirement: tuple[Requirement, ...]


def requirements_from_toml(text: str, file: str) -> tuple[Requirement, ...]:
    """Return the requirements in `text`. Raises `InvalidInput` with every problem, each with its line in `file`."""
    what = f"the requirements in {file}"
    return read_toml(text, _RequirementFile, file=file, what=what, further=_requirement_faults).requirement


def _requirement_faults(raw: Raw) -> Iterator[Fault]:
    counts = Counter(str(row.get("id")) for _, row in rows(raw, "requirement"))
    for n, row in rows(raw, "requirement"):
        if counts[str(row.get("id"))] > 1:
            yield Fault(
                ("requirement", n, "id"), f"{row.get('id')!r} stands here more than once", "give each its own id"
            )
        if not faults_of(row, Requirement):
            yield from (Fault(("requirement", n, *f.path), f.message, f.hint) for f in
                        _form_faults(msgspec.convert(row, Requirement)))  # fmt: skip


def _form_faults(asked: Requirement) -> Iterator[Fault]:
    quantity = asked.kind is AnswerKind.QUANTITY
    if quantity and not asked.units:
        yield Fault(
            ("units",), "a quantity without units", "add [requirement.units] with at least one, such as km = 1.0"
        )
    if (
        quantity
        and asked.against is None
        and (asked.worthless is None or asked.worthless == asked.full or asked.full is None)
    ):
        yield Fault((), "nothing says what a value is worth", "add worthless and full, two different numbers")
    if asked.kind is AnswerKind.CHOICE and len(set(asked.choices)) < 2:
        yield Fault(("choices",), "a choice needs two answers or more", "list them from worst to best")
    only_quantity = (("units", asked.units), ("worthless", asked.worthless), ("full", asked.full),
                     ("condition", asked.condition), ("against", asked.against))  # fmt: skip
    for name, said in only_quantity:
        if said and not quantity:
            yield Fault((name,), "only a quantity has it", 'leave it out, or write kind = "quantity"')


def sheet_from_toml(text: str, file: str, requirements: Requirements) -> VendorSheet:
    """Return the vendor's sheet in `text`, its answers fit to `requirements`. Raises `InvalidInput` as above."""

    def further(raw: Raw) -> Iterator[Fault]:
        return _sheet_faults(raw, requirements)

    return read_toml(text, VendorSheet, file=file, what=f"the vendor's sheet {file}", further=further)


def _sheet_faults(raw: Raw, requirements: Requirements) -> Iterator[Fault]:
    sound: list[tuple[int, VendorAnswer]] = []
    for n, row in rows(raw, "answer"):
        yield from _unknown(row.get("requirement"), ("answer", n, "requirement"), requirements)
        if not faults_of(row, VendorAnswer):
            sound.append((n, msgspec.convert(row, VendorAnswer)))
    for n, answer in sound:
        if asked := requirements.get(answer.requirement):
            yield from (Fault(("answer", n, f.field), f.message, f.hint) for f in answer_faults(answer, asked))
    for place in repeated([answer for _, answer in sound]):
        hint = "keep one of the two; a figure under another condition needs its own `at`"
        yield Fault(("answer", sound[place][0]), "an earlier answer says this already, at the same level", hint)
    match raw.get("price"):
        case {"low": int() | float() as low, "high": int() | float() as high} if low > high:
            yield Fault(("price", "low"), f"the price begins at {low:g}, above {high:g}", "put the lower figure in low")


def _unknown(name: Any, path: tuple[str | int, ...], requirements: Requirements) -> Iterator[Fault]:
    if isinstance(name, str) and name not in requirements:
        near = near_name(name, requirements)
        hint = f"did you mean {near!r}?" if near else "see the ids with: keystrand plan vendors requirements"
        yield Fault(path, f"no requirement has the id {name!r}", hint)


def evaluation_from_toml(text: str, file: str, requirements: Requirements) -> Evaluation:
    """Return weights and must-haves in `text`, fit to `requirements`. Raises `InvalidInput` as above."""

    def further(raw: Raw) -> Iterator[Fault]:
        return _evaluation_faults(raw, requirements)

    return read_toml(text, Evaluation, file=file, what=f"the weights in {file}", further=further)


def weights_of(evaluation: Evaluation, requirements: Requirements) -> dict[str, float]:
    """Return the weight of every requirement."""
    return {name: evaluation.weights.get(name, asked.weight) for name, asked in requirements.items()}


def _evaluation_faults(raw: Raw, requirements: Requirements) -> Iterator[Fault]:
    weights = raw.get("weights", {})
    if isinstance(weights, dict):
        for name in weights:
            yield from _unknown(name, ("weights", name), requirements)
        if not faults_of({"weights": weights}, Evaluation):
            told = msgspec.convert({"weights": weights}, Evaluation)
            if not sum(weights_of(told, requirements).values()) > 0:
                yield Fault(
                    ("weights",), "the weights sum to zero: nothing counts", "give what counts a weight above 0"
                )
    for n, row in rows(raw, "gate"):
        yield from _unknown(row.get("requirement"), ("gate", n, "requirement"), requirements)
        asked = requirements.get(str(row.get("requirement")))
        if asked and not faults_of(row, Gate):
            for fault in _gate_faults(msgspec.convert(row, Gate), asked):
                yield Fault(("gate", n, *fault.path), fault.message, fault.hint)


def _gate_faults(gate: Gate, asked: Requirement) -> Iterator[Fault]:
    bounds = [name for name in ("word", "at_least", "at_most") if getattr(gate, name) is not None]
    bounds += ["every_segment"] * gate.every_segment
    if len(bounds) != 1:
        said = " and ".join(bounds) or "nothing"
        yield Fault((), f"a must-have is one thing, and this says {said}", f"write {_bound(asked)}")
        return
    wanted = _allowed(asked)
    if bounds[0] not in wanted:
        yield Fault((bounds[0],), f"{asked.id} cannot be judged by {bounds[0]}", f"write {_bound(asked)}")
    elif bounds[0] == "word" and gate.word not in _gate_words(asked):
        near = near_name(gate.word or "", _gate_words(asked))
        hint = f"did you mean {near!r}?" if near else f"write {_bound(asked)}"
        yield Fault(("word",), f"{gate.word!r} is no answer to {asked.id}", hint)
    elif bounds[0] in ("at_least", "at_most"):
        yield from (Fault((f.field,), f.message, f.hint) for f in unit_faults(gate.unit, asked))


def _gate_words(asked: Requirement) -> tuple[str, ...]:
    """Return the words a gate may ask for: the worst is none, everything would pass."""
    return (asked.words or JUDGED_WORDS)[1:]


def _allowed(asked: Requirement) -> tuple[str, ...]:
    if asked.kind is not AnswerKind.QUANTITY:
        return ("word",)
    number = () if asked.condition else ("at_least", "at_most")
    return (*number, "every_segment") if asked.against else number


def _bound(asked: Requirement) -> str:
    shown = {"word": f"word = {_gate_words(asked)[-1]!r}", "at_least": "at_least with its unit",
             "at_most": "at_most with its unit", "every_segment": "every_segment = true"}  # fmt: skip
    return " or ".join(shown[name] for name in _allowed(asked))


_SHEET_COMMENT = "# A vendor's sheet. `keystrand plan vendors import` writes it anew: comments do not stay."


def sheet_to_toml(sheet: VendorSheet) -> str:
    """Return `sheet` as TOML that reads back as the same sheet."""
    tables = {
        name: value for name, value in msgspec.to_builtins(sheet, builtin_types=(date,)).items() if value is not None
    }
    answers: Sequence[Raw] = tables.pop("answer")
    price: Raw | None = tables.pop("price", None)
    parts = [_table("", tables)]
    if price:
        parts.append(_table("[price]", price))
    parts += [_table("[[answer]]", row) for row in answers]
    return "\n".join([_SHEET_COMMENT, *parts])


def _table(header: str, values: Raw) -> str:
    lines = [f"{name} = {_value(value)}" for name, value in values.items() if value not in (None, (), [])]
    return "\n".join(filter(None, [header, *lines])) + "\n"


def _value(value: Any) -> str:
    """Return a TOML value. JSON's strings are TOML's, but for DEL, which no line here holds."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
