"""Findings of static analysis that name an algorithm, from SARIF 2.1.0 (OASIS): CodeQL, semgrep, sonar and others.

A finding is evidence that code refers to an algorithm, no more. What counts is a rule about cryptography; the algorithm
is named by the rule itself, or by the message of a rule that is about more than one.
"""

import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct, field

from keystrand.formats.cyclonedx_asset import place_of
from keystrand.formats.foreign_names import Named, canonical
from keystrand.formats.report_parts import REPORT, at, decoded, guarded, reading
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import AlgorithmUse, Strength
from keystrand.model.reading import FileReader, Found, Reading
from keystrand.model.words import shown

_ABOUT_CRYPTOGRAPHY = re.compile(
    r"crypt|cipher|hash|digest|signature|tls|ssl|key-?(?:size|length)|rsa|ecb\b|random|"
    r"\bS(?:2070|2077|2245|2257|2278|3329|4423|4426|4790|5344|5527|5542|5547|6432)\b",
    re.IGNORECASE,
)
"""Words of rules, and the numbers of SonarSource's rules on cryptography."""
_NAMES = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"MD[245]|SHA-?(?:1|224|256|384|512)|SHA-?1|3-?DES|TRIPLE-?DES|DESede|DES|RC[24]|ARC4|IDEA|BLOWFISH|CAST5|"
    r"AES(?:[-/_]?(?:128|192|256))?(?:[-/_](?:ECB|CBC|GCM|CTR|CFB|OFB))?|RSA(?:-?\d{4})?|DSA|ECDSA|ECDH|"
    r"DIFFIE-?HELLMAN|CHACHA20(?:-?POLY1305)?|ML-?KEM-?\d+|ML-?DSA-?\d+|ED25519|X25519|PBKDF2|BCRYPT|SCRYPT"
    r")(?![A-Za-z0-9])",
    re.IGNORECASE,
)


class _Text(Struct):
    text: str = ""


class _Rule(Struct):
    id: str = ""
    name: str | None = None
    short: _Text | None = field(default=None, name="shortDescription")

    def words(self) -> str:
        """Return all that the rule says of itself."""
        return f"{self.id} {self.name or ''} {self.short.text if self.short else ''}"


class _Driver(Struct):
    name: str = ""
    rules: list[_Rule] | None = None


class _Tool(Struct):
    driver: _Driver


class _Artifact(Struct):
    uri: str | None = None


class _Region(Struct):
    line: int | None = field(default=None, name="startLine")


class _Physical(Struct):
    artifact: _Artifact | None = field(default=None, name="artifactLocation")
    region: _Region | None = None


class _Location(Struct):
    physical: _Physical | None = field(default=None, name="physicalLocation")


class _Result(Struct):
    rule: str | None = field(default=None, name="ruleId")
    index: int | None = field(default=None, name="ruleIndex")
    message: _Text | None = None
    locations: list[_Location] | None = None


class _Run(Struct):
    tool: _Tool
    results: list[msgspec.Raw] | None = None


class _Log(Struct):
    version: str
    runs: list[_Run]


def _named(text: str) -> tuple[Named, ...]:
    """Return the algorithms that a text names, each once."""
    words = (match[0] for match in _NAMES.finditer(text.replace("_", "-")))
    return tuple(dict.fromkeys(named for word in words for named in canonical(word)))


def _algorithms(result: _Result, rule: _Rule) -> tuple[Named, ...]:
    words = f"{result.rule or ''} {rule.words()}"
    if by_rule := _named(f"{result.rule or rule.id} {rule.name or ''}".replace(".", " ")):
        return by_rule
    about = _ABOUT_CRYPTOGRAPHY.search(words)
    return _named(result.message.text) if about and result.message else ()


def _places(result: _Result) -> Iterator[str]:
    for location in result.locations or ():
        physical = location.physical
        if physical and physical.artifact and physical.artifact.uri:
            yield place_of(physical.artifact.uri, physical.region.line if physical.region else None, None)


def _found(run: _Run, reasons: list[str]) -> Iterator[Found]:
    rules = run.tool.driver.rules or []
    by_id = {rule.id: rule for rule in rules}
    for number, raw in enumerate(run.results or ()):
        try:
            result = decoded(raw, _Result)
        except (msgspec.MsgspecError, InvalidInput) as error:
            reasons.append(f"results[{number}]: {error}")
            continue
        indexed = rules[result.index] if result.index is not None and 0 <= result.index < len(rules) else _Rule()
        for algorithm, function in _algorithms(result, by_id.get(result.rule or "", indexed)):
            for place in _places(result) or ():
                yield Found(at(place), Strength.REFERENCED, AlgorithmUse(algorithm=algorithm, function=function))


@guarded
def read(_: str, content: bytes) -> Reading:
    """Return the uses that rules on cryptography name, at file and line."""
    log = decoded(content, _Log)
    if not log.version.startswith("2."):
        raise InvalidInput(f"SARIF of version {shown(log.version, 20)} is not one that is read")
    reasons: list[str] = []
    found = [fact for run in log.runs for fact in _found(run, reasons)]
    return reading(found, reasons)


def _wants(path: str, head: bytes) -> bool:
    named = path.endswith((".sarif", ".sarif.json"))
    return named or b"sarif" in head[:1024].lower() or (b'"runs"' in head and b'"driver"' in head)


READER = FileReader(REPORT, _wants, read)
