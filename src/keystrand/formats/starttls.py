"""The way to TLS on a connection that begins without it, by the name of the protocol (`model.estate.StartTls`).

What begins with TLS at once, such as SQL Server with TDS 8, has none.
"""

from collections.abc import Callable

from keystrand.formats import starttls_lines as lines
from keystrand.formats import starttls_packets as packets
from keystrand.formats import starttls_xmpp as xmpp
from keystrand.formats.starttls_script import Preface, Script
from keystrand.formats.starttls_tds import TdsPreface
from keystrand.model.starttls import StartTls

_SCRIPTS: dict[str, Callable[[], Script]] = {
    StartTls.SMTP: lines.smtp,
    StartTls.IMAP: lines.imap,
    StartTls.POP3: lines.pop3,
    StartTls.FTP: lines.ftp,
    StartTls.NNTP: lines.nntp,
    StartTls.SIEVE: lines.sieve,
    StartTls.LDAP: packets.ldap,
    StartTls.POSTGRESQL: packets.postgresql,
    StartTls.MYSQL: packets.mysql,
    StartTls.RDP: packets.rdp,
}
_SCRIPTS_BY_HOST: dict[str, Callable[[str], Script]] = {
    StartTls.XMPP: xmpp.client,
    StartTls.XMPP_SERVER: xmpp.server,
}


def preface(name: str, host: str) -> Preface:
    """Return a fresh preface for the protocol `name` at `host`. Raises `KeyError` where `StartTls` does not hold it."""
    if name == StartTls.MSSQL:
        return TdsPreface()
    return Preface(_SCRIPTS_BY_HOST[name](host) if name in _SCRIPTS_BY_HOST else _SCRIPTS[name]())
