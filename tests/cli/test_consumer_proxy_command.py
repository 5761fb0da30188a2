"""`keystrand consumer proxy`: both sides as an operator starts them, and what it says of bad addresses."""

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.cli.conftest import Lab, Typed

pytestmark = pytest.mark.system


@contextmanager
def proxy(side: str, to: str, peer: str, lab: Lab, at: int) -> Iterator[subprocess.Popen[str]]:
    """Run one side as a process of its own."""
    command = [sys.executable, "-m", "keystrand.cli.main", "consumer", "proxy", "--side", side, "--to", to]
    command += ["--listen", "127.0.0.1:0", "--peer", peer, *lab.options(at, role="sae")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def where(child: subprocess.Popen[str]) -> str:
    """Return where it says that it listens."""
    assert child.stdout
    word, _, address = child.stdout.readline().strip().partition(" ")
    assert word == "ready"
    return address


def test_a_service_is_reached_through_both_sides(lab: Lab) -> None:
    """What goes in at the client side comes out at the service and back; at SIGTERM each says what it did."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            line, _ = listener.accept()
            with line:
                line.sendall(line.recv(100).upper())

        thread = threading.Thread(target=serve)
        thread.start()
        service = f"127.0.0.1:{listener.getsockname()[1]}"
        with (
            proxy("server", service, "sae-1", lab, 1) as server,
            proxy("client", where(server), "sae-2", lab, 0) as client,
        ):
            host, _, port = where(client).rpartition(":")
            with socket.create_connection((host, int(port)), timeout=20) as line:
                line.sendall(b"an order")
                line.shutdown(socket.SHUT_WR)
                assert line.recv(100) == b"AN ORDER"
                assert line.recv(100) == b""
            thread.join()
            for child in (client, server):
                child.send_signal(signal.SIGTERM)
                _, err = child.communicate(timeout=20)
                assert child.returncode == 0
                # the signal may come before a side has seen the very end
                told = re.search(r"(\d+) connections to their end, (\d+) cut, 0 refused, 0 refused for want", err)
                assert told
                assert int(told[1]) + int(told[2]) == 1


def test_a_side_that_is_killed_ends_its_connections(lab: Lab) -> None:
    """kill -9 of the server side: the program at the client side is cut off, and nothing goes on listening."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        proxy("server", f"127.0.0.1:{listener.getsockname()[1]}", "sae-1", lab, 1) as server,
        proxy("client", at := where(server), "sae-2", lab, 0) as client,
    ):
        host, _, port = where(client).rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as line:
            line.sendall(b"an order")
            service, _ = listener.accept()
            with service:
                assert service.recv(100) == b"an order"
                server.kill()
                server.wait()
                with pytest.raises(ConnectionResetError):
                    line.recv(100)
        host, _, port = at.rpartition(":")
        with socket.socket() as gone:
            assert gone.connect_ex((host, int(port))) != 0


@pytest.mark.parametrize(
    ("listen", "to", "told"),
    [
        ("127.0.0.1", "127.0.0.1:9", "'127.0.0.1' is not HOST:PORT"),
        ("127.0.0.1:0", "127.0.0.1:0", "'127.0.0.1:0' is not HOST:PORT"),
        ("127.0.0.1:99999", "127.0.0.1:9", "'127.0.0.1:99999' is not HOST:PORT"),
        ("127.0.0.1:0", "192.0.2.1:25", "in clear"),
    ],
)
def test_addresses_that_cannot_serve_are_told(lab: Lab, typed: Typed, listen: str, to: str, told: str) -> None:
    """Exit 2 with the address and the next step; nothing listens."""
    words = ["consumer", "proxy", "--side", "server", "--listen", listen, "--to", to, "--peer", "sae-1"]
    answer = typed(*words, *lab.options(1, role="sae"))
    assert answer.code == 2
    assert told in answer.err
    assert "127.0.0.1" in answer.err
    assert "ready" not in answer.out


def test_a_bound_of_nothing_is_told(lab: Lab, typed: Typed) -> None:
    """Exit 2 with the name of the bound."""
    words = ["consumer", "proxy", "--side", "server", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:9", "--peer", "x"]
    answer = typed(*words, "--connections", "0", *lab.options(1, role="sae"))
    assert answer.code == 2
    assert "connections must be above 0" in answer.err
