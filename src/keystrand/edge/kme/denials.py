"""Refusals in the audit: each one, as long as they are few. A flood of them must not fill the disk."""

from msgspec import Struct

from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.tls import Peer

_IN_FULL = 20
_PERIOD_S = 60.0
"""So many refusals of one identity in so long are audited one by one; the rest is counted, and told with the next."""


class _Account(Struct):
    since: float
    told: int = 0
    left_out: int = 0


class Denials:
    """Counts refusals by identity. Only who has a certificate has an account, so their number is bounded."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._accounts: dict[str, _Account] = {}

    async def note(self, peer: Peer, target: bytes, why: str, now: float) -> None:
        """Have a refusal in the audit before its answer leaves, or count it. Raises `StoreFailure`."""
        account = self._accounts.setdefault(peer.identity.urn, _Account(now))
        if not 0 <= now - account.since < _PERIOD_S:
            account.since, account.told = now, 0
        if account.told >= _IN_FULL:
            account.left_out += 1
            return
        account.told += 1
        left_out, account.left_out = account.left_out, 0
        place = target[:256].decode("ascii", "replace")

        async def note(tx: Transaction) -> None:
            tx.note("denied", peer, target=place, why=why[:512], left_out=left_out)

        await self._store.committer.do(note)
