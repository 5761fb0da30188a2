"""A hand-written IKE responder with additional and post-quantum exchanges; it reads with code that is its own."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

MARKER = bytes(4)
One = tuple[int, int, int | None]


class Request(NamedTuple):
    """An IKE_SA_INIT as a responder reads it, with code that is not the product's."""

    spi: bytes
    proposals: list[list[One]]
    group: int
    share: bytes
    notes: dict[int, bytes]


def read(datagram: bytes) -> Request:
    """Read what the probe sent; what does not fit the drawings of RFC 7296, section 3, fails the test."""
    octets = datagram.removeprefix(MARKER)
    (kind, version, exchange, flags, number, length) = struct.unpack_from(">BBBBII", octets, 16)
    assert (version, exchange, flags, number, length) == (0x20, 34, 8, 0, len(octets))
    at, proposals, group, share, notes = 28, list[list[One]](), 0, b"", dict[int, bytes]()
    while kind:
        following, _, size = struct.unpack_from(">BBH", octets, at)
        body = octets[at + 4 : at + size]
        if kind == 33:
            proposals = list(proposals_in(body))
        elif kind == 34:
            group, share = int.from_bytes(body[:2], "big"), body[4:]
        elif kind == 41:
            notes[int.from_bytes(body[2:4], "big")] = body[4 + body[1] :]
        kind, at = following, at + size
    assert at == len(octets)
    return Request(octets[:8], proposals, group, share, notes)


def proposals_in(body: bytes) -> Iterator[list[One]]:
    """Yield each proposal's transforms."""
    at = 0
    while at < len(body):
        _, _, size, _, _, _, count = struct.unpack_from(">BBHBBBB", body, at)
        inner, found = at + 8, list[One]()
        for _ in range(count):
            _, _, length, kind, _, number = struct.unpack_from(">BBHBBH", body, inner)
            bits = int.from_bytes(body[inner + 10 : inner + 12], "big") if length == 12 else None
            found.append((kind, number, bits))
            inner += length
        assert inner == at + size
        yield found
        at += size


def answer(spi: bytes, *payloads: tuple[int, bytes], responder: bytes = b"responds") -> bytes:
    """Return a response with these payloads."""
    body = b""
    for at, (_, content) in enumerate(payloads):
        following = payloads[at + 1][0] if at + 1 < len(payloads) else 0
        body += struct.pack(">BBH", following, 0, 4 + len(content)) + content
    head = spi + responder + bytes((payloads[0][0], 0x20, 34, 0x20)) + bytes(4) + struct.pack(">I", 28 + len(body))
    return head + body


def notify(kind: int, content: bytes = b"") -> tuple[int, bytes]:
    """Return a notification as a payload."""
    return 41, struct.pack(">BBH", 0, 0, kind) + content


def security(chosen: list[One]) -> tuple[int, bytes]:
    """Return the SA payload with one proposal."""
    body = b""
    for at, (kind, number, bits) in enumerate(chosen):
        attribute = b"" if bits is None else struct.pack(">HH", 0x800E, bits)
        more = 3 if at + 1 < len(chosen) else 0
        body += struct.pack(">BBHBBH", more, 0, 8 + len(attribute), kind, 0, number) + attribute
    return 33, struct.pack(">BBHBBBB", 0, 0, 8 + len(body), 1, 1, 0, len(chosen)) + body


def refusal_1(datagram: bytes) -> bytes:
    """Refuse Main Mode as a gateway does that is set up for version 2 alone."""
    note = struct.pack(">BBHIBBH", 0, 0, 12, 1, 1, 0, 14)
    head = datagram.removeprefix(MARKER)[:8] + b"responds" + bytes((11, 0x10, 5, 0)) + bytes(4)
    return head + struct.pack(">I", 28 + len(note)) + note


def saying(chosen: list[One], datagram: bytes) -> list[bytes]:
    """Answer an IKE_SA_INIT with a choice, whatever was offered."""
    octets = datagram.removeprefix(MARKER)
    return [answer(octets[:8], security(chosen)) if octets[17] == 0x20 else refusal_1(datagram)]


SHARES = {19: 64, 20: 96, 21: 132, 31: 32, 14: 256, 35: 800, 36: 1184, 37: 1568}


class Gateway:
    """A responder: what it accepts of each transform type, what it announces, and whether it wants its cookie back."""

    def __init__(
        self,
        accepts: dict[int, tuple[int, ...]],
        notes: tuple[int, ...] = (),
        *,
        cookie: bytes = b"",
        only_hybrid: bool = False,
    ) -> None:
        self.accepts, self.notes, self.cookie, self.only_hybrid = accepts, notes, cookie, only_hybrid
        self.requests: list[Request] = []

    def __call__(self, datagram: bytes) -> list[bytes]:
        """Answer one datagram, with the marker where it had one; version 1 is refused."""
        marker = MARKER if datagram.startswith(MARKER) else b""
        if datagram.removeprefix(MARKER)[17] == 0x10:
            return [marker + refusal_1(datagram)]
        request = read(datagram)
        self.requests.append(request)
        return [marker + self._answer(request)]

    def _answer(self, request: Request) -> bytes:
        if self.cookie and request.notes.get(16390) != self.cookie:
            return answer(request.spi, notify(16390, self.cookie), responder=bytes(8))
        chosen = next(filter(None, map(self._choice, request.proposals)), None)
        if chosen is None:
            return answer(request.spi, notify(14), responder=bytes(8))
        group = next(number for kind, number, _ in chosen if kind == 4)
        if request.group != group:
            return answer(request.spi, notify(17, struct.pack(">H", group)), responder=bytes(8))
        assert len(request.share) == SHARES[group]
        payloads = [security(chosen), (34, struct.pack(">HH", group, 0) + bytes(32)), (40, bytes(32))]
        payloads += [notify(kind) for kind in self.notes if kind in request.notes]
        payloads += [notify(16431, struct.pack(">HHH", 2, 4, 5))]
        return answer(request.spi, *payloads)

    def _choice(self, offer: list[One]) -> list[One] | None:
        chosen = []
        if self.only_hybrid and not any(number in (35, 36, 37) for _, number, _ in offer):
            return None
        for kind in sorted({one[0] for one in offer}):
            mine = self.accepts.get(kind, ())
            fitting = [one for number in mine for one in offer if one[:2] == (kind, number)]
            none = [one for one in offer if one[:2] == (kind, 0)]
            if not fitting and not none:
                return None
            chosen.append((fitting or none)[0])
        return chosen


CLASSICAL = {1: (20, 12), 2: (5,), 3: (12,), 4: (20, 31, 14)}
HYBRID = CLASSICAL | {6: (36,)}


def main_mode_answer(datagram: bytes, chosen: tuple[int, int, int, int], bits: int | None = None) -> list[bytes]:
    """Return what a gateway of version 1 answers: cipher, hash, method and group, and the cipher's key length."""
    octets = datagram.removeprefix(MARKER)
    if octets[17] != 0x10:
        return []
    attributes = (*enumerate(chosen, start=1), (11, 1), (12, 28800), *(((14, bits),) if bits else ()))
    transform = bytes((1, 1, 0, 0)) + b"".join(struct.pack(">HH", 0x8000 | k, v) for k, v in attributes)
    transform = struct.pack(">BBH", 0, 0, 4 + len(transform)) + transform
    proposal = struct.pack(">BBHBBBB", 0, 0, 8 + len(transform), 1, 1, 0, 1) + transform
    body = struct.pack(">BBHII", 0, 0, 12 + len(proposal), 1, 1) + proposal
    head = octets[:8] + b"responds" + bytes((1, 0x10, 2, 0)) + bytes(4)
    return [MARKER + head + struct.pack(">I", 28 + len(body)) + body]
