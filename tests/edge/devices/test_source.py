"""A source takes step after step, whatever happens in one, and says what is wrong once."""

import asyncio
import logging

import pytest

from keystrand.edge.devices import source
from keystrand.edge.devices.source import run
from keystrand.model.errors import KeystrandError, PeerUnavailable


class Stepping:
    """A source whose steps end as the test says; after the last of them it is stopped."""

    name = "source of a test"

    def __init__(self, *ends: Exception | None) -> None:
        self._ends = [*ends, asyncio.CancelledError()]
        self.steps = 0

    async def step(self) -> float:
        """End as told."""
        end = self._ends[self.steps]
        self.steps += 1
        if end:
            raise end
        return 0.0

    def close(self) -> None:
        """Hold nothing."""


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Return what was logged."""
    return [(record.levelno, record.getMessage()) for record in caplog.records]


def told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *ends: Exception | None) -> int:
    """Run a source to its end without pauses; return how many steps it took."""
    monkeypatch.setattr(source, "RETRY_S", 0.0)
    stepping = Stepping(*ends)
    with caplog.at_level(logging.INFO), pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(run(stepping), 10))
    return stepping.steps


def test_a_trouble_is_told_when_it_begins_and_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The same trouble again is no news; another one is."""
    away = [PeerUnavailable("it is away") for _ in range(3)]
    assert told(monkeypatch, caplog, None, *away, KeystrandError("it is worse"), None, None) == 8
    assert lines(caplog) == [
        (logging.WARNING, "source of a test: it is away"),
        (logging.WARNING, "source of a test: it is worse"),
        (logging.INFO, "source of a test: goes on"),
    ]


def test_a_defect_is_logged_with_its_place_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody expected is told with a traceback, and the source goes on."""
    assert told(monkeypatch, caplog, ZeroDivisionError("a defect"), None) == 3
    assert caplog.records[0].exc_info
    assert "ZeroDivisionError: a defect" in lines(caplog)[1][1]


def test_a_store_that_failed_ends_its_sources(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The store has said so itself, and the process stops: nothing more is made or told."""
    assert told(monkeypatch, caplog) == 1
    assert lines(caplog) == []
