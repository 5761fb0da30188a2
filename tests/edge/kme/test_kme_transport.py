"""The client's end: who is spoken to, what is sent and what is in doubt, on asyncio's loop and on uvloop's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace
from OpenSSL import SSL

from keystrand.edge import tls
from keystrand.edge.kme.channel import InDoubt, NotSent
from keystrand.edge.kme.connect import ANSWER_BYTES, PeerConnection, open_tls
from keystrand.edge.kme.server import HttpProtocol, Request, Response, Result
from keystrand.edge.kme.transport import Connections, Deadline, Limits, TlsServerProtocol
from keystrand.edge.pki import Algorithm, Credentials, Identity, Kind, Pki, issue, issue_pki, renew_crl, revoke
from keystrand.edge.tls import LiveContext, Peer
from keystrand.model.errors import InvalidInput, PeerUnavailable

NOW = datetime.now(UTC)
Run = Callable[[Awaitable[Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Return what runs a coroutine on one of the loops. No connection may be left over."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    async def bounded(coroutine: Awaitable[Any]) -> None:
        await asyncio.wait_for(coroutine, 60)
        # whoever was cut hears of it
        await asyncio.sleep(0.02)

    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda coroutine: runner.run(bounded(coroutine))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return a PKI with two KMEs."""
    folder = tmp_path_factory.mktemp("pki") / "made"
    return issue_pki(folder, kmes=["kme-a", "kme-b"], saes=["sae-a"], days=3, now=NOW)


def with_crl(pki: Pki, kind: Kind, name: str) -> Credentials:
    """Return a party's files with its authority's revocation list."""
    return replace(pki.of(kind, name), crl=pki.crl)


@asynccontextmanager
async def serving(
    context: Callable[[], SSL.Context],
    answer: Callable[[Peer, Request], Result],
    denied: Callable[[Peer], str] | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[str]:
    """Serve `answer` over TLS and give the URL."""
    limits = limits or Limits(goodbye_s=0.1)
    open_ones, running = Connections(limits), set[Any]()
    server = await asyncio.get_running_loop().create_server(
        lambda: TlsServerProtocol(
            context(), lambda: HttpProtocol(answer, limits, running, denied), limits, open_ones
        ),
        "127.0.0.1", 0,
    )  # fmt: skip
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
        for one in open_ones:
            one.abort()
        await asyncio.sleep(0.01)


def echo(peer: Peer, request: Request) -> Response:
    """Answer with who asked, the target and the body."""
    return Response(status=200, body=peer.identity.id.encode() + b" " + request.target + b" " + request.body)


def server_of(pki: Pki, name: str = "kme-b") -> Callable[[], SSL.Context]:
    """Return what gives a KME's server context."""
    context = tls.server_context(pki.of(Kind.KME, name))
    return lambda: context


def client_of(pki: Pki, kind: Kind = Kind.KME, name: str = "kme-a") -> Callable[[], SSL.Context]:
    """Return what gives a client context."""
    context = tls.client_context(pki.of(kind, name))
    return lambda: context


def test_exchanges_share_one_connection(pki: Pki, run: Run) -> None:
    """However many tasks ask at once, each gets its own answer, over one connection that was greeted once."""
    seen: list[bytes] = []

    def answer(peer: Peer, request: Request) -> Response:
        seen.append(request.target)
        return echo(peer, request)

    async def main() -> None:
        async with serving(server_of(pki), answer) as url:
            way = PeerConnection(url, client_of(pki), kme_id="kme-b")
            got = await asyncio.gather(*(way.exchange("POST", f"/{n}", b"%d" % n) for n in range(20)))
            assert got == [(200, b"kme-a /%d %d" % (n, n)) for n in range(20)]
            assert way.peer
            assert (way.peer.identity.id, way.peer.group, way.peer.post_quantum) == ("kme-b", "X25519MLKEM768", True)
            way.close()

    run(main())
    assert seen.count(b"/keystrand/v1/hello") == 1
    assert len(seen) == 21


def test_a_large_body_passes_both_ways(pki: Pki, run: Run) -> None:
    """A megabyte goes to a KME and comes back whole."""

    async def main() -> None:
        async with serving(server_of(pki), echo) as url:
            way = PeerConnection(url, client_of(pki))
            body = bytes(range(256)) * 4095
            assert await way.exchange("POST", "/keystrand/v1/x", body) == (200, b"kme-a /keystrand/v1/x " + body)
            way.close()

    run(main())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kme_id": "kme-c"}, "it is KME 'kme-b' and not 'kme-c'"),
        ({"host": "localhost"}, ""),
        ({"server": Kind.SAE}, "purpose"),
        ({"port": 1}, "cannot be reached"),
    ],
)
def test_only_the_kme_meant_is_spoken_to(pki: Pki, run: Run, changes: dict[str, Any], why: str) -> None:
    """Another KME, no KME, nobody: nothing is sent, and the error says why."""
    asked: list[Request] = []

    def answer(peer: Peer, request: Request) -> Response:
        asked.append(request)
        return echo(peer, request)

    async def main() -> None:
        name = "sae-a" if changes.get("server") else "kme-b"
        context = tls.server_context(pki.of(changes.get("server", Kind.KME), name))
        async with serving(lambda: context, answer) as url:
            host, port = changes.get("host", "127.0.0.1"), changes.get("port", url.rpartition(":")[2])
            way = PeerConnection(f"https://{host}:{port}", client_of(pki), kme_id=changes.get("kme_id", ""))
            if not why:
                assert (await way.exchange("GET", "/x"))[0] == 200
                asked.clear()
            else:
                with pytest.raises(NotSent, match=why):
                    await way.exchange("GET", "/x")
            way.close()

    run(main())
    assert asked == []


def test_a_classical_group_is_refused_before_anything_is_said(pki: Pki, run: Run) -> None:
    """Where post-quantum is required nothing is sent over a classical group; where it is not, it is."""
    context = tls.server_context(pki.of(Kind.KME, "kme-b"))
    # pyOpenSSL sets no groups by name; this leaves the server one curve
    context.set_tmp_ecdh(ec.SECP256R1())

    async def main() -> None:
        async with serving(lambda: context, echo) as url:
            strict = PeerConnection(url, client_of(pki))
            with pytest.raises(NotSent, match="ECDH-P-256 is not post-quantum"):
                await strict.exchange("GET", "/x")
            lenient = PeerConnection(url, client_of(pki), require_post_quantum=False)
            assert (await lenient.exchange("GET", "/x"))[0] == 200
            assert lenient.peer
            assert not lenient.peer.post_quantum
            lenient.close()

    run(main())


def test_a_client_that_the_server_refuses_has_sent_nothing(pki: Pki, tmp_path: Path, run: Run) -> None:
    """TLS 1.3 lets a client speak before its certificate was judged: only the greeting is lost with it."""
    stranger = issue_pki(tmp_path / "other", kmes=["kme-a"], saes=[], days=1, now=NOW).of(Kind.KME, "kme-a")
    posing = replace(stranger, ca=pki.ca)
    asked: list[Request] = []

    def answer(peer: Peer, request: Request) -> Response:
        asked.append(request)
        return echo(peer, request)

    async def main() -> None:
        context = tls.client_context(posing)
        async with serving(server_of(pki), answer) as url:
            with pytest.raises(NotSent, match="does not speak to us"):
                await PeerConnection(url, lambda: context).exchange("POST", "/keystrand/v1/assign", b"{}")

    run(main())
    assert asked == []


class Scripted(asyncio.Protocol):
    """A server that says `words` to each request but the greeting, and closes where they end with None."""

    def __init__(self, words: list[list[bytes | None]]) -> None:
        self._words = words

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Say the next words."""
        greeting = b" /keystrand/v1/hello " in data
        for word in [OK] if greeting else self._words.pop(0):
            if word is None:
                self._transport.close()
            else:
                self._transport.write(word)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def scripted(pki: Pki, words: list[list[bytes | None]]) -> AsyncIterator[PeerConnection]:
    """Serve `words` and give a connection to it."""
    limits = Limits(goodbye_s=0.1)
    context, open_ones = tls.server_context(pki.of(Kind.KME, "kme-b")), Connections(limits)
    server = await asyncio.get_running_loop().create_server(
        lambda: TlsServerProtocol(context, lambda: Scripted(words), limits, open_ones), "127.0.0.1", 0
    )
    way = PeerConnection(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", client_of(pki))
    try:
        yield way
    finally:
        way.close()
        server.close()
        for one in open_ones:
            one.abort()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([None], "closed"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", None], "closed"),
        ([b"HTTP/1.1 200 OK\r\n\r\nok", None], "no length"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"], "no length"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok"], ""),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], ""),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], "no length"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (ANSWER_BYTES + 1)], "too long"),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000], "too long"),
        ([b"no HTTP at all\r\n\r\n"], ""),
        ([b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"], ""),
        ([b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"], ""),
        ([], "too long"),
    ],
)
def test_an_answer_that_is_not_whole_or_not_clear_is_in_doubt(
    pki: Pki, run: Run, words: list[bytes | None], why: str
) -> None:
    """The request went out: whatever else comes back than one answer of known length, is doubt, and ends it."""

    async def main() -> None:
        async with scripted(pki, [words, [OK]]) as way:
            with pytest.raises(InDoubt, match=why or None):
                await way.exchange("POST", "/x", b"{}", timeout_s=10 if words else 0.3)
            # the next one is asked over a new connection, and gets its own answer
            assert await way.exchange("GET", "/y") == (200, b"ok")

    run(main())


@pytest.mark.parametrize(
    "after",
    [b"\r\n", b"x", OK, b"HTTP/1.1 404 Not", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" + OK, b"\x00"],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_what_follows_an_answer_is_given_to_nobody(pki: Pki, run: Run, after: bytes, at_once: bool) -> None:  # noqa: FBT001  # pytest passes it by name
    """Bytes after an answer end the connection: the answer counts, the next question gets its own."""
    first: list[bytes | None] = [OK + after] if at_once else [OK, after]
    two: bytes = OK.replace(b"ok", b"no")

    async def main() -> None:
        async with scripted(pki, [first, [two]]) as way:
            assert await way.exchange("GET", "/x") == (200, b"ok")
            await asyncio.sleep(0 if at_once else 0.05)
            assert await way.exchange("GET", "/y") == (200, b"no")

    run(main())


def test_an_answer_may_come_in_any_pieces(pki: Pki, run: Run) -> None:
    """One byte a record."""

    async def main() -> None:
        async with scripted(pki, [[bytes([byte]) for byte in OK], [OK]]) as way:
            assert await way.exchange("GET", "/x") == (200, b"ok")
            assert await way.exchange("GET", "/x") == (200, b"ok")

    run(main())


def test_a_connection_that_died_idle_is_replaced(pki: Pki, run: Run) -> None:
    """A server that closed meanwhile, or says so with its answer, costs a new handshake and no doubt."""
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

    async def main() -> None:
        async with scripted(pki, [[OK, None], [closing], [OK, None], [OK]]) as way:
            for wait_s in (0.0, 0.0, 0.05, 0.0):
                assert await way.exchange("GET", "/x") == (200, b"ok")
                await asyncio.sleep(wait_s)

    run(main())


def test_a_cancelled_exchange_leaves_no_answer_behind(pki: Pki, run: Run) -> None:
    """Who is cancelled while it waits ends the connection: the late answer reaches nobody."""
    release = asyncio.Event()

    async def main() -> None:
        async def slow(peer: Peer, request: Request) -> Response:
            if request.target == b"/slow":
                await release.wait()
            return echo(peer, request)

        async with serving(server_of(pki), slow) as url:
            way = PeerConnection(url, client_of(pki))
            task = asyncio.ensure_future(way.exchange("GET", "/slow"))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            release.set()
            assert await way.exchange("GET", "/next") == (200, b"kme-a /next ")
            way.close()

    run(main())


def test_closing_while_an_exchange_is_under_way_leaves_it_in_doubt(pki: Pki, run: Run) -> None:
    """`close` waits for nobody."""

    async def main() -> None:
        async with scripted(pki, [[], [OK]]) as way:
            task = asyncio.ensure_future(way.exchange("GET", "/x"))
            await asyncio.sleep(0.05)
            way.close()
            with pytest.raises(InDoubt, match="closed here"):
                await task
            assert await way.exchange("GET", "/y") == (200, b"ok")

    run(main())


class Bare(asyncio.Protocol):
    """A server that says `words` at once, and nothing more."""

    def __init__(self, words: bytes) -> None:
        self._words = words

    def connection_made(self, transport: Any) -> None:
        """Say them."""
        transport.write(self._words)


def test_a_server_that_does_not_shake_hands_costs_its_time_only(pki: Pki, run: Run) -> None:
    """Silence below TLS, and words that are no TLS: nothing is sent, within the time given."""

    async def main() -> None:
        for words in (b"", b"HTTP/1.1 200 OK\r\n\r\n"):
            server = await asyncio.get_running_loop().create_server(partial(Bare, words), "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(NotSent):
                await PeerConnection(f"https://127.0.0.1:{port}", client_of(pki)).exchange("GET", "/x", timeout_s=0.3)
            with pytest.raises(PeerUnavailable, match=r"127\.0\.0\.1"):
                await open_tls(client_of(pki)(), "127.0.0.1", port, asyncio.Protocol, limits=Limits(handshake_s=0.2))
            server.close()

    run(main())


def test_what_cannot_be_asked_is_refused_before(pki: Pki, run: Run) -> None:
    """A URL that is none, and a target with a line end in it, are the caller's mistakes."""

    async def main() -> None:
        for url in ("http://127.0.0.1:1", "https://", "https://h/x", "https://h?x"):
            with pytest.raises(InvalidInput):
                PeerConnection(url, client_of(pki))
        way = PeerConnection("https://127.0.0.1:1", client_of(pki))
        for target in ("x", "/x\r\nX: y", "/x y", "/\N{SNOWMAN}", ""):
            with pytest.raises(InvalidInput, match="not a path"):
                await way.exchange("GET", target)

    run(main())


# Files that change


def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path, run: Run) -> None:
    """New files count for the next connection at both ends; the open one goes on until then."""
    pki = issue_pki(tmp_path / "p", kmes=["kme-a", "kme-b"], saes=[], days=3, now=NOW)

    async def main() -> None:
        server = LiveContext(pki.of(Kind.KME, "kme-b"), server=True)
        client = LiveContext(pki.of(Kind.KME, "kme-a"), server=False)
        async with serving(server.current, echo) as url:
            way = PeerConnection(url, client.current)
            await way.exchange("GET", "/x")
            first = way.peer
            issue(pki, Identity(kind=Kind.KME, id="kme-b"), renew=True, days=1, now=NOW)
            assert server.refresh()
            assert not server.refresh()
            await way.exchange("GET", "/x")
            assert way.peer == first
            issue(pki, Identity(kind=Kind.KME, id="kme-a"), renew=True, days=1, now=NOW)
            assert client.refresh()
            await way.exchange("GET", "/x")
            assert first
            assert way.peer
            assert way.peer.identity == first.identity
            assert way.peer.fingerprint != first.fingerprint
            assert way.peer.serial != first.serial
            way.close()

    run(main())


def test_a_revoked_client_is_cut_at_its_next_request(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """After the list is reloaded an open connection gets a 401 and its end, and no new one is let in."""
    pki = issue_pki(tmp_path / "p", kmes=["kme-a", "kme-b"], saes=[], days=3, now=NOW)
    asked: list[bytes] = []

    def answer(peer: Peer, request: Request) -> Response:
        asked.append(request.target)
        return echo(peer, request)

    async def main() -> None:
        server = LiveContext(with_crl(pki, Kind.KME, "kme-b"), server=True)
        async with serving(server.current, answer, server.refusal_of) as url:
            way = PeerConnection(url, client_of(pki))
            assert (await way.exchange("GET", "/before"))[0] == 200
            revoke(pki, Identity(kind=Kind.KME, id="kme-a"), now=NOW)
            assert server.refresh()
            status, body = await way.exchange("GET", "/after")
            assert status == 401
            assert b"revoked" in body
            with pytest.raises(NotSent):
                await way.exchange("GET", "/again")

    run(main())
    assert asked == [b"/keystrand/v1/hello", b"/before"]
    assert (
        "the connection of urn:keystrand:kme:kme-a ends: the certificate of this connection was revoked" in caplog.text
    )
    assert "a handshake of 127.0.0.1 was refused: its certificate was revoked" in caplog.text


def test_a_revoked_server_is_asked_nothing_more(tmp_path: Path, run: Run) -> None:
    """A client whose list has changed opens a new connection, and that one is refused."""
    pki = issue_pki(tmp_path / "p", kmes=["kme-a", "kme-b"], saes=[], days=3, now=NOW)

    async def main() -> None:
        client = LiveContext(with_crl(pki, Kind.KME, "kme-a"), server=False)
        async with serving(server_of(pki), echo) as url:
            way = PeerConnection(url, client.current)
            assert (await way.exchange("GET", "/x"))[0] == 200
            revoke(pki, Identity(kind=Kind.KME, id="kme-b"), now=NOW)
            client.refresh()
            with pytest.raises(NotSent, match="its certificate was revoked"):
                await way.exchange("GET", "/x")

    run(main())


def test_files_that_do_not_load_leave_the_earlier_ones_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a renewal, a missing list, somebody else's certificate: a warning each, once, and the old context stays."""
    pki = issue_pki(tmp_path / "p", kmes=["kme-a", "kme-b"], saes=[], days=3, now=NOW)
    files, now_s = with_crl(pki, Kind.KME, "kme-a"), [0.0]
    live = LiveContext(files, server=True, own=Identity(kind=Kind.KME, id="kme-a"), clock=lambda: now_s[0])
    first = live.current()
    assert files.crl
    kept = {file: file.read_bytes() for file in (files.certificate, files.key, files.crl)}
    other = pki.of(Kind.KME, "kme-b")
    for change in (
        {files.key: other.key.read_bytes()},
        {files.certificate: other.certificate.read_bytes(), files.key: other.key.read_bytes()},
        {files.crl: b""},
        {files.crl: None},
    ):
        caplog.clear()
        for file, content in change.items():
            file.unlink()
            if content is not None:
                file.write_bytes(content)
        assert live.current() is first  # not looked at again within a second
        assert caplog.messages == []
        now_s[0] += 1.0
        assert live.current() is first
        now_s[0] += 1.0
        assert live.current() is first
        (message,) = caplog.messages
        assert "the earlier ones stay in force" in message
        for file, content in kept.items():
            file.write_bytes(content)
        assert live.refresh()
        first = live.current()
    with pytest.raises(InvalidInput, match="belongs to urn:keystrand:kme:kme-b"):
        LiveContext(other, server=True, own=Identity(kind=Kind.KME, id="kme-a"))


def test_a_list_that_ends_while_we_run_lets_nobody_in_until_it_is_renewed(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """An expired list is loaded, and refuses everybody; the renewed one is used without a restart."""
    pki = issue_pki(tmp_path / "p", kmes=["kme-a", "kme-b"], saes=[], days=90, now=NOW - timedelta(days=60))
    renew_crl(pki, days=1, now=NOW - timedelta(days=2))

    async def main() -> None:
        server = LiveContext(with_crl(pki, Kind.KME, "kme-b"), server=True)
        async with serving(server.current, echo) as url:
            way = PeerConnection(url, client_of(pki))
            with pytest.raises(NotSent):
                await way.exchange("GET", "/x")
            renew_crl(pki, now=NOW)
            server.refresh()
            assert (await way.exchange("GET", "/x"))[0] == 200
            way.close()

    run(main())
    assert "a handshake of 127.0.0.1 was refused: the revocation list of its authority has expired" in caplog.text


@pytest.mark.parametrize("server", Algorithm)
@pytest.mark.parametrize("client", Algorithm)
def test_any_mixture_of_signatures_shakes_hands(tmp_path: Path, run: Run, server: Algorithm, client: Algorithm) -> None:
    """ECDSA and ML-DSA, each at either end, over X25519MLKEM768."""
    pki = issue_pki(tmp_path / "p", kmes=[], saes=[], algorithm=Algorithm.ML_DSA_65, days=3, now=NOW)
    for name, algorithm in (("kme-a", client), ("kme-b", server)):
        issue(pki, Identity(kind=Kind.KME, id=name), algorithm=algorithm, days=2, now=NOW)

    async def main() -> None:
        async with serving(server_of(pki), echo) as url:
            way = PeerConnection(url, client_of(pki))
            assert (await way.exchange("GET", "/x"))[0] == 200
            assert way.peer
            assert way.peer.group == "X25519MLKEM768"
            way.close()

    run(main())


def test_a_deadline_that_is_moved_is_kept(run: Run) -> None:
    """The time set last counts, earlier or later than before; a cleared one never comes."""

    async def main() -> None:
        came: list[str] = []
        all_came = asyncio.Event()

        def came_late() -> None:
            came.append("late")
            all_came.set()

        early, late = Deadline(lambda: came.append("early")), Deadline(came_late)
        never = Deadline(lambda: came.append("never"))
        early.set(60)
        early.set(0.02)
        late.set(0.01)
        late.set(0.05)
        never.set(0.01)
        never.clear()
        await all_came.wait()
        assert came == ["early", "late"]
        late.set(0.01)
        late.cancel()
        await asyncio.sleep(0.03)
        assert came == ["early", "late"]

    run(main())
