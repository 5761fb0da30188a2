"""What a code must offer to correct frames inside a session."""

from collections.abc import Callable, Generator
from typing import NamedTuple, Protocol

from keystrand.qkd.cascade_party import Corrected
from keystrand.qkd.session_messages import Message

Entropy = Callable[[int], bytes]
"""Returns so many octets of cryptographic randomness."""


class Sender(Protocol):
    """Alice's party of a code, once correction has ended."""

    def tags(self, points: list[int]) -> list[int]:
        """Return the check value of each frame."""


class Corrector(Protocol):
    """Bob's party of a code, once correction has ended."""

    def results(self, points: list[int], tags: list[int]) -> list[Corrected]:
        """Return what became of each frame."""


class Answered(NamedTuple):
    """Alice after the last question: bits disclosed of each frame, round trips, and Bob's message that ended it."""

    party: Sender
    disclosed: tuple[int, ...]
    rounds: int
    message: Message


class Asked(NamedTuple):
    """Bob after the last answer: bits disclosed of each frame by his own count, and round trips."""

    party: Corrector
    disclosed: tuple[int, ...]
    rounds: int


AliceTalk = Generator[list[Message], Message, Answered]
BobTalk = Generator[list[Message], Message, Asked]
