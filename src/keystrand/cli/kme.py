"""`keystrand kme`: run a key management entity."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Keep `serve` a verb of its own while it is the only one."""


@app.command()
def serve(config: Annotated[Path, typer.Option("--config", metavar="FILE", help="The entity's TOML file.")]) -> None:
    """Serve ETSI GS QKD 014 until SIGTERM; prints `ready URL` when it does."""
    from keystrand.app.kme import serve_kme

    serve_kme(config)
