"""The prices that topologies are compared by: the package's placeholders, with an estate's own in their place."""

from typing import Any

import msgspec

from keystrand.edge.toml_files import shipped
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput, Problem
from keystrand.model.estate import Estate
from keystrand.model.stages.designed import Range, Tariff

_ITEMS = {"qkd-pair": "pair", "trusted-site-fit-out": "node"}
"""Which item of the price list stands for which field; those of the estate take its place."""
_THOUSAND = 1000.0


def placeholder_tariff() -> Tariff:
    """Return the tariff that comes with the package. No price of it is verified."""
    (found,) = shipped("plan", "tariffs")
    return read_toml(found.text, Tariff, file=found.name, what="tariff")


def tariff_of(estate: Estate) -> Tariff:
    """Return the tariff with the estate's own prices. Raises `InvalidInput` where one is in another currency."""
    tariff = placeholder_tariff()
    own = {_ITEMS[price.item]: price for price in estate.price if price.item in _ITEMS}
    foreign = tuple(
        Problem(
            message=f"it is in {price.currency}, the tariff in {tariff.currency}",
            field=f"price {price.item}",
            hint=f"give it in {tariff.currency}",
        )
        for price in own.values()
        if price.currency != tariff.currency
    )
    if foreign:
        raise InvalidInput("a topology is priced in one currency", problems=foreign)
    if not own:
        return tariff
    changes: dict[str, Any] = {
        field: Range(low=p.low / _THOUSAND, likely=p.likely / _THOUSAND, high=p.high / _THOUSAND)
        for field, p in own.items()
    }
    sources = "; ".join(f"{field}: {p.source} ({p.as_of})" for field, p in sorted(own.items()))
    return msgspec.structs.replace(tariff, **changes, source=f"{sources}; the others: {tariff.source}")
