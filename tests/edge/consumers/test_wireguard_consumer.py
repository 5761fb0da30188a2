"""WireGuard under keys of ours, on real wireguard-go: what is proven, what is lost, what leaves in clear."""

import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.edge.consumers.corridor import FAR, needs
from tests.edge.consumers.wireguard_pair import PROGRAMS, Tunnel, wireguard_pair

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Role
from keystrand.edge.consumers.wireguard import Place, WireGuard, make
from keystrand.edge.consumers.wireguard_device import Uapi, WgTool
from keystrand.edge.daemons import Daemons, Space
from keystrand.model.errors import InvalidInput

needs_tunnels = needs(*PROGRAMS)


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[Tunnel]:
    """Yield two peers that know each other's public keys."""
    with wireguard_pair(tmp_path) as made:
        yield made


def _key(name: str, octets: bytes) -> NewKey:
    return NewKey(key_id=name, label="qkd", octets=Secret(octets))


def _both(tunnel: Tunnel, *, by_tool: bool = False) -> tuple[WireGuard, WireGuard]:
    initiator, responder = tunnel.made(0, forced=True, by_tool=by_tool), tunnel.made(1, by_tool=by_tool)
    for end in (responder, initiator):
        end.prepare()
    return initiator, responder


def _up(tunnel: Tunnel) -> tuple[WireGuard, WireGuard]:
    initiator, responder = _both(tunnel)
    octets = secrets.token_bytes(32)
    responder.install(_key("one", octets))
    initiator.install(_key("one", octets))
    assert tunnel.corridor.flood(5) > 0
    return initiator, responder


@pytest.mark.system
@needs_tunnels
@pytest.mark.parametrize("by_tool", [False, True], ids=["by its socket", "by wg(8)"])
def test_the_same_key_carries_traffic_and_is_proven_by_a_handshake(tunnel: Tunnel, *, by_tool: bool) -> None:
    """Before the first key nothing passes, under the same key all does, and only a handshake proves it."""
    initiator, responder = _both(tunnel, by_tool=by_tool)
    assert tunnel.corridor.flood(20) == 0
    octets = secrets.token_bytes(32)
    responder.install(_key("one", octets))
    assert not responder.prove("one").in_use
    initiator.install(_key("one", octets))
    assert not initiator.prove("one").in_use
    assert tunnel.corridor.flood(50) >= 49
    assert initiator.prove("one").in_use
    assert "handshake" in initiator.prove("one").shown_by
    assert not initiator.prove("another").in_use
    assert tunnel.corridor.in_clear() == 0
    initiator.retire("one")
    assert tunnel.corridor.flood(10) == 0


@pytest.mark.system
@needs_tunnels
def test_different_keys_carry_nothing(tunnel: Tunnel) -> None:
    """An end with another key is an end without one."""
    initiator, responder = _both(tunnel)
    responder.install(_key("one", secrets.token_bytes(32)))
    initiator.install(_key("one", secrets.token_bytes(32)))
    assert tunnel.corridor.flood(20) == 0
    assert not initiator.prove("one").in_use


@pytest.mark.system
@needs_tunnels
@pytest.mark.parametrize("forced", [False, True], ids=["lazy", "forced"])
def test_a_change_loses_nothing_when_lazy_and_hardly_anything_when_forced(tunnel: Tunnel, *, forced: bool) -> None:
    """Twenty changes under 1,000 packets a second: none is lost when lazy, less than one each time when forced."""
    _, responder = _up(tunnel)
    changing = tunnel.made(0, forced=forced)

    def change(number: int) -> None:
        octets = secrets.token_bytes(32)
        responder.install(_key(f"{number}", octets))
        changing.install(_key(f"{number}", octets))

    losses = tunnel.corridor.losses_of(change, 20)
    assert losses.sent >= 1000
    assert losses.mean < 1 if forced else losses.each == (0,) * 20, str(losses)
    assert tunnel.corridor.in_clear() == 0


@pytest.mark.system
@needs_tunnels
@pytest.mark.parametrize("by_tool", [False, True], ids=["by its socket", "by wg(8)"])
def test_a_handshake_that_is_lost_is_begun_anew(tunnel: Tunnel, *, by_tool: bool) -> None:
    """The first initiation does not come through: the change itself tries again, where WireGuard would after 5 s."""
    _up(tunnel)
    changing = tunnel.made(0, forced=True, by_tool=by_tool)
    # an initiation has 148 octets (WireGuard's paper, section 5.4.2), with UDP's header 156; the first is dropped
    rule = "udp length 156 limit rate 1/hour burst 1 packets counter drop;"
    tunnel.corridor.b.run("nft", f"table inet lost {{ chain in {{ type filter hook input priority 0; {rule} }}; }}")
    octets = secrets.token_bytes(32)

    def change(_: int) -> None:
        tunnel.made(1).install(_key("two", octets))
        changing.install(_key("two", octets))
        assert changing.prove("two").in_use

    tunnel.corridor.losses_of(change, 1)
    assert "counter packets 1 " in tunnel.corridor.b.run("nft", "list", "table", "inet", "lost")


@pytest.mark.system
@needs_tunnels
def test_a_change_right_after_the_last_key_was_retired_is_answered(tunnel: Tunnel) -> None:
    """What a retired key's peer tries is a handshake too: the next one stands apart from it, or it would be dropped."""
    initiator, responder = _up(tunnel)
    octets = [secrets.token_bytes(32) for _ in range(4)]

    def change(number: int) -> None:
        responder.install(_key(f"{number}", octets[number]))
        initiator.retire("one" if number == 0 else f"{number - 1}")
        initiator.install(_key(f"{number}", octets[number]))
        assert initiator.prove(f"{number}").in_use

    tunnel.corridor.losses_of(change, len(octets))


@pytest.mark.system
@needs_tunnels
def test_a_lazy_change_is_not_proven_before_the_next_handshake(tunnel: Tunnel) -> None:
    """A handshake under the key before is none under this one, though traffic goes on."""
    _up(tunnel)
    lazy = tunnel.made(0)
    lazy.install(_key("two", secrets.token_bytes(32)))
    assert tunnel.corridor.flood(20) == 20
    proof = lazy.prove("two")
    assert not proof.in_use
    assert "no handshake since" in proof.shown_by
    assert "an idle tunnel makes none" in proof.shown_by


@pytest.mark.slow
@pytest.mark.system
@needs_tunnels
def test_a_lazy_change_is_proven_by_the_next_handshake_and_loses_nothing(tunnel: Tunnel) -> None:
    """WireGuard makes it within two minutes of the last one; not a packet is lost on the way, and both ends see it."""
    _, responder = _up(tunnel)
    lazy = tunnel.made(0)

    def change(number: int) -> None:
        octets = secrets.token_bytes(32)
        key_id = f"lazy-{number}"
        responder.install(_key(key_id, octets))
        lazy.install(_key(key_id, octets))
        deadline = time.monotonic() + 130
        while not lazy.prove(key_id).in_use:
            assert time.monotonic() < deadline, lazy.prove(key_id).shown_by
            time.sleep(0.1)

    losses = tunnel.corridor.losses_of(change, 1, interval_s=0.02)
    assert losses.each == (0,), str(losses)
    assert responder.prove("lazy-0").in_use


@pytest.mark.system
@needs_tunnels
@pytest.mark.parametrize("guarded", [True, False], ids=["with the guard", "without it"])
def test_what_is_without_a_key_never_leaves_in_clear(tunnel: Tunnel, *, guarded: bool) -> None:
    """The last key is retired and the device goes down, a route beside it: 0 of 1,000 with the guard, all without."""
    initiator, _ = _up(tunnel)
    initiator.retire("one")
    if not guarded:
        guard.take_down(tunnel.devices[0], tunnel.corridor.a.prefix)
    assert tunnel.corridor.flood(20) == 0
    assert tunnel.corridor.in_clear() == 0
    tunnel.corridor.a.run("ip", "link", "set", tunnel.devices[0], "down")
    assert tunnel.corridor.send_thousand() == 1000
    seen = tunnel.corridor.in_clear()
    assert (seen == 0) if guarded else (seen >= 1000)


@pytest.mark.system
@needs_tunnels
def test_a_program_that_dies_leaks_nothing(tunnel: Tunnel) -> None:
    """With wireguard-go killed its device and route are gone: 0 of 1,000 leave in clear, and the failure is told."""
    initiator, _ = _up(tunnel)
    tunnel.daemons[0].kill()
    assert tunnel.corridor.send_thousand() == 1000
    assert tunnel.corridor.in_clear() == 0
    with pytest.raises(ConsumerFailure, match=r"\.sock: (No such file|Connection refused)"):
        initiator.retire("one")


@pytest.mark.system
@needs_tunnels
def test_a_new_run_knows_the_key_and_leaves_the_tunnel_up(tunnel: Tunnel) -> None:
    """After a crash `prepare` comes again and loses nothing; the key before is retired without harm, the last ends."""
    _up(tunnel)
    again = tunnel.made(0, forced=True)
    again.prepare()
    again.retire("before")
    assert tunnel.corridor.flood(20) == 20
    assert again.prove("one").in_use
    assert not again.prove("").in_use
    tunnel.made(0).retire("one")
    assert tunnel.corridor.flood(10) == 0
    assert not again.prove("one").in_use


@pytest.mark.system
@needs_tunnels
def test_a_key_that_nobody_remembers_is_retired_too(tunnel: Tunnel) -> None:
    """Where what we knew is lost, whatever is in use goes; where it is spoilt, that is told."""
    initiator, _ = _up(tunnel)
    (file,) = (tunnel.corridor.folder / "run").glob(f"wireguard-{tunnel.devices[0]}-*.json")
    assert file.stat().st_mode & 0o077 == 0
    file.write_text("?")
    with pytest.raises(ConsumerFailure, match="not to be read"):
        initiator.prepare()
    file.unlink()
    initiator.retire("one")
    assert tunnel.corridor.flood(10) == 0


@pytest.mark.system
@needs_tunnels
def test_a_replaced_key_is_retired_without_harm(tunnel: Tunnel) -> None:
    """Only the last one ends the traffic."""
    initiator, responder = _up(tunnel)
    octets = secrets.token_bytes(32)
    responder.install(_key("two", octets))
    initiator.install(_key("two", octets))
    for end in (initiator, responder):
        end.retire("one")
    assert tunnel.corridor.flood(20) >= 19
    assert initiator.prove("two").in_use


@pytest.mark.system
@needs_tunnels
@pytest.mark.parametrize("key", [bytes(32), b"k" * 32], ids=["without a key", "with a key of somebody else"])
def test_what_is_up_without_a_key_of_ours_is_ended(tunnel: Tunnel, key: bytes) -> None:
    """A tunnel that ran before us does not go on; nor does one whose device forgot our key."""
    for at in (0, 1):
        with Secret(key) as held:
            Uapi(tunnel.socket(at)).set_key(b64decode(tunnel.publics[1 - at]), held, anew=True)
    assert tunnel.corridor.flood(20) >= 19
    if not any(key):
        # as if the device had been started anew after a key of ours
        tunnel.made(0).install(_key("one", key))
    tunnel.made(0).prepare()
    assert tunnel.corridor.flood(10) == 0


@pytest.mark.system
@needs_tunnels
def test_a_peer_inside_a_far_network_is_refused(tunnel: Tunnel) -> None:
    """The guard would stop WireGuard's own packets."""
    with pytest.raises(ConsumerFailure, match=r"endpoint 192\.0\.2\.2:51821 lies in a far network"):
        tunnel.made(0, far="192.0.2.0/24").prepare()


@pytest.mark.system
@needs_tunnels
def test_what_a_peer_was_told_survives_being_put_back(tunnel: Tunnel) -> None:
    """A forced change, by the socket or by wg(8), keeps endpoint, networks and keepalive; keys are never shown."""
    public = b64decode(tunnel.publics[1])
    uapi = Uapi(tunnel.socket(0))
    uapi.told([f"public_key={public.hex()}", "persistent_keepalive_interval=7", "preshared_key=PSK"], Secret(bytes(32)))
    before = uapi.peer(public)
    assert not before.keyed
    tool = WgTool(tunnel.devices[0], tunnel.prefix(0))
    for device in (uapi, tool):
        device.set_key(public, Secret(secrets.token_bytes(32)), anew=True)
        for asked in (uapi, tool):
            after = asked.peer(public)
            assert after._replace(sent=0) == before._replace(keyed=True, handshake_s=0.0, sent=0)
            assert after.sent == 148  # octets of a handshake initiation, which the keepalive began


@pytest.mark.system
@needs_tunnels
def test_a_device_or_peer_that_is_not_there_is_told(tunnel: Tunnel, tmp_path: Path) -> None:
    """The message says which socket or device, and nothing of any key."""
    nobody = bytes(32)
    with pytest.raises(ConsumerFailure, match="No such file"):
        Uapi(tmp_path / "none.sock").peer(nobody)
    for device in (Uapi(tunnel.socket(0)), WgTool(tunnel.devices[0], tunnel.prefix(0))):
        with pytest.raises(ConsumerFailure, match="no such peer"):
            device.peer(nobody)
    octets = secrets.token_bytes(32)
    with pytest.raises(ConsumerFailure, match="wg set none: ") as caught:
        WgTool("none", tunnel.prefix(0)).set_key(nobody, Secret(octets), anew=False)
    assert b64encode(octets).decode() not in repr(caught.value)
    with pytest.raises(ConsumerFailure, match="keys of 256 bits, not 128"):
        tunnel.made(0).install(_key("one", bytes(16)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "wg 0", "peer": "x", "far": FAR}, "device: 'wg 0' is no name of a device"),
        ({"device": 'wg0"; drop', "peer": "x", "far": FAR}, "is no name of a device"),
        ({"peer": "x", "far": FAR}, "device: "),
        ({"device": 7, "peer": "x", "far": FAR}, "device: "),
        ({"device": "wg0", "peer": "x", "far": ""}, "far: no far network"),
        ({"device": "wg0", "peer": "x", "far": "10.2.0.0/33"}, "far: '10.2.0.0/33' is no network"),
        ({"device": "wg0", "peer": "x", "far": "10.2.0.1/24"}, "is no network"),
        ({"device": "wg0", "peer": "short", "far": FAR}, "peer: this is no public key"),
        ({"device": "wg0", "far": FAR}, "peer: "),
        ({"device": "wg0", "peer": "A" * 43 + "=", "far": FAR, "change": "now"}, "change: "),
        ({"device": "wg0", "peer": "A" * 43 + "=", "far": FAR, "changed": "forced"}, "changed: "),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, str | int | float | bool], message: str) -> None:
    """Each with its field and what is wrong; nothing that is no name or network gets into the guard's script."""
    with pytest.raises(InvalidInput) as caught:
        make(settings, Role.INITIATOR)
    assert message in str(caught.value.problems[0])
    assert caught.value.problems[0].hint


def test_settings_that_can_be_make_a_consumer(tmp_path: Path) -> None:
    """Without touching anything: the device need not be there yet."""
    settings = {"device": "wg0", "peer": "A" * 43 + "=", "far": f"{FAR} fd00::/64", "change": "forced"}
    assert isinstance(make(settings, Role.RESPONDER), WireGuard)
    with pytest.raises(ConsumerFailure, match="No such file"):
        make({**settings, "socket": str(tmp_path / "wg0.sock")}, Role.INITIATOR).prepare()


@pytest.mark.system
@needs()
def test_the_guard_stands_though_the_device_is_not_there_yet(tmp_path: Path) -> None:
    """Its program may start after us, or have died: what is meant for it then goes by the ordinary route, or not at
    all.
    """
    with Daemons() as care:
        space = Space("alone", tmp_path)
        care.add(space)
        space.start()
        place = Place("kstnone0", (FAR,), tmp_path, space.prefix)
        device = WireGuard(Uapi(tmp_path / "none.sock"), b64encode(bytes(32)).decode(), place, forced=False)
        with pytest.raises(ConsumerFailure, match=r"none\.sock"):
            device.prepare()
        assert guard.table("kstnone0") in space.run("nft", "list", "tables")
