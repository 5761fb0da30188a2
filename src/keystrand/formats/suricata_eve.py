"""Events of Suricata's eve.json as sessions and volumes: tls, ssh, quic, ike and flow.

Source: Suricata's user guide, "Eve JSON Format". Suricata names no group of TLS 1.3: what the client offered comes from
its JA3 text, the suite from JA3S. Volumes are octets of whole packets, as Suricata counts them.
"""

import base64
import binascii
import re
from collections.abc import Callable
from functools import lru_cache

import msgspec

from keystrand.formats import tls_codepoints as codes
from keystrand.formats.capture_session import Session, Use
from keystrand.formats.capture_ssh import cipher_name, mac_name
from keystrand.formats.capture_tally import MAX_VOLUME, Ends, Volume
from keystrand.formats.capture_tls import exchange_name as suite_exchange_name
from keystrand.formats.capture_tls import offers, offers_post_quantum
from keystrand.formats.ike_codepoints import exchange_name
from keystrand.formats.log_lines import BadLine, address, nanoseconds
from keystrand.formats.ssh_names import is_pseudo, key_exchange_name
from keystrand.formats.tls_offer import Offer
from keystrand.formats.tls_suites import suite
from keystrand.model.algorithm import Function

_VERSIONS = {"TLSv1": "TLSv1.0", "SSLv2": "SSLv2", "SSLv3": "SSLv3", "TLS 1.0": "TLSv1.0", "TLS 1.1": "TLSv1.1",
             "TLS 1.2": "TLSv1.2", "TLS 1.3": "TLSv1.3"}  # fmt: skip
_NUMBER = re.compile(r"(\d+)")
_IKE_CIPHERS = (("3DES", "3DES-168-CBC"), ("AES_GCM", "AES-GCM"), ("AES_CCM", "AES-CCM"), ("AES_CTR", "AES-CTR"),
                ("AES_CBC", "AES-CBC"), ("CHACHA20", "ChaCha20-Poly1305"), ("DES", "DES-CBC"))  # fmt: skip
_SSH_LISTS: tuple[tuple[Function, Callable[[str], str]], ...] = (
    (Function.KEY_ESTABLISHMENT, key_exchange_name),
    (Function.ENCRYPTION, cipher_name),
    (Function.MAC, mac_name),
)
_IKE_GROUPS = frozenset(map(exchange_name, range(1, 33)))
MAX_CHAIN = 16


class _Printed(msgspec.Struct, frozen=True):
    """A fingerprint with the text it is made from (JA3, JA3S, HASSH)."""

    string: str = ""


class _Tls(msgspec.Struct, frozen=True):
    version: str = ""
    certificate: str = ""
    chain: list[str] = []
    ja3: _Printed = _Printed()
    ja3s: _Printed = _Printed()


class _SshSide(msgspec.Struct, frozen=True):
    proto_version: str = ""
    software_version: str = ""
    hassh: _Printed = _Printed()


class _Ssh(msgspec.Struct, frozen=True):
    client: _SshSide = _SshSide()
    server: _SshSide = _SshSide()


class _Quic(msgspec.Struct, frozen=True):
    version: str = ""
    ja3: _Printed = _Printed()


class _Ike(msgspec.Struct, frozen=True):
    version_major: int = 0
    alg_enc: str = ""
    alg_dh: str = ""
    alg_dh_raw: int | None = None
    role: str = ""


class _Flow(msgspec.Struct, frozen=True):
    pkts_toserver: int = 0
    pkts_toclient: int = 0
    bytes_toserver: int = 0
    bytes_toclient: int = 0
    start: str = ""
    end: str = ""


class Event(msgspec.Struct, frozen=True):
    """One event, as much of it as is used here."""

    event_type: str = ""
    timestamp: str = ""
    flow_id: int = 0
    src_ip: str = ""
    src_port: int = 0
    dest_ip: str = ""
    dest_port: int = 0
    proto: str = ""
    app_proto: str = ""
    tls: _Tls | None = None
    ssh: _Ssh | None = None
    quic: _Quic | None = None
    ike: _Ike | None = None
    flow: _Flow | None = None


_DECODER = msgspec.json.Decoder(Event)


def event(line: bytes) -> Event:
    """Return the event in a line. Raises `BadLine`."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadLine("not an event") from error


def ends(found: Event) -> Ends:
    """Return who spoke to whom. Raises `BadLine`."""
    if not 0 < found.dest_port <= 65535:
        raise BadLine("no port has this number")
    return Ends(address(found.src_ip), address(found.dest_ip), found.dest_port)


def session(found: Event) -> Session | None:
    """Return the handshake in an event, None where it tells of none."""
    if found.tls is not None:
        return _tls(found.tls)
    if found.ssh is not None:
        one, other = found.ssh.client, found.ssh.server
        return _ssh(one.hassh.string, other.hassh.string, other.proto_version, other.software_version)
    if found.quic is not None:
        offer = _offer(found.quic.ja3.string)
        version = f"QUICv{found.quic.version}" if found.quic.version in ("1", "2") else found.quic.version[:32]
        return Session("quic", version, offers=offers(offer), offered_post_quantum=offers_post_quantum(offer.groups))
    if found.ike is not None:
        return _ike(found.ike)
    return None


def _tls(tls: _Tls) -> Session:
    chain = tuple(filter(None, map(_octets, tls.chain[:MAX_CHAIN] or [tls.certificate])))
    return _hello(tls.version, tls.ja3.string, tls.ja3s.string)._replace(certificates=chain)


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


@lru_cache(maxsize=8192)
def _hello(version: str, client: str, server: str) -> Session:
    number = _words(server, 1)[:1]
    chosen = suite(number[0]) if number else None
    offer = _offer(client)
    uses = []
    if chosen and chosen.exchange != "TLS13":
        name = suite_exchange_name(chosen.exchange)
        uses.append(Use(Function.KEY_ESTABLISHMENT, name, codes.code_point(number[0])))
    if chosen:
        uses.append(Use(Function.ENCRYPTION, chosen.cipher, codes.code_point(number[0])))
    return Session(
        protocol="tls",
        version=_VERSIONS.get(version, version[:32] if version != "UNDETERMINED" else ""),
        exchange=uses[0] if len(uses) > 1 else None,
        uses=tuple(uses),
        offers=offers(offer),
        offered_post_quantum=offers_post_quantum(offer.groups),
    )


def _words(text: str, field: int) -> tuple[int, ...]:
    """Return the numbers in one of the fields that commas part, dashes between them."""
    fields = text.split(",")
    found = fields[field].split("-") if field < len(fields) else []
    return tuple(int(word) for word in found[:256] if word.isascii() and word.isdecimal() and len(word) <= 5)


@lru_cache(maxsize=4096)
def _offer(ja3: str) -> Offer:
    return Offer((), _words(ja3, 1), _words(ja3, 3), (), ())


@lru_cache(maxsize=8192)
def _ssh(client: str, server: str, version: str, software: str) -> Session:
    mine, theirs = ([names.split(",") for names in text[:8192].split(";")] for text in (client, server))
    agreed = [next((name for name in a if name in b and not is_pseudo(name)), "")
              for a, b in zip(mine, theirs, strict=False)]  # fmt: skip
    uses = tuple(Use(function, canonical(name[:64]), name[:64])
                 for (function, canonical), name in zip(_SSH_LISTS, agreed, strict=False) if name)  # fmt: skip
    offered = (name[:64] for name in mine[0][:128] if name and not is_pseudo(name))
    return Session(
        protocol="ssh",
        version="2.0" if version == "1.99" else version[:16],
        software=software[:64],
        exchange=uses[0] if uses and agreed[0] else None,
        uses=uses,
        offers=tuple(Use(Function.KEY_ESTABLISHMENT, key_exchange_name(name), name) for name in offered),
    )


def _ike(ike: _Ike) -> Session:
    uses = []
    if name := _ike_exchange(ike):
        uses.append(Use(Function.KEY_ESTABLISHMENT, name, ike.alg_dh[:64]))
    if cipher := next((canonical for word, canonical in _IKE_CIPHERS if word in ike.alg_enc.upper()), ""):
        uses.append(Use(Function.ENCRYPTION, cipher, ike.alg_enc[:64]))
    return Session("ike", f"IKEv{ike.version_major}" if ike.version_major else "",
                   exchange=uses[0] if name else None, uses=tuple(uses))  # fmt: skip


def _ike_exchange(ike: _Ike) -> str:
    """Return the canonical name of a group as Suricata writes it: `Modp2048`, `Ecp256`, `Curve25519`, or its number."""
    if ike.alg_dh_raw is not None:
        return exchange_name(ike.alg_dh_raw)
    text = ike.alg_dh
    if text in ("", "None"):
        return ""
    match = _NUMBER.search(text)
    size = match[1] if match else ""
    named = {"Modp": f"FFDH-{size}", "Ecp": f"ECDH-P-{size}", "Brai": f"ECDH-b{text[1:]}", "Curv": f"X{size}"}
    found = named.get(text[:3], named.get(text[:4], ""))
    if found in _IKE_GROUPS:
        return found
    return exchange_name(int(size)) if size and len(size) <= 5 else f"IKE-key-exchange-{text[:32]}"


def volume(found: Event) -> Volume:
    """Return the volume in a flow event. Raises `BadLine`."""
    flow = found.flow
    if flow is None:
        raise BadLine("no volumes")
    try:
        first, last = nanoseconds(flow.start or found.timestamp), nanoseconds(flow.end or found.timestamp)
    except (ValueError, OverflowError) as error:
        raise BadLine("no times") from error
    numbers = flow.bytes_toserver, flow.bytes_toclient, flow.pkts_toserver + flow.pkts_toclient
    if any(not 0 <= number <= MAX_VOLUME for number in numbers):
        raise BadLine("a volume that no link carries")
    return Volume(*numbers, first, last)
