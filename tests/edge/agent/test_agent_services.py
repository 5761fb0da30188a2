"""Real agents that key real services: HAProxy, nbdkit, a token, and Vault by contract. What begins at one site goes on
at the other as long as both have the key, and not once the key is too old.
"""

import base64
import json
import os
import shutil
import ssl
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.edge.consumers.test_file_consumer import free_port, listens, needs
from tests.edge.consumers.test_haproxy_consumer import Site as HaproxySite
from tests.edge.consumers.test_vault_consumer import TOKEN, FakeVault, Running, wanted

from keystrand.edge.consumers.base import Role
from keystrand.edge.consumers.registry import make
from keystrand.edge.daemons import Daemon, Daemons
from keystrand.edge.kme.pair import KME_IDS, Pair
from keystrand.edge.pilot.softhsm import SoftToken, new_token
from keystrand.edge.pki import Credentials, Kind, issue_pki

from .site import Site, running_pair, wait_until

pytestmark = [pytest.mark.system, pytest.mark.slow]

TERMS = """policy = "fail-secure"
rotate_every_s = 0.7
max_age_s = 6
wait_s = 3
prove_within_s = 5
prove_every_s = 0.05
retry_s = 0.2
retry_most_s = 0.5
"""
Settings = dict[str, str | int | float | bool]


class Service(ABC):
    """One service at two sites."""

    kind: str
    prefixes: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    @abstractmethod
    def settings(self, at: int) -> Settings:
        """Return what its operator writes at one end."""

    @abstractmethod
    def passes(self) -> bool:
        """Return whether what begins at one site goes on at the other."""

    @abstractmethod
    def holds_none(self) -> bool:
        """Return whether nothing of a key in common is left at either site."""


class TicketKeys(Service):
    """Two HAProxies: a session begun at one is resumed at the other."""

    kind = "haproxy"

    def __init__(self, folder: Path, care: Daemons) -> None:
        needs("haproxy")
        pki = issue_pki(folder / "pki", kmes=["k"], saes=[], modules=[], days=1, now=datetime.now(UTC))
        files, pem = pki.of(Kind.KME, "k"), folder / "both.pem"
        pem.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
        self._sites = [HaproxySite(folder / name, care, pem, tls="TLSv1.3") for name in "ab"]
        self._client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client.check_hostname = False
        self._client.verify_mode = ssl.CERT_NONE

    def settings(self, at: int) -> Settings:
        """See `Service`."""
        told = self._sites[at].consumer._settings
        return {"socket": told.socket, "keys_file": told.keys_file, "frontend": told.frontend}

    def passes(self) -> bool:
        """See `Service`."""
        _, session = self._sites[0].visit(self._client)
        return self._sites[1].visit(self._client, session)[0]

    def holds_none(self) -> bool:
        """See `Service`."""
        return not self.passes()


class Disk(Service):
    """nbdkit at one site, and at the other who mounts its disk: the proof is that it can be opened."""

    kind = "file"

    def __init__(self, folder: Path, care: Daemons) -> None:
        needs("nbdkit", "nbdinfo")
        self._files, self._port = [folder / name / "keys.psk" for name in "ab"], free_port()
        self._opens = f"nbds://{{key_id}}@127.0.0.1:{self._port}/?tls-psk-file={self._files[0]}"
        for at, file in enumerate(self._files):
            file.parent.mkdir(mode=0o700)
            make(self.kind, self.settings(at), Role.RESPONDER).prepare()
        (folder / "disk").write_bytes(bytes(1 << 20))
        words = ["-f", "-p", str(self._port), "-i", "127.0.0.1", "--tls=require", f"--tls-psk={self._files[1]}"]
        daemon = Daemon(["nbdkit", *words, "file", folder / "disk"], folder / "log")
        care.add(daemon)
        daemon.start(listens(self._port))

    def settings(self, at: int) -> Settings:
        """See `Service`."""
        prove = f"nbdinfo --size {self._opens}" if at == 0 else "read"
        return {"path": str(self._files[at]), "prove": prove, "cut": "none"}

    def passes(self) -> bool:
        """See `Service`."""
        (newest, *_) = self._files[0].read_text().splitlines()
        uri = self._opens.replace("{key_id}", newest.partition(":")[0])
        done = subprocess.run(["nbdinfo", "--size", uri], capture_output=True, text=True, timeout=30, check=False)
        return done.stdout == "1048576\n"

    def holds_none(self) -> bool:
        """See `Service`."""
        ours, theirs = (set(file.read_text().splitlines()) for file in self._files)
        return not self.passes() and not ours & theirs


_SEALS = """
import sys
import pkcs11
from pkcs11 import Attribute, Mechanism, ObjectClass
module, pin_file = sys.argv[1:]
with open(pin_file) as file:
    token = pkcs11.lib(module).get_token(token_label="site").open(user_pin=file.read().strip())
for line in sys.stdin:
    verb, *words = line.split()
    held = {key[Attribute.ID].hex(): key for key in token.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY})}
    told = []
    for name, content in (word.split(":") for word in words) if words else ((name, "") for name in held):
        try:
            work = {"seal": held[name].encrypt, "open": held[name].decrypt}.get(verb)
            text = bytes.fromhex(content) or b"a message between the sites"
            done = work(text, mechanism=Mechanism.AES_CBC_PAD, mechanism_param=bytes(16)).hex() if work else ""
        except (KeyError, pkcs11.PKCS11Error):
            continue  # retired just now
        told.append(name + ":" + done)
    print(*told, flush=True)
"""
_SEALED = b"a message between the sites".hex()


class Application:
    """A program beside a token: it seals and opens by what is in it, and cannot see a key."""

    def __init__(self, token: SoftToken) -> None:
        command = [sys.executable, "-c", _SEALS, str(token.module), str(token.pin_file)]
        env = {**os.environ, **token.env}
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def told(self, *words: str) -> dict[str, str]:
        """Return what it answers: for each key by its ID, what it made of the content."""
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(" ".join(words) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        assert line, "the application ended"
        return dict(word.split(":") for word in line.split())

    def stop(self) -> None:
        """End it."""
        self._child.kill()
        self._child.communicate()


class Tokens(Service):
    """A token at each site: what is sealed in one is opened in the other."""

    kind = "pkcs11"

    def __init__(self, folder: Path, care: Daemons) -> None:
        pytest.importorskip("pkcs11", reason="needs the extra hsm")
        needs("softhsm2-util")
        self._tokens = [new_token(folder / f"token-{at}", "site") for at in (0, 1)]
        one, two = (("env", *(f"{name}={value}" for name, value in token.env.items())) for token in self._tokens)
        self.prefixes = (one, two)
        self._here, self._there = (Application(token) for token in self._tokens)
        care.add(self._here)
        care.add(self._there)

    def settings(self, at: int) -> Settings:
        """See `Service`."""
        token = self._tokens[at]
        return {"module": str(token.module), "token": token.label, "pin_file": str(token.pin_file)}

    def passes(self) -> bool:
        """See `Service`."""
        sealed = self._here.told("seal")
        opened = self._there.told("open", *(f"{name}:{text}" for name, text in sealed.items())) if sealed else {}
        return _SEALED in opened.values() and _SEALED not in sealed.values()

    def holds_none(self) -> bool:
        """See `Service`."""
        return self._here.told("ids") == self._there.told("ids") == {}


class Vaults(Service):
    """The rules of Vault at each site (no Vault can be had here): what one encrypts opens under the other's key."""

    kind = "vault"

    def __init__(self, folder: Path, _care: Daemons) -> None:
        pki = issue_pki(folder / "pki", kmes=["k"], saes=["s"], modules=[], days=1, now=datetime.now(UTC))
        self._files: tuple[Credentials, Credentials] = pki.of(Kind.KME, "k"), pki.of(Kind.SAE, "s")
        token = self._files[1].ca.parent / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        self._running = [Running(FakeVault(), self._files[0]) for _ in range(2)]

    def settings(self, at: int) -> Settings:
        """See `Service`."""
        return wanted(self._running[at].port, self._files, "transit")

    def passes(self) -> bool:
        """See `Service`."""
        ours, theirs = (running.vault for running in self._running)
        plain = base64.b64encode(b"a message").decode()
        _, sealed = ours.answer("POST", "/v1/transit/encrypt/link", TOKEN, {"plaintext": plain})
        _, _, text = sealed["data"]["ciphertext"].split(":")
        asked = {"ciphertext": f"vault:v{max(theirs.keys)}:{text}"}  # each Vault counts versions by itself
        status, opened = theirs.answer("POST", "/v1/transit/decrypt/link", TOKEN, asked)
        return status == 200 and opened["data"]["plaintext"] == plain

    def holds_none(self) -> bool:
        """See `Service`."""
        ours, theirs = (set(running.vault.keys.values()) for running in self._running)
        return not self.passes() and not ours & theirs


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two KMEs with keys in stock."""
    with running_pair(tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder on a tmpfs, where key files belong."""
    made = Path("/dev/shm") / f"keystrand-services-{tmp_path.name}-{os.getpid()}"  # noqa: S108  # the test's own
    made.mkdir(mode=0o700)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("service", [TicketKeys, Disk, Tokens, Vaults], ids=lambda kind: kind.kind)
def test_a_service_goes_from_key_to_key_and_ends_with_the_last(
    service: Callable[[Path, Daemons], Service], pair: Pair, place: Path, tmp_path: Path
) -> None:
    """Five changeovers, proven and audited at both ends; what begins at one site goes on at the other. The KME dies: at
    its age the key is of no use at either end. It is back, and so is the service.
    """
    with Daemons() as care:
        made = service(place, care)

        def made_of(at: int) -> tuple[str, str]:
            lines = (f"{name} = {json.dumps(value)}\n" for name, value in made.settings(at).items())
            return made.kind, "".join(lines)

        site = Site(tmp_path, pair, TERMS, made_of=made_of, prefixes=made.prefixes)
        try:
            site.start()
            wait_until(lambda: all(site.status(at)["changeovers"] >= 5 for at in (0, 1)), 60, lambda: site.log(0))
            wait_until(made.passes, 10, "nothing goes on at the other site")
            _demand_audited(site)
            pair.kill(KME_IDS[0])
            wait_until(made.holds_none, 30, "a key that is too old still serves")
            wait_until(lambda: site.status(0)["footing"] == site.status(1)["footing"] == "invalid", 10, "not told")
            pair.restart(KME_IDS[0])
            wait_until(made.passes, 30, lambda: site.log(0))
        finally:
            site.close()
            if not pair.kme(KME_IDS[0]).running:
                pair.restart(KME_IDS[0])


def _demand_audited(site: Site) -> None:
    """Check that each key that was proven stands in both audits, its installation before its proof."""
    lines = [site.audit(at) for at in (0, 1)]
    proven = [line["detail"]["key_ID"] for line in lines[0] if line["action"] == "agent.proven"]
    assert len(set(proven)) == len(proven) >= 5
    for told in lines:
        actions = [(line["action"], line["detail"].get("key_ID")) for line in told]
        for key_id in proven[:5]:
            assert actions.index(("agent.install", key_id)) < actions.index(("agent.proven", key_id))
    shown = {line["detail"]["shown_by"] for line in lines[0] if line["action"] == "agent.proven"}
    assert "" not in shown
