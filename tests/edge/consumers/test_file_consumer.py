"""Keys in a file that another program reads again: nbdkit, qemu-nbd, mosquitto and stunnel themselves are keyed."""

import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Role
from keystrand.edge.consumers.file_reload import FileReload, make
from keystrand.edge.daemons import Daemon, Daemons
from keystrand.edge.files import temporary_of
from keystrand.model.errors import InvalidInput, MissingInput

pytestmark = pytest.mark.system

Wanted = dict[str, str | int | float | bool]


class Named(NamedTuple):
    """A key as a peer holds it."""

    key_id: str
    octets: bytes

    @property
    def new(self) -> NewKey:
        """Return it as the agent gives it."""
        return NewKey(self.key_id, "qkd", Secret(self.octets))


def some_key() -> Named:
    """Return a fresh key."""
    return Named(str(uuid.uuid4()), os.urandom(32))


@pytest.fixture
def care() -> Iterator[Daemons]:
    """End what a test starts."""
    with Daemons() as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on a tmpfs."""
    place = Path("/dev/shm") / f"keystrand-{tmp_path.name}-{os.getpid()}"  # noqa: S108 - a folder of the test's own
    place.mkdir()
    yield place
    shutil.rmtree(place)


def consumer(file: Path, **further: str) -> FileReload:
    """Return a prepared consumer of `file`."""
    wanted: Wanted = {"path": str(file), "prove": "read", "cut": "none", **further}
    made = make(wanted, Role.RESPONDER)
    made.prepare()
    return made


def ids(file: Path) -> list[str]:
    """Return the identities in a file."""
    return [line.partition(":")[0] for line in file.read_text().splitlines()]


def free_port() -> int:
    """Return a port that is free now, and that the system gives to no connection going out (ip_local_port_range)."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def listens(port: int) -> Callable[[], bool]:
    """Return what says whether somebody listens at `port`."""

    def look() -> bool:
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", port)) == 0

    return look


def needs(*programs: str) -> None:
    """Skip where one is not installed."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if missing := [name for name in programs if shutil.which(name, path=path) is None]:
        pytest.skip(f"needs {' and '.join(missing)}")


# The file


def test_old_beside_new_until_retired(folder: Path) -> None:
    """The newest stands first; a retired key is gone; in place of the last one stands a key of nobody's."""
    file, one, two = folder / "keys.psk", some_key(), some_key()
    made = consumer(file)
    (nobody,) = ids(file)
    for _ in range(2):
        made.install(one.new)
        assert ids(file) == [one.key_id]
    made.install(two.new)
    assert file.read_text().splitlines() == [f"{key.key_id}:{key.octets.hex()}" for key in (two, one)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for key in (one, one, two):
        made.retire(key.key_id)
    (another,) = ids(file)
    assert another[:24] == nobody[:24] == "00000000-0000-0000-0000-"
    assert another != nobody
    assert [name.name for name in folder.iterdir()] == ["keys.psk"]


def test_what_a_kill_left_behind_is_removed_and_keys_stay(folder: Path) -> None:
    """A new start finds the keys that serve, and no half-written file with keys."""
    file, key = folder / "keys.psk", some_key()
    consumer(file).install(key.new)
    temporary_of(file).write_text("half a key")
    again = consumer(file)
    assert not temporary_of(file).exists()
    assert key.key_id in ids(file)
    again.retire(key.key_id)
    assert key.key_id not in ids(file)


def test_a_file_that_is_not_ours_is_left_alone(folder: Path) -> None:
    """A line that another wrote might be a way in: neither used nor overwritten."""
    file = folder / "keys.psk"
    for text in ("backup-operator:00112233445566778899aabbccddeeff\n", "no key\n", f"{uuid.uuid4()}:0011\n"):
        file.write_text(text)
        with pytest.raises(ConsumerFailure, match="did not write") as caught:
            consumer(file)
        assert "0011" not in str(caught.value)
        assert file.read_text() == text


def test_a_link_in_the_place_of_the_file_is_refused(folder: Path) -> None:
    """What stands elsewhere is not read."""
    (folder / "elsewhere").write_text(f"{uuid.uuid4()}:{'00' * 32}\n")
    (folder / "keys.psk").symlink_to(folder / "elsewhere")
    with pytest.raises(ConsumerFailure, match="cannot be read"):
        consumer(folder / "keys.psk")


def test_where_the_program_cannot_be_told_nothing_has_changed(folder: Path) -> None:
    """A reload that fails puts the file back as it was; the new key is in no message."""
    file, one, two = folder / "keys.psk", some_key(), some_key()
    consumer(file).install(one.new)
    before = file.read_bytes()
    for further in ({"reload": "false"}, {"reload": "/no/such/program"}, {"pid_file": "/no/such/pid"}):
        with pytest.raises(ConsumerFailure) as caught:
            consumer(file, **further).install(two.new)
        assert two.octets.hex() not in str(caught.value)
        assert file.read_bytes() == before


def test_proof_comes_from_who_reads(folder: Path) -> None:
    """Not read is not proven; once another has read the file it is; our own readings do not count."""
    file, key = folder / "keys.psk", some_key()
    made = consumer(file)
    assert made.prove(key.key_id).shown_by == "the file does not hold it"
    made.install(key.new)
    for _ in range(2):
        assert not made.prove(key.key_id).in_use
    file.read_bytes()
    proof = made.prove(key.key_id)
    assert proof.in_use
    assert "which key it uses is not visible" in proof.shown_by


def test_proof_by_a_command(folder: Path) -> None:
    """Its exit code decides and its word is kept; it is given the key's name and nothing else."""
    key = some_key()
    asks = f"sh -c 'test $1 = {key.key_id} && echo session $1' -- {{key_id}}"
    made = consumer(folder / "keys.psk", prove=asks)
    made.install(key.new)
    assert made.prove(key.key_id) == made.prove(key.key_id)
    assert made.prove(key.key_id).shown_by == f"session {key.key_id}"
    other = some_key()
    made.install(other.new)
    refused = made.prove(other.key_id)
    assert not refused.in_use
    assert "ended with 1" in refused.shown_by


def test_what_is_open_is_cut_with_the_last_key_alone(folder: Path) -> None:
    """The command runs when no key is left, not before; and again where a crash may have come in between."""
    mark, one, two = folder / "cut", some_key(), some_key()
    made = consumer(folder / "keys.psk", cut=f"touch {mark}")
    made.install(one.new)
    made.install(two.new)
    made.retire(one.key_id)
    assert not mark.exists()
    for _ in range(2):
        made.retire(two.key_id)
        assert mark.exists()
        mark.unlink()


@pytest.mark.parametrize(
    ("further", "field"),
    [
        ({"path": "keys.psk"}, "path"),
        ({"path": 7}, "path"),
        ({"prove": ""}, "prove"),
        ({"cut": ""}, "cut"),
        ({"reload": "true", "pid_file": "/x"}, "pid_file"),
        ({"owner": "nobody-at-all"}, "owner"),
        ({"reloud": "true"}, "reloud"),
    ],
)
def test_settings_that_are_wrong_are_told_by_their_field(further: Wanted, field: str) -> None:
    """Each with the field and the next step."""
    with pytest.raises(InvalidInput) as caught:
        make({"path": "/run/x/keys.psk", "prove": "read", "cut": "none", **further}, Role.INITIATOR)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert problem.hint


def test_settings_without_a_default_must_be_there() -> None:
    """How a key is proven and what becomes of open connections is the operator's to say."""
    with pytest.raises(InvalidInput) as caught:
        make({"path": "/run/x/keys.psk"}, Role.INITIATOR)
    assert len(caught.value.problems) >= 1
    assert "prove" in str(caught.value.problems) + str(caught.value)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With the next step."""
    with pytest.raises(MissingInput, match="does not exist"):
        consumer(tmp_path / "no" / "keys.psk")


# The programs


def copies(port: int, folder: Path, key: Named) -> bool:
    """Return whether a client with this key reads the disk."""
    client = folder / "client"
    client.mkdir(exist_ok=True)
    (client / "keys.psk").write_text(f"{key.key_id}:{key.octets.hex()}\n")
    uri = f"nbds://{key.key_id}@127.0.0.1:{port}/?tls-psk-file={client / 'keys.psk'}"
    done = subprocess.run(["nbdinfo", "--size", uri], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout == "1048576\n"


@pytest.mark.parametrize("server", ["nbdkit", "qemu-nbd"])
def test_block_devices_change_keys_without_a_signal(server: str, folder: Path, care: Daemons) -> None:
    """Ten changes: each new key opens at once, the one before until it is retired, and then no more."""
    needs(server, "nbdinfo")
    file, port, disk = folder / "keys.psk", free_port(), folder / "disk"
    disk.write_bytes(bytes(1 << 20))
    commands: dict[str, list[str | Path]] = {
        "nbdkit": ["nbdkit", "-f", "-p", str(port), "-i", "127.0.0.1", "--tls=require", f"--tls-psk={file}",
                   "file", disk],
        "qemu-nbd": ["qemu-nbd", "-f", "raw", "-t", "-e", "8", "-b", "127.0.0.1", "-p", str(port), "--object",
                     f"tls-creds-psk,id=t,endpoint=server,dir={folder}", "--tls-creds", "t", disk],
    }  # fmt: skip
    made = consumer(file)
    daemon = Daemon(commands[server], folder / "log")
    care.add(daemon)
    daemon.start(listens(port))
    old = some_key()
    made.install(old.new)
    for _ in range(10):
        new = some_key()
        made.install(new.new)
        assert copies(port, folder, new)
        assert copies(port, folder, old)
        assert made.prove(new.key_id).in_use
        made.retire(old.key_id)
        assert not copies(port, folder, old)
        old = new
    assert not copies(port, folder, Named(old.key_id, bytes(32)))
    made.retire(old.key_id)
    assert not copies(port, folder, old)


def test_mosquitto_changes_keys_by_sighup(folder: Path, care: Daemons) -> None:
    """Publishing works under the new key and the one before, and not under a retired one."""
    needs("mosquitto", "mosquitto_pub")
    file, port, pid = folder / "keys.psk", free_port(), folder / "pid"
    (folder / "conf").write_text(
        f"listener {port} 127.0.0.1\npsk_hint keystrand\npsk_file {file}\nuse_identity_as_username true\n"
        f"allow_anonymous false\npid_file {pid}\nuser root\n"
    )

    def publishes(key: Named) -> bool:
        words = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "--psk", key.octets.hex(), "--psk-identity"]
        done = subprocess.run([*words, key.key_id, "-t", "x", "-m", "y"], capture_output=True, timeout=30, check=False)
        return done.returncode == 0

    consumer(file)
    daemon = Daemon([shutil.which("mosquitto", path="/usr/sbin:/usr/bin") or "", "-c", folder / "conf"], folder / "log")
    care.add(daemon)
    daemon.start(lambda: listens(port)() and pid.exists())
    made = consumer(file, reload=f"{sys.executable} -c 'import os,time; os.kill({daemon.pid}, 1); time.sleep(.1)'")
    one, two = some_key(), some_key()
    made.install(one.new)
    assert publishes(one)
    assert made.prove(one.key_id).in_use
    made.install(two.new)
    assert publishes(one)
    assert publishes(two)
    made.retire(one.key_id)
    assert not publishes(one)
    made.retire(two.key_id)
    assert not publishes(two)


def test_stunnel_changes_keys_by_sighup(folder: Path, care: Daemons) -> None:
    """OpenSSL's client is let in under the new key and the one before, and not under a retired one."""
    needs("stunnel", "openssl")
    file, port, pid = folder / "keys.psk", free_port(), folder / "pid"
    (folder / "conf").write_text(
        f"foreground = yes\npid = {pid}\n[echo]\naccept = 127.0.0.1:{port}\nexec = /bin/cat\nexecArgs = cat\n"
        f"ciphers = PSK\nPSKsecrets = {file}\n"
    )
    consumer(file)
    daemon = Daemon([shutil.which("stunnel") or "", folder / "conf"], folder / "log")
    care.add(daemon)
    daemon.start(lambda: listens(port)() and pid.exists())
    made = consumer(file, pid_file=str(pid))

    def gets_in(key: Named) -> bool:
        words = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", "-no_ign_eof", "-tls1_3"]
        words += [
            "-psk",
            key.octets.hex(),
            "-psk_identity",
            key.key_id,
            "-ciphersuites",
            "TLS_CHACHA20_POLY1305_SHA256",
        ]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            assert child.stdin
            assert child.stdout
            child.stdin.write(b"hello\n")
            child.stdin.flush()
            heard = child.stdout.readline()
            child.send_signal(signal.SIGTERM)
        return heard == b"hello\n"

    def soon(key: Named, *, wanted: bool) -> bool:
        # the program takes note of a signal a moment later
        return any(gets_in(key) is wanted for _ in range(20))

    one, two = some_key(), some_key()
    made.install(one.new)
    assert soon(one, wanted=True)
    made.install(two.new)
    assert soon(two, wanted=True)
    assert gets_in(one)
    made.retire(one.key_id)
    assert soon(one, wanted=False)
    made.retire(two.key_id)
    assert soon(two, wanted=False)
