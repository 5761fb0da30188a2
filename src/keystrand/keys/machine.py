"""A state machine as a table: what follows from what, and its drawing."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from keystrand.model.errors import InvalidInput

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class ImpossibleStep(InvalidInput):
    """Something was asked of a thing whose state does not allow it; nothing was changed."""

    default_hint = "look at its state first; a state that has been left does not come back unless the table says so"


class Table(Struct, Generic[S, E], frozen=True, kw_only=True):
    """The machine `name`: it begins in `start`; `rows` gives the state after each event that is possible in a state."""

    name: str
    start: S
    rows: Mapping[tuple[S, E], S]

    def step(self, state: S, event: E) -> S:
        """Return the state after `event`. Raises `ImpossibleStep` where the table has no such row."""
        try:
            return self.rows[state, event]
        except KeyError:
            raise ImpossibleStep(f"{self.name}: {event} is not possible in the state {state}") from None

    def after(self, state: S, event: E) -> S:
        """Return the state after `event`, which changes nothing where the table has no such row."""
        return self.rows.get((state, event), state)


def drawing(table: Table[S, E]) -> str:
    """Return the machine as a Mermaid state diagram, made from the table alone."""
    arrows: dict[tuple[S, S], list[str]] = {}
    for (state, event), then in table.rows.items():
        arrows.setdefault((state, then), []).append(event)
    states = dict.fromkeys((table.start, *(state for arrow in arrows for state in arrow)))
    ends = [state for state in states if all(then is state for before, then in arrows if before is state)]
    lines = ["stateDiagram-v2", f"    [*] --> {_name(table.start)}"]
    lines += [f"    {_name(state)}: {state}" for state in states if _name(state) != state]
    lines += [f"    {_name(a)} --> {_name(b)}: {', '.join(events)}" for (a, b), events in arrows.items()]
    lines += [f"    {_name(state)} --> [*]" for state in ends]
    return "\n".join(lines) + "\n"


def _name(state: StrEnum) -> str:
    """Return a name that Mermaid takes: it reads a hyphen as part of an arrow."""
    return state.replace("-", "_").replace(" ", "_")
