"""The inventory in the forms of others: CycloneDX, checked against its official schema, and SARIF."""

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from keystrand import __version__
from keystrand.app.documents import load
from keystrand.app.inventory import CBOM, cbom_of
from keystrand.edge.cbom_schema import faults
from keystrand.edge.files import read_bytes
from keystrand.formats.cyclonedx import cbom
from keystrand.formats.cyclonedx_algorithm import Spec
from keystrand.formats.sarif import sarif_log
from keystrand.formats.wording import counted
from keystrand.model.errors import InvalidInput
from keystrand.model.stages import Inventory, Observations

Row = dict[str, Any]


def exported(out: Path, form: str, folder: Path | None = None) -> bytes:
    """Return the inventory in `out` in one of `FORMS`. Raises `InvalidInput` where there is no such form.

    `folder` is where the paths of files start from, the estate's: SARIF's fingerprints are of the statements there.
    """
    if form not in FORMS:
        raise InvalidInput(f"there is no form {form!r}", hint=f"write one of {', '.join(FORMS)}")
    return FORMS[form](out, folder)


def _cbom(out: Path, _: Path | None) -> bytes:
    return cbom_of(out)


def _newer_cbom(out: Path, _: Path | None) -> bytes:
    inventory, _ref = load(out, Inventory)
    return cbom(inventory, name=_estate_name(out), spec=Spec.V1_7)


def _estate_name(out: Path) -> str:
    """Return whose estate it is: the documents do not say it, the CBOM beside them does."""
    return str(json.loads(cbom_of(out))["metadata"]["component"]["name"])


def _sarif(out: Path, folder: Path | None) -> bytes:
    """Return the uses of algorithms that have a line in a file."""
    observations, _ = load(out, Observations)
    log = sarif_log(observations.records, _lines(folder), version=__version__)
    return json.dumps(log, indent=2).encode() + b"\n"


def _lines(folder: Path | None) -> Callable[[str, int], str]:
    """Return what gives the text of a line; empty where there is no folder to look in, or the file is gone."""

    @lru_cache(64)
    def text(path: str) -> list[str]:
        try:
            return (folder / path).read_text("utf-8", "replace").splitlines() if folder else []
        except OSError:
            return []

    return lambda path, number: next(iter(text(path)[number - 1 : number]), "")


FORMS: dict[str, Callable[[Path, Path | None], bytes]] = {
    "cyclonedx-1.6": _cbom,
    "cyclonedx-1.7": _newer_cbom,
    "sarif": _sarif,
}
"""What an inventory can be exported as."""


def validated(file: Path) -> list[Row]:
    """Return what was checked. Raises `InvalidInput` with every fault where the file does not keep to its schema."""
    content = read_bytes(file, hint=f"an exported inventory is in OUT/{CBOM}")
    found = faults(content, file=str(file))
    if found:
        raise InvalidInput(
            f"{file} has {counted(len(found), 'fault')}",
            hint="correct the document, or tell those who make the tool that wrote it",
            problems=found,
        )
    document = json.loads(content)
    return [
        {
            "file": str(file),
            "version": document["specVersion"],
            "components": len(document.get("components", ())),
            "valid": True,
        }
    ]
