"""Two agents, every order of messages, losses and crashes: what may never be, and that the ends meet again."""

from collections import deque
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import pytest

from keystrand.keys.changeover import (
    INITIATOR_ROWS,
    RESPONDER_ROWS,
    InitiatorEvent,
    InitiatorState,
    ResponderEvent,
    ResponderState,
    Step,
    initiator_restarted,
    initiator_step,
    responder_restarted,
    responder_step,
)
from keystrand.keys.machine import ImpossibleStep

Ini, Res = InitiatorState, ResponderState
IE, RE = InitiatorEvent, ResponderEvent
KEYS = 5
"""Keys that the model may use; the first one is installed at both ends."""


class World(NamedTuple):
    """Both agents, what their consumers hold (newest last), the key on its way, and messages under way each way."""

    initiator: InitiatorState = Ini.SETTLED
    began_i: InitiatorState = Ini.SETTLED
    responder: ResponderState = Res.SETTLED
    began_r: ResponderState = Res.SETTLED
    at_i: tuple[int, ...] = (0,)
    at_r: tuple[int, ...] = (0,)
    new_i: int = 0
    new_r: int = 0
    used: int = 0
    out: tuple[tuple[str, int], ...] = ()
    back: tuple[tuple[str, int], ...] = ()
    crashes: int = 0


def _initiated(world: World, event: InitiatorEvent) -> World:
    """Let the initiator take a step; what it sends is under way."""
    began = world.initiator if event is IE.DUE else world.began_i
    state, steps = initiator_step(world.initiator, event, began)
    world = world._replace(initiator=state, began_i=began)
    for step in steps:
        match step:
            case Step.TAKE:
                world = world._replace(new_i=0)
            case Step.OFFER:
                world = world._replace(new_i=world.used + 1, used=world.used + 1)
                world = world._replace(out=(*world.out, ("offer", world.new_i)))
            case Step.TELL_INSTALL:
                world = world._replace(out=(*world.out, ("install", world.new_i)))
            case Step.INSTALL:
                assert world.new_i in world.at_r or world.crashes, "only what the peer has"
                world = world._replace(at_i=(*world.at_i, world.new_i))
            case Step.TELL_PROVEN:
                world = world._replace(out=(*world.out, ("proven", world.new_i)))
            case Step.RETIRE:
                world = world._replace(at_i=world.at_i[-1:], new_i=0)
            case Step.DESTROY:
                world = world._replace(new_i=0)
    return world


def _responded(world: World, event: ResponderEvent, key: int) -> World:
    began = responder_restarted(world.responder, world.began_r) if event is RE.OFFERED else world.began_r
    state, steps = responder_step(world.responder, event, began)
    world = world._replace(responder=state, began_r=began)
    for step in steps:
        match step:
            case Step.FETCH:
                world = world._replace(new_r=key)
            case Step.CONFIRM:
                world = world._replace(back=(*world.back, ("confirmed", world.new_r)))
            case Step.REFUSE:
                world = world._replace(back=(*world.back, ("refused", key)))
            case Step.INSTALL:
                world = world._replace(at_r=(*world.at_r, world.new_r))
            case Step.SAY_INSTALLED:
                world = world._replace(back=(*world.back, ("installed", world.new_r)))
            case Step.RETIRE:
                world = world._replace(at_r=world.at_r[-1:], new_r=0)
            case Step.DESTROY:
                world = world._replace(new_r=0)
    return world


_WANTED_BACK = {("confirmed", Ini.OFFERED): IE.CONFIRMED, ("refused", Ini.OFFERED): IE.REFUSED,
                ("installed", Ini.PEER_INSTALLING): IE.PEER_INSTALLED}  # fmt: skip
_WANTED_OUT = {("install", Res.CONFIRMED): RE.TOLD_TO_INSTALL, ("proven", Res.WAITING): RE.PEER_PROVED}


def _heard_back(world: World) -> World:
    """Let the initiator hear the next message; one about another key than its own is none."""
    (word, key), rest = world.back[0], world.back[1:]
    world = world._replace(back=rest)
    event = _WANTED_BACK.get((word, world.initiator))
    return _initiated(world, event) if event and key == world.new_i else world


def _heard_out(world: World) -> World:
    (word, key), rest = world.out[0], world.out[1:]
    world = world._replace(out=rest)
    if word == "offer":
        if world.responder is Res.INSTALLING:
            return world  # an installation under way ends first: the offer is lost, its sender's time runs out
        return _responded(world, RE.OFFERED, key)
    event = _WANTED_OUT.get((word, world.responder))
    return _responded(world, event, key) if event and key == world.new_r else world


_OWN_I = {Ini.TAKING: (IE.TAKEN, IE.NO_KEY), Ini.OFFERED: (IE.FAILED,), Ini.PEER_INSTALLING: (IE.FAILED,),
          Ini.INSTALLING: (IE.INSTALLED, IE.FAILED), Ini.PROVING: (IE.PROVEN, IE.FAILED)}  # fmt: skip
_OWN_R = {Res.FETCHING: (RE.MATCHED, RE.UNMATCHED, RE.FAILED), Res.CONFIRMED: (RE.FAILED,),
          Res.INSTALLING: (RE.INSTALLED, RE.FAILED), Res.WAITING: (RE.FAILED,)}  # fmt: skip


def _proof_holds(world: World) -> bool:
    """Return whether traffic can run under the newest key: both ends hold it."""
    return world.at_i[-1] in world.at_r


def _next(world: World) -> Iterator[World]:
    """Yield every world that can follow: a step of one end, a message heard or lost, an end killed."""
    if (world.initiator, IE.DUE) in INITIATOR_ROWS and world.used < KEYS - 1:
        yield _initiated(world, IE.DUE)
    for own in _OWN_I.get(world.initiator, ()):
        if own is not IE.PROVEN or _proof_holds(world):
            yield _initiated(world, own)
    for answer in _OWN_R.get(world.responder, ()):
        yield _responded(world, answer, world.new_r)
    if world.out:
        yield _heard_out(world)
        yield world._replace(out=world.out[1:])
    if world.back:
        yield _heard_back(world)
        yield world._replace(back=world.back[1:])
    if world.crashes < 2:
        crashed = world._replace(crashes=world.crashes + 1)
        yield crashed._replace(initiator=initiator_restarted(world.initiator, world.began_i), new_i=0)
        yield crashed._replace(responder=responder_restarted(world.responder, world.began_r), new_r=0)


def _reached() -> set[World]:
    reached, ahead = {World()}, deque([World()])
    while ahead:
        for world in _next(ahead.popleft()):
            if world not in reached:
                reached.add(world)
                ahead.append(world)
    return reached


@pytest.fixture(scope="module")
def worlds() -> set[World]:
    """Return every world that two agents can get into."""
    return _reached()


def test_the_model_is_large_enough_to_mean_something(worlds: set[World]) -> None:
    """Crashes, losses and several keys are all in it."""
    assert len(worlds) > 10_000
    assert {world.initiator for world in worlds} == set(Ini)
    assert {world.responder for world in worlds} == set(Res)


def test_the_ends_always_hold_a_key_in_common(worlds: set[World]) -> None:
    """No crash, no lost message and no failure at any step leaves two ends without a key that both have."""
    for world in worlds:
        assert set(world.at_i) & set(world.at_r), world


def test_the_old_key_stays_until_the_new_one_is_proven(worlds: set[World]) -> None:
    """While an end installs or proves, the key before it is still there; and no key is installed twice."""
    for world in worlds:
        assert world.initiator is not Ini.PROVING or len(world.at_i) > 1
        assert world.responder is not Res.WAITING or len(world.at_r) > 1
        assert len(set(world.at_i)) == len(world.at_i)
        assert len(set(world.at_r)) == len(world.at_r)


def test_one_more_changeover_without_trouble_settles_both(worlds: set[World]) -> None:
    """From wherever they are, the next changeover that nothing disturbs brings both ends to the same new key."""
    for world in worlds:
        if world.initiator in (Ini.SETTLED, Ini.APART) and world.responder is not Res.INSTALLING:
            calm = _initiated(_initiated(world._replace(out=(), back=()), IE.DUE), IE.TAKEN)
            calm = _heard_out(calm)
            calm = _heard_back(_responded(calm, RE.MATCHED, calm.new_r))
            calm = _heard_back(_responded(_heard_out(calm), RE.INSTALLED, calm.new_r))
            calm = _heard_out(_initiated(_initiated(calm, IE.INSTALLED), IE.PROVEN))
            assert (calm.initiator, calm.responder) == (Ini.SETTLED, Res.SETTLED)
            assert calm.at_i == calm.at_r
            assert len(calm.at_i) == 1


def test_what_the_table_does_not_name_is_impossible() -> None:
    """A step that no row has is refused, with both words in the message."""
    for state, event in product(Ini, IE):
        if (state, event) not in INITIATOR_ROWS:
            with pytest.raises(ImpossibleStep, match=f"{event} is not possible"):
                initiator_step(state, event, Ini.SETTLED)
    for answer, heard in product(Res, RE):
        if (answer, heard) not in RESPONDER_ROWS:
            with pytest.raises(ImpossibleStep, match=f"{heard} is not possible"):
                responder_step(answer, heard, Res.SETTLED)
