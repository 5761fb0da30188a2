"""Java's key stores: JKS and JCEKS, whose names and certificates stand in clear, and BKS and BCFKS of Bouncy Castle.

Layouts as in the sources of OpenJDK (JavaKeyStore) and Bouncy Castle (BcKeyStoreSpi, ObjectStore). Private parts are
encrypted in all of them; they are passed over unread.
"""

from collections.abc import Iterator

from keystrand.formats.der import OCTET_STRING, SEQUENCE, algorithm_oid, children, sequence
from keystrand.formats.key_facts import ENCRYPTED, Found
from keystrand.formats.pbe import PBES2, PBKDF2, SCRYPT
from keystrand.formats.x509_facts import certificate_fact
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import Certificate, Keystore, PublicKey

JKS, JCEKS = b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce"
MAX_ENTRIES = 100_000
_KEY, _CERTIFICATE, _SECRET = 1, 2, 3
_BKS_CERTIFICATE, _BKS_KEY = 1, 2
_BKS_MAX_SALT = 64


class _Octets:
    """Reads Java's `DataOutput` form. Raises `ValueError` where the octets end."""

    def __init__(self, content: bytes, at: int = 0) -> None:
        self.content, self.at = content, at

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.content) - self.at:
            raise ValueError("the store ends early")
        self.at += size
        return self.content[self.at - size : self.at]

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self.take(size), "big")

    def text(self) -> str:
        return self.take(self.number(2)).decode("utf-8", "backslashreplace")

    def block(self) -> bytes:
        return self.take(self.number())


def java_store(content: bytes) -> tuple[Found, ...]:
    """Return what a JKS or JCEKS store holds: itself, each certificate, and the keys that certificates tell."""
    name = "JKS" if content.startswith(JKS) else "JCEKS"
    octets = _Octets(content, len(JKS))
    objects: list[Found] = []
    gap = ""
    entries = locked = 0
    try:
        version, entries = octets.number(), octets.number()
        gap = f"a {name} store of which {MAX_ENTRIES} entries were read" if entries > MAX_ENTRIES else ""
        for _ in range(min(entries, MAX_ENTRIES)):
            kind = octets.number()
            locked += kind in (_KEY, _SECRET)
            objects += _entry(octets, kind, named=version > 1)
    except ValueError as error:
        gap = f"a {name} store that is not read to its end: {error}"
    store = Found((Keystore(format=name, entries=entries, encrypted=locked > 0),), gap)
    return (store, *objects)


def _entry(octets: _Octets, kind: int, *, named: bool) -> Iterator[Found]:
    octets.text()  # the alias, which is not kept
    octets.take(8)  # when it was made
    if kind == _CERTIFICATE:
        yield from _certificates(octets, 1, named=named)
    elif kind == _KEY:
        octets.block()  # the private key, encrypted
        chain = list(_certificates(octets, octets.number(), named=named))
        if chain and isinstance(fact := next(iter(chain[0].facts), None), Certificate):
            yield Found((_private(fact),))
        yield from chain
    else:
        raise ValueError("a secret key in an object of Java's, whose length is not told; what follows it is unread")


def _private(certificate: Certificate) -> PublicKey:
    return PublicKey(
        sha256=certificate.spki_sha256, algorithm=certificate.key_algorithm, bits=certificate.key_bits,
        private_part_present=True,
    )  # fmt: skip


def _certificates(octets: _Octets, count: int, *, named: bool) -> Iterator[Found]:
    if count > MAX_ENTRIES:
        raise ValueError(f"a chain of more than {MAX_ENTRIES} certificates")
    for _ in range(count):
        if named:
            octets.text()  # "X.509"
        try:
            yield Found((certificate_fact(octets.block()),))
        except InvalidInput as error:
            yield Found(gap=error.message)


def is_bks(content: bytes) -> bool:
    """Return whether `content` begins as a BKS store: version, a salt, a number of rounds, and an entry's kind."""
    octets = _Octets(content)
    try:
        version, salt, rounds = octets.number(), octets.block(), octets.number()
        kind = octets.number(1)
    except ValueError:
        return False
    return version in (1, 2) and 8 <= len(salt) <= _BKS_MAX_SALT and 1000 <= rounds < 1 << 24 and kind <= 4


def bks_store(content: bytes) -> tuple[Found, ...]:
    """Return what a BKS store holds, as far as it stands in clear."""
    octets = _Octets(content)
    octets.number()
    octets.block()
    octets.number()
    objects: list[Found] = []
    gap = ""
    entries = locked = 0
    try:
        while kind := octets.number(1):
            entries += 1
            locked += kind != _BKS_CERTIFICATE
            octets.text()
            octets.take(8)
            objects += _certificates(octets, octets.number(), named=True)
            if kind == _BKS_CERTIFICATE:
                objects += _certificates(octets, 1, named=True)
            elif kind == _BKS_KEY:
                octets.take(1)
                octets.text()
                octets.text()
                octets.block()
            else:
                octets.block()
    except ValueError as error:
        gap = f"a BKS store that is not read to its end: {error}"
    return (Found((Keystore(format="BKS", entries=entries, encrypted=locked > 0),), gap), *objects)


def is_bcfks(content: bytes) -> bool:
    """Return whether `content` has the shape of a BCFKS store: what is encrypted, and a check with its derivation."""
    try:
        sealed, check = sequence(content)
        algorithm, octets = children(sealed.content)
        _, derivation, _ = children(check.content)
        kinds = algorithm_oid(algorithm), algorithm_oid(derivation)
    except ValueError:
        return False
    tags = sealed.tag, check.tag, octets.tag
    return tags == (SEQUENCE, SEQUENCE, OCTET_STRING) and kinds[0] == PBES2 and kinds[1] in (PBKDF2, SCRYPT)


def bcfks_store() -> tuple[Found, ...]:
    """Return that there is a BCFKS store: all that is in it is encrypted."""
    return (Found((Keystore(format="BCFKS", entries=None, encrypted=True),), ENCRYPTED),)
