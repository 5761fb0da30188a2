"""`keystrand kme`: run key management entities, look at them, change them while they run."""

import signal
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from keystrand.cli import kme_policy
from keystrand.cli.access import CaOption, CertOption, KeyOption, KmeOption
from keystrand.cli.output import Output, OutputOption, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(kme_policy.app, name="policy", help="Change the key policy of a running entity, and back.")


class Signature(StrEnum):
    """What a lab's certificates are signed with."""

    ECDSA_P256 = "ecdsa-p256"
    ML_DSA_65 = "ml-dsa-65"


@app.command()
def serve(config: Annotated[Path, typer.Option("--config", metavar="FILE", help="The entity's TOML file.")]) -> None:
    """Serve ETSI GS QKD 014 until SIGTERM; prints `ready URL` when it does."""
    from keystrand.app.kme import serve_kme

    serve_kme(config)


@app.command()
def lab(
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="A new folder for everything that it makes.")],
    nodes: Annotated[int, typer.Option(metavar="N", help="How many entities, each linked to every other.")] = 2,
    stock: Annotated[int, typer.Option(metavar="KEYS", help="Keys in each direction before it is ready.")] = 0,
    block_bits: Annotated[
        int | None, typer.Option(metavar="BITS", help="What a link delivers at once.  [default: a tenth of a second's]")
    ] = None,
    rate: Annotated[
        float, typer.Option(metavar="BITS_PER_S", help="What a link delivers, both directions together.")
    ] = 1_000_000,
    algorithm: Annotated[Signature, typer.Option(help="Of the certificates.")] = Signature.ECDSA_P256,
    max_key_count: Annotated[
        int | None,
        typer.Option(metavar="KEYS", help="What a direction may store.  [default: 10000, or a bit over STOCK]"),
    ] = None,
) -> None:
    """Run entities on this machine to test a client against, until SIGTERM; prints `ready` when keys can be had.

    DIR/lab.json says where they are, and where the certificates of the SAEs sae-1, sae-2, ... and of an operator are.
    The keys are simulated and protect nothing. Exit 1 where an entity ends by itself.
    """
    from keystrand.app.kme import LabOptions, run_lab

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    options = LabOptions(nodes, stock, block_bits, rate, algorithm.value, max_key_count)

    def ready() -> None:
        typer.echo("ready")
        say(f"{nodes} key management entities; what a client needs is in {folder / 'lab.json'}; ^C ends them")

    run_lab(folder, options, ready, stop)


@app.command()
def status(kme: KmeOption, ca: CaOption, cert: CertOption, key: KeyOption, output: OutputOption = Output.TABLE) -> None:
    """Say how a running entity stands: its links, stocks, policy, keys. Needs an operator's certificate."""
    from keystrand.app.kme import OperatorAccess, headline, link_rows, status_of

    told = status_of(OperatorAccess(kme, ca, cert, key))
    emit(output, link_rows(told), value=told)
    for sentence in headline(told):
        say(sentence)


@app.command()
def reload(kme: KmeOption, ca: CaOption, cert: CertOption, key: KeyOption, output: OutputOption = Output.TABLE) -> None:
    """Have a running entity read its certificates and revocation lists again, at once."""
    from keystrand.app.kme import OperatorAccess, reload_kme

    emit(output, [reload_kme(OperatorAccess(kme, ca, cert, key))])
