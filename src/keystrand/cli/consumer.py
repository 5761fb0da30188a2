"""`keystrand consumer`: use keys as a real consumer does."""

import signal
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
