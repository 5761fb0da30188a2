"""What testssl.sh found, from its JSON reports: flat (`--jsonfile`) and pretty (`--jsonfile-pretty`), 3.0 to 3.3."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import Struct

from keystrand.formats.foreign_names import canonical
from keystrand.formats.report_parts import REPORT, Service, decoded, guarded, reading
from keystrand.formats.suite_names import group_name, suite_uses
from keystrand.model.algorithm import Function
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Strength
from keystrand.model.reading import FileReader, Reading


class _Finding(Struct):
    id: str
    finding: str = ""
    ip: str = ""
    port: str = ""
    severity: str = ""


class _Service(NamedTuple):
    """Where testssl.sh looked, and its findings there."""

    host: str
    port: str
    findings: list[_Finding]


_VERSIONS = {"SSLv2": "SSLv2", "SSLv3": "SSLv3", "TLS1": "TLSv1.0", "TLS1_1": "TLSv1.1", "TLS1_2": "TLSv1.2",
             "TLS1_3": "TLSv1.3"}  # fmt: skip
_LISTS_OF_GROUPS = re.compile(r"(?:P?FS_)?(?:ECDHE_curves|TLS12_curves|TLS13_curves|KEMs|DH_groups)|DH_groups")
_GROUP = re.compile(r"[A-Za-z][\w-]*\d[\w-]*")
"""A group's name has a digit; words such as those of `Unknown DH group (2048 bits)` are none."""
_CERTIFICATE = re.compile(r"(?:intermediate_|server_)?cert(?: <.*>)?")
_NOT_THERE = re.compile(r"not offered|no |--|none", re.IGNORECASE)


def _flat(content: bytes) -> Iterator[_Service]:
    services: dict[tuple[str, str], list[_Finding]] = {}
    for finding in decoded(content, list[_Finding]):
        services.setdefault((finding.ip, finding.port), []).append(finding)
    for (address, port), findings in services.items():
        yield _Service(address.partition("/")[0], port, findings)


def _pretty(content: bytes) -> Iterator[_Service]:
    class _Report(Struct):
        scanResult: list[dict[str, msgspec.Raw]] = []  # noqa: N815 - testssl.sh's name of it

    for scanned in decoded(content, _Report).scanResult:
        findings = [f for section in scanned.values() for f in _section(section)]
        host, port = (_text(scanned.get(key)) for key in ("targetHost", "port"))
        yield _Service(host or _text(scanned.get("ip")), port, findings)


def _section(raw: msgspec.Raw) -> list[_Finding]:
    return decoded(raw, list[_Finding]) if bytes(raw).lstrip().startswith(b"[") else []


def _text(raw: msgspec.Raw | None) -> str:
    return decoded(raw, str) if raw is not None else ""


def _named_suite(word: str) -> bool:
    """Return whether a word is a suite's name, and not that of a cipher as the columns of a list have it."""
    return ("-" in word or "_" in word) and bool(suite_uses(word))


def _add(service: Service, finding: _Finding) -> None:
    name, said = finding.id, finding.finding
    words = said.split()
    if name in _VERSIONS:
        service.versions += [_VERSIONS[name]] if said.startswith("offered") else []
    elif _CERTIFICATE.fullmatch(name) and "BEGIN CERTIFICATE" in said:
        service.certificate(said)
    elif _LISTS_OF_GROUPS.fullmatch(name) and not _NOT_THERE.match(said):
        for group in filter(_GROUP.fullmatch, words):
            service.group(group)
    elif name.endswith("_sig_algs") and not _NOT_THERE.match(said):
        for scheme in words:
            service.use(canonical(scheme.partition("+")[0].replace("-RSAE", ""), function=Function.SIGNATURE))
    elif re.match(r"cipher[-_]|supportedciphers_", name) or name.endswith("_ciphers"):
        _ciphers(service, words, Strength.NEGOTIATED if name == "cipher_negotiated" else Strength.OFFERED)


def _ciphers(service: Service, words: list[str], strength: Strength) -> None:
    """Add suites, and what stands beside them: the group that was negotiated, the size of a finite field."""
    for suite in filter(_named_suite, (word.rstrip(",") for word in words)):
        service.suite(suite, strength)
    for group in filter(group_name, (word.strip("(),") for word in words if strength is Strength.NEGOTIATED)):
        service.group(group, strength)
    if size := re.search(r"\bDH (\d{3,5})\b", " ".join(words)):
        service.group(f"DH-{size[1]}")


@guarded
def read(_: str, content: bytes) -> Reading:
    """Return the services that testssl.sh reached; what it could not reach is a reason."""
    found, reasons = [], []
    for seen in _flat(content) if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") else _pretty(content):
        try:
            service = Service("tls", seen.host, int(seen.port) if seen.port.isdecimal() and len(seen.port) < 6 else 0)
            for finding in seen.findings:
                _add(service, finding)
        except InvalidInput as error:
            reasons += [f"{seen.host}: {error}"] if seen.host else []
            continue
        if service.versions:
            found += service.found()
        elif seen.host:
            reasons.append(f"{seen.host}:{seen.port}: testssl.sh says of no version that it is offered")
    return reading(found, reasons)


def _wants(_: str, head: bytes) -> bool:
    flat = b'"id"' in head and b'"severity"' in head and b'"finding"' in head
    return flat or b'"scanResult"' in head or b'"Invocation"' in head


READER = FileReader(REPORT, _wants, read)
