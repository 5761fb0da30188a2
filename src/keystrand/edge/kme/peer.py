"""The other KME of a link: how a master KME has keys assigned there.

The contract, with what it means where a machine stops between two steps:

1. the slave KME assigns durably (one commit), then says so;
2. the master KME marks the same keys delivered, durably, then answers its SAE.

So no key leaves before both ends hold what they need. Where the slave's answer does not come, the bytes are burned:
they may be assigned there, and are never planned again here. Where the master dies between 1 and 2 it plans them anew,
the slave refuses what it has assigned already, and the master burns that block. A key assigned and never delivered is
destroyed by the slave after a time.
"""

from keystrand.edge.kme.channel import Channel, InDoubt, NotSent
from keystrand.edge.kme.config import LinkEnd
from keystrand.edge.kme.messages import ASSIGN_URL, Assign, AssignAnswer
from keystrand.edge.pki import Credentials
from keystrand.formats import etsi014
from keystrand.model.errors import InvalidInput

_TIMEOUT_S = 3.0


class PeerKme:
    """The KME at the other end of `link`: only that identity is spoken to, only by a post-quantum key exchange."""

    def __init__(self, link: LinkEnd, credentials: Credentials) -> None:
        self._channel = Channel(link.peer_url, credentials, kme_id=link.peer_kme, timeout_s=_TIMEOUT_S)

    def assign(self, message: Assign) -> AssignAnswer:
        """Return the slave KME's answer. Blocks.

        Raises `NotSent` where it holds nothing of the message, `InDoubt` where it may have assigned.
        """
        status, answer = self._channel.exchange("POST", ASSIGN_URL, etsi014.encode(message))
        if 400 <= status < 500:
            raise NotSent(f"the other KME refused the assignment with {status}")
        if status != 200:
            raise InDoubt(f"the other KME answered {status}")
        try:
            return etsi014.decode(answer, AssignAnswer)
        except InvalidInput:
            raise InDoubt("the other KME's answer cannot be read") from None

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()
