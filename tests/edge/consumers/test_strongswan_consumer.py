"""strongSwan under keys of ours, on two real charons: no SA without the very key, what a rotation loses, what leaks."""

import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.edge.consumers.corridor import CARRIER, FAR, needs
from tests.edge.consumers.ipsec import PROGRAMS, Ipsec, ipsec

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers import guard
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Role
from keystrand.edge.consumers.strongswan import StrongSwan, connection_of, make
from keystrand.edge.consumers.vici import Refused, Vici
from keystrand.model.errors import InvalidInput, MissingInput

needs_charon = needs(*PROGRAMS)
CONNECTION = 'remote_addrs = ["192.0.2.2"]\n[children.net]\nremote_ts = ["10.2.0.0/24"]\n'


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Ipsec]:
    """Yield two charons that have no connection yet."""
    with ipsec(tmp_path) as made:
        yield made


def _key(name: str, octets: bytes) -> NewKey:
    return NewKey(key_id=name, label="qkd", octets=Secret(octets))


def _up(pair: Ipsec, name: str) -> None:
    octets = secrets.token_bytes(32)
    for at in (1, 0):
        pair.made(at).prepare()
        pair.made(at).install(_key(name, octets))


def _held(pair: Ipsec, at: int) -> tuple[object, object, int]:
    with Vici(pair.socket(at)) as charon:
        return (
            charon.command("get-conns").get("conns"),
            charon.command("get-shared").get("keys"),
            len(charon.listed("list-sas", "list-sa")),
        )


@pytest.mark.system
@needs_charon
def test_the_same_key_comes_up_and_is_proven_by_charon(pair: Ipsec) -> None:
    """Before the first key nothing passes; under it all does, and both ends' own lists name the key with ppk: yes."""
    pair.made(0).prepare()
    assert pair.corridor.flood(10) == 0
    _up(pair, "one")
    assert pair.corridor.flood(50) == 50
    assert pair.corridor.in_clear() == 0
    for at in (0, 1):
        proof = pair.made(at).prove("one")
        assert proof.in_use
        assert "ppk: yes" in proof.shown_by
        assert not pair.made(at).prove("another").in_use


@pytest.mark.system
@needs_charon
@pytest.mark.parametrize("responder", [bytes(32), None], ids=["another value", "none at all"])
def test_a_wrong_or_missing_key_never_comes_up_and_the_old_one_stays(pair: Ipsec, responder: bytes | None) -> None:
    """The initiator says so and keeps nothing of it; traffic goes on under the key before."""
    _up(pair, "one")
    if responder is not None:
        pair.made(1).install(_key("two", responder))
    with pytest.raises(ConsumerFailure, match="charon did not initiate"):
        pair.made(0).install(_key("two", secrets.token_bytes(32)))
    assert not pair.made(0).prove("two").in_use
    conns, keys, count = _held(pair, 0)
    assert "corridor.two" not in (*conns, *keys)  # type: ignore[misc]  # lists of names
    assert count == 1
    assert pair.made(0).prove("one").in_use
    assert pair.corridor.flood(20) == 20
    assert pair.corridor.in_clear() == 0


@pytest.mark.system
@needs_charon
@pytest.mark.parametrize("asked", ["no", "yes"], ids=["the responder is ours", "a responder that does not insist"])
def test_a_peer_without_a_key_comes_up_only_where_nobody_insists(pair: Ipsec, asked: str) -> None:
    """An initiator without any key never gets in at ours. At one that does not insist it does: this test can fail."""
    _up(pair, "one")
    pair.made(0).retire("one")
    if asked == "yes":
        pair.made(1).retire("one")
        with Vici(pair.socket(1)) as charon:
            charon.command("load-conn", {"plain": {**pair.connection(1), "version": "2", "ppk_required": "no"}})
    with Vici(pair.socket(0)) as charon:
        charon.command("load-conn", {"plain": {**pair.connection(0), "version": "2", "ppk_required": "no"}})
        tried = {"ike": "plain", "child": "net", "timeout": "5000", "loglevel": "-1"}
        if asked == "no":
            with pytest.raises(Refused):
                charon.command("initiate", tried)
            return
        charon.command("initiate", tried)
    with pytest.raises(ConsumerFailure, match="another connection carries the far networks too: plain"):
        pair.made(0).prepare()
    assert "plain" in pair.made(0).prove("one").shown_by


@pytest.mark.system
@needs_charon
def test_an_association_without_the_key_in_our_name_is_no_proof(pair: Ipsec) -> None:
    """What has the name of a key, is established and carries traffic, but does not say ppk: yes, is not in use."""
    for at in (1, 0):
        with Vici(pair.socket(at)) as charon:
            connection = {**pair.connection(at), "version": "2", "ppk_required": "no"}
            charon.command("load-conn", {"corridor.one": connection})
    with Vici(pair.socket(0)) as charon:
        charon.command("initiate", {"ike": "corridor.one", "child": "net", "timeout": "5000", "loglevel": "-1"})
    proof = pair.made(0).prove("one")
    assert not proof.in_use
    assert "does not say ppk: yes" in proof.shown_by


def _second(pair: Ipsec, at: int, name: str) -> StrongSwan:
    """Return a consumer of other networks between the same ends."""
    near, far = ("10.3.0.0/24", "10.4.0.0/24")[:: 1 if at == 0 else -1]
    path = pair.folder / f"second-{at}.toml"
    text = (pair.folder / f"{at}.toml").read_text()
    path.write_text(re.sub(r"local_ts.*\nremote_ts.*", f'local_ts = ["{near}"]\nremote_ts = ["{far}"]', text))
    space = (pair.corridor.a, pair.corridor.b)[at]
    role = (Role.INITIATOR, Role.RESPONDER)[at]
    return StrongSwan(
        pair.socket(at), name, connection_of(path, [far]), role, [far], device="ipsec0", prefix=space.prefix
    )  # fmt: skip


@pytest.mark.system
@needs_charon
def test_two_connections_between_the_same_ends_are_refused(pair: Ipsec) -> None:
    """charon would take one for the other; the first goes on, though the second's name begins as its own does."""
    _up(pair, "one")
    for at in (1, 0):
        with pytest.raises(ConsumerFailure, match=r"cannot tell this connection from corridor\.one"):
            _second(pair, at, "corridor-x").install(_key("two", secrets.token_bytes(32)))
        assert _held(pair, at) == (["corridor.one"], ["corridor.one"], 1)
    assert pair.corridor.flood(20) == 20
    _up(pair, "three")
    assert pair.made(0).prove("three").in_use


@pytest.mark.system
@needs_charon
def test_a_connection_may_have_several_children(pair: Ipsec) -> None:
    """Two pairs of networks under one key: the proof waits for both, and both go with the key."""
    for at in (0, 1):
        near, far = ("10.3.0.0/24", "10.4.0.0/24")[:: 1 if at == 0 else -1]
        # kernel-libipsec routes by an address of the local networks, and by a way that is there already
        (pair.corridor.a, pair.corridor.b)[at].run("ip", "address", "add", near.replace(".0/", ".1/"), "dev", "lo")
        (pair.corridor.a, pair.corridor.b)[at].run("ip", "route", "add", far, "via", CARRIER[1 - at], "metric", "100")
        with (pair.folder / f"{at}.toml").open("a") as file:
            file.write(f'[children.more]\nlocal_ts = ["{near}"]\nremote_ts = ["{far}"]\n')
    _up(pair, "one")
    assert pair.made(0).prove("one").in_use
    with Vici(pair.socket(0)) as charon:
        charon.command("terminate", {"child": "more", "timeout": "2000"})
    assert pair.made(0).prove("one").shown_by == "not installed: more"
    pair.made(0).retire("one")
    assert _held(pair, 0)[2] == 0


@pytest.mark.system
@needs_charon
def test_a_rotation_makes_before_it_breaks(pair: Ipsec) -> None:
    """Twenty rotations under 1,000 packets a second: less than one is lost in each, and none leaves in clear.

    Each rotation leaves one association, one connection and one key at either end.
    """
    _up(pair, "0")

    def rotate(number: int) -> None:
        octets = secrets.token_bytes(32)
        for at in (1, 0):
            pair.made(at).install(_key(f"{number + 1}", octets))
        assert pair.made(0).prove(f"{number + 1}").in_use
        for at in (0, 1):
            pair.made(at).retire(f"{number}")

    losses = pair.corridor.losses_of(rotate, 20)
    for at in (0, 1):
        assert _held(pair, at) == (["corridor.20"], ["corridor.20"], 1)
    assert pair.corridor.in_clear() == 0
    assert losses.sent >= 1000
    assert losses.mean < 1, str(losses)


@pytest.mark.system
@needs_charon
@pytest.mark.parametrize("guarded", [True, False], ids=["with the guard", "without it"])
def test_what_is_without_a_key_never_leaves_in_clear(pair: Ipsec, *, guarded: bool) -> None:
    """The last key is retired, a route beside it: 0 of 1,000 leave with the guard, all of them without."""
    _up(pair, "one")
    assert pair.corridor.flood(5) == 5
    if not guarded:
        guard.take_down("ipsec0", pair.corridor.a.prefix)
    pair.made(0).retire("one")
    assert pair.corridor.send_thousand() == 1000
    seen = pair.corridor.in_clear()
    assert (seen == 0) if guarded else (seen >= 1000)
    assert pair.made(1).prove("one").in_use is False


@pytest.mark.system
@needs_charon
def test_a_charon_that_dies_leaks_nothing_and_the_next_key_brings_it_back(pair: Ipsec) -> None:
    """With charon killed nothing leaves in clear, the failure is told, and a fresh pair of keys is enough."""
    _up(pair, "one")
    pair.daemons[0].kill()
    assert pair.corridor.send_thousand() == 1000
    assert pair.corridor.in_clear() == 0
    for verb in (pair.made(0).prove, pair.made(0).retire):
        with pytest.raises(ConsumerFailure, match=r"0\.vici: Connection refused"):
            verb("one")
    pair.start(0)
    _up(pair, "two")
    assert pair.corridor.flood(20) == 20


@pytest.mark.system
@needs_charon
def test_a_rekeying_of_charons_own_stays_under_the_key(pair: Ipsec) -> None:
    """Either end rekeys child and IKE_SA, with the key's connection unloaded at one: still proven, still retired."""
    _up(pair, "one")
    pair.made(1).install(_key("two", bytes(32)))
    for at in (0, 1):
        for what in ({"child": "net"}, {"ike": "corridor.one"}):
            before = pair.made(0).prove("one")
            with Vici(pair.socket(at)) as charon:
                assert charon.command("rekey", what)["success"] == "yes"
            if "ike" in what:
                deadline = time.monotonic() + 5
                while (after := pair.made(0).prove("one")) == before or not after.in_use:
                    assert time.monotonic() < deadline, after
            assert pair.corridor.flood(20) == 20
    assert pair.made(1).prove("one").in_use
    pair.made(0).retire("one")
    assert _held(pair, 0)[2] == 0
    assert pair.corridor.flood(5) == 0
    assert pair.corridor.in_clear() == 0


@pytest.mark.system
@needs_charon
def test_what_swanctl_unloads_is_put_right_by_the_next_key(pair: Ipsec) -> None:
    """An operator's `swanctl --load-all` unloads our connection and key: traffic goes on, and the next change works."""
    _up(pair, "one")
    conf = pair.folder / "swanctl.conf"
    conf.write_text("")
    for at in (0, 1):
        words = ("--load-all", "--noprompt", "--file", str(conf), "--uri", f"unix://{pair.socket(at)}")
        pair.corridor.a.run("swanctl", *words)
        assert _held(pair, at) == ([], [], 1)
    assert pair.corridor.flood(20) == 20
    for at in (0, 1):
        pair.give_credentials(at)
    _up(pair, "two")
    for at in (0, 1):
        pair.made(at).retire("one")
    assert pair.made(0).prove("two").in_use
    assert pair.corridor.flood(20) == 20


@pytest.mark.system
@needs_charon
def test_a_key_is_retired_without_the_peer(pair: Ipsec) -> None:
    """A peer that answers nothing any more does not keep an association up."""
    _up(pair, "one")
    pair.daemons[1].kill()
    pair.made(0).retire("one")
    assert _held(pair, 0) == ([], [], 0)
    assert pair.corridor.send_thousand() == 1000
    assert pair.corridor.in_clear() == 0


@pytest.mark.system
@needs_charon
def test_a_firewall_that_is_loaded_anew_has_the_guard_again_with_the_next_key(pair: Ipsec) -> None:
    """What `flush ruleset` takes down the next key puts up; till then the tunnel is all that keeps packets in."""
    _up(pair, "one")
    pair.corridor.a.run("nft", "flush", "ruleset")
    assert pair.corridor.flood(20) == 20
    _up(pair, "two")
    for key in ("one", "two"):
        pair.made(0).retire(key)
    assert pair.corridor.send_thousand() == 1000
    assert pair.corridor.in_clear() == 0


@pytest.mark.system
@needs_charon
def test_every_verb_may_be_called_again(pair: Ipsec) -> None:
    """After a crash the verbs come again, to a consumer that remembers nothing: nothing changes, nothing fails."""
    octets = secrets.token_bytes(32)
    for at in (1, 0, 1):
        pair.made(at).prepare()
        pair.made(at).install(_key("one", octets))
    pair.made(0).prepare()
    assert pair.corridor.flood(20) == 20
    for _ in range(2):
        pair.made(0).retire("one")
    assert _held(pair, 0)[2] == 0


@pytest.mark.system
@needs_charon
@pytest.mark.parametrize(
    ("name", "octets", "message"),
    [("one", 16, "at least 256 bits, not 128"), ("o*", 32, "cannot name a PPK"), ("", 32, "cannot name a PPK")],
)
def test_keys_that_cannot_serve_are_refused(pair: Ipsec, name: str, octets: int, message: str) -> None:
    """Nothing of them reaches charon."""
    with pytest.raises(ConsumerFailure, match=message):
        pair.made(0).install(_key(name, bytes(octets)))
    assert _held(pair, 0) == ([], [], 0)


@pytest.mark.system
@needs_charon
def test_no_key_byte_is_in_a_log_or_a_message(pair: Ipsec) -> None:
    """Of a key that serves and of one that fails, no form of it is in charon's log, in a message or in a proof."""
    octets = secrets.token_bytes(32)
    pair.made(1).install(_key("one", octets))
    pair.made(0).install(_key("one", octets))
    with pytest.raises(ConsumerFailure) as caught:
        pair.made(0).install(_key("two", octets))
    log = (pair.folder / "ike-0.log").read_text()
    assert "corridor.two" in log
    told = f"{caught.value!r} {pair.made(0).prove('one')} {log}"
    assert octets.hex() not in told.lower().replace(":", "").replace(" ", "")


def test_a_charon_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With the socket that was tried."""
    with pytest.raises(ConsumerFailure, match=r"none\.vici: No such file"):
        Vici(tmp_path / "none.vici")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff\xff\xff\xff",
        b"\0\0\0\1\x09",
        b"\0\0\0\4\1\3\1a",
        b"\0\0\0\2\1\2",
        b"\0\0\0\3\1\5\0",
        b"\0\0\0\1\x07",
        b"\0\0\0\5\1\1\1a\4",
    ],
)
def test_what_is_no_charon_is_told(tmp_path: Path, answer: bytes) -> None:
    """Whatever comes from the socket ends in a message of ours."""
    path = tmp_path / "strange"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            line, _ = listener.accept()
            with line:
                line.recv(1024)
                line.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with Vici(path, timeout_s=5) as charon, pytest.raises(ConsumerFailure):
            charon.command("version")
        thread.join()


@pytest.mark.parametrize(
    ("settings", "connection", "message"),
    [
        ({"name": "a b", "far": FAR}, CONNECTION, "no name for a connection"),
        ({"name": "a", "far": ""}, CONNECTION, "no far network"),
        ({"name": "a", "far": "10.2.0.1/24"}, CONNECTION, "is no network"),
        ({"name": "a", "far": FAR, "device": 'x"; drop'}, CONNECTION, "no name of a device"),
        ({"name": "a"}, CONNECTION, "far: "),
        ({"name": "a", "far": FAR, "nam": "b"}, CONNECTION, "nam: "),
        ({"name": "a", "far": FAR}, "remote_addrs = [", "not valid TOML"),
        ({"name": "a", "far": FAR}, 'ppk_required = "no"\n' + CONNECTION, "ppk_required: keystrand sets it itself"),
        ({"name": "a", "far": FAR}, "version = 1\n" + CONNECTION, "version: keystrand sets it itself"),
        ({"name": "a", "far": FAR}, 'remote_addrs = ["192.0.2.2"]', "children: a connection needs at least one"),
        ({"name": "a", "far": FAR}, 'children = ["net"]\nremote_addrs = ["192.0.2.2"]', "children: a connection needs"),
        ({"name": "a", "far": FAR}, "[children.net]\n", "remote_addrs: name the peer"),
        ({"name": "a", "far": "192.0.2.0/24"}, CONNECTION, "remote_addrs: the peer lies in a far network"),
        ({"name": "a", "far": FAR}, CONNECTION + 'start_action = "trap"', "start_action: only the agent starts it"),
        ({"name": "a", "far": FAR}, CONNECTION + '[local]\ncerts = ["none.pem"]', "none.pem does not exist"),
        ({"name": "a", "far": FAR, "connection": "c.toml"}, CONNECTION, "connection: 'c.toml' is no absolute path"),
        ({"name": "a", "far": FAR}, None, "does not exist"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(
    settings: dict[str, str], connection: str | None, message: str, tmp_path: Path
) -> None:
    """Each with what is wrong, and the field of the file."""
    path = tmp_path / "connection.toml"
    if connection is not None:
        path.write_text(connection)
    with pytest.raises((InvalidInput, MissingInput)) as caught:
        make({"connection": str(path), "device": "ipsec0", **settings}, Role.INITIATOR)
    problems = caught.value.problems if isinstance(caught.value, InvalidInput) else ()
    assert message in " ".join([caught.value.message, *map(str, problems)])


def test_a_connection_is_given_as_charon_takes_it(tmp_path: Path) -> None:
    """Words for truth, texts for numbers, certificates read from beside the file, a consumer made of it."""
    (tmp_path / "own.pem").write_bytes(b"certificate")
    path = tmp_path / "connection.toml"
    path.write_text(
        f'encap = true\nmobike = false\nfragmentation = "yes"\nif_id_in = 7\n{CONNECTION}[local]\ncerts = ["own.pem"]\n'
    )
    assert connection_of(path, [FAR]) == {
        "encap": "yes", "mobike": "no", "fragmentation": "yes", "if_id_in": "7", "remote_addrs": ["192.0.2.2"],
        "children": {"net": {"remote_ts": ["10.2.0.0/24"]}}, "local": {"certs": [b"certificate"]},
    }  # fmt: skip
    settings = {
        "name": "a",
        "far": FAR,
        "device": "ipsec0",
        "connection": str(path),
        "socket": str(tmp_path / "none.vici"),
    }
    with pytest.raises(ConsumerFailure, match="No such file"):
        make(settings, Role.RESPONDER).prove("one")
