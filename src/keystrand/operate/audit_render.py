"""Audit lines in the forms that other systems read: RFC 5424 syslog, CEF, OCSF. Pure.

Syslog and OCSF carry the line itself, byte for byte: who collects them holds the chain, and can verify it.
"""

import re
from datetime import datetime

import msgspec
from msgspec import Struct

from keystrand.operate.audit import Entry, hash_of

_FACILITY = 13
"""Log audit (RFC 5424, table 1)."""
_WARNING, _INFORMATIONAL = 4, 6
"""RFC 5424, table 2."""
_OCSF_VERSION = "1.3.0"
_API_ACTIVITY, _APPLICATION, _OTHER = 6003, 6, 99
_MEDIUM, _OCSF_INFORMATIONAL = 3, 1
_CEF_WARNING, _CEF_LOW = 6, 2

_NOTABLE = frozenset(
    (
        "denied",
        "refused",
        "failed",
        "burn",
        "differs",
        "rolled",
        "lost",
        "torn",
        "void",
        "revoke",
        "compromise",
        "fallback",
    )
)
"""Words of an action that make it worth a look."""

_entry = msgspec.json.Decoder(Entry).decode
_encode = msgspec.json.Encoder().encode


class Origin(Struct, frozen=True, kw_only=True):
    """Which key management entity speaks, and its release."""

    host: str
    version: str


def syslog(line: bytes, origin: Origin) -> bytes:
    """Return a line as a message after RFC 5424; the message's text is the line."""
    return _syslog(_entry(line), line.rstrip(b"\n"), origin)


def cef(line: bytes, origin: Origin) -> bytes:
    """Return a line as CEF version 0 in a message after RFC 5424."""
    entry = _entry(line)
    notable = _is_notable(entry.action)
    header = ("CEF:0", "keystrand", "keystrand", origin.version, entry.action, entry.action)
    extension = {
        "rt": _milliseconds(entry),
        "externalId": entry.seq,
        "suser": entry.actor,
        "cs1Label": "tlsGroup",
        "cs1": entry.group,
        "cs2Label": "detail",
        "cs2": bytes(entry.detail).decode(),
        "cs3Label": "prev",
        "cs3": entry.prev,
        "cn1Label": "generation",
        "cn1": entry.generation,
    }
    fields = " ".join(f"{name}={_cef_value(str(value))}" for name, value in extension.items() if value != "")
    parts = [*map(_cef_header, header), str(_CEF_WARNING if notable else _CEF_LOW), fields]
    return _syslog(entry, "|".join(parts).encode(), origin)


def ocsf(line: bytes, origin: Origin) -> bytes:
    """Return a line as an OCSF event of the class API Activity (6003), on one line; `metadata.uid` is its hash."""
    entry = _entry(line)
    event = {
        "activity_id": _OTHER,
        "activity_name": entry.action,
        "category_uid": _APPLICATION,
        "class_uid": _API_ACTIVITY,
        "type_uid": 100 * _API_ACTIVITY + _OTHER,
        "time": _milliseconds(entry),
        "severity_id": _MEDIUM if _is_notable(entry.action) else _OCSF_INFORMATIONAL,
        "metadata": {
            "version": _OCSF_VERSION,
            "uid": hash_of(line),
            "sequence": entry.seq,
            "log_name": "audit",
            "original_time": entry.at,
            "product": {"name": "keystrand", "vendor_name": "keystrand", "version": origin.version},
        },
        "actor": {"user": {"uid": entry.actor}},
        "api": {"operation": entry.action, "service": {"name": origin.host}},
        "src_endpoint": {"name": entry.actor},
        "unmapped": {"tls_group": entry.group, "generation": entry.generation, "detail": entry.detail},
        "raw_data": line.rstrip(b"\n").decode(),
    }
    return _encode(event)


def _syslog(entry: Entry, message: bytes, origin: Origin) -> bytes:
    priority = 8 * _FACILITY + (_WARNING if _is_notable(entry.action) else _INFORMATIONAL)
    host, action = _header(origin.host, 255), _header(entry.action, 32)
    return f"<{priority}>1 {entry.at} {host} keystrand - {action} - ".encode() + message


def _header(text: str, length: int) -> str:
    """Return a header field: printable ASCII without spaces (RFC 5424, 6), or the nil value."""
    return re.sub(r"[^!-~]", "_", text)[:length] or "-"


def _is_notable(action: str) -> bool:
    return not _NOTABLE.isdisjoint(re.split(r"[._-]", action))


def _milliseconds(entry: Entry) -> int:
    return int(datetime.fromisoformat(entry.at).timestamp() * 1000)


def _cef_header(text: str) -> str:
    return re.sub(r"([\\|])", r"\\\1", text).replace("\n", " ").replace("\r", " ")


def _cef_value(text: str) -> str:
    return re.sub(r"([\\=])", r"\\\1", text).replace("\n", r"\n").replace("\r", r"\r")
