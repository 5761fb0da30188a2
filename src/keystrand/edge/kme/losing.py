"""What becomes of all that was shared with a KME that has lost its store: destroyed, and said in the audit key by key.

It may be much, and it happens at the other end's word: a part at a time, so that others are served in between.
"""

from keystrand.edge.kme.links import Link
from keystrand.edge.store import peers
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keystore import KeyStore

_AT_ONCE = 250
"""How many holdings or blocks one operation ends: the others wait for it some milliseconds."""
_WHY = "the KME at the other end has a new store"


async def lose_shared(store: KeyStore, link: Link) -> None:
    """Void what is held of the other end's orders, and destroy the blocks of `link`.

    From the first to the last part nothing is cut of it, and no link to that end is used.
    """
    link.distrust(_WHY)
    async with link.turn:
        while await store.committer.do(lambda tx: _void_some(tx, store, link)) == _AT_ONCE:
            pass
        while await store.committer.do(lambda tx: _destroy_some(tx, store, link)) == _AT_ONCE:
            pass


async def lose_rest(tx: Transaction, store: KeyStore, link: Link) -> None:
    """End what has come since `lose_shared`, which was little, and what was under way with that KME."""
    await _void_some(tx, store, link)
    while await _destroy_some(tx, store, link) == _AT_ONCE:
        pass
    if orders := await peers.void_orders(tx, kme=link.peer_kme):
        tx.note("void", kme=link.peer_kme, orders=list(orders), why=_WHY)


async def _void_some(tx: Transaction, store: KeyStore, link: Link) -> int:
    orders = await store.holdings.void_some(tx, link.peer_kme, at_most=_AT_ONCE)
    if orders:
        tx.note("void", kme=link.peer_kme, orders=list(dict.fromkeys(orders)), why=_WHY)
    return len(orders)


async def _destroy_some(tx: Transaction, store: KeyStore, link: Link) -> int:
    sql = "SELECT block_id FROM block WHERE pool IN (SELECT id FROM pool WHERE link = ?) LIMIT ?"
    blocks = [block_id for (block_id,) in await tx.rows(sql, link.id, _AT_ONCE)]
    await store.pools.destroy(tx, blocks)
    if blocks:
        tx.note("destroy_blocks", link=link.id, blocks=blocks, why=_WHY)
    return len(blocks)
