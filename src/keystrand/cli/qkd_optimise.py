"""`keystrand qkd optimise`: the best setting of a link in a file."""

from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import Output, OutputOption, PlotOption, draw, emit, say, shortened


def optimise(
    file: Annotated[Path, typer.Argument(metavar="LINK", help="The link and its block (TOML).")],
    loss_db: Annotated[
        float | None, typer.Option("--loss-db", metavar="DB", help="Loss of the channel.  [default: the file's]")
    ] = None,
    plot: PlotOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Find the intensities, probabilities and basis ratio with most key in finite blocks, and what limits the link."""
    from keystrand.app import qkd_optimise

    link = qkd_optimise.open_link(file, loss_db)
    found = qkd_optimise.best(link)
    if plot is not None:
        draw(plot, qkd_optimise.waterfall(found))
    rows, value = qkd_optimise.rows(link, found), qkd_optimise.value(link, found)
    emit(output, shortened(rows) if output is Output.TABLE else rows, value=value)
    for limit in value["limits"]:
        factor = f", {limit['factor']:.3g} times" if limit["factor"] is not None else ""
        say(f"without {limit['name']}: {limit['rate_without_bits_per_s']:.4g} bit/s{factor}")
    say(f"limited by: {value['limited_by']}")
    say(f"a plan with expected counts, not a measurement: {value['model']} ({value['source']})")
