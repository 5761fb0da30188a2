"""What the store does by itself: it outlives a moment's fault of the keyring, and never ends in silence."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.edge.store.place import Clock, Place, holding, in_loop, opened, write

from keystrand.edge.store.audit_segment import segments
from keystrand.edge.store.holdings import Limits
from keystrand.edge.store.keyring import KeyringFault
from keystrand.edge.store.keystore import KeyStore, Terms
from keystrand.model.errors import StoreFailure
from keystrand.operate.audit import Own, detail_of

_NEVER_S = 86_400.0


def terms(**changed: float) -> Terms:
    """Return terms by which nothing is done by itself but what is named."""
    never = {"epoch_s": _NEVER_S, "sweep_s": _NEVER_S, "checkpoint_s": _NEVER_S}
    return Terms(**{**never, **changed}, limits=Limits(replay_s=0.0, retention_s=100.0))


async def until(true: Callable[[], Any]) -> None:
    """Wait until `true` is; fail after a while."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # what is waited for is done by tasks of the store
            await asyncio.sleep(0.01)


def failing(store: KeyStore, monkeypatch: pytest.MonkeyPatch, method: str, times: int) -> list[int]:
    """Let a method of the keyring fail so many times; return the list of what it was asked for."""
    real, calls = getattr(store._keyring, method), list[int]()

    def call(*values: int) -> Any:
        calls.extend(values)
        if len(calls) <= times:
            raise StoreFailure("the token failed: DeviceError")
        return real(*values)

    monkeypatch.setattr(store._keyring, method, call)
    return calls


@in_loop
async def test_a_data_key_that_could_not_be_destroyed_goes_later(place: Place, clock: Clock) -> None:
    """Meanwhile keys expire, requests are served, and the next sweep destroys it."""
    with pytest.MonkeyPatch.context() as patch:
        async with opened(place, clock, terms=terms(sweep_s=0.02)) as store:
            calls = failing(store, patch, "destroy", 3)
            first = store.epoch
            await store.next_epoch()
            await until(lambda: calls)
            await write(store, holding(until=clock.now + 5))
            clock.now += 60
            await until(lambda: len(calls) > 3)
            await until(lambda: store._keyring.epochs() == (store.epoch,))
            assert set(calls) == {first}
            await until(lambda: "expire" in place.actions())
            assert not store.committer.failed.done()


@in_loop
async def test_a_data_key_that_cannot_be_destroyed_stops_the_store(place: Place, clock: Clock) -> None:
    """Where it lasts nothing is handed out any more, and the process is told why."""
    with pytest.MonkeyPatch.context() as patch:
        async with opened(place, clock, terms=terms(sweep_s=0.02, keyring_s=0.05)) as store:
            failing(store, patch, "destroy", 1_000_000)
            await store.next_epoch()
            failure = await asyncio.wait_for(asyncio.shield(store.committer.failed), 10)
            assert "token failed" in failure.message
            with pytest.raises(StoreFailure, match="token failed"):
                await write(store, holding())
    async with opened(place, clock) as store:
        assert store._keyring.epochs() == (store.epoch - 1, store.epoch)


@in_loop
async def test_the_epoch_turns_when_the_keyring_is_back(place: Place, clock: Clock) -> None:
    """A keyring that others can reach is not used; the store goes on under the old epoch, and then turns."""
    async with opened(place, clock, terms=terms(epoch_s=0.02, sweep_s=0.02)) as store:
        place.keyring_file.chmod(0o644)
        with pytest.raises(KeyringFault, match="reached by others"):
            await store.next_epoch()
        before = store.epoch
        await asyncio.sleep(0.1)
        await write(store, holding())
        assert store.epoch == before
        place.keyring_file.chmod(0o600)
        await until(lambda: store.epoch > before)
        assert not store.committer.failed.done()


@in_loop
async def test_an_epoch_that_cannot_turn_stops_the_store(place: Place, clock: Clock) -> None:
    """What was used could be opened for ever."""
    async with opened(place, clock, terms=terms(epoch_s=0.02, sweep_s=0.02, keyring_s=0.05)) as store:
        place.keyring_file.chmod(0o644)
        failure = await asyncio.wait_for(asyncio.shield(store.committer.failed), 10)
        assert "reached by others" in failure.message
        place.keyring_file.chmod(0o600)


@in_loop
async def test_a_defect_of_the_sweep_stops_the_store(place: Place, clock: Clock) -> None:
    """Whatever it is: nothing that must go on ends in silence."""
    async with opened(place, clock, terms=terms(sweep_s=0.02)) as store:
        store.swept = {}.__getitem__  # type: ignore[assignment]  # a defect: it raises KeyError, or TypeError
        failure = await asyncio.wait_for(asyncio.shield(store.committer.failed), 10)
        assert "the sweep ended" in failure.message


@in_loop
async def test_an_audit_that_fails_in_idle_times_stops_the_store(place: Place, clock: Clock) -> None:
    """Not only with the next request."""
    async with opened(place, clock, terms=terms(checkpoint_s=0.02)) as store:
        segments(place.audit_folder("only"))[-1].unlink()
        store.audit.note(Own.SINK_LOST, detail_of(sink="siem", lost=1))
        failure = await asyncio.wait_for(asyncio.shield(store.committer.failed), 10)
        assert "audit" in failure.message
