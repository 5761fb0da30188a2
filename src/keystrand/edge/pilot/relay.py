"""A program that carries frames between two devices, each some time after it came: delay where the kernel has no netem.

    python -m keystrand.edge.pilot.relay DEVICE DEVICE DELAY_S TABLE CHAIN

It runs in the namespace of the carrier. While it runs, a rule in CHAIN keeps the kernel from carrying the same frames;
packet sockets see them before nft does. What comes in the milliseconds between that rule and the first look of ours is
lost. SIGTERM ends it in good order: the kernel carries again, and what is still under way arrives in its time. See
packet(7).
"""

import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from keystrand.edge.daemons import program, run

UP = "relay up"
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_SO_RCVBUFFORCE = 33
_ROOM = 16 << 20
"""Octets that may wait for us: 100 ms at 1 Gbit/s."""
_FRAME = 1 << 16
_BATCH = 64
"""Frames taken from one device before what is due is sent."""
_NICE = -15
"""So that a busy machine makes no delay longer."""


class _Way(NamedTuple):
    """A frame under way."""

    due_s: float
    to: socket.socket
    frame: bytes


def _packet_socket() -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.settimeout(0)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
    return made


def _taken(end: socket.socket) -> Iterator[bytes]:
    with suppress(BlockingIOError):
        for _ in range(_BATCH):
            frame, address = end.recvfrom(_FRAME)
            if address[2] != _PACKET_OUTGOING:
                yield frame


def _send_due(under_way: deque[_Way]) -> None:
    while under_way and under_way[0].due_s <= time.monotonic():
        way = under_way.popleft()
        with suppress(OSError):  # dropped by a rule, or by the queue of a slow device: that is what they are for
            way.to.send(way.frame)


def _carry(ends: tuple[socket.socket, socket.socket], delay_s: float, ending: list[int]) -> deque[_Way]:
    under_way: deque[_Way] = deque()
    while not ending:
        # select, not epoll: its timeout is in microseconds
        wait_s = max(under_way[0].due_s - time.monotonic(), 0.0) if under_way else 0.1
        for end in select.select(ends, (), (), wait_s)[0]:
            to = ends[end is ends[0]]
            now_s = time.monotonic()
            under_way.extend(_Way(now_s + delay_s, to, frame) for frame in _taken(end))
        _send_due(under_way)
    return under_way


def main(words: list[str]) -> None:
    """Carry until SIGTERM."""
    one, other, delay_s, table, chain = words
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: ending.append(number))
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    ends = _packet_socket(), _packet_socket()
    nft = program("nft", "nftables")
    run(nft, f"add rule netdev {table} {chain} drop")
    for end, device in zip(ends, (one, other), strict=True):
        end.bind((device, _ETH_P_ALL))
    print(UP, flush=True)  # noqa: T201 - the line that whoever starts us waits for
    under_way = _carry(ends, float(delay_s), ending)
    run(nft, f"flush chain netdev {table} {chain}")
    while under_way:
        time.sleep(max(under_way[0].due_s - time.monotonic(), 0.0))
        _send_due(under_way)


if __name__ == "__main__":
    main(sys.argv[1:])
