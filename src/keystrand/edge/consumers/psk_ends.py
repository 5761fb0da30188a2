"""The two ends of a TLS 1.3 handshake with an external pre-shared key from the KMEs.

The identity of the key in the ClientHello is its `key_ID` (RFC 8446, 4.2.11), so the two ends agree on a key in band:
the client asks its KME for one, the server fetches that one from its own inside the handshake. The key is mixed with an
ephemeral exchange (psk_dhe_ke) in a post-quantum group, so both must fall for the session to fall. No certificate is
ever taken in the key's place, and no session is resumed: a key serves one handshake.

`cryptography`'s OpenSSL offers this only under private names of its binding; `external_psk_supported` guards them.
"""

import re
import socket
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from cryptography.hazmat.bindings.openssl.binding import Binding
from msgspec import Struct
from OpenSSL import SSL

from keystrand.crypto.secret import Secret
from keystrand.edge.tls import BlockingTls, group_name, is_post_quantum
from keystrand.model.errors import PolicyDenied

_lib, _ffi = Binding.lib or Binding().lib, Binding.ffi


class Suite(StrEnum):
    """The cipher suite of a handshake, and so the hash that its key is for (RFC 8446, 4.2.11).

    `CHACHA20` is for programs whose key callback dates from TLS 1.2, which take keys for SHA-256 alone: the command
    of OpenSSL, Node, stunnel, Python's `ssl`. Of the suites with that hash it is the one with a key of 256 bits.
    """

    AES_256 = "TLS_AES_256_GCM_SHA384"
    CHACHA20 = "TLS_CHACHA20_POLY1305_SHA256"


class PskTerms(Struct, frozen=True, kw_only=True):
    """What an end demands of a handshake beside the key.

    Without `post_quantum_group` the key alone keeps the session from a quantum computer: for clients that know no such
    group, never by default.
    """

    suite: Suite = Suite.AES_256
    post_quantum_group: bool = True


STRICT = PskTerms()
_SUITE_OCTETS = {Suite.AES_256: b"\x13\x02", Suite.CHACHA20: b"\x13\x03"}
"""Appendix B.4 of RFC 8446."""
_TLS13 = 0x0304
_UUID = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
_NEEDED = (
    "Cryptography_SSL_SESSION_new", "SSL_CIPHER_find", "SSL_SESSION_set1_master_key", "SSL_SESSION_set_cipher",
    "SSL_SESSION_set_protocol_version", "SSL_SESSION_free", "SSL_CTX_set_psk_use_session_callback",
    "SSL_CTX_set_psk_find_session_callback",
)  # fmt: skip
_USE = "int(SSL *, const EVP_MD *, const unsigned char **, size_t *, SSL_SESSION **)"
_FIND = "int(SSL *, const unsigned char *, size_t, SSL_SESSION **)"
_KEY_OCTETS = (16, 256)
"""At least 128 bits (RFC 9257, section 6), at most what OpenSSL keeps for a session."""


def external_psk_supported() -> bool:
    """Return whether the installed `cryptography` and pyOpenSSL have every private name this consumer uses."""
    return all(hasattr(_lib, name) for name in _NEEDED) and hasattr(SSL.Context(SSL.TLS_METHOD), "_context")


def _session(ssl: Any, key: Secret, suite: Suite) -> Any:
    """Return a session that holds `key`, owned by the caller. The key is copied by OpenSSL and nowhere else."""
    if not _KEY_OCTETS[0] <= len(key) <= _KEY_OCTETS[1]:
        raise PolicyDenied(
            f"a key of {8 * len(key)} bits cannot serve here: {_KEY_OCTETS[0]} to {_KEY_OCTETS[1]} octets"
        )
    session = _lib.Cryptography_SSL_SESSION_new()
    cipher = _lib.SSL_CIPHER_find(ssl, _ffi.from_buffer(_SUITE_OCTETS[suite]))
    with _ffi.from_buffer(key.view()) as octets:
        made = (
            _lib.SSL_SESSION_set1_master_key(session, octets, len(key)) == 1
            and _lib.SSL_SESSION_set_cipher(session, cipher) == 1
            and _lib.SSL_SESSION_set_protocol_version(session, _TLS13) == 1
        )
    if not made:
        _lib.SSL_SESSION_free(session)
        raise PolicyDenied("OpenSSL does not take this key")
    return session


def _context(method: int, suite: Suite) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(suite.encode())
    # a ticket would let a session outlive its key
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    if method == SSL.TLS_CLIENT_METHOD:
        # whatever certificate a server shows instead of knowing the key, it is refused
        context.set_verify(SSL.VERIFY_PEER, lambda *_: False)
    return context


class PskEnd:
    """One end of one handshake. It owns the callback that OpenSSL calls, and what that points at, for its life."""

    def __init__(self, method: int, terms: PskTerms) -> None:
        self._context = _context(method, terms.suite)
        self.trouble: Exception | None = None
        # OpenSSL keeps bare pointers: whatever they lead to lives as long as this object
        self._kept: list[Any] = []

    def _guarded(self, signature: str, callback: Callable[..., int]) -> Any:
        """Return `callback` for C: an exception is kept in `trouble` and refuses the key, it never crosses into C."""

        def guarded(*arguments: Any) -> int:
            try:
                return callback(*arguments)
            except Exception as error:  # nothing may propagate into OpenSSL
                self.trouble = error
                return 0

        made = _ffi.callback(signature, guarded)
        self._kept.append(made)
        return made

    def over(self, transport: socket.socket) -> BlockingTls:
        """Return this end's connection over `transport`; keep this object while it is used."""
        connection = SSL.Connection(self._context, None)
        self._start(connection)
        return BlockingTls(connection, transport)

    def _start(self, connection: SSL.Connection) -> None:
        raise NotImplementedError


class ClientEnd(PskEnd):
    """Offers one key and nothing else."""

    def __init__(self, key_id: str, key: Secret, terms: PskTerms = STRICT) -> None:
        super().__init__(SSL.TLS_CLIENT_METHOD, terms)
        identity = _ffi.new("unsigned char[]", key_id.encode())
        self._kept.append(identity)

        def use(ssl: Any, _digest: Any, id_out: Any, length_out: Any, session_out: Any) -> int:
            # called again after a HelloRetryRequest: a new session each time, since OpenSSL takes it over
            session_out[0] = _session(ssl, key, terms.suite)
            id_out[0], length_out[0] = identity, len(key_id)
            return 1

        _lib.SSL_CTX_set_psk_use_session_callback(self._context._context, self._guarded(_USE, use))  # noqa: SLF001  # no public way; see the contract test

    def _start(self, connection: SSL.Connection) -> None:
        connection.set_connect_state()


class ServerEnd(PskEnd):
    """Takes the key that the client names, if `find` has it: asked once a handshake, also after a HelloRetryRequest."""

    def __init__(self, find: Callable[[str], Secret | None], terms: PskTerms = STRICT) -> None:
        super().__init__(SSL.TLS_SERVER_METHOD, terms)
        self.key_id = ""
        self._key: Secret | None = None

        def look_up(ssl: Any, identity: Any, length: int, session_out: Any) -> int:
            session_out[0] = _ffi.NULL
            name = bytes(_ffi.buffer(identity, length))
            # with no key and no certificate there is nothing to go on with: OpenSSL refuses the handshake
            if not _UUID.match(name) or (self.key_id and self.key_id != name.decode()):
                return 1
            if not self.key_id:
                self.key_id = name.decode()
                self._key = find(self.key_id)
            if self._key is not None:
                session_out[0] = _session(ssl, self._key, terms.suite)
            return 1

        _lib.SSL_CTX_set_psk_find_session_callback(self._context._context, self._guarded(_FIND, look_up))  # noqa: SLF001  # as above

    def _start(self, connection: SSL.Connection) -> None:
        connection.set_accept_state()

    @property
    def keyed(self) -> bool:
        """Whether a key was found for what the client named."""
        return self._key is not None

    def forget(self) -> None:
        """Clear the key: the handshake is over, whichever way."""
        if self._key is not None:
            self._key.zeroise()


def finish(stream: BlockingTls, terms: PskTerms = STRICT) -> str:
    """Shake hands and return the group. Raises `PolicyDenied` where it is not post-quantum or a certificate came."""
    stream.handshake()
    group = group_name(stream.connection)
    if terms.post_quantum_group and not is_post_quantum(group):
        raise PolicyDenied(f"the key exchange group {group or 'unknown'} is not post-quantum")
    if stream.connection.get_peer_certificate() is not None:
        raise PolicyDenied("the peer showed a certificate where only a key counts")
    return group
