"""`keystrand kme policy`: change the key policy of a running KME, and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keystrand.cli.access import CaOption, CertOption, DryRunOption, KeyOption, KmeOption
from keystrand.cli.output import Output, OutputOption, emit, say

if TYPE_CHECKING:
    from keystrand.edge.kme.operator_client import Told

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_UNTIL_RESTART = "it holds until the entity restarts: keep the file that its configuration names in step"


def _show(output: Output, policies: "Told", *, dry_run: bool) -> None:
    from keystrand.app.kme import policy_rows_of

    emit(output, policy_rows_of(policies), value=policies)
    if dry_run:
        say("dry run: so it would be; nothing was changed")


@app.command()
def show(kme: KmeOption, ca: CaOption, cert: CertOption, key: KeyOption, output: OutputOption = Output.TABLE) -> None:
    """Show which policy is in force, which one is staged, and the earlier ones."""
    from keystrand.app.kme import OperatorAccess, policies_of

    _show(output, policies_of(OperatorAccess(kme, ca, cert, key)), dry_run=False)


@app.command()
def stage(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A key policy (TOML).")],
    kme: KmeOption,
    ca: CaOption,
    cert: CertOption,
    key: KeyOption,
    output: OutputOption = Output.TABLE,
    *,
    dry_run: DryRunOption = False,
) -> None:
    """Judge FILE, run its own tests, and hand it to the entity. Nothing changes before `activate`."""
    import time

    from keystrand.app.kme import OperatorAccess, stage_policy

    access = OperatorAccess(kme, ca, cert, key)
    _show(output, stage_policy(access, file, time.time(), dry_run=dry_run), dry_run=dry_run)


def _add(word: str, told: str) -> None:
    """Add the command `word`, which puts another policy in force; `told` is its help."""

    @app.command(word, help=told)
    def command(
        kme: KmeOption, ca: CaOption, cert: CertOption, key: KeyOption, output: OutputOption = Output.TABLE, *,
        dry_run: DryRunOption = False,
    ) -> None:  # fmt: skip
        from keystrand.app.kme import OperatorAccess, activate_policy, roll_back_policy

        change = activate_policy if word == "activate" else roll_back_policy
        _show(output, change(OperatorAccess(kme, ca, cert, key), dry_run=dry_run), dry_run=dry_run)
        say(_UNTIL_RESTART)


_add("activate", "Put the staged policy in force: the next request obeys it.")
_add("rollback", "Put the policy before this one in force again.")
