"""What readers of other tools' reports share: facts with the place they name, a TLS service, and bad input in words.

A report tells of other places: `where` is `!` and that place, `!tls://web.example:443`. What the report does not say is
unknown: an old scanner that asks for no post-quantum exchange says nothing about them, and the reading tells so.
"""

import base64
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TypeVar

import msgspec

from keystrand.formats.foreign_names import Named, canonical
from keystrand.formats.suite_names import group_name, suite_uses
from keystrand.formats.x509_facts import certificate_fact
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import AlgorithmUse, Certificate, Endpoint, Fact, Outcome, Strength
from keystrand.model.reading import Found, Reading
from keystrand.model.words import shown

T = TypeVar("T")
REPORT = "report"
UNFORESEEN = "not in the form that this reader knows"
_MAX_REASONS = 5
MAX_OCTETS = 256 * 1024 * 1024
MAX_VALUES = 8_000_000
"""A report of 64 MiB has about three million; each value is an object in memory, so that small ones are counted."""
_PORTS = range(1, 65536)


def guarded(read: Callable[[str, bytes], Reading]) -> Callable[[str, bytes], Reading]:
    """Return `read` made safe: whatever is wrong with a file becomes the outcome unparsable, with where."""

    @wraps(read)
    def safe(path: str, content: bytes) -> Reading:
        try:
            return read(path, content)
        except (msgspec.MsgspecError, InvalidInput) as error:
            return Reading(outcome=Outcome.UNPARSABLE, reason=shown(str(error)))
        except RecursionError:
            return Reading(outcome=Outcome.UNPARSABLE, reason="nested too deeply")
        # Reports come from anywhere: one that no check foresaw must not end a scan. Its content stays out of the words.
        except Exception as error:
            return Reading(outcome=Outcome.UNPARSABLE, reason=f"{UNFORESEEN} ({type(error).__name__})")

    return safe


def decoded(content: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Return JSON as a `kind`.

    Raises `msgspec.MsgspecError` with the place, as path or octet, and without content; `InvalidInput` for text that is
    not UTF-8.
    """
    plain = _bounded(content) if isinstance(content, bytes) else content
    try:
        return msgspec.json.decode(plain, type=kind)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"a text is not UTF-8, at its octet {error.start}") from error


def _bounded(content: bytes) -> bytes:
    """Return `content` without a byte order mark. Raises `InvalidInput` where it holds more than any report does."""
    if len(content) > MAX_OCTETS or content.count(b",") > MAX_VALUES or content.count(b"{") > MAX_VALUES:
        raise InvalidInput(f"more than {MAX_OCTETS} octets, or than {MAX_VALUES} values")
    return content.removeprefix(b"\xef\xbb\xbf")


def reading(found: Iterable[Found], reasons: Iterable[str] = (), *, looked_at: bool = True) -> Reading:
    """Return what was found, each fact once, and the reasons, shortened. Nothing found is `none`, never a failure."""
    facts = tuple(dict.fromkeys(found))
    told = [*dict.fromkeys(reason for reason in reasons if reason)]
    more = [f"and {len(told) - _MAX_REASONS} more"] if len(told) > _MAX_REASONS else []
    outcome = Outcome.SEEN if facts else Outcome.NONE if looked_at else Outcome.UNPARSABLE
    return Reading(facts, outcome, "; ".join([*told[:_MAX_REASONS], *more]))


MAX_PLACE = 16 * 1024
"""Letters of a place: a path of 4096, a member of an archive in it, and one in that. What is cut is another place."""


def at(place: str) -> str:
    """Return the `where` of a fact that a report tells of another place."""
    return f"!{shown(place, MAX_PLACE)}"


def service_place(protocol: str, host: str, port: int) -> str:
    """Return the place of a service. Raises `InvalidInput` for a port that there is not."""
    if port not in _PORTS:
        raise InvalidInput(f"{port} is not a port")
    return f"{protocol}://[{host}]:{port}" if ":" in host else f"{protocol}://{host}:{port}"


def host_and_port(text: str, usual: int) -> tuple[str, int]:
    """Return host and port of `host:port`, `[v6]:port` or a bare host. Raises `InvalidInput` for no such port."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return text.strip("[]"), usual
    if not port.isdecimal() or len(port) > 5:
        raise InvalidInput("a port is not a number")
    return host.strip("[]"), int(port)


def certificate_of(text: str) -> Certificate:
    """Return the facts of a certificate in PEM or base64, with any white space. Raises `InvalidInput`."""
    body = text.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0] or text
    try:
        return certificate_fact(base64.b64decode("".join(body.split()), validate=True))
    except ValueError as error:
        raise InvalidInput("a certificate is not base64") from error


def _is_safe_exchange(named: Named) -> bool:
    known = classify(named.algorithm)
    return named.function is Function.KEY_ESTABLISHMENT and known.verdict is Verdict.QUANTUM_SAFE


class Service:
    """A service that a report tells of: its algorithms, each with its strongest evidence, and its certificates."""

    def __init__(self, protocol: str, host: str, port: int) -> None:
        self.protocol, self.host, self.port = protocol, host, port
        self.place = service_place(protocol, host, port)
        self.versions: list[str] = []
        self.software = ""
        self._uses: dict[Named, tuple[Strength, str]] = {}
        self._certificates: list[Certificate] = []

    def use(self, named: Iterable[Named], strength: Strength = Strength.OFFERED, code_point: str = "") -> None:
        """Add uses; digests inside a signature's name are no use of the service's own."""
        for one in named:
            known = self._uses.get(one)
            if known is None or strength.rank < known[0].rank:
                self._uses[one] = strength, code_point

    def suite(self, name: str, strength: Strength = Strength.OFFERED) -> None:
        """Add what a cipher suite names."""
        named = suite_uses(name.replace("TLS_AKE_WITH_", "TLS_"))  # nmap's names of the suites of TLS 1.3
        self.use((Named(use.algorithm, use.function) for use in named), strength)

    def group(self, name: str, strength: Strength = Strength.OFFERED) -> None:
        """Add a group, by any of its names."""
        known = group_name(name)
        named = (Named(known, Function.KEY_ESTABLISHMENT),) if known else ()
        self.use(named or canonical(name, function=Function.KEY_ESTABLISHMENT), strength)

    def certificate(self, text: str) -> None:
        """Add a certificate in PEM or base64. Raises `InvalidInput`."""
        self._certificates.append(certificate_of(text))

    def found(self) -> list[Found]:
        """Return the endpoint, its certificates (the first is the service's own) and uses, all at its place."""
        facts: list[tuple[Strength, Fact]] = [(Strength.OFFERED, self._endpoint())]
        facts += [(Strength.OFFERED, certificate) for certificate in self._certificates]
        for (algorithm, function), (strength, code_point) in self._specific().items():
            facts.append((strength, AlgorithmUse(algorithm=algorithm, function=function, code_point=code_point)))
        return [Found(at(self.place), strength, fact) for strength, fact in facts]

    def _endpoint(self) -> Endpoint:
        safe = [strength for named, (strength, _) in self._uses.items() if _is_safe_exchange(named)]
        return Endpoint(
            protocol=self.protocol, host=shown(self.host, 253), port=self.port, versions=tuple(self.versions),
            software=shown(self.software), supports_post_quantum=True if safe else None,
            negotiates_post_quantum=True if Strength.NEGOTIATED in safe else None,
        )  # fmt: skip

    def _specific(self) -> dict[Named, tuple[Strength, str]]:
        """Return the uses without those that another one says more exactly: ECDH beside X25519, RSA beside the key."""
        uses = dict(self._uses)
        if self._certificates:
            own = self._certificates[0].key_algorithm
            for named in [n for n in uses if n.function is Function.SIGNATURE and n.algorithm == own.partition("-")[0]]:
                uses[Named(own, named.function)] = uses.pop(named)
            transport = Named("RSA-KEX", Function.KEY_ESTABLISHMENT)
            if own.startswith("RSA-") and transport in uses:
                uses[Named(f"RSA-KEX-{self._certificates[0].key_bits}", transport.function)] = uses.pop(transport)
        for general, exact in (("ECDH", ("ECDH-", "X25519", "X448")), ("FFDH", ("FFDH-",)), ("RSA", ("RSA-",))):
            said = {function for name, function in uses if name.startswith(exact)}
            for function in said:
                uses.pop(Named(general, function), None)
        return uses
