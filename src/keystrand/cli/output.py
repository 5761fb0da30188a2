"""How results and messages leave: stdout is data only, everything else goes to stderr."""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

Row = Mapping[str, Any]
CHANGES = 11
"""Exit code where things differ and `--detailed-exitcode` asks for it."""


class Output(StrEnum):
    """The forms of a result."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="Form of the result on stdout.")]
EstateArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that holds estate.toml.")]
OutOption = Annotated[Path, typer.Option("--out", metavar="OUT", help="Folder of the run's documents.")]
PlotOption = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it: .svg, or .png.")]
AsOfOption = Annotated[
    str, typer.Option("--as-of", metavar="DATE", help="Day to judge for, YYYY-MM-DD.  [default: today]")
]


def emit(output: Output, rows: Sequence[Row], *, value: Any = None) -> None:
    """Print `rows` on stdout in the form asked for; JSON prints `value` instead where one is given."""
    if output is Output.JSON:
        _print_json(list(rows) if value is None else value)
    elif output is Output.JSONL:
        _print_lines(rows)
    elif output is Output.CSV:
        _print_csv(rows)
    else:
        _print_table(rows)


def _print_json(value: Any) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _print_lines(rows: Sequence[Row]) -> None:
    import msgspec

    for row in rows:
        sys.stdout.write(msgspec.json.encode(row).decode() + "\n")


def _print_csv(rows: Sequence[Row]) -> None:
    sys.stdout.write(csv_text(rows))


def csv_text(rows: Sequence[Row]) -> str:
    """Return `rows` as CSV with a line of names; empty without rows."""
    made = io.StringIO()
    if rows:
        writer = csv.DictWriter(made, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _cell(item) for key, item in row.items()} for row in rows)
    return made.getvalue()


def _cell(item: Any) -> str:
    """Return the text of a CSV cell; one that a spreadsheet would take for a formula gets a quote in front."""
    text = _text(item)
    return f"'{text}" if not isinstance(item, int | float) and text.startswith(("=", "+", "-", "@")) else text


def _print_table(rows: Sequence[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        say("nothing to show")
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(item)) for item in row.values()))
    console = Console(highlight=False)
    Console(highlight=False, width=console.width if console.is_terminal else 160).print(table)


def _text(item: Any) -> str:
    if item is None:
        return ""
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, list | tuple):
        return ", ".join(map(_text, item))
    return printable(str(item))


def printable(text: str) -> str:
    """Return `text` with control characters written out: names come from the network and must not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def say(message: str) -> None:
    """Print a message for people, on stderr, line by line."""
    sys.stderr.write("".join(printable(line) + "\n" for line in message.split("\n")))


def day(text: str) -> Any:
    """Return the day that `--as-of` names, or today."""
    from datetime import UTC, date, datetime

    from keystrand.model.errors import InvalidInput

    if not text:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"--as-of {text!r} is not a date", hint="write it as YYYY-MM-DD") from error


def draw(path: Path, svg: str) -> None:
    """Write a chart to the file that `--plot` named, and say so."""
    from keystrand.edge.pictures import write_chart

    write_chart(path, svg)
    say(f"wrote {path}")


def shortened(rows: Sequence[Row], figures: int = 4) -> list[Row]:
    """Return rows for a person: numbers with so many figures, also those in lists."""
    return [{key: _shortened(value, figures) for key, value in row.items()} for row in rows]


def _shortened(value: Any, figures: int) -> Any:
    if isinstance(value, list):
        return [_shortened(one, figures) for one in value]
    return f"{value:.{figures}g}" if isinstance(value, float) else value
