"""STARTTLS in protocols of lines.

SMTP (RFC 3207), IMAP (RFC 9051, 6.2.1), POP3 (RFC 2595, 4), FTP (RFC 4217, 4), NNTP (RFC 4642, 2.2),
ManageSieve (RFC 5804, 2.2). Refusals name codes and words of the protocols, never what a server wrote besides.
"""

from collections.abc import Generator

from keystrand.formats.starttls_script import Refusal, Say, Script, line

OUR_NAME = b"keystrand.invalid"
"""What we call ourselves where a greeting asks for a name: it says who asks, and never resolves (RFC 6761)."""
_TAG = b"k1"
_CODE_DIGITS = 3

_Lines = Generator[Say, bytes, list[bytes]]


def _line(say: bytes) -> Generator[Say, bytes, bytes]:
    return (yield Say(say, line)).rstrip(b"\r\n")


def _reply(say: bytes) -> _Lines:
    """Return the lines of a reply: `250-mail`, `250 STARTTLS` (RFC 5321, 4.2; RFC 959, 4.2)."""
    lines = [(yield from _line(say))]
    code = lines[0][:_CODE_DIGITS]
    if len(code) < _CODE_DIGITS or not code.isdigit():
        raise Refusal("does not answer with a number of three digits")
    while lines[-1][:4] not in (code + b" ", code):
        lines.append((yield from _line(b"")))
    return lines


def _expect(reply: list[bytes], wanted: bytes, to: str) -> None:
    code = reply[0][:_CODE_DIGITS]
    if code != wanted:
        raise Refusal(f"{to} is answered {code.decode('ascii')}")


def _greeted(wanted: bytes) -> Generator[Say, bytes, None]:
    """Wait for the greeting; a service that asks for patience (120) is given it."""
    greeting = yield from _reply(b"")
    if greeting[0].startswith(b"120"):
        greeting = yield from _reply(b"")
    if greeting[0][:_CODE_DIGITS] != wanted:
        raise Refusal(f"greets with {greeting[0][:_CODE_DIGITS].decode('ascii')}")


def smtp() -> Script:
    """SMTP: EHLO must list STARTTLS."""
    yield from _greeted(b"220")
    offered = yield from _reply(b"EHLO " + OUR_NAME + b"\r\n")
    _expect(offered, b"250", "EHLO")
    if not any(one[4:].strip().upper() == b"STARTTLS" for one in offered[1:]):
        raise Refusal("250 without STARTTLS")
    _expect((yield from _reply(b"STARTTLS\r\n")), b"220", "STARTTLS")


def ftp() -> Script:
    """FTP: AUTH TLS on the control connection."""
    yield from _greeted(b"220")
    _expect((yield from _reply(b"AUTH TLS\r\n")), b"234", "AUTH TLS")


def nntp() -> Script:
    """NNTP: 200 and 201 greet a reader who may or may not post."""
    greeting = yield from _line(b"")
    if greeting[:_CODE_DIGITS] not in (b"200", b"201"):
        raise Refusal("greets with neither 200 nor 201")
    _expect((yield from _reply(b"STARTTLS\r\n")), b"382", "STARTTLS")


def imap() -> Script:
    """IMAP: untagged lines may come before the tagged answer; PREAUTH leaves no room for STARTTLS."""
    greeting = (yield from _line(b"")).upper()
    if not greeting.startswith(b"* OK"):
        raise Refusal("greets with PREAUTH: too late for STARTTLS" if b"PREAUTH" in greeting else "greets without OK")
    answer = yield from _line(_TAG + b" STARTTLS\r\n")
    while not answer.startswith(_TAG + b" "):
        answer = yield from _line(b"")
    _expect_word(answer[len(_TAG) + 1 :], (b"NO", b"BAD"))


def pop3() -> Script:
    """POP3: STLS."""
    if not (yield from _line(b"")).startswith(b"+OK"):
        raise Refusal("greets without +OK")
    answer = yield from _line(b"STLS\r\n")
    if not answer.startswith(b"+OK"):
        raise Refusal("STLS is answered -ERR" if answer.startswith(b"-ERR") else "STLS is answered without +OK")


def sieve() -> Script:
    """ManageSieve: the greeting is a list of capabilities that must hold STARTTLS."""
    offered = yield from _capabilities(b"")
    if b'"STARTTLS"' not in (one.strip().upper() for one in offered):
        raise Refusal("greets without the capability STARTTLS")
    _expect_word((yield from _capabilities(b"STARTTLS\r\n"))[-1], (b"NO", b"BYE"))


def _capabilities(say: bytes) -> _Lines:
    """Return the lines up to and with the first that begins with OK, NO or BYE."""
    lines = [(yield from _line(say))]
    while lines[-1].upper().split(b" ", 1)[0] not in (b"OK", b"NO", b"BYE"):
        lines.append((yield from _line(b"")))
    return lines


def _expect_word(answer: bytes, refusals: tuple[bytes, ...]) -> None:
    word = answer.upper().split(b" ", 1)[0]
    if word != b"OK":
        raise Refusal(f"STARTTLS is answered {word.decode('ascii') if word in refusals else 'without OK'}")
