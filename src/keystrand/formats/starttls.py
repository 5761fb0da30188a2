"""The way to TLS on a connection that begins without it, by the name of the protocol."""

from collections.abc import Callable

from keystrand.formats import starttls_lines as lines
from keystrand.formats import starttls_packets as packets
from keystrand.formats import starttls_xmpp as xmpp
from keystrand.formats.starttls_script import Preface, Script
from keystrand.formats.starttls_tds import TdsPreface

_PLAIN: dict[str, Callable[[], Script]] = {
    "smtp": lines.smtp,
    "lmtp": lines.lmtp,
    "imap": lines.imap,
    "pop3": lines.pop3,
    "ftp": lines.ftp,
    "nntp": lines.nntp,
    "sieve": lines.sieve,
    "ldap": packets.ldap,
    "postgresql": packets.postgresql,
    "mysql": packets.mysql,
    "rdp": packets.rdp,
}
_BY_HOST: dict[str, Callable[[str], Script]] = {"xmpp": xmpp.client, "xmpp-server": xmpp.server}
_MSSQL = "mssql"

DIRECT = {"mssql-strict": "tds/8.0", "postgresql-direct": "postgresql"}
"""Ways that begin with TLS at once, and the protocol that the hello must name (ALPN): TDS 8.0 (MS-TDS, 3.2.5.1) and
PostgreSQL 17 (`sslnegotiation=direct`)."""

NAMES = (*_PLAIN, *_BY_HOST, _MSSQL, *DIRECT)
"""Every name that `preface` knows."""


def _at_once() -> Script:
    yield from ()


def preface(name: str, host: str) -> Preface:
    """Return a fresh preface for the protocol `name` at `host`. Raises `KeyError` where `NAMES` does not hold it."""
    if name == _MSSQL:
        return TdsPreface()
    if name in DIRECT:
        return Preface(_at_once())
    return Preface(_BY_HOST[name](host) if name in _BY_HOST else _PLAIN[name]())
