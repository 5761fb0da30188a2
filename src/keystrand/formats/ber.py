"""Basic Encoding Rules made into Distinguished ones, as far as lengths and strings in pieces go (ITU-T X.690).

Programs that write stores and signatures in one pass leave lengths open. Contents stay as they are.
"""

from keystrand.formats.spki import encoded

MAX_DEPTH = 64
_CONSTRUCTED, _INDEFINITE, _STRING_IN_PIECES = 0x20, 0x80, 0x24
_END = b"\0\0"


def is_indefinite(octets: bytes) -> bool:
    """Return whether `octets` begin with a SEQUENCE of open length."""
    return octets.startswith(b"\x30\x80")


def to_der(octets: bytes) -> bytes:
    """Return the first element in `octets` with definite lengths, its strings in one piece. Raises `ValueError`."""
    return _element(octets, 0, 0)[0]


def _element(octets: bytes, at: int, depth: int) -> tuple[bytes, int]:
    """Return the element at `at` in DER, and where it ends."""
    if depth > MAX_DEPTH:
        raise ValueError("the structure is too deep")
    if at + 2 > len(octets):
        raise ValueError("the structure ends early")
    tag, length, start = octets[at], octets[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise ValueError("a tag of several octets is not expected here")
    if length == _INDEFINITE:
        content, end = _open(octets, start, tag, depth)
    else:
        if length & 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(octets[start : start + size], "big"), start + size
        end = start + length
        if end > len(octets):
            raise ValueError("the structure ends early")
        content = octets[start:end]
        if tag & _CONSTRUCTED:
            content = _inside(content, tag, depth)
    return encoded(tag & ~_CONSTRUCTED if tag == _STRING_IN_PIECES else tag, content), end


def _open(octets: bytes, at: int, tag: int, depth: int) -> tuple[bytes, int]:
    """Return the content up to the end mark, and where the mark ends."""
    parts = []
    while octets[at : at + 2] != _END:
        part, at = _element(octets, at, depth + 1)
        parts.append(part)
    return _joined(parts, tag), at + 2


def _inside(content: bytes, tag: int, depth: int) -> bytes:
    parts, at = [], 0
    while at < len(content):
        part, at = _element(content, at, depth + 1)
        parts.append(part)
    return _joined(parts, tag)


def _joined(parts: list[bytes], tag: int) -> bytes:
    """Return the parts as the content: those of a string without their own tags and lengths."""
    return b"".join(_value(part) for part in parts) if tag == _STRING_IN_PIECES else b"".join(parts)


def _value(element: bytes) -> bytes:
    return element[2 + (element[1] & 0x7F if element[1] & 0x80 else 0) :]
