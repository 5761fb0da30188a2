"""Terraform: the keys, certificates and TLS policies that a plan asks a cloud for (HCL files and state files)."""

import json
import re
from collections.abc import Iterator
from typing import Any

from keystrand.formats.config_lines import shown
from keystrand.formats.config_values import VALUES, Said
from keystrand.formats.foreign_names import canonical
from keystrand.formats.suite_names import use_of
from keystrand.model.algorithm import Function
from keystrand.model.observation import Outcome, ProtocolSettings, Strength
from keystrand.model.reading import Found, Reading

MAX_DEPTH = 40
_BLOCK = re.compile(r'^\s*(resource|data)\s+"([\w-]+)"\s+"([\w.-]+)"\s*\{')
_ASSIGNMENT = re.compile(r'^\s*"?([\w-]+)"?\s*=\s*(?:"([^"$]*)"|(\d+)|(\[[^\]]*\])|.)')
_POLICY = re.compile(r"TLS(13)?[-_]?v?1[-._]([0-3])")

_KEY_SETTINGS = frozenset({"key_spec", "customer_master_key_spec", "algorithm", "key_algorithm", "signing_algorithm"})


def may_be_terraform(path: str) -> bool:
    """Return whether a file with this path is worth opening."""
    return path.lower().endswith((".tf", ".tf.json", ".tfstate", ".tfvars"))


def read_terraform(path: str, content: bytes) -> Reading:
    """Return what the resources in `content` ask for. Never raises."""
    if not may_be_terraform(path):
        return Reading()
    text = content.decode("utf-8", "replace")
    found: dict[Found, None] = {}
    remarks: list[str] = []
    try:
        entries = _state(json.loads(text)) if path.lower().endswith(("state", ".json")) else _blocks(text)
        for line, kind, settings in entries:
            for said in _resource(kind, settings):
                if isinstance(said, str):
                    remarks.append(f"line {line}: {said}" if line else said)
                else:
                    found[Found(f":{line}" if line else f"!{kind}", Strength.CONFIGURED, said)] = None
    except (ValueError, RecursionError):
        return Reading(tuple(found), Outcome.UNPARSABLE, "no JSON that can be read")
    return Reading(tuple(found), Outcome.SEEN if found else Outcome.NONE, shown(remarks))


Resource = tuple[int, str, dict[str, str]]
"""Line (0 where there is none), type, and the settings with plain values."""


def _blocks(text: str) -> Iterator[Resource]:
    """Yield the resources of an HCL file. An expression is not known before Terraform runs: its value is empty."""
    kind, begun, depth, settings = "", 0, 0, dict[str, str]()
    for number, line in enumerate(text.splitlines(), start=1):
        plain = re.sub(r"^\s*(?:#|//).*", "", line[:10_000])
        if not kind and (match := _BLOCK.match(plain)) and match[1] == "resource":
            kind, begun, depth, settings = match[2], number, 1, {}
            plain = plain[match.end() :]
        if kind:
            if match := _ASSIGNMENT.match(plain):
                settings.setdefault(match[1], next((part for part in match.groups()[1:] if part), ""))
            depth += plain.count("{") - plain.count("}")
            if depth <= 0:
                yield begun, kind, settings
                kind = ""


def _state(state: Any) -> Iterator[Resource]:
    """Yield the resources of a state file (format 4)."""
    resources = state.get("resources") if isinstance(state, dict) else None
    for resource in resources if isinstance(resources, list) else ():
        if not isinstance(resource, dict) or not isinstance(resource.get("type"), str):
            continue
        instances = resource.get("instances")
        for instance in instances if isinstance(instances, list) else ():
            attributes = instance.get("attributes") if isinstance(instance, dict) else None
            if isinstance(attributes, dict):
                plain = {str(k): str(v) for k, v in attributes.items() if isinstance(v, str | int)}
                yield 0, resource["type"], plain


def _resource(kind: str, settings: dict[str, str]) -> Iterator[Said]:
    """Yield what one resource asks for, by the settings that say it."""
    if kind == "tls_private_key" or kind.startswith("azurerm_key_vault_key"):
        yield from _made_key(settings)
        return
    for name, value in settings.items():
        if not value:
            continue
        if name in _KEY_SETTINGS:
            yield from _spec(value)
        elif name in ("ssl_policy", "security_policy", "minimum_protocol_version"):
            yield from _policy(kind, value)
        elif name in ("min_tls_version", "minimum_tls_version"):
            yield from VALUES["least-version"](kind, value.replace("_", "."))
    if kind == "aws_kms_key" and not {"key_spec", "customer_master_key_spec"} & settings.keys():
        yield use_of("AES-256-GCM", Function.ENCRYPTION)


def _spec(value: str) -> Iterator[Said]:
    """Yield what a cloud's name of a kind of key says; the curves that ACM names are those of its certificates."""
    for named in canonical(re.sub(r"^EC_(?=prime|secp)", "ECDSA-", value)):
        yield use_of(named.algorithm, named.function)


def _made_key(settings: dict[str, str]) -> Iterator[Said]:
    family = (settings.get("algorithm") or settings.get("key_type") or "").upper().removesuffix("-HSM")
    curve = settings.get("ecdsa_curve", settings.get("curve", "P224")).replace("-", "").removeprefix("P")
    bits = settings.get("rsa_bits", settings.get("key_size", "2048"))
    if family == "RSA":
        yield use_of(f"RSA-{bits}" if bits else "RSA")
    elif family in ("ECDSA", "EC"):
        yield use_of(f"ECDSA-P-{curve}" if curve else "ECDSA")
    elif family == "ED25519":
        yield use_of("Ed25519")


def _policy(kind: str, value: str) -> Iterator[Said]:
    """Yield the versions that a cloud's named policy accepts, where its name tells them.

    `TLS13-1-2` of AWS's load balancers means from 1.2 up to 1.3; their policies without `TLS13` end at 1.2.
    """
    named = _POLICY.search(value)
    if not named:
        yield f"the versions of the policy {value[:60]!r} are its vendor's"
        return
    highest = 2 if value.startswith("ELBSecurityPolicy-") and not named[1] else 3
    versions = tuple(f"TLSv1.{n}" for n in range(int(named[2]), highest + 1))
    yield ProtocolSettings(software=kind, protocol="tls", versions=versions)
    if "PQ" in value.upper().split("-"):
        yield use_of("X25519MLKEM768", Function.KEY_ESTABLISHMENT)
