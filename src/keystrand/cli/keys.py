"""`keystrand keys`: keys by their IDs, their states, and what happens to them. Key bytes are never shown."""

from typing import Annotated

import typer

from keystrand.cli.access import CaOption, CertOption, DryRunOption, KeyOption, KmeOption
from keystrand.cli.output import Output, OutputOption, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

KeyIdArgument = Annotated[str, typer.Argument(metavar="KEY_ID", help="The ID of a key, as ETSI GS QKD 014 gave it.")]
MasterArgument = Annotated[str, typer.Argument(metavar="MASTER", help="The SAE that gets fresh keys.")]
SlaveArgument = Annotated[str, typer.Argument(metavar="SLAVE", help="The SAE that fetches the same by their IDs.")]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the audit.")]
NO = 1
PARTIAL = 3


@app.command("list")
def list_command(
    kme: KmeOption,
    ca: CaOption,
    cert: CertOption,
    key: KeyOption,
    sae: Annotated[str, typer.Option(metavar="SAE", help="Only keys of this SAE.")] = "",
    state: Annotated[str, typer.Option(metavar="STATE", help="Only keys in this state (SP 800-57).")] = "",
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = 1000,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the keys that an entity's SAEs hold or held, with their states."""
    from keystrand.app.keys import key_rows, list_keys
    from keystrand.app.kme import OperatorAccess

    found, more = list_keys(OperatorAccess(kme, ca, cert, key), sae=sae, state=state, limit=limit)
    emit(output, key_rows(found, brief=output is Output.TABLE), value=found)
    if more:
        say(f"there are more than these {limit}: raise --limit, or name --sae or --state")


@app.command()
def show(
    key_id: KeyIdArgument,
    kme: KmeOption,
    ca: CaOption,
    cert: CertOption,
    key: KeyOption,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what is known of one key."""
    from keystrand.app.keys import key_rows, show_key
    from keystrand.app.kme import OperatorAccess

    found = show_key(OperatorAccess(kme, ca, cert, key), key_id)
    emit(output, key_rows(found, brief=output is Output.TABLE), value=found)


def _add(word: str, told: str) -> None:
    """Add the command `word`, which lets something happen to keys; `told` is its help."""

    @app.command(word, help=told)
    def command(
        key_id: KeyIdArgument, kme: KmeOption, ca: CaOption, cert: CertOption, key: KeyOption, why: WhyOption,
        output: OutputOption = Output.TABLE, *, dry_run: DryRunOption = False,
    ) -> None:  # fmt: skip
        from keystrand.app.keys import change_keys
        from keystrand.app.kme import OperatorAccess
        from keystrand.formats.wording import counted

        rows = change_keys(OperatorAccess(kme, ca, cert, key), key_id, word, why, dry_run=dry_run)
        emit(output, rows)
        changed = "would change" if dry_run else "changed"
        say(f"{counted(len({row['key_ID'] for row in rows}), 'key')} {changed}: all keys of one request share one fate")
        if rows and not dry_run:
            say("the entity at the other end is told, and follows")


_add("revoke", "Revoke a key, and those of the same request, at both ends: it is never handed out again.")
_add("suspend", "Suspend a key, and those of the same request, at both ends: not handed out until it is resumed.")
_add("resume", "Let a suspended key, and those of the same request, be handed out again.")
_add("compromise", "Mark a key, and those of the same request, as compromised at both ends: never handed out again.")


@app.command()
def rotate(
    master: MasterArgument,
    slave: SlaveArgument,
    kme: KmeOption,
    ca: CaOption,
    cert: CertOption,
    key: KeyOption,
    output: OutputOption = Output.TABLE,
    *,
    dry_run: DryRunOption = False,
) -> None:
    """Void what the pair has not fetched yet; `needs-rotation` says yes until it takes a new key.

    Exit 3 where the entity of the other SAE could not be reached: do it again.
    """
    from keystrand.app.keys import rotate_pair
    from keystrand.app.kme import OperatorAccess

    told = rotate_pair(OperatorAccess(kme, ca, cert, key), master, slave, dry_run=dry_run)
    emit(output, [told])
    if dry_run:
        say("dry run: so many wait at this entity; nothing was changed")
    elif told["trouble"]:
        say("the entity of the other SAE has not done its part: do it again when it can be reached")
        raise typer.Exit(PARTIAL)


@app.command("needs-rotation")
def needs_rotation(
    master: MasterArgument,
    slave: SlaveArgument,
    kme: KmeOption,
    ca: CaOption,
    cert: CertOption,
    key: KeyOption,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say whether the pair must take a new key. Exit 0: yes; 1: no; anything else: it could not be found out.

    Ask the entity of MASTER, which counts what the pair takes.
    """
    from keystrand.app.keys import rotation_of
    from keystrand.app.kme import OperatorAccess

    told = rotation_of(OperatorAccess(kme, ca, cert, key), master, slave)
    emit(output, [told], value=told)
    if not told["due"]:
        raise typer.Exit(NO)
