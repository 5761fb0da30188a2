"""An order of keys on its way through the contract: what was asked, what was cut for it, and where it stands."""

import asyncio
import os
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from keystrand.crypto.secret import Secret
from keystrand.edge.kme.messages import Order, StrandPieces
from keystrand.edge.store.pools import Pool
from keystrand.edge.tls import Peer
from keystrand.keys.allocation import Cut, Demand
from keystrand.keys.contract import INDEX_DIGITS, OrderAction, OrderEvent, OrderState, key_ids_of, step
from keystrand.keys.making import Origin, octets_needed, pad_octets
from keystrand.model.errors import NoKeyAvailable
from keystrand.model.key import SourceKind


class KeysBurned(NoKeyAvailable):
    """Bytes were cut and burned for an order that came to nothing: whoever asked for it has used them."""

    id = "keys-burned"


class StrandNeed(Struct, frozen=True, kw_only=True):
    """One source that a key is made from, and which of its blocks may serve."""

    source: SourceKind
    demand: Demand


class Cost(Struct, kw_only=True):
    """What one Get key has cost the pools so far: bytes that were cut and not given back, whatever became of them."""

    octets: int = 0


class Ask(Struct, frozen=True, kw_only=True):
    """A Get key that policy has permitted: `count` keys of `size` bits for `slaves` (SAE and its KME) by `needs`.

    `cost` grows with every byte that is cut for it.
    """

    peer: Peer
    link: str
    slaves: tuple[tuple[str, str], ...]
    count: int
    size: int
    needs: tuple[StrandNeed, ...]
    profile: str
    cost: Cost = field(default_factory=Cost)

    @property
    def master(self) -> str:
        """The calling SAE."""
        return self.peer.identity.id

    @property
    def octets(self) -> int:
        """How many bytes each strand must give."""
        return octets_needed(self.count, self.size, len(self.needs))

    @property
    def pad_octets(self) -> int:
        """How many bytes each further link must give for the keys to travel on it."""
        return pad_octets(self.count, self.size)


class Issued(Struct, frozen=True, kw_only=True):
    """Keys that may leave: durable at both ends, audited. `keys` joined in the order of `key_ids`."""

    key_ids: tuple[str, ...]
    keys: Secret
    size: int
    told: Origin


class Pending(Struct, kw_only=True):
    """An order under way. `cuts` by source; `pads` are those of other links under which its keys travel; `keys` what
    the cuts make; `future` is who waits for it.
    """

    ask: Ask
    order_id: str
    future: "asyncio.Future[Issued]"
    state: OrderState = OrderState.PLANNED
    cuts: dict[SourceKind, tuple[Cut, ...]] = {}
    pools: dict[SourceKind, Pool] = {}
    pads: list[tuple[Pool, tuple[Cut, ...]]] = []
    keys: Secret | None = None
    told: Origin | None = None
    tries: int = 0

    def happen(self, event: OrderEvent) -> tuple[OrderAction, ...]:
        """Go on by the contract's table and return what must be done."""
        self.state, actions = step(self.state, event)
        return actions

    @property
    def drawn(self) -> list[tuple[Pool, tuple[Cut, ...]]]:
        """What its keys are made from."""
        return [(self.pools[source], cuts) for source, cuts in self.cuts.items()]

    @property
    def origin(self) -> Origin:
        """What is known of where its keys come from. Raises `NoKeyAvailable` where nothing was cut for it."""
        if self.told is None:
            raise NoKeyAvailable("nothing was cut for these keys")
        return self.told

    @property
    def taken(self) -> list[tuple[Pool, tuple[Cut, ...]]]:
        """Everything that was cut for it."""
        return [*self.drawn, *self.pads]

    def message(self, cuts_of: Mapping[SourceKind, Sequence[Cut]] | None = None) -> Order:
        """Return what a slave KME is told of this order; `cuts_of` are the pads where the keys are sealed for it."""
        strands = tuple(
            StrandPieces(source=source, pieces=tuple((p.no, p.offset, p.length) for _, p in cuts))
            for source, cuts in (cuts_of or self.cuts).items()
        )
        return Order(
            order_id=self.order_id, master_sae=self.ask.master, slave_saes=tuple(sae for sae, _ in self.ask.slaves),
            size=self.ask.size, count=self.ask.count, profile=self.ask.profile, strands=strands,
            told=self.told if cuts_of else None,
        )  # fmt: skip

    def issued(self, keys: Secret) -> Issued:
        """Return the answer's content."""
        return Issued(
            key_ids=key_ids_of(self.order_id, self.ask.count), keys=keys, size=self.ask.size, told=self.origin
        )


def new_order_id(now: float) -> str:
    """Return a fresh order's ID: a UUID of version 7 (RFC 9562, 5.7) without the digits that number its keys.

    It says when the order was made, which the SAE knows, and nothing about the key: 62 of its bits are random.
    """
    at, chance = int(now * 1000) & (1 << 48) - 1, int.from_bytes(os.urandom(8), "big")
    high, low = f"{at:012x}", f"{chance & (1 << 60) - 1:015x}"
    variant = "89ab"[chance >> 62]
    return f"{high[:8]}-{high[8:]}-7{low[:3]}-{variant}{low[3:6]}-{low[6:]}"[: 36 - INDEX_DIGITS]
