"""The truth table: each server as it is configured, and what a scan must say of it."""

import re
from typing import Any, NamedTuple

from keystrand.model.estate import ProbeKind
from keystrand.model.starttls import StartTls


class Server(NamedTuple):
    """How a server is configured: the program, its certificates or host keys, settings in the program's own words."""

    program: str
    certificates: tuple[str, ...]
    words: str = ""
    options: tuple[tuple[str, object], ...] = ()
    starttls: StartTls | None = None


class Truth(NamedTuple):
    """What must be seen; None: cannot be known. `authenticates` names all that sign handshakes, sorted."""

    versions: str
    supports: bool | None
    negotiates: bool | None
    downgrades: bool | None
    key: str
    authenticates: str


class Case(NamedTuple):
    """One row. `remark` is what the attempt's reason must hold; empty: nothing is left to say. No truth: not seen."""

    name: str
    server: Server
    truth: Truth | None
    remark: str

    @property
    def host(self) -> str:
        """Return the name that a scan asks for: it never resolves (RFC 6761)."""
        return re.sub("[^a-z0-9]+", "-", self.name.lower()).strip("-") + ".example"

    @property
    def probe(self) -> ProbeKind:
        """Return the probe that asks it."""
        return {"sshd": ProbeKind.SSH, "charon-systemd": ProbeKind.IKE}.get(self.server.program, ProbeKind.TLS)


def node(
    kinds: str, groups: str = "", *, only: str = "", starttls: StartTls | None = None, **options: object
) -> Server:
    """Return a server on Node: certificates joined by "+", OpenSSL's list of groups, one version only."""
    chosen = options | ({"ecdhCurve": groups} if groups else {}) | ({"behind": str(starttls)} if starttls else {})
    chosen |= {"minVersion": f"TLSv{only}", "maxVersion": f"TLSv{only}"} if only else {}
    return Server("node", tuple(kinds.split("+")), "", tuple(chosen.items()), starttls)


def other(program: str, kinds: str, words: str = "", *, starttls: StartTls | None = None) -> Server:
    """Return a server of another program."""
    return Server(program, tuple(kinds.split("+")), words, (), starttls)


EC, RSA, PQ = "ECDSA-P-256", "RSA-2048", "ML-DSA-65"
HYBRID = "X25519MLKEM768"
EVERY = f"{HYBRID}:SecP256r1MLKEM768:SecP384r1MLKEM1024:MLKEM768:MLKEM1024"
STRICT: dict[str, Any] = {"requestCert": True, "rejectUnauthorized": True}
OLD: dict[str, Any] = {"ciphers": "DEFAULT@SECLEVEL=0"}
NEW = "ssl_protocols TLSv1.2 TLSv1.3;"
SMTP, IMAP, POP3, POSTGRESQL = StartTls.SMTP, StartTls.IMAP, StartTls.POP3, StartTls.POSTGRESQL

SERVERS = {
    "hybrid by default": node(RSA),
    "hybrid, Ed25519": node("Ed25519"),
    "hybrid first, one tuple": node(EC, f"{HYBRID}:X25519:P-256"),
    "hybrid above classical": node(EC, f"{HYBRID}/X25519"),
    "classical first": node(EC, f"X25519:{HYBRID}"),
    "classical above hybrid": node(EC, f"P-384/{HYBRID}"),
    "classical groups": node(EC, "X25519:P-256"),
    "hybrid only": node(EC, HYBRID, only="1.3"),
    "hybrid only, ML-DSA": node(PQ, HYBRID, only="1.3"),
    "hybrid with P-256": node(EC, "SecP256r1MLKEM768", only="1.3"),
    "hybrid with P-384": node("ECDSA-P-384", "SecP384r1MLKEM1024", only="1.3"),
    "pure ML-KEM-768": node(EC, "MLKEM768", only="1.3"),
    "pure ML-KEM-1024": node(EC, "MLKEM1024", only="1.3"),
    "all post-quantum": node(PQ, EVERY, only="1.3"),
    "RSA and ECDSA": node(f"{RSA}+{EC}"),
    "ML-DSA and ECDSA": node(f"{PQ}+{EC}"),
    "ML-DSA and RSA": node(f"{PQ}+{RSA}"),
    "client certificate": node(EC, **STRICT),
    "client certificate, 1.2": node(EC, only="1.2", **STRICT),
    "client certificate, old": other("openssl", RSA, "-Verify 2"),
    "retry for P-521": node(EC, "P-521", only="1.3"),
    "retry for X448": node(EC, "X448", only="1.3"),
    "TLS 1.3": other("openssl", EC, "-tls1_3"),
    "TLS 1.2": node(RSA, only="1.2"),
    "TLS 1.1": node(RSA, only="1.1", **OLD),
    "TLS 1.0": node(RSA, only="1", **OLD),
    "TLS 1.0 to 1.3": node(RSA, minVersion="TLSv1", **OLD),
    "static RSA": other("openssl", RSA, "-tls1_2 -cipher AES128-GCM-SHA256"),
    "finite field": other("openssl", RSA, "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256"),
    "curve P-384": other("openssl", "ECDSA-P-384", "-groups P-384"),
    "nginx": other("nginx", RSA, NEW),
    "nginx, two certificates": other("nginx", f"{RSA}+{EC}", NEW),
    "nginx, name required": other("nginx", EC, f"{NEW} server_name nginx-name-required.example;"),
    "SMTP, hybrid": node(RSA, starttls=SMTP),
    "SMTP, hybrid and ML-DSA": node(PQ, HYBRID, only="1.3", starttls=SMTP),
    "SMTP of Postfix": other("postfix", RSA, starttls=SMTP),
    "IMAP of Dovecot": other("dovecot imap", EC, starttls=IMAP),
    "POP3 of Dovecot": other("dovecot pop3", EC, starttls=POP3),
    "PostgreSQL": other("postgresql", EC, starttls=POSTGRESQL),
    "LDAP of OpenLDAP": other("slapd", RSA, starttls=StartTls.LDAP),
    "FTP of vsftpd": other("vsftpd", RSA, starttls=StartTls.FTP),
    "XMPP of Prosody": other("prosody", RSA, starttls=StartTls.XMPP),
    "strongSwan": other("charon-systemd", "", "aes256-sha256-ecp384-x25519,aes128-sha1-modp1024"),
    "OpenSSH": other("sshd", "ed25519+ecdsa+rsa"),
    "OpenSSH, X25519": other("sshd", "ed25519", "curve25519-sha256"),
    "OpenSSH, P-256": other("sshd", "ecdsa", "ecdh-sha2-nistp256"),
    "OpenSSH, finite field": other("sshd", "rsa", "diffie-hellman-group14-sha256"),
}
"""How each is configured."""

TABLE = """
name                    | versions        | supp. | neg. | down. | key establishment      | authenticates
hybrid by default       | 1.3 1.2         | yes   | yes  | no    | X25519MLKEM768         | RSA-2048
hybrid, Ed25519         | 1.3 1.2         | yes   | yes  | no    | X25519MLKEM768         | Ed25519
hybrid first, one tuple | 1.3 1.2         | yes   | yes  | yes   | X25519MLKEM768         | ECDSA-P-256
hybrid above classical  | 1.3 1.2         | yes   | yes  | no    | X25519MLKEM768         | ECDSA-P-256
classical first         | 1.3 1.2         | yes   | no   | yes   | X25519                 | ECDSA-P-256
classical above hybrid  | 1.3 1.2         | yes   | no   | yes   | ECDH-P-384             | ECDSA-P-256
classical groups        | 1.3 1.2         | no    | no   | no    | X25519                 | ECDSA-P-256
hybrid only             | 1.3             | yes   | yes  | no    | X25519MLKEM768         | ECDSA-P-256
hybrid only, ML-DSA     | 1.3             | yes   | yes  | no    | X25519MLKEM768         | ML-DSA-65
hybrid with P-256       | 1.3             | yes   | yes  | no    | SecP256r1MLKEM768      | ECDSA-P-256
hybrid with P-384       | 1.3             | yes   | yes  | no    | SecP384r1MLKEM1024     | ECDSA-P-384
pure ML-KEM-768         | 1.3             | yes   | yes  | no    | ML-KEM-768             | ECDSA-P-256
pure ML-KEM-1024        | 1.3             | yes   | yes  | no    | ML-KEM-1024            | ECDSA-P-256
all post-quantum        | 1.3             | yes   | yes  | no    | X25519MLKEM768         | ML-DSA-65
RSA and ECDSA           | 1.3 1.2         | yes   | yes  | no    | X25519MLKEM768         | ECDSA-P-256 RSA-2048
ML-DSA and ECDSA        | 1.3 1.2         | yes   | yes  | no    | X25519MLKEM768         | ECDSA-P-256 ML-DSA-65
ML-DSA and RSA          | 1.3 1.2         | yes   | yes  | no    | X25519MLKEM768         | ML-DSA-65 RSA-2048
client certificate      | 1.3 1.2         | yes   | yes  | no    | X25519MLKEM768         | ECDSA-P-256
client certificate, 1.2 | 1.2             | no    | no   | no    | X25519                 | ECDSA-P-256
client certificate, old | 1.3 1.2         | no    | no   | no    | X25519                 | RSA-2048
retry for P-521         | 1.3             | no    | no   | no    | ECDH-P-521             | ECDSA-P-256
retry for X448          | 1.3             | no    | no   | no    | X448                   | ECDSA-P-256
TLS 1.3                 | 1.3             | no    | no   | no    | X25519                 | ECDSA-P-256
TLS 1.2                 | 1.2             | no    | no   | no    | X25519                 | RSA-2048
TLS 1.1                 | 1.1             | no    | no   | no    | X25519                 | RSA-2048
TLS 1.0                 | 1.0             | no    | no   | no    | X25519                 | RSA-2048
TLS 1.0 to 1.3          | 1.3 1.2 1.1 1.0 | yes   | yes  | no    | X25519MLKEM768         | RSA-2048
static RSA              | 1.2             | no    | no   | no    | RSA-KEX-2048           |
finite field            | 1.2             | no    | no   | no    | FFDH-2048              | RSA-2048
curve P-384             | 1.3 1.2         | no    | no   | no    | ECDH-P-384             | ECDSA-P-384
nginx                   | 1.3 1.2         | no    | no   | no    | X25519                 | RSA-2048
nginx, two certificates | 1.3 1.2         | no    | no   | no    | X25519                 | ECDSA-P-256 RSA-2048
nginx, name required    | 1.3 1.2         | no    | no   | no    | X25519                 | ECDSA-P-256
SMTP, hybrid            | 1.3 1.2         | yes   | yes  | no    | X25519MLKEM768         | RSA-2048
SMTP, hybrid and ML-DSA | 1.3             | yes   | yes  | no    | X25519MLKEM768         | ML-DSA-65
SMTP of Postfix         | 1.3 1.2 1.1 1.0 | no    | no   | no    | X25519                 | RSA-2048
IMAP of Dovecot         | 1.3 1.2         | ?     | no   | ?     | X25519                 | ECDSA-P-256
POP3 of Dovecot         | 1.3 1.2         | ?     | no   | ?     | X25519                 | ECDSA-P-256
PostgreSQL              | 1.3 1.2         | no    | no   | no    | ECDH-P-256             | ECDSA-P-256
LDAP of OpenLDAP        | 1.3 1.2 1.1 1.0 | ?     | no   | ?     | X25519                 | RSA-2048
FTP of vsftpd           | 1.3 1.2         | no    | no   | no    | ECDH-P-256             | RSA-2048
XMPP of Prosody         | 1.3 1.2         | no    | no   | no    | X25519                 | RSA-2048
strongSwan              | IKEv2 IKEv1     | no    | no   | ?     | ECDH-P-384             |
OpenSSH                 | 2.0             | ?     | ?    | ?     | sntrup761x25519-sha512 | ECDSA-P-256 Ed25519 RSA-2048
OpenSSH, X25519         | 2.0             | no    | no   | no    | X25519                 | Ed25519
OpenSSH, P-256          | 2.0             | no    | no   | no    | ECDH-P-256             | ECDSA-P-256
OpenSSH, finite field   | 2.0             | no    | no   | no    | FFDH-2048              | RSA-2048
"""
"""What must be seen.

Supports: accepts a post-quantum key exchange. Negotiates: gives it to a client of today. Downgrades: takes a classical
share without a word though both sides support better. `?`: cannot be known.
"""

REMARKS = {
    # closes instead of an alert, which is no answer
    "IMAP of Dovecot": "post-quantum-groups: unknown, connection closed",
    "POP3 of Dovecot": "post-quantum-groups: unknown, connection closed",
    "LDAP of OpenLDAP": "post-quantum-groups: unknown, connection closed",
    "OpenSSH, finite field": "the host key was shown but not proven",
}
_ANSWERS = {"yes": True, "no": False, "?": None}


def _case(line: str) -> Case:
    name, versions, supports, negotiates, downgrades, key, authenticates = (one.strip() for one in line.split("|"))
    server = SERVERS[name]
    prefix = "" if server.program in ("sshd", "charon-systemd") else "TLSv"
    truth = Truth(
        " ".join(prefix + version for version in versions.split()),
        _ANSWERS[supports],
        _ANSWERS[negotiates],
        _ANSWERS[downgrades],
        key,
        authenticates,
    )
    return Case(name, server, truth, REMARKS.get(name, ""))


CASES = tuple(map(_case, TABLE.strip().splitlines()[1:]))
TOLD_IN_FULL = {"SMTP of Postfix": "which proves no identity"}
"""What only a full scan finds and remarks: Postfix accepts suites of anonymous key exchange by default."""

STRANGER = Case(
    "nginx, another name", other("nginx", EC, f"{NEW} server_name other.example;"), None, "unrecognized_name (112)"
)
"""Serves another name than it is asked for: that must be told, and not taken for a host without TLS."""
