"""What a store says of itself, and what it makes of what peers remember: has it gone back behind that?"""

import msgspec
import pytest
from tests.edge.store.place import (
    Clock,
    Place,
    PostgresPlace,
    SqlitePlace,
    asked,
    holding,
    in_loop,
    opened,
    take,
    write,
)

from keystrand.edge.store import own_marks, peers
from keystrand.edge.store.keystore import KeyStore
from keystrand.keys.witness import Standing, StoreMark
from keystrand.model.errors import StoreFailure

MACHINE = ("store", "keys", "only-audit")


async def judged(store: KeyStore, seen: StoreMark) -> Standing:
    """Return how a store stands to what was seen of it."""
    return await store.own_marks.judge(seen)


async def commits(store: KeyStore, number: int) -> None:
    """Go on by some commits."""
    for _ in range(number):
        await write(store, holding())


@in_loop
async def test_what_a_store_has_said_of_itself_it_knows(place: Place, clock: Clock) -> None:
    """Its own mark of any moment, at any later time, is in its past, through any number of restarts."""
    said = []
    for _ in range(4):
        async with opened(place, clock) as store:
            said.append(store.mark)
            await commits(store, 2)
            said.append(store.mark)
            for one in said:
                assert await judged(store, one) is Standing.CONTINUES
            last = store.mark
    async with opened(place, clock) as store:
        assert store.mark.begun >= last.generation
        assert (await store.own_marks.all())[0] == store.mark


@in_loop
async def test_what_it_never_said_proves_nothing(place: Place, clock: Clock) -> None:
    """A mark without its proof, an altered one, and that of another store."""
    async with opened(place, clock) as store:
        said = store.mark
        ahead = msgspec.structs.replace(said, start="another", generation=said.generation + 9)
        for wrong in (ahead, msgspec.structs.replace(ahead, proof=""), msgspec.structs.replace(said, writer="x")):
            assert await judged(store, wrong) is Standing.UNPROVEN
        assert await judged(store, msgspec.structs.replace(ahead, store="s1")) is Standing.NEW_STORE


@in_loop
async def test_a_run_that_went_back_or_was_lost(place: Place, clock: Clock) -> None:
    """A snapshot that goes on in its run, a run that ended earlier than it was seen, and one that never was here."""
    async with opened(place, clock) as store:
        now, said = store.mark, store.own_marks.marked
        assert await judged(store, said(now.writer, now.start, now.begun, now.generation + 1)) is Standing.ROLLED_BACK
        assert await judged(store, said("lost", "r1", 0, 1)) is Standing.ROLLED_BACK
    async with opened(place, clock) as store:
        for _ in range(9):
            await commits(store, 1)
        ended = store.mark.begun
        for generation, standing in ((ended, Standing.CONTINUES), (ended + 1, Standing.ROLLED_BACK)):
            seen = store.own_marks.marked(now.writer, now.start, now.begun, generation)
            assert await judged(store, seen) is standing
        # a copy of the moment between the two runs, and another run that began there
        assert await judged(store, store.own_marks.marked(now.writer, "lost", ended, ended)) is Standing.ROLLED_BACK


@in_loop
async def test_of_many_runs_the_latest_are_known(place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older proves nothing either way; what should be known and is not is proof."""
    monkeypatch.setattr(own_marks, "_RUNS", 3)
    said = []
    for _ in range(6):
        async with opened(place, clock) as store:
            said.append(store.mark)
    async with opened(place, clock) as store:
        assert await place.look("SELECT count(*) FROM run") == [(3,)]
        for one in said[:4]:
            assert await judged(store, one) is Standing.UNPROVEN
        for one in said[4:]:
            assert await judged(store, one) is Standing.CONTINUES
        lost = store.own_marks.marked("only", "lost", said[4].begun + 1, said[4].begun + 2)
        assert await judged(store, lost) is Standing.ROLLED_BACK


@in_loop
async def test_a_copy_that_is_started_again_and_again_is_never_trusted(
    tmp_path_factory: pytest.TempPathFactory, clock: Clock
) -> None:
    """Store, keyring and audit put back: however often it begins, it is not taken for what was seen, and knows it."""
    place, other = (SqlitePlace(tmp_path_factory.mktemp(name)) for name in ("machine", "peer"))
    async with opened(other, clock) as peer:

        async def standing(store: KeyStore) -> Standing:
            shown = await store.own_marks.all()
            known = [one for one in seen if await judged(store, one) is Standing.CONTINUES]
            return await peers.standing_of(await peer.reader(), "kme-a", shown, known, all_writers=True)

        seen: tuple[StoreMark, ...] = ()
        async with opened(place, clock) as store:
            one = holding(until=clock.now + 3600)
            await write(store, one)
        put_back = place.keep_files(*MACHINE)
        async with opened(place, clock) as store:
            await take(store, asked(one))
            await commits(store, 20)
            shown = store.mark
            await peer.committer.do(lambda tx: peers.witness(tx, "kme-a", shown))
            seen = await peers.seen_of(await peer.reader(), "kme-a")
            assert await standing(store) is Standing.CONTINUES
        async with opened(place, clock) as store:
            assert await standing(store) is Standing.CONTINUES
        put_back()
        for _ in range(40):
            async with opened(place, clock) as store:
                assert await judged(store, seen[0]) is Standing.ROLLED_BACK
                assert await standing(store) in (Standing.ROLLED_BACK, Standing.UNPROVEN)
        assert store.mark.begun > seen[0].generation


@in_loop
async def test_who_was_found_to_be_a_copy_never_starts_again(place: Place, clock: Clock) -> None:
    """It says so in its audit, hands out nothing from then on, and no start brings it back."""
    async with opened(place, clock) as store:
        one = holding()
        await write(store, one)
        with pytest.raises(StoreFailure, match="put back from a copy") as caught:
            await store.own_marks.stop_behind(store.own_marks.marked("only", "lost", 1, 99), "kme-b")
        assert caught.value.hint == own_marks.RESTORED_HINT
        with pytest.raises(StoreFailure, match="put back from a copy"):
            await take(store, asked(one))
        assert store.committer.failed.done()
    assert place.actions()[-1] == "put_back"
    for _ in range(2):
        with pytest.raises(StoreFailure, match="kme-b has seen commit 99") as caught:
            async with opened(place, clock):
                pass
        assert caught.value.hint == own_marks.RESTORED_HINT


@pytest.mark.system
@in_loop
async def test_writers_know_each_others_runs(shared: PostgresPlace, clock: Clock) -> None:
    """Each shows and judges the marks of all; where one finds a copy, no other commits anything more."""
    async with opened(shared, clock, "one") as one, opened(shared, clock, "two") as two:
        marks = await one.own_marks.all()
        assert [mark.writer for mark in marks] == ["one", "two"]
        await commits(two, 3)
        for mark in (*marks, *await two.own_marks.all()):
            assert await judged(one, mark) is await judged(two, mark) is Standing.CONTINUES
        ahead = one.own_marks.marked("two", two.mark.start, two.mark.begun, two.mark.generation + 1)
        assert await judged(one, ahead) is await judged(two, ahead) is Standing.ROLLED_BACK
        with pytest.raises(StoreFailure, match="put back"):
            await one.own_marks.stop_behind(ahead, "kme-b")
        with pytest.raises(StoreFailure, match="taken over"):
            await commits(two, 1)
    for writer in ("one", "two", "three"):
        with pytest.raises(StoreFailure, match="put back"):
            async with opened(shared, clock, writer):
                pass
