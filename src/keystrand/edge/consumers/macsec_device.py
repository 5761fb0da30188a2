"""A MACsec device of the kernel: what it says of its keys, and what changes them, in words of ip(8) on standard input.

IEEE 802.1AE: a secure channel (SC) is what one end sends, named by its SCI, the address and a port. It has four places
for keys, the association numbers (AN) 0 to 3, and a frame says which one it is under. A key there is a SAK, named by an
identifier of 16 octets.
"""

import re
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec
from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import ConsumerFailure
from keystrand.edge.daemons import program
from keystrand.model.taken_apart import take_apart

PLACES = (0, 1, 2, 3)
"""The association numbers (IEEE 802.1AE-2018, 9.5)."""
_OCTETS = {"GCM-AES-128": 16, "GCM-AES-256": 32}
_ETHERTYPE = 0x88B5
"""Local experiments (IEEE 802, 9.2.3): nobody takes such a frame for anything."""
_TIMEOUT_S = 10.0
_FAILED_LINE = re.compile(r"Command failed -:(\d+)")


class Association(Struct, frozen=True, rename={"good": "InPktsOK", "bad": "InPktsNotValid"}):
    """A key in its place. `key`: its identifier in hex. `good`, `bad`: frames received under it that passed or not."""

    an: int
    key: str
    good: int = 0
    bad: int = 0


class Channel(Struct, frozen=True):
    """What one other end sends."""

    sci: str
    sa_list: tuple[Association, ...] = ()


class Shown(Struct, frozen=True):
    """A device as `ip -j -s macsec show` gives it."""

    sci: str
    encoding_sa: int
    cipher_suite: str
    protect: bool
    encrypt: bool
    validate: str
    sa_list: tuple[Association, ...] = ()
    rx_sc: tuple[Channel, ...] = ()

    @property
    def octets(self) -> int:
        """Return how long its keys are, 0 where it is of a kind that we do not key."""
        return _OCTETS.get(self.cipher_suite, 0)

    @property
    def strict(self) -> bool:
        """Return whether it sends nothing unencrypted and takes nothing unchecked."""
        return self.protect and self.encrypt and self.validate == "strict"


take_apart(tuple[Shown, ...])


class Peer(NamedTuple):
    """The other end: its address, as ip(8) writes it, and the port of its SC."""

    address: str
    port: int

    @property
    def sci(self) -> int:
        """Return the number that stands in its frames."""
        return int(self.address.replace(":", ""), 16) << 16 | self.port


class Device:
    """The device `name`, in our own network namespace."""

    def __init__(self, name: str) -> None:
        self.name = name

    def shown(self) -> Shown:
        """Return what it says of itself. Raises `ConsumerFailure` where there is no such MACsec device."""
        said = _ip("-j", "-s", "macsec", "show", self.name)
        try:
            found = msgspec.json.decode(said, type=tuple[Shown, ...])
        except msgspec.DecodeError as error:
            raise ConsumerFailure(f"`ip -j -s macsec show {self.name}` is not understood: {error}") from error
        if not found:
            raise ConsumerFailure(f"{self.name} is no MACsec device")
        return found[0]

    def change(self, lines: Sequence[str], key: Secret | None = None) -> None:
        """Carry out `lines` of ip(8), in which the word KEY stands for `key`. Raises `ConsumerFailure` at the first
        that fails: those before it have been carried out.

        They go by standard input: the arguments of a command are for everybody to read.
        """
        text = bytearray()
        for line in lines:
            before, word, after = f"{line}\n".partition("KEY")
            text += before.encode()
            for octet in key.view() if key and word else ():
                text += b"%02x" % octet
            text += after.encode()
        try:
            _ip("-batch", "-", given=text, lines=lines)
        finally:
            text[:] = bytes(len(text))

    def greet(self, peer: Peer) -> None:
        """Send the peer one small frame under the key in use, so that an idle link proves its key as well."""
        address = bytes.fromhex(peer.address.replace(":", ""))
        with suppress(OSError), socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as line:
            line.sendto(b"keystrand", (self.name, _ETHERTYPE, 0, 0, address))


def _ip(*words: str, given: bytes | bytearray = b"", lines: Sequence[str] = ()) -> str:
    command = [program("ip", "iproute2"), *words]
    try:
        done = subprocess.run(  # noqa: S603 - ip as installed, with words that were checked
            command, input=given, check=False, capture_output=True, timeout=_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise ConsumerFailure(f"ip was not done within {_TIMEOUT_S:g} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace")
        told = _complaint(said, lines) if given else f"ip {' '.join(words)}: {' '.join(said.split())}"
        raise ConsumerFailure(told, hint="is the device there, and the kernel's module macsec? it needs root")
    return done.stdout.decode(errors="replace")


def _complaint(said: str, lines: Sequence[str]) -> str:
    """Return what went wrong at which line. Only the kernel's answer is kept: ip(8) repeats an argument it dislikes,
    and that may be the key; it then ends without saying which line that was.
    """
    at = _FAILED_LINE.search(said)
    why = " ".join(line for line in said.splitlines() if line.startswith("RTNETLINK answers"))
    return f"ip {lines[int(at[1]) - 1] if at else '; '.join(lines)}: {why or 'not understood'}"
