"""How much others may make this KME write: audit lines of what they do wrong, and what must be remembered of it.

Each line, as long as they are few. A flood of them must not fill the disk, whoever sends it: the rest is counted.
"""

import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.tls import Peer
from keystrand.model.words import shown

_IN_FULL = 20
_PERIOD_S = 60.0
"""So many refusals of one identity in so long are audited one by one; the rest is counted, and told with the next."""


class _Account(Struct):
    since: float
    taken: int = 0
    left_out: int = 0


class Allowance:
    """`most` of something in `period_s` seconds for each who asks: only who has a certificate, so they are bounded."""

    def __init__(self, most: int, period_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._period_s, self._clock = most, period_s, clock
        self._accounts: dict[str, _Account] = {}

    def take(self, who: str, number: int = 1) -> bool:
        """Return whether `who` may have `number` more, and count them either way."""
        now = self._clock()
        account = self._accounts.setdefault(who, _Account(now))
        if not 0 <= now - account.since < self._period_s:
            account.since, account.taken = now, 0
        if account.taken + number > self._most:
            account.left_out += number
            return False
        account.taken += number
        return True

    def left_out(self, who: str) -> int:
        """Return how many were refused since this was asked last."""
        account = self._accounts.get(who)
        if account is None:
            return 0
        number, account.left_out = account.left_out, 0
        return number


class Sparing:
    """Audits what others do wrong: in full as long as it is little, then by number, for each KME or caller."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowance = Allowance(_IN_FULL, _PERIOD_S, clock)

    def note(self, tx: Transaction, action: str, who: str, by: Peer | None, **detail: Any) -> None:
        """Add an audit record on account of `who`, or count it."""
        if self._allowance.take(who):
            if left_out := self._allowance.left_out(who):
                detail["left_out"] = left_out
            tx.note(action, by, **detail)


class Denials:
    """Has refusals audited. `clock`: seconds."""

    def __init__(self, store: KeyStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._allowance = store, Allowance(_IN_FULL, _PERIOD_S, clock)

    async def note(self, peer: Peer, target: bytes, why: str) -> None:
        """Have a refusal in the audit before its answer leaves, or count it. Raises `StoreFailure`."""
        who = peer.identity.urn
        if not self._allowance.take(who):
            return
        left_out, place = self._allowance.left_out(who), shown(target[:256].decode("ascii", "replace"), 256)

        async def note(tx: Transaction) -> None:
            tx.note("denied", peer, target=place, why=shown(why, 512), left_out=left_out)

        await self._store.committer.do(note)
