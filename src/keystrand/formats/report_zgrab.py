"""What zgrab2 negotiated, from its output: one JSON object a line; TLS of any module, and SSH."""

import base64
import io

import msgspec
from msgspec import Struct

from keystrand.formats.foreign_names import canonical
from keystrand.formats.report_parts import REPORT, Service, at, decoded, guarded, reading
from keystrand.formats.report_ssh_audit import ssh_uses
from keystrand.formats.ssh_names import host_key_fact
from keystrand.model.algorithm import Function
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Strength
from keystrand.model.reading import FileReader, Found, Reading
from keystrand.model.words import shown

_USUAL_PORTS = {"tls": 443, "http": 443, "ssh": 22, "smtp": 25, "imap": 143, "pop3": 110, "ftp": 21, "ldap": 389,
                "mysql": 3306, "postgres": 5432, "mssql": 1433, "rdp": 3389, "amqp091": 5671, "redis": 6379,
                "mqtt": 8883}  # fmt: skip
"""Where a module looks unless it is told otherwise; newer lines say the port themselves."""


class _Named(Struct):
    name: str = ""


class _Selected(Struct):
    selected_version: _Named | None = None


class _Hello(Struct):
    version: _Named | None = None
    cipher_suite: _Named | None = None
    supported_versions: _Selected | None = None
    key_share: _Named | None = None


class _Raw(Struct):
    raw: str = ""


class _Certificates(Struct):
    certificate: _Raw | None = None
    chain: list[_Raw] | None = None


class _CurveParameters(Struct):
    curve_id: _Named | None = None


class _Exchange(Struct):
    ecdh_params: _CurveParameters | None = None


class _Handshake(Struct):
    server_hello: _Hello | None = None
    server_certificates: _Certificates | None = None
    server_key_exchange: _Exchange | None = None


class _TlsLog(Struct):
    handshake_log: _Handshake | None = None


class _Request(Struct):
    tls_log: _TlsLog | None = None


class _Response(Struct):
    request: _Request | None = None


class _SshOffer(Struct):
    kex: list[str] | None = msgspec.field(default=None, name="kex_algorithms")
    keys: list[str] | None = msgspec.field(default=None, name="host_key_algorithms")
    ciphers: list[str] | None = msgspec.field(default=None, name="server_to_client_ciphers")
    macs: list[str] | None = msgspec.field(default=None, name="server_to_client_macs")


class _HostKey(Struct):
    server_host_key: _Raw | None = None


class _Banner(Struct):
    version: str | None = None
    software: str | None = None


class _Result(Struct):
    handshake_log: _Handshake | None = None
    response: _Response | None = None
    tls: _TlsLog | None = None
    server_id: _Banner | None = None
    server_key_exchange: _SshOffer | None = None
    key_exchange: _HostKey | None = None

    def handshake(self) -> _Handshake | None:
        """Return the TLS handshake, of the module `tls`, of a page that `http` fetched, or inside another protocol."""
        request = self.response.request if self.response else None
        log = self.tls or (request.tls_log if request else None)
        return self.handshake_log or (log.handshake_log if log else None)


class _Grab(Struct):
    status: str = ""
    protocol: str = ""
    port: int | None = None
    result: _Result | None = None


class _Line(Struct):
    ip: str = ""
    domain: str = ""
    data: dict[str, _Grab] = {}


def _tls(service: Service, handshake: _Handshake) -> None:
    hello = handshake.server_hello or _Hello()
    chosen = (hello.supported_versions and hello.supported_versions.selected_version) or hello.version
    service.versions += [chosen.name] if chosen and chosen.name else []
    if hello.cipher_suite:
        service.suite(hello.cipher_suite.name, Strength.NEGOTIATED)
    exchange = handshake.server_key_exchange
    if exchange and exchange.ecdh_params and exchange.ecdh_params.curve_id:
        service.group(exchange.ecdh_params.curve_id.name, Strength.NEGOTIATED)
    if hello.key_share and hello.key_share.name:
        service.group(hello.key_share.name, Strength.NEGOTIATED)
    sent = handshake.server_certificates or _Certificates()
    for certificate in filter(None, (sent.certificate, *(sent.chain or ()))):
        service.certificate(certificate.raw)


def _ssh(service: Service, result: _Result) -> list[Found]:
    offer, banner = result.server_key_exchange or _SshOffer(), result.server_id or _Banner()
    service.versions += [f"SSH-{banner.version}"] if banner.version else []
    service.software = banner.software or ""
    keys: list[tuple[str, int | None]] = [(name, None) for name in offer.keys or ()]
    ssh_uses(service, offer.kex or [], keys, offer.ciphers or [], offer.macs or [])
    key = result.key_exchange.server_host_key if result.key_exchange else None
    if not key or not key.raw:
        return []
    try:
        fact = host_key_fact(base64.b64decode(key.raw, validate=True))
    except ValueError as error:
        raise InvalidInput("a host key is not base64") from error
    service.use(canonical(fact.algorithm, function=Function.SIGNATURE), Strength.NEGOTIATED)
    return [Found(at(service.place), Strength.NEGOTIATED, fact)]


def _grabbed(line: _Line, module: str, grab: _Grab) -> list[Found]:
    result = grab.result or _Result()
    protocol = "ssh" if result.server_key_exchange else "tls"
    port = grab.port or _USUAL_PORTS.get(grab.protocol or module, 0)
    service = Service(protocol, line.domain or line.ip, port)
    if protocol == "ssh":
        keys = _ssh(service, result)
        return [*service.found(), *keys]
    handshake = result.handshake()
    if handshake is None or handshake.server_hello is None:
        raise InvalidInput(f"{shown(module, 20)}: no handshake ({shown(grab.status, 40) or 'no status'})")
    _tls(service, handshake)
    return service.found()


@guarded
def read(_: str, content: bytes) -> Reading:
    """Return what was negotiated with each address; a grab that failed is a reason."""
    found: list[Found] = []
    reasons: list[str] = []
    for number, text in enumerate(io.BytesIO(content), start=1):
        if not text.strip():
            continue
        try:
            line = decoded(text, _Line)
            for module, grab in line.data.items():
                found += _grabbed(line, module, grab)
        except (InvalidInput, msgspec.MsgspecError) as error:
            reasons.append(f"line {number}: {error}")
    return reading(found, reasons, looked_at=bool(found) or not reasons)


def _wants(_: str, head: bytes) -> bool:
    start = head.lstrip()
    return start.startswith((b'{"ip":', b'{"domain":')) and b'"data":{' in head.replace(b" ", b"")


READER = FileReader(REPORT, _wants, read)
