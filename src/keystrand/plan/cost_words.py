"""What a cost rests on that nobody measured here, said in the document itself."""

from keystrand.model.planning import Planning
from keystrand.model.prices import PriceLevel
from keystrand.model.stages import Assumption
from keystrand.plan.cost_inputs import CORRELATION, Inputs

_HERE = "keystrand, method of the cost"


def data_year(*, by_volume: bool) -> str:
    """Return the unit of what is saved, in words."""
    if by_volume:
        return "one unit of volume (volume_per_year of the systems), readable for one year"
    return "one year's production of one data class of one system, readable for one year; all of them weigh alike"


def assumptions(inputs: Inputs, planning: Planning, *, by_volume: bool) -> tuple[Assumption, ...]:
    """Return what every figure rests on, then each rate that nobody measured."""
    weak = sum(item.level is PriceLevel.UNVERIFIED_DEFAULT for item in inputs.prices.values())
    said = (
        ("prices", f"{weak} of {len(inputs.prices)} are unverified defaults; your own as [[price]] take their place"),
        ("form of a range", "PERT: beta distribution between low and high, its peak at the likely value"),
        ("what moves together", f"inputs of one factor are correlated by {CORRELATION:g}, those of two not at all"),
        ("money", f"present values in {inputs.currency} of today at {planning.discount_rate:g} a year, real, over "
         f"{planning.horizon_years} years; amounts by year rise by {planning.inflation_rate:g} a year"),
        ("unit of what is saved", data_year(by_volume=by_volume)),
        ("without the plan", "each system goes on as it is until it retires or the horizon ends"),
        ("a broken algorithm or link", "what it protected counts as if it had never been protected"),
        ("what is not weighed", "signatures save no data-years: their cost counts, their benefit is not in these "
         "figures; what was recorded before today is sunk, and never counted as saved"),
    )  # fmt: skip
    made = tuple(Assumption(name=name, value=value, source=_HERE) for name, value in said)
    rates = (
        Assumption(name=rate.id, value=f"{rate.low:g} to {rate.high:g}, likely {rate.likely:g} {rate.unit}",
                   source=f"{rate.level.value}: {rate.source}")
        for rate in inputs.rates.values()
        if rate.ends is not None
    )  # fmt: skip
    odds = (
        Assumption(name=f"odds of {one.id.value} ({one.level.value})", value=f"{one.low:g} to {one.high:g}. {one.text}",
                   source=f"{inputs.odds.name}; {one.source}")
        for one in inputs.odds.assumed
    )  # fmt: skip
    return (*made, *rates, *odds)
