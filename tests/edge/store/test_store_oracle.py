"""The store against an oracle: any sequence of what can happen gives what a few dictionaries say it must."""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tests.edge.store.place import Clock, Place, PostgresPlace, SqlitePlace, add, block, opened, pool_of, take, write
from tests.edge.store.place import holding as new_holding

from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.holdings import NewHolding, Request
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import CONFIRMATION_OCTETS, LEAST_BLOCK_OCTETS, NewBlock
from keystrand.keys.allocation import Piece
from keystrand.keys.lifecycle import LIFECYCLE, KeyEvent
from keystrand.model.errors import InvalidInput
from keystrand.model.key import KeyState

T = TypeVar("T")
_REPLAY_S, _RETENTION_S, _WAIT_S = 10.0, 100.0, 60.0
_EVENTS = [event for event in KeyEvent if event not in (KeyEvent.ASSIGN, KeyEvent.DELIVER, KeyEvent.REPLAY)]
_LIMIT = 2048


class Kept:
    """What the oracle knows of a block."""

    def __init__(self, new: NewBlock, no: int) -> None:
        self.new, self.no, self.ready, self.cursor = new, no, False, CONFIRMATION_OCTETS

    @property
    def unused(self) -> int:
        """How many bytes are left."""
        return len(self.new.key_bits) - self.cursor


class Held:
    """What the oracle knows of a holding."""

    def __init__(self, new: NewHolding) -> None:
        self.new, self.state, self.until = new, KeyState.ACTIVE, new.until
        self.material = new.keys.reveal() if new.keys else b""
        self.taken: set[int] = set()


class StoreMachine(RuleBasedStateMachine):
    """One pool of which this KME is the master, and one slave SAE's holdings."""

    make_place: Callable[[Path], Place]

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        # what is durable is not the point here: in memory it goes faster
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # a folder with a random name in it
        self._folder = tempfile.TemporaryDirectory(prefix="keystrand-oracle-", dir=memory)
        self._place, self.clock = type(self).make_place(Path(self._folder.name)), Clock()
        self._stack = AsyncExitStack()
        self.blocks: dict[str, Kept] = {}
        self.last_no = 0
        self.holdings: dict[str, Held] = {}
        self.answers: dict[tuple[str, ...], tuple[float, list[bytes]]] = {}
        self.given: list[bytes] = []
        self._open()

    store: KeyStore

    def do(self, awaitable: Awaitable[T]) -> T:
        """Run something in the machine's loop."""

        async def run() -> T:
            return await awaitable

        return self._runner.run(run())

    def _open(self) -> None:
        async def enter() -> Any:
            return await self._stack.enter_async_context(
                opened(self._place, self.clock, replay_s=_REPLAY_S, retention_s=_RETENTION_S)
            )

        self.store = self._runner.run(enter())

    def teardown(self) -> None:
        """Close everything."""
        self._runner.run(self._stack.aclose())
        self._runner.close()
        self._folder.cleanup()

    # Blocks

    @rule(octets=st.integers(LEAST_BLOCK_OCTETS, 700))
    def add_block(self, octets: int) -> None:
        """A block is stored where the pool has room for it."""
        new = block(octets, now=self.clock.now)
        room = self._full() + octets <= _LIMIT
        # an empty pool that nobody knows yet takes its first block whatever its size
        assert self.do(self._add(new)) == (room or not self.last_no)
        if room or not self.last_no:
            self.last_no += 1
            self.blocks[new.block_id] = Kept(new, self.last_no)

    async def _add(self, new: NewBlock) -> bool:
        return await add(self.store, new, limit=_LIMIT)

    def _some(self, at: int, *, ready: bool) -> Kept | None:
        found = [kept for kept in self.blocks.values() if kept.ready is ready]
        return found[at % len(found)] if found else None

    @precondition(lambda self: self._some(0, ready=False))
    @rule(at=st.integers(0, 50))
    def confirm(self, at: int) -> None:
        """A block is the same at both ends."""
        kept = self._some(at, ready=False)
        assert kept
        kept.ready = True

        async def confirm() -> None:
            await self.store.committer.do(lambda tx: self.store.pools.make_ready(tx, kept.new.block_id, kept.no))

        self.do(confirm())

    @precondition(lambda self: self._some(0, ready=True))
    @rule(at=st.integers(0, 50), skip=st.integers(-40, 40), octets=st.integers(1, 300), burn=st.booleans())
    def use_bytes(self, at: int, skip: int, octets: int, burn: bool) -> None:  # noqa: FBT001  # drawn
        """Bytes are used where they are unused and there; otherwise the cursor is told and nothing moves."""
        kept = self._some(at, ready=True)
        assert kept
        piece = Piece(kept.no, max(0, kept.cursor + skip), octets)
        size, cursor = len(kept.new.key_bits), kept.cursor

        async def use(tx: Transaction) -> tuple[tuple[int, int], ...]:
            pool = await pool_of(self.store, kept.new)
            found: tuple[tuple[int, int], ...] = await self.store.pools.unusable(tx, pool, [piece])
            if burn:
                await self.store.pools.burn(tx, pool, [piece])
            elif not found:
                await self.store.pools.use(tx, pool, [piece])
            return found

        async def run() -> tuple[tuple[int, int], ...]:
            found: tuple[tuple[int, int], ...] = await self.store.committer.do(use)
            return found

        expected = ((kept.no, -1),) if piece.end > size else ((kept.no, cursor),) if piece.offset < cursor else ()
        assert self.do(run()) == expected
        if burn or not expected:
            kept.cursor = max(cursor, min(piece.end, size))
        if not kept.unused:
            del self.blocks[kept.new.block_id]

    # Holdings

    @rule(number=st.integers(1, 3))
    def assign(self, number: int) -> None:
        """An order is assigned."""
        new = new_holding(number=number, until=self.clock.now + _WAIT_S, keys=os.urandom(32 * number))
        self.holdings[new.order_id] = Held(new)

        async def assign() -> None:
            await write(self.store, new)

        self.do(assign())

    @precondition(lambda self: self.holdings)
    @rule(wanted=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), min_size=1, max_size=4, unique=True))
    def fetch(self, wanted: list[tuple[int, int]]) -> None:
        """All keys or none; the same request again while its window is open and the material is there."""
        orders = list(self.holdings.values())
        asked = {(orders[n % len(orders)].new.order_id, at) for n, at in wanted}
        key_ids = tuple(sorted(f"{order_id}{at:03x}" for order_id, at in asked))
        self._fetch(key_ids, sorted(asked))

    @precondition(lambda self: self.answers)
    @rule(at=st.integers(0, 50))
    def fetch_again(self, at: int) -> None:
        """A request that was answered comes again."""
        key_ids = list(self.answers)[at % len(self.answers)]
        self._fetch(key_ids, [(key_id[:-3], int(key_id[-3:], 16)) for key_id in key_ids])

    def _fetch(self, key_ids: tuple[str, ...], asked: list[tuple[str, int]]) -> None:
        request = Request(slave_sae="sae-b", master_sae="sae-a", key_ids=key_ids, digest=",".join(key_ids).encode())

        async def fetch() -> tuple[list[bytes], bool] | None:
            try:
                return await take(self.store, request)
            except InvalidInput:
                return None

        assert self.do(fetch()) == self._expected(key_ids, asked)

    def _expected(self, key_ids: tuple[str, ...], asked: list[tuple[str, int]]) -> tuple[list[bytes], bool] | None:
        """Return what the store must answer, and count it as done."""
        now = self.clock.now
        held = {order_id: self.holdings.get(order_id) for order_id, _ in asked}
        fresh = all(
            (one := held[order_id]) and one.state is KeyState.ACTIVE and at < one.new.number and at not in one.taken
            for order_id, at in asked
        )
        if fresh:
            keys = [self._material(held[order_id], at) for order_id, at in asked]
            assert not set(keys) & set(self.given), "a key would be given twice"
            self.given += keys
            self.answers[key_ids] = now + _REPLAY_S, keys
            for order_id, at in asked:
                self._taken(held[order_id], at)
            return keys, False
        until, keys = self.answers.get(key_ids, (0.0, []))
        # what was suspended since is not given again either
        if now < until and all(one and one.material and one.state is not KeyState.SUSPENDED for one in held.values()):
            return keys, True
        return None

    def _material(self, one: Held | None, at: int) -> bytes:
        assert one
        return one.material[32 * at : 32 * at + 32]

    def _taken(self, one: Held | None, at: int) -> None:
        assert one
        one.taken.add(at)
        if len(one.taken) == one.new.number:
            one.state, one.until = KeyState.DEACTIVATED, self.clock.now + _REPLAY_S

    @precondition(lambda self: self.holdings)
    @rule(at=st.integers(0, 50), event=st.sampled_from(_EVENTS))
    def happen(self, at: int, event: KeyEvent) -> None:
        """An event happens to an order where the life of a key allows it."""
        one = list(self.holdings.values())[at % len(self.holdings)]
        after = LIFECYCLE.rows.get((one.state, event), one.state)

        async def happen() -> int:
            return len(
                await self.store.committer.do(lambda tx: self.store.holdings.happen(tx, one.new.order_id, event))
            )

        assert self.do(happen()) == (after is not one.state)
        if after is not one.state:
            self._become(one, after)

    def _become(self, one: Held, after: KeyState) -> None:
        one.state = after
        if after not in (KeyState.ACTIVE, KeyState.SUSPENDED):
            one.material, one.until = b"", self.clock.now + _RETENTION_S

    # Time, epochs, restarts

    @rule(seconds=st.sampled_from([1.0, 5.0, 11.0, 61.0, 101.0]))
    def time_passes(self, seconds: float) -> None:
        """The sweep finds exactly what is due."""
        self.clock.now += seconds
        now = self.clock.now
        for one in self.holdings.values():
            if one.until <= now and one.state is KeyState.DEACTIVATED:
                one.state, one.material, one.until = KeyState.DESTROYED, b"", now + _RETENTION_S
        expired = [one for one in self.holdings.values() if one.until <= now and self._waits(one)]
        for one in expired:
            self._become(one, KeyState.DESTROYED)
        old = {block_id for block_id, kept in self.blocks.items() if self._deadline(kept) <= now}
        swept = self.do(self.store.sweep())
        assert sorted(swept.expired) == sorted(one.new.order_id for one in expired)
        assert set(swept.old_blocks) == old
        self.blocks = {block_id: kept for block_id, kept in self.blocks.items() if block_id not in old}
        self.holdings = {i: one for i, one in self.holdings.items() if one.until > now or self._waits(one)}

    def _waits(self, one: Held) -> bool:
        return one.state in (KeyState.ACTIVE, KeyState.SUSPENDED)

    def _deadline(self, kept: Kept) -> float:
        return kept.new.until if kept.ready else kept.new.confirm_by

    @rule()
    def turn_epoch(self) -> None:
        """What comes now is sealed under another data key."""
        self.do(self.store.next_epoch())

    @rule()
    def restart(self) -> None:
        """The process ends and starts again."""
        self._runner.run(self._stack.aclose())
        self._stack = AsyncExitStack()
        self._open()

    # What always holds

    @invariant()
    def the_store_is_the_oracle(self) -> None:
        """Rows, stock and content are what they must be."""
        blocks, holdings, stock = self.do(self._look())
        assert blocks == {i: (kept.no, kept.ready, kept.cursor) for i, kept in self.blocks.items()}
        assert holdings == {i: (one.state.value, bool(one.material)) for i, one in self.holdings.items()}
        assert stock == sum(kept.unused for kept in self.blocks.values() if kept.ready)
        assert self.do(self._held()) in (None, (self._full(), len(self.blocks)))

    def _full(self) -> int:
        return sum(kept.unused + CONFIRMATION_OCTETS for kept in self.blocks.values())

    async def _held(self) -> tuple[Any, ...] | None:
        return await (await self.store.reader()).row("SELECT held, blocks FROM pool")

    async def _look(self) -> tuple[dict[str, tuple[int, bool, int]], dict[str, tuple[str, bool]], int]:
        session = await self.store.reader()
        blocks = {i: (no, bool(ready), at) for i, no, ready, at in await session.rows(_BLOCKS)}
        holdings = {i: (state, sealed is not None) for i, state, sealed in await session.rows(_HOLDINGS)}
        stock = 0
        for kept in self.blocks.values():
            content = await self.store.pools.content(session, kept.new.block_id)
            at = kept.cursor if kept.ready else 0
            assert content.reveal()[at:] == kept.new.key_bits.reveal()[at:]
            stock = await self.store.pools.stored_octets(session, await pool_of(self.store, kept.new))
        return blocks, holdings, stock


_BLOCKS = "SELECT block_id, no, ready, cursor FROM block"
_HOLDINGS = "SELECT order_id, state, sealed FROM holding"


_SHORT, _SHORTER, _LONG = (20, 40), (5, 40), (60, 80)
"""Examples and steps of each; on a real server a step takes ten times as long."""


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("sqlite", _SHORT),
        pytest.param("postgres", _SHORTER, marks=pytest.mark.system),
        pytest.param("sqlite", _LONG, marks=pytest.mark.slow),
        pytest.param("postgres", _LONG, marks=[pytest.mark.slow, pytest.mark.system]),
    ],
)
def test_any_sequence_gives_what_the_oracle_says(
    request: pytest.FixtureRequest, kind: str, size: tuple[int, int]
) -> None:
    """Blocks come, are confirmed, used, burned, grow old; keys are assigned, fetched, repeated, revoked and expire."""

    class Machine(StoreMachine):
        """The machine on one back-end."""

    if kind == "sqlite":
        Machine.make_place = staticmethod(SqlitePlace)
    else:
        server = request.getfixturevalue("postgres")
        Machine.make_place = staticmethod(lambda folder: PostgresPlace(folder, server))
    examples, steps = size
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
