"""`keystrand plan topology`: where quantum systems, trusted nodes and bypasses go."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keystrand.cli.output import (
    AsOfOption,
    EstateArgument,
    OutOption,
    Output,
    OutputOption,
    PlotOption,
    day,
    draw,
    emit,
    say,
)

if TYPE_CHECKING:
    from keystrand.app.plan_topology import Told

PARTIAL, INTERRUPTED = 3, 130


class TopologyPart(StrEnum):
    """What of the design is shown."""

    LINKS = "links"
    ROUTES = "routes"
    PLACES = "places"


class Survives(StrEnum):
    """What the keys of a network file survive; `Protection` by another name, which is slow to load."""

    NONE = "none"
    LINK = "link"
    NODE = "node"


class RateBy(StrEnum):
    """What gives the key rates; `RateModel` by another name, as above."""

    DECOY = "decoy"
    PLACEHOLDER = "placeholder"


def topology(  # noqa: PLR0913 - every option of the command is one
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
    plot: PlotOption = None,
    *,
    graph: Annotated[Path | None, typer.Option("--graph", metavar="FILE", help="As .graphml or .geojson.")] = None,
    show: Annotated[TopologyPart, typer.Option("--show", help="Part shown in the table.")] = TopologyPart.LINKS,
    network: Annotated[
        Path | None, typer.Option("--network", metavar="FILE", help="SNDlib, GraphML or GeoJSON, in place of DIR.")
    ] = None,
    demands: Annotated[int, typer.Option("--demands", min=1, help="With --network: the busiest pairs.")] = 10,
    demand: Annotated[
        list[str] | None, typer.Option("--demand", metavar="A:B:BITS_PER_S", help="With --network: who needs keys.")
    ] = None,
    protection: Annotated[
        Survives, typer.Option("--protection", help="With --network: what the keys survive.")
    ] = Survives.NODE,
    rate: Annotated[RateBy, typer.Option("--rate", help="What gives the key rates.")] = RateBy.DECOY,
    systems: Annotated[int, typer.Option("--systems", min=1, max=100, help="Most systems on one fibre.")] = 6,
    time_limit: Annotated[float, typer.Option("--time-limit", min=1, help="Seconds of the search.")] = 60.0,
    rounds: Annotated[int, typer.Option("--rounds", min=0, help="Most neighbourhoods searched.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
) -> None:
    """Choose fibres, systems, trusted nodes and bypasses for the keys that are needed, at the least cost found."""
    from keystrand.app import plan_topology
    from keystrand.app.estate import open_estate
    from keystrand.model.planning import Protection
    from keystrand.model.stages.designed import Ended, RateModel

    if graph is not None:
        plan_topology.graph_writer(graph)
    with _watched() as told:
        options = plan_topology.Options(RateModel(rate), systems, time_limit, rounds, seed, told)
        if network is None:
            design = plan_topology.estate_topology(open_estate(folder), out, options, as_of=day(as_of))
        else:
            given = plan_topology.Network(network, demands, demand or (), Protection(protection))
            design = plan_topology.file_topology(given, out, options, as_of=day(as_of))
    if plot is not None:
        draw(plot, plan_topology.map_of(design))
    if graph is not None:
        plan_topology.write_graph(graph, design)
        say(f"wrote {graph}")
    rows = {
        TopologyPart.LINKS: plan_topology.link_rows,
        TopologyPart.ROUTES: plan_topology.route_rows,
        TopologyPart.PLACES: plan_topology.place_rows,
    }
    emit(output, rows[show](design), value=design)
    for line in (*plan_topology.summary(design), f"wrote {out}/topology.json"):
        say(line)
    for one in design.unserved:
        say(f"not served: {one.need}: {one.reason}\n  hint: {one.next_step}")
    if design.ended is Ended.STOPPED:
        raise typer.Exit(INTERRUPTED)
    if design.unserved:
        raise typer.Exit(PARTIAL)


@contextmanager
def _watched() -> Iterator["Told"]:
    """Yield what hears of the search: a line on a terminal that changes, nothing where nobody watches."""
    import sys

    if not sys.stderr.isatty():
        yield lambda _words, _cost, _bound: None
        return
    from rich.console import Console

    with Console(stderr=True).status("designing") as status:

        def told(words: str, cost: float, bound: float) -> None:
            status.update(
                f"designing: {words}, cost {cost:,.0f}, no design below {bound:,.0f}; ^C takes the best so far"
            )

        yield told
