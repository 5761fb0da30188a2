"""What an inventory covers, for people: the unknown share first, each kind of place, and every gap."""

from pathlib import Path
from typing import Any

from keystrand.app.documents import load
from keystrand.formats.wording import OUTCOME_WORDS, counted
from keystrand.inventory.coverage import KNOWN
from keystrand.model.stages import Inventory

Row = dict[str, Any]


def read_inventory(out: Path) -> Inventory:
    """Return the inventory in `out`. Raises `MissingInput` where there is none."""
    inventory, _ = load(out, Inventory)
    return inventory


def unknown_share(inventory: Inventory) -> str:
    """Return in words how much of what was to be looked at is unknown, and how all of it ended."""
    counts = {one.outcome: one.count for one in inventory.coverage.outcomes}
    total = sum(counts.values())
    unknown = total - sum(counts.get(outcome, 0) for outcome in KNOWN)
    share = f"unknown: {unknown} of {counted(total, 'endpoint or file', 'endpoints and files')}"
    ended = ", ".join(f"{count} {OUTCOME_WORDS[outcome]}" for outcome, count in counts.items())
    return f"{share} ({unknown / total:.0%}): {ended}" if total else "unknown: everything; nothing was looked at"


def coverage_rows(inventory: Inventory) -> list[Row]:
    """Return one row a kind of place: whether it was looked at, and what is missing."""
    return [
        {
            "place": line.place.value,
            "state": line.state.value,
            "systems": line.systems,
            "targets": line.targets,
            "answered": line.answered,
            "missing": "; ".join(line.missing),
        }
        for line in inventory.places
    ]


def gap_rows(inventory: Inventory) -> list[Row]:
    """Return one row a gap, with its reason."""
    return [{"what": gap.what, "outcome": gap.outcome.value, "reason": gap.reason} for gap in inventory.coverage.gaps]
