"""`keystrand consumer`: use keys as a real consumer does."""

import signal
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from keystrand.cli.output import Output, OutputOption, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

UrlOption = Annotated[str, typer.Option("--kme", metavar="URL", help="Our key management entity, https://host:port.")]
CaOption = Annotated[Path, typer.Option("--ca", metavar="FILE", help="The authority's certificate (PEM).")]
CertOption = Annotated[Path, typer.Option("--cert", metavar="FILE", help="Our certificate (PEM).")]
KeyOption = Annotated[Path, typer.Option("--key", metavar="FILE", help="Our private key (PEM).")]


@app.command()
def serve(
    kme: UrlOption,
    ca: CaOption,
    cert: CertOption,
    key: KeyOption,
    master: Annotated[str, typer.Option("--master", metavar="SAE", help="Who may connect.")],
) -> None:
    """Echo over TLS 1.3 with a fresh key from the KME for every connection, until interrupted."""
    from keystrand.app.consumer import KmeAccess, serve_echo

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve_echo(KmeAccess(kme, ca, cert, key), master, stop, lambda host, port: typer.echo(f"ready {host}:{port}"))


class Side(StrEnum):
    """Which end of a proxied connection this is."""

    CLIENT = "client"
    SERVER = "server"


@app.command()
def proxy(  # noqa: PLR0913, PLR0917 - Typer reads one option from each parameter
    side: Annotated[Side, typer.Option(help="Which end: `client` takes plain connections, `server` takes keyed ones.")],
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 is any free one.")],
    to: Annotated[str, typer.Option(metavar="HOST:PORT", help="The other side, or the service beside us.")],
    kme: UrlOption,
    ca: CaOption,
    cert: CertOption,
    key: KeyOption,
    peer: Annotated[str, typer.Option("--peer", metavar="SAE", help="The SAE at the other side.")],
    sha256: Annotated[
        bool, typer.Option("--sha256", help="Keys for SHA-256: for other programs, which know no other.")
    ] = False,
    classical: Annotated[
        bool, typer.Option("--classical-group", help="Take peers whose key exchange is not post-quantum.")
    ] = False,
    connections: Annotated[int, typer.Option(metavar="N", help="So many at once; the others wait.")] = 256,
    idle_s: Annotated[float, typer.Option(metavar="S", help="A connection without a byte for so long is cut.")] = 300.0,
    most_s: Annotated[float, typer.Option(metavar="S", help="How long a connection, and so its key, lasts.")] = 3600.0,
) -> None:
    """Give any TCP service TLS 1.3 with a fresh key from the KME for every connection, until SIGTERM.

    Run one side beside the program that connects and the other beside the service. Without a key there is no
    connection. The plain side must be on this machine.
    """
    from keystrand.app.consumer import KmeAccess, ProxyPlan, ProxySide, serve_proxy
    from keystrand.edge.consumers.psk_ends import Suite
    from keystrand.edge.consumers.tls_proxy import Bounds

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    suite = Suite.CHACHA20 if sha256 else Suite.AES_256
    bounds = Bounds(connections=connections, idle_s=idle_s, most_s=most_s)
    plan = ProxyPlan(ProxySide(side.value), listen, to, peer, suite, not classical, bounds)
    counts = serve_proxy(KmeAccess(kme, ca, cert, key), plan, stop, lambda at: typer.echo(f"ready {at}"))
    say(
        f"{counts.done} connections to their end, {counts.open + counts.cut} cut, {counts.refused} refused, "
        f"{counts.keyless} refused for want of a key"
    )


@app.command()
def echo(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where the echo server listens.")],
    kme: UrlOption,
    ca: CaOption,
    cert: CertOption,
    key: KeyOption,
    slave: Annotated[str, typer.Option("--slave", metavar="SAE", help="Who we talk to.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Echo once under a fresh key. Exit 13 where the KME has no key; nothing is sent then."""
    from keystrand.app.consumer import KmeAccess, echo_once

    made = echo_once(KmeAccess(kme, ca, cert, key), slave, address, b"keystrand")
    times = {"enc_keys_ms": round(1e3 * made.enc_keys_s, 2), "handshake_ms": round(1e3 * made.handshake_s, 2)}
    emit(output, [{"key_ID": made.key_id, "group": made.group, "cipher": made.cipher, **times}])
    say("the answer came back under a key that both ends fetched from their own key management entity")
