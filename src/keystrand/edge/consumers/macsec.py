"""MACsec with keys from the KMEs as its SAKs, changed without a lost frame.

Each end chooses for itself in which of the four places it sends under a new key; the other takes that key in every
place but the one where frames come in now. So the ends need not keep step, and a change that failed at one of them
leaves nothing behind that the next one trips over. The initiator sends under the new key at once, for the responder
has it already; the responder does so when the first frame under it has come. The identifier of a SAK is its key_ID: the
kernel itself says which key is in use.
"""

import logging
import re
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from keystrand.edge.consumers import guard, macsec_mka
from keystrand.edge.consumers.base import Consumer, ConsumerFailure, NewKey, Proof, Role, Settings, unusable
from keystrand.edge.consumers.macsec_device import PLACES, Association, Device, Peer, Shown
from keystrand.edge.consumers.macsec_names import identifier
from keystrand.edge.consumers.remembered import RUN, Remembered
from keystrand.edge.consumers.settings import read_settings
from keystrand.model.errors import KeystrandError
from keystrand.model.words import shown as printable

_log = logging.getLogger(__name__)

_LOOK_S, _LOOK_MOST_S = 0.02, 0.5
"""How soon the responder looks whether frames come under a new key; then ever less often."""
_GREETINGS = 5
"""So many, for one may be lost, and the initiator hears nothing else on an idle link."""
_STRICT = "protect on encrypt on validate strict"
_ADDRESS = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")


class Ends(Struct, frozen=True):
    """A device as it is, and the peer: what to change there, line by line, in words of ip(8)."""

    name: str
    peer: Peer
    shown: Shown

    @property
    def receiving(self) -> tuple[Association, ...]:
        """Return the keys under which we take frames of the peer."""
        return next((one.sa_list for one in self.shown.rx_sc if int(one.sci, 16) == self.peer.sci), ())

    @property
    def sent_under(self) -> str:
        """Return the key under which we send; empty where nothing leaves."""
        return next((one.key for one in self.shown.sa_list if one.an == self.shown.encoding_sa), "")

    @property
    def heard(self) -> tuple[str, ...]:
        """Return the keys under which good frames have come."""
        return tuple(one.key for one in self.receiving if one.good)

    @property
    def in_use(self) -> str:
        """Return the key to keep beside a new one: the latest that both ends are known to hold."""
        sent = self.sent_under
        return sent if sent in self.heard or not self.heard else self.heard[0]

    def installing(self, key: str, *, at_once: bool) -> list[str]:
        """Return what takes in the key `key`, beside the one in use and in place of any other.

        `at_once`: and sends under it. A key that is there already is not set again: its frames would be numbered anew,
        and no two frames may have the same number under the same key (IEEE 802.1AE, 14.5).
        """
        if there := next((one for one in self.shown.sa_list if one.key == key), None):
            return [self.sending_in(there.an)] if at_once and self.sent_under != key else []
        kept = {one.an for one in self.receiving if one.good and one.key == self.in_use}
        lines = [word for one in self.receiving if one.an not in kept for word in self._taken(self._from(one.an))]
        lines += [_added(self._from(an), key) for an in PLACES if an not in kept]
        place = self._place()
        lines += [word for one in self.shown.sa_list if one.an == place for word in self._taken(self._to(one.an))]
        lines.append(_added(self._to(place), key))
        if at_once:
            lines.append(self.sending_in(place))
        stale = (one.an for one in self.shown.sa_list if one.key not in (self.in_use, self.sent_under))
        return lines + [word for an in stale if an != place for word in self._taken(self._to(an))]

    def following(self, key: str) -> list[str]:
        """Return what sends under `key`, where the peer does so by now and we hold it ready."""
        ready = [one.an for one in self.shown.sa_list if one.key == key and key in self.heard]
        return [self.sending_in(an) for an in ready if key != self.sent_under]

    def forgetting(self, keys: Collection[str]) -> list[str]:
        """Return what removes the keys `keys`; where we send under one of them, we send under another first."""
        others = [one for one in self.shown.sa_list if one.key not in keys]
        lines = [self.sending_in(others[0].an)] if others and self.sent_under in keys else []
        lines += [word for one in self.shown.sa_list if one.key in keys for word in self._taken(self._to(one.an))]
        return lines + [word for one in self.receiving if one.key in keys for word in self._taken(self._from(one.an))]

    def sending_in(self, an: int) -> str:
        """Return what sends under the key in place `an`."""
        return f"link set dev {self.name} type macsec encodingsa {an}"

    def _place(self) -> int:
        """Return where to send under a new key: neither where we do now, nor where the peer still knows us."""
        now = self.shown.encoding_sa
        taken = {one.an for one in self.shown.sa_list if one.key in (self.in_use, self.sent_under)}
        in_turn = (*PLACES[now + 1 :], *PLACES[: now + 1])
        return next(an for an in in_turn if an not in taken)

    def _to(self, an: int) -> str:
        return f"{self.name} tx sa {an}"

    def _from(self, an: int) -> str:
        return f"{self.name} rx port {self.peer.port} address {self.peer.address} sa {an}"

    @staticmethod
    def _taken(place: str) -> tuple[str, str]:
        return f"macsec set {place} off", f"macsec del {place}"


class Macsec:
    """One device and its one peer. `run`: the folder where we remember which keys are ours."""

    def __init__(self, device: Device, peer: Peer, far: tuple[str, ...], role: Role, *, run: Path = RUN) -> None:
        self._device, self._peer, self._far, self._role = device, peer, far, role
        self._ours = Remembered(run / f"macsec-{device.name}-{peer.sci:016x}.json")
        self._turn = threading.Lock()
        self._awaited = ""

    def prepare(self) -> None:
        """Put the guard up, have the device take and send nothing unprotected, and remove every key but ours."""
        guard.put_up(self._device.name, self._far)
        with self._turn:
            ends = self._ends()
            self._demand_fit(ends)
            ours = self._ours.names()
            lines = [] if ends.shown.strict else [f"link set dev {self._device.name} type macsec {_STRICT}"]
            if not any(int(one.sci, 16) == self._peer.sci for one in ends.shown.rx_sc):
                lines.append(f"macsec add {self._device.name} rx port {self._peer.port} address {self._peer.address}")
            found = {one.key for one in (*ends.shown.sa_list, *ends.receiving)}
            self._device.change([*lines, *ends.forgetting(found.difference(ours))])
        if ours:
            self._follow(ours[-1])

    def install(self, key: NewKey) -> None:
        """Take in the key beside the one in use; the initiator sends under it at once, the responder when it hears."""
        name = identifier(key.key_id)
        guard.put_up(self._device.name, self._far)
        with self._turn:
            ends = self._ends()
            if len(key.octets) != ends.shown.octets:
                raise _unfit(ends.shown, len(key.octets))
            ours = self._ours.names()
            if name in ours and all(one.key != name for one in ends.shown.sa_list):
                raise ConsumerFailure("the key was here before: its frames would be numbered anew")
            at_once = self._role is Role.INITIATOR or ends.sent_under not in ends.heard
            self._ours.add(name)
            try:
                self._device.change(ends.installing(name, at_once=at_once), key.octets)
            except ConsumerFailure:
                self._device.change(self._ends().forgetting({name}))
                raise
        self._follow(name)

    def prove(self, key_id: str) -> Proof:
        """Return whether both ends send under `key_id`; greets a peer under it that has not spoken."""
        name = identifier(key_id)
        with self._turn:
            ends = self._ends()
        lack = _lack(ends, name)
        if lack and ends.sent_under == name:
            self._device.greet(self._peer)
        good = sum(one.good for one in ends.receiving if one.key == name)
        shown_by = f"the device sends under it in place {ends.shown.encoding_sa} and took {good} frames under it"
        return Proof(key_id=key_id, in_use=not lack, shown_by=lack or shown_by)

    def retire(self, key_id: str) -> None:
        """Forget the key. Without any nothing leaves the device, and what comes in is dropped."""
        name = identifier(key_id)
        with self._turn:
            self._device.change(self._ends().forgetting({name}))

    def _ends(self) -> Ends:
        return Ends(self._device.name, self._peer, self._device.shown())

    def _demand_fit(self, ends: Ends) -> None:
        others = [one.sci for one in ends.shown.rx_sc if int(one.sci, 16) != self._peer.sci]
        if others:
            raise ConsumerFailure(
                f"{ends.name} has another peer, SCI {others[0]}", hint="make a device for each: a key is for two ends"
            )
        if int(ends.shown.sci, 16) == self._peer.sci:
            raise ConsumerFailure(
                f"{ends.name} and its peer have one SCI: they would number different frames alike under one key",
                hint="`peer` is the address of the other end's device",
            )
        if not ends.shown.octets:
            raise _unfit(ends.shown, 0)

    def _follow(self, name: str) -> None:
        """Have the responder send under `name` once the peer does; a thread waits for that, for no verb may."""
        if self._role is Role.RESPONDER and self._awaited != name:
            self._awaited = name
            threading.Thread(target=self._wait_for, args=(name,), name="macsec", daemon=True).start()

    def _wait_for(self, name: str) -> None:
        wait_s = _LOOK_S
        while self._awaited == name and not self._followed(name):
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LOOK_MOST_S)

    def _followed(self, name: str) -> bool:
        """Return whether the peer sends under `name`, as we do from now on, or it is gone."""
        try:
            with self._turn:
                ends = self._ends()
                if all(one.key != name for one in ends.shown.sa_list):
                    return True
                if name not in ends.heard:
                    return False
                self._device.change(ends.following(name))
        except KeystrandError as error:
            _log.warning("%s: %s", self._device.name, printable(error.message))
            return False
        for _ in range(_GREETINGS):
            self._device.greet(self._peer)
        return True


class MacsecSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consumer's table. `peer`: the address of the other end's device, of its SC `port`. `far`: networks, with spaces
    between them.
    """

    device: str
    peer: str
    far: str
    port: Annotated[int, Meta(ge=1, le=0xFFFF)] = 1


def make(settings: Settings, role: Role) -> Consumer:
    """Return the consumer of an agent's table: by MKA where it names a `control`, else by SAKs.

    Raises `InvalidInput` with the fields.
    """
    if "control" in settings:
        return macsec_mka.make(settings)
    told = read_settings(settings, MacsecSettings)
    far = tuple(told.far.split())
    guard.rules(told.device, far)
    address = told.peer.lower()
    if not _ADDRESS.match(address) or int(address[:2], 16) & 1:
        raise unusable("peer", f"{told.peer!r} is no address of one device", "write it as `ip link` there shows it")
    return Macsec(Device(told.device), Peer(address, told.port), far, role)


def _added(place: str, key: str) -> str:
    return f"macsec add {place} pn 1 on key {key} KEY"


def _lack(ends: Ends, name: str) -> str:
    """Return what is missing to say that both ends send under the key."""
    if all(one.key != name for one in ends.shown.sa_list):
        return "the device does not hold it"
    if ends.sent_under == name and name in ends.heard:
        return ""
    bad = sum(one.bad for one in ends.receiving if one.key == name)
    return f"{bad} frames under it failed their check: the peer holds another" if bad else "no frame came under it"


def _unfit(device: Shown, octets: int) -> ConsumerFailure:
    if not device.octets:
        return ConsumerFailure(
            f"keys of {device.cipher_suite} are not set here", hint="make the device with cipher gcm-aes-256"
        )
    return ConsumerFailure(
        f"{device.cipher_suite} takes keys of {8 * device.octets} bits, not {8 * octets}",
        hint=f"set key_bits = {8 * device.octets}, or make the device with cipher gcm-aes-{8 * octets}",
    )
