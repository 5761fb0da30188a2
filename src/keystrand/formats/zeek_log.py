"""Lines of Zeek's logs, tab-separated with their `#fields` header or JSON, as rows of text by field name.

Source: Zeek's manual, "Zeek Log Formats and Inspection". Only what the header says is believed: fields may be any, in
any order.
"""

import re
from collections.abc import Mapping

import msgspec

from keystrand.formats.log_lines import BadLine

PATHS = ("ssl", "ssh", "quic", "conn", "x509")
_NAME = re.compile(rf"({'|'.join(PATHS)})(?=[._-])")
_READ = frozenset(
    [
        "ts",
        "uid",
        "id.orig_h",
        "id.resp_h",
        "id.resp_p",
        "version",
        "cipher",
        "curve",
        "kex_alg",
        "host_key_alg",
        "cipher_alg",
        "mac_alg",
        "server",
        "proto",
        "service",
        "duration",
        "orig_bytes",
        "resp_bytes",
        "orig_pkts",
        "resp_pkts",
        "fingerprint",
        "id",
        "cert",
        "certificate.key_type",
        "certificate.key_length",
        "certificate.curve",
        "certificate.sig_alg",
    ]
)
"""Fields that are used; the others are counted and passed over."""
_UNSET, _EMPTY = "-", "(empty)"

_READ_TOGETHER = {"conn": ("ssl", "ssh", "quic"), "ssl": ("conn", "quic"), "ssh": ("conn",), "quic": ("conn",)}
"""Logs whose lines, or whether they are there, decide what is told of each."""

Row = Mapping[str, str]


def path_in(name: str) -> str:
    """Return which log a file is by its name (`ssl.log`, `conn.2026-01-01.log.gz`); empty where it is none of ours."""
    match = _NAME.match(name.rpartition("/")[2])
    return match[1] if match else ""


def renamed(name: str, path: str) -> str:
    """Return the name that the log `path` of the same time has, beside the one called `name`."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + _NAME.sub(path, last, count=1)


def read_together(name: str) -> tuple[str, ...]:
    """Return the names of the logs that are read with the one called `name`, whether there are such or not."""
    return tuple(renamed(name, other) for other in _READ_TOGETHER.get(path_in(name), ()))


class ZeekLines:
    """Makes rows of lines. `path` is which log it is, empty until known."""

    def __init__(self, name: str = "") -> None:
        self.path = path_in(name)
        self._fields = 0
        self._columns: list[tuple[str, int]] = []
        self._separator = "\t"
        self._unset, self._empty = _UNSET, _EMPTY

    def row(self, line: bytes) -> Row | None:
        """Return the row in `line`, None for one of the header. Raises `BadLine`."""
        if line.startswith(b"{"):
            return self._json(line)
        text = line.decode("utf-8", "replace")
        if text.startswith("#"):
            self._header(text)
            return None
        values = text.split(self._separator)
        if len(values) != self._fields:
            raise BadLine(f"{len(values)} values for {self._fields} fields")
        unset = (self._unset, self._empty)
        return {name: value for name, at in self._columns if (value := values[at]) not in unset}

    def _header(self, text: str) -> None:
        if text.startswith("#separator "):
            code = text[11:].strip()
            self._separator = chr(int(code[2:4], 16)) if re.fullmatch(r"\\x[0-9a-fA-F]{2}", code) else "\t"
            return
        name, _, value = text.partition(self._separator)
        if name == "#fields":
            names = value.split(self._separator)
            self._fields = len(names)
            self._columns = [(name, at) for at, name in enumerate(names) if name in _READ]
        elif name == "#path":
            self.path = value
        elif name == "#unset_field":
            self._unset = value
        elif name == "#empty_field":
            self._empty = value

    def _json(self, line: bytes) -> Row:
        try:
            found = msgspec.json.decode(line, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadLine("not JSON") from error
        if isinstance(path := found.get("_path"), str):
            self.path = path
        return {name: _text(value) for name, value in found.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
