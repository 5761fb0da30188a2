"""Which settings of which software say something of cryptography: one table for each, as data.

Sources: the manual pages of each program: ssl(7) and config(5) of OpenSSL; sshd_config(5); ngx_http_ssl_module;
mod_ssl; HAProxy's configuration manual, section 5; swanctl.conf(5) and ipsec.conf(5) of strongSwan; wg(8);
postconf(5); PostgreSQL, chapter 20; the comments of `java.security`; systemd.netdev(5), resolved.conf(5), crypttab(5);
openvpn(8); Dovecot's and MySQL's manuals.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Form(StrEnum):
    """How a line is divided into a setting and its value."""

    SPACE = "setting value"
    EQUALS = "setting = value"
    PAIRS = "words, some of them settings"
    COLUMNS = "columns"


class Software(NamedTuple):
    """How to know its files, how they are written, and what each setting's value is (see `config_values.VALUES`).

    `path` is searched in the path in lower case, `marks` in the content. `settings` has names in lower case; one that
    begins with `*` is the end of a name. `nested` are settings whose value is a setting of OpenSSL and its value.
    `braces`: sections are in braces, and may stand on one line.
    """

    name: str
    path: str
    marks: bytes
    form: Form
    settings: Mapping[str, str]
    nested: tuple[str, ...] = ()
    comment: str = "#"
    columns: tuple[int, ...] = ()
    braces: bool = False


_OPENSSL = {
    "minprotocol": "least-version", "protocol": "versions", "cipherstring": "suites", "ciphersuites": "suites",
    "groups": "groups", "curves": "groups", "ecdhparameters": "groups", "signaturealgorithms": "schemes",
    "clientsignaturealgorithms": "schemes", "default_bits": "rsa-bits", "default_md": "digest",
    "options": "",
}  # fmt: skip
OPENSSL_COMMANDS: Mapping[str, str] = _OPENSSL
_SSH = {
    "kexalgorithms": "ssh-exchanges", "hostkeyalgorithms": "ssh-keys", "ciphers": "ssh-ciphers", "macs": "ssh-codes",
    "pubkeyacceptedalgorithms": "ssh-keys", "pubkeyacceptedkeytypes": "ssh-keys", "casignaturealgorithms": "ssh-keys",
    "hostbasedacceptedalgorithms": "ssh-keys", "hostbasedkeytypes": "ssh-keys",
}  # fmt: skip
_HAPROXY = {
    "ciphers": "suites", "ciphersuites": "suites", "curves": "groups", "ecdhe": "groups", "sigalgs": "schemes",
    "client-sigalgs": "schemes", "ssl-min-ver": "least-version", "ssl-default-bind-ciphers": "suites",
    "ssl-default-bind-ciphersuites": "suites", "ssl-default-bind-curves": "groups",
    "ssl-default-bind-sigalgs": "schemes", "ssl-default-server-ciphers": "suites",
    "ssl-default-server-ciphersuites": "suites", "ssl-default-server-curves": "groups",
}  # fmt: skip
_POSTFIX = {
    **{f"{side}_tls_{what}": "versions" for side in ("smtpd", "smtp", "lmtp", "tlsproxy")
       for what in ("protocols", "mandatory_protocols")},
    "tls_eecdh_auto_curves": "groups", "tls_ffdhe_auto_groups": "groups", "tls_high_cipherlist": "suites",
    "tls_medium_cipherlist": "suites", "tls_eecdh_strong_curve": "groups", "tls_eecdh_ultra_curve": "groups",
    "smtpd_tls_fingerprint_digest": "digest", "smtp_tls_fingerprint_digest": "digest",
    "smtpd_tls_security_level": "tls", "smtpd_use_tls": "tls",
}  # fmt: skip

SOFTWARE: tuple[Software, ...] = (
    Software("nginx", r"nginx", rb"(?m)^\s*ssl_(?:certificate|protocols|ciphers|ecdh_curve)\s+[^=\s]", Form.SPACE, {
        "ssl_protocols": "versions", "ssl_ciphers": "suites", "ssl_ecdh_curve": "groups", "listen": "listens",
        "proxy_ssl_protocols": "versions", "proxy_ssl_ciphers": "suites", "grpc_ssl_protocols": "versions",
        "grpc_ssl_ciphers": "suites",
    }, nested=("ssl_conf_command", "proxy_ssl_conf_command", "grpc_ssl_conf_command")),
    Software("Apache", r"apache|httpd", rb"(?mi)^\s*SSL(?:Engine|Protocol|CertificateFile|CipherSuite)\s", Form.SPACE, {
        "sslprotocol": "versions", "sslciphersuite": "suites", "sslproxyprotocol": "versions",
        "sslproxyciphersuite": "suites",
    }, nested=("sslopensslconfcmd",)),
    Software("HAProxy", r"haproxy", rb"(?m)^\s*(?:bind|server)\s.*\sssl\b|ssl-default-(?:bind|server)-", Form.PAIRS,
             _HAPROXY),
    Software("OpenSSH", r"sshd?_config", rb"(?mi)^\s*(?:KexAlgorithms|HostKeyAlgorithms|HostKey\s+/|Ciphers\s+\S+@)",
             Form.SPACE, _SSH),
    Software("OpenSSL", r"openssl[^/]*\.cnf|\.cnf$", rb"(?m)^\s*(?:openssl_conf|CipherString|MinProtocol|default_md|"
             rb"distinguished_name)\s*=", Form.EQUALS, _OPENSSL),
    Software("strongSwan", r"swanctl|ipsec\.(?:conf|secrets)|strongswan",
             rb"(?m)^\s*(?:esp_)?proposals\s*=|^conn\s+\S+",
             Form.EQUALS, {
        "proposals": "ike", "esp_proposals": "ike", "ah_proposals": "ike", "ike": "ike", "esp": "ike",
        "version": "ike-version", "keyexchange": "ike-version", "ppk_id": "ppk", "ppk_required": "ppk",
        "ppk": "ppk",
    }, braces=True),
    Software("WireGuard", r"wireguard|/wg\d*\.conf", rb"(?m)^\s*\[(?:Interface|WireGuard|WireGuardPeer)\]",
             Form.EQUALS, {
        "publickey": "wireguard-public", "privatekey": "wireguard-private", "presharedkey": "pre-shared",
        "presharedkeyfile": "pre-shared",
    }),
    Software("systemd", r"systemd/|\.netdev$|\.network$|resolved\.conf",
             rb"(?m)^\s*\[(?:MACsec|MACsecTransmitAssociation|Resolve)\]", Form.EQUALS, {
        "encrypt": "macsec", "dnssec": "dnssec", "dnsovertls": "dns-over-tls",
    }),
    Software("Postfix", r"postfix|main\.cf", rb"(?m)^\s*(?:smtpd?|lmtp)_(?:use_)?tls", Form.EQUALS, _POSTFIX),
    Software("PostgreSQL", r"postgresql", rb"(?m)^\s*(?:ssl_(?:min_protocol_version|ciphers|groups|ecdh_curve)|"
             rb"password_encryption)\s*=?", Form.EQUALS, {
        "ssl_ciphers": "suites", "ssl_tls13_ciphers": "suites", "ssl_groups": "groups", "ssl_ecdh_curve": "groups",
        "ssl_min_protocol_version": "least-version", "ssl": "tls", "password_encryption": "password-hash",
    }),
    Software("PostgreSQL", r"pg_hba\.conf", rb"(?m)^\s*host(?:no)?ssl\s", Form.COLUMNS, {"": "password-hash"},
             columns=(3, 4, 5)),
    Software("Java", r"java\.security", rb"(?m)^\s*(?:security\.provider\.\d|jdk\.tls\.\w+)\s*=", Form.EQUALS, {
        "jdk.tls.namedgroups": "groups", "jdk.tls.disabledalgorithms": "disabled",
        "jdk.tls.client.protocols": "versions",
        "jdk.tls.server.protocols": "versions", "jdk.tls.server.signatureschemes": "schemes",
        "jdk.tls.client.signatureschemes": "schemes", "jdk.tls.server.ciphersuites": "suites",
        "jdk.tls.client.ciphersuites": "suites", "*security.provider.": "provider",
    }),
    Software("OpenVPN", r"openvpn|\.ovpn$", rb"(?m)^\s*(?:data-ciphers|tls-crypt|tls-auth|remote-cert-tls)\b",
             Form.SPACE, {
        "cipher": "cipher", "data-ciphers": "cipher", "ncp-ciphers": "cipher", "auth": "mac", "tls-groups": "groups",
        "tls-version-min": "least-version", "tls-cipher": "suites", "tls-ciphersuites": "suites",
        "ecdh-curve": "groups", "tls-crypt": "pre-shared",
    }),
    Software("Dovecot", r"dovecot", rb"(?m)^\s*ssl_(?:min_protocol|cipher_list|cert|curve_list)\s*=", Form.EQUALS, {
        "ssl_min_protocol": "least-version", "ssl_protocols": "versions", "ssl_cipher_list": "suites",
        "ssl_cipher_suites": "suites", "ssl_curve_list": "groups", "ssl": "tls",
    }),
    Software("MySQL", r"my\.cnf|mysql|mariadb", rb"(?m)^\s*(?:tls[_-]version|ssl[_-]cipher|tls[_-]ciphersuites)\s*=",
             Form.EQUALS, {
        "tls_version": "versions", "tls-version": "versions", "ssl_cipher": "suites", "ssl-cipher": "suites",
        "tls_ciphersuites": "suites", "tls-ciphersuites": "suites",
    }),
    Software("dm-crypt", r"crypttab", rb"(?m)cipher=", Form.PAIRS, {"cipher": "cipher", "hash": "digest"}),
)  # fmt: skip

LOOKS_LIKE = re.compile(r"\.(?:conf|cnf|cfg|cf|ini|config|security|netdev|network|ovpn|properties|secrets)$|config$")
"""Paths that are opened to look for marks, in lower case; others only where `path` of a software matches."""
