"""The network under the conformance tests: three KMEs on loopback and whoever asks them.

Everything that knows how our KMEs are started, configured and given key material stands here; the tests beside it speak
ETSI GS QKD 014 and nothing else.
"""

import http.client
import itertools
import json
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL

from keystrand.crypto.secret import Secret
from keystrand.edge import tls
from keystrand.edge.kme import wire
from keystrand.edge.kme.channel import Channel
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.messages import BLOCKS_URL, Block
from keystrand.edge.kme.pair import RunningKme
from keystrand.edge.pki import Credentials, Kind, Pki, issue_pki
from keystrand.edge.store.pools import CONFIRMATION_OCTETS
from keystrand.model.key import Strength

KMES = ("kme-a", "kme-b", "kme-c")
LINKS = {"ab": (0, 1), "ac": (0, 2), "bc": (1, 2)}
# IDs are free text in 014: the first of each site need escapes in URLs, certificates, file names and TOML
SAES = {"sae/a%2F": 0, "sae-a2": 0, 'sae "b": é': 1, "sae-b2": 1, "sae-c": 2}
MAX_KEY_COUNT = 256
_PATIENCE_S = 20.0

# what holds without a policy, but for the replay window
_POLICY = """\
name = "conformance"
default = "allow"
default_profiles = ["qkd", "qkd-simulated"]
replay = "{}"
[[profile]]
name = "qkd"
strands = [{{source = "qkd", strength = "information-theoretic"}}]
result = "information-theoretic"
[[profile]]
name = "qkd-simulated"
strands = [{{source = "qkd", strength = "simulated"}}]
result = "simulated"
"""


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as builtins."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The message of a refusal, once it is seen to be an Error of clause 6.5 and nothing else."""
        error = self.json
        assert set(error) <= {"message", "details"}
        assert all(isinstance(detail, dict) for detail in error.get("details", ()))
        assert isinstance(error["message"], str)
        return str(error["message"])


class Network:
    """Three KMEs, each with a link to each other one and empty pools. A KME is named by its place in `kmes`."""

    kmes = KMES
    a, a2, b, b2, c = SAES
    """SAEs: `a` and `a2` are at home at the first KME, `b` and `b2` at the second, `c` at the third."""

    def __init__(
        self, folder: Path, *, require_post_quantum: bool = True, limits: Mapping[str, object] = {}, replay: str = ""
    ) -> None:
        self.folder, self._limits = folder, {"max_key_count": MAX_KEY_COUNT, **limits}
        self._head = ""
        if replay:
            (folder / "policy.toml").write_text(_POLICY.format(replay))
            self._head = "policy = 'policy.toml'\n"
        modules = [f"module-{link}-{KMES[at]}" for link, ends in LINKS.items() for at in ends]
        self.pki: Pki = issue_pki(
            folder / "pki", kmes=KMES, saes=SAES, modules=modules, days=7, now=datetime.now(UTC)
        )  # fmt: skip
        self._ports = [_reserved() for _ in KMES]
        for at, kme in enumerate(KMES):
            (folder / f"{kme}.toml").write_text(self._configuration(at, require_post_quantum=require_post_quantum))
        self._running = [RunningKme(folder / f"{kme}.toml") for kme in KMES]

    def _configuration(self, at: int, *, require_post_quantum: bool) -> str:
        kme = KMES[at]
        text = (
            f"kme_id = '{kme}'\nport = {self.port(at)}\nstore = '{kme}'\nmaster_key = '{kme}.master'\n"
            + self._head
            + "[keys]\n"
            + "".join(f"{name} = {json.dumps(value)}\n" for name, value in self._limits.items())
            + f"[tls]\nca = 'pki/ca.pem'\ncertificate = 'pki/kme-{kme}.pem'\nkey = 'pki/kme-{kme}.key'\n"
            f"post_quantum_saes = '{'require' if require_post_quantum else 'prefer'}'\n"
        )
        for link, ends in LINKS.items():
            if at in ends:
                other = sum(ends) - at
                url = f"https://127.0.0.1:{self.port(other)}"
                text += f"[[link]]\nid = '{link}'\npeer_kme = '{KMES[other]}'\npeer_url = '{url}'\n"
                text += f"[[module]]\nid = 'module-{link}-{kme}'\nlink = '{link}'\n"
        for sae, home in SAES.items():
            text += f"[[sae]]\nid = {json.dumps(sae, ensure_ascii=False)}\nkme = '{KMES[home]}'\n"
        return text

    def start(self) -> None:
        """Start all and wait until all answer, and know each other."""
        for kme in self._running:
            kme.launch()
        for kme in self._running:
            kme.wait_ready()
        until_s = time.monotonic() + _PATIENCE_S
        for sae, other in itertools.product(SAES, SAES):
            while SAES[sae] != SAES[other] and self.fetch(sae, other, [str(uuid.uuid4())]).status == 503:
                assert time.monotonic() < until_s, "the KMEs do not find each other"
                time.sleep(0.05)

    def stop(self) -> None:
        """End all."""
        for kme in self._running:
            kme.stop()
        for port in self._ports:
            port.close()

    def port(self, kme: int) -> int:
        """Return the port of a KME."""
        return int(self._ports[kme].getsockname()[1])

    def credentials(self, kind: Kind, name: str) -> Credentials:
        """Return the TLS files of a party."""
        return self.pki.of(kind, name)

    def connect(self, kme: int, kind: Kind, name: str) -> tls.BlockingTls:
        """Return an open connection of a party to a KME, for bytes that no HTTP client would send."""
        context = tls.client_context(self.credentials(kind, name))
        stream, _ = tls.connect(context, "127.0.0.1", self.port(kme), timeout_s=20, kme_id=KMES[kme])
        return stream

    def ask(
        self, kme: int, kind: Kind, name: str, method: str, target: str, body: bytes = b"", **headers: str
    ) -> Answer:  # fmt: skip
        """Ask a KME as any party, over our TLS and Python's own HTTP."""
        connection = http.client.HTTPConnection("127.0.0.1")
        connection.sock = self.connect(kme, kind, name)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if body and not fields:
            fields = {"Content-Type": "application/json"}
        with closing(connection):
            connection.request(method, target, body=body or None, headers=fields)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def get(self, sae: str, other: str, method: str, query: str = "") -> Answer:
        """Have `sae` ask its own KME by GET."""
        return self.ask(SAES[sae], Kind.SAE, sae, "GET", self.url(other, method, query))

    def post(self, sae: str, other: str, method: str, body: object) -> Answer:
        """Have `sae` ask its own KME by POST; a body in bytes goes as it is."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask(SAES[sae], Kind.SAE, sae, "POST", self.url(other, method), content)

    @staticmethod
    def url(other: str, method: str, query: str = "") -> str:
        """Return the 014 target that names `other`, escaped by an independent encoder."""
        return f"/api/v1/keys/{quote(other, safe='')}/{method}{query and '?'}{query}"

    def stored(self, master: str, slave: str) -> int:
        """Return how many keys `master` can get for `slave`."""
        return int(self.get(master, slave, "status").json["stored_key_count"])

    def drain(self, master: str, slave: str) -> None:
        """Take all the keys that `master` can have for `slave`, but for less than one of the smallest."""
        for number in (128, 16, 1):
            asked = {"number": number, "size": 64}
            while (answer := self.post(master, slave, "enc_keys", asked)).status == 200:
                pass
        assert answer.status == 503, answer

    def keys(self, master: str, slave: str, **asked: object) -> dict[str, str]:
        """Return fresh keys by ID, in base64, that `master` gets for `slave`."""
        answer = self.post(master, slave, "enc_keys", asked)
        assert answer.status == 200, answer
        return {entry["key_ID"]: entry["key"] for entry in answer.json["keys"]}

    def fetch(self, slave: str, master: str, key_ids: Any) -> Answer:
        """Have `slave` ask for the keys that `master` got under `key_ids`."""
        return self.post(slave, master, "dec_keys", {"key_IDs": [{"key_ID": key_id} for key_id in key_ids]})

    def fill(self, master: int, slave: int, bits: int, label: str = "simulated") -> None:
        """Give both KMEs one block, of whose bits KME `master` may then cut `bits` for SAEs at `slave`.

        A pool that is full does not take it.
        """
        link = next(link for link, ends in LINKS.items() if set(ends) == {master, slave})
        block = Block(
            link=link, block_id=str(uuid.uuid4()), master_kme=KMES[master], qber=0.01, label=Strength(label),
            key_bits=Secret(secrets.token_bytes(CONFIRMATION_OCTETS + bits // 8)),
        )  # fmt: skip
        before = self._stored_bits(master, slave)
        accepted = [self._deliver(f"module-{link}-{KMES[at]}", at, block) for at in (slave, master)]
        until_s = time.monotonic() + _PATIENCE_S
        # the two ends make sure that they hold the same before they use it
        while all(accepted) and self._stored_bits(master, slave) < before + bits:
            assert time.monotonic() < until_s, "the block does not become usable"
            time.sleep(0.01)

    def _deliver(self, module: str, kme: int, block: Block) -> bool:
        files = self.credentials(Kind.MODULE, module)
        with closing(Channel(f"https://127.0.0.1:{self.port(kme)}", files, kme_id=KMES[kme])) as channel:
            status, answer = channel.exchange("POST", BLOCKS_URL, wire.encode(block))
        assert status == 200, answer
        return bool(json.loads(answer)["accepted"])

    def _stored_bits(self, master: int, slave: int) -> int:
        one, other = (next(sae for sae, home in SAES.items() if home == kme) for kme in (master, slave))
        return int(self.get(one, other, "status").json["status_extension"]["keystrand_stored_bits"])

    def client(self, sae: str, *, port: int | None = None, timeout_s: float = 10.0) -> Client014:
        """Return a client of `sae` to its own KME, by way of `port` where that is given."""
        files, kme = self.credentials(Kind.SAE, sae), SAES[sae]
        url = f"https://127.0.0.1:{self.port(kme) if port is None else port}"
        return Client014(
            url, files.ca, files.certificate, files.key, kme_id=KMES[kme], timeout_s=timeout_s,
            require_post_quantum=False,
        )  # fmt: skip

    def signed(self, folder: Path, *names: x509.GeneralName, days: int = 1) -> Credentials:
        """Return a client's files, signed by the network's own authority, as `Pki` would not issue them."""
        authority = x509.load_pem_x509_certificate(self.pki.ca.read_bytes())
        signer = serialization.load_pem_private_key((self.pki.folder / "ca.key").read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = (
            x509.CertificateBuilder(issuer_name=authority.subject, public_key=key.public_key())
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sae-a2")]))
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(own, critical=False)
            .add_extension(issuer, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        files = Credentials(ca=self.pki.ca, certificate=folder / "leaf.pem", key=folder / "leaf.key")
        form, pem = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
        files.key.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
        files.certificate.write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(pem))
        return files

    def bare_connection(self, kme: int, context: SSL.Context) -> tls.BlockingTls:
        """Return a TCP connection to a KME with the client end of `context` on it, its handshake not begun."""
        connection = SSL.Connection(context, None)
        connection.set_connect_state()
        return tls.BlockingTls(connection, socket.create_connection(("127.0.0.1", self.port(kme)), timeout=20))


class Lossy:
    """A way to a KME on which an answer can be lost: what the KME sends next is dropped, and the connection cut."""

    def __init__(self, port: int) -> None:
        self._to, self._left, self.lost = port, 0, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def lose_next(self, times: int = 1) -> None:
        """Lose the next bytes that the KME sends, on so many connections one after the other."""
        self._left = times

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                kme = socket.create_connection(("127.0.0.1", self._to), timeout=20)
                for source, sink, from_kme in ((client, kme, False), (kme, client, True)):
                    pump = threading.Thread(target=self._pump, args=(source, sink), kwargs={"from_kme": from_kme})
                    self._threads.append(pump)
                    pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket, *, from_kme: bool) -> None:
        with suppress(OSError):
            while content := source.recv(1 << 16):
                if from_kme and self._left:
                    self._left -= 1
                    self.lost += 1
                    break
                sink.sendall(content)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()

    def close(self) -> None:
        """Take no more connections; those that are open end with their clients."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)


def _reserved() -> socket.socket:
    """Return a socket that holds a free loopback port without listening."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


@pytest.fixture
def lossy(network: Network) -> Iterator[Lossy]:
    """Return a way to the second KME on which answers can be lost."""
    with closing(Lossy(network.port(1))) as way:
        yield way


@pytest.fixture(scope="module")
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Three running KMEs; the module may name options of `Network` in `NETWORK`."""
    folder = tmp_path_factory.mktemp("network")
    made = Network(folder, **getattr(request.module, "NETWORK", {}))
    try:
        made.start()
        yield made
    finally:
        made.stop()
