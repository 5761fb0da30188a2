"""Whole-day events as an iCalendar file (RFC 5545): escaped, folded at 75 octets, lines ended by CR LF."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

PRODUCT = "-//keystrand//roadmap//EN"
_MOST_OCTETS = 75
"""RFC 5545, 3.1: a line should not be longer, its end not counted."""


class Event(NamedTuple):
    """Whole days from `first` to `last`, both included. `uid` stays the same when the event moves."""

    uid: str
    first: date
    last: date
    summary: str
    description: str = ""
    category: str = ""


def calendar(events: Iterable[Event], *, name: str, stamp: datetime) -> bytes:
    """Return the calendar `name` with `events`, as it stood at `stamp`."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:{PRODUCT}",
        "CALSCALE:GREGORIAN",
        f"X-WR-CALNAME:{escaped(name)}",
    ]
    for event in events:
        lines += _event(event, stamp)
    lines.append("END:VCALENDAR")
    return "".join(f"{part}\r\n" for line in lines for part in folded(line)).encode()


def _event(event: Event, stamp: datetime) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{escaped(event.uid)}"
    yield f"DTSTAMP:{stamp.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    yield f"DTSTART;VALUE=DATE:{_day(event.first)}"
    if (
        event.last < date.max
    ):  # the end is the day after; the last day of all has none, and an event without end is a day
        yield f"DTEND;VALUE=DATE:{_day(event.last + timedelta(days=1))}"
    yield f"SUMMARY:{escaped(event.summary)}"
    if event.description:
        yield f"DESCRIPTION:{escaped(event.description)}"
    if event.category:
        yield f"CATEGORIES:{escaped(event.category)}"
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _day(day: date) -> str:
    return f"{day.year:04}{day.month:02}{day.day:02}"


def escaped(text: str) -> str:
    """Return `text` as a TEXT value (RFC 5545, 3.3.11); other control characters are left out."""
    plain = (
        text.replace("\r\n", "\n").replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")
    )
    return "".join(c for c in plain if c == "\t" or (ord(c) >= 32 and c != "\x7f"))


def folded(line: str) -> list[str]:
    """Return `line` in pieces of at most 75 octets, every one but the first after a space; no character is split."""
    pieces, size = [""], 0
    for letter in line:
        octets = len(letter.encode("utf-8", "surrogatepass"))
        if size + octets > _MOST_OCTETS:
            pieces.append(" ")
            size = 1
        pieces[-1] += letter
        size += octets
    return pieces
