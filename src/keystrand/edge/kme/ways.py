"""The way to a KME of several processes: each has its own URL, any of them answers for the KME."""

import time
from collections.abc import Callable, Sequence

from OpenSSL import SSL

from keystrand.edge.kme.channel import InDoubt, NotSent
from keystrand.edge.kme.connect import PeerConnection


class PeerWays:
    """Connections to the processes of the KME `kme_id`, of which one is used as long as it answers.

    `context` gives the TLS context of now. Raises `InvalidInput` for a URL that cannot be used.
    """

    def __init__(self, urls: Sequence[str], context: Callable[[], SSL.Context], *, kme_id: str) -> None:
        self._ways = [PeerConnection(url, context, kme_id=kme_id) for url in urls]

    async def exchange(
        self, method: str, target: str, body: bytes = b"", *, timeout_s: float = 10.0
    ) -> tuple[int, bytes]:
        """Return status and body of the answer of the first process that can be reached, within `timeout_s`.

        What was sent to one is never sent to another. Raises `NotSent` or `InDoubt` as `PeerConnection` does.
        """
        until_s, ways = time.monotonic() + timeout_s, tuple(self._ways)
        for left, way in zip(range(len(ways), 0, -1), ways, strict=True):
            try:
                # one that is silent leaves time for those behind it
                return await way.exchange(method, target, body, timeout_s=(until_s - time.monotonic()) / left)
            except InDoubt:
                self._put_last(way)
                raise
            except NotSent:
                self._put_last(way)
                if left == 1:
                    raise
        raise NotSent("no URL is known of the other KME")

    def _put_last(self, way: PeerConnection) -> None:
        """Ask another first next time, unless somebody else has seen to that."""
        if self._ways[0] is way:
            self._ways.append(self._ways.pop(0))

    def close(self) -> None:
        """Close all connections."""
        for way in self._ways:
            way.close()
