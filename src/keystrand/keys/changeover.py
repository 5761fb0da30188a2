"""A changeover: how the two agents of one consumer move it from its key to the next, as two tables.

The initiator takes a key from its KME and names it to the responder, with a proof that it holds it. The responder
fetches the same key and answers with a proof of its own; none of them shows the key. Then the responder installs, the
initiator installs, the initiator proves that traffic runs under the new key, and only then does either retire the old
one. What is in doubt is never repeated: its key is destroyed, the ends count as apart, and a changeover with another
key follows at once. An offer may come at any time and ends whatever was under way: that is how the ends meet again.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from keystrand.keys.machine import ImpossibleStep, Table


class InitiatorState(StrEnum):
    """Where a changeover stands at the agent that takes the key. `apart`: the ends may hold different keys."""

    SETTLED = "settled"
    TAKING = "taking"
    OFFERED = "offered"
    PEER_INSTALLING = "peer installing"
    INSTALLING = "installing"
    PROVING = "proving"
    APART = "apart"


class InitiatorEvent(StrEnum):
    """What happens to it there."""

    DUE = "due"
    TAKEN = "taken"
    NO_KEY = "no key"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    PEER_INSTALLED = "peer installed"
    INSTALLED = "installed"
    PROVEN = "proven"
    FAILED = "failed"


class ResponderState(StrEnum):
    """Where it stands at the other agent. `apart` as at the initiator."""

    SETTLED = "settled"
    FETCHING = "fetching"
    CONFIRMED = "confirmed"
    INSTALLING = "installing"
    WAITING = "waiting for proof"
    APART = "apart"


class ResponderEvent(StrEnum):
    """What happens to it there. An offer is possible in every state."""

    OFFERED = "offered"
    MATCHED = "matched"
    UNMATCHED = "unmatched"
    TOLD_TO_INSTALL = "told to install"
    INSTALLED = "installed"
    PEER_PROVED = "peer proved"
    FAILED = "failed"


class Step(StrEnum):
    """What an agent does, in the order of the row."""

    TAKE = "take a key from the KME"
    OFFER = "name the key to the peer, with our proof of it"
    TELL_INSTALL = "tell the peer to install"
    INSTALL = "install the key"
    PROVE = "prove that traffic runs under it"
    TELL_PROVEN = "tell the peer that it is proven"
    RETIRE = "retire the key before it"
    DESTROY = "destroy our copy of the new key"
    FETCH = "fetch the key that was named, and compare the proofs"
    CONFIRM = "answer with our proof"
    REFUSE = "refuse the offer"
    SAY_INSTALLED = "say that it is installed"


State = TypeVar("State", InitiatorState, ResponderState)
Event = TypeVar("Event", InitiatorEvent, ResponderEvent)
Ini, Res, S = InitiatorState, ResponderState, Step
IE, RE = InitiatorEvent, ResponderEvent

INITIATOR_ROWS: Mapping[tuple[InitiatorState, InitiatorEvent], tuple[InitiatorState | None, tuple[Step, ...]]] = {
    (Ini.SETTLED, IE.DUE): (Ini.TAKING, (S.TAKE,)),
    (Ini.APART, IE.DUE): (Ini.TAKING, (S.TAKE,)),
    (Ini.TAKING, IE.TAKEN): (Ini.OFFERED, (S.OFFER,)),
    (Ini.TAKING, IE.NO_KEY): (None, ()),
    (Ini.OFFERED, IE.CONFIRMED): (Ini.PEER_INSTALLING, (S.TELL_INSTALL,)),
    (Ini.OFFERED, IE.REFUSED): (None, (S.DESTROY,)),
    (Ini.OFFERED, IE.FAILED): (None, (S.DESTROY,)),
    (Ini.PEER_INSTALLING, IE.PEER_INSTALLED): (Ini.INSTALLING, (S.INSTALL,)),
    (Ini.PEER_INSTALLING, IE.FAILED): (Ini.APART, (S.DESTROY,)),
    (Ini.INSTALLING, IE.INSTALLED): (Ini.PROVING, (S.PROVE,)),
    (Ini.INSTALLING, IE.FAILED): (Ini.APART, (S.DESTROY,)),
    (Ini.PROVING, IE.PROVEN): (Ini.SETTLED, (S.TELL_PROVEN, S.RETIRE)),
    (Ini.PROVING, IE.FAILED): (Ini.APART, (S.DESTROY,)),
}
"""The initiator. No state after an event means: as it was before the changeover began, for nothing has changed."""

RESPONDER_ROWS: Mapping[tuple[ResponderState, ResponderEvent], tuple[ResponderState | None, tuple[Step, ...]]] = {
    (Res.SETTLED, RE.OFFERED): (Res.FETCHING, (S.FETCH,)),
    (Res.APART, RE.OFFERED): (Res.FETCHING, (S.FETCH,)),
    (Res.FETCHING, RE.MATCHED): (Res.CONFIRMED, (S.CONFIRM,)),
    (Res.FETCHING, RE.UNMATCHED): (None, (S.DESTROY, S.REFUSE)),
    (Res.FETCHING, RE.FAILED): (None, (S.DESTROY, S.REFUSE)),
    (Res.FETCHING, RE.OFFERED): (Res.FETCHING, (S.DESTROY, S.FETCH)),
    (Res.CONFIRMED, RE.TOLD_TO_INSTALL): (Res.INSTALLING, (S.INSTALL,)),
    (Res.CONFIRMED, RE.FAILED): (None, (S.DESTROY,)),
    (Res.CONFIRMED, RE.OFFERED): (Res.FETCHING, (S.DESTROY, S.FETCH)),
    (Res.INSTALLING, RE.INSTALLED): (Res.WAITING, (S.SAY_INSTALLED,)),
    (Res.INSTALLING, RE.FAILED): (Res.APART, (S.DESTROY,)),
    (Res.WAITING, RE.PEER_PROVED): (Res.SETTLED, (S.RETIRE,)),
    (Res.WAITING, RE.FAILED): (Res.APART, ()),
    (Res.WAITING, RE.OFFERED): (Res.FETCHING, (S.FETCH,)),
}
"""The responder. An installation under way ends before the next offer is heard."""


def initiator_step(
    state: InitiatorState, event: InitiatorEvent, began: InitiatorState
) -> tuple[InitiatorState, tuple[Step, ...]]:
    """Return the initiator's next state and what it must do; `began`: its state before the changeover.

    Raises `ImpossibleStep`.
    """
    return _step(INITIATOR_ROWS, state, event, began)


def responder_step(
    state: ResponderState, event: ResponderEvent, began: ResponderState
) -> tuple[ResponderState, tuple[Step, ...]]:
    """Return the responder's next state and what it must do, as `initiator_step` does."""
    return _step(RESPONDER_ROWS, state, event, began)


def initiator_restarted(state: InitiatorState, began: InitiatorState) -> InitiatorState:
    """Return where a restart finds an initiator that stopped in `state`: its copy of a new key is gone.

    Where no end can have installed the new key, everything is as it was before the changeover.
    """
    if state in (Ini.TAKING, Ini.OFFERED):
        return began
    return state if state is Ini.SETTLED else Ini.APART


def responder_restarted(state: ResponderState, began: ResponderState) -> ResponderState:
    """Return where a restart, or another offer, finds a responder that stopped in `state`."""
    if state in (Res.FETCHING, Res.CONFIRMED):
        return began
    return state if state is Res.SETTLED else Res.APART


def _step(
    rows: Mapping[tuple[State, Event], tuple[State | None, tuple[Step, ...]]], state: State, event: Event, began: State
) -> tuple[State, tuple[Step, ...]]:
    if (state, event) not in rows:
        raise ImpossibleStep(f"changeover: {event} is not possible in the state {state}")
    then, steps = rows[state, event]
    return (began if then is None else then), steps


INITIATOR = Table(
    name="initiator", start=Ini.SETTLED, rows={k: then or Ini.SETTLED for k, (then, _) in INITIATOR_ROWS.items()}
)
"""The initiator without the actions, for drawing; one that begins apart returns there."""
RESPONDER = Table(
    name="responder", start=Res.SETTLED, rows={k: then or Res.SETTLED for k, (then, _) in RESPONDER_ROWS.items()}
)
"""The responder without the actions, for drawing."""
