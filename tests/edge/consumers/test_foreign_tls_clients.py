"""Programs of other makes at our TLS-PSK server, each with a key from its KME: they get in, with that key alone."""

import io
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pytest
from tests.edge.consumers.test_tls_proxy import comes_to, echoed, service

from keystrand.edge.consumers.psk_ends import PskTerms, Suite
from keystrand.edge.consumers.tls_proxy import Address, Counts, Proxy, ServerSide
from keystrand.edge.kme.client import Client014

pytestmark = pytest.mark.system

FOREIGN = PskTerms(suite=Suite.CHACHA20, post_quantum_group=False)
SAID = "said by another program"
_NODE = """
const [port, hex, identity] = process.argv.slice(1);
const line = require('tls').connect({
  host: '127.0.0.1', port: Number(port), minVersion: 'TLSv1.3', ciphers: 'TLS_CHACHA20_POLY1305_SHA256',
  pskCallback: () => ({ psk: Buffer.from(hex, 'hex'), identity }), checkServerIdentity: () => undefined,
}, () => line.write('%s'));
line.on('data', (data) => { process.stdout.write(data); line.end(); });
line.on('error', (error) => { process.stderr.write(error.message); process.exit(1); });
"""


class Client(NamedTuple):
    """A program and its arguments for a port, a key ID and a key in hexadecimal digits."""

    program: str
    package: str
    words: Callable[[int, str, str], Sequence[str]]


CLIENTS = (
    Client("openssl", "openssl", lambda port, key_id, key: (
        "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-psk", key, "-psk_identity", key_id, "-quiet",
        "-no_ign_eof",
    )),
    Client("node", "nodejs", lambda port, key_id, key: ("-e", _NODE % SAID, str(port), key, key_id)),
    Client("gnutls-cli", "gnutls-bin", lambda port, key_id, key: (
        "--port", str(port), "127.0.0.1", "--pskusername", key_id, "--pskkey", key,
        "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3:+ECDHE-PSK:+PSK",
    )),
)  # fmt: skip


def answer_of(client: Client, port: int, key_id: str, key: str) -> str:
    """Return what the program shows when it says its sentence and hears it back, or is refused."""
    path = shutil.which(client.program)
    if path is None:
        pytest.skip(f"needs {client.program}: apt-get install {client.package}")
    with subprocess.Popen(
        [path, *client.words(port, key_id, key)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as child:  # fmt: skip
        assert child.stdin
        assert isinstance(child.stdout, io.BufferedReader)
        with suppress(BrokenPipeError):
            child.stdin.write(f"{SAID}\n".encode())
            child.stdin.flush()
        shown = b""
        while SAID.encode() not in shown and (more := child.stdout.read1(65536)):
            shown += more
        with suppress(BrokenPipeError):
            child.stdin.close()
        shown += child.stdout.read()
        child.wait(10)
    return shown.decode(errors="replace")


@contextmanager
def serving(b: Client014, terms: PskTerms) -> Iterator[Proxy]:
    """Serve an echo on these terms."""
    with service(echoed) as at, Proxy(ServerSide(b, "sae-a", at, terms), Address("127.0.0.1", 0)) as proxy:
        yield proxy


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.program)
def test_another_program_gets_in_with_its_key_alone(client: Client, sae_a: Client014, sae_b: Client014) -> None:
    """It names the key in band and is answered; another key under a good ID, and the same key again, are refused."""
    good, other = sae_a.enc_keys("sae-b", number=2)
    key = good.key.reveal().hex()
    with serving(sae_b, FOREIGN) as proxy:
        assert SAID in answer_of(client, proxy.address.port, good.key_id, key)
        assert comes_to(proxy, Counts(done=1))
        assert SAID not in answer_of(client, proxy.address.port, other.key_id, "00" * 32)
        assert SAID not in answer_of(client, proxy.address.port, good.key_id, key)
        assert comes_to(proxy, Counts(done=1, refused=2))


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.program)
def test_our_own_terms_keep_it_out(client: Client, sae_a: Client014, sae_b: Client014) -> None:
    """A server on strict terms takes no key for SHA-256: the exception is the operator's to make."""
    (key,) = sae_a.enc_keys("sae-b")
    with serving(sae_b, PskTerms()) as proxy:
        assert SAID not in answer_of(client, proxy.address.port, key.key_id, key.key.reveal().hex())
        assert comes_to(proxy, Counts(refused=1))
