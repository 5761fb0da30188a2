"""`keystrand policy`: policies with dates, positions, and key policies: list, show, test, compare, check."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keystrand.cli.output import CHANGES, AsOfOption, Output, OutputOption, day, emit, say

if TYPE_CHECKING:
    from keystrand.model.policy import Policy

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A record's id, or a file: a policy, a position, a key policy (TOML).")
]
EstateOption = Annotated[
    Path, typer.Option("--estate", metavar="DIR", help="Folder of the estate, with your own records beside it.")
]


@app.command("list")
def list_records(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the estate, for your own records.")] = Path(),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List the policies and positions: the shipped ones, and your own in policies/ and positions/ beside the estate."""
    from keystrand.app.policies import list_rows

    emit(output, list_rows(folder, day(as_of)))


@app.command("test")
def run_tests(
    name: NameArgument, as_of: AsOfOption = "", output: OutputOption = Output.TABLE, estate: EstateOption = Path()
) -> None:
    """Run a policy's own tests. Exit 1 where one does not come out as expected."""
    from keystrand.app.policies import find_record
    from keystrand.model.policy import Policy

    record = find_record(name, estate)
    if isinstance(record, Policy):
        _test_policy(record, name, output)
    elif record is None:
        _test_key_policy(Path(name), as_of, output)
    else:
        say(f"{name} has no rules, and so no tests")


def _test_policy(record: "Policy", name: str, output: Output) -> None:
    from keystrand.app.policies import case_rows, run_cases

    outcomes = run_cases(record)
    if not outcomes:
        say("the policy has no tests: add a [[test]] for each promise that it makes")
        return
    emit(output, case_rows(outcomes))
    failed = sum(not one.passed for one in outcomes)
    _summary(len(outcomes), failed, name)


def _summary(tests: int, failed: int, name: str) -> None:
    from keystrand.formats.wording import counted
    from keystrand.model.errors import KeystrandError

    say(f"{counted(tests, 'test')}, {failed} failed")
    if failed:
        raise KeystrandError(
            f"{counted(failed, 'test')} of {name} failed",
            hint="the table says what came instead: correct the rule named there, or what the test expects",
        )


def _test_key_policy(file: Path, as_of: str, output: Output) -> None:
    from keystrand.app.policy import case_rows, open_policy, run_policy_tests, summary
    from keystrand.formats.wording import counted
    from keystrand.model.errors import KeystrandError

    results = run_policy_tests(open_policy(file), day(as_of))
    if results:
        emit(output, case_rows(results))
    say(summary(results))
    if failed := sum(bool(result.faults) for result in results):
        raise KeystrandError(
            f"{counted(failed, 'test')} of {file} failed",
            hint="the table says what came instead: correct the entry named there, or what the test expects",
        )


@app.command()
def show(
    name: NameArgument, as_of: AsOfOption = "", output: OutputOption = Output.TABLE, estate: EstateOption = Path()
) -> None:
    """Show every entry of a policy, a position, a threat curve or a key policy in words."""
    from keystrand.app.policies import find_record, record_rows
    from keystrand.app.policy import open_policy, policy_rows

    record = find_record(name, estate)
    if record is None:
        rules = open_policy(Path(name))
        emit(output, policy_rows(rules.policy, day(as_of)), value=rules.policy)
    else:
        emit(output, record_rows(record, day(as_of)), value=record)


@app.command()
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A policy's id, or its file.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A policy's id, or its file.")],
    estate: EstateOption = Path(),
    out: Annotated[
        Path | None, typer.Option("--out", metavar="OUT", help="A run's documents: say which systems change state.")
    ] = None,
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
    *,
    detailed_exitcode: Annotated[bool, typer.Option("--detailed-exitcode", help="Exit 11 where they differ.")] = False,
) -> None:
    """Say what NEW says otherwise than OLD and, with OUT, which systems of the estate stand otherwise."""
    from keystrand.app.estate import open_estate
    from keystrand.app.policies import find_policy
    from keystrand.app.policies_compared import change_rows, moved_rows

    before, after = find_policy(old, estate), find_policy(new, estate)
    rows = change_rows(before, after)
    if out is not None:
        rows += moved_rows(open_estate(estate), out, before, after, day(as_of))
    emit(output, rows)
    if rows and detailed_exitcode:
        raise typer.Exit(CHANGES)


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Records, or folders that hold some.")],
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare records of your own with the shipped ones. Exit 1 where one contradicts them and does not say why."""
    from keystrand.app.policies_compared import check_records
    from keystrand.formats.wording import counted
    from keystrand.model.errors import KeystrandError

    rows, disputed = check_records(paths, day(as_of))
    if not rows:
        say("nothing contradicts the catalogue, and nothing is to be asked")
        return
    emit(output, rows)
    questions = sum(row["kind"] == "question" for row in rows)
    say(f"{counted(disputed, 'contradiction')}, {counted(questions, 'question')}")
    if disputed:
        raise KeystrandError(
            f"{counted(disputed, 'claim')} contradicts the catalogue",
            hint="such a record gives notices only; where yours is right, settle it with [[disputes]] and a note",
        )
