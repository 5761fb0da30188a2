"""MACsec under keys of ours: what ip(8) is told, and what follows on two devices, modelled here and real in a VM."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.edge.consumers import macsec_guest
from tests.edge.consumers.corridor import needs
from tests.edge.consumers.macsec_guest import ROTATIONS
from tests.edge.consumers.other_kernel import needs_other_kernel, other_kernel

import keystrand
from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Role
from keystrand.edge.consumers.macsec import Ends, make
from keystrand.edge.consumers.macsec_device import Association, Channel, Device, Peer, Shown
from keystrand.edge.consumers.macsec_mka import Supplicant
from keystrand.edge.daemons import Daemon, Daemons, Space, program
from keystrand.model.errors import InvalidInput

_ADDRESSES = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
_LINE = re.compile(
    r"link set dev sec0 type macsec encodingsa (?P<send>[0-3])|"
    r"macsec (?P<verb>add|set|del) sec0 (?P<way>tx|rx port 1 address (?P<peer>[0-9a-f:]{17})) sa (?P<an>[0-3])"
    r"(?P<rest>| off| pn 1 on key (?P<key>[0-9a-f]{32}) KEY)\Z"
)
"""The grammar of ip-macsec(8), as far as we use it."""


class _Modelled:
    """One end: a device that takes the lines as the kernel does (drivers/net/macsec.c), and our consumer's choices.

    A place that is taken is not taken again, and none is emptied that is on.
    """

    def __init__(self, at: int) -> None:
        self.peer, self.at_once = Peer(_ADDRESSES[1 - at], 1), at == 0
        self.sending: dict[int, tuple[str, str]] = {}
        self.receiving: dict[int, tuple[str, str]] = {}
        self.off: set[tuple[str, int]] = set()
        self.good: dict[int, int] = {}
        self.place = 0
        self.awaited = ""

    def ends(self) -> Ends:
        sending = tuple(Association(an, key) for an, (key, _) in sorted(self.sending.items()))
        receiving = tuple(Association(an, key, self.good.get(an, 0)) for an, (key, _) in sorted(self.receiving.items()))
        channels = (Channel(f"0x{self.peer.sci:x}", receiving),)
        shown = Shown(
            sci="0x1", encoding_sa=self.place, cipher_suite="GCM-AES-256", protect=True, encrypt=True,
            validate="strict", sa_list=sending, rx_sc=channels,
        )  # fmt: skip
        return Ends("sec0", self.peer, shown)

    def take(self, line: str, octets: str) -> None:
        """Carry out one line, with a key of which only equality matters."""
        found = _LINE.match(line)
        assert found, line
        if found["send"]:
            self.place = int(found["send"])
            return
        assert found["peer"] in (None, self.peer.address)
        way, an = found["way"][:2], int(found["an"])
        table = self.sending if way == "tx" else self.receiving
        match found["verb"]:
            case "add":
                assert an not in table
                table[an] = (found["key"], octets)
            case "set":
                assert an in table
                self.off.add((way, an))
            case _:
                self.off.remove((way, an))
                del table[an]
                if way == "rx":
                    self.good.pop(an, None)

    def install(self, key: str, octets: str, most: int = 99, between: Callable[[], None] = lambda: None) -> None:
        """Install, as far as the line `most`: there it was killed."""
        self.awaited = key
        ends = self.ends()
        at_once = self.at_once or ends.sent_under not in ends.heard
        for line in ends.installing(key, at_once=at_once)[:most]:
            self.take(line, octets)
            between()

    def follow(self) -> None:
        if not self.at_once:
            for line in self.ends().following(self.awaited):
                self.take(line, "")

    def retire(self, key: str, between: Callable[[], None] = lambda: None) -> None:
        for line in self.ends().forgetting({key}):
            self.take(line, "")
            between()

    def proves(self, key: str) -> bool:
        ends = self.ends()
        return ends.sent_under == key and key in ends.heard


def _send(sender: _Modelled, receiver: _Modelled) -> bool:
    """Send one frame, and return whether it was taken."""
    key = sender.sending.get(sender.place)
    if key is None or ("tx", sender.place) in sender.off or receiver.receiving.get(sender.place) != key:
        return False
    if ("rx", sender.place) in receiver.off:
        return False
    receiver.good[sender.place] = receiver.good.get(sender.place, 0) + 1
    return True


def _exchange(a: _Modelled, b: _Modelled) -> None:
    """Let frames go both ways until nothing changes."""
    for _ in range(2):
        _send(a, b)
        b.follow()
        _send(b, a)


def _name(n: int) -> str:
    return f"{n:032x}"


_HISTORIES = st.lists(
    st.tuples(
        st.sampled_from(["change", "change and retire", "responder only", "different keys", "killed", "forget all"]),
        st.integers(0, 9), st.integers(0, 12), st.booleans(),
    ),
    max_size=8,
)  # fmt: skip
"""What happened before: which event, which end or how far, and whether frames went in between."""


def _lived(history: list[tuple[str, int, int, bool]]) -> tuple[_Modelled, _Modelled, int]:
    a, b = _Modelled(0), _Modelled(1)
    for n, (what, who, far, frames) in enumerate(history, 1):
        _happen(what, (a, b), _name(n), (who, far))
        if frames:
            _exchange(a, b)
    return a, b, len(history)


def _happen(what: str, ends: tuple[_Modelled, _Modelled], name: str, where: tuple[int, int]) -> None:
    a, b = ends
    before = [key for key, _ in a.sending.values()]
    match what:
        case "responder only":
            b.install(name, name)
        case "different keys":
            b.install(name, name)
            a.install(name, "other")
        case "killed":
            ends[where[0] % 2].install(name, name, most=where[1])
        case "forget all":
            _forget_all(ends)
        case _:
            b.install(name, name)
            a.install(name, name)
            _exchange(a, b)
            if what == "change and retire" and a.proves(name):
                for key in before:
                    a.retire(key)
                    b.retire(key)


def _forget_all(ends: tuple[_Modelled, _Modelled]) -> None:
    for end in ends:
        for key in {key for key, _ in (*end.sending.values(), *end.receiving.values())}:
            end.retire(key)


@given(_HISTORIES)
def test_whatever_failed_before_a_change_is_proven_at_the_second_try_at_the_latest(
    history: list[tuple[str, int, int, bool]],
) -> None:
    """The ends need not keep step, and nothing that is left over stands in the way."""
    a, b, n = _lived(history)
    for name in (_name(n + 1), _name(n + 2)):
        b.install(name, name)
        a.install(name, name)
        _exchange(a, b)
        if a.proves(name) and b.proves(name):
            break
    assert a.proves(name)
    assert b.proves(name)


@given(_HISTORIES)
def test_a_key_that_is_there_is_not_set_again(history: list[tuple[str, int, int, bool]]) -> None:
    """Its frames would be numbered anew, and two under one number give the key away."""
    for end in _lived(history)[:2]:
        for key, _ in end.sending.values():
            for at_once in (False, True):
                assert not any("add" in line for line in end.ends().installing(key, at_once=at_once))


@given(_HISTORIES)
def test_between_two_proven_keys_no_frame_is_lost_at_any_line(history: list[tuple[str, int, int, bool]]) -> None:
    """Frames go both ways after every single line at either end, from any settled state, and each of them is taken."""
    a, b, n = _lived(history)
    old = ""
    for name in (_name(n + 1), _name(n + 2), _name(n + 3)):
        lossless = old and a.proves(old) and b.proves(old)

        def frames(*, must: bool = bool(lossless)) -> None:
            b.follow()
            taken = (_send(a, b), _send(b, a))
            assert taken == (True, True) or not must

        b.install(name, name, between=frames)
        a.install(name, name, between=frames)
        frames()
        frames()
        if lossless:
            assert a.proves(name)
            assert b.proves(name)
            a.retire(old, frames)
            b.retire(old, frames)
        old = name
    assert a.proves(old)


def _settled() -> tuple[_Modelled, _Modelled]:
    a, b, _ = _lived([("change", 0, 0, True)])
    assert a.proves(_name(1))
    return a, b


def test_while_a_change_fails_the_key_before_it_still_serves_who_sends_under_it() -> None:
    """The responder, which never heard the initiator's other key, is heard at every line of the change after it."""
    a, b = _settled()
    b.install(_name(2), "one")
    a.install(_name(2), "another")
    _exchange(a, b)
    assert not a.proves(_name(2))

    def frame() -> None:
        assert _send(b, a)

    b.install(_name(3), "three", between=frame)
    a.install(_name(3), "three", between=frame)
    _exchange(a, b)
    assert a.proves(_name(3))


@pytest.mark.parametrize("at", [0, 1], ids=["initiator", "responder"])
def test_who_loses_the_key_it_sends_under_sends_under_the_other(at: int) -> None:
    """The initiator goes back to the key before it; the responder, which has heard nothing yet, goes on to the new."""
    a, b = _settled()
    b.install(_name(2), "two")
    a.install(_name(2), "two")
    end, lost, left = ((a, _name(2), _name(1)), (b, _name(1), _name(2)))[at]
    assert end.ends().sent_under == lost
    end.retire(lost)
    assert end.ends().sent_under == left
    assert _send(end, (b, a)[at])


@given(_HISTORIES)
def test_with_the_last_key_gone_nothing_is_sent_or_taken(history: list[tuple[str, int, int, bool]]) -> None:
    """Retiring every key leaves an empty device."""
    for end in _lived([*history, ("forget all", 0, 0, False)])[:2]:
        assert (end.sending, end.receiving) == ({}, {})


def test_a_key_goes_to_ip_by_standard_input_and_no_other_way(tmp_path: Path) -> None:
    """Arguments and environment of the command hold no key; its standard input does, where the word KEY stood."""
    recorder = tmp_path / "ip"
    recorder.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words; env >> {tmp_path}/words; cat > {tmp_path}/given\n')
    recorder.chmod(0o755)
    line = "macsec add sec0 tx sa 1 pn 1 on key 00 KEY"
    asked = (
        "import sys; from keystrand.crypto.secret import Secret\n"
        "from keystrand.edge.consumers.macsec_device import Device\n"
        f"Device('sec0').change(['link set dev sec0 up', {line!r}], Secret(bytes(range(32))))"
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-c", asked], env=env, check=True)
    key = bytes(range(32)).hex()
    assert (tmp_path / "given").read_text() == f"link set dev sec0 up\n{line.replace('KEY', key)}\n"
    words = (tmp_path / "words").read_text()
    assert words.startswith("-batch -\n")
    assert key not in words


@pytest.mark.parametrize("line", ["macsec add none0 tx sa 1 pn 1 on key KEY 00", "macsec add none0 tx sa 1 KEY"])
def test_no_complaint_of_ip_shows_a_key(line: str) -> None:
    """ip(8) repeats the argument that it dislikes; we do not."""
    with pytest.raises(ConsumerFailure) as failure:
        Device("none0").change([line], Secret(bytes(range(32))))
    assert f"ip {line}" in failure.value.message
    assert bytes(range(4)).hex() not in str(failure.value) + repr(failure.value)


def test_a_device_that_is_not_there_is_named() -> None:
    """So is what it needs."""
    with pytest.raises(ConsumerFailure, match="none0") as failure:
        Device("none0").shown()
    assert "root" in failure.value.hint


@pytest.mark.parametrize(
    ("field", "value"),
    [("peer", "02:00:00:00:00"), ("peer", "01:00:5e:00:00:01"), ("far", "10.2.0.0/33"), ("far", ""),
     ("device", "a name"), ("port", 0)],
)  # fmt: skip
def test_a_setting_that_cannot_be_used_is_named(field: str, value: str | int) -> None:
    """With its field, before anything is touched."""
    settings = {"device": "sec0", "peer": _ADDRESSES[0], "far": "10.2.0.0/24", field: value}
    with pytest.raises(InvalidInput) as refusal:
        make(settings, Role.INITIATOR)
    assert refusal.value.problems[0].field == field


def test_a_key_that_has_no_name_of_sixteen_octets_is_not_installed() -> None:
    """The kernel could not say which key is in use."""
    made = make({"device": "sec0", "peer": _ADDRESSES[0], "far": "10.2.0.0/24"}, Role.INITIATOR)
    with pytest.raises(ConsumerFailure, match="UUID"):
        made.install(NewKey("one", "qkd", Secret(bytes(32))))


# By MKA: what does not need the kernel's module


@pytest.fixture
def supplicant(tmp_path: Path) -> Iterator[Path]:
    """Yield the control socket of a wpa_supplicant with a network for MACsec, in a namespace of its own."""
    with Daemons() as care:
        space = Space("mka", tmp_path)
        care.add(space)
        space.start()
        space.run("ip", "link", "add", "name", "fibre", "type", "veth", "peer", "name", "other")
        file = tmp_path / "supplicant.conf"
        text = macsec_guest.SUPPLICANT.format(at=0, cak="11" * 16, ckn="22" * 16, priority=16)
        file.write_text(text.replace("/run/", f"{tmp_path}/"))
        daemon = Daemon(
            [program("wpa_supplicant", "wpasupplicant"), "-Dwired", "-ifibre", f"-c{file}"],
            tmp_path / "log", prefix=space.prefix,
        )  # fmt: skip
        care.add(daemon)
        daemon.start((tmp_path / "supplicant-0/fibre").exists)
        yield tmp_path / "supplicant-0/fibre"


@pytest.mark.system
@needs("wpa_supplicant")
def test_wpa_supplicant_takes_name_and_key_by_its_control_socket(supplicant: Path) -> None:
    """Keys of both lengths, and no other; what it says of its network is what we ask for. Its driver here agrees on
    nothing, so nothing is proven.
    """
    spoken = Supplicant(supplicant, 0)
    assert [spoken.variable(name) for name in ("key_mgmt", "macsec_policy", "nonsense")] == ["NONE", "1", "FAIL"]
    for octets in (16, 32):
        spoken.set_cak("ab" * 16, Secret(bytes(octets)))
    with pytest.raises(ConsumerFailure, match="refused SET_NETWORK") as failure:
        spoken.set_cak("ab" * 16, Secret(bytes(range(20))))
    assert bytes(range(4)).hex() not in str(failure.value)
    assert spoken.agreed() == ("", False)


@pytest.mark.system
@needs("wpa_supplicant")
def test_a_network_that_would_not_encrypt_is_refused(supplicant: Path) -> None:
    """Before the first key, with what to write."""
    made = make({"control": str(supplicant), "device": "kstnone0", "far": "10.255.0.0/24"}, Role.INITIATOR)
    wpa = Supplicant(supplicant, 0)
    wpa._told(bytearray(b"SET_NETWORK 0 macsec_integ_only 1"))
    try:
        with pytest.raises(ConsumerFailure, match="macsec_integ_only=1") as failure:
            made.prepare()
    finally:
        guard.take_down("kstnone0")
    assert "macsec_integ_only=0" in failure.value.hint


@pytest.mark.parametrize(("field", "value"), [("far", ""), ("device", "a name"), ("network", -1), ("peer", "02:00")])
def test_a_setting_of_mka_that_cannot_be_used_is_named(field: str, value: str | int) -> None:
    """So is one that belongs to SAKs alone."""
    settings = {"control": "/run/wpa_supplicant/eth1", "device": "macsec0", "far": "10.2.0.0/24", field: value}
    with pytest.raises(InvalidInput) as refusal:
        make(settings, Role.RESPONDER)
    assert refusal.value.problems[0].field == field


def test_a_supplicant_that_does_not_run_is_named(tmp_path: Path) -> None:
    """With the path."""
    with pytest.raises(ConsumerFailure, match="nobody") as failure:
        Supplicant(tmp_path / "nobody", 0).agreed()
    assert "running" in failure.value.hint


# On Debian's kernel, which has the module

_MODULES = ("veth", "macsec", "gcm", "ctr", "ghash_generic", "nf_tables")
"""Loaded beforehand: what the kernel loads at the first key takes long there, and no verb should wait for it."""
_GUEST = ("ip", "nft", "ping", "nsenter", "unshare")
_needs_vm = needs_other_kernel(*_GUEST)
_needs_mka = needs_other_kernel(*_GUEST, "wpa_supplicant")


def _seen(mode: str, folder: Path) -> dict[str, Any]:
    """Return what two sites saw whose consumers ran in the machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keystrand-tests"
    source = Path(keystrand.__file__).parents[1]
    kernel = other_kernel(cache)
    python = f"PYTHONPATH={shlex.quote(str(source))} {shlex.quote(sys.executable)} -B {macsec_guest.__file__} {mode}"
    script = f"modprobe -d {shlex.quote(str(kernel.folder))} -a {' '.join(_MODULES)}\n{python}"
    said = kernel.run(script, folder, within_s=900.0)
    found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two sites saw that are keyed by SAKs."""
    return _seen("saks", tmp_path_factory.mktemp("guest"))


@pytest.mark.slow
@pytest.mark.system
@_needs_vm
def test_before_the_first_key_nothing_passes_not_even_under_a_strangers(seen: dict[str, Any]) -> None:
    """A static key of somebody else carried traffic; `prepare` removes it."""
    assert seen["strange"] == 5
    assert seen["prepared"] == [None, None]
    assert seen["before"] == 0


@pytest.mark.slow
@pytest.mark.system
@_needs_vm
def test_an_idle_link_proves_its_keys_at_both_ends(seen: dict[str, Any]) -> None:
    """The kernel's counters show it; nobody else sends anything."""
    for which in ("first", "idle", "responder"):
        in_use, why = seen[which]
        assert in_use, why
        assert re.search(r"in place [0-3] and took [1-9]\d* frames", why)
    assert seen["answered"] == 20


@pytest.mark.slow
@pytest.mark.system
@_needs_vm
def test_a_dozen_changes_lose_no_packet_and_use_all_four_places(seen: dict[str, Any]) -> None:
    """Under pings all the while; the only key in the device is then the one of this key_ID, in the kernel's words."""
    changes = seen["rotations"]
    assert changes["sent"] > 100
    assert changes["received"] == changes["sent"]
    assert len(changes["places"]) == ROTATIONS
    assert set(changes["places"]) == {0, 1, 2, 3}
    assert changes["named"] == [[True]] * ROTATIONS


@pytest.mark.slow
@pytest.mark.system
@_needs_vm
def test_different_keys_are_not_proven_and_the_next_change_puts_it_right(seen: dict[str, Any]) -> None:
    """So it does after one that only the responder heard of; retiring what failed then loses nothing."""
    assert not seen["wrong"][0]
    assert re.match(r"[1-9]\d* frames under it failed their check", seen["wrong at the responder"][1])
    assert seen["wrong answered"] == 0
    assert seen["healed"][0], seen["healed"]
    assert seen["healed answered"] == 20
    assert seen["still answered"] == 20
    assert seen["again"] == [None, None, 20]
    assert "takes keys of 256 bits, not 128" in seen["short"]


@pytest.mark.slow
@pytest.mark.system
@_needs_vm
def test_with_the_last_key_gone_nothing_passes_and_nothing_leaks(seen: dict[str, Any]) -> None:
    """Of a thousand packets none leaves in clear with the device down and another route there; without the guard they
    do.
    """
    assert seen["retired last"] == [None, None]
    assert seen["after"] == 0
    assert "numbered anew" in seen["set again"]
    assert not seen["proof after"][0]
    assert seen["tried"] == 1000
    assert seen["leaked"] == 0
    assert seen["leaked without guard"] == 10


@pytest.mark.slow
@pytest.mark.system
@_needs_mka
def test_by_mka_ends_agree_under_the_key_of_that_name_and_under_no_other(tmp_path: Path) -> None:
    """Real wpa_supplicants: two changes, both proven at both ends; another key at one end is not, the next one is; with
    the last one gone nothing leaks.
    """
    seen = _seen("mka", tmp_path)
    assert seen["prepared"] == [None, None]
    for name in ("first", "second"):
        assert seen[name] == [True, "MKA under this CKN has made the link secure"]
        assert seen[f"{name} at the responder"] == seen[name], seen
        assert seen[f"{name} answered"] >= 19
    assert seen["again"] == [None, seen["second"]]
    assert "128 or 256 bits" in seen["short"]
    assert not seen["wrong"][0]
    assert seen["healed"][0]
    assert seen["retired"] == [None, None]
    assert seen["after"] == [False, "the agreement is under another CKN"]
    assert (seen["tried"], seen["leaked"], seen["leaked without guard"]) == (1000, 0, 10)
