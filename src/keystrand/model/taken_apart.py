"""Types that several threads decode, made ready for it."""

from typing import Any

from msgspec.json import Decoder


def take_apart(*kinds: Any) -> None:
    """Have msgspec take `kinds` apart now, as a module does with its own while it is imported, by one thread.

    It does so at their first use else, and two threads at once find a type half taken apart: a segmentation fault
    (msgspec 0.22.0, where a type holds another).
    """
    for kind in kinds:
        Decoder(kind)
