"""Two real KME processes on loopback, with a PKI of their own, for pilots and tests."""

import json
import socket
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from keystrand.edge.daemons import Speaker
from keystrand.edge.devices.twin_source import SourceEnd
from keystrand.edge.files import write_atomic
from keystrand.edge.kme.client import Client014
from keystrand.edge.pki import Credentials, Kind, Pki, issue_pki
from keystrand.model.errors import PeerUnavailable

KME_IDS = ("kme-a", "kme-b")
MODULE_IDS = ("module-a", "module-b")
_PKI_DAYS = 7
"""A pilot's certificates outlive it by little."""
_STOP_S = 15.0
"""More than a KME gives its requests to end."""


class RunningKme(Speaker):
    """One KME as a process of its own; its standard error goes to a file beside its configuration."""

    def __init__(self, config: Path) -> None:
        command = (sys.executable, "-m", "keystrand.edge.kme", "--config", config)
        super().__init__(command, config.with_suffix(".log"), name=f"the KME of {config}")

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.where

    def stop(self, *, within_s: float = _STOP_S) -> int | None:
        """See `Daemon.stop`; a KME gets more time."""
        return super().stop(within_s=within_s)


class Pair:
    """Two KMEs at the ends of one link. `saes[0]` is at home at the first, `saes[1]` at the second."""

    def __init__(
        self, folder: Path, pki: Pki, saes: tuple[str, str], link: str, ports: Sequence[socket.socket]
    ) -> None:
        self.folder, self.pki, self.saes, self.link = folder, pki, saes, link
        self._ports = ports
        self._kmes = {name: RunningKme(folder / f"{name}.toml") for name in KME_IDS}

    @property
    def urls(self) -> tuple[str, str]:
        """The URLs of both KMEs."""
        return self._kmes[KME_IDS[0]].url, self._kmes[KME_IDS[1]].url

    def port(self, at: int) -> int:
        """Return the port of one KME, by its place in `urls`."""
        return int(self._ports[at].getsockname()[1])

    def kme(self, kme_id: str) -> RunningKme:
        """Return one KME."""
        return self._kmes[kme_id]

    def credentials(self, kind: Kind, name: str) -> Credentials:
        """Return the TLS files of a party of this pair."""
        return self.pki.of(kind, name)

    @property
    def source_ends(self) -> tuple[SourceEnd, SourceEnd]:
        """Both ends as a key source needs them."""
        one, two = (
            SourceEnd(kme_id=kme_id, url=self.urls[at], credentials=self.pki.of(Kind.MODULE, MODULE_IDS[at]))
            for at, kme_id in enumerate(KME_IDS)
        )
        return one, two

    def client(self, sae: str, *, require_post_quantum: bool = True, timeout_s: float = 10.0) -> Client014:
        """Return a 014 client of `sae` at its own KME."""
        files, at = self.pki.of(Kind.SAE, sae), self.saes.index(sae)
        return Client014(
            self.urls[at], files.ca, files.certificate, files.key, kme_id=KME_IDS[at],
            require_post_quantum=require_post_quantum, timeout_s=timeout_s,
        )  # fmt: skip

    def start(self) -> None:
        """Start both and wait until both answer. Raises `PeerUnavailable`."""
        for kme in self._kmes.values():
            kme.launch()
        for kme in self._kmes.values():
            kme.wait_ready()

    def wait_for_keys(self, count: int, master: int = 0, timeout_s: float = 30.0) -> None:
        """Wait until the KME number `master` may cut at least `count` keys. Raises `PeerUnavailable` where it does not.

        What a source delivers counts once both KMEs have confirmed to each other that they hold the same.
        """
        deadline = time.monotonic() + timeout_s
        with self.client(self.saes[master], require_post_quantum=False) as client:
            while client.status(self.saes[1 - master]).stored_key_count < count:
                if time.monotonic() > deadline:
                    raise PeerUnavailable(f"there were no {count} keys within {timeout_s:g} s")
                time.sleep(0.01)

    def stop(self) -> None:
        """End both in good order and give their ports back."""
        for kme in self._kmes.values():
            kme.stop()
        for port in self._ports:
            port.close()

    def kill(self, kme_id: str) -> None:
        """SIGKILL one; `restart` brings it back at the same URL."""
        self._kmes[kme_id].kill()

    def restart(self, kme_id: str) -> None:
        """Start one again. Raises `PeerUnavailable`."""
        self._kmes[kme_id].launch()
        self._kmes[kme_id].wait_ready()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_pair(
    folder: Path,
    *,
    saes: tuple[str, str] = ("sae-a", "sae-b"),
    link: str = "corridor",
    max_key_count: int = 1000,
    key_size: int = 256,
    require_post_quantum: bool = True,
    operators: tuple[str, ...] = (),
) -> Pair:
    """Fill the new `folder` with a PKI and two configurations, start both KMEs, and return them running.

    `key_size` in bits; `max_key_count` keys of that size is what each direction of the link may stock. Raises
    `InvalidInput` where the folder holds an authority already, `PeerUnavailable` where a KME does not start.
    """
    pki = issue_pki(
        folder / "pki", kmes=KME_IDS, saes=saes, modules=MODULE_IDS, operators=operators, days=_PKI_DAYS,
        now=datetime.now(UTC),
    )  # fmt: skip
    ports = [reserve_port() for _ in KME_IDS]
    numbers = [port.getsockname()[1] for port in ports]
    for at, kme_id in enumerate(KME_IDS):
        text = _configuration(at, saes, link, numbers) + (
            "".join(f"\n[[operator]]\nid = {_quoted(name)}\n" for name in operators)
            + f"\n[keys]\nkey_size = {key_size}\nmax_key_count = {max_key_count}\n"
            f"\n[tls]\nca = 'pki/ca.pem'\ncertificate = 'pki/kme-{kme_id}.pem'\nkey = 'pki/kme-{kme_id}.key'\n"
            f"post_quantum_saes = '{'require' if require_post_quantum else 'prefer'}'\n"
        )
        write_atomic(folder / f"{kme_id}.toml", text.encode(), mode=0o600)
    pair = Pair(folder, pki, saes, link, ports)
    try:
        pair.start()
    except BaseException:
        pair.stop()
        raise
    return pair


def _configuration(at: int, saes: tuple[str, str], link: str, ports: Sequence[int]) -> str:
    own, other = KME_IDS[at], KME_IDS[1 - at]
    homes = "".join(f"\n[[sae]]\nid = {_quoted(sae)}\nkme = '{kme}'\n" for sae, kme in zip(saes, KME_IDS, strict=True))
    return (
        f"kme_id = '{own}'\nport = {ports[at]}\nstore = '{own}'\nmaster_key = '{own}.master'\n"
        f"\n[[link]]\nid = {_quoted(link)}\npeer_kme = '{other}'\npeer_url = 'https://127.0.0.1:{ports[1 - at]}'\n"
        f"\n[[module]]\nid = '{MODULE_IDS[at]}'\nlink = {_quoted(link)}\n{homes}"
    )


def _quoted(text: str) -> str:
    """Return `text` as a TOML basic string, which a JSON string is where nothing is escaped as a surrogate."""
    return json.dumps(text, ensure_ascii=False)


def reserve_port() -> socket.socket:
    """Return a socket that holds a free loopback port without listening: the KME can, and can again after a kill."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder
