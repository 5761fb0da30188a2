"""The consumers that an ordinary user can try: TLS, age and tokens, with real KMEs and real programs."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.edge.pilot.grounds import declared, ground_of

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.age import wrapped
from keystrand.edge.consumers.seen_keys import SeenKeys
from keystrand.edge.daemons import Daemons
from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.pair import Pair, start_pair
from keystrand.edge.kme.wire import SecretKey
from keystrand.edge.pilot.age import AgeTrial
from keystrand.edge.pilot.attempts import Outcome
from keystrand.edge.pilot.base import A, B
from keystrand.edge.pilot.certified import CertifiedEcho, certificates, certified
from keystrand.edge.pilot.hsm import HsmTrial
from keystrand.edge.pilot.paced import PacedTrial
from keystrand.edge.pilot.tls import TlsTrial
from keystrand.edge.pilot.way import Way
from keystrand.formats.age_stanza import written
from keystrand.model.errors import PeerUnavailable
from keystrand.model.pilot import ConsumerKind

pytestmark = pytest.mark.system

needs_age = pytest.mark.skipif(shutil.which("age") is None, reason="needs age: apt-get install age")
needs_tokens = pytest.mark.skipif(
    bool(why := HsmTrial(declared(ConsumerKind.HSM, 1)).why_not()), reason=f"needs SoftHSM2: {why}"
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with start_pair(tmp_path_factory.mktemp("trials") / "run") as running:
        with TwinSource(running.link, running.source_ends, bits_per_s=2_000_000, qber=0.02, block_bits=65_536):
            running.wait_for_keys(200)
        yield running


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs without a key."""
    with start_pair(tmp_path_factory.mktemp("empty") / "run") as running:
        yield running


@pytest.fixture
def care() -> Iterator[Daemons]:
    """What is started ends with the test."""
    with Daemons() as daemons:
        yield daemons


def until(trial: PacedTrial, condition: Callable[[], bool]) -> float:
    """Let traffic flow until `condition`; return when it began."""
    begin = time.time()
    trial.begin_traffic()
    while not condition():
        assert time.time() < begin + 30, [one.why for one in trial.attempts(begin, time.time())][-3:]
        time.sleep(0.02)
    trial.end_traffic()
    return begin


def tried(trial: PacedTrial, count: int) -> float:
    """Let traffic flow until `count` attempts are over; return when it began."""
    begin = time.time()
    return until(trial, lambda: len(trial.attempts(begin, time.time())) >= count)


def test_tls_with_and_without_keys(pair: Pair, care: Daemons, tmp_path: Path) -> None:
    """The same echo: by certificates with no key at all, then a fresh key each, fetched at both ends."""
    trial = TlsTrial(declared(ConsumerKind.TLS, 100))
    assert trial.why_not() == ""
    trial.set_up(ground_of(tmp_path, pair, care))
    assert trial.begin_plain().startswith("the same echo by certificates")
    begin = tried(trial, 5)
    plain = trial.attempts(begin, time.time())
    assert {(one.outcome, one.done and one.done.group, one.done and one.done.key_id) for one in plain} == {
        (Outcome.DONE, "X25519MLKEM768", "")
    }
    assert (trial.throughput(0.1) or 0) > 0
    trial.end_plain()
    assert trial.throughput(0.1) is None
    trial.begin_keyed()
    begin = tried(trial, 10)
    end = time.time()
    keyed, seen = trial.attempts(begin, end), trial.traffic(begin, end)
    assert (seen.tried, seen.failed) == (len(keyed), 0)
    assert all(one.done and one.done.enc_keys_s and one.done.group == "X25519MLKEM768" for one in keyed)
    used = trial.keys_used(begin, end)
    assert len({key_id for _, key_id in used}) == len(keyed) == len(trial.dec_keys_s(begin, end))
    assert all(begin <= at_s <= end for at_s, _ in used)
    assert (trial.throughput(0.1) or 0) > 0
    assert (trial.wrong_keys(), trial.old_keys, trial.zero_keys, trial.without_key) == (0, 0, 0, 0)
    assert trial.in_clear() is None
    assert trial.agent_kind() == ""


def test_without_a_key_no_handshake_is_tried(empty: Pair, care: Daemons, tmp_path: Path) -> None:
    """Each attempt is told as refused for want of a key, and the silence lasts the whole span."""
    trial = TlsTrial(declared(ConsumerKind.TLS, 50))
    trial.set_up(ground_of(tmp_path, empty, care))
    trial.begin_keyed()
    begin = tried(trial, 5)
    end = time.time()
    assert {one.outcome for one in trial.attempts(begin, end)} == {Outcome.NO_KEY}
    seen = trial.traffic(begin, end)
    assert seen.tried == seen.failed
    assert seen.longest_gap_s == pytest.approx(end - begin)
    assert trial.keys_used(begin, end) == ()


def test_a_dead_server_is_a_failure_and_not_want_of_a_key(pair: Pair, care: Daemons, tmp_path: Path) -> None:
    """What fails after a key was taken says why."""
    trial = TlsTrial(declared(ConsumerKind.TLS, 50))
    trial.set_up(ground_of(tmp_path, pair, care))
    trial.begin_keyed()
    assert trial._echo is not None
    trial._echo.close()
    begin = tried(trial, 2)
    made = trial.attempts(begin, time.time())
    assert {one.outcome for one in made} == {Outcome.FAILED}
    assert "cannot be reached" in made[0].why


def test_the_certified_echo_takes_no_stranger(tmp_path: Path) -> None:
    """Neither end accepts the certificate of another authority, nor a server at another address."""
    way = Way(None)
    ours, files = certificates(tmp_path / "ours", "127.0.0.1")
    theirs, _ = certificates(tmp_path / "theirs", "127.0.0.1")
    elsewhere, other = certificates(tmp_path / "elsewhere", "192.0.2.1")
    with CertifiedEcho(files, way.listener()) as server, CertifiedEcho(other, way.listener()) as far:
        with certified(ours, way.dial(server.port), "127.0.0.1") as opened:
            assert opened.group == "X25519MLKEM768"
        for context, port in ((theirs, server.port), (elsewhere, far.port)):
            with pytest.raises(PeerUnavailable), certified(context, way.dial(port), "127.0.0.1"):
                pass
    assert server.handshakes == 1


def test_keys_that_come_twice_or_empty_are_counted() -> None:
    """By name, by content, and by being nothing."""
    seen = SeenKeys()
    seen.examine("one", memoryview(b"a" * 32))
    assert (seen.old, seen.zero) == (0, 0)
    seen.examine("two", memoryview(b"a" * 32))
    seen.examine("one", memoryview(b"b" * 32))
    assert (seen.old, seen.zero) == (2, 0)
    seen.examine("three", memoryview(bytes(32)))
    assert (seen.old, seen.zero) == (2, 1)


def test_what_is_carried_arrives_whole() -> None:
    """More than any buffer holds, and nothing."""
    content = bytes(range(256)) * 40_000
    assert Way(None).carry(content) == content
    assert Way(None).carry(b"") == b""


def test_a_way_to_nowhere_is_told() -> None:
    """Nobody listens there."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(PeerUnavailable, match="cannot be reached: Connection refused"):
            Way(None).dial(held.getsockname()[1])


@needs_age
def test_age_with_and_without_keys(pair: Pair, care: Daemons, tmp_path: Path) -> None:
    """Files come over; each has a key of its own; what an operator wrote is counted as it stands there."""
    trial = AgeTrial(declared(ConsumerKind.AGE, 1))
    assert trial.why_not() == ""
    trial.set_up(ground_of(tmp_path, pair, care))
    assert trial.begin_plain().startswith("age with a recipient of its own kind")
    begin = tried(trial, 1)
    assert trial.traffic(begin, time.time()).failed == 0
    trial.end_plain()
    trial.begin_keyed()
    begin = tried(trial, 2)
    made = trial.attempts(begin, time.time())
    assert [one.why for one in made if not one.done] == []
    assert len({one.done.key_id for one in made if one.done}) == len(made) >= 2
    assert trial.wrong_keys() == 0
    lines = sum(len((tmp_path / "the-age" / end / "age.toml").read_text().splitlines()) for end in "ab")
    assert [(deed.kind.value, deed.count) for deed in trial.deeds] == [("config-lines", lines), ("command", 2)]
    assert [file.name for file in (tmp_path / "the-age").iterdir() if file.name not in "ab"] == []


@needs_age
def test_without_a_key_there_is_no_file(empty: Pair, care: Daemons, tmp_path: Path) -> None:
    """It is told as want of a key."""
    trial = AgeTrial(declared(ConsumerKind.AGE, 1))
    trial.set_up(ground_of(tmp_path, empty, care))
    trial.begin_keyed()
    begin = tried(trial, 1)
    assert {one.outcome for one in trial.attempts(begin, time.time())} == {Outcome.NO_KEY}


def test_a_file_under_an_empty_key_is_found_out() -> None:
    """From the file alone: an empty key opens it. The same name twice is the same key."""

    class Giving:
        """A KME that gives what it is told to."""

        def __init__(self, octets: bytes, key_id: str) -> None:
            self._octets, self._key_id = octets, key_id

        def enc_keys(self, _sae: str, *, size: int) -> tuple[SecretKey, ...]:
            """Give it."""
            assert size == 256
            return (SecretKey(key_id=self._key_id, key=Secret(self._octets)),)

    def file(octets: bytes, key_id: str) -> bytes:
        stanza = wrapped(Giving(octets, key_id), "a", "b", bytes(16))  # type: ignore[arg-type]  # has what is asked
        return b"age-encryption.org/v1\n" + written(stanza) + b"--- x\n"

    trial = AgeTrial(declared(ConsumerKind.AGE, 1))
    one, two = str(uuid.uuid4()), str(uuid.uuid4())
    assert trial._examined(file(b"k" * 32, one)) == one
    assert trial.wrong_keys() == 0
    trial._examined(file(bytes(32), two))
    assert trial.wrong_keys() == 1
    trial._examined(file(b"l" * 32, one))
    assert trial.wrong_keys() == 2


_PUT = """
import json, sys
from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import NewKey, Role
from keystrand.edge.consumers.pkcs11 import make
told = json.loads(sys.stdin.read())
consumer = make(told["settings"], Role.RESPONDER)
for key_id, octets in told["install"]:
    consumer.install(NewKey(key_id, "qkd", Secret(bytes.fromhex(octets))))
for key_id in told["retire"]:
    consumer.retire(key_id)
"""


def put(trial: HsmTrial, at: int, *install: tuple[str, bytes], retire: tuple[str, ...] = ()) -> None:
    """Do to one token what the agent's installer does, as it does: from a process of its own."""
    told = {
        "settings": dict(trial.agent_settings(at)), "retire": retire,
        "install": [(key_id, octets.hex()) for key_id, octets in install],
    }  # fmt: skip
    env = {**os.environ, **trial.installer_env(at)}
    subprocess.run([sys.executable, "-c", _PUT], input=json.dumps(told), text=True, check=True, env=env, timeout=60)


@needs_tokens
def test_tokens_seal_under_the_newest_key_of_both_ends_alone(pair: Pair, care: Daemons, tmp_path: Path) -> None:
    """Key by key as a changeover goes: none, at one end, at both, a newer one, the older gone."""
    trial = HsmTrial(declared(ConsumerKind.HSM, 50, "fail-secure"))
    trial.set_up(ground_of(tmp_path, pair, care))
    assert trial.begin_plain().startswith("- no such thing")
    assert (trial.agent_kind(), trial.throughput(0.1), trial.keys_used(0, 1)) == ("pkcs11", None, ())
    one, two = (str(uuid.uuid4()), b"1" * 32), (str(uuid.uuid4()), b"2" * 32)

    def seen() -> set[str]:
        begin = tried(trial, 3)
        return {one.done.key_id if one.done else one.outcome.value for one in trial.attempts(begin, time.time())}

    assert seen() == {"no-key"}
    put(trial, B, one)
    assert seen() == {"no-key"}
    put(trial, A, one)
    assert seen() == {one[0]}
    put(trial, A, two)
    assert seen() == {one[0]}
    put(trial, B, two)
    assert seen() == {two[0]}
    put(trial, A, retire=(two[0],))
    assert seen() == {one[0]}
    put(trial, B, retire=(one[0],))
    assert seen() == {"no-key"}
    assert trial.wrong_keys() == 0
    again, nothing = (str(uuid.uuid4()), b"1" * 32), (str(uuid.uuid4()), bytes(32))
    put(trial, A, again, nothing)
    assert seen() == {"no-key"}
    assert trial.wrong_keys() == 2
