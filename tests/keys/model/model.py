"""Two KMEs, a network between them, and their SAEs: everything that can happen, as the contract's own tables say it.

The order's life at the master KME is `keys.contract`, the holding's at the slave KME `keys.lifecycle`, and the master
cuts its one block by `keys.allocation`: change a table and the model changes with it. A key is one byte long.

What keeps it small, and why nothing is lost by that:

- Requests are numbered in the order in which they come: they differ in nothing else.
- What a slave KME does with a message is one step from its arrival to the answer. A crash before its commit looks from
  outside like a message that has not arrived; one after it like an answer that nobody waits for any more.
- A message or answer that is lost is one that stays on its way for ever, while the master gives up.
- The SAE of the slave may fetch whatever is held for it, whether its master has told it of that or not.
- A repetition changes nothing, so it is no step: every one that could be asked for is tried in every state.
"""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import NamedTuple

from keystrand.keys.allocation import Cut, Demand, Lane, PoolTooSmall, advance, cut, give_back
from keystrand.keys.contract import ROWS, OrderAction, OrderEvent, OrderState, Rows
from keystrand.keys.lifecycle import LIFECYCLE, KeyEvent
from keystrand.model.key import KeyState

from .checker import Step
from .promises import MayRepeat, broken
from .world import TRIES, Held, Order, Slave, Task, World, happened, name, names, put, told, with_bytes


def restart_at(cursor: int) -> int:
    """Return where the master's allocator begins after a crash: where its store stands."""
    return cursor


def may_repeat(slave: Slave, sae: str, orders: tuple[int, ...]) -> bool:
    """Return whether a request may be answered again: it is one that was answered, and its window is open."""
    return (sae, orders) in slave.replays


class Rules(NamedTuple):
    """How the KMEs behave. The negative controls change one of these each."""

    rows: Rows = ROWS
    restart_at: Callable[[int], int] = restart_at
    may_repeat: MayRepeat = may_repeat
    slave_checks_cursor: bool = True
    slave_commits_first: bool = True
    remembers_void: bool = True
    delivers_first: bool = True


STRONG = Rules()


class TwoKmes:
    """The system: a block of `octets` bytes, and how often at most each thing may happen.

    `requests` of the master SAE for one key each; `crashes` of either KME; `denials` by the policy of the slave KME;
    `doubles`: a message arrives twice; `ageings`: the block grows too old at an end, and is destroyed there.
    """

    def __init__(
        self, *, requests: int, crashes: int, octets: int, denials: int = 0, doubles: int = 0, ageings: int = 0,
        rules: Rules = STRONG,
    ) -> None:  # fmt: skip
        self._first = World(requests=requests, crashes=crashes, denials=denials, doubles=doubles, ageings=ageings)
        self._octets, self._rules = octets, rules

    def start(self) -> World:
        """Return the world before the first request."""
        return self._first

    def steps(self, w: World) -> Iterator[Step[World]]:
        """Yield everything that can happen."""
        if w.up:
            yield from self._plan(w)
            yield from self._hear(w)
            yield from self._commit(w)
        if w.up and w.slave_up:
            yield from self._inform(w)
        if w.slave_up and w.late is None:
            yield from self._arrive(w)
            yield from self._fetch(w)
            yield from self._end(w)
        yield from self._crash(w)
        if w.ageings:
            yield from _age(w)

    # The master KME

    def _plan(self, w: World) -> Iterator[Step[World]]:
        if w.asked:
            return
        for new in range(w.requests + 1):
            first = self._first.requests - w.requests
            numbers = (*w.again, *(TRIES * at for at in range(first, first + new)))
            if not numbers:
                continue
            lane, planned, cuts = _lane(w.lane, self._octets), [], []
            for no in numbers:
                try:
                    (one,) = cut([lane] if w.block else [], 1, Demand())
                except PoolTooSmall:
                    continue
                advance((one,))
                cuts.append(one)
                planned.append(Order(no, one.piece.offset, OrderState.PLANNED))
            then = w._replace(requests=w.requests - new, again=(), lane=lane.cursor)
            due = not new
            if not planned:
                yield Step(f"master refuses {names(numbers)}: too few keys are left", then, due)
                continue
            yield self._send(then, tuple(planned), due=due)
            yield self._not_sent(then, planned, lane, cuts)

    def _send(self, w: World, planned: tuple[Order, ...], *, due: bool) -> Step[World]:
        asked, actions = self._happen(planned, OrderEvent.SENT)
        then = self._act(w, asked, actions)._replace(asked=asked, sent=w.sent | {asked})
        return Step(f"master asks for {with_bytes(planned)}", then, due)

    def _not_sent(self, w: World, planned: list[Order], lane: Lane, cuts: list[Cut]) -> Step[World]:
        _, actions = self._happen(tuple(planned), OrderEvent.NOT_SENT)
        if OrderAction.GIVE_BACK in actions:
            give_back(reversed(cuts))
        then = self._act(w, (), tuple(a for a in actions if a is not OrderAction.GIVE_BACK))
        return Step(f"master cannot reach the slave KME for {with_bytes(planned)}", then._replace(lane=lane.cursor))

    def _hear(self, w: World) -> Iterator[Step[World]]:
        if not w.asked:
            return
        orders, actions = self._happen(w.asked, OrderEvent.DOUBT)
        doubted = w.doubted | {one.byte for one in orders}
        gave_up = self._act(w._replace(asked=(), answer=(), doubted=doubted), orders, actions)
        yield Step(f"master gives up waiting for {names(one.no for one in w.asked)}", gave_up, due=True)
        if w.answer:
            yield Step("master hears the verdicts", self._judge(w._replace(asked=(), answer=()), w), due=True)

    def _judge(self, then: World, w: World) -> World:
        pairs = list(zip(w.asked, w.answer, strict=True))
        assigned = tuple(one for one, (event, _) in pairs if event is OrderEvent.ASSIGNED)
        if not self._rules.delivers_first:
            then = self._turn_down(then, pairs)
        if assigned:
            then = self._act(then, *self._happen(assigned, OrderEvent.ASSIGNED))
        return self._turn_down(then, pairs) if self._rules.delivers_first else then

    def _turn_down(self, w: World, pairs: list[tuple[Order, tuple[OrderEvent, int]]]) -> World:
        for one, (event, cursor) in pairs:
            if event is not OrderEvent.ASSIGNED:
                orders, actions = self._happen((one,), event)
                if OrderAction.SKIP in actions:
                    w = w._replace(lane=max(w.lane, self._octets if cursor < 0 else cursor))
                w = self._act(w, orders, actions)
        return w

    def _commit(self, w: World) -> Iterator[Step[World]]:
        if w.tasks:
            then = self._carry_out(w._replace(tasks=w.tasks[1:]), w.tasks[0])
            doubted = w.doubted and frozenset(byte for byte in w.doubted if byte >= then.cursor)
            yield Step(f"master commits {told(w.tasks[0])}", then._replace(doubted=doubted), due=True)

    def _carry_out(self, w: World, task: Task) -> World:
        keys = [(one.no, one.byte) for one in task.orders]
        if not task.delivers:
            cursor = max(w.cursor, task.up_to, *(byte + 1 for _, byte in keys))
            return w._replace(cursor=cursor, outbox=w.outbox | ({no for no, _ in keys} if task.voids else set()))
        unused = w.block and all(byte >= w.cursor for _, byte in keys)
        event = OrderEvent.COMMITTED if unused else OrderEvent.FAILED
        if unused:
            w = w._replace(cursor=max(byte for _, byte in keys) + 1, delivered=w.delivered | set(keys))
        if (task.orders[0].state, event) not in self._rules.rows:
            return w
        return self._act(w, *self._happen(task.orders, event))

    def _inform(self, w: World) -> Iterator[Step[World]]:
        for no in w.outbox:
            slave = self._void(w.slave, no)
            heard = w._replace(slave=slave, forgotten=w.forgotten | _unknown(slave, no))
            yield Step(f"slave KME hears that {name(no)} is void; its answer is lost", heard)
            yield Step(f"slave KME hears that {name(no)} is void", heard._replace(outbox=w.outbox - {no}), due=True)

    def _happen(
        self, orders: tuple[Order, ...], event: OrderEvent
    ) -> tuple[tuple[Order, ...], tuple[OrderAction, ...]]:
        """Let `event` happen to `orders`, all of one state, by the contract's table."""
        state, actions = self._rules.rows[orders[0].state, event]
        return tuple(one._replace(state=state) for one in orders), actions

    def _act(self, w: World, orders: tuple[Order, ...], actions: tuple[OrderAction, ...]) -> World:
        for action in actions:
            if action is OrderAction.COMMIT:
                w = w._replace(tasks=(*w.tasks, Task(orders, delivers=True)))
            elif action is OrderAction.BURN:
                w = w._replace(tasks=(*w.tasks, Task(orders, voids=OrderAction.VOID in actions)))
            elif action is OrderAction.SKIP:
                skipped = Task(orders, up_to=w.lane)
                w = w._replace(tasks=(*w.tasks, skipped), again=(*w.again, *(one.no + 1 for one in orders)))
            elif action is OrderAction.ANSWER:
                w = w._replace(given_master=w.given_master | {(one.no, one.byte) for one in orders})
            elif action is OrderAction.GIVE_BACK:
                w = w._replace(lane=min(w.lane, *(one.byte for one in orders)))
            else:
                assert action in (OrderAction.VOID, OrderAction.REFUSE), f"the model does not know how to {action}"
        return w

    # The slave KME

    def _arrive(self, w: World) -> Iterator[Step[World]]:
        for message in w.sent:
            for denied in (None, *message) if w.denials else (None,):
                slave, verdicts = self._assign(w.slave, message, denied)
                waits = w.up and w.asked == message
                then = w._replace(
                    sent=w.sent - {message}, answer=verdicts if waits else w.answer, denials=w.denials - bool(denied)
                )
                what = f"slave KME gets {with_bytes(message)}" + (f", denies {name(denied.no)}" if denied else "")
                if not self._rules.slave_commits_first:
                    yield Step(f"{what}, answers before it commits", then._replace(late=slave))
                    continue
                yield Step(what, then._replace(slave=slave))
                if w.doubles:
                    twice = then._replace(slave=slave, sent=w.sent, doubles=w.doubles - 1)
                    yield Step(f"{what}, which will come once more", twice)

    def _assign(
        self, slave: Slave, message: tuple[Order, ...], denied: Order | None
    ) -> tuple[Slave, tuple[tuple[OrderEvent, int], ...]]:
        verdicts = []
        for one in message:
            if one == denied or any(held.no == one.no for held in slave.held):
                verdicts.append((OrderEvent.DENIED, 0))
            elif not slave.block:
                verdicts.append((OrderEvent.USED, -1))
            elif self._rules.slave_checks_cursor and one.byte < slave.cursor:
                verdicts.append((OrderEvent.USED, slave.cursor))
            else:
                state = LIFECYCLE.step(KeyState.PRE_ACTIVATION, KeyEvent.ASSIGN)
                held = put(slave.held, Held(one.no, one.byte, state, sealed=True))
                slave = slave._replace(cursor=max(slave.cursor, one.byte + 1), held=held)
                verdicts.append((OrderEvent.ASSIGNED, 0))
        return slave, tuple(verdicts)

    def _void(self, slave: Slave, no: int) -> Slave:
        if any(held.no == no for held in slave.held):
            return happened(slave, (no,), KeyEvent.VOID)
        if not self._rules.remembers_void:
            return slave
        state = LIFECYCLE.step(KeyState.PRE_ACTIVATION, KeyEvent.VOID)
        return slave._replace(held=put(slave.held, Held(no, -1, state, sealed=False, ended_by=KeyEvent.VOID)))

    def _fetch(self, w: World) -> Iterator[Step[World]]:
        waiting = [held.no for held in w.slave.held if (held.state, KeyEvent.DELIVER) in LIFECYCLE.rows and held.sealed]
        for count in (1, 2):
            for numbers in combinations(waiting, count):
                slave = happened(w.slave, numbers, KeyEvent.DELIVER)
                given = {(held.no, held.byte) for held in w.slave.held if held.no in numbers}
                yield Step(
                    f"slave SAE fetches {names(numbers)}",
                    w._replace(
                        slave=slave._replace(replays=slave.replays | {("slave", numbers)}),
                        given_slave=w.given_slave | given, fetched=w.fetched | {numbers},
                    ),
                )  # fmt: skip

    def _end(self, w: World) -> Iterator[Step[World]]:
        for held in w.slave.held:
            if held.state is KeyState.ACTIVE:
                slave = happened(w.slave, (held.no,), KeyEvent.EXPIRE)
                yield Step(f"slave KME destroys {name(held.no)}, its time is over", w._replace(slave=slave), due=True)
        for replay in w.slave.replays:
            slave = happened(w.slave, replay[1], KeyEvent.EXPIRE)
            then = w._replace(slave=slave._replace(replays=slave.replays - {replay}), fetched=w.fetched - {replay[1]})
            yield Step(f"the window of {names(replay[1])} closes", then, due=True)

    # Crashes

    def _crash(self, w: World) -> Iterator[Step[World]]:
        if w.up and w.crashes:
            yield Step(
                "master KME crashes",
                w._replace(
                    up=False, lane=0, asked=(), again=(), tasks=(), doubted=frozenset(), answer=(),
                    crashes=w.crashes - 1,
                ),
            )  # fmt: skip
        if w.slave_up and w.crashes:
            yield Step("slave KME crashes", w._replace(slave_up=False, late=None, crashes=w.crashes - 1))
        if not w.up:
            lane = self._rules.restart_at(w.cursor)
            yield Step("master KME starts again", w._replace(up=True, lane=lane), due=True)
        if not w.slave_up:
            yield Step("slave KME starts again", w._replace(slave_up=True), due=True)
        if w.slave_up and w.late is not None:
            yield Step("slave KME commits", w._replace(slave=w.late, late=None), due=True)

    # What must hold

    def rests(self, w: World) -> bool:
        """Return whether both run and nothing waits: neither in memory nor in a store."""
        ended = all(held.state is KeyState.DESTROYED for held in w.slave.held)
        busy = w.asked or w.again or w.tasks or w.outbox or w.slave.replays or w.late
        return w.up and w.slave_up and ended and not busy

    def faults(self, w: World) -> Iterator[str]:
        """Yield every promise that is broken."""
        return broken(w, self._rules.may_repeat)


def _unknown(slave: Slave, no: int) -> frozenset[int]:
    return frozenset() if any(held.no == no for held in slave.held) else frozenset((no,))


def _age(w: World) -> Iterator[Step[World]]:
    """Yield the ends of the block: each KME goes by its own time of arrival."""
    if w.block and w.up:
        yield Step("the block is too old at the master KME", w._replace(block=False, ageings=w.ageings - 1))
    if w.slave.block and w.slave_up and w.late is None:
        then = w._replace(slave=w.slave._replace(block=False), ageings=w.ageings - 1)
        yield Step("the block is too old at the slave KME", then)


def _lane(cursor: int, octets: int) -> Lane:
    return Lane(no=1, block_id="", cursor=cursor, length=octets, label="", qber=0.0, received=0.0)
