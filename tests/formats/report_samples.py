"""Reports of other tools as they write them, about a server that does not exist."""

import base64
import datetime as dt
import json
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from keystrand.formats.x509_facts import certificate_fact
from keystrand.model.observation import Certificate


@cache
def pem() -> str:
    """Return a certificate of RSA-2048."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web.example.org")])
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 7, begin, begin + dt.timedelta(days=90))
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def der() -> bytes:
    """Return the same certificate in DER."""
    return base64.b64decode("".join(pem().splitlines()[1:-1]))


def certificate() -> Certificate:
    """Return what any other collector says of it."""
    return certificate_fact(der())


def sslyze(**changes: Any) -> dict[str, Any]:
    """Return the report of sslyze on one server of TLS 1.2 and 1.3."""
    suites = {
        "tls_version_used": "TLS_1_2",
        "is_tls_version_supported": True,
        "accepted_cipher_suites": [
            {
                "cipher_suite": {"name": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "key_size": 256},
                "ephemeral_key": {"type_name": "ECDH", "size": 256, "curve_name": "prime256v1"},
            },
            {"cipher_suite": {"name": "TLS_RSA_WITH_AES_128_CBC_SHA"}, "ephemeral_key": None},
            {
                "cipher_suite": {"name": "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"},
                "ephemeral_key": {"type_name": "DH", "size": 2048, "curve_name": None},
            },
        ],
    }
    old = {"tls_version_used": "TLS_1_0", "is_tls_version_supported": False, "accepted_cipher_suites": []}
    newest = {
        "tls_version_used": "TLS_1_3",
        "is_tls_version_supported": True,
        "accepted_cipher_suites": [{"cipher_suite": {"name": "TLS_AES_256_GCM_SHA384"}, "ephemeral_key": None}],
    }
    server = {
        "server_location": {"hostname": "web.example.org", "port": 443, "ip_address": "192.0.2.7"},
        "connectivity_status": "COMPLETED",
        "connectivity_result": {"cipher_suite_supported": "TLS_AES_256_GCM_SHA384"},
        "scan_status": "COMPLETED",
        "scan_result": {
            "certificate_info": {
                "status": "COMPLETED",
                "result": {"certificate_deployments": [{"received_certificate_chain": [{"as_pem": pem()}]}]},
            },
            "tls_1_0_cipher_suites": {"status": "COMPLETED", "result": old},
            "tls_1_2_cipher_suites": {"status": "COMPLETED", "result": suites},
            "tls_1_3_cipher_suites": {"status": "COMPLETED", "result": newest},
            "elliptic_curves": {"result": {"supported_curves": [{"name": "X25519", "openssl_nid": 1034}]}},
        },
        **changes,
    }
    return {"invalid_server_strings": [], "server_scan_results": [server], "sslyze_version": "6.3.1"}


TESTSSL_FINDINGS: list[tuple[str, str]] = [
    ("service", "HTTP"),
    ("SSLv3", "not offered"),
    ("TLS1", "not offered"),
    ("TLS1_2", "offered"),
    ("TLS1_3", "offered with final"),
    ("FS_ciphers", "TLS_AES_256_GCM_SHA384 ECDHE-RSA-AES256-GCM-SHA384"),
    ("FS_KEMs", "X25519MLKEM768 MLKEM1024"),
    ("FS_ECDHE_curves", "prime256v1 X25519"),
    ("DH_groups", "ffdhe2048"),
    ("supportedciphers_TLSv1_3", "TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256"),
    ("FS_TLS13_sig_algs", "RSA-PSS-RSAE+SHA256 MLDSA65"),
    ("cipher-tls1_2_xc030", "TLS 1.2   xc030   ECDHE-RSA-AES256-GCM-SHA384       ECDH 253   AESGCM      256      "
                            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    ("cipher_negotiated", "TLS_AES_256_GCM_SHA384, 253 bit ECDH (X25519)"),
]  # fmt: skip


def testssl_flat() -> list[dict[str, str]]:
    """Return the flat report of testssl.sh, with a problem of the client and the certificate on one line."""
    found = [*TESTSSL_FINDINGS, ("cert", " ".join(pem().split("\n")))]
    rows = [
        {"id": name, "ip": "web.example.org/192.0.2.7", "port": "443", "severity": "INFO", "finding": said}
        for name, said in found
    ]
    return [{"id": "engine_problem", "ip": "/", "port": "443", "severity": "WARN", "finding": "No engine"}, *rows]


def testssl_pretty() -> dict[str, Any]:
    """Return the same in the pretty form."""
    findings = [{"id": r["id"], "severity": r["severity"], "finding": r["finding"]} for r in testssl_flat()[1:]]
    scanned = {"targetHost": "web.example.org", "ip": "192.0.2.7", "port": "443", "rDNS": "--", "protocols": findings}
    return {"Invocation": "testssl", "version": "3.3dev", "startTime": "1", "scanResult": [scanned], "scanTime": 22}


def ssh_audit() -> dict[str, Any]:
    """Return the report of ssh-audit on one server."""
    return {
        "banner": {"comments": None, "protocol": "2.0", "raw": "SSH-2.0-OpenSSH_9.9", "software": "OpenSSH_9.9"},
        "compression": ["none"],
        "cves": [],
        "enc": [{"algorithm": "chacha20-poly1305@openssh.com", "notes": {}}, {"algorithm": "aes256-ctr"}],
        "fingerprints": [{"hash": "EgzhuaBHZ11t", "hash_alg": "SHA256", "hostkey": "ssh-ed25519"}],
        "kex": [
            {"algorithm": "mlkem768x25519-sha256", "notes": {}},
            {"algorithm": "curve25519-sha256"},
            {"algorithm": "kex-strict-s-v00@openssh.com"},
        ],
        "key": [{"algorithm": "ssh-ed25519"}, {"algorithm": "rsa-sha2-512", "keysize": 3072}],
        "mac": [{"algorithm": "hmac-sha2-256-etm@openssh.com"}, {"algorithm": "umac-64@openssh.com"}],
        "target": "[2001:db8::7]:2222",
    }


def nmap() -> str:
    """Return the report of nmap on one host with TLS and SSH."""
    lines = pem().strip().replace("\n", "&#xa;")
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE nmaprun>
<?xml-stylesheet href="file:///usr/share/nmap/nmap.xsl" type="text/xsl"?>
<nmaprun scanner="nmap" version="7.93" xmloutputversion="1.05">
<host starttime="1"><status state="up"/><address addr="192.0.2.7" addrtype="ipv4"/>
<hostnames><hostname name="web.example.org" type="user"/><hostname name="x.example" type="PTR"/></hostnames>
<ports>
<port protocol="tcp" portid="22"><state state="open"/><service name="ssh" product="OpenSSH" version="9.9"/>
<script id="ssh2-enum-algos" output="&#xa;"><table key="kex_algorithms"><elem>sntrup761x25519-sha512</elem></table>
<table key="server_host_key_algorithms"><elem>ssh-ed25519</elem></table>
<table key="encryption_algorithms"><elem>aes128-ctr</elem></table>
<table key="mac_algorithms"><elem>hmac-sha1</elem></table></script>
<script id="ssh-hostkey" output=""><table><elem key="type">ssh-ed25519</elem>
<elem key="key">AAAAC3NzaC1lZDI1NTE5AAAAIJZVq6t8aqvySnIYzDOGd8U/GZdx1AooAUTX6jHWIc5v</elem></table></script></port>
<port protocol="tcp" portid="443"><state state="open"/><service name="http" product="nginx" tunnel="ssl"/>
<script id="ssl-cert" output=""><elem key="pem">{lines}</elem></script>
<script id="ssl-enum-ciphers" output=""><table key="TLSv1.2"><table key="ciphers">
<table><elem key="kex_info">secp256r1</elem><elem key="name">TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256</elem></table>
<table><elem key="kex_info">dh 2048</elem><elem key="name">TLS_DHE_RSA_WITH_AES_128_GCM_SHA256</elem></table>
<table><elem key="kex_info">rsa 2048</elem><elem key="name">TLS_RSA_WITH_3DES_EDE_CBC_SHA</elem></table>
</table></table><table key="TLSv1.3"><table key="ciphers">
<table><elem key="kex_info">ecdh_x25519</elem><elem key="name">TLS_AKE_WITH_AES_256_GCM_SHA384</elem></table>
</table></table><elem key="least strength">C</elem></script></port>
<port protocol="tcp" portid="80"><state state="open"/><service name="http"/></port>
</ports></host></nmaprun>
"""


def zgrab() -> bytes:
    """Return lines of zgrab2: TLS, SSH, a grab that failed."""
    raw = base64.b64encode(der()).decode()
    handshake = {
        "server_hello": {"version": {"name": "TLSv1.2", "value": 771},
                         "cipher_suite": {"name": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "value": 49199}},
        "server_certificates": {"certificate": {"raw": raw}},
        "server_key_exchange": {"ecdh_params": {"curve_id": {"name": "secp256r1", "id": 23}}},
    }  # fmt: skip
    newest = {"server_hello": {"version": {"name": "TLSv1.2", "value": 771},
              "cipher_suite": {"name": "TLS_AES_128_GCM_SHA256"},
              "supported_versions": {"selected_version": {"name": "TLSv1.3", "value": 772}},
              "key_share": {"hex": "0x11EC", "name": "X25519MLKEM768", "value": 4588}}}  # fmt: skip
    offer = {"kex_algorithms": ["curve25519-sha256"], "host_key_algorithms": ["ssh-ed25519"],
             "server_to_client_ciphers": ["aes128-ctr"], "server_to_client_macs": ["hmac-sha1"]}  # fmt: skip
    lines = (
        {"ip": "192.0.2.7", "domain": "web.example.org", "data": {"tls": {"status": "success", "protocol": "tls",
         "port": 8443, "result": {"handshake_log": handshake}}}},
        {"ip": "192.0.2.8", "data": {"http": {"status": "success", "protocol": "http",
         "result": {"response": {"request": {"tls_log": {"handshake_log": handshake}}}}}}},
        {"ip": "192.0.2.9", "data": {"ssh": {"status": "success", "protocol": "ssh", "port": 22, "result": {
         "server_id": {"version": "2.0", "software": "OpenSSH_9.9"}, "server_key_exchange": offer}}}},
        {"ip": "192.0.2.11", "data": {"smtp": {"status": "success", "protocol": "smtp",
         "result": {"banner": "220 mail", "tls": {"handshake_log": newest}}}}},
        {"ip": "192.0.2.10", "data": {"tls": {"status": "connection-timeout", "protocol": "tls", "result": None}}},
    )  # fmt: skip
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def sarif() -> dict[str, Any]:
    """Return the log of an analyser: a rule that names its algorithm, one whose message does, one of another matter."""

    def result(rule: str, message: str, line: int, **more: Any) -> dict[str, Any]:
        place = {"artifactLocation": {"uri": "src/auth.py"}, "region": {"startLine": line}}
        return {"ruleId": rule, "message": {"text": message}, "locations": [{"physicalLocation": place}], **more}

    rules = [
        {"id": "python.lang.security.insecure-hash-algorithms-md5"},
        {"id": "py/weak-cryptographic-algorithm", "shortDescription": {"text": "A broken or weak algorithm"}},
        {"id": "py/sql-injection", "name": "SqlInjection"},
    ]
    results = [
        result("python.lang.security.insecure-hash-algorithms-md5", "Detected a hash", 12),
        result("py/weak-cryptographic-algorithm", "The algorithm DES is broken; use AES-256-GCM not RC4", 30),
        result("py/sql-injection", "a query built from RSA and DES", 40),
        result("java:S5547", "Use a strong cipher instead of 3DES", 50),
        {"ruleId": 7},
    ]
    driver = {"name": "CodeQL", "rules": rules}
    return {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
