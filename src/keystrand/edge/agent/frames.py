"""Words on a stream: four bytes of length, then JSON. No word is longer than `MOST`: nobody makes us hold more."""

import socket
from typing import Any

import msgspec

from keystrand.model.errors import PolicyDenied

MOST = 8192
"""In bytes: an ML-KEM-768 share in hex with everything around it is half of it."""
_LENGTH = 4


def framed(word: Any) -> bytes:
    """Return the bytes of `word` on the stream."""
    content = msgspec.json.encode(word)
    if len(content) > MOST:
        raise ValueError("the word is too long")
    return len(content).to_bytes(_LENGTH, "big") + content


def word_of(content: bytes, kind: Any) -> Any:
    """Return what `content` says as a `kind`. Raises `PolicyDenied` where it is none."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PolicyDenied(f"it said what is no word of ours: {error}") from None


class Unframer:
    """Takes bytes as they come, gives whole words."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def take(self, content: bytes) -> list[bytes]:
        """Return the words that `content` completes. Raises `PolicyDenied` where one is too long."""
        self._waiting += content
        found = []
        while len(self._waiting) >= _LENGTH:
            size = int.from_bytes(self._waiting[:_LENGTH], "big")
            if size > MOST:
                raise PolicyDenied(f"a word of {size} bytes is longer than any of ours")
            if len(self._waiting) < _LENGTH + size:
                break
            found.append(bytes(self._waiting[_LENGTH : _LENGTH + size]))
            del self._waiting[: _LENGTH + size]
        return found


def receive(stream: socket.socket, kind: Any) -> Any:
    """Return the next word from a blocking socket, None where the other end has closed.

    Raises `PolicyDenied` for what is no word, `OSError` as the socket does.
    """
    head = receive_exactly(stream, _LENGTH)
    if not head:
        return None
    size = int.from_bytes(head, "big")
    if size > MOST:
        raise PolicyDenied(f"a word of {size} bytes is longer than any of ours")
    return word_of(bytes(receive_exactly(stream, size)), kind)


def receive_exactly(stream: socket.socket, size: int) -> bytearray:
    """Return `size` bytes, none where the other end has closed; `ConnectionResetError` where it did so in between."""
    content = bytearray(size)
    view, got = memoryview(content), 0
    while got < size:
        now = stream.recv_into(view[got:])
        if not now and got:
            raise ConnectionResetError("the other end closed in the middle of a word")
        if not now:
            return bytearray()
        got += now
    return content
