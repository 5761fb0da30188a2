"""Sessions over real sockets: whatever the peer or the wire does, both ends stop in a clear state."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

import msgspec
import pytest
from tests.edge.qkd_wire import Change, Wire
from tests.qkd.session_ends import PARAMETERS, ends, talk, with_security

from keystrand.edge import qkd_channel
from keystrand.edge.qkd_channel import Endpoint, connection, converse
from keystrand.model.errors import PeerUnavailable
from keystrand.qkd.session_states import Aborted, Done, State
from keystrand.qkd.session_wire import FRAME_OCTETS

WAIT_S, SILENCE_S = 10.0, 20.0
LAST = len(talk(*ends())) - 1
"""Number of the last frame of a session, Alice's delivery."""
Step = Callable[[str], None]
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def free_port() -> int:
    """Return a port nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def at(party: Any, endpoint: Endpoint, silence_s: float = SILENCE_S, on_step: Step | None = None) -> State:
    """Return how one end's session ended."""
    async with connection(endpoint, WAIT_S) as over:
        return await converse(party, over, silence_s, on_step)


async def over_wire(wire: Wire, port: int, on_step: Step | None, **given: Any) -> tuple[State, State]:
    """Return how both ends' sessions ended, Alice listening behind `wire`."""
    alice, bob = ends(**given)
    async with wire.running():
        return await asyncio.gather(
            at(alice, Endpoint("127.0.0.1", port, listen=True), on_step=on_step),
            at(bob, Endpoint("127.0.0.1", wire.port, listen=False)),
        )


def session(
    change: Change | None = None, delay_s: float = 0.0, on_step: Step | None = None, **given: Any
) -> tuple[Wire, State, State]:
    """Return the wire, and how a session over it ended at both ends."""
    port = free_port()
    wire = Wire(port, change, delay_s)
    return (wire, *asyncio.run(over_wire(wire, port, on_step, **given)))


def test_two_ends_over_a_socket() -> None:
    """Equal keys; every frame was on the wire once."""
    steps: list[str] = []
    wire, alice, bob = session(on_step=steps.append)
    assert steps == ["hello", "announcement", "test counts", "reconciliation", "confirmation"]
    assert isinstance(alice, Done)
    assert isinstance(bob, Done)
    assert alice.key == bob.key
    assert wire.frames == alice.account.messages == bob.account.messages


def test_fifty_milliseconds_there_and_back() -> None:
    """With the light of 5,000 km of fibre between them, batched correction needs some dozens of round trips."""
    parameters = with_security(frame_bits=1024, frames_in_flight=64)
    wire, alice, bob = session(delay_s=0.025, parameters=parameters)
    assert isinstance(alice, Done)
    assert isinstance(bob, Done)
    assert alice.key == bob.key
    assert alice.account.rounds <= 150
    assert wire.frames <= 2 * alice.account.rounds + 16


@pytest.mark.parametrize("last", [*range(7), 60, LAST - 3, LAST - 2, LAST - 1])
def test_wire_cut_at_each_step(last: int) -> None:
    """After some frames the wire is cut: nobody has a key, both say that the connection closed, at once."""
    _, alice, bob = session(lambda n, frame: None if n >= last else frame)
    for state in (alice, bob):
        assert isinstance(state, Aborted)
        assert "connection" in state.reason
    assert isinstance(alice, Aborted)
    assert not alice.in_doubt


def test_wire_cut_before_the_last_message() -> None:
    """Alice has delivered, Bob withholds and says so."""
    _, alice, bob = session(lambda n, frame: None if n >= LAST else frame)
    assert isinstance(alice, Done)
    assert isinstance(bob, Aborted)
    assert bob.in_doubt
    assert bob.block == alice.block


@pytest.mark.parametrize("index", [0, 2, 3, 30, LAST - 1])
@pytest.mark.parametrize("octet", [3, 4, 40, -1], ids=["length", "header", "message", "tag"])
def test_altered_on_the_wire(index: int, octet: int) -> None:
    """One octet, be it of the length: nobody has a key."""

    def change(n: int, frame: bytes) -> bytes:
        altered = bytearray(frame)
        altered[octet] ^= 1 if octet != 3 else 4  # a length that grows or shrinks by 4
        return bytes(altered) if n == index else frame

    port = free_port()
    wire = Wire(port, change)

    async def both() -> tuple[State, State]:
        alice, bob = ends()
        async with wire.running():
            return await asyncio.gather(
                at(alice, Endpoint("127.0.0.1", port, listen=True), 1.0),
                at(bob, Endpoint("127.0.0.1", wire.port, listen=False), 1.0),
            )

    for state in asyncio.run(both()):
        assert isinstance(state, Aborted)


async def _against(peer: Peer, silence_s: float) -> State:
    """Return how Alice's session with a peer of this kind ended."""
    alice, _ = ends()

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            hello = int.from_bytes(await reader.readexactly(4), "big")
            await reader.readexactly(hello)
            with suppress(OSError):
                await peer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(closing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        return await at(alice, Endpoint("127.0.0.1", port, listen=False), silence_s)
    finally:
        server.close()
        await asyncio.sleep(0.05)  # what the peer's side still has to close


async def _closes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _half_a_frame(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((100).to_bytes(4, "big") + b"x" * 50)
    await writer.drain()
    writer.close()


async def _length_alone(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((100).to_bytes(4, "big"))
    await writer.drain()
    writer.close()


async def _oversized(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((FRAME_OCTETS + 1).to_bytes(4, "big"))
    await writer.drain()
    await reader.read()


async def _empty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(bytes(4))
    await writer.drain()
    await reader.read()


async def _noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((100).to_bytes(4, "big") + b"x" * 100)
    await writer.drain()
    await reader.read()


async def _silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def _dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((100).to_bytes(4, "big"))
    for _number in range(8):
        writer.write(b"x")
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        (_closes, "closed the connection between frames"),
        (_half_a_frame, "in the middle of a frame"),
        (_length_alone, "in the middle of a frame"),
        (_oversized, "octets was announced"),
        (_empty, "a frame of 0 octets"),
        (_noise, "altered, replayed, reordered or cut"),
        (_silent, "silent for 0.5 s, waiting for hello"),
        (_dripping, "silent for 0.5 s"),
    ],
)
def test_peers_that_are_no_peer(peer: Peer, words: str) -> None:
    """Gone, silent, slow, noisy, half a frame or too long a one: an end says which, and has no key."""
    state = asyncio.run(_against(peer, 0.5))
    assert isinstance(state, Aborted)
    assert words in state.reason
    assert not state.in_doubt


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end."""
    return asyncio.run(work)


@pytest.mark.parametrize(("listen", "words"), [(True, "nobody connected"), (False, "nobody answers")])
def test_nobody_there(listen: bool, words: str) -> None:  # noqa: FBT001 - a test's parameter
    """An end that finds nobody gives up after the time it was given."""

    async def alone() -> None:
        async with connection(Endpoint("127.0.0.1", free_port(), listen), 0.3):
            raise AssertionError("there was somebody")

    with pytest.raises(PeerUnavailable, match=words):
        run(alone())


async def _frame_to(port: int, octets: bytes) -> bytes:
    """Send a frame where somebody listens; return all that is said until the connection closes."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        await asyncio.sleep(0.02)
    writer.write(octets)
    said = b"reset"
    with suppress(OSError):
        said = await reader.read()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return said


STRANGE = [b"", bytes(4), (100).to_bytes(4, "big") + b"x" * 100, b"\xff" * 8, (40).to_bytes(4, "big") + b"x"]


def test_strangers_cost_a_listener_nothing() -> None:
    """Who connects without the key, with noise or silence, hears no word; the peer behind them is let in."""
    port = free_port()

    async def all_of_them() -> tuple[State, State]:
        alice, bob = ends()
        silent = [asyncio.create_task(_frame_to(port, octets)) for octets in [*STRANGE, *[b""] * 20]]

        async def listener() -> State:
            known = Endpoint("127.0.0.1", port, listen=True)
            async with connection(known, WAIT_S, alice._wire.recognises) as over:
                heard = [task.result() for task in silent if task.done()]
                assert len(heard) >= 9
                assert set(heard) <= {b"", b"reset"}
                return await converse(alice, over, SILENCE_S)

        async def late() -> State:
            for done in islice(asyncio.as_completed(silent), 9):  # three of noise, and of 22 silent ones the first six
                await done
            return await at(bob, Endpoint("127.0.0.1", port, listen=False))

        states = await asyncio.gather(listener(), late())
        assert set(await asyncio.gather(*silent)) <= {b"", b"reset"}
        return states

    first, second = asyncio.run(all_of_them())
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert first.key == second.key


def test_too_many_forged_hellos(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tries are counted in the epsilon, so their number has an end; fewer are told of when nobody came."""
    noise = (100).to_bytes(4, "big") + b"x" * 100

    async def against(tries: int) -> None:
        port = free_port()
        tasks = [asyncio.create_task(_frame_to(port, noise)) for _ in range(tries)]
        try:
            async with connection(Endpoint("127.0.0.1", port, listen=True), 1.0, ends()[0]._wire.recognises):
                raise AssertionError("a stranger was let in")
        finally:
            await asyncio.gather(*tasks)

    monkeypatch.setattr(qkd_channel, "MOST_STRANGERS", 5)
    with pytest.raises(PeerUnavailable, match="5 connected without"):
        run(against(5))
    with pytest.raises(PeerUnavailable, match=r"nobody connected.* 4 without our authentication key"):
        run(against(4))


def test_why_nobody_answers() -> None:
    """A name that cannot be found, or a port nobody listens at, is told with the time that was waited."""

    async def alone() -> None:
        async with connection(Endpoint("127.0.0.1", free_port(), listen=False), 0.3):
            raise AssertionError("there was somebody")

    with pytest.raises(PeerUnavailable, match=r"nobody answers at .* within 0.3 s: Connection refused$"):
        run(alone())


def test_nobody_talks_to_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system takes the very port that is called for our own end, TCP connects it to itself."""
    port = free_port()
    own = partial(asyncio.open_connection, local_addr=("127.0.0.1", port))

    async def alone() -> None:
        async with connection(Endpoint("127.0.0.1", port, listen=False), 0.3):
            raise AssertionError("there was somebody")

    monkeypatch.setattr(asyncio, "open_connection", own)
    with pytest.raises(PeerUnavailable, match="nobody answers"):
        run(alone())


def test_port_in_use() -> None:
    """A port that is taken is an error, not a wait."""

    async def taken() -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            one.listen()
            async with connection(Endpoint("127.0.0.1", one.getsockname()[1], listen=True), 5.0):
                raise AssertionError("there was somebody")

    with pytest.raises(PeerUnavailable, match=r"cannot listen at .*: Address already in use$"):
        run(taken())


def test_mismatch_is_told_to_both() -> None:
    """Ends that want different frame sizes both say so."""
    _, alice, bob = session(bob=msgspec.structs.replace(PARAMETERS, frame_bits=8192))
    for state in (alice, bob):
        assert isinstance(state, Aborted)
        assert "frame_bits" in state.reason
