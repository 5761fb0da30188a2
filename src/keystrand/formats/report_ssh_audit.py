"""What ssh-audit found, from its JSON report (`-j`): one target, or a list of them."""

from msgspec import Struct

from keystrand.formats.foreign_names import Named, ssh_algorithm
from keystrand.formats.report_parts import REPORT, Service, decoded, guarded, host_and_port, reading
from keystrand.formats.ssh_names import is_pseudo
from keystrand.model.algorithm import Function
from keystrand.model.errors import InvalidInput
from keystrand.model.reading import FileReader, Reading

_SSH_PORT = 22


class _Algorithm(Struct):
    algorithm: str
    keysize: int | None = None


class _Banner(Struct):
    software: str | None = None
    protocol: str | None = None


class _Target(Struct):
    target: str = ""
    banner: _Banner | None = None
    kex: list[_Algorithm] = []
    key: list[_Algorithm] = []
    enc: list[_Algorithm] = []
    mac: list[_Algorithm] = []


def ssh_uses(
    service: Service, kex: list[str], keys: list[tuple[str, int | None]], ciphers: list[str], macs: list[str]
) -> None:
    """Add what an SSH server offers, by the names of the wire; `keys` with their size where it is known."""
    for name in kex:
        if not is_pseudo(name):
            service.use(filter(None, (ssh_algorithm(name, Function.KEY_ESTABLISHMENT),)))
    for name, bits in keys:
        named = ssh_algorithm(name, Function.SIGNATURE)
        if named:
            sized = named.algorithm in ("RSA", "DSA") and bits
            service.use([Named(f"{named.algorithm}-{bits}", named.function) if sized else named])
    for names, function in ((ciphers, Function.ENCRYPTION), (macs, Function.MAC)):
        service.use(filter(None, (ssh_algorithm(name, function) for name in names)))


def _service(target: _Target) -> Service:
    service = Service("ssh", *host_and_port(target.target, _SSH_PORT))
    banner = target.banner or _Banner()
    service.versions += [f"SSH-{banner.protocol}"] if banner.protocol else []
    service.software = banner.software or ""
    ssh_uses(
        service,
        [one.algorithm for one in target.kex],
        [(one.algorithm, one.keysize) for one in target.key],
        [one.algorithm for one in target.enc],
        [one.algorithm for one in target.mac],
    )
    return service


@guarded
def read(_: str, content: bytes) -> Reading:
    """Return the SSH servers that ssh-audit reached. Fingerprints of SSH are not identities: left out."""
    found, reasons = [], []
    listed = content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    targets = decoded(content, list[_Target]) if listed else [decoded(content, _Target)]
    for target in targets:
        name = target.target or "a target without a name"
        try:
            found += _service(target).found() if target.target and target.kex else []
            reasons += [] if target.target and target.kex else [f"{name}: ssh-audit saw no SSH there"]
        except InvalidInput as error:
            reasons.append(f"{name}: {error}")
    return reading(found, reasons)


def _wants(_: str, head: bytes) -> bool:
    return b'"banner"' in head and (b'"enc"' in head or b'"compression"' in head)


READER = FileReader(REPORT, _wants, read)
