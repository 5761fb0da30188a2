"""iCalendar: folded at 75 octets, escaped, whole days with their end excluded, and read back by an unfolding reader."""

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from keystrand.formats.icalendar import Event, calendar, escaped, folded

STAMP = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)


def unfolded(octets: bytes) -> list[str]:
    """Return the content lines, as RFC 5545, 3.1 says to read them."""
    return octets.decode().replace("\r\n ", "").split("\r\n")[:-1]


def unescaped(text: str) -> str:
    """Return a TEXT value as it was before it was escaped (RFC 5545, 3.3.11)."""
    made, letters = "", iter(text)
    for letter in letters:
        following = next(letters) if letter == "\\" else ""
        made += {"n": "\n", "N": "\n"}.get(following, following) if following else letter
    return made


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=300))
def test_lines_are_folded_and_no_character_is_split(text: str) -> None:
    """Every piece has at most 75 octets; put together again they are the line."""
    pieces = folded(text)
    assert all(len(piece.encode()) <= 75 for piece in pieces)
    assert pieces[0] + "".join(piece[1:] for piece in pieces[1:]) == text
    assert all(piece[0] == " " for piece in pieces[1:])


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.just("\n"), max_size=80))
def test_text_comes_back(text: str) -> None:
    """Commas, semicolons, backslashes and line ends are escaped, and nothing else is lost."""
    assert unescaped(escaped(text)) == text
    assert "\n" not in escaped(text)


def test_a_whole_day_event_ends_on_the_day_after_its_last() -> None:
    """DTEND is not included; the last day that a calendar has needs none."""
    lines = unfolded(calendar([Event("a@x", date(2026, 12, 1), date(2026, 12, 31), "A, b")], name="N", stamp=STAMP))
    assert lines[0] == "BEGIN:VCALENDAR"
    assert "DTSTART;VALUE=DATE:20261201" in lines
    assert "DTEND;VALUE=DATE:20270101" in lines
    assert "SUMMARY:A\\, b" in lines
    assert "DTSTAMP:20261126T093000Z" in lines
    last = unfolded(calendar([Event("a@x", date.max, date.max, "end")], name="N", stamp=STAMP))
    assert not any(line.startswith("DTEND") for line in last)


def test_control_characters_cannot_add_a_line() -> None:
    """A name with a carriage return stays one line."""
    assert escaped("a\rb\x00c\r\nd") == "abc\\nd"
