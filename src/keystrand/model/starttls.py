"""The protocols that begin in the clear and change to TLS on request."""

from enum import StrEnum


class StartTls(StrEnum):
    """What a client says before TLS begins."""

    SMTP = "smtp"
    IMAP = "imap"
    POP3 = "pop3"
    FTP = "ftp"
    LDAP = "ldap"
    XMPP = "xmpp"
    XMPP_SERVER = "xmpp-server"
    NNTP = "nntp"
    SIEVE = "sieve"
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    RDP = "rdp"
    MSSQL = "mssql"
