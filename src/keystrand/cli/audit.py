"""`keystrand audit`: the record of every key event, and whether anybody changed it."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from keystrand.cli.output import Output, OutputOption, emit, say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

AuditArgument = Annotated[Path, typer.Argument(metavar="PATH", help="Folder of an audit, or one file of it.")]
_ROWS_AT_ONCE = 1000


@app.command("verify")
def verify_command(
    path: AuditArgument,
    key: Annotated[
        list[Path] | None, typer.Option("--key", metavar="FILE", help="Public key it must be signed with; repeatable.")
    ] = None,
    head: Annotated[
        str, typer.Option("--head", metavar="HASH", help="A hash that it must reach: no end cut off.")
    ] = "",
    after: Annotated[
        str, typer.Option("--after", metavar="HASH", help="The hash it goes on from, where earlier files were moved.")
    ] = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Check every hash and signature of an audit. Exit 1 with file and line where anything was changed."""
    from keystrand.app.audit import verified_facts, verify_audit

    judged = verify_audit(path, key or (), head=head.lower(), after=after.lower())
    facts = verified_facts(judged)
    emit(output, [{"fact": name.replace("_", " "), "value": value} for name, value in facts.items()], value=facts)
    if judged.named_key:
        say("note: the audit itself names its key; --key FILE, kept elsewhere, shows that the key is yours")
    if judged.unsigned:
        say(f"note: {judged.unsigned} lines after the last checkpoint are not signed yet")
    if not head:
        say("note: lines cut off the end do not show; --head HASH, noted elsewhere earlier, shows that none were")
    say(f"ok: {judged.records} records, last checkpoint at {judged.checkpoint.at}")


@app.command()
def show(
    path: AuditArgument,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="Only from this time on, UTC.")] = "",
    action: Annotated[str, typer.Option("--action", metavar="PATTERN", help="Only such actions; * fits any.")] = "*",
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the lines of an audit; it does not verify them."""
    from keystrand.app.audit import audit_rows, moment

    rows = audit_rows(path, since=moment(since) if since else "", action=action)
    if output is Output.JSONL:  # an audit may be longer than memory
        for some in _some(rows):
            emit(output, some)
    elif output is Output.JSON:
        emit(output, list(rows))
    else:
        emit(output, [{**row, "detail": json.dumps(row["detail"], ensure_ascii=False)} for row in rows])


def _some(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        yield some
