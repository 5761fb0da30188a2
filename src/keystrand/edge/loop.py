"""The event loop that the edge runs on."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


def runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    """Return what runs a coroutine: uvloop where it is installed, half again as fast, else asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415  # an extra that may be absent
    except ImportError:
        return asyncio.run
    return uvloop.run
