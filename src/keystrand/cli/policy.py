"""`keystrand policy`: test and show policies."""

from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import AsOfOption, Output, OutputOption, day, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A key policy (TOML).")]


@app.command("test")
def run_tests(file: FileArgument, as_of: AsOfOption = "", output: OutputOption = Output.TABLE) -> None:
    """Run the policy's own tests. Exit 1 where one does not come out as expected."""
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
def show(file: FileArgument, as_of: AsOfOption = "", output: OutputOption = Output.TABLE) -> None:
    """Show every entry of the policy in words."""
    from keystrand.app.policy import open_policy, policy_rows

    rules = open_policy(file)
    emit(output, policy_rows(rules.policy, day(as_of)), value=rules.policy)
