"""The store: what was given once is never given again, whatever stops between two steps, and nothing lies open."""

import asyncio
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from keystrand.crypto.secret import Secret
from keystrand.edge.kme.config import KmeConfig, LinkEnd, SaeHome, TlsFiles
from keystrand.edge.kme.entity import KeyManagementEntity
from keystrand.edge.kme.messages import SLICES, Assign, Block, Slice
from keystrand.edge.kme.server import ASSIGN_BYTES, Request
from keystrand.edge.kme.service import KeyOrder, LiveBlock, PoolTooSmall, allocate
from keystrand.edge.kme.store import Store
from keystrand.edge.pki import Identity, Kind
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.model.errors import InvalidInput, KeystrandError, PeerUnavailable, PolicyDenied, StoreFailure

LINK = LinkEnd(id="corridor", peer_kme="kme-b", peer_url="https://127.0.0.1:1")
LINK_BACK = LinkEnd(id="corridor", peer_kme="kme-a", peer_url="https://127.0.0.1:1")
HOMES = (SaeHome(id="sae-a", kme="kme-a"), SaeHome(id="sae-b", kme="kme-b"))
POOL_BITS = 4096


def peer(kind: Kind, name: str) -> Peer:
    """Return an authenticated caller."""
    return Peer(
        identity=Identity(kind=kind, id=name), group="X25519MLKEM768", cipher="TLS_AES_256_GCM_SHA384",
        valid_until_s=inf,
    )  # fmt: skip


MODULE, KME_A = peer(Kind.MODULE, "m"), peer(Kind.KME, "kme-a")
SAE_A, SAE_B = peer(Kind.SAE, "sae-a"), peer(Kind.SAE, "sae-b")


def block_of(content: bytes, **changes: Any) -> Block:
    """Return a block that KME A may cut keys from."""
    block = Block(link="corridor", block_id=str(uuid.uuid4()), master_kme="kme-a", key_bits=Secret(content), qber=0.02,
                  label="x")  # fmt: skip
    return replace(block, **changes)


def order(number: int, size: int, label: str | None = None) -> KeyOrder:
    """Return an order of SAE A for keys with SAE B."""
    return KeyOrder(link=LINK, master_sae="sae-a", slave_sae="sae-b", number=number, size=size, label=label)


def planned(store: Store, wanted: KeyOrder) -> Assign:
    """Return what KME A asks KME B to assign for an order."""
    return Assign(
        link="corridor", master_sae="sae-a", slave_sae="sae-b", size=wanted.size,
        key_ids=tuple(str(uuid.uuid4()) for _ in range(wanted.number)), slices=store.plan(wanted, "kme-a"),
    )  # fmt: skip


def opened(folder: Path, name: str) -> Store:
    """Open the store of one KME."""
    return Store(folder / name, folder / f"{name}.master", pool_bits=POOL_BITS)


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two stores."""
    stores = opened(tmp_path, "a"), opened(tmp_path, "b")
    yield stores
    for store in stores:
        store.close()


def give(stores: tuple[Store, ...], content: bytes) -> Block:
    """Store a block of `content` in each."""
    block = block_of(content)
    for store in stores:
        assert store.add_block(block, 0.0, MODULE).accepted
    return block


def test_both_ends_cut_the_same_keys_in_order(ends: tuple[Store, Store]) -> None:
    """Keys across block borders are equal at both ends, and are the blocks' bytes from first to last."""
    a, b = ends
    give(ends, bytes(range(40)))
    give(ends, bytes(range(40, 80)))
    message = planned(a, order(3, 192))
    assert b.assign(message, 1.0, KME_A, wait_s=9).unusable == ()
    mine = a.deliver(message, 1.0, SAE_A)
    theirs = b.take(message.key_ids, "sae-a", 1.0, SAE_B, wait_s=9)
    assert [k.key for k in mine] == [k.key for k in theirs]
    assert b"".join(k.key.reveal() for k in mine) == bytes(range(72))
    assert mine[0].provenance == theirs[0].provenance == {"keystrand_labels": ["x"], "keystrand_qber_max": 0.02}
    assert a.stored_bits("corridor", "kme-a") == b.stored_bits("corridor", "kme-a") == 64
    assert a.stored_bits("corridor", "kme-b") == 0


def test_a_block_counts_once_however_often_it_comes(ends: tuple[Store, Store]) -> None:
    """The same block again is accepted and adds nothing, also when it is used up; its id for another is refused."""
    a, b = ends
    block = give(ends, bytes(32))
    assert a.add_block(block, 0.0, MODULE).stored_bits == 256
    for other in (
        replace(block, key_bits=Secret(bytes(31) + b"x")),
        replace(block, label="y"),
        replace(block, master_kme="kme-b"),
    ):
        with pytest.raises(InvalidInput):
            a.add_block(other, 0.0, MODULE)
    message = planned(a, order(1, 256))
    b.assign(message, 0.0, KME_A, wait_s=9)
    a.deliver(message, 0.0, SAE_A)
    for store in ends:
        assert store.add_block(block, 0.0, MODULE).stored_bits == 0


def test_a_full_pool_does_not_accept(ends: tuple[Store, Store]) -> None:
    """Up to the cap and not beyond; each direction has its own."""
    a, _ = ends
    assert a.add_block(block_of(bytes(POOL_BITS // 8)), 0.0, MODULE).accepted
    assert not a.add_block(block_of(b"x"), 0.0, MODULE).accepted
    assert a.add_block(block_of(b"x", master_kme="kme-b"), 0.0, MODULE).accepted
    assert a.stored_bits("corridor", "kme-a") == POOL_BITS


def test_the_slave_refuses_what_it_does_not_hold_or_has_used(ends: tuple[Store, Store]) -> None:
    """Unknown blocks, used bytes, bytes beyond the end, other directions and overlaps: named, nothing assigned."""
    a, b = ends
    block = give(ends, bytes(range(64)))
    used = planned(a, order(1, 128))
    assert b.assign(used, 0.0, KME_A, wait_s=9).unusable == ()
    piece = used.slices[0]
    fresh = replace(used, key_ids=(str(uuid.uuid4()),))
    assert b.assign(fresh, 0.0, KME_A, wait_s=9).unusable == (block.block_id,)
    unknown = replace(piece, block_id=str(uuid.uuid4()))
    for slices in (
        (unknown,),
        (replace(piece, offset=60),),
        (replace(piece, offset=16, length=8), replace(piece, offset=20, length=8)),
        (replace(piece, offset=16, length=8), unknown),
    ):
        assert b.assign(replace(fresh, slices=slices), 0.0, KME_A, wait_s=9).unusable
    with pytest.raises(InvalidInput, match="bad request"):
        b.assign(replace(used, slices=(replace(piece, offset=16),)), 0.0, KME_A, wait_s=9)
    stranger = peer(Kind.KME, "kme-c")
    assert b.assign(replace(fresh, slices=(replace(piece, offset=16),)), 0.0, stranger, wait_s=9).unusable
    assert b.stored_bits("corridor", "kme-a") == 8 * 48


def test_the_slave_forgets_blocks_its_master_has_passed(ends: tuple[Store, Store]) -> None:
    """A block that only the slave's end got leaves its pool as soon as the master uses a later one."""
    a, b = ends
    give((b,), bytes(32))
    give(ends, bytes(32))
    b.assign(planned(a, order(1, 128)), 0.0, KME_A, wait_s=9)
    assert b.stored_bits("corridor", "kme-a") == 128


def test_what_nobody_fetches_is_destroyed(ends: tuple[Store, Store]) -> None:
    """A key that waited longer than allowed is gone, and its ID stays used."""
    a, b = ends
    give(ends, bytes(64))
    message = planned(a, order(1, 128))
    b.assign(message, 100.0, KME_A, wait_s=10)
    with pytest.raises(InvalidInput, match="not found"):
        b.take(message.key_ids, "sae-a", 111.0, SAE_B, wait_s=10)
    with pytest.raises(InvalidInput, match="not found"):
        b.take(message.key_ids, "sae-a", 101.0, SAE_B, wait_s=10)


def audited(folder: Path, name: str, action: str) -> list[Any]:
    """Return the details of the audit records of one kind in a store that is open or not."""
    with closing(sqlite3.connect(folder / name / "store.db")) as db:
        return [json.loads(one) for (one,) in db.execute("SELECT detail FROM audit WHERE action = ?", (action,))]


def test_what_is_destroyed_is_on_record(ends: tuple[Store, Store], tmp_path: Path) -> None:
    """Keys that nobody fetched, and blocks that the master has passed, leave their IDs in the audit; once."""
    a, b = ends
    lost = give((b,), bytes(32))
    give(ends, bytes(64))
    message = planned(a, order(2, 128))
    b.assign(message, 100.0, KME_A, wait_s=10)
    for _ in range(2):
        with pytest.raises(InvalidInput, match="not found"):
            b.take(message.key_ids, "sae-a", 111.0, SAE_B, wait_s=10)
    (expired,) = audited(tmp_path, "b", "expire")
    assert expired["key_ids"] == sorted(message.key_ids)
    assert audited(tmp_path, "b", "assign")[0]["destroyed_blocks"] == [lost.block_id]


def test_key_ids_that_the_other_end_has_used_burn_the_keys_and_not_the_store(
    ends: tuple[Store, Store], tmp_path: Path
) -> None:  # fmt: skip
    """The peer assigns in the other direction under the very IDs that it was sent: no key, its bytes gone, on we go."""
    a, _ = ends
    give((a,), bytes(range(64)))
    back = block_of(bytes(64), master_kme="kme-b")
    a.add_block(back, 0.0, MODULE)
    message = planned(a, order(1, 128))
    reverse = replace(
        message, master_sae="sae-b", slave_sae="sae-a",
        slices=(Slice(block_id=back.block_id, offset=0, length=16),),
    )  # fmt: skip
    assert not a.assign(reverse, 0.0, peer(Kind.KME, "kme-b"), wait_s=9).unusable
    with pytest.raises(PeerUnavailable, match="IDs"):
        a.deliver(message, 0.0, SAE_A)
    assert message.key_ids[0] in audited(tmp_path, "a", "burn")[0]["why"]
    assert a.stored_bits("corridor", "kme-a") == 8 * 48
    (key,) = a.deliver(planned(a, order(1, 128)), 0.0, SAE_A)
    assert key.key == Secret(bytes(range(16, 32)))


def contradict(store: Store) -> None:
    """Empty a pool and write a second row of the same name, in one transaction."""
    with store._db.transaction():
        store._db.write("UPDATE pool SET stored = 0")
        store._db.write("INSERT INTO meta VALUES('id', 'another')")


def test_a_row_that_contradicts_another_is_refused_and_the_store_goes_on(tmp_path: Path) -> None:
    """A broken constraint undoes its transaction; it says nothing about the disk."""
    with closing(opened(tmp_path, "a")) as store:
        store.add_block(block_of(bytes(8)), 0.0, MODULE)
        with pytest.raises(StoreFailure, match="contradicts"):
            contradict(store)
        assert store.stored_bits("corridor", "kme-a") == 64


def all_bytes(folder: Path) -> bytes:
    """Return what all files of a folder hold."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


@pytest.mark.parametrize("fold", ["called", "commits", "close"])
def test_a_delivered_key_leaves_the_files(tmp_path: Path, fold: str) -> None:
    """After the log is folded no file of the store holds the seals that a delivery overwrote."""
    a, b = opened(tmp_path, "a"), opened(tmp_path, "b")
    give((a, b), bytes(range(64)))
    message = planned(a, order(1, 128))
    b.assign(message, 0.0, KME_A, wait_s=9)
    a.deliver(message, 0.0, SAE_A)
    (waiting,) = b._db.row("SELECT sealed FROM key")
    b.take(message.key_ids, "sae-a", 0.0, SAE_B, wait_s=9)
    assert waiting in all_bytes(tmp_path / "b")
    if fold == "called":
        assert b.fold()
    elif fold == "commits":
        for _ in range(100):
            b.stored_bits("corridor", "kme-a")
    else:
        b.close()
    assert waiting not in all_bytes(tmp_path / "b")
    a.close()
    if fold != "close":
        b.close()


def test_a_log_that_another_program_reads_is_folded_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads the database holds up the folding and nothing else."""
    monkeypatch.setattr("keystrand.edge.kme.database._BUSY_S", 0.0)
    with (
        closing(opened(tmp_path, "a")) as store,
        closing(sqlite3.connect(tmp_path / "a" / "store.db", isolation_level=None)) as other,
    ):
        store.add_block(block_of(b"x"), 0.0, MODULE)
        other.execute("BEGIN")
        other.execute("SELECT * FROM block").fetchone()
        assert not store.fold()
        assert store.add_block(block_of(b"y"), 0.0, MODULE).stored_bits == 16
        other.execute("ROLLBACK")
        assert store.fold()


@pytest.mark.parametrize("change", ["block SET qber = 0.5", "block SET label = 'better'", "key SET provenance = '{}'"])
def test_what_is_told_of_a_key_cannot_be_changed(tmp_path: Path, change: str) -> None:
    """QBER and label of a block and the provenance of a waiting key are sealed with their bytes."""
    with closing(opened(tmp_path, "a")) as store:
        block = block_of(bytes(64), qber=-0.0)
        store.add_block(block, 0.0, MODULE)
        message = planned(store, order(1, 128))
        assert not store.assign(message, 0.0, KME_A, wait_s=9).unusable
        store._db.write(f"UPDATE {change}")
        rest = replace(
            message, key_ids=(str(uuid.uuid4()),), slices=(replace(message.slices[0], offset=16),)
        )  # fmt: skip
        use: Callable[[], object] = partial(store.take, message.key_ids, "sae-a", 0.0, SAE_B, wait_s=9)
        if change.startswith("block"):
            use = partial(store.deliver, rest, 0.0, SAE_A)
        with pytest.raises(StoreFailure, match="does not open"):
            use()


def test_an_expired_certificate_is_refused_on_a_connection_that_is_open(tmp_path: Path) -> None:
    """The request after the end of the caller's certificate gets 401 and leaves a record; the one before is served."""
    files = TlsFiles(ca="", certificate="", key="")
    config = KmeConfig(kme_id="kme-b", store="", master_key="", tls=files, links=(LINK_BACK,), saes=HOMES)
    request = Request(method="GET", target=b"/api/v1/keys/sae-a/status", body=b"")
    caller = replace(SAE_B, valid_until_s=100.0)

    async def ask() -> list[int]:
        store, times = opened(tmp_path, "b"), iter([99.0, 100.0, 100.0])
        entity = KeyManagementEntity(config, store, {}, lambda: next(times))
        statuses = [(await entity.answer(caller, request)).status for _ in range(2)]
        entity.close()
        return statuses

    assert asyncio.run(ask()) == [200, 401]
    assert "expired" in audited(tmp_path, "b", "denied")[0]["why"]


def test_only_the_slave_and_only_for_the_right_master(ends: tuple[Store, Store]) -> None:
    """Another SAE is denied; another master in the URL finds nothing; then the slave still gets its key."""
    a, b = ends
    give(ends, bytes(64))
    message = planned(a, order(1, 128))
    b.assign(message, 0.0, KME_A, wait_s=9)
    with pytest.raises(PolicyDenied):
        b.take(message.key_ids, "sae-a", 0.0, peer(Kind.SAE, "sae-c"), wait_s=9)
    with pytest.raises(InvalidInput, match="not found"):
        b.take(message.key_ids, "sae-z", 0.0, SAE_B, wait_s=9)
    assert b.take(message.key_ids, "sae-a", 0.0, SAE_B, wait_s=9)


def test_one_process_writes_a_store(tmp_path: Path) -> None:
    """A second writer is refused while the first lives, and welcome after."""
    with closing(opened(tmp_path, "a")), pytest.raises(StoreFailure, match="in use"):
        opened(tmp_path, "a")
    opened(tmp_path, "a").close()


def test_the_store_opens_only_with_its_own_private_master_key(tmp_path: Path) -> None:
    """An open file mode, a wrong length, a missing key, and another key: refused, never replaced by a new one."""
    with closing(opened(tmp_path, "a")) as store:
        store.add_block(block_of(bytes(32)), 0.0, MODULE)
        message = planned(store, order(1, 256))
    key = tmp_path / "a.master"
    own = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a" / "store.db").stat().st_mode & 0o777 == 0o600
    key.chmod(0o640)
    with pytest.raises(InvalidInput, match="by others"):
        opened(tmp_path, "a")
    key.chmod(0o600)
    key.write_bytes(own[:31])
    with pytest.raises(InvalidInput, match="31 bytes"):
        opened(tmp_path, "a")
    key.write_bytes(bytes(32))
    with closing(opened(tmp_path, "a")) as store, pytest.raises(StoreFailure, match="does not open"):
        store.deliver(message, 0.0, SAE_A)
    key.unlink()
    with pytest.raises(KeystrandError):
        opened(tmp_path, "a")
    assert not key.exists()


def test_a_sealed_row_opens_only_in_its_place(tmp_path: Path) -> None:
    """Turning a block's cursor back in the database does not bring its used bytes back."""
    stores = opened(tmp_path, "a"), opened(tmp_path, "b")
    give(stores, bytes(64))
    message = planned(stores[0], order(1, 128))
    stores[1].assign(message, 0.0, KME_A, wait_s=9)
    stores[0].deliver(message, 0.0, SAE_A)
    for store in stores:
        store.close()
    with closing(sqlite3.connect(tmp_path / "a" / "store.db", isolation_level=None)) as db:
        db.execute("UPDATE block SET cursor = 0")
    with closing(opened(tmp_path, "a")) as store, pytest.raises(StoreFailure, match="does not open"):
        store.deliver(planned(store, order(1, 128)), 0.0, SAE_A)


def test_a_fault_of_the_database_stops_the_store(tmp_path: Path) -> None:
    """After a full disk in the middle of a commit nothing is served: what the disk holds is not known."""
    with closing(opened(tmp_path, "a")) as store:
        store.add_block(block_of(bytes(64)), 0.0, MODULE)
        pages = store._db.row("PRAGMA page_count")[0]
        store._db.row(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreFailure, match="disk is full"):
            store.note(0.0, MODULE, "test", text="x" * 1_000_000)
        with pytest.raises(StoreFailure, match="started again"):
            store.plan(order(1, 128), "kme-a")
        with pytest.raises(StoreFailure, match="started again"):
            store.stored_bits("corridor", "kme-a")
    with closing(opened(tmp_path, "a")) as again:
        assert again.stored_bits("corridor", "kme-a") == 512


def test_another_program_at_the_file_is_waited_for_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """A lock that does not end is an error that changes nothing; when it ends the store goes on."""
    monkeypatch.setattr("keystrand.edge.kme.database._BUSY_S", 0.0)
    with (
        closing(opened(tmp_path, "a")) as store,
        closing(sqlite3.connect(tmp_path / "a" / "store.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailure, match="locked"):
            store.add_block(block_of(b"x"), 0.0, MODULE)
        other.execute("ROLLBACK")
        assert store.add_block(block_of(b"x"), 0.0, MODULE).stored_bits == 8


def test_durability_is_what_the_contract_says(tmp_path: Path) -> None:
    """The database writes ahead, syncs fully, and overwrites what it deletes."""
    with closing(opened(tmp_path, "a")) as store:
        asked = {name: store._db.row(f"PRAGMA {name}")[0] for name in ("journal_mode", "synchronous", "secure_delete")}
    assert asked == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}


@pytest.mark.parametrize("octets", [1, 8, 9, 24])
def test_allocation_reads_no_more_blocks_than_it_needs(octets: int) -> None:
    """The slices follow each other from each block's cursor; blocks beyond are not looked at."""
    blocks = (LiveBlock(block_id=str(n), cursor=n, length=8 + n, label="x") for n in range(4))
    slices = allocate(blocks, order(octets, 8))
    assert sum(piece.length for piece in slices) == octets
    assert slices == tuple(Slice(block_id=str(n), offset=n, length=min(8, octets - 8 * n)) for n in range(len(slices)))
    assert len(list(blocks)) == 4 - len(slices)


def test_allocation_fails_whole() -> None:
    """Too few bits tell how many keys there are; a block of another label is not mixed in."""
    with pytest.raises(PoolTooSmall) as caught:
        allocate([LiveBlock(block_id="b", cursor=0, length=9, label="x")], order(3, 32))
    assert caught.value.stored_key_count == 2
    with pytest.raises(InvalidInput, match="could be met"):
        allocate([LiveBlock(block_id="b", cursor=0, length=9, label="x")], order(1, 32, label="y"))


def test_blocks_that_are_too_small_are_told() -> None:
    """An order over more slices than an assignment may have says so; the longest allowed passes every bound."""
    blocks = [LiveBlock(block_id=str(uuid.uuid4()), cursor=0, length=1, label="x") for _ in range(SLICES + 1)]
    with pytest.raises(InvalidInput, match="bad request") as caught:
        allocate(blocks, order(1, 8 * SLICES + 8))
    assert "ask for fewer" in str(caught.value.problems[0])
    longest = Assign(
        link="l" * 48, master_sae="\x00" * 128, slave_sae="\x00" * 128, size=8,
        key_ids=tuple(str(uuid.uuid4()) for _ in range(1024)),
        slices=tuple(Slice(block_id=b.block_id, offset=1 << 20, length=1 << 20) for b in blocks[:SLICES]),
    )  # fmt: skip
    encoded = etsi014.encode(longest)
    assert len(encoded) <= ASSIGN_BYTES
    assert etsi014.decode(encoded, Assign) == longest


class TwoEnds(RuleBasedStateMachine):
    """Two stores, and a world that stops either of them between any two steps of the contract."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.run = self.folder / uuid.uuid4().hex
        self.a, self.b = opened(self.run, "a"), opened(self.run, "b")
        self.counter = 0
        self.given: dict[str, bytes] = {}
        self.taken: dict[str, bytes] = {}

    def teardown(self) -> None:
        """Close both."""
        self.a.close()
        self.b.close()

    @rule(octets=st.integers(1, 48), reach=st.sampled_from(["both", "both", "both", "slave", "master"]))
    def block(self, octets: int, reach: str) -> None:
        """A block with bytes that no other block has arrives at both ends, or is lost at one."""
        content = b"".join((self.counter + n).to_bytes(4, "big") for n in range(octets))
        self.counter += octets
        for store, name in ((self.b, "slave"), (self.a, "master")):
            if reach in ("both", name):
                store.add_block(block := self._block(content), 0.0, MODULE)
                assert block

    def _block(self, content: bytes) -> Block:
        return block_of(content, block_id=str(uuid.uuid5(uuid.NAMESPACE_OID, content.hex())))

    @rule(
        words=st.integers(1, 12), number=st.integers(1, 3), stop=st.sampled_from(["", "", "", "lost", "doubt", "died"])
    )
    def get_key(self, words: int, number: int, stop: str) -> None:
        """Get key, stopped where `stop` says: request lost, answer lost, or the master dead before its commit."""
        try:
            message = planned(self.a, order(number, 32 * words))
        except PoolTooSmall:
            return
        if stop == "lost":
            return
        unusable = self.b.assign(message, 0.0, KME_A, wait_s=9).unusable
        if unusable:
            bad = [piece for piece in message.slices if piece.block_id in unusable]
            self.a.burn(bad, "test", 0.0, SAE_A, whole_blocks=True)
        elif stop == "doubt":
            self.a.burn(message.slices, "test", 0.0, SAE_A)
        elif stop != "died":
            for key in self.a.deliver(message, 0.0, SAE_A):
                assert key.key_id not in self.given
                self.given[key.key_id] = key.key.reveal()

    @precondition(lambda self: self.given)
    @rule(pick=st.integers(0, 99))
    def get_key_with_id(self, pick: int) -> None:
        """The slave asks for any delivered key: it gets it once."""
        key_id = sorted(self.given)[pick % len(self.given)]
        try:
            (key,) = self.b.take([key_id], "sae-a", 0.0, SAE_B, wait_s=9)
        except InvalidInput:
            assert key_id in self.taken
            return
        assert key_id not in self.taken
        self.taken[key_id] = key.key.reveal()

    @rule(which=st.sampled_from("ab"))
    def restart(self, which: str) -> None:
        """Either KME starts again from its disk."""
        getattr(self, which).close()
        setattr(self, which, opened(self.run, which))

    @invariant()
    def no_byte_twice(self) -> None:
        """No word of any block is in two keys, and both ends agree on every key."""
        words = [key[at : at + 4] for key in self.given.values() for at in range(0, len(key), 4)]
        assert len(set(words)) == len(words)
        assert all(self.given[key_id] == key for key_id, key in self.taken.items())


def test_no_interleaving_gives_a_byte_twice(tmp_path: Path) -> None:
    """Whatever is lost, in doubt, or stopped: each byte is in one key at most, and both ends have the same keys."""
    TwoEnds.folder = tmp_path
    TwoEnds.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
    case = TwoEnds.TestCase("runTest")
    case.debug()
