"""VICI, the interface by which strongSwan's charon is told and asked: one connection, commands one after the other.

Source: strongSwan, src/libcharon/plugins/vici/README.md, `Transport protocol`, `Packet layer`, `Message format`. A key
in a message goes from its `Secret` to the socket without a copy in between.
"""

import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import ConsumerFailure

Value = str | bytes | Secret | Sequence[str | bytes] | Mapping[str, "Value"]
Message = Mapping[str, Value]
Octets = bytes | memoryview
Told = dict[str, "str | list[str] | Told"]
"""What charon answers; octets that are no UTF-8 are replaced, for nothing but words is read here."""

TIMEOUT_S = 10.0
PACKET_MOST = 512 * 1024
"""README.md, `Transport protocol`: segments are at most 512 KB."""
_NAME_MOST, _VALUE_MOST = 0xFF, 0xFFFF
_DEPTH_MOST = 16


class _Packet(IntEnum):
    CMD_REQUEST = 0
    CMD_RESPONSE = 1
    CMD_UNKNOWN = 2
    EVENT_REGISTER = 3
    EVENT_UNREGISTER = 4
    EVENT_CONFIRM = 5
    EVENT_UNKNOWN = 6
    EVENT = 7


class _Element(IntEnum):
    SECTION_START = 1
    SECTION_END = 2
    KEY_VALUE = 3
    LIST_START = 4
    LIST_ITEM = 5
    LIST_END = 6


class Refused(ConsumerFailure):
    """charon understood the command and did not, or could not, do it."""


class Vici:
    """A connection to charon's socket. Raises `ConsumerFailure` where nobody answers there."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._line = socket.socket(socket.AF_UNIX)
        self._line.settimeout(timeout_s)
        try:
            self._line.connect(str(path))
        except OSError as error:
            self._line.close()
            raise self._failure(error) from error

    def command(self, name: str, message: Message | None = None) -> Told:
        """Return the answer to a command. Raises `Refused` where it says that it failed, `ConsumerFailure`."""
        self._send(_Packet.CMD_REQUEST, name, message or {})
        return self._answer(name)[0]

    def listed(self, name: str, event: str, message: Message | None = None) -> list[Told]:
        """Return the events that a command streams before its answer. Raises as `command` does."""
        self._send(_Packet.EVENT_REGISTER, event)
        if self._receive()[0] is not _Packet.EVENT_CONFIRM:
            raise ConsumerFailure(f"charon knows no event {event!r}", hint="strongSwan 5.9 or later is needed")
        self._send(_Packet.CMD_REQUEST, name, message or {})
        events = self._answer(name)[1]
        self._send(_Packet.EVENT_UNREGISTER, event)
        self._receive()
        return events

    def close(self) -> None:
        """End the connection."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, name: str) -> tuple[Told, list[Told]]:
        events = []
        while (packet := self._receive())[0] is _Packet.EVENT:
            events.append(packet[1])
        kind, told = packet
        if kind is not _Packet.CMD_RESPONSE:
            raise ConsumerFailure(f"charon knows no command {name!r}", hint="strongSwan 5.9 or later is needed")
        if told.get("success", "yes") != "yes":
            raise Refused(f"charon did not {name}: {told.get('errmsg') or 'it does not say why'}")
        return told, events

    def _send(self, kind: _Packet, name: str, message: Message | None = None) -> None:
        parts: list[Octets] = [struct.pack("!B", kind), _short(name), *_written(message or {})]
        try:
            self._line.sendall(struct.pack("!I", sum(map(len, parts))))
            for part in parts:
                self._line.sendall(part)
        except OSError as error:
            raise self._failure(error) from error

    def _receive(self) -> tuple[_Packet, Told]:
        size = int.from_bytes(self._exactly(4), "big")
        if not 0 < size <= PACKET_MOST:
            raise ConsumerFailure(f"{self._path}: what answers is not charon")
        content = self._exactly(size)
        try:
            kind = _Packet(content[0])
            at = 2 + content[1] if kind is _Packet.EVENT else 1
            return kind, read(content[at:])
        except (ValueError, IndexError) as error:
            raise ConsumerFailure(f"{self._path}: what answers is not charon: {error}") from error

    def _exactly(self, count: int) -> bytes:
        content = bytearray()
        try:
            while len(content) < count:
                more = self._line.recv(count - len(content))
                if not more:
                    raise ConsumerFailure(f"{self._path}: charon ended the connection")
                content += more
        except OSError as error:
            raise self._failure(error) from error
        return bytes(content)

    def _failure(self, error: OSError) -> ConsumerFailure:
        return ConsumerFailure(f"{self._path}: {error.strerror or error}", hint="is charon running, with its vici?")


def _short(name: str) -> bytes:
    octets = name.encode()
    if len(octets) > _NAME_MOST:
        raise ConsumerFailure(f"{name[:40]}... is too long a name for charon")
    return struct.pack("!B", len(octets)) + octets


def _long(value: str | bytes | Secret) -> tuple[bytes, Octets]:
    octets: Octets = value.view() if isinstance(value, Secret) else value.encode() if isinstance(value, str) else value
    if len(octets) > _VALUE_MOST:
        raise ConsumerFailure(f"a value of {len(octets)} octets is too long for charon")
    return struct.pack("!H", len(octets)), octets


def _written(message: Message) -> Iterator[Octets]:
    for name, value in message.items():
        if isinstance(value, Mapping):
            yield from (bytes([_Element.SECTION_START]), _short(name), *_written(value), bytes([_Element.SECTION_END]))
        elif isinstance(value, str | bytes | Secret):
            yield from (bytes([_Element.KEY_VALUE]), _short(name), *_long(value))
        else:
            yield from (bytes([_Element.LIST_START]), _short(name))
            for item in value:
                yield from (bytes([_Element.LIST_ITEM]), *_long(item))
            yield bytes([_Element.LIST_END])


class _Reading:
    """A message as it is read, element by element."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0
        self._sections: list[Told] = [{}]
        self._items: list[str] | None = None

    def whole(self) -> Told:
        while self._at < len(self._content):
            element = _Element(int.from_bytes(self._cut(1), "big"))
            if (self._items is None) is (element in (_Element.LIST_ITEM, _Element.LIST_END)):
                raise ValueError("a list begins or ends where it cannot")
            self._take(element)
            if not 0 < len(self._sections) <= _DEPTH_MOST:
                raise ValueError("sections begin or end where they cannot")
        if len(self._sections) != 1 or self._items is not None:
            raise ValueError("the message is cut short")
        return self._sections[0]

    def _take(self, element: _Element) -> None:
        match element:
            case _Element.SECTION_START:
                inner: Told = {}
                self._sections[-1][self._text(1)] = inner
                self._sections.append(inner)
            case _Element.SECTION_END:
                self._sections.pop()
            case _Element.KEY_VALUE:
                name = self._text(1)
                self._sections[-1][name] = self._text(2)
            case _Element.LIST_START:
                self._items = []
                self._sections[-1][self._text(1)] = self._items
            case _Element.LIST_ITEM if self._items is not None:
                self._items.append(self._text(2))
            case _Element.LIST_END:
                self._items = None

    def _text(self, width: int) -> str:
        return self._cut(int.from_bytes(self._cut(width), "big")).decode(errors="replace")

    def _cut(self, count: int) -> bytes:
        part = self._content[self._at : self._at + count]
        self._at += count
        if len(part) < count:
            raise ValueError("the message is cut short")
        return part


def read(content: bytes) -> Told:
    """Return the message that `content` is. Raises `ValueError` where it is none."""
    return _Reading(content).whole()


def written(message: Message) -> bytes:
    """Return the octets of a message that holds no key."""
    return b"".join(_written(message))
