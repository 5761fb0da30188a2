"""The echo of a pilot without keys from anybody: TLS 1.3 by certificates at both ends, in the same post-quantum group.

It is what the keyed echo is compared with, so all else is alike: the same server, no resumption, one handshake each.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from OpenSSL import SSL

from keystrand.edge.consumers.echoing import Echoing, Opened
from keystrand.edge.pki import Credentials, Identity, Kind, create, issue
from keystrand.edge.tls import BlockingTls, check_server, client_context, established, refusal_of, server_context
from keystrand.model.errors import PeerUnavailable, PolicyDenied

_DAYS = 7


class CertifiedEcho(Echoing):
    """Echoes to clients with a certificate of the same authority, from `listener`."""

    def __init__(self, files: Credentials, listener: socket.socket) -> None:
        self._context = server_context(files)
        super().__init__(listener)

    def _begun(self, transport: socket.socket) -> tuple[BlockingTls, Callable[[], None]]:
        connection = SSL.Connection(self._context, None)
        connection.set_accept_state()
        stream = BlockingTls(connection, transport)
        return stream, partial(_shake_hands, stream)


def _shake_hands(stream: BlockingTls) -> None:
    stream.handshake()
    if not established(stream.connection).post_quantum:
        raise PolicyDenied("the key exchange group is not post-quantum")


@contextmanager
def certified(context: SSL.Context, transport: socket.socket, host: str) -> Iterator[Opened]:
    """Yield a connection to the echo server at `host`, whose certificate is checked as that of a KME is.

    `transport` is closed at the end. Raises `PeerUnavailable` where the handshake or what follows fails.
    """
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    stream = BlockingTls(connection, transport)
    started = time.perf_counter()
    try:
        stream.handshake()
        peer = established(connection)
        check_server(connection, peer, host=host)
        yield Opened(stream, host, peer.group, time.perf_counter() - started)
    except (SSL.Error, OSError, PolicyDenied) as error:
        raise PeerUnavailable(f"TLS with {host} failed: {refusal_of(connection, error)}") from error
    finally:
        stream.close()


def certificates(folder: Path, host: str) -> tuple[SSL.Context, Credentials]:
    """Make an authority in the new `folder`; return the client's context, and the files of a server at `host`."""
    now = datetime.now(UTC)
    pki = create(folder, days=_DAYS, crl_days=_DAYS, now=now)
    server, client = Identity(kind=Kind.KME, id="site-b"), Identity(kind=Kind.SAE, id="site-a")
    issue(pki, server, hosts=(host,), days=_DAYS, now=now)
    issue(pki, client, days=_DAYS, now=now)
    return client_context(pki.of(Kind.SAE, client.id)), pki.of(Kind.KME, server.id)
