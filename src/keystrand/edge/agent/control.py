"""The control channel between two agents: mutual TLS with a post-quantum group, and who is who by certificate alone."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, cast

from OpenSSL import SSL

from keystrand.edge.agent.frames import Unframer, framed, word_of
from keystrand.edge.agent.words import Answered, Asked
from keystrand.edge.kme.connect import TlsClientProtocol, opened
from keystrand.edge.kme.stream import Limits
from keystrand.edge.kme.transport import Connections, TlsServerProtocol
from keystrand.edge.pki import Identity
from keystrand.edge.tls import LiveContext, Peer, established
from keystrand.model.errors import PeerUnavailable, PolicyDenied

LIMITS = Limits(connections=16, kept=0, of_one_identity=4, handshakes=16, handshake_s=5.0)
"""There is one peer; it may have a connection that it does not know is dead."""
_KEEP_ALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""Seconds, seconds, tries: the kernel finds out within half a minute that the other machine is gone."""


class Line(asyncio.Protocol):
    """One connection with the peer agent. `heard` gets each word, `lost` is told once that there is none any more."""

    def __init__(
        self, kind: Any, heard: Callable[["Line", Any], None], lost: Callable[["Line", str], None],
        denied: Callable[[Peer], str],
    ) -> None:  # fmt: skip
        self._kind, self._heard, self._lost, self._denied = kind, heard, lost, denied
        self._unframer = Unframer()
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self.peer: Peer = transport.get_extra_info("peer")
        self.open = True

    def data_received(self, data: bytes) -> None:
        """Take what the peer says; what is no word of ours, or of one who is not trusted any more, ends it."""
        try:
            for content in self._unframer.take(data):
                self._demand_trusted()
                self._heard(self, word_of(content, self._kind))
        except PolicyDenied as error:
            self.end(error.message)

    def _demand_trusted(self) -> None:
        """Raise `PolicyDenied` where this connection may not go on."""
        expired = time.time() >= self.peer.valid_until_s
        if why := "the certificate of this connection has expired" if expired else self._denied(self.peer):
            raise PolicyDenied(why)

    def say(self, word: Asked | Answered) -> None:
        """Send `word`; nothing where the connection has ended."""
        if self.open:
            self._transport.write(framed(word))

    def end(self, why: str) -> None:
        """Cut it, and tell why."""
        if self.open:
            self._transport.abort()
            self._gone(why)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that it is over."""
        self._gone(str(exc or "the peer agent closed the connection"))

    def _gone(self, why: str) -> None:
        if self.open:
            self.open = False
            self._lost(self, why)


def demand_peer(peer: Peer, wanted: Identity) -> None:
    """Raise `PolicyDenied` unless the certificate is that of the agent we were told of, over a post-quantum group."""
    if peer.identity != wanted:
        raise PolicyDenied(f"it is {peer.identity.urn} and not {wanted.urn}")
    if not peer.post_quantum:
        raise PolicyDenied(f"the key exchange group {peer.group or 'unknown'} is not post-quantum")


class _Client(TlsClientProtocol):
    """The client's end, to an agent in place of a KME."""

    wanted: Identity

    def _accept(self) -> Peer:
        peer = established(self._tls)
        demand_peer(peer, self.wanted)
        return peer


async def call(context: SSL.Context, address: tuple[str, int], wanted: Identity, line: Callable[[], Line]) -> Line:
    """Return a connection to the agent `wanted` at `address`. Raises `PeerUnavailable`: nothing was said then."""
    host, port = address
    made = line()
    below = _Client(context, lambda: made, LIMITS, host, kme_id="", require_post_quantum=True)
    below.wanted = wanted
    transport, _ = await opened(below, host, port, LIMITS)
    if not made.open:
        raise PeerUnavailable("the peer agent closed the connection at once")
    _keep_alive(transport)
    return made


class _Server(TlsServerProtocol):
    """The server's end, for one agent alone."""

    wanted: Identity
    outside: Callable[[str], None]
    patient = False

    def _accept(self) -> Peer:
        peer = super()._accept()
        demand_peer(peer, self.wanted)
        self.outside(str(self.tcp.get_extra_info("peername")[0]))
        return peer


async def listen(
    tls: LiveContext, address: tuple[str, int], wanted: Identity, line: Callable[[], Line],
    outside: Callable[[str], None],
) -> asyncio.Server:  # fmt: skip
    """Listen for the agent `wanted`; `outside` raises `PolicyDenied` for an address that its own keys protect."""
    connections = Connections(LIMITS)

    def made() -> _Server:
        one = _Server(tls.current(), line, LIMITS, connections)
        one.wanted, one.outside = wanted, outside
        return one

    return await asyncio.get_running_loop().create_server(made, *address)


def _keep_alive(transport: asyncio.Transport) -> None:
    found = transport.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEP_ALIVE.items():
        found.setsockopt(socket.IPPROTO_TCP, option, value)
