"""PEM blocks wherever they stand: in files of their own, and quoted in JSON, YAML, XML, mail and source code.

Sources: RFC 7468 (labels and lines), RFC 1421, 4.6 (headers), RFC 9580, 6 (armor with its checksum).
"""

import base64
import re
from collections.abc import Iterator
from typing import NamedTuple

BEGIN = b"-----BEGIN "
_MARK = re.compile(rb"-----(BEGIN|END) ([A-Za-z0-9][A-Za-z0-9 .#/+-]{0,63})-----")
_ESCAPED_BREAK = re.compile(rb"\\{1,8}[nrt]|&#(?:10|13|x[aAdD]);")
_ESCAPED_LETTER = re.compile(rb"\\{1,8}u00(2[bBfF]|3[dD])|\\/")
_SEPARATORS = re.compile(rb"""[\s"',;#*>|`\\()]+""")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=]+")
_HEADER = re.compile(rb"[\w-]+:.*")
_SIGNS_OF_CODE = frozenset((b"+", b"/", b"//", b"=", b"+="))
_CHECKSUM = 5
"""Octets of the last line of an armor: an equals sign and a checksum of three octets in base64."""


class Block(NamedTuple):
    """A block from its begin `at` to its `end`. `der` is None where its lines are not base64, or where it is cut off.

    `alone`: its begin has a line of its own, as in a file of keys; else it is quoted in something else.
    """

    at: int
    end: int
    label: str
    headers: bytes
    der: bytes | None
    whole: bool
    alone: bool


def blocks(content: bytes) -> Iterator[Block]:
    """Yield the blocks in `content` in their order. What is neither alone on its line nor base64 is text about PEM."""
    if BEGIN not in content:
        return
    held: re.Match[bytes] | None = None
    for mark in _MARK.finditer(content):
        if mark[1] == b"BEGIN":
            if held:
                yield from _cut_off(content, held, mark.start())
            held = mark
        elif held and held[2] == mark[2]:
            yield from _block(content, held, mark)
            held = None
    if held:
        yield from _cut_off(content, held, len(content))


def _cut_off(content: bytes, begin: re.Match[bytes], end: int) -> Iterator[Block]:
    if _alone(content, begin):
        yield Block(begin.start(), end, begin[2].decode(), b"", None, whole=False, alone=True)


def _alone(content: bytes, begin: re.Match[bytes]) -> bool:
    before, after = content[max(0, begin.start() - 1) : begin.start()], content[begin.end() : begin.end() + 1]
    return before in (b"", b"\n", b"\r", b"\xbf") and after in (b"", b"\n", b"\r", b" ", b"\t")


def _block(content: bytes, begin: re.Match[bytes], end: re.Match[bytes]) -> Iterator[Block]:
    headers, der = _decoded(content[begin.end() : end.start()])
    alone = _alone(content, begin)
    if alone or der:
        yield Block(begin.start(), end.end(), begin[2].decode(), headers, der, whole=True, alone=alone)


def _decoded(body: bytes) -> tuple[bytes, bytes | None]:
    """Return the headers, and the octets that the lines stand for; None where they are not base64."""
    if b"\\" in body or b"&#" in body:
        body = _ESCAPED_BREAK.sub(b"\n", _ESCAPED_LETTER.sub(_letter, body))
    headers, lines = _split(body)
    parts = [part for part in _SEPARATORS.split(lines) if part and part not in _SIGNS_OF_CODE]
    if parts and parts[-1].startswith(b"=") and len(parts[-1]) == _CHECKSUM:
        parts.pop()
    if not all(map(_BASE64.fullmatch, parts)):
        return headers, None
    try:
        return headers, base64.b64decode(b"".join(parts))
    except ValueError:
        return headers, None


def _letter(escaped: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escaped[1].decode()) if escaped[1] else b"/"


def _split(body: bytes) -> tuple[bytes, bytes]:
    """Return the header lines, and what follows them."""
    at = 0
    begun = False
    for line in body.splitlines(keepends=True):
        text = line.strip()
        if text and not _HEADER.fullmatch(text):
            break
        at += len(line)
        if begun and not text:
            break
        begun = begun or bool(text)
    return body[:at], body[at:]
