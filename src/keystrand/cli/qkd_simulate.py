"""`keystrand qkd simulate`: a link photon by photon."""

from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import Output, OutputOption, emit, say, shortened
from keystrand.cli.progress import progress_bar


def simulate(
    link_file: Annotated[Path, typer.Argument(metavar="LINK.toml", help="The link: transmitter, receiver, channel.")],
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="How long the link runs.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same photons.")] = 1,
    engine: Annotated[
        str, typer.Option("--engine", metavar="NAME", help="pulse (draws every one) or event (from click to click).")
    ] = "pulse",
    alice: Annotated[Path | None, typer.Option("--alice", metavar="FILE", help="Write Alice's record here.")] = None,
    bob: Annotated[Path | None, typer.Option("--bob", metavar="FILE", help="Write Bob's record here.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Simulate a quantum link photon by photon, and hold what was counted against the model."""
    from keystrand.app import qkd_simulate

    link = qkd_simulate.read_link(link_file)
    qkd_simulate.check_paths(alice, bob)
    with progress_bar(f"simulating {seconds:g} s") as told:
        run = qkd_simulate.simulate(link, seconds, seed, engine, told)
    if alice and bob:
        qkd_simulate.write_records(run, link, seed, alice, bob)
        say(f"wrote {alice} and {bob}")
    value = qkd_simulate.summary(run, link, seed, engine)
    rows = value["rows"]
    emit(output, shortened(rows) if output is Output.TABLE else rows, value=value)
    say(f"{value['clicks']} clicks of {value['pulses']} pulses; simulated photons, their keys protect nothing")
