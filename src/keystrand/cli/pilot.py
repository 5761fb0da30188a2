"""`keystrand pilot`: prove it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keystrand.cli.output import AsOfOption, EstateArgument, OutOption, Output, OutputOption, day, emit, say, shortened

if TYPE_CHECKING:
    from keystrand.model.stages import PilotReport

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


_FileOption = Annotated[
    Path | None, typer.Option("--file", metavar="PILOT.toml", help="The pilot's plan.  [default: pilot.toml in DIR]")
]


@app.command()
def run(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    pilot: Annotated[str, typer.Option("--pilot", metavar="ID", help="Which pilot.  [default: the first]")] = "",
    file: _FileOption = None,
    short: Annotated[
        bool, typer.Option("--short", help="Half a minute, no root: one consumer, one cut. So too without a plan.")
    ] = False,
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Run a pilot of the estate in DIR with the real consumers of its keys, as its pilot.toml says.

    Tunnels and what happens to the carrier need root; without it they are left out, and named (exit 3).
    """
    from keystrand.app.estate import open_estate
    from keystrand.app.pilot import run_pilot, run_with_consumers
    from keystrand.app.pilot_score import plan_file

    opened = open_estate(folder)
    if short or (file is None and not plan_file(opened).exists()):
        _told(run_pilot(opened, out, pilot, as_of=day(as_of), stage=say), out, output)
    else:
        made = run_with_consumers(opened, out, name=pilot, file=file, as_of=day(as_of), stage=say)
        _told(made, out, output)


def _told(report: "PilotReport", out: Path, output: Output) -> None:
    """Show the scorecard, then what was not run and which events nobody told of. Raises `PartlyRun`."""
    from keystrand.app.pilot import scorecard_rows, scorecard_words
    from keystrand.app.pilot_score import require_whole

    emit(output, scorecard_rows(report), value=report)
    say(scorecard_words(report))
    for left in report.left_out:
        say(f"not run: {left.what}: {left.why}")
    for gap in report.monitoring_gaps:
        say(f"gap in monitoring: {gap.event}: {gap.what}; what closes it: {gap.mend}")
    if not report.goals_set_before:
        say("mind: pilot.toml was changed after the campaign: its goals were not all set before; the report says so")
    say(f"wrote {out}/pilot.json")
    require_whole(report)


_PilotOption = Annotated[str, typer.Option("--pilot", metavar="ID", help="Which pilot.  [default: the first]")]


@app.command()
def init(folder: EstateArgument = Path(), pilot: _PilotOption = "") -> None:
    """Write a first pilot.toml beside the estate in DIR: real consumers, events, criteria; yours to change."""
    from keystrand.app.estate import open_estate
    from keystrand.app.pilot_score import init_plan

    file = init_plan(open_estate(folder), pilot)
    say(f"wrote {file}\nnext: edit it, then run: keystrand pilot run {folder}")


@app.command()
def score(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    file: _FileOption = None,
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Judge the campaign recorded in OUT anew, by pilot.toml and the estate in DIR."""
    from keystrand.app.estate import open_estate
    from keystrand.app.pilot_score import score_record

    _told(score_record(open_estate(folder), out, as_of=day(as_of), file=file), out, output)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="The pilot.json of a campaign, or its run's folder.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The other one.")],
    unlike: Annotated[bool, typer.Option("--unlike", help="Also where their criteria differ.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare two campaigns, of two vendors or two profiles: every criterion, and what only one measured."""
    from keystrand.app.pilot_score import compare_reports, comparison_rows

    made = compare_reports(first, second, unlike=unlike)
    say(f"first: {made.first}\nsecond: {made.second}")
    emit(output, comparison_rows(made), value=made)
    for note in made.notes:
        say(f"mind: {note}")
    for deeds in made.effort:
        say(f"{deeds.kind}: {deeds.first} and {deeds.second}")
    for words, names in (("first", made.only_first), ("second", made.only_second)):
        if names:
            say(f"measured by the {words} only: {', '.join(names)}")


NetworkArgument = Annotated[Path, typer.Argument(metavar="NETWORK.toml", help="The network, as declared.")]
_Days = Annotated[float, typer.Option("--days", metavar="DAYS", help="How long.")]
_Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The same seed gives the same run.")]


@app.command()
def network(
    file: NetworkArgument,
    days: _Days = 365.0,
    seed: _Seed = 1,
    expected: Annotated[bool, typer.Option("--expected", help="Means instead of drawn counts: no scatter.")] = False,
    telemetry: Annotated[
        Path | None, typer.Option("--telemetry", metavar="FILE", help="Write every report of every link: JSON lines.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run a network of quantum links for days or years: faults, attacks, key stores, demands. Simulated."""
    from keystrand.app.network import load_network, network_value, run_network, write_telemetry

    made = run_network(load_network(file), days=days, seed=seed, drawn=not expected)
    value = network_value(made, days=days, seed=seed, drawn=not expected)
    if telemetry is not None:
        say(f"wrote {write_telemetry(made, telemetry)} reports to {telemetry}")
    emit(output, [_brief(row) for row in value["links"]], value=value)
    for one in value["demands"]:
        route = f"seen by {', '.join(one.trusted_nodes)}" if one.trusted_nodes else "no node between"
        say(
            f"{one.demand}: {one.served_ratio:.4%} served, {one.rerouted_ratio:.2%} by another route, longest shortage "
            f"{one.longest_shortage_s / 60:.0f} min; {route if one.routes else 'NO ROUTE'}"
        )
    say("simulated: models with the hardware declared, not measurements")


def _brief(row: Any) -> dict[str, Any]:
    """Return what a person looks for first."""
    return {
        "link": row.link,
        "up": f"{row.up_ratio:.3%}",
        "kbit_per_s": f"{row.secret_key_rate_bits_per_s / 1e3:.4g}",
        "qber": "" if row.qber is None else f"{row.qber:.2%}",
        "faults": row.faults,
        "blocks_without_key": row.blocks_without_key,
        "lowest_store_mbit": f"{row.lowest_store_bits / 1e6:.4g}",
    }


@app.command()
def feed(
    file: NetworkArgument,
    link: Annotated[str, typer.Option("--link", metavar="ID", help="Which link to play.")],
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="A new folder for all it makes.")],
    days: _Days = 1.0,
    seed: _Seed = 1,
    speed: Annotated[
        float, typer.Option("--speed", metavar="X", help="Seconds of the link in one of the clock.")
    ] = 1.0,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="End after so long.")] = 1e9,
    output: OutputOption = Output.TABLE,
) -> None:
    """Feed two live key management entities what a link of the network makes, until SIGTERM; prints `ready`.

    DIR/telemetry.jsonl grows by a report a block. The keys are simulated and protect nothing.
    """
    import signal
    from threading import Event

    from keystrand.app.network import Feed, feed_pair, load_network, run_network

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def ready(about: dict[str, Any]) -> None:
        say(f"feeding {link}: entities at {' and '.join(about['kmes'])}; certificates in {about['folder']}/pki")
        typer.echo("ready")

    made = run_network(load_network(file), days=days, seed=seed)
    told = feed_pair(made, Feed(link, speed, seconds), folder, stop, ready)
    emit(output, [told], value=told)


@app.command()
def sweep(
    file: NetworkArgument,
    days: _Days = 365.0,
    runs: Annotated[int, typer.Option("--runs", metavar="N", help="How many lives of the network.")] = 20,
    seed: _Seed = 1,
    engine: Annotated[
        str, typer.Option("--engine", metavar="NAME", help="inline, pool, pool:WORKERS, ray or ray:ADDRESS.")
    ] = "pool",
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="DIR", help="Keep finished runs here, and go on from them.")
    ] = None,
    part: Annotated[str, typer.Option("--part", metavar="I/N", help="Do one of N parts of the sweep.")] = "1/1",
    output: OutputOption = Output.TABLE,
) -> None:
    """Run a network many times: how its demands fare, and how bad it gets. Resumable; on one machine or many."""
    from keystrand.app.network import load_network
    from keystrand.app.network_sweep import SweepOptions, sweep_link_rows, sweep_rows
    from keystrand.app.network_sweep import sweep as swept
    from keystrand.cli.progress import progress_bar

    number, parts = _part(part)
    options = SweepOptions(engine=engine, checkpoint=checkpoint, part=number, parts=parts)
    with progress_bar("runs") as progress:
        lives = swept(load_network(file), days=days, runs=runs, seed=seed, options=options, progress=progress)
    demands, links = (sweep_rows(lives), sweep_link_rows(lives)) if lives else ([], [])
    rows = demands or links
    shown = shortened(rows, 5) if output is Output.TABLE else rows
    emit(output, shown, value={"runs": lives, "rows": demands, "links": links})
    say(f"{len(lives)} runs of {days:g} days, simulated; seed {seed}")


def _part(words: str) -> tuple[int, int]:
    """Return what "1/3" says. Raises `InvalidInput`."""
    from keystrand.model.errors import InvalidInput

    number, _, parts = words.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and len(words) < 20):
        raise InvalidInput(f"{words!r} is no part of a sweep", hint="write 1/3 for the first of three")
    return int(number), int(parts)
