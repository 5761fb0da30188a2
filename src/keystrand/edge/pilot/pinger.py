"""A program that sends ICMP echo requests at a steady pace and writes down when each was sent and answered.

    python -m keystrand.edge.pilot.pinger HOST PER_S FILE [SOURCE]

Not ping(8): that sends 100 a second and no more as soon as an answer takes longer than 10 ms or none comes, its numbers
start again at 65,536, and it does not say when it sent what was lost. A request that the kernel refuses to send, such
as by a guard, was tried, and has no answer. Raw sockets need root. RFC 792.
"""

import os
import secrets
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

RECORD = "<qd"
"""One line of the file: the number of a request, negative for its answer, and the moment (seconds since 1970)."""
_REQUEST, _REPLY = 8, 0
_HEADER = struct.Struct("!BBHHH")
_NUMBER = struct.Struct("!Q")
_OCTETS = 56
"""Of data, as ping(8) sends: 84 octets with the headers."""
_BEHIND_S = 0.1
"""Who was asleep longer than this does not send all at once what he has missed."""
_SO_RCVBUFFORCE = 33
_ROOM = 4 << 20
"""Octets of answers that may wait for us: thousands, so that a busy machine loses none that came."""
_STAMP = struct.Struct("@qq")
_SO_TIMESTAMPNS = 35


def _checksum(octets: bytes) -> int:
    """Return the checksum of RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class _Echo:
    """Echo requests of our own: 16 random octets tell their answers from those of others."""

    def __init__(self, host: str, source: str) -> None:
        self._line = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._line.settimeout(0)
        self._line.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._line.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        if source:
            self._line.bind((source, 0))
        # not connected: the source address shall be that of the route as it is at the moment
        self._host, self._mark, self._id = host, secrets.token_bytes(16), os.getpid() & 0xFFFF

    def send(self, number: int) -> None:
        """Send one; what the kernel refuses has no answer."""
        data = (self._mark + _NUMBER.pack(number)).ljust(_OCTETS, b"\0")
        words = (_REQUEST, 0, 0, self._id, number & 0xFFFF)
        checksum = _checksum(_HEADER.pack(*words) + data)
        with suppress(OSError):
            self._line.sendto(_HEADER.pack(_REQUEST, 0, checksum, *words[3:]) + data, (self._host, 0))

    def wait(self, seconds: float) -> None:
        """Wait for an answer, so long at most."""
        select.select((self._line,), (), (), seconds)

    def answers(self) -> Iterator[tuple[int, float]]:
        """Yield the number of every answer that came, and when it did, by the kernel."""
        with suppress(BlockingIOError):
            while True:
                packet, notes, _flags, _address = self._line.recvmsg(2048, 256)
                icmp = packet[(packet[0] & 0xF) * 4 :]
                data = icmp[_HEADER.size :]
                if icmp[0] == _REPLY and data[:16] == self._mark:
                    whole, nano = _STAMP.unpack(notes[0][2])
                    yield _NUMBER.unpack_from(data, 16)[0], whole + nano * 1e-9


def _ping(echo: _Echo, interval_s: float, out: BinaryIO) -> None:
    number, next_s = 0, time.time()
    while True:
        now_s = time.time()
        if now_s - next_s > _BEHIND_S:
            next_s = now_s
        while next_s <= now_s:
            number += 1
            out.write(struct.pack(RECORD, number, time.time()))
            echo.send(number)
            next_s += interval_s
        echo.wait(max(next_s - time.time(), 0.0))
        for answered, at_s in echo.answers():
            out.write(struct.pack(RECORD, -answered, at_s))


def main(words: list[str]) -> None:
    """Send until it is ended."""
    host, per_s, file, *source = words
    with Path(file).open("ab", buffering=0) as out:
        _ping(_Echo(host, *source or ("",)), 1 / float(per_s), out)


if __name__ == "__main__":
    main(sys.argv[1:])
