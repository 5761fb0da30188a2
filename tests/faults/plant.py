"""The two KMEs under test. THE SEAM: all that knows how a KME is configured, started, fed and audited is here."""

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from keystrand.edge.devices.twin_source import SourceEnd, TwinSource
from keystrand.edge.kme.client import Client014
from keystrand.edge.pki import Kind, Pki, issue_pki
from keystrand.edge.store.audit_segment import segments, whole_lines
from keystrand.keys.contract import key_ids_of
from keystrand.operate.audit import Entry, Own, entry_of
from keystrand.operate.audit_verify import Verified, verify

from .node import Node

KMES = ("kme-a", "kme-b")
SAES = ("sae-a", "sae-b")
_MODULES = ("module-a", "module-b")
_LINK = "corridor"
_WEAK = Path(__file__).with_name("weak_kme.py")
IN_DOUBT, NOT_REACHED = "peer-in-doubt", "peer-not-reached"
"""The ids of the client's errors where a request went out and no whole answer came, and where nothing went out."""


FILES = {"store": "*/store.db*", "audit": "*-audit/*.jsonl"}
"""Which files hold what must be durable before an answer, for rules of faults."""
_POLICY = """
name = "two"
default = "allow"
default_profiles = ["simulated"]
replay = "{replay}"
[[profile]]
name = "simulated"
strands = [{{ source = "qkd", strength = "simulated" }}]
result = "simulated"
"""


class Plant:
    """Two KMEs; SAE n is at home at KME n. `replay_window`: the same request gets the same answer for a while."""

    def __init__(
        self, folder: Path, pki: Pki, nodes: tuple[Node, Node], ports: tuple[socket.socket, ...], *, replay_window: bool
    ) -> None:
        self.folder, self.nodes, self._pki, self._ports = folder, nodes, pki, ports
        self.replay_window = replay_window

    def client(self, sae: int, *, url: str = "", timeout_s: float = 10.0) -> Client014:
        """Return a 014 client of an SAE at its own KME, or at `url` where a wire leads there."""
        files = self._pki.of(Kind.SAE, SAES[sae])
        return Client014(
            url or self.nodes[sae].url, files.ca, files.certificate, files.key, kme_id=KMES[sae], timeout_s=timeout_s
        )

    @contextlib.contextmanager
    def source(self) -> Iterator[None]:
        """Feed both KMEs with key while this is open."""
        one, two = (
            SourceEnd(kme_id=KMES[at], url=self.nodes[at].url, credentials=self._pki.of(Kind.MODULE, _MODULES[at]))
            for at in (0, 1)
        )
        with TwinSource(_LINK, (one, two), bits_per_s=400_000, qber=0.02, block_bits=8192):
            yield

    def audited(self, at: int) -> Mapping[str, set[str]]:
        """Return the key IDs that the audit of a KME names, by method of 014. Only while it is stopped.

        Raises `AssertionError` where the chain is broken.
        """
        told: list[tuple[int, str, tuple[str, ...]]] = []
        lines = [line for path in segments(_audit(self.folder, at)) for line in whole_lines(path)]
        judged = verify(lines)
        assert isinstance(judged, Verified), f"the audit of {KMES[at]} is broken: {judged}"
        for entry in map(entry_of, lines):
            if entry.action == Own.VOID:
                voided = msgspec.json.decode(entry.detail)["generation"]
                told = [one for one in told if one[0] != voided]
            elif key_ids := _key_ids(entry):
                told.append((entry.generation, entry.action.removesuffix("_repeated"), key_ids))
        return {
            name: {i for _, action, ids in told if action == name for i in ids} for name in ("enc_keys", "dec_keys")
        }

    def start(self) -> None:
        """Start both KMEs."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_ready()

    def close(self) -> None:
        """Stop both for good."""
        for node in self.nodes:
            node.close()
        for port in self._ports:
            port.close()


def _audit(folder: Path, at: int) -> Path:
    return folder / f"{KMES[at]}-audit"


def _key_ids(entry: Entry) -> tuple[str, ...]:
    """Return the key IDs that an entry says were answered."""
    if entry.action == "enc_keys":
        made = msgspec.json.decode(entry.detail)
        return key_ids_of(made["order"], made["count"])
    if entry.action in ("dec_keys", "dec_keys_repeated"):
        return tuple(msgspec.json.decode(entry.detail)["key_ids"])
    return ()


def lay(
    folder: Path, *, shim: Path | None = None, weakness: str = "", strict: bool = False,
    reroute: Callable[[int], int] = lambda port: port,
) -> Plant:  # fmt: skip
    """Make a plant in the new `folder`, not started. Each KME reaches the other at `reroute(its port)`.

    `strict`: no answer is ever repeated. `shim`: the fault shim, where disks are to fail or lose power.
    """
    pki = issue_pki(folder / "pki", kmes=KMES, saes=SAES, modules=_MODULES, days=7, now=datetime.now(UTC))
    holders = tuple(_held_port() for _ in KMES)
    ports = [int(holder.getsockname()[1]) for holder in holders]
    (folder / "policy.toml").write_text(_POLICY.format(replay="strict" if strict else "operational"))
    one, two = (
        _node(folder, at, ports[at], reroute(ports[1 - at]), shim=shim, weakness=weakness) for at in (0, 1)
    )  # fmt: skip
    return Plant(folder, pki, (one, two), holders, replay_window=not strict)


def _node(folder: Path, at: int, port: int, peer_port: int, *, shim: Path | None, weakness: str) -> Node:
    own, other = KMES[at], KMES[1 - at]
    homes = "".join(f"[[sae]]\nid = '{sae}'\nkme = '{kme}'\n" for sae, kme in zip(SAES, KMES, strict=True))
    config = folder / f"{own}.toml"
    config.write_text(
        f"kme_id = '{own}'\nport = {port}\nstore = '{own}'\npolicy = 'policy.toml'\n"
        f"keyring = '{own}-keys/ring'\nmaster_key = '{own}-keys/master'\n"
        f"[audit]\nfolder = '{own}-audit'\nsigning_key = '{own}-keys/audit.key'\n"
        f"[keys]\nmax_key_count = 1000\n"
        f"[tls]\nca = 'pki/ca.pem'\ncertificate = 'pki/kme-{own}.pem'\nkey = 'pki/kme-{own}.key'\n"
        f"[[link]]\nid = '{_LINK}'\npeer_kme = '{other}'\npeer_url = 'https://127.0.0.1:{peer_port}'\n"
        f"[[module]]\nid = '{_MODULES[at]}'\nlink = '{_LINK}'\n{homes}"
    )
    folders = (folder / own, folder / f"{own}-keys", _audit(folder, at))
    for one in folders:
        one.mkdir(mode=0o700)
    start = (str(_WEAK),) if weakness else ("-m", "keystrand.edge.kme")
    command = (sys.executable, *start, "--config", str(config), "--until-stdin-closes")
    url = f"https://127.0.0.1:{port}"
    return Node(own, url, command, folders, folder / f"{own}.log", shim=shim, weakness=weakness)


def _held_port() -> socket.socket:
    """Return a socket that holds a free loopback port without listening: a KME can, and can again after a kill."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder
