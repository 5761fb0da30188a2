"""The scheduler: who is contacted, how gently, and that every target ends with a reason."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from keystrand.edge.estate_folder import load_estate
from keystrand.edge.probes import scheduler
from keystrand.edge.probes.base import MAX_RECEIVED, Answer, Job, attempt, unanswered
from keystrand.edge.probes.scheduler import planned, scan
from keystrand.model.errors import InvalidInput
from keystrand.model.estate import Estate, ProbeKind, Scan, Target
from keystrand.model.observation import Attempt, Outcome, Record

EXAMPLE = Path(__file__).parents[3] / "examples" / "regional-bank"


class Hello:
    """Says hello and is content with any two octets."""

    def __init__(self) -> None:
        self.done, self.heard = False, b""

    def begin(self) -> bytes:
        """Say hello."""
        return b"hello"

    def receive(self, octets: bytes) -> bytes:
        """Listen."""
        self.heard += octets
        self.done = self.heard.startswith(b"hi")
        return b""


class HelloProbe:
    """Asks as often as it is told to, one connection each."""

    kind: ClassVar[ProbeKind] = ProbeKind.TLS

    def __init__(self, jobs: int = 1) -> None:
        self._jobs = jobs

    def plan(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Job, ...]:
        """Plan one round."""
        job = Job("hello?", target.host or "", target.port or 0, Hello)
        return () if answers else (job,) * self._jobs

    def judge(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Record, ...]:
        """Be content if anybody answered."""
        if any(answer.conversation.done for answer in answers):
            return (attempt(target, Outcome.SEEN),)
        return (unanswered(target, answers),)


@pytest.fixture
def hello(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Put the hello probe in the TLS probe's place, with as many jobs as asked."""

    def use(jobs: int = 1) -> None:
        monkeypatch.setattr(scheduler, "NETWORK_PROBES", {ProbeKind.TLS: HelloProbe(jobs)})

    use()
    return use


@contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on a free loopback port and treat each connection as `behave` says, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:

        def attend(connection: socket.socket) -> None:
            with connection:
                behave(connection)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=attend, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def estate_of(*targets: Target, **limits: Any) -> Estate:
    """Return the example with other targets and limits."""
    estate = load_estate(EXAMPLE).estate
    return msgspec.structs.replace(estate, target=targets, scan=Scan(**({"timeout_s": 1.0} | limits)))


def tls_target(port: int, name: str = "t", host: str = "127.0.0.1") -> Target:
    """Return a target of the hello probe."""
    return Target(id=name, probe=ProbeKind.TLS, system="core-ledger", host=host, port=port)


def look(estate: Estate, folder: Path, **more: Any) -> tuple[Attempt, ...]:
    """Scan and return the attempts."""
    records = asyncio.run(scan(estate, folder, sink=lambda _: None, **more))
    return tuple(record for record in records if isinstance(record, Attempt))


def _friendly(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(b"hi")


def _silent(connection: socket.socket) -> None:
    connection.recv(100)
    connection.recv(1)


def _flood(connection: socket.socket) -> None:
    connection.recv(100)  # a close with octets unread would be a reset
    try:
        for _ in range(MAX_RECEIVED // 1000 + 100):
            connection.sendall(b"x" * 1000)
        connection.recv(1)
    except OSError:
        return


def _reset(connection: socket.socket) -> None:
    connection.recv(100)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.usefixtures("hello")
@pytest.mark.parametrize(
    ("behave", "outcome", "reason"),
    [
        (_friendly, Outcome.SEEN, ""),
        (_silent, Outcome.TIMED_OUT, "no answer within 1 s"),
        (lambda c: c.recv(100), Outcome.UNREADABLE, "the other side closed the connection"),
        (_reset, Outcome.UNREADABLE, "connection reset"),
        (_flood, Outcome.UNREADABLE, f"more than {MAX_RECEIVED} octets came"),
    ],
    ids=["friendly", "silent", "closes", "resets", "floods"],
)
def test_every_target_ends_with_a_reason(
    behave: Callable[[socket.socket], None], outcome: Outcome, reason: str, tmp_path: Path
) -> None:
    """Whatever a server does, its target ends in one attempt that says how."""
    with serving(behave) as port:
        (ended,) = look(estate_of(tls_target(port)), tmp_path)
    assert (ended.outcome, ended.reason) == (outcome, reason)


@pytest.mark.usefixtures("hello")
def test_a_closed_port_is_unreachable(tmp_path: Path) -> None:
    """Nobody listens: unreachable, which says nothing about cryptography."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (ended,) = look(estate_of(tls_target(port)), tmp_path)
    assert (ended.outcome, ended.reason) == (Outcome.UNREACHABLE, "connection refused")


@pytest.mark.usefixtures("hello")
def test_every_address_of_a_name_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with an address where nobody listens and one where somebody does is reached."""
    real = asyncio.BaseEventLoop.getaddrinfo

    async def two(loop: Any, host: str, port: int, **more: Any) -> Any:
        dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", port))
        return [dead, *(await real(loop, "127.0.0.1" if host == "two.local" else host, port, **more))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", two)
    with serving(_friendly) as port:
        (ended,) = look(estate_of(tls_target(port, host="two.local")), tmp_path)
    assert ended.outcome is Outcome.SEEN


@contextmanager
def black_hole(port: int = 0) -> Iterator[socket.socket]:
    """Listen on 127.0.0.2 with a full queue that nobody empties: whoever connects waits, as behind a firewall."""
    with socket.create_server(("127.0.0.2", port), backlog=0) as full, socket.socket() as one, socket.socket() as two:
        for filling in (one, two):
            filling.setblocking(False)  # noqa: FBT003 - the library gives it no name
            filling.connect_ex(full.getsockname())
        yield full


@pytest.mark.usefixtures("hello")
def test_an_address_that_swallows_connections_does_not_hide_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name whose first address never answers, as where IPv6 is broken, is reached at its second."""

    async def two(_loop: Any, _host: str, port: int, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.2", "127.0.0.1")]

    with serving(_friendly) as port, black_hole(port):
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", two)
        (ended,) = look(estate_of(tls_target(port, host="two.local"), timeout_s=0.5), tmp_path)
    assert ended.outcome is Outcome.SEEN


@pytest.mark.usefixtures("hello")
def test_no_connection_in_time_is_timed_out(tmp_path: Path) -> None:
    """A port that swallows connections is timed out, and the reason says that there never was a connection."""
    with black_hole() as full:
        target = tls_target(full.getsockname()[1], host="127.0.0.2")
        (ended,) = look(estate_of(target, timeout_s=0.5), tmp_path)
    assert (ended.outcome, ended.reason) == (Outcome.TIMED_OUT, "no connection within 0.5 s")


@pytest.mark.usefixtures("hello")
@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".com"])
def test_a_name_that_dns_cannot_hold_spares_the_others(host: str, tmp_path: Path) -> None:
    """It ends as unreachable, and the rest of the scan goes on."""
    with serving(_friendly) as port:
        ended = look(estate_of(tls_target(port, "a", host), tls_target(port, "b")), tmp_path)
    assert [one.outcome for one in ended] == [Outcome.UNREACHABLE, Outcome.SEEN]


@pytest.mark.usefixtures("hello")
def test_a_reserved_name_is_never_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names under .example, .test and .invalid end as unreachable without asking anybody."""

    async def refuse(*_: Any, **__: Any) -> Any:
        pytest.fail("a reserved name was looked up")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", refuse)
    targets = [tls_target(443, f"t{n}", host) for n, host in enumerate(("a.example", "b.TEST", "c.invalid."))]
    ended = look(estate_of(*targets), tmp_path)
    assert {one.outcome for one in ended} == {Outcome.UNREACHABLE}
    assert all("RFC 6761" in one.reason for one in ended)


@pytest.mark.usefixtures("hello")
def test_a_map_leads_a_named_target_and_no_other(tmp_path: Path) -> None:
    """The demonstration's map works for what the estate names; one for anything else is refused."""
    estate = estate_of(tls_target(443, host="a.example"))
    with serving(_friendly) as port:
        (ended,) = look(estate, tmp_path, connect_to={("a.example", 443): ("127.0.0.1", port)})
        assert ended.outcome is Outcome.SEEN
        with pytest.raises(InvalidInput, match=r"does not name b\.example:443"):
            look(estate, tmp_path, connect_to={("b.example", 443): ("127.0.0.1", port)})


def test_a_host_never_sees_more_connections_than_allowed(hello: Callable[[int], None], tmp_path: Path) -> None:
    """Many targets on one host share its cap, and all of them are answered."""
    hello(3)
    open_now, most, guard = 0, 0, threading.Lock()

    def count(connection: socket.socket) -> None:
        nonlocal open_now, most
        with guard:
            open_now += 1
            most = max(most, open_now)
        connection.recv(100)
        threading.Event().wait(0.02)
        with guard:
            open_now -= 1
        connection.sendall(b"hi")

    with serving(count) as port:
        targets = [tls_target(port, f"t{n}") for n in range(8)]
        ended = look(estate_of(*targets, connections_per_host=2, connections_per_s=5000), tmp_path)
    assert len(ended) == 8
    assert {one.outcome for one in ended} == {Outcome.SEEN}
    assert 1 <= most <= 2


@pytest.mark.usefixtures("hello")
def test_connections_begin_no_faster_than_allowed(tmp_path: Path) -> None:
    """Ten connections at 50 a second take at least nine fiftieths of a second by the loop's own clock."""
    begun: list[float] = []

    def note(connection: socket.socket) -> None:
        begun.append(0.0)
        _friendly(connection)

    async def timed(estate: Estate) -> float:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await scan(estate, tmp_path, sink=lambda _: None)
        return loop.time() - begin

    with serving(note) as port:
        targets = [tls_target(port, f"t{n}") for n in range(10)]
        took = asyncio.run(timed(estate_of(*targets, connections_per_host=8, connections_per_s=50)))
    assert len(begun) == 10
    assert took >= 9 / 50


@pytest.mark.usefixtures("hello")
def test_an_interrupted_scan_keeps_what_it_saw(tmp_path: Path) -> None:
    """Cancelled while one server is silent, the scan has already handed over what the other said."""
    saw: list[Record] = []

    async def interrupted(estate: Estate) -> None:
        first = asyncio.Event()

        def keep(record: Record) -> None:
            saw.append(record)
            first.set()

        running = asyncio.create_task(scan(estate, tmp_path, sink=keep))
        await first.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    with serving(_friendly) as friendly, serving(_silent) as silent:
        asyncio.run(interrupted(estate_of(tls_target(friendly, "a"), tls_target(silent, "b"), timeout_s=30)))
    assert [record.target for record in saw] == ["a"]


@pytest.mark.usefixtures("hello")
def test_records_come_in_one_order(tmp_path: Path) -> None:
    """The order of the answers does not show in the result, and progress counts every target once."""
    told: list[tuple[int, int]] = []
    with serving(_friendly) as port:
        targets = [tls_target(port, name) for name in ("c", "a", "b")]
        ended = look(estate_of(*targets), tmp_path, progress=lambda done, total: told.append((done, total)))
    assert [one.target for one in ended] == ["a", "b", "c"]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_plan_is_what_the_estate_names() -> None:
    """`--plan` lists each target once, with the place observations will carry."""
    estate = load_estate(EXAMPLE).estate
    contacts = planned(estate)
    assert [contact.target for contact in contacts] == [target.id for target in estate.target]
    assert all(contact.place.startswith(("tls://", "ssh://", "file:")) for contact in contacts)


class FailingProbe(HelloProbe):
    """Fails on the target called `bad`, with a message that may hold anything."""

    def judge(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Record, ...]:
        """Fail as a library does on damaged octets."""
        if target.id == "bad":
            raise KeyError("octets of the other side")
        return super().judge(target, answers)


class FailingTalk(Hello):
    """A conversation that breaks its promise not to raise."""

    def receive(self, octets: bytes) -> bytes:
        """Fail."""
        raise TypeError(octets)


class FailingTalkProbe(HelloProbe):
    """Fails while it talks to the target called `bad`."""

    def plan(self, target: Target, answers: tuple[Answer, ...]) -> tuple[Job, ...]:
        """Plan one round."""
        jobs = super().plan(target, answers)
        return tuple(job._replace(start=FailingTalk) for job in jobs) if target.id == "bad" else jobs


@pytest.mark.parametrize(("probe", "error"), [(FailingProbe(), "KeyError"), (FailingTalkProbe(), "TypeError")])
def test_a_probe_that_raises_costs_its_own_target_only(
    probe: HelloProbe, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its target ends in exactly one attempt that names the error's type and nothing else; the others are seen."""
    monkeypatch.setattr(scheduler, "NETWORK_PROBES", {ProbeKind.TLS: probe})
    saw: list[Record] = []
    with serving(_friendly) as port:
        estate = estate_of(*(tls_target(port, name) for name in ("a", "bad", "c")))
        records = asyncio.run(scan(estate, tmp_path, sink=saw.append))
    assert [(r.target, r.outcome) for r in records if isinstance(r, Attempt)] == [
        ("a", Outcome.SEEN), ("bad", Outcome.UNPARSABLE), ("c", Outcome.SEEN),
    ]  # fmt: skip
    assert len(records) == len(saw) == 3
    assert records[1].reason == f"the probe failed on what it found: {error}"  # type: ignore[union-attr]  # an attempt
