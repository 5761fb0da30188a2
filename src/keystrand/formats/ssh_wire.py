"""The part of the SSH transport protocol that is spoken in clear: identification, packets, key exchange.

Sources: RFC 4251, 4253 and 5656. Nothing here decrypts or verifies.
"""

import struct
from functools import cache, lru_cache
from typing import NamedTuple

from keystrand.model.errors import InvalidInput
from keystrand.model.words import shown

DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, KEXINIT, NEWKEYS, KEX_INIT, KEX_REPLY = 1, 2, 3, 4, 20, 21, 30, 31

MAX_PACKET = 256 * 1024
"""Octets of a packet at most. RFC 4253, 6.1 asks for 35000; larger ones are allowed where both sides agree."""
MAX_IDENTIFICATION = 255
"""Octets of the identification line at most, its line end included (RFC 4253, 4.2)."""
MAX_PREAMBLE = 8 * 1024
"""Octets of other lines that may come first (RFC 4253, 4.2 sets no limit; banners of a screenful exist)."""
MAX_NAMES = 128
"""Names in a list at most; the longest lists in use have about sixty."""
MAX_NAME = 64
"""Octets of an algorithm's name at most (RFC 4251, 6)."""
_LENGTH = struct.Struct(">I")
_BLOCK = 8
_MIN_PADDING = 4


class Identification(NamedTuple):
    """What a server calls itself: `SSH-protocol-software comments`; `line` is that, without its line end."""

    protocol: str
    software: str
    comments: str
    line: bytes


class KexInit(NamedTuple):
    """The lists of SSH_MSG_KEXINIT that concern public-key algorithms, in the order of the sender's preference."""

    key_exchanges: tuple[str, ...]
    host_keys: tuple[str, ...]


def identification(octets: bytes) -> tuple[Identification, bytes] | None:
    """Return the server's identification and what follows it; None where it has not come whole yet.

    Raises `InvalidInput` where what came cannot be the beginning of one (RFC 4253, 4.2).
    """
    at = 0
    while (end := octets.find(b"\n", at)) >= 0 and not octets.startswith(b"SSH-", at):
        at = end + 1
    if at > MAX_PREAMBLE or (end < 0 and len(octets) - at > MAX_PREAMBLE):
        raise InvalidInput("no SSH identification came at the beginning")
    if end < 0 or not octets.startswith(b"SSH-", at):
        return None
    return _identification(octets[at:end]), octets[end + 1 :]


def _identification(line: bytes) -> Identification:
    if len(line) >= MAX_IDENTIFICATION:
        raise InvalidInput("the SSH identification is longer than 255 octets")
    line = line.rstrip(b"\r")
    try:
        text = line.decode("ascii")
        _, protocol, rest = text.split("-", 2)
    except ValueError as error:
        raise InvalidInput("the SSH identification is not of the form SSH-protocol-software") from error
    if not text.isprintable():
        raise InvalidInput("the SSH identification holds control characters")
    software, _, comments = rest.partition(" ")
    return Identification(protocol, software, comments, line)


def packet(payload: bytes) -> bytes:
    """Return `payload` as an unencrypted packet (RFC 4253, 6). The padding is zero: there is nothing to hide."""
    padding = -(len(payload) + 5) % _BLOCK
    padding += _BLOCK if padding < _MIN_PADDING else 0
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def first_packet(octets: bytes) -> tuple[bytes, bytes] | None:
    """Return the payload of the first packet and what follows it; None where it has not come whole yet.

    Raises `InvalidInput` where no unencrypted packet can begin like this.
    """
    if len(octets) < 5:
        return None
    length, padding = struct.unpack_from(">IB", octets)
    if not padding + 2 <= length <= MAX_PACKET:
        raise InvalidInput(f"no SSH packet has length {length} and padding {padding}")
    if len(octets) < 4 + length:
        return None
    return octets[5 : 4 + length - padding], octets[4 + length :]


def string(value: bytes) -> bytes:
    """Return `value` with its length in front (RFC 4251, 5)."""
    return struct.pack(">I", len(value)) + value


def mpint(number: bytes) -> bytes:
    """Return a positive number, given in network order, as a multiple precision integer (RFC 4251, 5)."""
    digits = number.lstrip(b"\0")
    return string(b"\0" + digits if digits[:1] >= b"\x80" else digits)


def read_string(octets: bytes, at: int = 0) -> tuple[bytes, int]:
    """Return the string at `at` and where it ends. Raises `InvalidInput` where it is cut off."""
    if at + 4 > len(octets):
        raise InvalidInput("the SSH message ends early")
    end = at + 4 + int.from_bytes(octets[at : at + 4], "big")
    if end > len(octets):
        raise InvalidInput("the SSH message ends early")
    return octets[at + 4 : end], end


def read_strings(octets: bytes, count: int, at: int = 0) -> tuple[bytes, ...]:
    """Return the `count` strings from `at` on. Raises `InvalidInput` as `read_string` does."""
    found = []
    try:
        for _ in range(count):
            begin = at + 4
            at = begin + _LENGTH.unpack_from(octets, at)[0]
            found.append(octets[begin:at])
    except struct.error:
        at = len(octets) + 1
    if at > len(octets):
        raise InvalidInput("the SSH message ends early")
    return tuple(found)


def kexinit(payload: bytes) -> KexInit:
    """Return the lists in SSH_MSG_KEXINIT (RFC 4253, 7.1). Raises `InvalidInput` where `payload` is none."""
    if payload[:1] != bytes([KEXINIT]):
        raise InvalidInput("the first SSH message is not the list of algorithms")
    lists = read_strings(payload, 10, at=17)
    return KexInit(_names(lists[0]), _names(lists[1]))


def is_name(text: str) -> bool:
    """Return whether `text` may name an algorithm (RFC 4251, 6)."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()


@lru_cache(maxsize=256)
def _names(value: bytes) -> tuple[str, ...]:
    """Return the names in a list. Servers of the same kind send the same ones; what is kept is short, or refused."""
    try:
        text = value.decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidInput("a name of an SSH algorithm is not ASCII") from error
    names = tuple(text.split(",")) if text else ()
    if len(names) > MAX_NAMES or not all(map(is_name, names)):
        raise InvalidInput(
            "a list of SSH algorithms is too long, or holds a name that is empty, too long or unprintable"
        )
    return tuple(dict.fromkeys(names))


_CIPHERS = (
    b"aes128-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"
    b"aes128-cbc,aes256-cbc,3des-cbc"
)
_MACS = b"hmac-sha2-256,hmac-sha2-512,hmac-sha1"


def kexinit_message(cookie: bytes, key_exchange: str, host_key: str) -> bytes:
    """Return the payload of our SSH_MSG_KEXINIT: one key exchange, one host key algorithm, common ciphers.

    `cookie` is 16 random octets. Ciphers and MACs must match the server's only so that it goes on to show its host key.
    """
    return bytes([KEXINIT]) + cookie + _our_lists(key_exchange, host_key)


@lru_cache(maxsize=256)
def _our_lists(key_exchange: str, host_key: str) -> bytes:
    lists = (key_exchange.encode(), host_key.encode(), _CIPHERS, _CIPHERS, _MACS, _MACS, b"none", b"none", b"", b"")
    return b"".join(map(string, lists)) + bytes(5)


def kex_init_message(share: bytes) -> bytes:
    """Return the payload that opens the key exchange with our `share`.

    One form serves ECDH (RFC 5656, 4), Diffie-Hellman (RFC 4253, 8, where the share is an mpint) and the hybrids.
    """
    return bytes([KEX_INIT]) + string(share)


class KexReply(NamedTuple):
    """The server's reply to `kex_init_message`: its host key blob, its half of the exchange, its signature."""

    host_key: bytes
    share: bytes
    signature: bytes


def kex_reply(payload: bytes) -> KexReply:
    """Return the server's reply to `kex_init_message`. Raises `InvalidInput` where `payload` is none."""
    if payload[:1] != bytes([KEX_REPLY]):
        raise InvalidInput("the SSH message is not the reply of a key exchange")
    return KexReply(*read_strings(payload, 3, at=1))


@cache
def disconnect_message() -> bytes:
    """Return the payload of a polite end: SSH_DISCONNECT_BY_APPLICATION (RFC 4253, 11.1)."""
    return struct.pack(">BI", DISCONNECT, 11) + string(b"inventory done") + string(b"")


def disconnect_reason(payload: bytes) -> str:
    """Return the words in SSH_MSG_DISCONNECT, printable and short. Raises `InvalidInput` where it is cut off."""
    text, _ = read_string(payload, 5)
    return shown(text[:120].decode("utf-8", "replace"))
