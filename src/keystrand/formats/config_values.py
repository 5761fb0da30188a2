"""What the value of one setting says, as facts. A part that is not understood is a remark, not a guess."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keystrand.formats.ike_names import proposal_uses
from keystrand.formats.ssh_names import host_key_name, is_pseudo, key_exchange_name
from keystrand.formats.suite_names import group_name, scheme_name, suite_uses, use_of
from keystrand.formats.symmetric_names import cipher_name, hash_name, mac_name
from keystrand.model.algorithm import Function
from keystrand.model.observation import Fact, Library, ProtocolSettings, PublicKey

Said = Fact | str
"""A fact, or a remark on what was not understood."""
Value = Callable[[str, str], Iterator[Said]]
"""Takes the software's name and the value; yields what it says."""

VERSIONS = ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_EVERY = VERSIONS[2:]
_VERSION = re.compile(r"(?i)(tls|ssl|dtls)[v_]?(\d)(?:[._](\d))?")


def _words(value: str) -> list[str]:
    return [word for word in re.split(r"[\s,:;]+", value.strip().strip("\"'")) if word]


def _version(word: str) -> str:
    """Return the version that `word` names, or an empty string: `tlsv1_2`, `TLS 1.2` and `TLSv1.2` are one."""
    match = _VERSION.fullmatch(word)
    if not match:
        return ""
    name = f"{match[1].upper()}v{match[2]}"
    return name if match[1].lower() == "ssl" else f"{name}.{match[3] or '0'}"


def _settings(software: str, versions: Iterator[str] | tuple[str, ...] | list[str]) -> ProtocolSettings:
    return ProtocolSettings(software=software, protocol="tls", versions=tuple(versions))


def versions(software: str, value: str) -> Iterator[Said]:
    """Yield the versions that a list switches on. A list of exclusions alone begins from all that are in use."""
    words = re.findall(r"(>=|<=|[-+!])?\s*([A-Za-z]+[\d._]*v?[\d._]*)", value)
    if not words:
        return
    on = list(_EVERY) if words[0][0] in ("-", "!", ">=", "<=") else []
    for sign, word in words:
        named = _version(word)
        if word.lower() in ("all", "any"):
            on = [] if sign in ("-", "!") else list(_EVERY)
        elif named not in VERSIONS:
            yield f"{word!r} is no version that is known"
        elif sign in (">=", "<="):
            on = [one for one in on if _between(named, one, at_least=sign == ">=")]
        elif sign in ("-", "!"):
            on = [one for one in on if one != named]
        elif named not in on:
            on.append(named)
    yield _settings(software, [one for one in VERSIONS if one in on])


def _between(bound: str, version: str, *, at_least: bool) -> bool:
    if bound not in VERSIONS:
        return True
    here, there = VERSIONS.index(version), VERSIONS.index(bound)
    return here >= there if at_least else here <= there


def least_version(software: str, value: str) -> Iterator[Said]:
    """Yield the versions from the least one on."""
    word = (_words(value) or [""])[0]
    named = _version(word if word[:1].isalpha() else f"TLSv{word}")
    if named in VERSIONS:
        yield _settings(software, VERSIONS[VERSIONS.index(named) :])
    elif word.lower() not in ("", "none", "any"):
        yield f"{word!r} is no version that is known"


def disabled(software: str, value: str) -> Iterator[Said]:
    """Yield the versions that remain where a list of algorithms is switched off, as in `java.security`."""
    off = {_version(word) for word in re.split(r"[\s,]+", value)}
    yield _settings(software, [one for one in _EVERY if one not in off])


def suites(_: str, value: str) -> Iterator[Said]:
    """Yield what the suites of an OpenSSL or IANA list use. A keyword stands for what the library makes of it."""
    for word in _words(value):
        if word.startswith(("!", "-", "@")):
            continue
        found = suite_uses(word.lstrip("+"))
        yield from found or (f"{word!r} stands for suites that depend on the library",)


def groups(_: str, value: str) -> Iterator[Said]:
    """Yield the groups of a list; OpenSSL 3.5 writes `*` before a predicted share, `?` before one it may not know."""
    for word in re.split(r"[\s,:;/]+", value.strip().strip("\"'")):
        plain = word.lstrip("*?-")
        if word.startswith("-") or not plain or plain.lower() in ("auto", "default"):
            continue
        name = group_name(plain)
        yield use_of(name, Function.KEY_ESTABLISHMENT) if name else f"{plain!r} is no group that is known"


def schemes(_: str, value: str) -> Iterator[Said]:
    """Yield the signature schemes of a list."""
    for word in _words(value):
        name = scheme_name(word.lstrip("?"))
        yield use_of(name, Function.SIGNATURE) if name else f"{word!r} is no signature scheme that is known"


def _ssh(name_of: Callable[[str], str], function: Function) -> Value:
    def read(_: str, value: str) -> Iterator[Said]:
        if value.strip().startswith("-"):
            return
        for word in _words(value.strip().lstrip("+^")):
            if not is_pseudo(word) and "*" not in word:
                name = name_of(word)
                yield use_of(name, function) if name else f"{word!r} is no algorithm that is known"

    return read


def ike(_: str, value: str) -> Iterator[Said]:
    """Yield what IKE or ESP proposals use, as strongSwan writes them."""
    for proposal in re.split(r"[\s,]+", value.strip().strip("\"'").rstrip("!")):
        if proposal and proposal != "default":
            yield from proposal_uses(proposal)


def digest(_: str, value: str) -> Iterator[Said]:
    """Yield a hash by its usual name."""
    if name := hash_name(value.strip().strip("\"'")):
        yield use_of(name)


def one_cipher(_: str, value: str) -> Iterator[Said]:
    """Yield ciphers by the names that OpenSSL and dm-crypt have."""
    for word in _words(value):
        name = cipher_name(word)
        yield use_of(name) if name else f"{word!r} is no cipher that is known"


def one_mac(_: str, value: str) -> Iterator[Said]:
    """Yield the code that a hash makes of a message."""
    if name := hash_name(value.strip().strip("\"'")):
        yield use_of(f"HMAC-{name}")


def rsa_bits(_: str, value: str) -> Iterator[Said]:
    """Yield the RSA keys that are made where a size is set."""
    if re.fullmatch(r"\d{3,5}", bits := value.strip().strip("\"'")):
        yield use_of(f"RSA-{bits}")


def listens(software: str, value: str) -> Iterator[Said]:
    """Yield an address that speaks TLS or QUIC, as `listen` and `bind` have it."""
    words = value.replace(";", " ").split()
    if words and {"ssl", "quic"} & set(words):
        protocol = "quic" if "quic" in words else "tls"
        yield ProtocolSettings(software=software, protocol=protocol, listens=(words[0],))


def _curve25519(value: str) -> bytes | None:
    try:
        key = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == 32 else None


def _x25519_fact(key: X25519PublicKey, *, private: bool) -> PublicKey:
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(sha256=hashlib.sha256(spki).hexdigest(), algorithm="X25519", private_part_present=private)


def wireguard_public(_: str, value: str) -> Iterator[Said]:
    """Yield the key of a WireGuard peer."""
    if key := _curve25519(value):
        yield _x25519_fact(X25519PublicKey.from_public_bytes(key), private=False)
    else:
        yield "a public key that is not 32 octets in base64"


def wireguard_private(_: str, value: str) -> Iterator[Said]:
    """Yield the public half of an interface's key, and that its private half lies here. The key itself is not kept."""
    yield use_of("X25519", Function.KEY_ESTABLISHMENT)
    yield use_of("ChaCha20-Poly1305")
    if key := _curve25519(value):
        yield _x25519_fact(X25519PrivateKey.from_private_bytes(key).public_key(), private=True)
    else:
        yield "a private key that is not 32 octets in base64"


def pre_shared(_: str, value: str) -> Iterator[Said]:
    """Yield that a pre-shared key is mixed in; of the key nothing but that it is there."""
    if value.strip():
        yield use_of("PSK", Function.KEY_ESTABLISHMENT)


def post_quantum_pre_shared(_: str, value: str) -> Iterator[Said]:
    """Yield that IKEv2 mixes in a key from outside (RFC 8784)."""
    if value.strip().strip("\"'").lower() not in ("", "no", "never", "insist=no"):
        yield use_of("PPK (RFC 8784)", Function.KEY_ESTABLISHMENT)


def ike_version(software: str, value: str) -> Iterator[Said]:
    """Yield the version of IKE; strongSwan's 0 accepts both."""
    plain = value.strip().strip("\"'").lower().removeprefix("ikev")
    both = ("IKEv1", "IKEv2")
    if found := {"1": both[:1], "2": both[1:], "0": both, "ike": both}.get(plain):
        yield ProtocolSettings(software=software, protocol="ike", versions=found)


def provider(_: str, value: str) -> Iterator[Said]:
    """Yield a provider of cryptography that is switched on."""
    if words := value.split():
        yield Library(name=words[0])


def password_hash(_: str, value: str) -> Iterator[Said]:
    """Yield how passwords are proved: PostgreSQL's methods."""
    plain = value.strip().strip("\"'").split()[:1]
    known = {"scram-sha-256": ("PBKDF2-HMAC-SHA-256", Function.KEY_DERIVATION), "md5": ("MD5", Function.DIGEST)}
    if plain and plain[0] in known:
        yield use_of(*known[plain[0]])


def on_or_off(protocol: str) -> Value:
    """Return what reads a switch for `protocol`."""

    def read(software: str, value: str) -> Iterator[Said]:
        if value.strip().strip("\"'").lower() not in ("", "no", "off", "false", "0", "none", "disable"):
            yield ProtocolSettings(software=software, protocol=protocol)

    return read


VALUES: Mapping[str, Value] = {
    "versions": versions, "least-version": least_version, "disabled": disabled, "suites": suites, "groups": groups,
    "schemes": schemes, "ike": ike, "ike-version": ike_version, "digest": digest, "cipher": one_cipher, "mac": one_mac,
    "rsa-bits": rsa_bits, "listens": listens, "wireguard-public": wireguard_public,
    "wireguard-private": wireguard_private, "pre-shared": pre_shared, "ppk": post_quantum_pre_shared,
    "provider": provider, "password-hash": password_hash, "tls": on_or_off("tls"), "macsec": on_or_off("macsec"),
    "dnssec": on_or_off("dnssec"), "dns-over-tls": on_or_off("dns-over-tls"),
    "ssh-exchanges": _ssh(key_exchange_name, Function.KEY_ESTABLISHMENT),
    "ssh-keys": _ssh(host_key_name, Function.SIGNATURE), "ssh-ciphers": _ssh(cipher_name, Function.ENCRYPTION),
    "ssh-codes": _ssh(mac_name, Function.MAC),
}  # fmt: skip
"""How each kind of value is read."""
