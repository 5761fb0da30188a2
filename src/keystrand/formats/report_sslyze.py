"""What sslyze found, from its JSON report (`--json_out`, versions 5 and 6)."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from msgspec import Struct

from keystrand.formats.foreign_names import canonical
from keystrand.formats.report_parts import REPORT, Service, decoded, guarded, reading
from keystrand.model.algorithm import Function
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Strength
from keystrand.model.reading import FileReader, Reading

T = TypeVar("T")


class _Named(Struct):
    name: str = ""


class _Key(Struct):
    type_name: str = ""
    size: int = 0
    curve_name: str | None = None


class _Accepted(Struct):
    cipher_suite: _Named
    ephemeral_key: _Key | None = None


class _Suites(Struct):
    tls_version_used: str = ""
    is_tls_version_supported: bool = False
    accepted_cipher_suites: list[_Accepted] = []


class _Certificate(Struct):
    as_pem: str


class _Deployment(Struct):
    received_certificate_chain: list[_Certificate] = []


class _Certificates(Struct):
    certificate_deployments: list[_Deployment] = []


class _Curves(Struct):
    supported_curves: list[_Named] | None = None


class _Command(Struct, Generic[T]):
    result: T | None = None


class _Commands(Struct):
    certificate_info: _Command[_Certificates] | None = None
    ssl_2_0_cipher_suites: _Command[_Suites] | None = None
    ssl_3_0_cipher_suites: _Command[_Suites] | None = None
    tls_1_0_cipher_suites: _Command[_Suites] | None = None
    tls_1_1_cipher_suites: _Command[_Suites] | None = None
    tls_1_2_cipher_suites: _Command[_Suites] | None = None
    tls_1_3_cipher_suites: _Command[_Suites] | None = None
    elliptic_curves: _Command[_Curves] | None = None

    def suites(self) -> Iterator[_Suites]:
        """Yield the results of each version that was asked for, oldest first."""
        old = (self.ssl_2_0_cipher_suites, self.ssl_3_0_cipher_suites, self.tls_1_0_cipher_suites)
        for command in (*old, self.tls_1_1_cipher_suites, self.tls_1_2_cipher_suites, self.tls_1_3_cipher_suites):
            if command and command.result and command.result.is_tls_version_supported:
                yield command.result


class _Location(Struct):
    hostname: str
    port: int


class _Connectivity(Struct):
    cipher_suite_supported: str = ""


class _Server(Struct):
    server_location: _Location
    scan_status: str = ""
    connectivity_status: str = ""
    connectivity_result: _Connectivity | None = None
    scan_result: _Commands | None = None


class _Report(Struct):
    server_scan_results: list[_Server]
    sslyze_version: str = ""


_VERSIONS = {"SSL_2_0": "SSLv2", "SSL_3_0": "SSLv3", "TLS_1_0": "TLSv1.0", "TLS_1_1": "TLSv1.1", "TLS_1_2": "TLSv1.2",
             "TLS_1_3": "TLSv1.3"}  # fmt: skip


def _service(server: _Server) -> Service:
    service = Service("tls", server.server_location.hostname, server.server_location.port)
    if server.connectivity_result:
        service.suite(server.connectivity_result.cipher_suite_supported, Strength.NEGOTIATED)
    commands = server.scan_result or _Commands()
    if (curves := commands.elliptic_curves) and curves.result:
        for curve in curves.result.supported_curves or ():
            service.group(curve.name)
    for suites in commands.suites():
        service.versions.append(_VERSIONS.get(suites.tls_version_used, suites.tls_version_used))
        for accepted in suites.accepted_cipher_suites:
            service.suite(accepted.cipher_suite.name)
            _ephemeral(service, accepted.ephemeral_key)
    if (certificates := commands.certificate_info) and certificates.result:
        for deployment in certificates.result.certificate_deployments:
            for certificate in deployment.received_certificate_chain:
                service.certificate(certificate.as_pem)
    return service


def _ephemeral(service: Service, key: _Key | None) -> None:
    if key and key.curve_name:
        service.group(key.curve_name)
    elif key and key.type_name == "DH":
        service.use(canonical("DH", bits=key.size, function=Function.KEY_ESTABLISHMENT))


@guarded
def read(_: str, content: bytes) -> Reading:
    """Return the services that sslyze reached. One that it did not reach is a reason, never one without TLS."""
    report = decoded(content, _Report)
    found, reasons = [], []
    for server in report.server_scan_results:
        where = f"{server.server_location.hostname}:{server.server_location.port}"
        try:
            service = _service(server)
        except InvalidInput as error:
            reasons.append(f"{where}: {error}")
            continue
        if server.scan_result is None or not service.versions:
            reasons.append(f"{where}: sslyze saw no TLS; a server of post-quantum exchanges alone looks so too")
        else:
            found += service.found()
    version = report.sslyze_version.partition(".")[0]
    blind = f"sslyze {report.sslyze_version} asks for no post-quantum exchange" if version in ("4", "5", "6") else ""
    return reading(found, (*reasons, blind))


READER = FileReader(REPORT, lambda _, head: b'"server_scan_results"' in head, read)
