"""`keystrand inventory`: find the cryptography that is really there."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import (
    CHANGES,
    AsOfOption,
    EstateArgument,
    OutOption,
    Output,
    OutputOption,
    day,
    emit,
    say,
)

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

PARTIAL = 3


@app.command()
def scan(  # noqa: PLR0913 - every option of the command is one
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Only print what would be contacted or read.")] = False,
    mode: Annotated[
        str, typer.Option("--mode", help="Ask every server so: quick, standard or full.  [default: as the estate says]")
    ] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the scan that was interrupted in OUT.")] = False,
    max_age: Annotated[
        int | None,
        typer.Option(
            "--max-age",
            min=0,
            metavar="DAYS",
            help="Incremental: read only files that changed since the last run in OUT, and ask only endpoints whose"
            " answer is older.",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option("--engine", metavar="NAME", help="Who reads files and merges: inline, pool, pool:WORKERS or ray."),
    ] = "inline",
) -> None:
    """Probe what the estate in DIR names, and nothing else. Exit 3 where a target gave no answer."""
    from datetime import timedelta

    from keystrand.app.estate import open_estate
    from keystrand.app.inventory import PARTIAL as KEPT
    from keystrand.app.inventory import planned_contacts, scan_estate, target_rows
    from keystrand.app.inventory_coverage import coverage_rows, unknown_share
    from keystrand.cli.progress import progress_bar

    opened = open_estate(folder)
    age = None if max_age is None else timedelta(days=max_age)
    if plan:
        emit(output, planned_contacts(opened))
        return
    try:
        with progress_bar("targets") as progress:
            scanned = scan_estate(
                opened, out, as_of=day(as_of), progress=progress, resume=resume, mode=mode, max_age=age, engine=engine
            )
    except KeyboardInterrupt:
        say(f"what was seen so far is in {out / KEPT}; go on with --resume")
        raise
    say(unknown_share(scanned.inventory))
    if output is Output.TABLE:
        emit(output, coverage_rows(scanned.inventory))
    emit(output, target_rows(scanned.observations, scanned.inventory), value=scanned.inventory)
    coverage = scanned.observations.coverage
    say(f"{coverage.answered} of {coverage.looked_at} targets answered; wrote {out}/inventory.json and cbom.json")
    if scanned.partial:
        say("partial: a target without an answer is unknown, never safe")
        raise typer.Exit(PARTIAL)


@app.command()
def coverage(out: OutOption = Path("out"), output: OutputOption = Output.TABLE) -> None:
    """Show what the inventory in OUT covers: each kind of place, and what was not looked at."""
    from keystrand.app.inventory_coverage import coverage_rows, gap_rows, read_inventory, unknown_share

    inventory = read_inventory(out)
    say(unknown_share(inventory))
    if output is Output.TABLE:
        emit(output, coverage_rows(inventory))
    emit(output, gap_rows(inventory), value={"places": inventory.places, "coverage": inventory.coverage})


@app.command()
def merge(folder: EstateArgument = Path(), out: OutOption = Path("out"), output: OutputOption = Output.TABLE) -> None:
    """Make the inventory in OUT again from its observations, without scanning: for an estate that has changed."""
    from keystrand.app.estate import open_estate
    from keystrand.app.inventory import asset_rows, merge_again

    inventory = merge_again(open_estate(folder), out)
    emit(output, asset_rows(out), value=inventory)
    say(f"wrote {out}/inventory.json and cbom.json")


@app.command()
def show(
    asset: Annotated[str, typer.Argument(help="Identity of one asset, or its beginning.")] = "",
    out: OutOption = Path("out"),
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the assets of the inventory in OUT, or one with what is known of it and every place where it occurs."""
    from keystrand.app.inventory import asset_of, asset_rows, fact_rows, occurrence_rows

    if not asset:
        emit(output, asset_rows(out))
        return
    found = asset_of(out, asset)
    if output is Output.TABLE:
        emit(output, fact_rows(found))
    emit(output, occurrence_rows(found), value=found)


@app.command()
def export(
    out: OutOption = Path("out"),
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="File to write.  [default: stdout]")] = None,
    form: Annotated[
        str, typer.Option("--form", help="What to write: cyclonedx-1.6, cyclonedx-1.7 or sarif.")
    ] = "cyclonedx-1.6",
    files: Annotated[
        Path | None,
        typer.Option("--files", metavar="DIR", help="For SARIF: where the paths start from, the estate's folder."),
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="DIR", help="Write its tables into DIR as Parquet instead.")
    ] = None,
) -> None:
    """Export the inventory in OUT as a CycloneDX CBOM, the findings in source code as SARIF, or tables for DuckDB."""
    from keystrand.app.inventory_export import exported
    from keystrand.edge.files import write_atomic

    if parquet is not None:
        from keystrand.app.query import export_parquet

        counts = export_parquet(out, parquet)
        say(f"wrote {len(counts)} tables with {sum(counts.values())} rows into {parquet}")
        return
    content = exported(out, form, files)
    if to is None:
        sys.stdout.write(content.decode())
    else:
        write_atomic(to, content)
        say(f"wrote {to}")


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CBOM in JSON.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Check a CycloneDX file against the official schema of the version that it names. Exit 2 where it is not valid."""
    from keystrand.app.inventory_export import validated

    emit(output, validated(file))


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Folder of the earlier run, or its inventory.json.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Folder of the later run, or its inventory.json.")],
    output: OutputOption = Output.TABLE,
    *,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 11 where something changed.")
    ] = False,
) -> None:
    """Show what changed between two inventories: one line a change. What was not looked at is never gone."""
    from keystrand.app.drift import change_rows, changes_between

    changes = changes_between(old, new)
    emit(output, change_rows(changes), value=changes)
    changed = sum(change.kind.is_change for change in changes)
    say(f"{changed} changed; {len(changes) - changed} not observed in one of the two")
    if detailed_exitcode and changed:
        raise typer.Exit(CHANGES)


@app.command()
def compare(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CBOMs, or reports of other tools.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Show where several reports say different things of the same thing: the CBOMs of several generators, say."""
    from keystrand.app.inventory_reports import compare as compared
    from keystrand.app.inventory_reports import contradiction_rows

    comparison = compared(files)
    emit(output, contradiction_rows(comparison), value=comparison)
    alone = ", ".join(f"{name}: {count}" for name, count in comparison.alone)
    say(f"{comparison.shared} shared; named by one alone: {alone or 'none'}")


@app.command()
def query(
    question: Annotated[str, typer.Argument(help="Id of a ready question; without one they are listed.")] = "",
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
    *,
    days: Annotated[
        int | None, typer.Option("--days", min=0, help="Number of days that the question asks for.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="DIR", help="Ask what was exported into DIR, by DuckDB.")
    ] = None,
) -> None:
    """Answer a ready question about the inventory in OUT: long-lived certificates, shared keys, RSA by owner ..."""
    from keystrand.app.query import answer, question_rows

    if question:
        emit(output, answer(out, question, as_of=day(as_of), days=days, parquet=parquet))
    else:
        emit(output, question_rows())
