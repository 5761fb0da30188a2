"""The privileged part: who may speak to it, what it may be told, and what it does alone."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from keystrand.crypto.secret import Secret
from keystrand.edge.agent.config import load_agent
from keystrand.edge.agent.frames import framed
from keystrand.edge.agent.installer import Ask, Installed, Installer, user_of, wait_for
from keystrand.edge.agent.journal import Journal, steady_s
from keystrand.edge.consumers.base import ConsumerFailure, NewKey
from keystrand.edge.files import demand_own
from keystrand.keys.agent_memory import Memory, Note
from keystrand.model.errors import InvalidInput, PolicyDenied, StoreFailure

from .site import HERE, wait_until
from .test_agent_config import FILE

Make = Callable[..., Installer]
KEY = bytes(range(32))


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Return what makes a running installer of a consumer that is a folder."""
    monkeypatch.syspath_prepend(HERE)
    made: list[Installer] = []

    def make(
        settings: str = f"folder = '{tmp_path / 'ours'}'\nother = '{tmp_path / 'theirs'}'",
        extra: str = "",
        max_age_s: float = 120,
    ) -> Installer:
        file = tmp_path / "agent.toml"
        text = FILE.replace('"json.tool"', '"own_consumers.folder"').replace('device = "wg0"', settings)
        text = text.replace("rotate_every_s = 60", f"rotate_every_s = {max_age_s / 2}\n{extra}")
        file.write_text(text.replace("max_age_s = 120", f"max_age_s = {max_age_s}"))
        made.append(Installer(load_agent(file), file))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.close()


def _client(folder: Path) -> Installed:
    return Installed(folder / "installer.sock", "door", 5)


def _key(key_id: str) -> NewKey:
    return NewKey(key_id, "qkd", Secret(KEY))


def test_four_verbs_reach_the_consumer(make: Make, tmp_path: Path) -> None:
    """Prepare, install, prove, retire: by the consumer's id, with its own answers."""
    make()
    client = _client(tmp_path)
    client.prepare()
    assert (tmp_path / "ours" / "guard").exists()
    client.install(_key("k1"))
    assert (tmp_path / "ours" / "k1.key").read_bytes() == KEY
    assert not client.prove("k1").in_use
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "k1.key").write_bytes(KEY)
    assert client.prove("k1").in_use
    client.retire("k1")
    client.retire("k1")
    assert list((tmp_path / "ours").glob("*.key")) == []
    client.close()


def test_a_failure_is_told_in_the_consumers_words(make: Make, tmp_path: Path) -> None:
    """And a defect of the consumer's own, only by its kind: its message might hold what it was given."""
    make()
    client = _client(tmp_path)
    client.prepare()
    (tmp_path / "ours" / "stop-install").touch()
    with pytest.raises(ConsumerFailure, match="told not to install"):
        client.install(_key("k1"))
    (tmp_path / "ours" / "stop-install").unlink()
    with pytest.raises(ConsumerFailure, match=r"install failed: ValueError\Z"):
        client.install(_key("\0"))
    client.install(_key("k2"))
    client.close()


def test_no_other_consumer_verb_or_key_is_taken(make: Make, tmp_path: Path) -> None:
    """An unknown id is told; an unknown verb, or a key where none belongs, ends the connection."""
    make()
    stranger = Installed(tmp_path / "installer.sock", "window", 5)
    with pytest.raises(ConsumerFailure, match="no consumer 'window'"):
        stranger.retire("k")
    stranger.close()
    for sent in (
        framed({"verb": "run", "consumer": "door"}),
        framed({"verb": "retire", "consumer": "door", "command": "sh"}),
        framed(Ask(verb="install", consumer="door", key_id="k", octets=100_000)),
        framed(Ask(verb="prove", consumer="door", key_id="k", octets=32)) + KEY,
    ):
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(5)
            stream.connect(str(tmp_path / "installer.sock"))
            stream.sendall(sent)
            with suppress(ConnectionResetError):
                assert stream.recv(100) == b""


def test_a_key_that_nobody_replaces_is_retired_at_its_age(make: Make, tmp_path: Path) -> None:
    """Without any agent: the time of the policy is over, and so is the key."""
    make(extra="wait_s = 0.1", max_age_s=0.8)
    client = _client(tmp_path)
    client.prepare()
    client.install(_key("k1"))
    client.close()
    time.sleep(0.4)
    assert (tmp_path / "ours" / "k1.key").exists()
    wait_until(lambda: not (tmp_path / "ours" / "k1.key").exists(), 5, "it serves on")


def test_a_key_whose_installation_failed_half_way_ends_at_its_age(make: Make, tmp_path: Path) -> None:
    """It may be in place all the same, and the agent may be gone by then."""
    make(extra="wait_s = 0.1", max_age_s=0.8)
    client = _client(tmp_path)
    client.prepare()
    (tmp_path / "ours" / "stop-installed").touch()
    with pytest.raises(ConsumerFailure, match="told not to installed"):
        client.install(_key("k1"))
    client.close()
    assert (tmp_path / "ours" / "k1.key").exists()
    wait_until(lambda: not (tmp_path / "ours" / "k1.key").exists(), 5, "it serves on")


def test_a_new_installer_ends_what_one_before_it_left(make: Make, tmp_path: Path) -> None:
    """Neither the agent nor its installer lived on: by the journal an old key goes at its age, behind a guard."""
    journal, ours, now = Journal(tmp_path / "journal"), tmp_path / "ours", steady_s()
    journal.open()
    held = tuple(Note(key_id=name, label="qkd", born_s=now - age_s) for name, age_s in (("old", 60), ("new", 0)))
    journal.write("door", "initiator", Memory(held=held, proven=held[1], proved_s=now))
    journal.close()
    ours.mkdir()
    for note in held:
        (ours / f"{note.key_id}.key").write_bytes(KEY)
    make(extra="wait_s = 0.1", max_age_s=3)
    wait_until(lambda: not (ours / "old.key").exists(), 5, "it serves on")
    assert (ours / "guard").exists()
    assert (ours / "new.key").exists() or steady_s() > now + 3
    wait_until(lambda: not (ours / "new.key").exists(), 10, "it serves on")
    assert steady_s() > now + 3


def test_a_journal_that_cannot_be_read_stops_no_installer(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The agent must be able to go on; that keys in place are not known is told."""
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "door.json").write_text("{")
    make()
    assert "keys in place are not known" in caplog.text
    client = _client(tmp_path)
    client.prepare()
    client.close()


def test_settings_that_are_wrong_are_told_with_their_field(make: Make) -> None:
    """The kind names the field; the file and the consumer's place are added. Nothing listens then."""
    with pytest.raises(InvalidInput, match=r"are not those of a own_consumers\.folder") as caught:
        make(settings="folder = '/x'")
    assert caught.value.problems[0].field == "consumer[0].settings.other"


def test_one_installer_at_a_place(make: Make, tmp_path: Path) -> None:
    """A second is refused; a socket that a kill left behind is no hindrance; none at all is told with the next step."""
    first = make()
    with pytest.raises(StoreFailure, match="an installer listens there already"):
        make()
    first.close()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "installer.sock"))
    dead.close()
    make()
    client = _client(tmp_path)
    client.prepare()
    client.close()
    with pytest.raises(ConsumerFailure, match="no installer listens at") as caught:
        wait_for(tmp_path / "none.sock", 0.0)
    assert "keystrand agent installer" in caught.value.hint


def test_a_file_that_others_can_change_is_refused(tmp_path: Path) -> None:
    """The tables are the installer's own: neither the file nor its folder may be writable by anybody else."""
    folder = tmp_path / "own"
    folder.mkdir(mode=0o755)
    file = folder / "agent.toml"
    file.write_text("")
    file.chmod(0o640)
    demand_own(file)
    for place, mode in ((file, 0o660), (file, 0o606), (folder, 0o777)):
        before = place.stat().st_mode
        place.chmod(mode)
        with pytest.raises(PolicyDenied, match="can be changed by others") as caught:
            demand_own(file)
        assert "chmod go-w" in caught.value.hint
        place.chmod(before)


def test_a_user_that_is_not_there_is_told() -> None:
    """With the command that makes it."""
    with pytest.raises(InvalidInput, match="there is no user 'nobody-at-all'") as caught:
        user_of("nobody-at-all")
    assert "useradd" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try as somebody else")
def test_another_user_is_nobody_even_where_the_file_system_lets_it_in(make: Make, tmp_path: Path) -> None:
    """The kernel says who is at the other end of the socket; its mode is only the first of two doors."""
    make()
    path = tmp_path / "installer.sock"
    assert path.stat().st_mode & 0o177 == 0
    path.chmod(0o777)
    tmp_path.chmod(0o755)
    script = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(5); os.chdir(sys.argv[1]);"
        "os.setuid(65534); s.connect('installer.sock'); s.sendall(bytes.fromhex(sys.argv[2])); print(s.recv(100))"
    )
    asked = framed(Ask(verb="prepare", consumer="door")).hex()
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), asked], capture_output=True, text=True, check=False
    )
    cut_off = any(error in done.stderr for error in ("ConnectionResetError", "BrokenPipeError"))
    assert done.stdout.strip() == "b''" or cut_off, done.stderr
    assert not (tmp_path / "ours").exists()
