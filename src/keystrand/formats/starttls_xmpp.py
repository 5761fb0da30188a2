"""STARTTLS in XMPP (RFC 6120, section 5), from client to server and from server to server.

What comes is looked at for the few elements that matter; it is not parsed as XML, and nothing in it is expanded.
"""

import re
from collections.abc import Callable

from keystrand.formats.starttls_script import Cut, Refusal, Say, Script

_TLS = b"urn:ietf:params:xml:ns:xmpp-tls"
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", '"': "&quot;"}
_PREFIX = rb"(?:[\w.-]{1,32}:)?"
_END_OF_STREAM = re.compile(rb"</" + _PREFIX + rb"stream\s*>")


def _whole(name: bytes) -> Cut:
    """Return the cut for one element of this name, whatever its prefix, and what comes before it."""
    opens = re.compile(rb"<" + _PREFIX + name + rb"(?=[\s/>])[^<>]*>")
    closes = re.compile(rb"</" + _PREFIX + name + rb"\s*>")

    def cut(octets: bytes) -> int | None:
        opened = opens.search(octets)
        if opened is None or opened.group().endswith(b"/>"):
            return opened.end() if opened else None
        closed = closes.search(octets, opened.end())
        return closed.end() if closed else None

    return cut


_features, _proceed, _failure = _whole(b"features"), _whole(b"proceed"), _whole(b"failure")


def _first_of(*cuts: Cut) -> Cut:
    def cut(octets: bytes) -> int | None:
        ends = [end for one in cuts if (end := one(octets)) is not None]
        if not ends and _END_OF_STREAM.search(octets):
            raise Refusal("does not know this domain" if b"<host-unknown" in octets else "ends the stream")
        return min(ends, default=None)

    return cut


def _stream(namespace: bytes) -> Callable[[str], Script]:
    def script(host: str) -> Script:
        to = "".join(_ESCAPES.get(letter, letter) for letter in host).encode("utf-8", "replace")
        header = b"<?xml version='1.0'?><stream:stream xmlns='" + namespace + b"' version='1.0' to='" + to
        header += b"' xmlns:stream='http://etherx.jabber.org/streams'>"
        if _TLS not in (yield Say(header, _first_of(_features))):
            raise Refusal("offers no STARTTLS among its features")
        answer = yield Say(b"<starttls xmlns='" + _TLS + b"'/>", _first_of(_proceed, _failure))
        if _failure(answer) is not None:
            raise Refusal("STARTTLS is answered with failure")

    return script


client = _stream(b"jabber:client")
server = _stream(b"jabber:server")
