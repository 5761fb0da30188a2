"""`keystrand assess`: judge the inventory."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli import assess_exposure, assess_policies
from keystrand.cli.output import AsOfOption, EstateArgument, OutOption, Output, OutputOption, day, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.command()(assess_policies.policies)
app.command()(assess_policies.waivers)
app.command()(assess_exposure.exposure)
app.command()(assess_exposure.authenticity)
app.command()(assess_exposure.sensitivity)
app.command()(assess_exposure.controls)


class PolicyState(StrEnum):
    """What a rule can say of an asset."""

    VIOLATION = "violation"
    DUE = "due"
    NOTICE = "notice"
    MET = "met"
    UNDETERMINED = "undetermined"
    NOT_APPLICABLE = "not-applicable"


class Gate(StrEnum):
    """What can trip the gate."""

    VIOLATION = "violation"
    VULNERABLE = "vulnerable"
    UNKNOWN = "unknown"


@app.command()
def run(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
    fail_on: Annotated[Gate | None, typer.Option("--fail-on", help="Exit 10 where this is found.")] = None,
    *,
    curve: Annotated[
        str, typer.Option("--curve", metavar="ID", help="Threat curve: a shipped one, or yours in DIR/curves.")
    ] = "gri-2025",
) -> None:
    """Judge the inventory in OUT: verdicts, policies, exposure, order of work."""
    from keystrand.app.assess import assess_estate, gate_count, priority_rows, waived_count
    from keystrand.app.estate import open_estate
    from keystrand.app.policies_compared import own_questions
    from keystrand.formats.wording import counted
    from keystrand.model.errors import GateTripped

    opened = open_estate(folder)
    assessment = assess_estate(opened, out, as_of=day(as_of), curve=curve)
    emit(output, priority_rows(assessment), value=assessment)
    say(f"wrote {out}/assessment.json; ask why with: keystrand assess explain SYSTEM --out {out}")
    if questions := own_questions(opened.folder, assessment.as_of):
        say(f"{counted(questions, 'question')} on your own policies: keystrand policy check {opened.folder}/policies")
    if fail_on is Gate.VIOLATION and (left_out := waived_count(assessment)):
        say(f"{counted(left_out, 'finding')} in violation left out: a waiver in force covers them")
    if fail_on and (count := gate_count(assessment, fail_on.value)):
        found = f"{counted(count, 'finding')} tripped the gate: {fail_on.value}"
        raise GateTripped(found, hint="keystrand assess explain SYSTEM says why")


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A system or a finding.")],
    out: OutOption = Path("out"),
    output: OutputOption = Output.TABLE,
) -> None:
    """Say why the assessment in OUT says what it says."""
    from keystrand.app.assess import explain_finding

    sentences = explain_finding(out, name)
    if output is Output.TABLE:
        typer.echo("\n".join(sentences))
    else:
        emit(output, [{"sentence": sentence} for sentence in sentences], value=list(sentences))


@app.command()
def assets(  # noqa: PLR0913 - every option of the command is one
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
    *,
    state: Annotated[
        PolicyState | None, typer.Option("--state", help="List the assets that a rule leaves in it.")
    ] = None,
    policy: Annotated[str, typer.Option("--policy", help="Only the rules of this policy, with --state.")] = "",
    most: Annotated[int, typer.Option("--most", min=1, help="Number of assets listed at most.")] = 1000,
    asset: Annotated[str, typer.Option("--asset", metavar="ID", help="Say why, for one asset.")] = "",
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="DIR", help="Ask what was exported into DIR, by DuckDB.")
    ] = None,
) -> None:
    """Count the assets in OUT by what each rule says of them; list those in one state; say why of one."""
    from keystrand.app.assess_assets import asset_rows, state_rows, tally_rows
    from keystrand.app.estate import open_estate

    opened, when = open_estate(folder), day(as_of)
    if asset:
        emit(output, asset_rows(opened, out, asset, as_of=when, parquet=parquet))
    elif state:
        rows = state_rows(opened, out, state.value, as_of=when, policy=policy, most=most, parquet=parquet)
        emit(output, rows)
        if len(rows) == most:
            say(f"the first {most} are listed; see more with --most")
    else:
        emit(output, tally_rows(opened, out, as_of=when, parquet=parquet))
