"""The SSH probe against a real server (asyncssh in a thread, OpenSSH where installed), and against hostile ones."""

import asyncio
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from keystrand.edge.probes.base import Answer, Ending, Job
from keystrand.edge.probes.ssh import SshProbe
from keystrand.formats.ssh_wire import DISCONNECT, KEX_INIT, KEXINIT, first_packet, packet, string
from keystrand.model.algorithm import Function
from keystrand.model.estate import ProbeKind, ScanMode, Target
from keystrand.model.observation import (
    AlgorithmUse,
    Attempt,
    Endpoint,
    Observation,
    Outcome,
    PublicKey,
    Record,
    Strength,
)

HOST = "127.0.0.1"


def _target(port: int) -> Target:
    return Target(id="jump", probe=ProbeKind.SSH, system="admin", host=HOST, port=port)


Change = Callable[[bytes], bytes]


def _as_it_is(octets: bytes) -> bytes:
    return octets


def _ask(job: Job, sent: list[bytes], change: Change) -> Answer:
    """Have one conversation over a blocking socket; keep what is sent, and `change` what comes."""
    talk = job.start()
    try:
        with socket.create_connection((job.host, job.port), timeout=20) as connection:
            sent.append(talk.begin())
            connection.sendall(sent[0])
            while not talk.done:
                octets = connection.recv(4096)
                if not octets:
                    return Answer(job, talk, Ending.CLOSED, "the other side closed the connection")
                sent.append(talk.receive(change(octets)))
                connection.sendall(sent[-1])
    except ConnectionRefusedError:
        return Answer(job, talk, Ending.REFUSED, "connection refused")
    return Answer(job, talk, Ending.DONE)


def _probe(
    port: int, sent: list[list[bytes]] | None = None, change: Change = _as_it_is
) -> tuple[tuple[Record, ...], int]:
    """Return the records for what listens on `port`, and how many connections it took; `sent` gets what each said."""
    probe, target = SshProbe(), _target(port)
    answers: tuple[Answer, ...] = ()
    while jobs := probe.plan(target, answers):
        for job in jobs:
            said: list[bytes] = []
            answers += (_ask(job, said, change),)
            if sent is not None:
                sent.append(said)
    return probe.judge(target, answers), len(answers)


@contextmanager
def _server(host_keys: Sequence[asyncssh.SSHKey], key_exchanges: Sequence[str]) -> Iterator[int]:
    """Run a real SSH server on a free port in a thread of its own."""
    loop = asyncio.new_event_loop()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(HOST, 0, server_host_keys=list(host_keys), kex_algs=list(key_exchanges))

    async def close() -> None:
        acceptor.close()
        await acceptor.wait_closed()
        await asyncio.sleep(0.05)  # the connections we left notice it in their own time
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    acceptor = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield acceptor.get_port()
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _facts(records: tuple[Record, ...]) -> list[tuple[Strength, object]]:
    return [(r.strength, r.fact) for r in records if isinstance(r, Observation)]


def _endpoint(records: tuple[Record, ...]) -> Endpoint:
    (found,) = [fact for _, fact in _facts(records) if isinstance(fact, Endpoint)]
    return found


def _uses(records: tuple[Record, ...], function: Function) -> dict[str, Strength]:
    return {f.algorithm: s for s, f in _facts(records) if isinstance(f, AlgorithmUse) and f.function is function}


def _keys(records: tuple[Record, ...]) -> dict[str, tuple[str, Strength]]:
    return {f.sha256: (f.algorithm, s) for s, f in _facts(records) if isinstance(f, PublicKey)}


def _attempt(records: tuple[Record, ...]) -> Attempt:
    (found,) = [record for record in records if isinstance(record, Attempt)]
    return found


def _identity(key: asyncssh.SSHKey) -> str:
    """Return the identity of the key as `cryptography` sees it."""
    public = load_ssh_public_key(key.export_public_key("openssh"))
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


RSA = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
ED25519 = asyncssh.generate_private_key("ssh-ed25519")
P384 = asyncssh.generate_private_key("ecdsa-sha2-nistp384")


@pytest.mark.system
def test_classical_server_is_seen_as_classical() -> None:
    """An RSA server without hybrids: its key with its size, X25519 negotiated, no post-quantum preference."""
    with _server([RSA], ["curve25519-sha256", "diffie-hellman-group14-sha256", "ecdh-sha2-nistp256"]) as port:
        records, connections = _probe(port)
    assert connections == 1
    assert _attempt(records).outcome is Outcome.SEEN
    assert _attempt(records).reason == ""
    assert _endpoint(records).prefers_post_quantum is False
    assert _endpoint(records).versions == ("2.0",)
    assert _endpoint(records).software.startswith("AsyncSSH_")
    assert _keys(records) == {_identity(RSA): ("RSA-2048", Strength.NEGOTIATED)}
    assert _uses(records, Function.KEY_ESTABLISHMENT) == {
        "X25519": Strength.NEGOTIATED, "FFDH-2048": Strength.OFFERED, "ECDH-P-256": Strength.OFFERED,
    }  # fmt: skip
    assert _uses(records, Function.SIGNATURE) == {"RSA-2048": Strength.NEGOTIATED}
    assert {record.place for record in records} == {f"ssh://{HOST}:{port}"}


@pytest.mark.system
def test_hybrid_is_what_a_modern_client_gets_whatever_the_server_puts_first() -> None:
    """The client's order decides in SSH: a hybrid that the server lists last is what a present-day client gets."""
    with _server([ED25519], ["curve25519-sha256", "mlkem768x25519-sha256"]) as port:
        records, _ = _probe(port)
    assert _endpoint(records).prefers_post_quantum is True
    assert _uses(records, Function.KEY_ESTABLISHMENT) == {
        "mlkem768x25519-sha256": Strength.NEGOTIATED, "X25519": Strength.OFFERED,
    }  # fmt: skip
    assert _keys(records) == {_identity(ED25519): ("Ed25519", Strength.NEGOTIATED)}


@pytest.mark.system
def test_second_connection_asks_for_the_rsa_key() -> None:
    """Of several host keys the preferred one is shown first; a second and last connection learns the RSA key's size."""
    with _server([RSA, ED25519, P384], ["curve25519-sha256"]) as port:
        records, connections = _probe(port)
    assert connections == 2
    assert _keys(records) == {
        _identity(ED25519): ("Ed25519", Strength.NEGOTIATED),
        _identity(RSA): ("RSA-2048", Strength.OFFERED),
    }
    assert _uses(records, Function.SIGNATURE) == {
        "Ed25519": Strength.NEGOTIATED, "ECDSA-P-384": Strength.OFFERED, "RSA-2048": Strength.OFFERED,
    }  # fmt: skip


@pytest.mark.system
# the server's own library speaks of old groups so: that they are old is what the probe must find
@pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")
@pytest.mark.parametrize(
    "exchange",
    [
        "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "diffie-hellman-group1-sha1",
        "diffie-hellman-group14-sha256", "diffie-hellman-group15-sha512", "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512", "mlkem768x25519-sha256", "mlkem768nistp256-sha256", "mlkem1024nistp384-sha384",
    ],
)  # fmt: skip
def test_host_key_is_shown_whatever_the_only_key_exchange_is(exchange: str) -> None:
    """A server with one key exchange, the oldest or the newest, still shows its host key: the real server accepts
    our share. Where we hold the secret its signature is checked; else the key counts as offered, with the reason.
    """
    with _server([P384], [exchange]) as port:
        records, _ = _probe(port)
    proven = not exchange.startswith("diffie-hellman")
    assert ("shown but not proven" in _attempt(records).reason) is not proven
    assert _keys(records) == {_identity(P384): ("ECDSA-P-384", Strength.NEGOTIATED if proven else Strength.OFFERED)}
    assert set(_uses(records, Function.SIGNATURE).values()) == {Strength.NEGOTIATED if proven else Strength.OFFERED}
    assert _endpoint(records).prefers_post_quantum is exchange.startswith("mlkem")


@pytest.mark.system
def test_key_exchange_that_cannot_be_opened_leaves_the_lists_and_a_reason() -> None:
    """Group exchange needs one more message than we send: the lists are seen, the missing host key has its reason."""
    with _server([RSA], ["diffie-hellman-group-exchange-sha256"]) as port:
        records, connections = _probe(port)
    assert connections == 1
    assert _attempt(records).outcome is Outcome.SEEN
    assert "the host key stayed unknown" in _attempt(records).reason
    assert _uses(records, Function.SIGNATURE) == {"RSA": Strength.OFFERED}
    assert _uses(records, Function.KEY_ESTABLISHMENT) == {"FFDH": Strength.NEGOTIATED}


@contextmanager
def _says(octets: bytes) -> Iterator[int]:
    """Serve every connection with `octets`, then close it."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(octets)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("octets", "outcome", "words"),
    [
        (b"", Outcome.UNREADABLE, "closed"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Outcome.UNREADABLE, "closed"),
        (b"x" * 10_000, Outcome.NONE, "no SSH identification"),
        (b"SSH-2.0-old_1.0\r\n", Outcome.UNPARSABLE, "algorithms stayed unknown"),
        (b"SSH-2.0-old_1.0\r\n" + b"\xff" * 40, Outcome.UNPARSABLE, "no SSH packet"),
        (b"SSH-1.5-ancient\r\n", Outcome.UNPARSABLE, "version 1 only"),
        (b"SSH-2.0-busy\r\n" + packet(b"\x01\x00\x00\x00\x0c" + string(b"too many") + string(b"")),
         Outcome.UNPARSABLE, "too many"),
    ],
)  # fmt: skip
def test_what_is_no_ssh_is_never_seen(octets: bytes, outcome: Outcome, words: str) -> None:
    """Silence, garbage and half an answer end in exactly one attempt with its reason, and tell no algorithm."""
    with _says(octets) as port:
        records, _ = _probe(port)
    assert _attempt(records).outcome is outcome
    assert words in _attempt(records).reason
    assert not any(isinstance(fact, AlgorithmUse | PublicKey) for _, fact in _facts(records))
    assert all(fact.prefers_post_quantum is None for _, fact in _facts(records) if isinstance(fact, Endpoint))


def test_closed_port_is_unreachable() -> None:
    """Nobody listens: unreachable, and no observation."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    records, _ = _probe(port)
    assert [_attempt(records).outcome] == [Outcome.UNREACHABLE]
    assert len(records) == 1


def _transcript(key_exchanges: str, host_keys: str, shown: bytes = b"") -> bytes:
    lists = [key_exchanges, host_keys, *["aes128-ctr"] * 2, *["hmac-sha2-256"] * 2, "none", "none", "", ""]
    kexinit = bytes([KEXINIT]) + bytes(16) + b"".join(string(one.encode()) for one in lists) + bytes(5)
    reply = packet(b"\x1f" + string(shown) + string(bytes(32)) + string(b"")) if shown else b""
    return b"SSH-2.0-Model_1\r\n" + packet(kexinit) + reply


def _judged(octets: bytes) -> tuple[Record, ...]:
    probe, target = SshProbe(), _target(22)
    (job,) = probe.plan(target, ())
    talk = job.start()
    talk.receive(octets)
    return probe.judge(target, (Answer(job, talk, Ending.CLOSED),))


ED_BLOB = string(b"ssh-ed25519") + string(bytes(range(32)))


def test_unknown_names_are_never_safe_and_pseudo_names_are_no_algorithms() -> None:
    """A name we do not know stays unknown even if it reads like one that is safe; signals in the list are left out."""
    octets = _transcript("X25519MLKEM768,kyber-thing@example,kex-strict-s-v00@openssh.com,ext-info-s", "LMS")
    records = _judged(octets)
    assert _endpoint(records).prefers_post_quantum is None
    assert _uses(records, Function.KEY_ESTABLISHMENT) == {
        "ssh:X25519MLKEM768": Strength.OFFERED, "kyber-thing@example": Strength.OFFERED,
    }  # fmt: skip
    assert _uses(records, Function.SIGNATURE) == {"ssh:LMS": Strength.OFFERED}


def test_another_key_than_asked_for_is_not_taken() -> None:
    """A server that shows a key of another type than agreed is told so in the reason, and the key is not recorded."""
    records = _judged(_transcript("curve25519-sha256", "ecdsa-sha2-nistp256", ED_BLOB))
    assert _keys(records) == {}
    assert "showed a key of type Ed25519" in _attempt(records).reason


@given(
    st.lists(st.binary(max_size=300), max_size=8),
    st.sampled_from([b"", b"SSH-2.0-x\r\n", _transcript("curve25519-sha256", "ssh-ed25519", ED_BLOB)]),
)
@settings(max_examples=100, deadline=None)
def test_receive_never_raises_on_random_octets(pieces: list[bytes], before: bytes) -> None:
    """Whatever comes, in whatever pieces, ends in exactly one attempt."""
    probe, target = SshProbe(), _target(22)
    (job,) = probe.plan(target, ())
    talk = job.start()
    for piece in (before, *pieces):
        assert isinstance(talk.receive(piece), bytes)
    answers = (Answer(job, talk, Ending.CLOSED),)
    assert len(probe.plan(target, answers)) <= 1
    assert isinstance(_attempt(probe.judge(target, answers)), Attempt)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_mutated_transcripts_never_raise(choices: st.DataObject) -> None:
    """A real transcript with octets changed, cut and split anywhere never raises, and never makes a second attempt."""
    octets = bytearray(_transcript("mlkem768x25519-sha256,curve25519-sha256", "ssh-ed25519,ssh-rsa", ED_BLOB))
    for at, value in choices.draw(
        st.dictionaries(st.integers(0, len(octets) - 1), st.integers(0, 255), max_size=4)
    ).items():
        octets[at] = value
    records = _judged(bytes(octets[: choices.draw(st.integers(0, len(octets)))]))
    assert isinstance(_attempt(records), Attempt)


def test_pieces_do_not_matter() -> None:
    """A transcript that comes octet by octet says the same as one that comes whole."""
    octets = _transcript("mlkem768x25519-sha256", "ssh-ed25519", ED_BLOB)
    probe, target = SshProbe(), _target(22)
    (job,) = probe.plan(target, ())
    talk = job.start()
    for octet in octets:
        talk.receive(bytes([octet]))
    assert probe.judge(target, (Answer(job, talk, Ending.CLOSED),)) == _judged(octets)
    assert _attempt(_judged(octets)).outcome is Outcome.SEEN


SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.mark.system
@pytest.mark.skipif(SSHD is None, reason="OpenSSH's sshd is not installed (Debian: openssh-server)")
def test_openssh_server(tmp_path: Path) -> None:
    """OpenSSH's own server, unprivileged on a free port: its software, its key as ssh-keygen made it, its hybrids."""
    key = tmp_path / "host_key"
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd drops its rights: made at boot, which a container has not
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    options = [f"-oHostKey={key}", f"-oPidFile={tmp_path / 'pid'}", "-oUsePAM=no", f"-oListenAddress={HOST}"]
    daemon = subprocess.Popen(
        [str(SSHD), "-D", "-e", "-f", "/dev/null", f"-p{port}", *options], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            records, _connections = _probe(port)
            if _attempt(records).outcome is not Outcome.UNREACHABLE:
                break
            time.sleep(0.1)
    finally:
        daemon.terminate()
        daemon.wait()
    public = load_ssh_public_key((tmp_path / "host_key.pub").read_bytes())
    identity = hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    assert _keys(records) == {identity: ("Ed25519", Strength.NEGOTIATED)}
    assert _endpoint(records).software.startswith("OpenSSH_")
    assert _attempt(records).outcome is Outcome.SEEN


def _packets(octets: bytes) -> list[int]:
    """Return the message numbers of the packets."""
    numbers = []
    while octets:
        found = first_packet(octets)
        assert found is not None
        numbers.append(found[0][0])
        octets = found[1]
    return numbers


@pytest.mark.system
def test_what_is_sent_is_what_the_guide_says() -> None:
    """Two connections at most; on each our identification, our lists, one key exchange message, and a goodbye."""
    sent: list[list[bytes]] = []
    with _server([RSA, ED25519, P384], ["mlkem768x25519-sha256", "curve25519-sha256"]) as port:
        _, connections = _probe(port, sent)
    assert connections == len(sent) == 2
    for said in sent:
        assert said[0] == b"SSH-2.0-keystrand\r\n"
        assert _packets(b"".join(said[1:])) == [KEXINIT, KEX_INIT, DISCONNECT]
    guide = (Path(__file__).parents[3] / "docs" / "howto" / "scan.md").read_text()
    assert "SSH: at most 2 connections" in guide


@pytest.mark.system
@pytest.mark.parametrize(
    ("mode", "kinds"),
    [(ScanMode.QUICK, {"Ed25519"}), (ScanMode.STANDARD, {"Ed25519", "RSA-2048"}),
     (ScanMode.FULL, {"Ed25519", "RSA-2048", "ECDSA-P-384"})],
)  # fmt: skip
def test_each_mode_asks_for_the_keys_that_it_should(mode: ScanMode, kinds: set[str]) -> None:
    """Quick takes the first key, standard the RSA key too, full every kind of key; one connection for each."""
    with _server([RSA, ED25519, P384], ["curve25519-sha256"]) as port:
        probe, target = SshProbe(), replace(_target(port), mode=mode)
        answers: tuple[Answer, ...] = ()
        while jobs := probe.plan(target, answers):
            answers += tuple(_ask(job, [], _as_it_is) for job in jobs)
    records = probe.judge(target, answers)
    assert {algorithm for algorithm, _ in _keys(records).values()} == kinds
    assert len(answers) == len(kinds)
    assert (_attempt(records).outcome, _attempt(records).reason) == (Outcome.SEEN, "")


@pytest.mark.parametrize(
    ("key_exchanges", "supports", "negotiates"),
    [
        ("mlkem768x25519-sha256,curve25519-sha256", True, True),
        ("curve25519-sha256,mlkem1024nistp384-sha384", True, False),
        ("curve25519-sha256,diffie-hellman-group14-sha256", False, False),
        ("sntrup761x25519-sha512@openssh.com,curve25519-sha256", None, None),
        ("sntrup761x25519-sha512,mlkem768x25519-sha256", True, True),
    ],
)
def test_support_and_what_a_client_gets_are_told_apart(
    key_exchanges: str, *, supports: bool | None, negotiates: bool | None
) -> None:
    """sntrup761 is named, and no standard names it: it is neither a yes nor a no."""
    end = _endpoint(_judged(_transcript(key_exchanges, "ssh-ed25519")))
    assert (end.supports_post_quantum, end.negotiates_post_quantum) == (supports, negotiates)


def _with_another_cookie(octets: bytes) -> bytes:
    """Change the server's lists in transit, where nobody but the signature notices."""
    at = octets.find(bytes([KEXINIT]), octets.find(b"\n") + 1 if octets.startswith(b"SSH-") else 0)
    is_lists = b"curve25519-sha256" in octets and b"hmac" in octets
    return octets[: at + 1] + bytes(16) + octets[at + 17 :] if is_lists else octets


@pytest.mark.system
@pytest.mark.parametrize("key", [RSA, ED25519, P384], ids=["rsa", "ed25519", "ecdsa"])
def test_a_signature_over_something_else_proves_no_key(key: asyncssh.SSHKey) -> None:
    """A server that shows a key and a signature that is not over this very exchange has no host key recorded."""
    with _server([key], ["curve25519-sha256"]) as port:
        records, _ = _probe(port, change=_with_another_cookie)
    assert _keys(records) == {}
    assert set(_uses(records, Function.SIGNATURE).values()) == {Strength.OFFERED}
    assert _attempt(records).outcome is Outcome.SEEN
    assert "signature is not by the host key it shows" in _attempt(records).reason


def test_a_key_with_a_signature_of_another_algorithm_is_not_taken() -> None:
    """The signature must be of the algorithm that was agreed (RFC 8332, 3)."""
    peer = x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()
    reply = packet(b"\x1f" + string(ED_BLOB) + string(peer) + string(string(b"ssh-rsa") + string(bytes(64))))
    records = _judged(_transcript("curve25519-sha256", "ssh-ed25519") + reply)
    assert _keys(records) == {}
    assert "another algorithm than ssh-ed25519" in _attempt(records).reason


def test_a_signature_that_cannot_be_checked_leaves_the_key_offered() -> None:
    """Keys held by a token sign in a form that we do not check: the key is told as offered, with the reason."""
    kind = b"sk-ssh-ed25519@openssh.com"
    blob = string(kind) + string(bytes(range(32))) + string(b"ssh:")
    peer = x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()
    reply = packet(b"\x1f" + string(blob) + string(peer) + string(string(kind) + string(bytes(64))))
    records = _judged(_transcript("curve25519-sha256", kind.decode()) + reply)
    assert [strength for _, strength in _keys(records).values()] == [Strength.OFFERED]
    assert _uses(records, Function.SIGNATURE) == {"Ed25519": Strength.OFFERED}
    assert "shown but not proven" in _attempt(records).reason
