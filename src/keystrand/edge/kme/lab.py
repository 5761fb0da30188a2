"""A laboratory of KMEs on the loopback interface, in which anybody tests their own client of ETSI GS QKD 014.

Each KME is a real one in a process of its own. Only the quantum links are simulated, and the keys are labelled so.
"""

import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

from keystrand.crypto.secret import Secret
from keystrand.edge.devices.twin_source import LABEL, SourceEnd, TwinSource, push
from keystrand.edge.kme.channel import Channel
from keystrand.edge.kme.lab_folder import KEY_BITS, OPERATOR, LabFolder, LabLink, LabWish
from keystrand.edge.kme.messages import Block
from keystrand.edge.kme.operator_client import OperatorClient
from keystrand.edge.kme.pair import RunningKme
from keystrand.edge.pki import Kind
from keystrand.model.errors import KeystrandError, PeerUnavailable
from keystrand.model.key import SourceKind

QBER = 0.02
"""What the simulated links show: it is no measurement."""
FILL_OCTETS = 48_000
"""A block that fits a module's request (64 KiB) in base64."""
_CONFIRMATION_OCTETS = 32
_FILLERS = 4
_LOOK_S = 0.2
_READY_S = 60.0
_FILLED_KEYS_PER_S = 5_000
"""A slow machine fills faster than this; one that does not has failed."""


class LabStopped(KeystrandError):
    """Somebody stopped the lab before it was ready."""


class Lab:
    """A lab in `folder`. It ends in good order however the `with` block does."""

    def __init__(self, folder: Path, wish: LabWish) -> None:
        """Make its files; nothing runs before `start`. Raises `InvalidInput` and `StoreFailure`."""
        self._folder = LabFolder(folder, wish)
        self._kmes = {kme: RunningKme(self._folder.config(kme)) for kme in self._folder.kmes}
        self._sources: list[TwinSource] = []

    def run(self, ready: Callable[[], None], stop: threading.Event) -> None:
        """Start everything, call `ready` once keys can be had, and go on until `stop` is set.

        Raises `PeerUnavailable` where a KME does not start, or ends by itself.
        """
        try:
            self._start(stop)
            self._folder.write({kme: running.pid for kme, running in self._kmes.items()})
            ready()
            while not stop.wait(_LOOK_S):
                self._demand_alive()
        except LabStopped:
            return
        finally:
            self._end()

    def _start(self, stop: threading.Event) -> None:
        for kme in self._kmes.values():
            kme.launch()
        for kme in self._kmes.values():
            kme.wait_ready()
        self._await(self._trusted, stop, _READY_S)
        wish, links = self._folder.wish, self._folder.links
        if wish.stock:
            for link in links:
                fill(link.id, self._ends(link), wish.stock, stop)
        for link in links:
            source = TwinSource(
                link.id, self._ends(link), bits_per_s=wish.bits_per_s, qber=QBER, block_bits=wish.block_bits
            )
            self._sources.append(source)
            source.start()
        self._await(self._stocked, stop, _READY_S + wish.stock / _FILLED_KEYS_PER_S)

    def _ends(self, link: LabLink) -> tuple[SourceEnd, SourceEnd]:
        one, two = (
            SourceEnd(
                kme_id=kme, url=self._folder.url(kme), credentials=self._folder.pki.of(Kind.MODULE, link.module(kme))
            )
            for kme in link.kmes
        )
        return one, two

    # Looking

    def _await(self, condition: Callable[[], bool], stop: threading.Event, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            self._demand_alive()
            if stop.wait(_LOOK_S):
                raise LabStopped("stopped before it was ready")
            if time.monotonic() > deadline:
                raise PeerUnavailable(
                    f"the lab was not ready after {within_s:.0f} s", hint="see the logs beside lab.json"
                )

    def _demand_alive(self) -> None:
        for name, kme in self._kmes.items():
            if not kme.running:
                raise PeerUnavailable(f"{name} has ended by itself: {kme.last_words}", hint=f"its log is {kme.log}")

    def _links(self) -> Iterator[dict[str, object]]:
        """Yield what each KME says of each of its links."""
        files = self._folder.pki.of(Kind.OPERATOR, OPERATOR)
        for kme in self._folder.kmes:
            with OperatorClient(self._folder.url(kme), files.ca, files.certificate, files.key, kme_id=kme) as client:
                yield from client.status()["links"]

    def _trusted(self) -> bool:
        return all(link["trusted"] for link in self._links())

    def _stocked(self) -> bool:
        wanted = KEY_BITS * max(1, self._folder.wish.stock)
        return all(link["stored_bits"][SourceKind.QKD.value] >= wanted for link in self._links())  # type: ignore[index]

    # Ending

    def _end(self) -> None:
        """Stop the sources first: a KME that is gone is no trouble to a source that is."""
        for source in self._sources:
            source.stop()
        for kme in self._kmes.values():
            kme.stop()
        self._folder.close()


def fill(link: str, ends: tuple[SourceEnd, SourceEnd], keys: int, stop: threading.Event) -> None:
    """Give both `ends` of a link blocks for `keys` keys in each direction, as fast as they take them.

    Raises `PeerUnavailable` where one does not, `LabStopped` once `stop` is set.
    """
    jobs = [(ends[at].kme_id, octets) for octets in block_sizes(keys) for at in (0, 1)]
    with ExitStack() as open_ones, ThreadPoolExecutor(_FILLERS) as pool:
        channels = [
            {end.kme_id: open_ones.enter_context(closing(_channel(end))) for end in ends} for _ in range(_FILLERS)
        ]
        shares = [
            pool.submit(_fill_some, link, channels[at], jobs[at::_FILLERS], stop) for at in range(_FILLERS)
        ]  # fmt: skip
        for share in shares:
            share.result()


def block_sizes(keys: int) -> Iterator[int]:
    """Yield the sizes, in bytes, of blocks from which exactly `keys` keys can be cut."""
    left = keys * KEY_BITS // 8
    while left > 0:
        usable = min(left, FILL_OCTETS - _CONFIRMATION_OCTETS)
        yield usable + _CONFIRMATION_OCTETS
        left -= usable


def _channel(end: SourceEnd) -> Channel:
    return Channel(end.url, end.credentials, kme_id=end.kme_id)


def _fill_some(link: str, channels: dict[str, Channel], jobs: list[tuple[str, int]], stop: threading.Event) -> None:
    for master, octets in jobs:
        if stop.is_set():
            raise LabStopped("stopped before it was ready")
        with Secret(secrets.token_bytes(octets)) as content:
            block = Block(
                link=link, block_id=str(uuid.uuid4()), master_kme=master, key_bits=content, qber=QBER, label=LABEL
            )
            slave = next(kme for kme in channels if kme != master)
            for kme in (slave, master):
                if not push(channels[kme], block):
                    raise PeerUnavailable(f"{kme} has no room for the stock that was asked for")
