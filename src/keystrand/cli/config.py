"""Settings: flags > `KEYSTRAND_*` > ./keystrand.toml > XDG > /etc/keystrand, and where each value came from."""

import os
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from msgspec import Struct

from keystrand.cli.output import Output, OutputOption, emit
from keystrand.edge.files import read_bytes
from keystrand.formats.toml_input import parse_toml, read_toml

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_BUILT_IN = {"estate": ".", "out": "out", "output": "table"}


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a configuration file may say."""

    estate: str = _BUILT_IN["estate"]
    out: str = _BUILT_IN["out"]
    output: Output = Output(_BUILT_IN["output"])


class Setting(NamedTuple):
    """One value and where it came from."""

    name: str
    value: str
    origin: str


_PARAMETERS = {"estate": "folder", "out": "out", "output": "output"}


def _files() -> tuple[Path, ...]:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path("keystrand.toml"), home / "keystrand" / "keystrand.toml", Path("/etc/keystrand/keystrand.toml")


def _read(path: Path) -> dict[str, str]:
    """Return what `path` sets. Raises `InvalidInput` with every problem, its line and a hint."""
    text = read_bytes(path).decode(errors="replace")
    read_toml(text, Settings, file=str(path), what=str(path))
    given = parse_toml(text, file=str(path), what=str(path))
    return {name: str(value) for name, value in given.items()}


def settings() -> tuple[Setting, ...]:
    """Return each setting with the value in force (flags apart) and its origin."""
    found = {name: Setting(name, value, "built in") for name, value in _BUILT_IN.items()}
    for path in reversed(_files()):
        if path.is_file():
            found |= {name: Setting(name, value, str(path)) for name, value in _read(path).items()}
    for name in found:
        variable = f"KEYSTRAND_{name.upper()}"
        if os.environ.get(variable):
            found[name] = Setting(name, os.environ[variable], f"environment {variable}")
    return tuple(found.values())


def default_map(command: Any) -> dict[str, Any]:
    """Return the defaults of every verb below `command` as the settings say; the demo keeps its own."""
    values = {_PARAMETERS[s.name]: s.value for s in settings() if s.origin != "built in"}

    def below(node: Any) -> dict[str, Any]:
        children = getattr(node, "commands", {})
        return {name: below(child) for name, child in children.items() if name != "demo"} if children else values

    return below(command) if values else {}


@app.callback()
def _group() -> None:
    """Keep `show` a verb of its own while it is the only one."""


@app.command()
def show(
    output: OutputOption = Output.TABLE,
    *,
    origin: Annotated[bool, typer.Option("--origin", help="Also say where each value came from.")] = False,
) -> None:
    """Show the settings in force."""
    emit(output, [s._asdict() if origin else {"name": s.name, "value": s.value} for s in settings()])
