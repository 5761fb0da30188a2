"""Which input moves the cost of a plan most, and which to find out before a decision: the document's parts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keystrand.model.scenario import Odds
from keystrand.model.stages import Approach
from keystrand.model.stages.costed import Information, InformationWorth, Swing
from keystrand.plan.cost_figures import figure
from keystrand.plan.cost_inputs import CURVE, LIFE, Inputs, spreads
from keystrand.plan.cost_lines import QUANTUM, Line, lines_of
from keystrand.plan.cost_sensitivity import partial_information, perfect_information, swings
from keystrand.plan.cost_setting import Setting
from keystrand.plan.cost_totals import Bill, price
from keystrand.plan.cost_ways import Way, link_lines, name_of

Values = NDArray[np.float64]

MOST_INPUTS, MOST_LINKS = 8, 10
"""Inputs listed for a question, and links asked about."""


def swing_parts(bill: Bill, setting: Setting) -> Iterator[Swing]:
    """Yield the swing of each input that moves what `bill` costs, the largest first."""
    known = spreads(setting.inputs)
    found = swings(setting.draws, known, lambda draws: price(bill, draws, setting.discount).present)
    for name, swung in found.items():
        if swung.alone[0] != swung.alone[1]:
            yield Swing(
                input=name,
                name=input_name(name, setting.inputs),
                low_at=figure(swung.at[0]),
                high_at=figure(swung.at[1]),
                unit=_unit(name, setting.inputs),
                alone=(figure(swung.alone[0]), figure(swung.alone[1])),
                together=(figure(swung.together[0]), figure(swung.together[1])),
            )


def input_name(name: str, inputs: Inputs) -> str:
    """Return an input in words."""
    if name == CURVE:
        return "Where between the low and the high threat curve the truth lies"
    if name.startswith(LIFE):
        return f"Life of: {inputs.prices[name.removeprefix(LIFE)].name}"
    if name in set(Odds):
        return next(one.text for one in inputs.odds.assumed if one.id == name)
    return (inputs.prices.get(name) or inputs.rates[name]).name


def _unit(name: str, inputs: Inputs) -> str:
    if name == CURVE or name in set(Odds):
        return "ratio"
    if name.startswith(LIFE):
        return "years"
    if name in inputs.prices:
        return f"{inputs.currency} for each {inputs.prices[name].unit}"
    return inputs.rates[name].unit


def information(
    gain: Values, cost: Values, ways: Mapping[str, Sequence[Way]], setting: Setting
) -> Iterator[Information]:
    """Yield what to find out before each link that saves anything on average; without one, before the migration.

    `gain` and `cost`: of post-quantum cryptography only. Of many links, those that save most are looked at.
    """
    links = sorted(_beyond(ways, setting), key=lambda link: (-link.gain.mean(), link.segment))[:MOST_LINKS]
    asked = [told for link in links if (told := _worth_knowing(link, setting))]
    if not asked:
        lines = lines_of(setting.scope, setting.plan, links=False)
        used = _used(lines) - _LINK
        whole = _worth_knowing(_Link("all systems", "migrate, or leave as it is", gain, cost, used), setting)
        asked = [whole] if whole else []
    yield from asked


class _Link(NamedTuple):
    """What is asked about: what it saves and costs more than its alternative, and the inputs it is `used` with."""

    segment: str
    question: str
    gain: Values
    cost: Values
    used: frozenset[str]


def _beyond(ways: Mapping[str, Sequence[Way]], setting: Setting) -> Iterator[_Link]:
    for segment, found in ways.items():
        base = next(way for way in found if way.approach is Approach.PQC_ONLY)
        for way in found:
            if way.approach in QUANTUM:
                question = f"{name_of(way.approach)}, or {name_of(base.approach)}"
                lines = link_lines(setting, setting.segments[segment], way.approach)
                used = _used(lines) if setting.segments[segment].via else _used(lines) - _PATH
                yield _Link(segment, question, way.saved - base.saved, way.cost - base.cost, used)


_PATH = frozenset({Odds.TRUSTED_NODE, Odds.SHARED_CAUSE})
_LINK = _PATH | {Odds.QKD_SIDE_CHANNEL, Odds.COMMON_FAILURE}
_ODDS = frozenset({CURVE, *Odds})


def _used(lines: Iterable[Line]) -> frozenset[str]:
    """Return the inputs that `lines` and savings are made from: what only moves along with them is not asked for."""
    made = [(line.item, LIFE + line.item, *line.rates) for line in lines]
    return _ODDS | {name for names in made for name in names}


def _worth_knowing(asked: _Link, setting: Setting) -> Information | None:
    """Return what to find out before spending the cost for the gain.

    The net benefit is the gain, at the price of a data-year at which it is worth its cost on average, less the cost.
    None where nothing is gained on average: then no price makes it worth its cost.
    """
    gain, cost = asked.gain, asked.cost
    if gain.mean() <= 0 or cost.mean() <= 0:
        return None
    worth = cost.mean() / gain.mean()
    benefit = worth * gain - cost
    perfect = perfect_information(benefit)
    parts = {
        name: min(partial_information(benefit, setting.draws.scores[n]), perfect)
        for name, n in setting.draws.names.items()
        if name in asked.used
    }
    top = sorted(parts, key=lambda name: (-parts[name], name))[:MOST_INPUTS]
    return Information(
        subject=asked.segment,
        question=asked.question,
        price_per_data_year=figure(worth),
        perfect=figure(perfect),
        inputs=tuple(
            InformationWorth(input=n, name=input_name(n, setting.inputs), worth=figure(parts[n]),
                             share=figure(parts[n] / perfect if perfect else 0.0))
            for n in top
        ),
    )  # fmt: skip
