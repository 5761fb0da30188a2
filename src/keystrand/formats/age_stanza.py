"""The stanzas of age: the lines by which it talks to its plug-ins, and of its files' headers (C2SP age, age-plugin)."""

import base64
import binascii
from collections.abc import Callable

from msgspec import Struct

from keystrand.model.errors import InvalidInput

_LINE = 64
"""A line of a body that is shorter than this is its last."""
_LINE_MOST = 1 << 12
_BODY_MOST = 1 << 16
"""No stanza that concerns us comes near; a sender without end is refused."""


class Stanza(Struct, frozen=True):
    """A tag, its arguments, and a body of bytes."""

    tag: str
    arguments: tuple[str, ...] = ()
    body: bytes = b""


def written(stanza: Stanza) -> bytes:
    """Return a stanza as its lines."""
    text = to_base64(stanza.body)
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    if not lines or len(lines[-1]) == _LINE:
        lines.append("")
    return "\n".join((" ".join(("->", stanza.tag, *stanza.arguments)), *lines, "")).encode("ascii")


def read(line: Callable[[int], bytes]) -> Stanza | None:
    """Return the next stanza of what `line` reads, at most so many bytes of a line at once; None at the end.

    Raises `InvalidInput` for what is none.
    """
    first = line(_LINE_MOST)
    if not first:
        return None
    mark, *words = _text(first).split(" ")
    if mark != "->" or not words or not all(words):
        raise InvalidInput("a line that begins no stanza")
    body, size = [], _LINE
    while size == _LINE:
        part = _text(line(_LINE_MOST))
        size = len(part)
        body.append(part)
        if size > _LINE or len(body) * _LINE > _BODY_MOST:
            raise InvalidInput("a stanza whose body is too long")
    return Stanza(words[0], tuple(words[1:]), from_base64("".join(body)))


def to_base64(content: bytes) -> str:
    """Return `content` in base64 without padding."""
    return base64.b64encode(content).rstrip(b"=").decode()


def from_base64(text: str) -> bytes:
    """Return what base64 without padding spells. Raises `InvalidInput` for other text, padded or not canonical."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if to_base64(content) != text:
        raise InvalidInput("text that is no canonical base64")
    return content


def _text(line: bytes) -> str:
    if not line.endswith(b"\n") or not all(32 <= octet < 127 for octet in line[:-1]):
        raise InvalidInput("a stanza that is cut short, or is no plain text")
    return line[:-1].decode("ascii")
