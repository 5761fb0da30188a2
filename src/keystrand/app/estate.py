"""The estate as the user's folder holds it."""

from pathlib import Path
from typing import Any, NamedTuple

from keystrand.edge.estate_folder import estate_doubts, init_estate, load_estate
from keystrand.formats.documents import schema
from keystrand.model.document import InputRef
from keystrand.model.estate import Estate

__all__ = ["OpenEstate", "estate_doubts", "estate_schema", "init_estate", "open_estate"]


class OpenEstate(NamedTuple):
    """An estate that passed every check, where it stands, and the reference documents carry."""

    estate: Estate
    folder: Path
    ref: InputRef


def open_estate(folder: Path) -> OpenEstate:
    """Read and judge the estate in `folder`. Raises `InvalidInput` with every problem, or `MissingInput`."""
    estate, content, file = load_estate(folder)
    home = folder if folder.is_dir() else folder.parent
    return OpenEstate(estate, home, InputRef(kind="estate", content_sha256=content, file_sha256=file))


def estate_schema() -> dict[str, Any]:
    """Return the JSON Schema of `estate.toml`."""
    return schema(Estate)
