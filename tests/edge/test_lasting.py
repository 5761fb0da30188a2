"""Work that must not end: whatever ends it but a stop is told, and a fault may pass for a while."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from keystrand.edge.lasting import Patience, lasting
from keystrand.model.errors import InvalidInput, StoreFailure

Work = Callable[[], Awaitable[object]]


async def _return() -> None:
    return


async def _defect() -> None:
    raise KeyError("x")


async def _failure() -> None:
    raise StoreFailure("the disk is full")


async def _cancelled_elsewhere() -> None:
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone


async def ended(work: Work, *, stop: bool = False) -> list[str]:
    """Run work; return what was told of its end."""
    told = list[StoreFailure]()

    async def run() -> None:
        await asyncio.sleep(0)
        await work()

    task = lasting(run(), "the work", told.append)
    if stop:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    return [failure.message for failure in told]


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (_return, "the work ended: None"), (_defect, "the work ended: KeyError('x')"), (_failure, "the disk is full"),
        (_cancelled_elsewhere, "the work ended: None"),
    ],
)  # fmt: skip
def test_an_end_that_nobody_asked_for_is_told(work: Work, message: str) -> None:
    """By return, by a defect, by a failure, or by a cancellation that was meant for something else."""
    assert asyncio.run(ended(work)) == [message]


def test_a_stop_is_no_fault() -> None:
    """Who cancels the work wants its end."""
    assert asyncio.run(ended(asyncio.Event().wait, stop=True)) == []


def test_a_fault_may_pass_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    """It is told when it begins and when it is over, once; where it lasts it is a failure."""
    away = InvalidInput("the token is away", hint="plug it in")
    patience = Patience("no key is destroyed", 3600.0)
    with caplog.at_level(logging.WARNING):
        patience.over()
        for _ in range(3):
            patience.bear(away)
        patience.over()
    assert [record.getMessage() for record in caplog.records] == [
        "no key is destroyed: the token is away; tried again for 3600 s", "no key is destroyed: goes on",
    ]  # fmt: skip
    short = Patience("no key is destroyed", 0.0)
    short.bear(away)
    with pytest.raises(StoreFailure, match="token is away") as caught:
        short.bear(away)
    assert caught.value.hint == "plug it in"
