"""Rotation of a pair of SAEs, at the KMEs of both: what waits is void, and a new key is due.

The KME of the slave holds what has not been fetched, that of the master counts what was delivered. Whichever of them an
operator asks does its part and has the other one do its own.
"""

from msgspec import Struct

from keystrand.edge.kme import judging
from keystrand.edge.kme.denials import Sparing
from keystrand.edge.kme.entity import KeyManagementEntity, ok
from keystrand.edge.kme.messages import ROTATE_URL, Rotate, Rotated
from keystrand.edge.kme.server import Request, Response
from keystrand.edge.pki import Kind
from keystrand.edge.store import peers
from keystrand.edge.store.committer import Transaction
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.keys.lifecycle import KeyEvent
from keystrand.model.errors import InvalidInput, PeerUnavailable, PolicyDenied

_WAITING = (
    # by the index of what is sealed, as everything is that waits: what has ended is far more
    "SELECT DISTINCT order_id FROM holding WHERE sealed IS NOT NULL AND epoch >= 0 AND state IN ('active', 'suspended')"
    " AND ((sae = ? AND partner = ?) OR (sae = ? AND partner = ?))"
)
_DUE = (
    "INSERT INTO pair(master, slave, last, keys, due) VALUES(?, ?, 0, 0, ?) ON CONFLICT(master, slave)"
    " DO UPDATE SET keys = 0, due = excluded.due"
)


class PairRotated(Struct, frozen=True, kw_only=True):
    """How many orders a rotation voided, and why the other end has not done its part; empty where it has."""

    master: str
    slave: str
    orders_voided: int
    trouble: str = ""


class Rotating:
    """Rotates pairs of SAEs at `entity`, and answers other KMEs that have been asked to."""

    def __init__(self, entity: KeyManagementEntity) -> None:
        self._entity, self._sparing = entity, Sparing()
        entity.posts[ROTATE_URL.encode()] = self._asked_by_kme

    async def rotate(self, peer: Peer, master: str, slave: str) -> PairRotated:
        """Rotate a pair on behalf of the operator `peer`. Raises `InvalidInput` where neither SAE is at home here."""
        homes, own = self._entity.network.homes, self._entity.network.config.kme_id
        kmes = {homes.get(master, ""), homes.get(slave, "")}
        if own not in kmes:
            raise InvalidInput(f"neither {master!r} nor {slave!r} is at home here", hint="ask the KME of one of them")
        voided, trouble = await self._here(peer, master, slave), ""
        for kme in kmes - {own}:
            try:
                voided += await self._there(kme, master, slave)
            except PeerUnavailable as error:
                trouble = error.message
        return PairRotated(master=master, slave=slave, orders_voided=voided, trouble=trouble)

    async def _there(self, kme: str, master: str, slave: str) -> int:
        """Have the KME at the other end do its part, and return how many orders that voids."""
        link = self._entity.network.by_peer.get(kme)
        if link is None:
            raise PeerUnavailable("no link leads to the KME of the other SAE")
        asked = Rotate(link=link.id, master_sae=master, slave_sae=slave)
        return (await self._entity.peerings[link.id].ask(ROTATE_URL, asked, Rotated)).orders_voided

    async def _asked_by_kme(self, peer: Peer, request: Request) -> Response:
        asked, network = etsi014.decode(request.body, Rotate), self._entity.network
        judging.link_of_peer(network, peer, asked.link)
        kmes = {network.homes.get(asked.master_sae), network.homes.get(asked.slave_sae)}
        if kmes != {peer.identity.id, network.config.kme_id}:
            raise PolicyDenied("that pair of SAEs is not yours and ours")
        voided = await self._here(peer, asked.master_sae, asked.slave_sae)
        return ok(etsi014.encode(Rotated(orders_voided=voided)))

    async def _here(self, peer: Peer, master: str, slave: str) -> int:
        store, config = self._entity.store, self._entity.network.config

        async def rotate(tx: Transaction) -> int:
            orders = [one for (one,) in await tx.rows(_WAITING, master, slave, slave, master)]
            if self._entity.network.homes.get(master) == config.kme_id:
                await tx.run(_DUE, master, slave, tx.now)
            for order_id in orders:
                for one in await store.holdings.happen(tx, order_id, KeyEvent.REVOKE):
                    for kme in set(one.kmes) - {config.kme_id}:
                        await peers.tell(tx, order_id, kme, KeyEvent.REVOKE, tx.now + config.keys.retention_s)
            if orders or peer.identity.kind is not Kind.KME:
                tx.note("rotate", peer, master=master, slave=slave, orders=orders)
            else:
                # another KME may ask as often as it likes, and nothing ends by it
                self._sparing.note(tx, "rotate", peer.identity.id, peer, master=master, slave=slave, orders=orders)
            return len(orders)

        voided = await store.committer.do(rotate)
        for peering in self._entity.peerings.values():
            peering.news()
        return voided
