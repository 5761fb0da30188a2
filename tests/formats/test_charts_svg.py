"""The charts: well-formed, true to their numbers, readable without colour, and safe with any text."""

import math
import re
from datetime import date
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.charts import ExposureRow, ScoreRow, VerdictRow, exposure_bars, scorecard, verdict_bars
from keystrand.formats.charts_map import LinkMark, SiteMark, site_map
from keystrand.formats.charts_time import TimeRow, burndown, timeline, years_of
from keystrand.formats.svg import nice_step, wrapped
from keystrand.formats.wording import interval_text, joined, plain_number, ratio_text, sentences, two_figures
from keystrand.model.units import Interval

AS_OF = date(2026, 11, 24)
EVIL = "<script>alert(1)</script>\"'&"


def parsed(svg: str) -> ET.Element:
    """Return the drawing as XML; raises where it is not well-formed."""
    return ET.fromstring(svg)  # noqa: S314 - our own drawing, not foreign XML


def rects(svg: str, kind: str) -> list[ET.Element]:
    """Return the rectangles of one class that stand in the drawing itself, not in its legend."""
    return [r for r in parsed(svg).iter("rect") if r.get("class") == kind and r.get("height") not in ("14.0", "14")]


def texts(svg: str) -> list[str]:
    """Return the text of every text element."""
    return ["".join(t.itertext()) for t in parsed(svg).iter("text")]


@given(st.floats(1e-9, 1e12))
def test_numbers_keep_two_significant_figures(value: float) -> None:
    """No shown number carries more than two significant figures, and it stays within 5 percent of the truth."""
    shown = two_figures(value)
    assert math.isclose(float(shown.replace(",", "")), value, rel_tol=0.0501)
    digits = shown.replace(",", "").replace(".", "").lstrip("0")
    assert len(digits.rstrip("0")) <= 2


@pytest.mark.parametrize(
    ("value", "shown"), [(12.34, "12"), (1234.0, "1,200"), (0.0123, "0.012"), (9.96, "10"), (0, "0"), (9.5, "9.5")]
)
def test_rounding_reads_as_people_write(value: float, shown: str) -> None:
    """Rounded numbers have no exponent, no needless decimals and separated thousands."""
    assert two_figures(value) == shown


@given(st.floats(0, 1e15))
def test_a_plain_number_is_exact_and_has_no_exponent(value: float) -> None:
    """Without rounding the words are the number itself: digits, separators and at most one point."""
    shown = plain_number(value)
    assert float(shown.replace(",", "")) == value
    assert re.fullmatch(r"\d{1,3}(,\d{3})*(\.\d*[1-9])?", shown)
    assert math.isclose(float(plain_number(value, 4).replace(",", "")), value, rel_tol=0.0006)


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.8512, 0.993, "85 to more than 99 percent"),
        (0.004, 0.02, "less than 1 to 2.0 percent"),
        (0.5, 0.5, "50 percent"),
        (0.501, 0.499999 + 0.002, "about 50 percent"),
        (1.0, 1.0, "100 percent"),
        (0.0, 0.0, "0 percent"),
    ],
)
def test_a_probability_is_never_rounded_to_certainty(low: float, high: float, shown: str) -> None:
    """Only exactly 0 and 1 read as certain."""
    assert ratio_text(Interval(low=low, high=high)) == shown


@given(st.floats(0, 1), st.floats(0, 1))
def test_no_uncertain_ratio_reads_as_0_or_100(one: float, other: float) -> None:
    """An open probability never reads as exactly 0 or 100 percent."""
    low, high = sorted((one, other))
    shown = ratio_text(Interval(low=low, high=high))
    assert ("100" in shown) == (high == 1)
    assert bool(re.match(r"(about )?0( |\Z)", shown)) == (low == 0)


def test_ranges_lists_and_sentences_read_as_words() -> None:
    """Equal ends become `about`, long lists are counted, and fragments become sentences."""
    assert interval_text(Interval(low=12.1, high=12.4), "years") == "about 12 years"
    assert interval_text(Interval(low=0, high=0)) == "0"
    assert joined(["a", "b", "c", "d", "e", "f"], most=4) == "a, b, c and 3 more"
    assert joined([]) == ""
    assert sentences(["one thing.", "another "]) == "One thing. Another."


@given(st.floats(1e-6, 1e9))
def test_a_scale_has_few_round_steps(most: float) -> None:
    """The step of a scale is 1, 2 or 5 times a power of ten and needs at most five steps."""
    step = nice_step(most)
    assert step * 5 >= most * (1 - 1e-12)
    assert most / step > 1.99
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert any(math.isclose(mantissa, m, rel_tol=1e-6) for m in (1, 2, 5))


@given(st.text(min_size=0, max_size=200))
def test_wrapping_keeps_to_its_lines_and_loses_nothing_silently(words: str) -> None:
    """Wrapped text has at most the lines asked for; where something was cut, an ellipsis says so."""
    lines = wrapped(words, 200, 2)
    assert 1 <= len(lines) <= 2
    assert all(len(line) <= 200 / (14 * 0.56) for line in lines)
    if not any(line.endswith("…") for line in lines):
        assert " ".join(lines).split() == words.split()


@given(st.lists(st.tuples(*[st.integers(0, 50)] * 4), min_size=1, max_size=3))
def test_verdict_bars_are_as_long_as_their_counts(counts: list[tuple[int, int, int, int]]) -> None:
    """Each part's length is its share of the largest total, and every count that is not nil is written out."""
    svg = verdict_bars([VerdictRow(f"row {n}", c) for n, c in enumerate(counts)])
    parts = [r for name in ("vulnerable", "unknown", "mixed", "safe") for r in rects(svg, f"v-{name}")]
    assert len(parts) == sum(1 for row in counts for c in row if c)
    most = max(sum(row) for row in counts)
    widths = sorted(float(str(r.get("width"))) for r in parts)
    expected = sorted(c * 750 / most - 2 for row in counts for c in row if c)
    assert widths == pytest.approx([max(w, 0) for w in expected], abs=0.06)
    assert {str(c) for row in counts for c in row if c} <= set(texts(svg))


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), min_size=1, max_size=12))
def test_exposure_bars_reach_from_the_low_to_the_high_end(ends: list[tuple[float, float]]) -> None:
    """The full part ends at the low end and the light part at the high end, on one scale for all bars."""
    rows = [ExposureRow("s", "d", Interval(low=min(e), high=max(e)), Interval(low=0, high=0)) for e in ends]
    svg = exposure_bars(rows)
    full = [float(str(r.get("width"))) for r in rects(svg, "x-sunk")]
    light = [float(str(r.get("width"))) for r in rects(svg, "x-sunk light")]
    most = max(max(e) for e in ends)
    if most > 1:
        scale = max(f + w for f, w in zip(full, light, strict=True)) / most
        assert full == pytest.approx([min(e) * scale for e in ends], abs=0.2)
        assert max(f + w for f, w in zip(full, light, strict=True)) <= 880 - 336 - 100


def test_the_scorecard_marks_goal_value_and_state_in_words() -> None:
    """A goal is drawn where its number lies; a criterion without a value has words and no scale."""
    rows = [
        ScoreRow("Rate", "at least 10", "met", 20.0, 18.0, 22.0, 10.0, ("20",)),
        ScoreRow("Delay", "at most 5", "missed", 8.0, 7.0, 9.0, None, ("8",)),
        ScoreRow("Effort", "2 hours", "not-measured", None, None, None, None, ("no campaign",)),
    ]
    svg = scorecard(rows)
    assert {"✓ Met", "✗ Missed", "? Not measured"} <= set(texts(svg))
    goals = [line for line in parsed(svg).iter("line") if line.get("class") == "goal"]
    tracks = [line for line in parsed(svg).iter("line") if line.get("class") == "track"]
    dots = [float(str(c.get("cx"))) for c in parsed(svg).iter("circle")]
    assert (len(goals), len(tracks), len(dots)) == (1, 2, 2)
    start = float(str(tracks[0].get("x1")))
    assert (dots[0] - start) == pytest.approx(2 * (float(str(goals[0].get("x1"))) - start), abs=0.2)


def test_a_remark_on_a_score_does_not_run_into_the_next_row() -> None:
    """A criterion with three lines of words is taller, so the next name stands below all of them."""
    row = ScoreRow("Delivery", "at most 5", "met", 2.0, 1.0, 3.0, 5.0, ("2", "1 to 3", "enc 2, dec 1"))
    drawn = [(float(str(t.get("y"))), "".join(t.itertext())) for t in parsed(scorecard([row, row])).iter("text")]
    remark = min(y for y, words in drawn if words == "enc 2, dec 1")
    second = max(y for y, words in drawn if words == "Delivery")
    assert second - remark > 17


def test_a_score_of_zero_draws_no_scale() -> None:
    """Zero measured against a goal of zero has nothing to scale, and still says its state."""
    svg = scorecard([ScoreRow("Failures", "none", "met", 0.0, 0.0, 0.0, 0.0, ("0",))])
    assert "✓ Met" in texts(svg)
    assert not list(parsed(svg).iter("circle"))


def test_the_timeline_says_what_is_late_without_colour() -> None:
    """A late measure has the word beside its bar, and each deadline its date."""
    rows = [
        TimeRow("first", date(2027, 1, 1), date(2028, 6, 30), date(2030, 12, 31), late=False),
        TimeRow("second", date(2030, 1, 1), date(2031, 6, 30), date(2030, 12, 31), late=True),
    ]
    deadlines = [date(2030, 12, 31), date(2031, 12, 31), date(2035, 12, 31)]
    svg = timeline(rows, deadlines, AS_OF, years_of(AS_OF, deadlines))
    assert {"Jun 2028", "Jun 2031, late", "31 Dec 2030", "31 Dec 2031", "31 Dec 2035"} <= set(texts(svg))


@given(st.lists(st.dates(AS_OF, date(2045, 1, 1)), min_size=1, max_size=40), st.dates(AS_OF, date(2045, 1, 1)))
def test_the_burndown_ends_at_zero_and_counts_what_is_open(finishes: list[date], deadline: date) -> None:
    """The line falls from the number of measures to zero, and the count on a deadline is written beside it."""
    svg = burndown(finishes, [deadline], AS_OF, years_of(AS_OF, [*finishes, deadline]))
    path = next(p for p in parsed(svg).iter("path") if p.get("class") == "area")
    levels = [float(v) for v in re.findall(r"V([\d.]+)", str(path.get("d")))]
    assert levels == sorted(levels)
    assert levels[-1] == pytest.approx(182.0)
    assert f"{sum(f > deadline for f in finishes)} open" in texts(svg)


@given(
    st.lists(st.tuples(st.floats(-80, 80), st.floats(-179, 179)), min_size=1, max_size=25),
)
def test_the_map_keeps_north_up_and_east_right_and_no_two_sites_on_one_spot(places: list[tuple[float, float]]) -> None:
    """Whatever the distances, the order along both axes is that of the world, and sites never coincide."""
    sites = [SiteMark(f"s{n}", f"s{n}", "hub", lat, lon) for n, (lat, lon) in enumerate(places)]
    circles = [c for c in parsed(site_map(sites, [])).iter("circle") if c.get("class") == "site"]
    drawn = [(float(str(c.get("cx"))), float(str(c.get("cy")))) for c in circles]
    assert len(set(drawn)) == len(places)
    for (lat, lon), (x, y) in zip(places, drawn, strict=True):
        for (other_lat, other_lon), (other_x, other_y) in zip(places, drawn, strict=True):
            assert not (lat > other_lat and y > other_y)
            assert not (lon > other_lon and x < other_x)


def test_the_map_labels_every_approach_and_numbers_every_link() -> None:
    """Links are told apart by number, dash and words; parallel links do not lie on each other."""
    sites = [SiteMark("a", "A", "hub", 50, 8), SiteMark("b", "B", "hub", 51, 9)]
    links = [
        LinkMark(1, "one", ("a", "b"), "qkd-fibre", "QKD over dedicated fibre"),
        LinkMark(2, "two", ("a", "b"), "pqc-only", "Post-quantum only"),
    ]
    svg = site_map(sites, links)
    assert {"1", "2", "A", "B", "QKD over dedicated fibre (1)", "Post-quantum only (2)"} <= set(texts(svg))
    curves = [p.get("d") for p in parsed(svg).iter("path") if (p.get("class") or "").startswith("link a-")]
    assert len(set(curves)) == len(curves)


def test_no_sites_draw_no_map() -> None:
    """Without sites there is nothing to draw, and a link to an unknown site is left out of the drawing."""
    assert site_map([], []) == ""
    lonely = site_map([SiteMark("a", "A", "hub", 50, 8)], [LinkMark(1, "x", ("a", "gone"), "hybrid", "Hybrid")])
    assert "link a-hybrid" in lonely
    assert "badge" not in lonely


def test_names_that_hold_markup_stay_text() -> None:
    """Names are escaped in every drawing, also where they become titles."""
    day = date(2028, 1, 1)
    drawings = (
        verdict_bars([VerdictRow(EVIL, (1, 0, 0, 0))]),
        exposure_bars([ExposureRow(EVIL, EVIL, Interval(low=1, high=2), Interval(low=1, high=2))]),
        scorecard([ScoreRow(EVIL, EVIL, "met", 1.0, 1.0, 1.0, 1.0, (EVIL,))]),
        timeline([TimeRow(EVIL, AS_OF, day, None, late=False)], [], AS_OF, years_of(AS_OF, [day])),
        site_map([SiteMark("a", EVIL, EVIL, 1, 1), SiteMark("b", "b", "x", 2, 2)],
                 [LinkMark(1, EVIL, ("a", "b"), "hybrid", EVIL)]),
    )  # fmt: skip
    for svg in drawings:
        assert {element.tag for element in parsed(svg).iter()} <= {
            "svg", "title", "defs", "pattern", "rect", "text", "line", "path", "circle",
        }  # fmt: skip
