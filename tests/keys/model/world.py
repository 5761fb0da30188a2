"""Everything there is in the model of the contract: two KMEs, messages between them, and what the SAEs were given."""

from collections.abc import Iterable
from typing import NamedTuple

from keystrand.keys.contract import OrderEvent, OrderState
from keystrand.keys.lifecycle import LIFECYCLE, KeyEvent
from keystrand.model.key import KeyState

TRIES = 8
"""An order's number is that of its request times this, plus how often it was planned anew."""


class Order(NamedTuple):
    """An order under way: its number, the byte it was cut, and its state."""

    no: int
    byte: int
    state: OrderState


class Task(NamedTuple):
    """What waits for the master's next commit: to deliver orders, or to burn their bytes.

    `voids`: the slave KME is told. `up_to`: the end of what is burned too, because the slave KME has used it.
    """

    orders: tuple[Order, ...]
    delivers: bool = False
    voids: bool = False
    up_to: int = 0


class Held(NamedTuple):
    """A holding of the slave's SAE. `byte` -1: void before it came. `ended_by`: which event destroyed it."""

    no: int
    byte: int
    state: KeyState
    sealed: bool
    ended_by: KeyEvent | None = None


class Slave(NamedTuple):
    """What the slave KME's store holds. `replays`: whose exact request for which orders may be answered again.

    `block` is false once the block has grown too old there.
    """

    cursor: int = 0
    held: tuple[Held, ...] = ()
    replays: frozenset[tuple[str, tuple[int, ...]]] = frozenset()
    block: bool = True


class World(NamedTuple):
    """Everything. The master's memory is lost in a crash; its store is `block`, `cursor`, `delivered` and `outbox`."""

    # the master KME
    up: bool = True
    lane: int = 0
    asked: tuple[Order, ...] = ()
    again: tuple[int, ...] = ()
    tasks: tuple[Task, ...] = ()
    doubted: frozenset[int] = frozenset()
    block: bool = True
    cursor: int = 0
    delivered: frozenset[tuple[int, int]] = frozenset()
    outbox: frozenset[int] = frozenset()
    # the network
    sent: frozenset[tuple[Order, ...]] = frozenset()
    answer: tuple[tuple[OrderEvent, int], ...] = ()
    # the slave KME; `late` is what it has answered and not committed, which only a weak one has
    slave_up: bool = True
    slave: Slave = Slave()
    late: Slave | None = None
    # what nobody keeps, and the promises are about: void orders of which the slave KME remembers nothing; what each
    # SAE was given, as (order, byte); the requests of the slave's that were answered and whose window is open
    given_master: frozenset[tuple[int, int]] = frozenset()
    given_slave: frozenset[tuple[int, int]] = frozenset()
    fetched: frozenset[tuple[int, ...]] = frozenset()
    forgotten: frozenset[int] = frozenset()
    # what may still happen
    requests: int = 0
    crashes: int = 0
    denials: int = 0
    doubles: int = 0
    ageings: int = 0


def put(held: tuple[Held, ...], one: Held) -> tuple[Held, ...]:
    """Return `held` with one more, in the order of their numbers: one world, one value."""
    return tuple(sorted((*held, one), key=lambda each: each.no))


def happened(slave: Slave, numbers: tuple[int, ...], event: KeyEvent) -> Slave:
    """Let `event` happen to holdings by the life cycle's table; material goes where the state that follows has none."""
    held = list(slave.held)
    for at, one in enumerate(held):
        if one.no in numbers and (state := LIFECYCLE.after(one.state, event)) is not one.state:
            ended = state in (KeyState.DESTROYED, KeyState.COMPROMISED)
            held[at] = one._replace(state=state, sealed=not ended, ended_by=event if ended else None)
    return slave._replace(held=tuple(held))


def name(no: int) -> str:
    """Return what an order is called in a counterexample."""
    request, tries = divmod(no, TRIES)
    return f"order {request + 1}" + (f" (try {tries + 1})" if tries else "")


def names(numbers: Iterable[int]) -> str:
    """Return what several orders are called."""
    return " and ".join(map(name, numbers))


def with_bytes(orders: Iterable[Order]) -> str:
    """Return orders with the byte that each has."""
    return " and ".join(f"{name(one.no)} = byte {one.byte}" for one in orders)


def told(task: Task) -> str:
    """Return what a commit makes durable."""
    return f"{names(one.no for one in task.orders)} {'as delivered' if task.delivers else 'as burned'}"
