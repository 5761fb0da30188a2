"""What changed between two runs' inventories."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keystrand.app.documents import FILES, MADE_BY
from keystrand.edge.files import read_bytes
from keystrand.formats.documents import decode
from keystrand.inventory.drift import Change, drift
from keystrand.model.stages import Inventory


def changes_between(old: Path, new: Path) -> tuple[Change, ...]:
    """Return what changed; each of `old` and `new` is a run's folder or a file. Raises `MissingInput` without one."""
    return drift(_inventory(old), _inventory(new))


def _inventory(path: Path) -> Inventory:
    file = path / FILES[Inventory] if path.is_dir() else path
    return decode(read_bytes(file, hint=f"make it first: {MADE_BY[Inventory]}"), Inventory, file=str(file))


def change_rows(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Return one row a change."""
    return [
        {
            "change": change.kind.value,
            "what": change.what,
            "where": change.where,
            "before": change.before,
            "after": change.after,
            "systems": change.systems,
            "reason": change.reason,
        }
        for change in changes
    ]
