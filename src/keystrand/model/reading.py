"""What reading one file gives, before it is known which target it belongs to."""

from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from keystrand.model.observation import Fact, Outcome, Strength


class Found(NamedTuple):
    """A fact and its place inside a file: `#1` the n-th object, `:12` a line, `@0x40` an offset, `!path` a member."""

    where: str
    strength: Strength
    fact: Fact


class Reading(NamedTuple):
    """All that one reader says of one file. `reason` says what is missing, also where something was found."""

    found: tuple[Found, ...] = ()
    outcome: Outcome = Outcome.NONE
    reason: str = ""


class FileReader(NamedTuple):
    """Reads whole files of one kind. Neither function raises, whatever the octets.

    `wants(path, head)` decides from the path and the first 4096 octets, and must be cheap. `read(path, content)` gets
    at most 64 MiB. A `slow` one, of a few MB a second, gets a bounded share of an archive.
    """

    kind: str
    wants: Callable[[str, bytes], bool]
    read: Callable[[str, bytes], Reading]
    slow: bool = False


class StreamReader(NamedTuple):
    """Reads files of any size in flat memory: captures and logs. Yields facts, and at the end one `Reading`."""

    kind: str
    wants: Callable[[str, bytes], bool]
    read: Callable[[str, BinaryIO], Iterator[Found | Reading]]
