"""The estate as the user's folder holds it."""

from pathlib import Path
from typing import Any, NamedTuple

from keystrand.edge.catalogue import policies
from keystrand.edge.estate_folder import estate_doubts, estate_file, init_estate, load_estate
from keystrand.formats.documents import schema
from keystrand.model.document import InputRef
from keystrand.model.errors import InvalidInput, Problem
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
    _check_obligations(estate, folder)
    home = folder if folder.is_dir() else folder.parent
    return OpenEstate(estate, home, InputRef(kind="estate", content_sha256=content, file_sha256=file))


def _check_obligations(estate: Estate, folder: Path) -> None:
    known = {policy.id for policy in policies()}
    problems = tuple(
        Problem(
            message=f"no policy is called {name!r}",
            field="organisation.obligations",
            file=str(estate_file(folder)),
            hint=f"known policies: {', '.join(sorted(known))}",
        )
        for name in estate.organisation.obligations
        if name not in known
    )
    if problems:
        raise InvalidInput("the estate names policies that are not in the catalogue", problems=problems)


def estate_schema() -> dict[str, Any]:
    """Return the JSON Schema of `estate.toml`."""
    return schema(Estate)
