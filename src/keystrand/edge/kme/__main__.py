"""`python -m keystrand.edge.kme --config FILE`: one key management entity, until SIGTERM.

Prints `ready URL` on standard output once it answers; everything else goes to standard error.
"""

import argparse
import asyncio
import logging
import os
import resource
import signal
import sys
import time
from pathlib import Path

from keystrand.edge import tls
from keystrand.edge.kme.config import KmeConfig, load_config
from keystrand.edge.kme.entity import KeyManagementEntity
from keystrand.edge.kme.peer import PeerKme
from keystrand.edge.kme.server import HttpProtocol
from keystrand.edge.kme.store import Store
from keystrand.edge.kme.transport import Connections, Limits, TlsServerProtocol
from keystrand.edge.pki import Kind, party_of
from keystrand.model.errors import InvalidInput, KeystrandError, StoreFailure

_GOODBYE_S = 0.05
"""How long open connections may take the goodbye at the end."""


class Server:
    """A KME's listening socket and everything behind it."""

    def __init__(self, config: KmeConfig, limits: Limits) -> None:
        self._config, self._limits = config, limits
        self._open = Connections(limits)
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Open store and socket and return the URL. Raises `StoreFailure` and `InvalidInput`."""
        config = self._config
        context = tls.server_context(config.credentials)
        _check_own_identity(config)
        peers = {link.id: PeerKme(link, config.credentials) for link in config.links}
        store = Store(Path(config.store), Path(config.master_key), pool_bits=config.keys.pool_bits)
        self._entity = KeyManagementEntity(config, store, peers, time.time)
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                lambda: TlsServerProtocol(context, self._application, self._limits, self._open),
                config.host, config.port, backlog=512,
            )  # fmt: skip
        except OSError as error:
            self._entity.close()
            raise StoreFailure(
                f"cannot listen on {config.host}:{config.port}: {error.strerror}", hint="choose a free port"
            ) from error
        return f"https://{config.host}:{self._listener.sockets[0].getsockname()[1]}"

    def _application(self) -> HttpProtocol:
        return HttpProtocol(self._entity.answer, self._limits, self._running)

    async def stop(self) -> None:
        """Take no more, finish what was begun, and close."""
        self._listener.close()
        if self._running:
            await asyncio.wait(set(self._running), timeout=self._limits.request_s)
        for connection in self._open:
            connection.close()
        await asyncio.sleep(_GOODBYE_S)
        for connection in self._open:
            connection.abort()
        await self._listener.wait_closed()
        self._entity.close()


def _check_own_identity(config: KmeConfig) -> None:
    own = party_of(tls.read_certificate(config.credentials.certificate))
    if own.kind is not Kind.KME or own.id != config.kme_id:
        raise InvalidInput(
            f"{config.credentials.certificate} belongs to {own.urn}, not to KME {config.kme_id!r}",
            hint="name this KME's own certificate and key",
        )


async def run(config: KmeConfig, *, until_stdin_closes: bool = False, limits: Limits | None = None) -> None:
    """Serve until SIGTERM or SIGINT, or until standard input ends where that is asked for."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(config, limits or Limits())
    url = await server.start()
    if until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), _end_with, sys.stdin.fileno(), stop)
    sys.stdout.write(f"ready {url}\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop()


def _end_with(descriptor: int, stop: asyncio.Event) -> None:
    if not os.read(descriptor, 1024):
        stop.set()


def serve(config: Path, *, until_stdin_closes: bool = False) -> None:
    """Run the KME that `config` describes until SIGTERM.

    Raises `InvalidInput`, `MissingInput` or `StoreFailure` before it answers.
    """
    # a core file would hold keys
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asyncio.run(run(load_config(config), until_stdin_closes=until_stdin_closes))


def main() -> int:
    """Run the command; errors are told with their place and next step."""
    parser = argparse.ArgumentParser(prog="python -m keystrand.edge.kme", description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when the process that started it ends")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        serve(arguments.config, until_stdin_closes=arguments.until_stdin_closes)
    except KeystrandError as error:
        lines = (error.message, *map(str, error.problems), *([error.hint] if error.hint else []))
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
