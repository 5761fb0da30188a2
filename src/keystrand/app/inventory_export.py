"""The inventory in the forms of others: CycloneDX, checked against its official schema, and SARIF."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keystrand.app.documents import load
from keystrand.app.inventory import CBOM, cbom_of
from keystrand.edge.cbom_schema import faults
from keystrand.edge.files import read_bytes
from keystrand.formats.cyclonedx import cbom
from keystrand.formats.cyclonedx_algorithm import Spec
from keystrand.formats.wording import counted
from keystrand.model.errors import InvalidInput
from keystrand.model.stages import Inventory

Row = dict[str, Any]


def exported(out: Path, form: str) -> bytes:
    """Return the inventory in `out` in one of `FORMS`. Raises `InvalidInput` where there is no such form."""
    if form not in FORMS:
        raise InvalidInput(f"there is no form {form!r}", hint=f"write one of {', '.join(FORMS)}")
    return FORMS[form](out)


def _newer_cbom(out: Path) -> bytes:
    inventory, _ = load(out, Inventory)
    return cbom(inventory, name=_estate_name(out), spec=Spec.V1_7)


def _estate_name(out: Path) -> str:
    """Return whose estate it is: the documents do not say it, the CBOM beside them does."""
    return str(json.loads(cbom_of(out))["metadata"]["component"]["name"])


FORMS: dict[str, Callable[[Path], bytes]] = {"cyclonedx-1.6": cbom_of, "cyclonedx-1.7": _newer_cbom}
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
