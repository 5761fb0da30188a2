"""What everything about one plan is reckoned with: its draws, its savings, and when its links would be built."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.model.estate import Estate, Segment, System
from keystrand.model.horizon import Horizon
from keystrand.model.stages import Assessment, Measure, MeasureKind, Plan
from keystrand.plan.cost_inputs import Draws, Inputs
from keystrand.plan.cost_lines import Build, Drivers, Line, Scope, builds
from keystrand.plan.cost_risk import Exposed, Saving, exposed_systems, of_segment, savings, weights
from keystrand.plan.cost_totals import bill_of, discounts, price

Values = NDArray[np.float64]


class Setting(NamedTuple):
    """`moves`: the measure that moves the key exchange of each system; `users`: those of each segment that move.

    `weight`: the yearly volume of each system, None where all weigh alike.
    """

    scope: Scope
    plan: Plan
    inputs: Inputs
    draws: Draws
    discount: Values
    horizons: tuple[Horizon, Horizon]
    weight: Mapping[str, float] | None
    exposed: Mapping[str, Exposed]
    savings: Mapping[str, Saving]
    moves: Mapping[str, Measure]
    systems: Mapping[str, System]
    segments: Mapping[str, Segment]
    users: Mapping[str, tuple[System, ...]]
    builds: Mapping[str, Build]

    @property
    def none(self) -> Values:
        """Return nothing, in every scenario."""
        return np.zeros(self.draws.values.shape[1])

    def worth(self, lines: Iterable[Line]) -> Values:
        """Return the present value of `lines` in each scenario."""
        return price(bill_of(lines, self.inputs.prices, self.discount.size), self.draws, self.discount).present

    def hours(self, drivers: Drivers) -> Values:
        """Return the person-hours a year that `drivers` take in each scenario."""
        total = self.none
        for rate, count in drivers:
            total += count * self.draws.of(rate)
        return total

    def parts(self, segment: str) -> tuple[Saving, Saving]:
        """Return what post-quantum cryptography saves on a segment, and the part of it after a link would be built."""
        return of_segment(self.users[segment], self.exposed, self.horizons, self.builds[segment].deploy.end)


def setting_of(
    estate: Estate, assessment: Assessment, plan: Plan, inputs: Inputs, horizons: tuple[Horizon, Horizon], draws: Draws
) -> Setting:
    """Return the setting of `plan`, on its own day and over the estate's horizon."""
    scope = Scope(estate, plan.as_of, float(estate.planning.horizon_years))
    weight = weights(estate, assessment)
    exposed = exposed_systems(scope, assessment, plan, weight)
    moves = {m.subject: m for m in plan.measures if m.kind is MeasureKind.MIGRATE_KEY_ESTABLISHMENT}
    users: dict[str, list[System]] = {segment.id: [] for segment in estate.segment}
    for system in estate.system:
        for name in dict.fromkeys(system.segments) if system.id in moves else ():
            users[name].append(system)
    return Setting(
        scope=scope,
        plan=plan,
        inputs=inputs,
        draws=draws,
        discount=discounts(estate.planning.discount_rate, estate.planning.horizon_years),
        horizons=horizons,
        weight=weight,
        exposed=exposed,
        savings=savings(exposed, horizons),
        moves=moves,
        systems={system.id: system for system in estate.system},
        segments={segment.id: segment for segment in estate.segment},
        users={name: tuple(found) for name, found in users.items()},
        builds=builds(scope, plan, users),
    )
