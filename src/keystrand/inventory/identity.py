"""The identity of a fact: what stays the same when another scan, probe or target sees it again.

Neither verdict, strength, expiry nor target takes part: a thing that grows old or is judged anew stays the same thing.
No name inside a certificate takes part either: two certificates may carry the same subject.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from ipaddress import ip_address

from msgspec.structs import replace

from keystrand.formats.certificate_names import name_hash
from keystrand.model.estate import ProbeKind
from keystrand.model.observation import (
    AlgorithmUse,
    Certificate,
    Endpoint,
    Fact,
    Flow,
    Keystore,
    Library,
    Observation,
    ProtocolSettings,
    PublicKey,
)

_LINE = re.compile(r"(file:.*):([0-9]{1,9})", re.DOTALL)
_TOLD = re.compile(r"file:.*!([a-z][a-z0-9+.-]*://[^!]+)", re.DOTALL)
_TOLD_FILE = re.compile(r"file:.*!(file:.+)", re.DOTALL)
_AUTHORITY = re.compile(r"([a-z][a-z0-9+.-]*://[^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


def canonical_place(place: str) -> str:
    """Return `place` with scheme and host in lower case: host names have no case (RFC 4343), file paths do."""
    match = _AUTHORITY.fullmatch(place)
    return match[1].lower() + match[2] if match else place


def _quoted(text: str) -> str:
    """Return `text` without a colon, so that what follows it in an identity cannot be mistaken for it."""
    return text.replace("%", "%25").replace(":", "%3A")


def authority(endpoint: Endpoint) -> str:
    """Return host and port as a URL has them: in one spelling, an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    host = _one_spelling(endpoint.host)
    return f"[{host}]:{endpoint.port}" if ":" in host else f"{host}:{endpoint.port}"


def _one_spelling(host: str) -> str:
    """Return a host's name in lower case without its final dot, an IPv6 address in its shortest form (RFC 5952)."""
    if ":" in host:
        with suppress(ValueError):
            return str(ip_address(host)).lower()
    return host.lower().removesuffix(".")


def canonical(observation: Observation) -> Observation:
    """Return `observation` with its place, and the host of an endpoint, in the one spelling that is compared."""
    fact = observation.fact
    if isinstance(fact, Endpoint):
        fact = replace(fact, protocol=fact.protocol.lower(), host=fact.host.lower())
    return replace(observation, place=canonical_place(observation.place), fact=fact)


def identity(fact: Fact, place: str) -> str:
    """Return the identity of `fact` seen at `place`; different things never share one.

    A certificate is the SHA-256 of its DER, a public key that of its SubjectPublicKeyInfo (RFC 5280, 4.1), wherever
    they were seen. An endpoint is protocol, host and port. The use of an algorithm is place, function and algorithm; of
    a service that a file tells of (`file:report.json!tls://host:443`), it is that service, as if it had been asked. A
    library is its package URL, or name and version; a keystore and settings are their place; a flow is both ends.
    """
    match fact:
        case Certificate():
            found = f"certificate:{fact.sha256}"
        case PublicKey():
            found = f"public-key:{fact.sha256}"
        case Endpoint():
            found = f"endpoint:{_quoted(fact.protocol.lower())}://{authority(fact)}"
        case AlgorithmUse():
            at = canonical_place(service_of(place))
            found = f"algorithm-use:{fact.function.value}:{_quoted(fact.algorithm)}:{at}"
        case Library(purl=purl) if purl:
            found = f"library:{purl}"
        case Library():
            found = f"library-name:{_quoted(fact.name)}:{_quoted(fact.version)}"
        case Keystore():
            found = f"keystore:{_quoted(fact.format)}:{canonical_place(place)}"
        case ProtocolSettings():
            found = f"protocol-settings:{_quoted(fact.software)}:{_quoted(fact.protocol)}:{canonical_place(place)}"
        case Flow():
            ends = f"{_quoted(fact.client.lower())}:{_quoted(fact.server.lower())}:{fact.port}"
            found = f"flow:{fact.transport}:{_quoted(fact.protocol)}:{_quoted(fact.key_establishment)}:{ends}"
    return found


def service_of(place: str) -> str:
    """Return the service that a place in a report or a capture names, else `place`; no path has `//` in it.

    The capture may lie in an archive, or be what a report is about.
    """
    told = _TOLD.fullmatch(place)
    return told[1] if told else place


def about(seen: Observation) -> str:
    """Return the place that `seen` is about: of what a report tells of a file, that file, as if it had been read."""
    told = _TOLD_FILE.fullmatch(seen.place) if is_told(seen) else None
    return told[1] if told else seen.place


def is_told(seen: Observation) -> bool:
    """Return whether a report of another tool, or an inventory that was exported, says so, and nobody looked."""
    return seen.probe == ProbeKind.REPORT


def without_line(fact: Fact, place: str) -> tuple[str, int | None]:
    """Return the identity of `fact` at `place` without a line's number, and that number, None where it has no part.

    Lines move when others come before them, so a number is no identity: see `of_line`.
    """
    line = _LINE.fullmatch(place) if service_of(place) == place else None  # the number after a service is its port
    if line and identity(fact, place) != (of_file := identity(fact, line[1])):
        return of_file, int(line[2])
    return identity(fact, place), None


def of_line(of_file: str, ordinal: int) -> str:
    """Return the identity of the `ordinal`-th line, from 1, of a file on which the same thing stands."""
    return f"{of_file}:~{ordinal}"


def is_by_name(fact: Certificate) -> bool:
    """Return whether the hash of `fact` stands in for one that was not told."""
    return fact.sha256 == _name_hash(fact)


def _name_hash(fact: Certificate) -> str:
    return name_hash(fact.issuer, fact.serial, fact.spki_sha256)


def joined(certificates: Iterable[Certificate], by_name: Collection[str]) -> dict[str, str]:
    """Return, for each hash `by_name` that exactly one of `certificates` goes by too, the identity of that one."""
    found: dict[str, set[str]] = defaultdict(set)
    for fact in certificates if by_name else ():
        if (called := _name_hash(fact)) in by_name and called != fact.sha256:
            found[called].add(f"certificate:{fact.sha256}")
    return {f"certificate:{called}": whole for called, (whole, *others) in found.items() if not others}


def seen_as(name: str, observation: Observation) -> Observation:
    """Return `observation` as one of the identity `name`: a certificate told of by name gets the hash of that one."""
    fact = observation.fact
    if isinstance(fact, Certificate) and (own := name.removeprefix("certificate:")) != fact.sha256:
        return replace(observation, fact=replace(fact, sha256=own))
    return observation


def identified(observations: Iterable[Observation]) -> dict[str, list[Observation]]:
    """Return `observations` by identity.

    Of the same thing on several lines of a file, the n-th stays the n-th, those that only reports tell of after all
    others: an old report makes no line another one. A certificate of which only the name is told
    is the one of that name whose hash is known, where there is exactly one.
    """
    found: dict[str, list[Observation]] = defaultdict(list)
    on_lines: dict[str, dict[int, list[Observation]]] = defaultdict(lambda: defaultdict(list))
    for seen in observations:
        name, line = without_line(seen.fact, about(seen))
        (found[name] if line is None else on_lines[name][line]).append(seen)
    for name, lines in on_lines.items():
        for ordinal, line in enumerate(sorted(lines, key=lambda n: (all(map(is_told, lines[n])), n)), start=1):
            found[of_line(name, ordinal)] += lines[line]
    facts = {seen.fact for group in found.values() for seen in group if isinstance(seen.fact, Certificate)}
    for name, whole in joined(facts, {fact.sha256 for fact in facts if is_by_name(fact)}).items():
        found[whole] += (seen_as(whole, seen) for seen in found.pop(name))
    return found
