"""Write the reference pages from the code itself. `--check` says whether they are up to date, and changes nothing."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import typer

from keystrand.cli.main import app
from keystrand.formats.documents import DOCUMENTS, schema
from keystrand.formats.etsi014_openapi import document_text
from keystrand.keys.contract import ORDER, ROWS
from keystrand.keys.lifecycle import LIFECYCLE
from keystrand.keys.machine import drawing
from keystrand.model.errors import KeystrandError
from keystrand.model.estate import Estate

REFERENCE = Path(__file__).parent / "reference"
CONTRACT = Path(__file__).parent / "explanation" / "two-kme-contract.md"
NOTE = "<!-- made by docs/generate.py from the code: change the code, then run ./dev docs -->\n\n"
WIDTH = 100


def _commands(command: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each command's path and help text, groups before their verbs."""
    context = typer.Context(command, info_name=" ".join(path), terminal_width=WIDTH, max_content_width=WIDTH)  # type: ignore[arg-type]  # Typer does not publish the type of its commands
    yield path, command.get_help(context)  # type: ignore[attr-defined]  # as above
    for name, verb in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(verb, (*path, name))


def cli_page() -> str:
    """Return the page of every command with its help."""
    parts = ["# Command line\n\n", NOTE]
    for path, text in _commands(typer.main.get_command(app), ("keystrand",)):
        parts.append(f"## {' '.join(path)}\n\n```text\n{text.rstrip()}\n```\n\n")
    return "".join(parts).rstrip() + "\n"


def _tree(base: type[KeystrandError]) -> Iterator[type[KeystrandError]]:
    yield base
    for child in base.__subclasses__():
        if child.__module__ == base.__module__:  # a room's own narrower error shares its parent's id
            yield from _tree(child)


def errors_page() -> str:
    """Return the page of every error: id, exit code, HTTP status, meaning."""
    rows = ["| error | exit code | HTTP status | meaning |", "|---|---|---|---|"]
    for error in _tree(KeystrandError):
        meaning = " ".join((error.__doc__ or "").split())
        rows.append(f"| `{error.id}` | {error.exit_code} | {error.http_status} | {meaning} |")
    codes = (
        "Exit codes: 0 ok; 1 failed; 2 usage, configuration or input; 3 partial (a target gave no answer); "
        "10 gate tripped (only with `--fail-on`); 11 changes present (only with `--detailed-exitcode`); "
        "12 denied by policy; 13 no key available; 130 interrupted.\n\n"
    )
    return "# Errors and exit codes\n\n" + NOTE + codes + "\n".join(rows) + "\n"


def filled(text: str, parts: Mapping[str, str]) -> str:
    """Return a written page with what stands between the two marks of each part made anew."""
    for name, part in parts.items():
        begin, end = f"<!-- {name}: made by docs/generate.py from the code -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = before + begin + part + end + rest.partition(end)[2]
    return text


def contract_page() -> str:
    """Return the page of the two-KME contract, with its machines drawn from the tables that run."""
    rows = ["| an order that is | hears | and is then | what the master KME does |", "|---|---|---|---|"]
    for (state, event), (after, actions) in ROWS.items():
        rows.append(f"| {state} | {event} | {after} | {'; '.join(actions) or '-'} |")
    order = f"```mermaid\n{drawing(ORDER)}```\n\n" + "\n".join(rows) + "\n"
    return filled(CONTRACT.read_text(), {"order": order, "key": f"```mermaid\n{drawing(LIFECYCLE)}```\n"})


def pages() -> dict[Path, str]:
    """Return every generated page by its place."""
    made = {REFERENCE / "cli.md": cli_page(), REFERENCE / "errors.md": errors_page()}
    kinds = {kind.kind(): schema(kind) for kind in DOCUMENTS} | {"estate": schema(Estate)}
    for name, content in kinds.items():
        made[REFERENCE / "schemas" / f"{name}.schema.json"] = json.dumps(content, indent=2, sort_keys=True) + "\n"
    made[REFERENCE / "etsi-014.openapi.json"] = document_text()
    made[CONTRACT] = contract_page()
    return made


def stale() -> list[Path]:
    """Return the pages that differ from what the code says now."""
    return [path for path, text in pages().items() if not path.exists() or path.read_text() != text]


def main() -> int:
    """Write the pages, or with `--check` only name those that are out of date."""
    if "--check" in sys.argv[1:]:
        for path in stale():
            sys.stderr.write(f"{path} is out of date: run ./dev docs\n")
        return 1 if stale() else 0
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
