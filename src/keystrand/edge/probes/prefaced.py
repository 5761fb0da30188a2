"""A TLS conversation behind what comes before it on the connection, as one conversation."""

from keystrand.edge.probes.tls_questions import TlsConversation
from keystrand.formats.starttls import preface
from keystrand.formats.starttls_script import Preface, Refusal


class Prefaced:
    """Speaks the preface, then has the TLS conversation `talk`. Never raises.

    A server that does not do TLS ends `talk` with the reason as its fault, as one that is no TLS at all; so does one
    that goes on in clear after its go-ahead.
    """

    def __init__(self, before: Preface, talk: TlsConversation) -> None:
        self.talk = talk
        self.done = False
        self._before = before

    def begin(self) -> bytes:
        """Return what to say first: nothing where the server does."""
        return self._go_on(self._before.begin())

    def receive(self, octets: bytes) -> bytes:
        """Take what came, for the preface as long as it lasts, then for TLS."""
        if self.done:
            return b""
        if not self._before.done:
            return self._go_on(self._before.receive(octets))
        try:
            reply = self.talk.receive(self._before.unwrap(octets))
        except Refusal as refusal:
            return self._end(f"goes on in clear where TLS was due: it {refusal}")
        if self.talk.foreign:
            return self._end(f"goes on in clear where TLS was due: {self.talk.fault}")
        self.done = self.talk.done
        return self._before.wrap(reply) if reply else b""

    def _go_on(self, said: bytes) -> bytes:
        before = self._before
        if not before.done:
            return said
        if before.refused:
            return self._end(before.refused)
        if before.leftover:
            return self._end(f"goes on in clear where TLS was due, octets after the go-ahead: {len(before.leftover)}")
        return said + before.wrap(self.talk.begin())

    def _end(self, fault: str) -> bytes:
        self.talk.fault, self.talk.foreign = fault, True
        self.talk.done = self.done = True
        return b""


def prefaced(conversation: TlsConversation, name: str, host: str) -> Prefaced:
    """Return `conversation` behind the preface `name` of `keystrand.formats.starttls`. Raises `KeyError` as that."""
    return Prefaced(preface(name, host), conversation)
