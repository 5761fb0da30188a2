"""SSH as a bystander sees it: both identifications, both lists, what they agree on, and the server's host key.

Sources: RFC 4253, section 7.1 (negotiation), RFC 4419, section 3 (group exchange), RFC 5656, section 4; OpenSSH's
PROTOCOL (ciphers that authenticate for themselves).
"""

from typing import NamedTuple

from keystrand.formats import symmetric_names
from keystrand.formats.capture_session import Session, Use
from keystrand.formats.ssh_names import host_key_fact, host_key_name, is_pseudo, key_exchange_name
from keystrand.formats.ssh_wire import (
    KEX_REPLY,
    KEXINIT,
    NEWKEYS,
    Identification,
    KexInit,
    first_packet,
    identification,
    kexinit,
    read_string,
    read_strings,
)
from keystrand.model.algorithm import Function, Verdict, classify
from keystrand.model.errors import InvalidInput
from keystrand.model.observation import PublicKey

_GROUP_REPLY = 33
_LISTS_AT, _LISTS = 17, 10


class Agreed(NamedTuple):
    """What two lists of algorithms agree on, in the names of SSH; empty where they agree on nothing."""

    key_exchange: str
    host_key: str
    cipher: str
    mac: str


def cipher_name(name: str) -> str:
    """Return the canonical name of a cipher, or `name` where it is not known."""
    return symmetric_names.cipher_name(name) or name


def mac_name(name: str) -> str:
    """Return the canonical name of an authentication code, or `name` where it is not known."""
    return symmetric_names.mac_name(name) or name


def agreed(client: bytes, server: bytes) -> Agreed:
    """Return what follows from two SSH_MSG_KEXINIT: of each list the client's first that the server has too.

    Raises `InvalidInput` where one is none. Kind and order are those of the direction to the server.
    """
    theirs, ours = kexinit(client), kexinit(server)
    pairs = zip(_texts(client)[2:6:2], _texts(server)[2:6:2], strict=True)
    cipher, mac = (_first(mine, yours) for mine, yours in pairs)
    return Agreed(
        _first([name for name in theirs.key_exchanges if not is_pseudo(name)], list(ours.key_exchanges)),
        _first(list(theirs.host_keys), list(ours.host_keys)),
        cipher,
        "" if "gcm" in cipher or "poly1305" in cipher else mac,
    )


def _texts(payload: bytes) -> list[list[str]]:
    return [value.decode("ascii", "replace").split(",") for value in read_strings(payload, _LISTS, at=_LISTS_AT)]


def _first(preferred: list[str], accepted: list[str]) -> str:
    return next((name for name in preferred if name in accepted), "")


class _Side:
    """What one side has said: its identification, its lists, and octets that are not a whole packet yet."""

    def __init__(self) -> None:
        self.buffer = b""
        self.named: Identification | None = None
        self.lists = b""
        self.ended = False


class SshDissector:
    """SSH over a stream, until the keys are in use."""

    def __init__(self) -> None:
        self._sides = {True: _Side(), False: _Side()}
        self._server_first: bool | None = None
        self._host_key: PublicKey | None = None
        self._prime_bits: int | None = None

    def take(self, *, first: bool, octets: bytes) -> bool:
        """Take stream octets; see `Dissector`."""
        side = self._sides[first]
        if not side.ended:
            side.buffer += octets
            try:
                while self._step(side, first=first):
                    pass
            except InvalidInput:
                side.ended = True
        return self._sides[True].ended and self._sides[False].ended

    def _step(self, side: _Side, *, first: bool) -> bool:
        """Take one line or packet; False where there is none whole."""
        if side.ended:
            return False
        if side.named is None:
            if (found := identification(side.buffer)) is None:
                return False
            side.named, side.buffer = found
            side.ended = not side.named.protocol.startswith(("2.", "1.99"))
            return True
        if (packet := first_packet(side.buffer)) is None:
            return False
        payload, side.buffer = packet
        if payload[:1]:
            self._message(payload[0], payload, first=first)
        return True

    def _message(self, kind: int, payload: bytes, *, first: bool) -> None:
        side = self._sides[first]
        if kind == KEXINIT and not side.lists:
            kexinit(payload)
            side.lists = payload
        elif kind in (KEX_REPLY, _GROUP_REPLY):
            self._server_first = first
            self._reply(kind, payload)
        elif kind == NEWKEYS:
            side.ended = True

    def _reply(self, kind: int, payload: bytes) -> None:
        """Take the server's half: its host key, or the group that it sends before (message 31 of RFC 4419)."""
        if kind == KEX_REPLY and self._key_exchange().startswith("diffie-hellman-group-exchange"):
            prime, _ = read_string(payload, 1)
            self._prime_bits = int.from_bytes(prime, "big").bit_length()
        else:
            self._host_key = host_key_fact(read_string(payload, 1)[0])

    def _agreed(self) -> Agreed | None:
        server = self._sides[self._is_server_first()]
        client = self._sides[not self._is_server_first()]
        return agreed(client.lists, server.lists) if client.lists and server.lists else None

    def _key_exchange(self) -> str:
        found = self._agreed()
        return found.key_exchange if found else ""

    def _is_server_first(self) -> bool:
        """Return whether the side seen first is the server: who sent the reply, else whoever connected."""
        return bool(self._server_first)

    def session(self) -> Session | None:
        """Return what was seen; see `Dissector`."""
        server, client = self._sides[self._is_server_first()], self._sides[not self._is_server_first()]
        found = self._agreed()
        exchange = self._exchange(found.key_exchange) if found and found.key_exchange else None
        lists = kexinit(client.lists) if client.lists else None
        return Session(
            protocol="ssh",
            version=_version(server.named or client.named),
            software=server.named.software if server.named else "",
            exchange=exchange,
            uses=self._uses(found, exchange) if found else (),
            offers=_offers(lists) if lists else (),
            keys=(self._host_key,) if self._host_key else (),
            client_first=not self._server_first if self._server_first is not None else None,
            offered_post_quantum=lists is not None and _first_is_safe(lists),
        )

    def _exchange(self, name: str) -> Use:
        canonical = key_exchange_name(name)
        sized = f"{canonical}-{self._prime_bits}" if canonical == "FFDH" and self._prime_bits else canonical
        return Use(Function.KEY_ESTABLISHMENT, sized, name)

    def _uses(self, found: Agreed, exchange: Use | None) -> tuple[Use, ...]:
        key = self._host_key
        named = host_key_name(found.host_key)
        sized = key.algorithm if key and key.bits and key.algorithm.startswith(named) else named
        uses = (
            exchange,
            Use(Function.SIGNATURE, sized, found.host_key) if found.host_key else None,
            Use(Function.ENCRYPTION, cipher_name(found.cipher), found.cipher) if found.cipher else None,
            Use(Function.MAC, mac_name(found.mac), found.mac) if found.mac else None,
        )
        return tuple(use for use in uses if use)


def _version(named: Identification | None) -> str:
    if named is None:
        return ""
    return "2.0" if named.protocol == "1.99" else named.protocol


def _first_is_safe(lists: KexInit) -> bool:
    verdicts = (classify(key_exchange_name(name)).verdict for name in lists.key_exchanges)
    return Verdict.QUANTUM_SAFE in verdicts


def _offers(lists: KexInit) -> tuple[Use, ...]:
    found: dict[str, Use] = {}
    for name in lists.key_exchanges:
        if not is_pseudo(name):
            canonical = key_exchange_name(name)
            found.setdefault(canonical, Use(Function.KEY_ESTABLISHMENT, canonical, name))
    return tuple(found.values())
