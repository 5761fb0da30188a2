"""What nmap found, from its XML report (`-oX`): ssl-enum-ciphers, ssl-cert, ssh2-enum-algos and ssh-hostkey."""

import base64
import re
from collections.abc import Iterator

from keystrand.formats.report_parts import REPORT, Service, at, guarded, reading
from keystrand.formats.report_ssh_audit import ssh_uses
from keystrand.formats.safe_xml import XmlElement, parsed_xml
from keystrand.formats.ssh_names import host_key_fact
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Strength
from keystrand.model.reading import FileReader, Found, Reading

_VERSION = re.compile(r"SSLv\d|TLSv\d\.\d")


def _address(host: XmlElement) -> str:
    """Return the name that the user gave, else the address."""
    listed = host.first("hostnames")
    names = [name.attributes for name in listed.all("hostname")] if listed else []
    given = next((name.get("name", "") for name in names if name.get("type") == "user"), "")
    address = next((a.attributes.get("addr", "") for a in host.all("address") if "mac" not in str(a.attributes)), "")
    return given or address


def _scripts(port: XmlElement) -> dict[str, XmlElement]:
    return {script.attributes.get("id", ""): script for script in port.all("script")}


def _table(element: XmlElement, key: str) -> XmlElement | None:
    return next((table for table in element.all("table") if table.attributes.get("key") == key), None)


def _list(element: XmlElement, key: str) -> list[str]:
    table = _table(element, key)
    return [child.text.strip() for child in table.all("elem")] if table else []


def _elem(element: XmlElement, key: str) -> str:
    return next((child.text for child in element.all("elem") if child.attributes.get("key") == key), "")


def _software(port: XmlElement) -> str:
    service = port.first("service")
    said = service.attributes if service else {}
    return f"{said.get('product', '')} {said.get('version', '')}".strip()


def _tls(service: Service, scripts: dict[str, XmlElement]) -> None:
    enumerated = scripts.get("ssl-enum-ciphers")
    for version in enumerated.all("table") if enumerated else ():
        name = version.attributes.get("key", "")
        if not _VERSION.fullmatch(name):
            continue
        service.versions.append("TLSv1.0" if name == "TLSv1" else name)
        ciphers = _table(version, "ciphers")
        for cipher in ciphers.all("table") if ciphers else ():
            service.suite(_elem(cipher, "name"))
            _exchange(service, _elem(cipher, "kex_info"))
    if (certificate := scripts.get("ssl-cert")) and (pem := _elem(certificate, "pem")):
        service.certificate(pem)


def _exchange(service: Service, told: str) -> None:
    """Add the group that nmap tells in words: `secp256r1`, `ecdh_x25519`, `dh 2048`, `rsa 2048`."""
    kind, _, size = told.partition(" ")
    if kind == "dh" and size.isdecimal():
        service.group(f"DH-{size}")
    elif kind not in ("", "rsa", "unknown"):
        service.group(told.removeprefix("ecdh_"))


def _ssh(service: Service, scripts: dict[str, XmlElement]) -> Iterator[Found]:
    if algorithms := scripts.get("ssh2-enum-algos"):
        keys: list[tuple[str, int | None]] = [(name, None) for name in _list(algorithms, "server_host_key_algorithms")]
        ciphers, macs = _list(algorithms, "encryption_algorithms"), _list(algorithms, "mac_algorithms")
        ssh_uses(service, _list(algorithms, "kex_algorithms"), keys, ciphers, macs)
    for key in scripts["ssh-hostkey"].all("table") if "ssh-hostkey" in scripts else ():
        if blob := _elem(key, "key"):
            yield Found(at(service.place), Strength.OFFERED, host_key_fact(base64.b64decode(blob, validate=True)))


def _port(host: str, port: XmlElement) -> tuple[list[Found], str]:
    """Return what the scripts say of one port, and what is missing."""
    scripts = _scripts(port)
    is_ssh = bool(scripts.keys() & {"ssh2-enum-algos", "ssh-hostkey"})
    if not is_ssh and not scripts.keys() & {"ssl-enum-ciphers", "ssl-cert"}:
        return [], ""
    number = port.attributes.get("portid", "")
    service = Service("ssh" if is_ssh else "tls", host, int(number) if number.isdecimal() and len(number) < 6 else 0)
    service.software = _software(port)
    keys: list[Found] = []
    try:
        if is_ssh:
            keys = list(_ssh(service, scripts))
        else:
            _tls(service, scripts)
    except (InvalidInput, ValueError) as error:
        return service.found(), f"{service.place}: {error}"
    return [*service.found(), *keys], ""


@guarded
def read(_: str, content: bytes) -> Reading:
    """Return the services whose cryptography nmap's scripts tell of."""
    root = parsed_xml(content)
    if root.name != "nmaprun":
        raise InvalidInput("not a report of nmap")
    found: list[Found] = []
    reasons: list[str] = []
    for host in root.all("host"):
        for port in (host.first("ports") or host).all("port"):
            try:
                facts, reason = _port(_address(host), port)
            except InvalidInput as error:  # one port that there is not hides no other
                facts, reason = [], str(error)
            found += facts
            reasons.append(reason)
    if any("!tls://" in fact.where for fact in found):
        reasons.append("nmap asks for no post-quantum exchange: where it saw no TLS there may be one of these alone")
    return reading(found, reasons)


READER = FileReader(REPORT, lambda _, head: b"<nmaprun" in head, read)
