"""IPsec by strongSwan with keys from the KMEs as post-quantum pre-shared keys (PPK, RFC 8784), over VICI.

A PPK enters where an IKE_SA begins (IKE_AUTH) and no rekeying mixes a new one in. So each key has a connection of its
own, the same but for its name and its `ppk_id`, both of which say the key_ID: the new IKE_SA is made beside the old one
and the old one is deleted when the new one is proven. The name of an SA is thus the name of its key, which charon
itself answers, whatever became of us. What is loaded demands the PPK: where it is missing or another, no SA comes up.

The connection is a TOML file with the names of swanctl.conf(5); its private key and authorities are charon's own.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Proof, Role, Settings, unusable
from keystrand.edge.consumers.settings import read_settings
from keystrand.edge.consumers.vici import TIMEOUT_S, Message, Refused, Told, Vici
from keystrand.edge.files import read_bytes
from keystrand.edge.toml_files import read_text
from keystrand.formats.toml_input import parse_toml
from keystrand.model.errors import InvalidInput, Problem

SOCKET = "/var/run/charon.vici"
PPK_OCTETS_LEAST = 32
"""RFC 8784, section 5.1: a PPK should have at least 256 bits of entropy."""
_INITIATE_MS = 6000
_CLOSE_MS = 1000
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_OURS = ("ppk_id", "ppk_required", "version")
"""What the consumer itself sets in a connection."""


class StrongSwan:
    """One connection of one charon at one end. `far` are the networks behind it, which the guard keeps to `device`."""

    def __init__(
        self, path: Path, name: str, connection: Message, role: Role, far: Sequence[str], *,
        device: str, prefix: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._path, self._name, self._role = path, name, role
        self._connection = connection
        self._children = tuple(name for name, _ in _sections(connection["children"]))
        self._device, self._far, self._prefix = device, tuple(far), tuple(prefix)

    def prepare(self) -> None:
        """Put the guard up, and refuse to share the far networks with a connection that is not ours."""
        guard.put_up(self._device, self._far, self._prefix)
        with self._charon() as charon:
            others = [*charon.listed("list-conns", "list-conn"), *charon.listed("list-sas", "list-sa")]
        if found := self._strangers(others):
            raise ConsumerFailure(
                f"another connection carries the far networks too: {', '.join(found)}",
                hint="unload and terminate it: it would carry them without a key of ours",
            )

    def install(self, key: NewKey) -> None:
        """Load the key and its connection; the initiator then makes an IKE_SA with it, beside the one that is there."""
        self._demand_usable(key)
        guard.put_up(self._device, self._far, self._prefix)
        name = self._named(key.key_id)
        with self._charon() as charon:
            shared: Message = {"id": name, "type": "ppk", "data": key.octets, "owners": [key.key_id]}
            try:
                charon.command("load-shared", shared)
                self._load_alone(charon, name, key.key_id)
                if self._role is Role.INITIATOR:
                    self._initiate(charon, name)
            except ConsumerFailure:
                self._remove(key.key_id)
                raise

    def prove(self, key_id: str) -> Proof:
        """Return whether the connection of `key_id` has an IKE_SA that says `ppk: yes`, with all its children."""
        with self._charon() as charon:
            listed = charon.listed("list-sas", "list-sa")
        return self._proof(key_id, listed)

    def retire(self, key_id: str) -> None:
        """Delete the IKE_SAs of the key and forget it, whatever the peer answers."""
        self._remove(key_id)

    def _charon(self) -> Vici:
        return Vici(self._path, TIMEOUT_S)

    def _named(self, key_id: str) -> str:
        return f"{self._name}.{key_id}"

    def _demand_usable(self, key: NewKey) -> None:
        if not _KEY_ID.match(key.key_id):
            raise ConsumerFailure(f"{key.key_id[:70]!r} cannot name a PPK")
        if len(key.octets) < PPK_OCTETS_LEAST:
            raise ConsumerFailure(f"a PPK needs at least 256 bits, not {8 * len(key.octets)}")

    def _load_alone(self, charon: Vici, name: str, key_id: str) -> None:
        """Load the connection of the key, the only one of ours then: what is up under another stays up."""
        connection = {**self._connection, "version": "2", "ppk_id": key_id, "ppk_required": "yes"}
        charon.command("load-conn", {name: connection})
        loaded = dict(one for event in charon.listed("list-conns", "list-conn") for one in _sections(event))
        for other in loaded:
            if self._is_ours(other) and other != name:
                charon.command("unload-conn", {"name": other})
        ends = _ends(loaded.get(name))
        if twins := [other for other, one in loaded.items() if not self._is_ours(other) and _ends(one) == ends]:
            raise ConsumerFailure(
                f"charon cannot tell this connection from {', '.join(twins)}: addresses and ids are the same",
                hint="make the networks of both children of one connection, or give one of them other ids",
            )

    def _initiate(self, charon: Vici, name: str) -> None:
        for child in self._children:
            asked = {"ike": name, "child": child, "timeout": str(_INITIATE_MS), "loglevel": "-1"}
            charon.command("initiate", asked)
        proof = self._proof(name.removeprefix(f"{self._name}."), charon.listed("list-sas", "list-sa"))
        if not proof.in_use:
            raise ConsumerFailure(f"the new IKE_SA is not under the key: {proof.shown_by}")

    def _remove(self, key_id: str) -> None:
        """Leave no SA, no connection and no key of `key_id`. Raises `ConsumerFailure` where an SA may still be up."""
        name = self._named(key_id)
        with self._charon() as charon:
            # first, so that nothing begins anew while the SAs end
            for command, field in (("unload-conn", "name"), ("unload-shared", "id")):
                with suppress(Refused):  # it is not loaded: charon has no other reason
                    charon.command(command, {field: name})
            if _names(charon, name):
                with suppress(Refused):  # what counts is whether it is gone
                    charon.command("terminate", {"ike": name, "force": "yes", "timeout": str(_CLOSE_MS)})
                if _names(charon, name):
                    raise ConsumerFailure(f"the IKE_SA of the key {key_id} may still be up")

    def _proof(self, key_id: str, listed: Sequence[Told]) -> Proof:
        if strangers := self._strangers(listed):
            told = f"another connection carries the far networks too: {', '.join(strangers)}"
            return Proof(key_id=key_id, in_use=False, shown_by=told)
        ours = [sa for event in listed for name, sa in _sections(event) if name == self._named(key_id)]
        told = "charon lists no SA of the key"
        for sa in ours:
            told = self._lack(sa)
            if not told:
                suite = "/".join(str(sa.get(field, "?")) for field in ("encr-alg", "prf-alg", "dh-group"))
                shown = f"IKE_SA {sa.get('uniqueid')} established with ppk: yes, {suite}"
                return Proof(key_id=key_id, in_use=True, shown_by=shown)
        return Proof(key_id=key_id, in_use=False, shown_by=told)

    def _lack(self, sa: Told) -> str:
        """Return what an SA lacks to carry everything under its key."""
        if sa.get("state") != "ESTABLISHED":
            return f"its IKE_SA is {sa.get('state')}"
        if sa.get("ppk") != "yes":
            return "its IKE_SA does not say ppk: yes"
        up = {child.get("name") for _, child in _sections(sa.get("child-sas")) if child.get("state") == "INSTALLED"}
        missing = [child for child in self._children if child not in up]
        return f"not installed: {', '.join(missing)}" if missing else ""

    def _is_ours(self, name: str) -> bool:
        return name.startswith(f"{self._name}.") and bool(_KEY_ID.match(name.removeprefix(f"{self._name}.")))

    def _strangers(self, listed: Sequence[Told]) -> list[str]:
        """Return the connections, of those that charon lists, that carry a far network and are not ours."""
        found = {
            name
            for event in listed
            for name, one in _sections(event)
            if not self._is_ours(name)
            for _, child in _sections(one.get("children", one.get("child-sas")))
            for network in _selected(child.get("remote-ts"))
            if guard.overlaps(network, self._far)
        }
        return sorted(found)


class StrongSwanSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A consumer's table. `connection` is a file; `far`: networks, with spaces between them.

    `device` is what protected packets leave by: `ipsec0` of kernel-libipsec, or an XFRM interface.
    """

    name: str
    connection: str
    far: str
    device: str
    socket: str = SOCKET


def make(settings: Settings, role: Role) -> StrongSwan:
    """Return the consumer of an agent's table. Raises `InvalidInput` with the fields."""
    told = read_settings(settings, StrongSwanSettings)
    if not _NAME.match(told.name):
        hint = "letters, digits, - and _, such as corridor"
        raise unusable("name", f"{told.name!r} is no name for a connection", hint)
    far = told.far.split()
    guard.rules(told.device, far)
    file = Path(told.connection)
    if not file.is_absolute():
        raise unusable("connection", f"{told.connection!r} is no absolute path", "name the file from / on")
    return StrongSwan(Path(told.socket), told.name, connection_of(file, far), role, far, device=told.device)


def connection_of(path: Path, far: Sequence[str]) -> Message:
    """Return the connection that a file describes, with its certificates read, as VICI's load-conn takes it.

    Raises `InvalidInput`, `MissingInput`.
    """
    text = read_text(path, what="the connection", hint="write it with the names of swanctl.conf(5), as TOML")
    raw = parse_toml(text.text, file=str(path), what="the connection")
    if problems := tuple(Problem(message=told, field=field, file=str(path)) for field, told in _faults(raw, far)):
        raise InvalidInput("the connection cannot be used", problems=problems)
    return _as_vici(raw, path.parent, "")


def _faults(raw: Mapping[str, Any], far: Sequence[str]) -> Iterator[tuple[str, str]]:
    for field in _OURS:
        if field in raw:
            yield field, "keystrand sets it itself"
    children = raw.get("children")
    if not isinstance(children, Mapping) or not children or not all(isinstance(v, Mapping) for v in children.values()):
        yield "children", "a connection needs at least one, as a table [children.NAME]"
    else:
        for name, child in children.items():
            if child.get("start_action", "none") != "none":
                yield f"children.{name}.start_action", "only the agent starts it: leave it out"
    peers = raw.get("remote_addrs")
    if not isinstance(peers, list) or not peers:
        yield "remote_addrs", 'name the peer, as a list such as ["192.0.2.2"]'
        return
    for network in (one for peer in peers for one in _selected([str(peer)])):
        if guard.overlaps(network, far):
            yield "remote_addrs", "the peer lies in a far network: the guard would stop IKE itself"


def _as_vici(raw: Mapping[str, Any], folder: Path, field: str) -> dict[str, Any]:
    return {name: _value(value, folder, f"{field}.{name}".lstrip(".")) for name, value in raw.items()}


def _value(value: object, folder: Path, field: str) -> object:
    match value:
        case Mapping():
            return _as_vici(value, folder, field)
        case list() if field.rpartition(".")[2] in ("certs", "cacerts"):
            return [read_bytes(folder / str(one), hint=f"{field} names it") for one in value]
        case list():
            return [str(one) for one in value]
        case bool():
            return "yes" if value else "no"
    return str(value)


def _names(charon: Vici, name: str) -> bool:
    return any(name in event for event in charon.listed("list-sas", "list-sa", {"ike": name}))


def _sections(told: object) -> list[tuple[str, Told]]:
    return [(name, one) for name, one in told.items() if isinstance(one, dict)] if isinstance(told, dict) else []


def _ends(connection: object) -> dict[str, object]:
    """Return what charon tells connections apart by when a peer comes: addresses and ids of both ends."""
    found: dict[str, object] = {name: one.get("id") for name, one in _sections(connection) if name != "children"}
    if isinstance(connection, dict):
        found |= {name: connection.get(name) for name in ("local_addrs", "remote_addrs")}
    return found


def _texts(told: object) -> list[str]:
    return [one for one in told if isinstance(one, str)] if isinstance(told, list) else []


def _selected(selectors: object) -> Iterator[guard.Network]:
    """Yield the networks of traffic selectors as charon writes them: `10.2.0.0/24[udp/53]`, `10.2.0.1..10.2.0.9`."""
    for selector in _texts(selectors):
        first, _, last = selector.partition("[")[0].partition("..")
        try:
            if last:
                ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
                yield from ipaddress.summarize_address_range(*ends)
            else:
                yield ipaddress.ip_network(first, strict=False)
        except (ValueError, TypeError):
            continue  # `dynamic`, or a name: no network yet
