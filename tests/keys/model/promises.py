"""The promises of the contract, as what is wrong with a world where one of them is broken."""

from collections.abc import Callable, Iterator
from itertools import combinations

from keystrand.keys.lifecycle import KeyEvent
from keystrand.model.key import KeyState

from .world import Slave, World, name, names

MayRepeat = Callable[[Slave, str, tuple[int, ...]], bool]


def broken(w: World, may_repeat: MayRepeat) -> Iterator[str]:
    """Yield every promise that is broken in `w`, by a slave KME that answers again what `may_repeat` lets it."""
    yield from outcomes(w)
    yield from memories(w)
    yield from repetitions(w, may_repeat)


def outcomes(w: World) -> Iterator[str]:
    """Yield what an SAE would notice: one key twice, two keys for one, none for its partner (R1, R3, R6)."""
    given = w.given_master | w.given_slave
    numbers, bytes_ = {no for no, _ in given}, {byte for _, byte in given}
    if len(numbers) < len(given):
        yield "one key ID, two keys"
    if len(bytes_) < len(given):
        yield "one key under two IDs"
    if not w.given_master <= w.delivered:
        yield "a key was answered that the master's store does not hold as delivered"
    held = {one.no: one for one in w.slave.held}
    for no, byte in w.given_master:
        there = held.get(no)
        if there is None or there.byte != byte or there.ended_by is KeyEvent.VOID:
            yield f"{name(no)} was answered, and the slave KME cannot give it out"


def memories(w: World) -> Iterator[str]:
    """Yield what is wrong inside, one fault away from an outcome (R2, R7)."""
    if w.up and w.lane < w.cursor:
        yield "the master may cut bytes again that its store holds as used"
    if not w.doubted.isdisjoint(one.byte for one in w.asked):
        yield "bytes that were in doubt serve another order"
    waiting = (one for task in w.tasks if task.delivers for one in task.orders)
    if w.block and any(one.byte < w.cursor for one in waiting):
        yield "a delivery cannot be committed any more, though nothing was lost"
    bytes_ = [held.byte for held in w.slave.held if held.byte >= 0]
    if len(set(bytes_)) < len(bytes_):
        yield "the slave KME holds one key under two IDs"
    for held in w.slave.held:
        if held.state in (KeyState.DESTROYED, KeyState.COMPROMISED) and held.sealed:
            yield f"{name(held.no)} has ended, and its material is still there"
        if held.no in w.forgotten and held.sealed:
            yield f"{name(held.no)} is void, and can be fetched"


def repetitions(w: World, may_repeat: MayRepeat) -> Iterator[str]:
    """Yield every repetition that would be answered and must not be: all that can be asked for are tried (R3)."""
    if not w.slave.held:
        return
    material = {held.no: held for held in w.slave.held if held.sealed and held.state is not KeyState.ACTIVE}
    for count in (1, 2):
        for numbers in combinations(sorted(material), count):
            for sae in ("slave", "other"):
                if not may_repeat(w.slave, sae, numbers):
                    continue
                if sae != "slave":
                    yield f"another SAE gets {names(numbers)}"
                elif numbers not in w.fetched:
                    yield f"a request for {names(numbers)} is answered again that never was"
                elif any((no, material[no].byte) not in w.given_slave for no in numbers):
                    yield f"a request for {names(numbers)} is answered again with other bytes"
