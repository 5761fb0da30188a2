"""What a pilot measured takes the place of what was assumed."""

from collections.abc import Iterable

import msgspec

from keystrand.model.prices import PriceLevel, RateList, Spread
from keystrand.model.stages import PilotReport


def measured_rates(pilot: PilotReport, lists: Iterable[RateList]) -> dict[str, Spread]:
    """Return the rates that `pilot` measured: results named as a rate of `lists` and in its unit, none simulated."""
    known = {rate.id: rate for one in lists for rate in one.rate}
    found = {}
    for result in pilot.scorecard:
        rate, seen = known.get(result.name), result.measured
        if rate is None or seen is None or seen.simulated or not seen.sample_size or seen.unit != rate.unit:
            continue
        found[rate.id] = msgspec.structs.replace(
            rate, low=seen.low, likely=seen.value, high=seen.high, level=PriceLevel.MEASURED,
            source=f"pilot {pilot.pilot}", as_of=pilot.as_of,
        )  # fmt: skip
    return found
