"""Two HAProxies with ticket keys of ours: what begins at one is resumed at the other, as long as the key lasts."""

import os
import shutil
import socket
import ssl
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.edge.consumers.test_file_consumer import Named, Wanted, free_port, listens, needs, some_key

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.base import ConsumerFailure, NewKey, Role
from keystrand.edge.consumers.haproxy import make
from keystrand.edge.daemons import Daemon, Daemons
from keystrand.edge.pki import Kind, issue_pki
from keystrand.model.errors import InvalidInput

pytestmark = pytest.mark.system


class Site:
    """One HAProxy, its consumer, and a client that comes to it."""

    def __init__(self, folder: Path, care: Daemons, pem: Path, *, tls: str) -> None:
        folder.mkdir()
        self.port, control, keys = free_port(), folder / "control", folder / "ticket-keys"
        (folder / "conf").write_text(
            f"global\n stats socket {control} mode 600 level admin\ndefaults\n mode http\n timeout client 5s\n"
            f" timeout server 5s\n timeout connect 5s\nfrontend f\n bind 127.0.0.1:{self.port} ssl crt {pem} "
            f"tls-ticket-keys {keys} ssl-min-ver {tls} ssl-max-ver {tls}\n"
            f" http-request return status 200 content-type text/plain string here\n"
        )
        wanted: Wanted = {"socket": str(control), "keys_file": str(keys), "frontend": f"127.0.0.1:{self.port}"}
        self.consumer = make(wanted, Role.RESPONDER)
        self.consumer.prepare()
        command: list[str | Path] = [shutil.which("haproxy", path="/usr/sbin") or "", "-db", "-f", folder / "conf"]
        self.daemon = Daemon(command, folder / "log")
        care.add(self.daemon)
        self.daemon.start(lambda: listens(self.port)() and control.exists())

    def visit(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> tuple[bool, ssl.SSLSession]:
        """Return whether the session was resumed, and the session to come back with."""
        line = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        with context.wrap_socket(line, server_hostname="x", session=session) as tls:
            tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"200 OK" in tls.recv(4096)
            assert tls.session
            return bool(tls.session_reused), tls.session


@pytest.fixture
def care() -> Iterator[Daemons]:
    """End what a test starts."""
    with Daemons() as started:
        yield started


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def sites(request: pytest.FixtureRequest, tmp_path: Path, care: Daemons) -> tuple[Site, Site]:
    """Two sites with one certificate."""
    needs("haproxy")
    files = issue_pki(tmp_path / "pki", kmes=["k"], saes=[], modules=[], days=1, now=datetime.now(UTC)).of(
        Kind.KME, "k"
    )
    pem = tmp_path / "both.pem"
    pem.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    return Site(tmp_path / "a", care, pem, tls=request.param), Site(tmp_path / "b", care, pem, tls=request.param)


@pytest.fixture
def client() -> ssl.SSLContext:
    """A client that keeps sessions."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def both(sites: tuple[Site, Site]) -> Named:
    """Give both sites a new key."""
    key = some_key()
    for site in sites:
        site.consumer.install(key.new)
    return key


def test_a_session_is_resumed_at_the_other_site(sites: tuple[Site, Site], client: ssl.SSLContext) -> None:
    """Ten changes: each proven by a ticket's name, resumed elsewhere, the ticket before still good until retired."""
    a, b = sites
    _, first = a.visit(client)
    assert b.visit(client, first)[0] is False
    old, old_session = both(sites), None
    for _ in range(10):
        new = both(sites)
        assert a.consumer.prove(new.key_id).in_use
        assert b.consumer.prove(new.key_id).shown_by == "a ticket made now names the key"
        assert not a.consumer.prove(old.key_id).in_use
        _, session = a.visit(client)
        assert b.visit(client, session)[0] is True
        if old_session:
            assert b.visit(client, old_session)[0] is True
            b.consumer.retire(old.key_id)
            assert b.visit(client, old_session)[0] is False
            assert b.visit(client, session)[0] is True
        a.consumer.retire(old.key_id)
        b.consumer.retire(old.key_id)
        old, old_session = new, session


def test_without_a_key_nothing_is_resumed_and_nothing_fails(sites: tuple[Site, Site], client: ssl.SSLContext) -> None:
    """The last key goes: its tickets open nothing at either site, requests are answered all the same."""
    a, b = sites
    key = both(sites)
    _, session = a.visit(client)
    for site in sites:
        site.consumer.retire(key.key_id)
        site.consumer.retire(key.key_id)
    assert a.visit(client, session)[0] is False
    assert b.visit(client, session)[0] is False
    assert not a.consumer.prove(key.key_id).in_use


def test_an_agent_that_starts_again_trusts_no_key(sites: tuple[Site, Site], client: ssl.SSLContext) -> None:
    """What it cannot know is replaced by random keys; the next changeover works."""
    a, _ = sites
    key = both(sites)
    _, session = a.visit(client)
    again = make(
        {
            "socket": str(a.consumer._settings.socket),
            "keys_file": a.consumer._settings.keys_file,
            "frontend": f"127.0.0.1:{a.port}",
        },
        Role.RESPONDER,
    )
    again.prepare()
    assert a.visit(client, session)[0] is False
    assert not again.prove(key.key_id).in_use
    new = some_key()
    again.install(new.new)
    assert again.prove(new.key_id).in_use


def test_the_key_itself_is_nowhere(sites: tuple[Site, Site]) -> None:
    """Neither HAProxy nor its file get the QKD key; the file holds random keys alone, and is its owner's."""
    a, _ = sites
    key = NewKey(str(uuid.uuid4()), "qkd", Secret(os.urandom(32)))
    a.consumer.install(key)
    keys = Path(a.consumer._settings.keys_file)
    assert keys.stat().st_mode & 0o077 == 0
    assert len(keys.read_text().splitlines()) == 3
    told = a.consumer._asked(bytearray(f"show tls-keys {keys}\n".encode()))
    assert len(told) > 100
    assert key.octets.view().hex() not in told


def test_a_haproxy_that_is_away_is_told(sites: tuple[Site, Site]) -> None:
    """Install and proof fail with the next step, and work again when it is back."""
    a, _ = sites
    key = some_key()
    a.daemon.stop()
    with pytest.raises(ConsumerFailure, match="is not reached") as caught:
        a.consumer.install(key.new)
    assert "stats socket" in caught.value.hint
    a.daemon.start(listens(a.port))
    time.sleep(0.05)
    a.consumer.install(key.new)
    assert a.consumer.prove(key.key_id).in_use


@pytest.mark.parametrize(
    ("further", "field"),
    [
        ({"socket": "run/x"}, "socket"),
        ({"keys_file": "/run/a; show env"}, "keys_file"),
        ({"frontend": "443"}, "frontend"),
        ({"frontend": "x:0"}, "frontend"),
        ({"frontent": "x:1"}, "frontent"),
    ],
)
def test_settings_that_are_wrong_are_told_by_their_field(further: Wanted, field: str) -> None:
    """Also a path that would be more than one word of HAProxy's commands."""
    with pytest.raises(InvalidInput) as caught:
        make({"socket": "/run/s", "keys_file": "/run/k", "frontend": "127.0.0.1:443", **further}, Role.INITIATOR)
    assert field in {problem.field for problem in caught.value.problems}
