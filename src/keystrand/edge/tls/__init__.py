"""Mutual TLS 1.3 with post-quantum key exchange, on the OpenSSL that `cryptography` brings along.

The standard library's `ssl` speaks the system's OpenSSL, which on current long-term distributions knows no
post-quantum group. Here X25519MLKEM768 is negotiated by default; which group it was is known after the handshake and
recorded, and a client may refuse any other before it has sent a byte of its own.
"""

from keystrand.edge.tls.blocking import BlockingTls, connect
from keystrand.edge.tls.contexts import client_context, default_group, server_context
from keystrand.edge.tls.foreign import foreign_context
from keystrand.edge.tls.live import LiveContext
from keystrand.edge.tls.peer import (
    RECORD_BYTES,
    Peer,
    check_server,
    covers_host,
    established,
    group_name,
    is_address,
    is_post_quantum,
    read_certificate,
    reason_of,
    refusal_of,
)

__all__ = [
    "RECORD_BYTES", "BlockingTls", "LiveContext", "Peer", "check_server", "client_context", "connect", "covers_host",
    "default_group", "established", "foreign_context", "group_name", "is_address", "is_post_quantum",
    "read_certificate", "reason_of", "refusal_of", "server_context",
]  # fmt: skip
