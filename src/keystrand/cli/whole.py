"""The verbs that stand alone: run, demo, doctor, completion."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from keystrand.cli.output import AsOfOption, EstateArgument, OutOption, Output, OutputOption, day, emit, say

PARTIAL = 3


class Shell(StrEnum):
    """The shells that completion is made for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def run(
    folder: EstateArgument = Path(),
    out: OutOption = Path("out"),
    as_of: AsOfOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Run every stage on the estate in DIR, from the scan to the report. Exit 3 where a target gave no answer."""
    from keystrand.app.run import run_all

    made = run_all(folder, out, as_of=day(as_of), stage=lambda name: say(f"[{name}]"))
    emit(output, [{"document": str(path)} for path in made.files])
    for sentence in made.headline:
        say(sentence)
    say(f"report: {made.page}")
    if made.partial:
        say("partial: a target without an answer is unknown, never safe; see the coverage in inventory.json")
        raise typer.Exit(PARTIAL)


def demo(out: OutOption = Path("keystrand-demo"), as_of: AsOfOption = "", output: OutputOption = Output.TABLE) -> None:
    """Run everything on the bundled bank, against servers started here for the purpose."""
    from keystrand.app.demo import run_demo

    made = run_demo(out, as_of=day(as_of), say=say)
    emit(output, [{"document": str(path)} for path in made.files])
    for sentence in made.headline:
        say(sentence)
    say(f"report: {made.page.resolve()}")


def doctor(output: OutputOption = Output.TABLE) -> None:
    """Check what this machine can do: post-quantum TLS, external keys in TLS, durable store, extras."""
    from keystrand.app.doctor import examine

    checks = examine()
    emit(output, [{"check": c.name, "state": c.state, "detail": c.detail} for c in checks])
    if any(check.state == "failed" for check in checks):
        raise typer.Exit(1)


def completion(shell: Annotated[Shell, typer.Argument()]) -> None:
    """Print the completion script for SHELL."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # public use, not re-exported

    script = get_completion_script(prog_name="keystrand", complete_var="_KEYSTRAND_COMPLETE", shell=shell.value)
    typer.echo(script)


def add_to(app: typer.Typer) -> None:
    """Add these verbs to the command."""
    for verb in (run, demo, doctor, completion):
        app.command()(verb)
