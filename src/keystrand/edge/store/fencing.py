"""Several processes that write one store: which have fallen silent, and what becomes of what they held.

A writer shows that it lives by its row of `head`, which changes with every commit. No two hosts' clocks are compared:
each process measures by its own steady one how long the others' rows have stayed the same. Whoever is wrong about
another does no harm: a writer that was fenced off while it lived cannot commit any more, and so hands nothing out.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from keystrand.edge.store import peers
from keystrand.edge.store.committer import Transaction

BEATS = 3
"""How many times in the time of its lease a writer shows that it lives."""


class Head(NamedTuple):
    """What changes in a writer's row with every commit and every start."""

    writer: str
    fence: int
    generation: int


class Watch:
    """Who of the others has been silent for `lease_s`."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._seen: dict[str, tuple[Head, float]] = {}

    def lost(self, heads: Iterable[Head], connected: Collection[str], now_s: float) -> tuple[str, ...]:
        """Return the writers that are lost at `now_s` of a steady clock: silent for too long, or not even connected."""
        lost = []
        for head in heads:
            seen, since_s = self._seen.get(head.writer, (None, now_s))
            if seen != head:
                self._seen[head.writer], since_s = (head, now_s), now_s
            if head.writer not in connected or now_s - since_s >= self._lease_s:
                lost.append(head.writer)
        return tuple(lost)


async def heads_of_others(tx: Transaction, writer: str) -> tuple[Head, ...]:
    """Return the rows of all writers but `writer` that hold something: an epoch that is open, or blocks."""
    sql = (
        "SELECT h.writer, h.fence, h.generation FROM head h WHERE h.writer <> ?"
        " AND (EXISTS (SELECT 1 FROM epoch e WHERE e.writer = h.writer AND e.closed = 0)"
        " OR EXISTS (SELECT 1 FROM block b WHERE b.owner = h.writer))"
    )
    return tuple(Head(*row) for row in await tx.rows(sql, writer))


async def take_over(tx: Transaction, writer: str) -> None:
    """Fence `writer` off, and free what it held: any of the others may take its blocks, nobody seals any more under its
    data key, and its orders under way are void.
    """
    await tx.run("UPDATE head SET fence = fence + 1 WHERE writer = ?", writer)
    blocks = await tx.run("UPDATE block SET owner = NULL WHERE owner = ?", writer)
    await tx.run("UPDATE epoch SET closed = 1 WHERE writer = ?", writer)
    void = await peers.void_orders(tx, writer=writer)
    tx.note("take_over", writer=writer, blocks=blocks, void=list(void))
