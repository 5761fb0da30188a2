"""What each control covers, and what it does not."""

from pathlib import Path
from typing import Any

from keystrand.edge.catalogue import beside, controls
from keystrand.formats.decode import near_name
from keystrand.model.control import Control
from keystrand.model.errors import InvalidInput

_SAID = {
    "covers": "covers",
    "confidentiality": "confidentiality",
    "integrity": "integrity",
    "availability": "availability",
    "recoverability": "recoverability",
    "endpoint": "a broken end point",
    "insider": "an insider",
    "malware": "malware",
    "misconfiguration": "a wrong setting",
}


def control_rows(folder: Path, name: str = "") -> list[dict[str, Any]]:
    """Return a row for each thing that is said of each control, or of the one called `name`.

    `folder` is the estate's: controls of its own in `controls/` count too. Raises `InvalidInput` with near names.
    """
    known = {control.id: control for control in controls(beside(folder, "controls"))}
    if name and name not in known:
        near = near_name(name, known)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
        raise InvalidInput(f"no control is called {name!r}", hint=hint)
    return [row for control in known.values() if name in ("", control.id) for row in _rows(control)]


def _rows(control: Control) -> list[dict[str, Any]]:
    return [
        {"control": control.id, "about": about, "what_it_does": getattr(control, field)}
        for field, about in _SAID.items()
    ]
