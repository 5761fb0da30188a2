"""What the configuration files of the daemons say; everything they write stays below one folder."""

import os
from collections.abc import Mapping
from pathlib import Path

from tests.edge.probes.bed.certificates import Pair
from tests.edge.probes.bed.programs import HOST


def nginx(folder: Path, servers: Mapping[int, str]) -> str:
    """Return nginx's settings for the server blocks by port."""
    temporary = "".join(f"{kind}_temp_path {folder}/nginx-{kind};\n" for kind in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
    strangers = "listen {0}:{1} ssl default_server; ssl_reject_handshake on; ssl_protocols TLSv1.2 TLSv1.3;"  # an alert
    blocks = "".join(
        f"server {{ listen {HOST}:{port} ssl; {block} }}\n"
        + ("server { " + strangers.format(HOST, port) + " }\n" if "server_name" in block else "")
        for port, block in servers.items()
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    return (
        f"{user}daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;\n"
        f"events {{ worker_connections 256; }}\nhttp {{ access_log off;\n{temporary}{blocks}}}\n"
    )


def dovecot(folder: Path, pair: Pair, imap: int, pop3: int) -> str:
    """Return Dovecot's settings: IMAP and POP3 with STARTTLS, and nobody who could log in."""
    listeners = "".join(
        f"service {name}-login {{\n inet_listener {name} {{\n address = {HOST}\n port = {port}\n }}\n"
        f" inet_listener {name}s {{\n port = 0\n }}\n}}\n"
        for name, port in (("imap", imap), ("pop3", pop3))
    )
    return (
        f"base_dir = {folder}/dovecot\nstate_dir = {folder}/dovecot-state\nlog_path = {folder}/dovecot.log\n"
        f"protocols = imap pop3\nssl = yes\nssl_min_protocol = TLSv1.2\n"
        f"ssl_cert = <{pair.certificate}\nssl_key = <{pair.key}\nmail_location = maildir:{folder}/mail\n{listeners}"
        "passdb {\n driver = static\n args = nologin=y\n}\n"
        "userdb {\n driver = static\n args = uid=nobody gid=nogroup\n}\n"
    )


def postfix_main(folder: Path, pair: Pair) -> str:
    """Return Postfix's main.cf: STARTTLS on one port, no mail taken from anybody."""
    return (
        f"compatibility_level = 3.6\nqueue_directory = {folder}/spool\ndata_directory = {folder}/postfix\n"
        f"maillog_file = {folder}/postfix.log\nmaillog_file_prefixes = {folder}\nmyhostname = mail.example\n"
        f"inet_interfaces = {HOST}\ninet_protocols = ipv4\nmydestination =\nalias_maps =\nlocal_recipient_maps =\n"
        f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {pair.certificate}\nsmtpd_tls_key_file = {pair.key}\n"
    )


def postfix_master(port: int) -> str:
    """Return Postfix's master.cf: the SMTP server, and what it cannot do without."""
    return (
        f"{port} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\nanvil unix - - n - 1 anvil\n"
        "tlsmgr unix - - n 1000 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\n"
    )


def strongswan(folder: Path, port: int) -> str:
    """Return the daemon's settings: its port for peers behind address translation, and none that needs to be 500."""
    return (
        "charon-systemd {\n load = random nonce openssl hmac kdf sha1 sha2 aes gmp curve25519 kernel-netlink"
        f" socket-default vici\n install_routes = no\n install_virtual_ip = no\n port = 0\n port_nat_t = {port}\n"
        f" plugins {{\n vici {{\n socket = unix://{folder}/vici\n }}\n }}\n}}\n"
    )


def swanctl(proposals: str) -> str:
    """Return one connection for anybody, with a pre-shared key beside the exchange for those who know it."""
    return (
        f"connections {{\n gateway {{\n version = 0\n local_addrs = {HOST}\n proposals = {proposals}\n"
        " ppk_id = link-1\n ppk_required = no\n local {\n auth = psk\n }\n remote {\n auth = psk\n }\n }\n}\n"
        "secrets {\n ppk-1 {\n id = link-1\n secret = 0x0102030405060708\n }\n}\n"
    )


def slapd(folder: Path, pair: Pair) -> str:
    """Return the settings of OpenLDAP's server, with an empty directory."""
    return (
        f"include /etc/ldap/schema/core.schema\npidfile {folder}/slapd.pid\nmodulepath /usr/lib/ldap\n"
        f"moduleload back_mdb\nTLSCertificateFile {pair.certificate}\nTLSCertificateKeyFile {pair.key}\n"
        f'database mdb\nsuffix "dc=example"\ndirectory {folder}/ldap\n'
    )


def vsftpd(folder: Path, pair: Pair, port: int) -> str:
    """Return the settings of an FTP server that lets nobody in."""
    return (
        f"listen=YES\nlisten_address={HOST}\nlisten_port={port}\nbackground=NO\nanonymous_enable=NO\nssl_enable=YES\n"
        f"rsa_cert_file={pair.certificate}\nrsa_private_key_file={pair.key}\nsecure_chroot_dir={folder}/nothing\n"
        "seccomp_sandbox=NO\nlocal_enable=YES\nuserlist_enable=YES\nuserlist_deny=NO\nuserlist_file=/dev/null\n"
    )


def prosody(folder: Path, pair: Pair, host: str, client: int, server: int) -> str:
    """Return the settings of an XMPP server for one domain."""
    return (
        f'daemonize = false\nrun_as_root = true\npidfile = "{folder}/prosody.pid"\ndata_path = "{folder}/prosody"\n'
        f'interfaces = {{ "{HOST}" }}\nc2s_ports = {{ {client} }}\ns2s_ports = {{ {server} }}\n'
        f'modules_enabled = {{ "tls", "saslauth", "c2s", "s2s" }}\nlog = {{ info = "{folder}/prosody.log" }}\n'
        f'ssl = {{ certificate = "{pair.certificate}", key = "{pair.key}" }}\nVirtualHost "{host}"\n'
    )


def postgresql(pair: Pair) -> str:
    """Return what PostgreSQL's settings need for TLS."""
    return f"ssl = on\nssl_cert_file = '{pair.certificate}'\nssl_key_file = '{pair.key}'\n"
