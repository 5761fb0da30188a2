"""Opening a store: what a crash left is put right; what was put back from a copy is refused, as is a second writer."""

import shutil

import msgspec
import pytest
from tests.edge.store.place import (
    Clock,
    Place,
    add,
    asked,
    block,
    holding,
    in_loop,
    opened,
    take,
    write,
)

from keystrand.crypto.secret import Secret
from keystrand.edge.store.audit_segment import segments, whole_lines
from keystrand.edge.store.keyring import FileKeyring
from keystrand.model.errors import InvalidInput, KeystrandError, MissingInput, StoreFailure
from keystrand.operate.audit import Own, detail_of, entry_of, hash_of


@in_loop
async def test_a_store_goes_on_where_it_stood(place: Place, clock: Clock) -> None:
    """Identity, blocks, holdings and audit are there again; generation and epoch go on."""
    async with opened(place, clock) as store:
        one, blk = holding(keys=bytes(range(64))), block()
        await write(store, one)
        await add(store, blk)
        before = store.mark, store.epoch
    async with opened(place, clock) as store:
        assert store.mark.store == before[0].store
        assert store.mark.start != before[0].start
        assert store.mark.generation > before[0].generation
        assert store.epoch > before[1]
        assert await store.pools.content(await store.reader(), blk.block_id) == blk.key_bits
        assert (await take(store, asked(one)))[0] == [bytes(range(32)), bytes(range(32, 64))]


@in_loop
async def test_a_second_process_is_refused(place: Place, clock: Clock) -> None:
    """The first goes on; when it has ended another may open the store."""
    async with opened(place, clock) as store:
        with pytest.raises(StoreFailure, match=r"another (process|key management entity)") as caught:
            async with opened(place, clock):
                pass
        assert caught.value.hint
        await write(store, holding())
    async with opened(place, clock) as store:
        await write(store, holding())


@in_loop
async def test_an_audit_that_a_crash_left_behind_is_caught_up(place: Place, clock: Clock) -> None:
    """What the store committed last and the audit does not have is written to it at the next start."""
    async with opened(place, clock) as store:
        one = holding()
        await write(store, one)
        put_back = place.keep_files("only-audit")
        await take(store, asked(one))
    put_back()
    assert "dec_keys" not in place.actions()
    async with opened(place, clock) as store:
        with pytest.raises(InvalidInput):
            await take(store, asked(one, 0))
    told = [entry.action for entry in place.audit()]
    assert told[told.index(Own.RECOVERED) + 1] == "dec_keys"


@in_loop
async def test_an_audit_that_was_faster_than_a_crash_is_voided(place: Place, clock: Clock) -> None:
    """Where the store did not commit what the audit tells, the audit takes it back: the key can still be fetched."""
    async with opened(place, clock) as store:
        one = holding()
        await write(store, one)
        await place.copy()
        await take(store, asked(one))
    await place.put_back()
    async with opened(place, clock) as store:
        assert not (await take(store, asked(one)))[1]
    told = [entry.action for entry in place.audit()]
    assert told.count("dec_keys") == 2
    assert Own.VOID in told[told.index("dec_keys") :]


@in_loop
async def test_a_copy_older_than_its_audit_is_refused(place: Place, clock: Clock) -> None:
    """Two commits that only the audit knows are no crash: keys would be handed out again."""
    async with opened(place, clock) as store:
        one, two = holding(), holding()
        await write(store, one, two)
        await place.copy()
        await take(store, asked(one))
        await take(store, asked(two))
    await place.put_back()
    for _ in range(2):
        with pytest.raises(StoreFailure, match="the store is older"):
            async with opened(place, clock):
                pass


@in_loop
async def test_a_copy_older_than_its_keyring_is_refused(place: Place, clock: Clock) -> None:
    """Also where its audit was put back with it."""
    async with opened(place, clock) as store:
        one = holding()
        await write(store, one)
        await place.copy()
        put_back = place.keep_files("only-audit")
        await take(store, asked(one))
        await store.next_epoch()
        await store.next_epoch()
    await place.put_back()
    put_back()
    with pytest.raises(StoreFailure, match=r"keyring remembers .* put back from a copy") as caught:
        async with opened(place, clock):
            pass
    assert "new store" in caught.value.hint


@in_loop
async def test_a_copy_whose_data_key_was_destroyed_is_refused(place: Place, clock: Clock) -> None:
    """Where an epoch of the database is not in the keyring any more it was put back from a copy."""
    async with opened(place, clock) as store:
        await write(store, holding())
        store_id, epoch = store.id, store.epoch
    FileKeyring(place.keyring_file, Secret(bytes(range(32))), store_id).destroy(epoch)
    with pytest.raises(StoreFailure, match=f"data key of epoch {epoch} was destroyed"):
        async with opened(place, clock):
            pass


@in_loop
async def test_data_keys_that_nothing_needs_are_destroyed(place: Place, clock: Clock) -> None:
    """One that a crash left before its epoch began, or after its end, goes with the next start, and no number is."""
    async with opened(place, clock) as store:
        store_id, epoch = store.id, store.epoch
    ring = FileKeyring(place.keyring_file, Secret(bytes(range(32))), store_id)
    with ring.create(epoch + 1) as left:
        async with opened(place, clock) as store:
            assert store.epoch == epoch + 1
            with ring.open(store.epoch) as key:
                assert key != left


@in_loop
async def test_keyring_audit_and_store_belong_together(place: Place, clock: Clock) -> None:
    """A store does not start without its keyring or its audit's key, nor with another's."""
    async with opened(place, clock) as store:
        await write(store, holding())
        store_id = store.id
    for name in ("keys/ring", "keys/only.key"):
        put_back = place.keep_files(name)
        (place.folder / name).unlink()
        with pytest.raises(MissingInput):
            async with opened(place, clock):
                pass
        (place.folder / name).write_bytes(b"")
        (place.folder / name).chmod(0o600)
        with pytest.raises(KeystrandError):
            async with opened(place, clock):
                pass
        (place.folder / name).unlink()
        put_back()
    await place.look("UPDATE meta SET value = 'other' WHERE name = 'id'")
    with pytest.raises(StoreFailure, match=f"keyring of store {store_id}"):
        async with opened(place, clock):
            pass


@in_loop
async def test_a_lost_audit_is_noticed(place: Place, clock: Clock) -> None:
    """A store whose audit file was taken away does not begin a new one as if nothing had been."""
    async with opened(place, clock) as store:
        one = holding()
        await write(store, one)
        await take(store, asked(one, 0))
        await take(store, asked(one, 1))
    shutil.rmtree(place.audit_folder("only"))
    with pytest.raises(StoreFailure, match="was cut"):
        async with opened(place, clock):
            pass


def forge_without(place: Place, action: str) -> None:
    """Take the first line of `action` behind the latest signature away, and number and hash the rest anew."""
    path = segments(place.audit_folder("only"))[-1]
    lines = list(whole_lines(path))
    entries = [entry_of(line) for line in lines]
    signed = max(at for at, entry in enumerate(entries) if entry.action == Own.CHECKPOINT)
    victim = next(at for at in range(signed, len(entries)) if entries[at].action == action)
    kept = lines[:victim]
    for entry in entries[victim + 1 :]:
        forged = msgspec.structs.replace(entry, seq=entries[0].seq + len(kept), prev=hash_of(kept[-1]))
        kept.append(msgspec.json.encode(forged) + b"\n")
    path.write_bytes(b"".join(kept))


@in_loop
async def test_what_was_forged_in_the_audit_of_a_killed_process_is_not_signed(place: Place, clock: Clock) -> None:
    """Who can write its folder, but has neither key nor store, takes nothing out of it."""
    async with opened(place, clock) as store:
        ones = [holding() for _ in range(3)]
        await write(store, *ones)
        for one in ones:
            await take(store, asked(one))
        put_back = place.keep_files("only-audit")  # as a kill leaves it: no signature at the end
    put_back()
    forge_without(place, "dec_keys")
    before = segments(place.audit_folder("only"))[-1].read_bytes()
    for _ in range(2):
        with pytest.raises(StoreFailure, match=r"not those of the store|it was cut"):
            async with opened(place, clock):
                pass
    assert segments(place.audit_folder("only"))[-1].read_bytes() == before
    put_back()
    async with opened(place, clock) as store:
        await write(store, holding())
    assert place.actions().count("dec_keys") == 3


@in_loop
async def test_signatures_between_commits_are_no_forgery(place: Place, clock: Clock) -> None:
    """What the audit says of itself may stand anywhere: a start after it goes on."""
    async with opened(place, clock) as store:
        for _ in range(2):
            one = holding()
            await write(store, one)
            store.audit.note(Own.SINK_LOST, detail_of(sink="siem", lost=1))
            store.audit.checkpoint()
            await take(store, asked(one))
            store.audit.note(Own.SINK_LOST, detail_of(sink="siem", lost=1))
            store.audit.checkpoint()
        await write(store, holding())
        put_back = place.keep_files("only-audit")
    put_back()
    for _ in range(3):
        async with opened(place, clock):
            pass
    assert place.actions().count("dec_keys") == 2


@in_loop
async def test_another_format_is_not_touched(place: Place, clock: Clock) -> None:
    """A store of another release is refused, with both formats named."""
    async with opened(place, clock):
        pass
    await place.look("UPDATE meta SET value = '999' WHERE name = 'format'")
    with pytest.raises(StoreFailure, match="999"):
        async with opened(place, clock):
            pass
