"""Vendors' sheets of any content, for properties."""

from datetime import date
from itertools import groupby
from typing import Any

from hypothesis import strategies as st

from keystrand.edge.vendor_files import requirements
from keystrand.model.vendor import AnswerKind, EvidenceLevel, Judgement, Requirement, VendorAnswer, VendorSheet

ASKED = requirements()
DAYS = st.dates(min_value=date(2000, 1, 1), max_value=date(2029, 12, 31))
_CHARACTERS = st.characters(exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp"))
LINES = st.one_of(
    st.text(_CHARACTERS, min_size=1, max_size=40).map(str.strip).filter(bool),
    st.sampled_from(["=1+1", "+2", "-x", "@SUM(A1)", "=cmd|' /C calc'!A0", "a | b", "- answer: yes", "## v01", "> x",
                     r"C:\temp\*", "<b>&amp;</b>", "'quoted", "# title", "7", "2026-01-01", "TRUE", "[a](b)", "\\"]),
)  # fmt: skip
NUMBERS = st.floats(0, 1e9, allow_nan=False).map(lambda x: round(x, 4))


@st.composite
def answers(draw: st.DrawFn, asked: Requirement, level: EvidenceLevel) -> VendorAnswer:
    """Draw a sound answer to `asked`."""
    more: dict[str, Any] = {}
    value: float | str
    if asked.kind is AnswerKind.QUANTITY:
        value = draw(NUMBERS)
        more["unit"] = draw(st.sampled_from(list(asked.units)))
        more["up_to"] = draw(st.none() | st.floats(value, 1e9))
        more["at"] = draw(NUMBERS) if asked.condition else None
    elif asked.words:
        value = draw(st.sampled_from(asked.words))
    else:
        value = draw(LINES)
        more["judged"] = draw(st.none() | st.sampled_from(list(Judgement)))
    return VendorAnswer(requirement=asked.id, value=value, level=level, day=draw(DAYS), source=draw(LINES), **more)


@st.composite
def sheets(draw: st.DrawFn, vendor: str = "acme", most: int = 8) -> VendorSheet:
    """Draw a sound sheet with its answers in the order in which an import leaves them."""
    names = draw(st.lists(st.sampled_from(list(ASKED)), max_size=most))
    drawn = [draw(answers(ASKED[name], draw(st.sampled_from(list(EvidenceLevel))))) for name in names]
    order = list(ASKED)
    drawn.sort(key=lambda a: (order.index(a.requirement), a.level.rank, a.at or 0.0))
    once = [next(same) for _, same in groupby(drawn, key=lambda a: (a.requirement, a.level, a.at))]
    return VendorSheet(id=vendor, name=draw(LINES), offer=draw(LINES), as_of=draw(DAYS), answer=tuple(once))
