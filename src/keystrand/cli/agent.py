"""`keystrand agent`: put fresh keys into tunnels, servers and tokens, and end them when none comes."""

import logging
import signal
import sys
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from keystrand.cli.output import Output, OutputOption, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ConfigOption = Annotated[Path, typer.Option("--config", metavar="FILE", help="The agent's TOML file.")]


@app.command()
def init(file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")]) -> None:
    """Write a commented file to begin with."""
    from keystrand.app.agent import write_starter

    write_starter(file)
    say(f"wrote {file}; fill it in, then: keystrand agent check --config {file}")


@app.command()
def check(config: ConfigOption, output: OutputOption = Output.TABLE) -> None:
    """Judge the file, the certificates, the way to the peer and the KME. Nothing is installed; no key is taken.

    Exit 1 where anything is not well.
    """
    from keystrand.app.agent import check_agent

    rows = check_agent(config)
    emit(output, rows)
    if not all(row["well"] for row in rows):
        raise typer.Exit(1)


@app.command()
def run(
    config: ConfigOption,
    with_installer: Annotated[
        bool, typer.Option("--with-installer", help="Start the privileged part too; it ends with the agent.")
    ] = False,
) -> None:
    """Run the agent until SIGTERM; prints `ready HOST:PORT` when it listens. Started as root it becomes its user."""
    from keystrand.app.agent import run_agent

    _log_to_stderr()
    run_agent(config, lambda place: typer.echo(f"ready {place}"), with_installer=with_installer)


@app.command()
def installer(
    config: ConfigOption,
    until_stdin_closes: Annotated[
        bool, typer.Option("--until-stdin-closes", help="End when the process that started it does.")
    ] = False,
) -> None:
    """Run the privileged part of the agent until SIGTERM: it alone touches the consumers. FILE must be its own.

    Prints `ready SOCKET`. It retires keys that are too old even where the agent is dead.
    """
    from keystrand.app.agent import run_installer

    _log_to_stderr()
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run_installer(config, lambda place: typer.echo(f"ready {place}"), stop, until_stdin_closes=until_stdin_closes)


@app.command()
def status(
    config: ConfigOption,
    output: OutputOption = Output.TABLE,
    metrics: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it for Prometheus too: FILE.prom in the node exporter's folder."),
    ] = None,
) -> None:
    """Say how every consumer stands: the age of its key, what it stands on, alarms. Also where the agent is dead."""
    from keystrand.app.agent import status_of, status_rows

    told = status_of(config, metrics)
    emit(output, status_rows(told), value=told)


@app.command("except")
def except_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The exception to write; its signature goes beside it.")],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The private key that signs (ML-DSA-65, PEM).")],
    consumer: Annotated[str, typer.Option(metavar="ID", help="The consumer it is for.")],
    by: Annotated[str, typer.Option("--by", metavar="WHO", help="Who permits it.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why.")],
    expires: Annotated[str, typer.Option(metavar="TIME", help="When it ends, as 2026-12-31T18:00:00Z.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Sign the exception without which no consumer may fail open."""
    from keystrand.app.agent import permit

    emit(output, [permit(file, key, consumer, by=by, reason=reason, expires=expires)])


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
