"""MACsec whose SAKs are agreed by MKA (IEEE 802.1X, clause 9): keys from the KMEs are its CAKs, their key_IDs its CKNs.

wpa_supplicant does the agreement, and we speak to its control socket. It holds one CAK at a time, and takes its device
away until the ends have agreed anew: the link stops for some seconds at every change.
"""

import re
import secrets
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from msgspec import Meta, Struct

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Proof, Settings
from keystrand.edge.consumers.macsec_names import identifier
from keystrand.edge.consumers.remembered import RUN, Remembered
from keystrand.edge.consumers.settings import read_settings
from keystrand.edge.files import sha256_hex

_CAK_OCTETS = (16, 32)
"""IEEE 802.1X-2020, 9.3.1."""
_CKN_OCTETS = 16
_WANTED = {"key_mgmt": "NONE", "macsec_policy": "1", "macsec_integ_only": "0"}
"""What a network of wpa_supplicant must say: no EAP, MACsec always, encrypted and not only authenticated."""
_CKN = re.compile(r"^ieee8021XKayMkaPartCKN=([0-9a-f]+)$", re.MULTILINE)
_TIMEOUT_S = 5.0
_ANSWER_MOST = 1 << 16


class Supplicant:
    """A wpa_supplicant by its control socket, and one network of it."""

    def __init__(self, path: Path, network: int) -> None:
        self._path, self._network = path, network

    def variable(self, name: str) -> str:
        """Return what its network says of `name`. Raises `ConsumerFailure`."""
        return self._answer(bytearray(f"GET_NETWORK {self._network} {name}".encode())).strip('"')

    def set_cak(self, ckn: str, cak: Secret) -> None:
        """Set name and key, and begin the agreement anew. Raises `ConsumerFailure`."""
        self._told(bytearray(f"SET_NETWORK {self._network} mka_ckn {ckn}".encode()))
        command = bytearray(f"SET_NETWORK {self._network} mka_cak ".encode())
        for octet in cak.view():
            command += b"%02x" % octet
        try:
            self._told(command)
        finally:
            command[:] = bytes(len(command))
        self._told(bytearray(b"REASSOCIATE"))

    def agreed(self) -> tuple[str, bool]:
        """Return the CKN of the agreement that runs, empty for none, and whether it has made the link secure."""
        found = _CKN.search(self._answer(bytearray(b"MIB")))
        secured = "Secured=Yes" in self._answer(bytearray(b"STATUS")).splitlines()
        return (found[1] if found else ""), secured

    def _told(self, command: bytearray) -> None:
        if self._answer(command) != "OK":
            name = bytes(command.split(b" ")[0]).decode()
            raise ConsumerFailure(f"{self._path} refused {name}", hint="is the network's number right, and its MACsec?")

    def _answer(self, command: bytearray) -> str:
        try:
            with (
                TemporaryDirectory(prefix="keystrand-") as ours,
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line,
            ):
                line.settimeout(_TIMEOUT_S)
                line.bind(f"{ours}/answer")  # the answer goes to the name of who asked
                line.connect(str(self._path))
                line.send(command)
                return line.recv(_ANSWER_MOST).decode(errors="replace").strip()
        except OSError as error:
            told = error.strerror or error
            raise ConsumerFailure(f"{self._path}: {told}", hint="is wpa_supplicant running there?") from error


class Mka:
    """One link. `far`: what leaves by `device` or not at all."""

    def __init__(self, supplicant: Supplicant, device: str, far: tuple[str, ...], ours: Remembered) -> None:
        self._supplicant, self._device, self._far, self._ours = supplicant, device, far, ours

    def prepare(self) -> None:
        """Put the guard up, and make an agreement without a key of ours impossible; one of ours stays."""
        guard.put_up(self._device, self._far)
        for name, wanted in _WANTED.items():
            if (found := self._supplicant.variable(name)) != wanted:
                raise ConsumerFailure(
                    f"the network of wpa_supplicant says {name}={found}", hint=f"write {name}={wanted} in its file"
                )
        ckn, _ = self._supplicant.agreed()
        if ckn not in self._ours.names()[-1:]:
            self._shut()

    def install(self, key: NewKey) -> None:
        """Begin an agreement under the key. The one before it ends now: wpa_supplicant has place for one."""
        name = identifier(key.key_id)
        if len(key.octets) not in _CAK_OCTETS:
            raise ConsumerFailure(f"MKA takes keys of 128 or 256 bits, not {8 * len(key.octets)}")
        guard.put_up(self._device, self._far)
        self._ours.add(name)
        self._supplicant.set_cak(name, key.octets)

    def prove(self, key_id: str) -> Proof:
        """Return whether the ends have agreed on a SAK under the key."""
        ckn, secured = self._supplicant.agreed()
        if ckn != identifier(key_id):
            return Proof(key_id=key_id, in_use=False, shown_by="the agreement is under another CKN")
        told = f"MKA under this CKN {'has made the link secure' if secured else 'has found no peer yet'}"
        return Proof(key_id=key_id, in_use=secured, shown_by=told)

    def retire(self, key_id: str) -> None:
        """Forget the key: one that was replaced is gone already; in place of the last one comes a random one.

        What counts is the agreement that runs: the key we gave last may not have been taken. Without one it is that.
        """
        name, ours = identifier(key_id), self._ours.names()
        ckn, _ = self._supplicant.agreed()
        in_use = ckn or (ours[-1] if ours else name)
        if in_use == name or in_use not in ours:
            self._shut()

    def _shut(self) -> None:
        # each end draws its own, name and key: they find no peer
        with Secret(secrets.token_bytes(max(_CAK_OCTETS))) as nobodys:
            self._supplicant.set_cak(secrets.token_hex(_CKN_OCTETS), nobodys)


class MkaSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consumer's table. `control`: the control socket of wpa_supplicant for the link's device, where the network
    `network` is the one with MACsec. `device`: the MACsec device that it makes. `far`: networks, with spaces between.
    """

    control: str
    device: str
    far: str
    network: Annotated[int, Meta(ge=0)] = 0


def make(settings: Settings) -> Mka:
    """Return the consumer of an agent's table. Raises `InvalidInput` with the fields."""
    told = read_settings(settings, MkaSettings)
    far = tuple(told.far.split())
    guard.rules(told.device, far)
    ours = Remembered(RUN / f"macsec-{told.device}-{sha256_hex(told.control.encode())[:16]}.json")
    return Mka(Supplicant(Path(told.control), told.network), told.device, far, ours)
