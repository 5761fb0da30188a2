"""What is PostgreSQL's own: the connection string, a server that is fit, statements, and a connection that is lost."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.edge.store.place import QUIET_S, Clock, PostgresPlace, holding, in_loop, opened, write
from tests.edge.store.postgres import PostgresServer

from keystrand.edge.store.postgres import numbered, open_postgres, read_dsn
from keystrand.edge.store.schema import TABLES
from keystrand.model.errors import InvalidInput, KeystrandError, MissingInput, StoreFailure


def dsn_file(folder: Path, content: str, mode: int = 0o600) -> Path:
    """Return a file with a connection string."""
    file = folder / "dsn"
    file.write_text(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql:///kme",
        "postgresql://kme:secret@127.0.0.1:5433/kme?search_path=kme_a",
        "postgres://kme@[::1]/kme",
        "postgresql:///kme?host=/run/postgresql",
        "postgresql://kme:secret@db.example/kme?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    ],
)
def test_a_connection_string_is_read_from_its_file(tmp_path: Path, dsn: str) -> None:
    """As it stands there, without the line's end."""
    assert read_dsn(dsn_file(tmp_path, f"{dsn}\n")) == dsn


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no connection string"),
        ("host=localhost password=hunter2", "holds no connection string"),
        ("mysql://kme:hunter2@localhost/kme", "holds no connection string"),
        ("postgresql://kme:hunter2@[::1/kme", "holds no connection string"),
        ("postgresql://kme:hunter2@db.example/kme", "needs sslmode=verify-full"),
        ("postgresql://kme:hunter2@db.example/kme?sslmode=require", "needs sslmode=verify-full"),
        ("postgresql:///kme?host=db.example&password=hunter2", "needs sslmode=verify-full"),
        ("postgresql://localhost,db.example/kme", "needs sslmode=verify-full"),
        ("postgresql://127.0.0.1@db.example/kme", "needs sslmode=verify-full"),
    ],
)
def test_a_connection_string_that_cannot_be_trusted_is_refused(tmp_path: Path, content: str, said: str) -> None:
    """No string of PostgreSQL, or a server elsewhere that need not prove who it is; nothing of it is repeated."""
    with pytest.raises(InvalidInput, match=said) as caught:
        read_dsn(dsn_file(tmp_path, content))
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"
    assert "verify-full" in caught.value.hint


@pytest.mark.parametrize("name", ["PGHOST", "PGSERVICE"])
def test_what_the_environment_says_of_the_server_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The driver goes by it where the string names no host: then too a server elsewhere must prove who it is."""
    monkeypatch.setenv(name, "db.example")
    with pytest.raises(InvalidInput, match="verify-full"):
        read_dsn(dsn_file(tmp_path, "postgresql:///kme"))
    read_dsn(dsn_file(tmp_path, "postgresql:///kme?sslmode=verify-full"))


def test_the_file_of_the_connection_string_is_its_owner_s_alone(tmp_path: Path) -> None:
    """Others could read the password, or put another server in its place; without the file nothing starts."""
    for mode in (0o640, 0o604, 0o602):
        with pytest.raises(InvalidInput, match="others"):
            read_dsn(dsn_file(tmp_path, "postgresql:///kme", mode))
    with pytest.raises(MissingInput):
        read_dsn(tmp_path / "absent")


@given(parts=st.lists(st.text(alphabet="a =,()", max_size=5), min_size=1, max_size=12))
def test_values_are_numbered_from_left_to_right(parts: list[str]) -> None:
    """Each `?` becomes the next number, and nothing else changes."""
    told = numbered("?".join(parts))
    for n in range(len(parts) - 1, 0, -1):
        head, mark, tail = told.rpartition(f"${n}")
        assert mark
        told = f"{head}?{tail}"
    assert told == "?".join(parts)


async def refusal(dsn: str) -> KeystrandError:
    """Return why a store cannot be opened."""
    with pytest.raises(KeystrandError) as caught:
        await open_postgres(dsn, "one", QUIET_S)
    return caught.value


@pytest.mark.system
@in_loop
async def test_a_server_that_loses_what_it_commits_is_refused(shared: PostgresPlace) -> None:
    """With fsync off a key could be given twice after a power cut."""
    await shared.look("ALTER SYSTEM SET fsync = off")
    await shared.look("SELECT pg_reload_conf()")
    try:
        for _ in range(100):
            refused = await refusal(shared.dsn) if await _setting(shared, "fsync") == "off" else None
            if refused:
                break
            await asyncio.sleep(0.05)
        assert refused
        assert "fsync is off" in refused.message
    finally:
        await shared.look("ALTER SYSTEM RESET fsync")
        await shared.look("SELECT pg_reload_conf()")
    for _ in range(100):
        if await _setting(shared, "fsync") == "on":
            return
        await asyncio.sleep(0.05)


async def _setting(place: PostgresPlace, name: str) -> str:
    ((value,),) = await place.look(f"SHOW {name}")
    return str(value)


@pytest.mark.system
@in_loop
async def test_a_database_that_cannot_be_used_is_said(shared: PostgresPlace) -> None:
    """No server there, no such database, no schema, a string that makes no sense: it says what, without secrets."""
    place = shared.dsn.partition("?")[0]
    for dsn, said in (
        ("postgresql://kme:hunter2@127.0.0.1:1/kme", "cannot be used"),
        (place.replace("/postgres", "/absent"), "absent"),
        (f"{place}?search_path=nowhere", "no schema"),
        (f"{place.replace('127.0.0.1', 'kme:hunter2@127.0.0.1:x')}", "cannot be used"),
    ):
        refused = await refusal(dsn)
        assert said in refused.message
        assert "hunter2" not in f"{refused.message} {refused.hint}"
        assert "\n" not in refused.message


@pytest.mark.system
@in_loop
async def test_another_encoding_is_refused(shared: PostgresPlace) -> None:
    """Names of SAEs are UTF-8."""
    name = f"latin_{shared.schema}"
    await shared.look(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    assert "LATIN1" in (await refusal(shared.dsn.partition("?")[0].replace("/postgres", f"/{name}"))).message


@pytest.mark.system
@in_loop
async def test_the_server_is_asked_for_durability(shared: PostgresPlace, clock: Clock) -> None:
    """Whatever its defaults: commits wait for the disk, a transaction sees what was committed before each statement."""
    await shared.look("ALTER DATABASE postgres SET synchronous_commit = off")
    await shared.look("ALTER DATABASE postgres SET default_transaction_isolation = 'repeatable read'")
    try:
        async with opened(shared, clock) as store:
            found = await store.committer.do(
                lambda tx: tx.row(
                    "SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation')"
                )
            )
            assert found == ("on", "read committed")
    finally:
        await shared.look("ALTER DATABASE postgres RESET ALL")


@pytest.mark.system
@in_loop
async def test_texts_are_compared_by_their_octets(shared: PostgresPlace, clock: Clock) -> None:
    """No rules of a language, which change with the system and would break an index; as in SQLite."""
    async with opened(shared, clock):
        rows = await shared.look(
            "SELECT column_name, collation_name FROM information_schema.columns"  # noqa: S608  # a name of our own
            f" WHERE table_schema = '{shared.schema}' AND data_type = 'text'"
        )
    assert rows
    assert {collation for _, collation in rows} == {"C"}
    assert len(rows) == sum(statement.count(" TEXT") for statement in TABLES)


@pytest.mark.system
@in_loop
async def test_what_the_server_would_refuse_is_refused_before(shared: PostgresPlace, clock: Clock) -> None:
    """A NUL in a text is the caller's mistake and costs nobody else anything."""
    async with opened(shared, clock) as store:
        with pytest.raises(InvalidInput, match="NUL"):
            await store.committer.do(lambda tx: tx.rows("SELECT 1 FROM meta WHERE name = ?", "a\0b"))
        await write(store, holding())
        session = await store.reader()
        with pytest.raises(InvalidInput):
            await store.holdings.listed(session, sae="a\0b")


@pytest.mark.system
@in_loop
async def test_a_reader_changes_nothing(shared: PostgresPlace, clock: Clock) -> None:
    """What is outside of the transaction cannot write."""
    async with opened(shared, clock) as store:
        with pytest.raises(StoreFailure, match="read-only"):
            await (await store.reader()).run("DELETE FROM meta")


@pytest.mark.system
@in_loop
async def test_readers_do_not_get_in_each_other_s_way(shared: PostgresPlace, clock: Clock) -> None:
    """Many ask at the same moment, and some give up: the others get their own answers."""
    async with opened(shared, clock) as store:
        session = await store.reader()
        asks = [asyncio.create_task(session.row("SELECT ?::bigint", n)) for n in range(50)]
        await asyncio.sleep(0)
        for one in asks[::5]:
            one.cancel()
        found = await asyncio.gather(*asks, return_exceptions=True)
        assert [row for n, row in enumerate(found) if n % 5] == [(n,) for n in range(50) if n % 5]


@pytest.mark.system
@in_loop
async def test_a_connection_that_is_lost_ends_the_process(shared: PostgresPlace, clock: Clock) -> None:
    """Whichever of the two: nothing is served any more, and it is known within a beat though nobody asks."""
    shared.lease_s = 1.5
    for at in range(2):
        async with opened(shared, clock) as store:
            held = await shared.look(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'keystrand only' ORDER BY backend_start"
            )
            await shared.look(f"SELECT pg_terminate_backend({held[at][0]}, 5000)")
            async with asyncio.timeout(30):
                failure = await asyncio.shield(store.committer.failed)
            assert "key store failed" in failure.message
            with pytest.raises(StoreFailure):
                await write(store, holding())


@pytest.mark.system
def test_what_was_answered_outlives_the_server_s_crash(postgres: PostgresServer, tmp_path: Path) -> None:
    """Every connection ends at once without a word; what was committed before is there afterwards."""
    place, clock = PostgresPlace(tmp_path, postgres), Clock()
    kept: list[str] = []

    async def run() -> None:
        async with opened(place, clock) as store:
            for _ in range(50):
                one = holding()
                await write(store, one)
                kept.append(one.order_id)
            postgres.crash()
            with pytest.raises(StoreFailure):
                await write(store, holding())

    asyncio.run(run())
    postgres.start()
    rows = postgres.run(f"SELECT order_id FROM {place.schema}.holding")  # noqa: S608  # a name of our own
    assert {order_id for (order_id,) in rows} == set(kept)

    async def again() -> None:
        async with opened(place, clock) as store:
            await write(store, holding())

    asyncio.run(again())
