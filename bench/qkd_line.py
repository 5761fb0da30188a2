"""`python -m bench.qkd_line QBER FRAMES SEED PORT`: Alice of batched Cascade, in a process of her own.

Bob runs in the benchmark and reaches her over TCP through a relay that holds each piece back for half a round trip.
Both draw their frames from the seed, as a source would hand them out; the rest they learn by messages.
A message is its kind (1 octet) and its length (4), then a NumPy array as it lies.
"""

import queue
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import NamedTuple

import numpy as np

from bench.measure import Failed
from bench.peers.nginx import free_ports, wait_listening
from bench.qkd_frames import BITS, drawn
from keystrand.qkd.cascade import plan_for
from keystrand.qkd.cascade_party import Alice, Bob

_ASK, _TAGS = range(2)
"""Kinds of messages: queries and their parities, points and their tags."""
_HEAD = ">BI"
_END_S = 300.0
_PIECE = 1 << 16


class Shown(NamedTuple):
    """What came of it: frames that are not Alice's, round trips, and times."""

    wrong: int
    rounds: int
    seconds: float
    quickest_s: float
    slowest_s: float


def corrected(qber: float, *, frames: int, seed: int, round_trip_s: float) -> Shown:
    """Correct frames over a line of that round trip. Raises `Failed` where Alice does not run to the end."""
    (port,) = free_ports(1)
    words = [str(word) for word in (qber, frames, seed, port)]
    alice = subprocess.Popen([sys.executable, "-m", "bench.qkd_line", *words])  # noqa: S603  # our own words
    try:
        wait_listening(port, alice)
        with _relay(port, round_trip_s / 2) as line:
            shown = _bob(line, qber, frames, seed)
        if alice.wait(_END_S) != 0:
            raise Failed("Alice's process did not end well")
    except OSError as error:
        raise Failed(f"the line to Alice broke: {error}") from error
    finally:
        alice.kill()
        alice.wait()
    return shown


def _bob(line: socket.socket, qber: float, frames: int, seed: int) -> Shown:
    truth, own, points = drawn(qber, frames, seed)
    bob = Bob(plan_for(qber, BITS, seed, batched=True), own, batched=True)
    begin, took = time.monotonic(), []
    while len(queries := bob.ask()):
        asked = time.monotonic()
        _send(line, _ASK, queries.tobytes())
        bob.take(np.frombuffer(_receive(line)[1], dtype=np.uint8))
        took.append(time.monotonic() - asked)
    _send(line, _TAGS, np.array(points, dtype=np.uint64).tobytes())
    tags = [int(one) for one in np.frombuffer(_receive(line)[1], dtype=np.uint64)]
    seconds = time.monotonic() - begin
    results = bob.results(points, tags)
    wrong = sum(
        one.bits is None or not np.array_equal(one.bits, sent) for one, sent in zip(results, truth, strict=True)
    )
    return Shown(wrong, bob.rounds, seconds, min(took), max(took))


def _alice(qber: float, frames: int, seed: int, port: int) -> None:
    server = socket.create_server(("127.0.0.1", port))
    alice = Alice(plan_for(qber, BITS, seed, batched=True), drawn(qber, frames, seed)[0])
    while True:  # whoever only looks whether somebody listens says nothing
        line, _ = server.accept()
        with line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                kind, said = _receive(line)
            except Failed:
                continue
            while kind == _ASK:
                _send(line, _ASK, alice.answer(np.frombuffer(said, dtype=np.int32).reshape(-1, 3)).tobytes())
                kind, said = _receive(line)
            tags = alice.tags([int(point) for point in np.frombuffer(said, dtype=np.uint64)])
            _send(line, _TAGS, np.array(tags, dtype=np.uint64).tobytes())
            return


def _send(line: socket.socket, kind: int, message: bytes) -> None:
    line.sendall(struct.pack(_HEAD, kind, len(message)) + message)


def _receive(line: socket.socket) -> tuple[int, bytes]:
    kind, length = struct.unpack(_HEAD, _exactly(line, struct.calcsize(_HEAD)))
    return kind, _exactly(line, length)


def _exactly(line: socket.socket, octets: int) -> bytes:
    parts = bytearray()
    while len(parts) < octets:
        part = line.recv(octets - len(parts))
        if not part:
            raise Failed("the line ended")
        parts += part
    return bytes(parts)


def _relay(port: int, delay_s: float) -> socket.socket:
    """Return a connection to Alice whose octets arrive `delay_s` after they were sent, both ways."""
    near, far = socket.socketpair()
    alice = socket.create_connection(("127.0.0.1", port))
    alice.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for one, other in ((far, alice), (alice, far)):
        held: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        threading.Thread(target=_take, args=(one, held, delay_s), daemon=True).start()
        threading.Thread(target=_give, args=(other, held), daemon=True).start()
    return near


def _take(line: socket.socket, held: "queue.SimpleQueue[tuple[float, bytes]]", delay_s: float) -> None:
    part = b" "
    while part:
        try:
            part = line.recv(_PIECE)
        except OSError:
            part = b""
        held.put((time.monotonic() + delay_s, part))


def _give(line: socket.socket, held: "queue.SimpleQueue[tuple[float, bytes]]") -> None:
    while True:
        due, part = held.get()
        time.sleep(max(0.0, due - time.monotonic()))
        if not part:
            line.close()
            return
        try:
            line.sendall(part)
        except OSError:
            return


if __name__ == "__main__":
    _alice(float(sys.argv[1]), *(int(word) for word in sys.argv[2:]))
