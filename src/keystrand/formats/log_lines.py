"""What is alike in the logs of all sensors: bad lines, addresses, and moments in seconds since 1970 or ISO 8601."""

import ipaddress
from datetime import datetime
from functools import lru_cache

from keystrand.formats.capture_file import NANOSECONDS

_DAY = 86_400 * NANOSECONDS
_LAST = 253_402_300_799
"""The last second of the year 9999."""


class BadLine(ValueError):
    """A line that is none of the log's."""


@lru_cache(maxsize=65536)
def address(text: str) -> str:
    """Return an IP address as it is written canonically. Raises `BadLine` where `text` is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise BadLine("no IP address") from error


def nanoseconds(text: str) -> int:
    """Return the moment in nanoseconds since 1970. Raises `ValueError` where `text` is none."""
    if "T" in text:
        moment = datetime.fromisoformat(text)
        return int(moment.timestamp()) * NANOSECONDS + moment.microsecond * 1000
    whole, _, fraction = text.partition(".")
    seconds = int(whole)
    if not 0 <= seconds <= _LAST:
        raise ValueError("a moment that no calendar has")
    return seconds * NANOSECONDS + int((fraction + "000000000")[:9])


def day(moment: int) -> str:
    """Return the number of the day since 1970, as a key."""
    return str(moment // _DAY)


def day_end(moment: int) -> int:
    """Return the last microsecond of the day of `moment`."""
    return (moment // _DAY + 1) * _DAY - 1000
