"""Group commit: one transaction for all that waits, no answer before disk and audit have it, no life after a fault."""

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.edge.store.place import Clock, Place, asked, holding, in_loop, opened, take, write

from keystrand.edge.store.audit_segment import segments
from keystrand.edge.store.committer import OperationFailed, Transaction
from keystrand.edge.store.keystore import KeyStore
from keystrand.model.errors import InvalidInput, StoreFailure
from keystrand.operate.audit import Own


def put(store: KeyStore, name: str, *, audited: bool = True) -> "asyncio.Future[str]":
    """Write something small."""

    async def put_it(tx: Transaction) -> str:
        await tx.run("INSERT INTO meta(name, value) VALUES(?, 'x')", name)
        if audited:
            tx.note("put", name=name)
        return name

    return store.committer.do(put_it)


async def names(store: KeyStore) -> set[str]:
    """Return what was written."""
    rows = await (await store.reader()).rows("SELECT name FROM meta WHERE value = 'x'")
    return {name for (name,) in rows}


def audit_bytes(folder: Path) -> bytes:
    """Return all that the audit file holds now."""
    return b"".join(path.read_bytes() for path in segments(folder))


@in_loop
async def test_operations_that_wait_share_a_commit(place: Place, clock: Clock) -> None:
    """A hundred at once are one generation; each gets its own result, and all are audited in their order."""
    async with opened(place, clock) as store:
        before = store.committer.generation
        wanted = [f"n{n:03}" for n in range(100)]
        assert await asyncio.gather(*(put(store, name) for name in wanted)) == wanted
        assert store.committer.generation == before + 1
        assert await names(store) == set(wanted)
    told = [entry for entry in place.audit() if entry.action == "put"]
    assert [bytes(entry.detail) for entry in told] == [b'{"name":"%s"}' % name.encode() for name in wanted]
    assert {entry.generation for entry in told} == {before + 1}


@in_loop
async def test_one_that_fails_touches_no_other(place: Place, clock: Clock) -> None:
    """Its error is its own, with its audit records; those before and behind it in the batch are committed."""

    async def fail(tx: Transaction) -> None:
        tx.note("never")
        raise InvalidInput("not so")

    async with opened(place, clock) as store:
        outcomes = await asyncio.gather(
            put(store, "one"), store.committer.do(fail), put(store, "two"), return_exceptions=True
        )
        assert (outcomes[0], outcomes[2]) == ("one", "two")
        assert isinstance(outcomes[1], InvalidInput)
        assert await names(store) == {"one", "two"}
    assert "never" not in place.actions()


@in_loop
async def test_one_that_fails_after_it_has_written_stops_the_store(place: Place, clock: Clock) -> None:
    """Half an operation is never committed, and neither is what shared its batch."""

    async def half(tx: Transaction) -> None:
        await tx.run("INSERT INTO meta(name, value) VALUES('half', 'x')")
        raise InvalidInput("too late")

    async with opened(place, clock) as store:
        outcomes = await asyncio.gather(put(store, "one"), store.committer.do(half), return_exceptions=True)
        assert all(isinstance(outcome, StoreFailure) for outcome in outcomes)
        with pytest.raises(StoreFailure, match="begun to write"):
            await put(store, "two")
    async with opened(place, clock) as store:
        assert await names(store) == set()


@pytest.mark.parametrize("fault", [ValueError("x"), KeyError("x"), TypeError("x"), OverflowError("x")])
@in_loop
async def test_a_fault_of_one_operation_is_its_own(place: Place, clock: Clock, fault: Exception) -> None:
    """Where it had written nothing, all others of the batch are committed, and the store goes on."""

    async def fail(tx: Transaction) -> None:
        tx.note("never")
        raise fault

    async with opened(place, clock) as store:
        outcomes = await asyncio.gather(
            put(store, "one"), store.committer.do(fail), put(store, "two"), return_exceptions=True
        )
        assert isinstance(outcomes[1], OperationFailed)
        assert await names(store) == {"one", "two"}
    assert "never" not in place.actions()


@pytest.mark.parametrize("fault", [ValueError("x"), InvalidInput("x")])
@in_loop
async def test_what_another_kme_asked_for_is_undone(place: Place, clock: Clock, fault: Exception) -> None:
    """Half of it is never committed, and what shared its batch is."""

    async def half(tx: Transaction) -> None:
        await tx.run("INSERT INTO meta(name, value) VALUES('half', 'x')")
        tx.note("never")
        raise fault

    async with opened(place, clock) as store:
        outcomes = await asyncio.gather(
            put(store, "one"), store.committer.do_undoable(half), put(store, "two"), return_exceptions=True
        )
        assert isinstance(outcomes[1], OperationFailed if isinstance(fault, ValueError) else InvalidInput)
        assert await names(store) == {"one", "two"}
        before = store.committer.generation
        with pytest.raises(type(outcomes[1])):
            await store.committer.do_undoable(half)
        assert store.committer.generation == before
    assert "never" not in place.actions()


@in_loop
async def test_what_changes_nothing_commits_nothing(place: Place, clock: Clock) -> None:
    """Reading alone moves no generation."""
    async with opened(place, clock) as store:
        before = store.committer.generation
        assert await store.committer.do(lambda tx: tx.rows("SELECT name FROM meta WHERE name = 'format'"))
        assert store.committer.generation == before


@in_loop
async def test_an_answer_comes_after_its_audit(place: Place, clock: Clock) -> None:
    """When a key is handed out its record is in the audit file already, and the store has it too."""
    async with opened(place, clock) as store:
        one = holding()
        await write(store, one)
        await take(store, asked(one))
        assert one.order_id.encode() in audit_bytes(place.audit_folder("only"))
        ((state,),) = await place.look("SELECT state FROM holding")
        assert state == "deactivated"


@in_loop
async def test_after_a_fault_of_the_database_nothing_is_served(place: Place, clock: Clock) -> None:
    """The first operation that meets it fails, and so do all behind it, those that wait included."""
    async with opened(place, clock) as store:
        await put(store, "before")
        await place.sever(store)
        outcomes = await asyncio.gather(*(put(store, f"n{n}") for n in range(300)), return_exceptions=True)
        assert all(isinstance(outcome, StoreFailure) for outcome in outcomes)
        assert store.committer.failed.done()
        with pytest.raises(StoreFailure):
            await put(store, "after")
    async with opened(place, clock) as store:
        assert await names(store) == {"before"}


@in_loop
async def test_after_a_fault_of_the_audit_nothing_is_served(place: Place, clock: Clock) -> None:
    """What the store committed but the audit did not take is not answered; the next start writes it to the audit."""
    async with opened(place, clock) as store:
        one = holding()
        await write(store, one)
        path = segments(place.audit_folder("only"))[-1]
        aside = path.rename(path.with_name("aside"))
        shutil.copy2(aside, path)
        with pytest.raises(StoreFailure, match="audit"):
            await take(store, asked(one))
        assert store.committer.failed.done()
        with pytest.raises(StoreFailure):
            await put(store, "after")
        assert one.order_id.encode() in aside.read_bytes()
        assert one.order_id.encode() not in path.read_bytes()
        aside.unlink()
    async with opened(place, clock) as store:
        assert await names(store) == set()
        assert (await take(store, asked(one)))[1]
    told = [entry for entry in place.audit() if entry.action in ("dec_keys", Own.RECOVERED)]
    assert [entry.action for entry in told] == ["audit.recovered", "dec_keys", "dec_keys"]


@in_loop
async def test_a_writer_that_was_fenced_off_commits_no_more(place: Place, clock: Clock) -> None:
    """Once its fence has moved its next commit fails, with all that it had written; reading alone is not stopped."""
    async with opened(place, clock) as store:
        one = holding()
        await write(store, one)
        await place.look("UPDATE head SET fence = fence + 1")
        assert await store.committer.do(lambda tx: store.holdings.known(tx, one.order_id))
        with pytest.raises(StoreFailure, match="taken over"):
            await take(store, asked(one))
        with pytest.raises(StoreFailure, match="taken over"):
            await put(store, "after")
    async with opened(place, clock) as store:
        assert not (await take(store, asked(one)))[1]


@in_loop
async def test_closing_finishes_what_waits(place: Place, clock: Clock) -> None:
    """All that was asked for before is committed; nothing is taken any more."""
    async with opened(place, clock) as store:
        waiting = [put(store, f"n{n}") for n in range(600)]
    assert len(await asyncio.gather(*waiting)) == 600
    assert len(await place.look("SELECT name FROM meta WHERE value = 'x'")) == 600
