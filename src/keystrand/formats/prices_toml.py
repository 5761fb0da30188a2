"""Price lists and lists of rates from TOML, every problem at once with its line."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from keystrand.formats.decode import Fault
from keystrand.formats.toml_input import read_toml
from keystrand.model.prices import PriceList, RateList


def price_list_from_toml(text: str, file: str) -> PriceList:
    """Return the price list in `text`. Raises `InvalidInput` with every problem, each with its line in `file`."""
    return read_toml(text, PriceList, file=file, what=f"price list {file}", further=_repeated("item"))


def rate_list_from_toml(text: str, file: str) -> RateList:
    """Return the list of rates in `text`. Raises `InvalidInput` as above."""
    return read_toml(text, RateList, file=file, what=f"list of rates {file}", further=_repeated("rate"))


def _repeated(noun: str) -> Callable[[dict[str, Any]], Iterable[Fault]]:
    def faults(raw: dict[str, Any]) -> list[Fault]:
        rows = raw.get(noun)
        ids = [str(row.get("id")) if isinstance(row, dict) else "" for row in rows] if isinstance(rows, list) else []
        count = Counter(ids)
        return [
            Fault((noun, n, "id"), f"{name!r} stands here more than once", "give each its own id")
            for n, name in enumerate(ids)
            if name and count[name] > 1
        ]

    return faults
