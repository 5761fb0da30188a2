"""How an operator's commands are told which KME to ask, and as whom: four options, each also a variable."""

from pathlib import Path
from typing import Annotated

import typer

KmeOption = Annotated[
    str, typer.Option("--kme", metavar="URL", envvar="KEYSTRAND_KME_URL", help="The entity, https://host:port.")
]
CaOption = Annotated[
    Path, typer.Option("--ca", metavar="FILE", envvar="KEYSTRAND_KME_CA", help="The authority's certificate (PEM).")
]
CertOption = Annotated[
    Path, typer.Option("--cert", metavar="FILE", envvar="KEYSTRAND_KME_CERT", help="Our operator's certificate (PEM).")
]
KeyOption = Annotated[
    Path, typer.Option("--key", metavar="FILE", envvar="KEYSTRAND_KME_KEY", help="Our operator's private key (PEM).")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]
