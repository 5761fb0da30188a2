"""Configuration in YAML and JSON: Kubernetes objects and Envoy's. The library reads YAML; a walk finds what matters."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

import yaml

from keystrand.formats.config_lines import shown
from keystrand.formats.config_values import VALUES, Said
from keystrand.formats.key_files import objects_in
from keystrand.formats.suite_names import use_of
from keystrand.model.algorithm import Function
from keystrand.model.observation import Outcome, ProtocolSettings, Strength
from keystrand.model.reading import Found, Reading

MAX_OCTETS = 4 * 1024 * 1024
MAX_NODES = 200_000
"""Nodes that are visited in one file. An alias is visited each time it is used, so that a bomb of aliases ends here."""
_MARKS = re.compile(
    rb"apiVersion|tls_params|tls_context|common_tls_context|tls_minimum_protocol_version|tls-cipher-suites"
)

Place = tuple[int, Said]
"""A line, and what is said there."""


def may_be_yaml(path: str) -> bool:
    """Return whether a file with this path is worth opening."""
    return path.lower().endswith((".yaml", ".yml", ".json"))


def read_yaml(path: str, content: bytes) -> Reading:
    """Return what the documents in `content` say of cryptography. Never raises."""
    if not _MARKS.search(content) or not may_be_yaml(path):
        return Reading()
    if len(content) > MAX_OCTETS:
        return Reading((), Outcome.SKIPPED, f"larger than {MAX_OCTETS} octets of YAML")
    found: dict[Found, None] = {}
    remarks: list[str] = []
    try:
        for line, said in _documents(content):
            if isinstance(said, str):
                remarks.append(f"line {line}: {said}")
            else:
                found[Found(f":{line}", Strength.CONFIGURED, said)] = None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        return Reading(tuple(found), Outcome.UNPARSABLE, f"no YAML that can be read{where}")
    return Reading(tuple(found), Outcome.SEEN if found else Outcome.NONE, shown(remarks))


class _Budget:
    """Counts visited nodes; raises `ValueError` beyond the most."""

    def __init__(self) -> None:
        self.left = MAX_NODES

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ValueError("too many nodes")


def _documents(content: bytes) -> Iterator[Place]:
    budget = _Budget()
    for document in yaml.compose_all(content.decode("utf-8", "replace"), Loader=yaml.CSafeLoader):
        if isinstance(document, yaml.MappingNode):
            yield from _kubernetes(document)
            yield from _walk(document, budget)


def _entries(node: Any) -> dict[str, Any]:
    """Return the entries of a mapping by their keys; empty for any other node."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _text(node: Any) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


def _list(node: Any) -> str:
    """Return a scalar, or the scalars of a sequence, as one text."""
    if isinstance(node, yaml.SequenceNode):
        return ",".join(_text(item) for item in node.value)
    return _text(node)


def _walk(node: Any, budget: _Budget) -> Iterator[Place]:
    """Yield what settings say anywhere below `node`: Envoy's TLS parameters, and flags of Kubernetes' own servers."""
    budget.spend()
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _walk(item, budget)
    elif isinstance(node, yaml.ScalarNode):
        yield from _flag(node)
    for name, value in _entries(node).items():
        if kind := _ENVOY.get(name):
            software, text = _spoken(name, _list(value))
            yield from ((_line(value), said) for said in VALUES[kind](software, text))
        yield from _walk(value, budget)


_ENVOY = {"tls_minimum_protocol_version": "least-version", "cipher_suites": "suites", "ecdh_curves": "groups",
          "signature_algorithms": "schemes", "tlsMinVersion": "least-version", "tlsCipherSuites": "suites",
          "minTLSVersion": "least-version"}  # fmt: skip


def _spoken(name: str, text: str) -> tuple[str, str]:
    """Return the software that has the setting `name`, and its value as others write it."""
    software = "Envoy" if "_" in name else "Kubernetes"
    return software, re.sub(r"[\[\]|]", ",", text.replace("VersionTLS1", "TLSv1.").replace("TLS_AUTO", ""))


def _flag(node: Any) -> Iterator[Place]:
    match = re.match(r"--(tls-min-version|tls-cipher-suites)=(.+)", _text(node))
    if match:
        kind = "least-version" if "version" in match[1] else "suites"
        value = re.sub(r"VersionTLS1(\d)", r"TLSv1.\1", match[2])
        yield from ((_line(node), said) for said in VALUES[kind]("Kubernetes", value))


def _kubernetes(document: Any) -> Iterator[Place]:
    """Yield what an object of Kubernetes holds or asks for."""
    fields = _entries(document)
    match _text(fields.get("kind")):
        case "Secret":
            yield from _secret(fields)
        case "Ingress" | "Gateway":
            yield from _ingress(_text(fields["kind"]), fields)
        case "Certificate":
            yield from _wanted_key(_entries(_entries(fields.get("spec")).get("privateKey")))
        case "EncryptionConfiguration" | "EncryptionConfig":
            yield from _encryption(fields.get("resources"))


def _secret(fields: dict[str, Any]) -> Iterator[Place]:
    """Yield the certificates and keys of a secret. Its content goes through the reader of key files, and no further."""
    for group in ("data", "stringData"):
        for value in _entries(fields.get(group)).values():
            raw = _text(value)
            try:
                content = base64.b64decode(raw, validate=False) if group == "data" else raw.encode()
            except (binascii.Error, ValueError):
                continue
            if b"-----BEGIN " in content:
                for found in objects_in(content):
                    yield from ((_line(value), fact) for fact in found.facts)


def _ingress(kind: str, fields: dict[str, Any]) -> Iterator[Place]:
    spec = _entries(fields.get("spec"))
    entries = spec.get("tls") if kind == "Ingress" else spec.get("listeners")
    for entry in entries.value if isinstance(entries, yaml.SequenceNode) else ():
        item = _entries(entry)
        hosts = tuple(_list(item[key]) for key in ("hosts", "hostname") if key in item)
        if kind == "Ingress" or "tls" in item:
            names = tuple(host for text in hosts for host in text.split(",") if host)
            yield _line(entry), ProtocolSettings(software=f"Kubernetes {kind}", protocol="tls", listens=names)


def _wanted_key(wanted: dict[str, Any]) -> Iterator[Place]:
    """Yield the key that cert-manager makes; its default is RSA with 2048 bits."""
    if not wanted:
        return
    family, size = _text(wanted.get("algorithm")) or "RSA", _text(wanted.get("size"))
    named = {"RSA": f"RSA-{size or 2048}", "ECDSA": f"ECDSA-P-{size or 256}", "Ed25519": "Ed25519"}.get(family)
    if named:
        yield _line(next(iter(wanted.values()))), use_of(named, Function.SIGNATURE)


_PROVIDERS = {"aescbc": "AES-CBC", "aesgcm": "AES-GCM", "secretbox": "XSalsa20-Poly1305"}


def _encryption(resources: Any) -> Iterator[Place]:
    """Yield how an API server encrypts what it stores; `identity` encrypts nothing."""
    for resource in resources.value if isinstance(resources, yaml.SequenceNode) else ():
        providers = _entries(resource).get("providers")
        for provider in providers.value if isinstance(providers, yaml.SequenceNode) else ():
            for name, value in _entries(provider).items():
                if name in _PROVIDERS:
                    yield _line(value), use_of(_PROVIDERS[name], Function.ENCRYPTION)
                elif name == "identity":
                    yield _line(value), "`identity` stores without encryption"
