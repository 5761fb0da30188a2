"""Rows of Zeek's ssl, ssh, quic, x509 and conn logs as sessions and volumes.

Sources: Zeek's script reference (SSL::Info, SSH::Info, QUIC::Info, Conn::Info, X509::Info) and its names of curves,
which are IANA's; a code point that Zeek does not know is written `unknown-4588`.
"""

import base64
import binascii
import re
from functools import lru_cache
from typing import NamedTuple

from keystrand.formats import tls_codepoints as codes
from keystrand.formats.capture_session import Session, Use
from keystrand.formats.capture_ssh import cipher_name, mac_name
from keystrand.formats.capture_tally import MAX_VOLUME, Ends, Volume
from keystrand.formats.capture_tls import exchange_name
from keystrand.formats.log_lines import BadLine, address, nanoseconds
from keystrand.formats.ssh_names import host_key_name, key_exchange_name
from keystrand.formats.tls_suites import Suite, suite, suite_named
from keystrand.formats.zeek_log import Row
from keystrand.model.algorithm import Function

_CURVES = {
    "secp192r1": 19, "secp224r1": 21, "secp256k1": 22, "secp256r1": 23, "secp384r1": 24, "secp521r1": 25,
    "brainpoolP256r1": 26, "brainpoolP384r1": 27, "brainpoolP512r1": 28, "x25519": 29, "x448": 30,
    "brainpoolP256r1tls13": 31, "brainpoolP384r1tls13": 32, "brainpoolP512r1tls13": 33, "curveSM2": 41,
    "ffdhe2048": 256, "ffdhe3072": 257, "ffdhe4096": 258, "ffdhe6144": 259, "ffdhe8192": 260, "MLKEM512": 512,
    "MLKEM768": 513, "MLKEM1024": 514, "SecP256r1MLKEM768": 4587, "X25519MLKEM768": 4588, "SecP384r1MLKEM1024": 4589,
    "curveSM2MLKEM768": 4590, "X25519Kyber768Draft00": 25497, "SecP256r1Kyber768Draft00": 25498,
}  # fmt: skip
_UNKNOWN = re.compile(r"unknown-(\d{1,5})")
_VERSION = re.compile(r"(D?TLS)v(\d)(\d)(-draft\d+)?")
_QUIC_VERSIONS = {"1": "QUICv1", "2": "QUICv2", "quicv2": "QUICv2"}
_KEY_TYPES = {"ecdsa": "ECDSA", "ec": "ECDSA", "dsa": "DSA", "rsa": "RSA"}
_NIST = {"prime256v1": "P-256", "secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


class Joined(NamedTuple):
    """What a log of handshakes knows of a connection: its protocol and key establishment."""

    protocol: str
    exchange: str


def ends(row: Row) -> Ends:
    """Return who spoke to whom. Raises `BadLine`."""
    try:
        port = int(row["id.resp_p"])
        found = Ends(address(row["id.orig_h"]), address(row["id.resp_h"]), port)
    except (KeyError, ValueError) as error:
        raise BadLine("no addresses and ports") from error
    if not 0 < port <= 65535:
        raise BadLine("no port has this number")
    return found


def session(path: str, row: Row) -> Session | None:
    """Return the handshake in a row of the log `path`, None where it tells of none."""
    if path == "ssl":
        return _tls(row.get("version", ""), row.get("cipher", ""), row.get("curve", ""))
    if path == "ssh":
        names = (row.get(name, "") for name in ("kex_alg", "host_key_alg", "cipher_alg", "mac_alg", "server"))
        return _ssh(*names)
    if path == "quic" and (version := row.get("version", "")):
        return Session("quic", _QUIC_VERSIONS.get(version, f"QUIC-version-{version[:16]}"))
    return None


def group_name(curve: str) -> str:
    """Return the canonical name of a curve as Zeek writes it; one we do not know keeps Zeek's name."""
    number = _CURVES.get(curve)
    if number is None and (match := _UNKNOWN.fullmatch(curve)):
        number = int(match[1])
    return codes.group_name(number) if number is not None else f"TLS-group-{curve[:64]}"


def version_name(version: str) -> str:
    """Return a version as we write it: `TLSv12` is `TLSv1.2`."""
    return _VERSION.sub(r"\1v\2.\3\4", version[:32])


@lru_cache(maxsize=8192)
def _tls(version: str, cipher: str, curve: str) -> Session:
    match = _UNKNOWN.fullmatch(cipher)
    chosen = suite(int(match[1])) if match else suite_named(cipher)
    exchange = _exchange(chosen, curve)
    encryption = Use(Function.ENCRYPTION, chosen.cipher, cipher) if chosen else None
    return Session(
        protocol="dtls" if version.startswith("DTLS") else "tls",
        version=version_name(version),
        exchange=exchange,
        uses=tuple(use for use in (exchange, encryption) if use),
    )


def _exchange(chosen: Suite | None, curve: str) -> Use | None:
    if curve:
        return Use(Function.KEY_ESTABLISHMENT, group_name(curve), curve[:64])
    if chosen is None or chosen.exchange == "TLS13":
        return None
    return Use(Function.KEY_ESTABLISHMENT, exchange_name(chosen.exchange), chosen.exchange)


@lru_cache(maxsize=8192)
def _ssh(exchange: str, host_key: str, cipher: str, mac: str, server: str) -> Session:
    found = (
        (Function.KEY_ESTABLISHMENT, exchange, key_exchange_name),
        (Function.SIGNATURE, host_key, host_key_name),
        (Function.ENCRYPTION, cipher, cipher_name),
        (Function.MAC, mac, mac_name),
    )
    uses = tuple(Use(function, name(text[:64]), text[:64]) for function, text, name in found if text)
    _, _, rest = server.partition("-")
    version, _, software = rest.partition("-")
    return Session(
        protocol="ssh",
        version="2.0" if version == "1.99" else version[:16],
        software=software.split(" ")[0][:64],
        exchange=uses[0] if exchange else None,
        uses=uses,
    )


def volume(row: Row) -> Volume:
    """Return the volume in a row of the conn log: octets above TCP or UDP, as Zeek counts them. Raises `BadLine`."""
    try:
        first = nanoseconds(row["ts"])
        last = first + int(float(row.get("duration", "0")) * 10**9)
        numbers = [int(row.get(name, "0")) for name in ("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts")]
    except (KeyError, ValueError, OverflowError) as error:
        raise BadLine("no times and volumes") from error
    if any(not 0 <= number <= MAX_VOLUME for number in numbers):
        raise BadLine("a volume that no link carries")
    return Volume(numbers[0], numbers[1], numbers[2] + numbers[3], first, last)


def certificate_uses(row: Row) -> tuple[Use, ...]:
    """Return what a row of the x509 log says of a key and a signature, where the certificate itself is not there."""
    family, bits = _KEY_TYPES.get(row.get("certificate.key_type", ""), ""), row.get("certificate.key_length", "")
    curve = row.get("certificate.curve", "")
    if family == "ECDSA":
        name = f"ECDSA-{_NIST.get(curve, curve)}" if curve else "ECDSA"
    else:
        name = f"{family}-{bits}" if family and bits.isdecimal() else family
    return (Use(Function.SIGNATURE, name[:64], row.get("certificate.sig_alg", "")[:64]),) if name else ()


def certificate_octets(row: Row) -> bytes:
    """Return the certificate that a row of the x509 log holds where Zeek logs it (`cert`); empty where it does not."""
    try:
        return base64.b64decode(row.get("cert", ""), validate=True)
    except (binascii.Error, ValueError):
        return b""
