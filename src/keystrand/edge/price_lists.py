"""Price lists and rates on disk: those that come with the package, and the user's own beside the estate."""

from collections.abc import Iterator
from pathlib import Path

from keystrand.edge.toml_files import TextFile, read_text, shipped
from keystrand.formats.prices_toml import price_list_from_toml, rate_list_from_toml
from keystrand.model.prices import PriceList, RateList

PRICES, RATES = "prices", "rates"
"""The folders beside an estate that hold lists of the user's own."""


def price_lists(home: Path | None = None) -> tuple[PriceList, ...]:
    """Return the shipped price lists, then those in `prices/` of the folder `home`: a later one replaces an earlier.

    Raises `InvalidInput` with every problem of the first file that is not sound.
    """
    return tuple(price_list_from_toml(one.text, one.name) for one in _texts(PRICES, home))


def rate_lists(home: Path | None = None) -> tuple[RateList, ...]:
    """Return the shipped lists of rates, then those in `rates/` of the folder `home`, as `price_lists` does."""
    return tuple(rate_list_from_toml(one.text, one.name) for one in _texts(RATES, home))


def _texts(kind: str, home: Path | None) -> Iterator[TextFile]:
    yield from shipped("plan", kind)
    if home is not None and (home / kind).is_dir():
        yield from (read_text(path, what="list") for path in sorted((home / kind).glob("*.toml")))
