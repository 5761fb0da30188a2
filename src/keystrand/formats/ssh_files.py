"""SSH's keys in files: public keys in any line, known hosts, authorised keys, certificates, PuTTY's and SSH2's forms.

Sources: sshd(8) (authorized_keys, known_hosts), OpenSSH's PROTOCOL.certkeys, RFC 4716 (SSH2), PuTTY's manual, C.
"""

import base64
import binascii
import re
from collections.abc import Iterator

from msgspec.structs import replace

from keystrand.formats.key_facts import ENCRYPTED, Found
from keystrand.formats.line_numbers import LineNumbers
from keystrand.formats.ssh_names import host_key_fact
from keystrand.formats.ssh_wire import read_string, read_strings, string
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Keystore, PublicKey

MARKS = (b" AAAA", b"---- BEGIN SSH2 PUBLIC KEY", b"PuTTY-User-Key-File-")
"""What a file with a key of ours in text has in it."""
_LINE = re.compile(
    rb"(?<![\w@.-])((?:sk-)?(?:ssh|ecdsa)-[a-z0-9-]{2,40}(?:@[a-z0-9.-]{1,40})?) (AAAA[A-Za-z0-9+/]{16,}={0,2})"
)
_SSH2 = re.compile(rb"---- BEGIN SSH2 PUBLIC KEY ----\r?\n((?:(?!---- ).)*)---- END SSH2 PUBLIC KEY ----", re.DOTALL)
_PUTTY = re.compile(
    rb"PuTTY-User-Key-File-\d: [^\r\n]+\r?\nEncryption: ([^\r\n]+)\r?\n(?:Comment: [^\r\n]*\r?\n)?"
    rb"Public-Lines: (\d{1,3})\r?\n((?:[A-Za-z0-9+/=]+\r?\n)+)"
)
_PUBLIC_FIELDS = {b"ssh-rsa": 2, b"ssh-dss": 4, b"ssh-ed25519": 1, b"ssh-ed448": 1, b"ecdsa-sha2-nistp256": 2,
                  b"ecdsa-sha2-nistp384": 2, b"ecdsa-sha2-nistp521": 2, b"sk-ssh-ed25519@openssh.com": 2,
                  b"sk-ecdsa-sha2-nistp256@openssh.com": 3}  # fmt: skip
"""How many strings make the public part, by the type of key."""
_CERTIFICATE = re.compile(rb"(.+?)-cert-v01(@openssh\.com)")
_SERIAL_AND_TYPE, _VALIDITY = 12, 16


def text_keys(content: bytes) -> tuple[Found, ...]:
    """Return the keys that stand in text, each at its line `:n`."""
    found = [*_lines(content), *_ssh2(content), *_putty(content)]
    return tuple(one for _, one in sorted(found, key=lambda pair: pair[0]))


def _lines(content: bytes) -> Iterator[tuple[int, Found]]:
    if b" AAAA" not in content:
        return
    lines = LineNumbers(content)
    for match in _LINE.finditer(content):
        line = lines.of(match.start())
        if facts := _facts(match[1], match[2]):
            yield match.start(), Found(facts, where=f":{line}")


def _facts(name: bytes, text: bytes) -> tuple[PublicKey, ...]:
    """Return the key in one line, and for a certificate the key that signed it; nothing where it is only like one."""
    try:
        blob = base64.b64decode(text)
        kind, _ = read_string(blob)
        if kind != name:
            return ()
        return _certified(kind, blob) if _CERTIFICATE.fullmatch(kind) else (host_key_fact(blob),)
    except (binascii.Error, ValueError, InvalidInput):
        return ()


def _certified(kind: bytes, blob: bytes) -> tuple[PublicKey, ...]:
    """Return the key that a certificate is for, and the key of the authority that signed it."""
    match = _CERTIFICATE.fullmatch(kind)
    plain = match[1] if match else b""
    plain = plain if plain in _PUBLIC_FIELDS else plain + b"@openssh.com"
    if plain not in _PUBLIC_FIELDS:
        return (host_key_fact(blob),)
    count = _PUBLIC_FIELDS[plain]
    _, at = read_string(blob)
    _, *public = read_strings(blob, count + 1, at)
    at += sum(4 + len(part) for part in (_, *public)) + _SERIAL_AND_TYPE
    names = read_strings(blob, 2, at)
    at += sum(4 + len(part) for part in names) + _VALIDITY
    *_, authority = read_strings(blob, 4, at)
    return host_key_fact(string(plain) + b"".join(map(string, public))), host_key_fact(authority)


def _ssh2(content: bytes) -> Iterator[tuple[int, Found]]:
    for match in _SSH2.finditer(content) if MARKS[1] in content else ():
        lines = re.sub(rb"^[^\r\n:]+:(?:[^\r\n]*\\\r?\n)*[^\r\n]*$", b"", match[1], flags=re.MULTILINE)
        yield match.start(), _one(lines, private=False)


def _putty(content: bytes) -> Iterator[tuple[int, Found]]:
    for match in _PUTTY.finditer(content) if MARKS[2] in content else ():
        lines = b"".join(match[3].splitlines()[: int(match[2])])
        one = _one(lines, private=True)
        if match[1] != b"none":
            store = Keystore(format="PuTTY", entries=1, encrypted=True)
            one = Found((*one.facts, store), one.gap or ENCRYPTED)
        yield match.start(), one


def _one(lines: bytes, *, private: bool) -> Found:
    try:
        fact = host_key_fact(base64.b64decode(b"".join(lines.split())))
    except (binascii.Error, ValueError, InvalidInput):
        return Found(gap="an SSH key that cannot be read")
    return Found((replace(fact, private_part_present=private),))
