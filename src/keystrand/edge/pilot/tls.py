"""The consumer `tls` on trial: an echo from site a to site b, a fresh key from the KMEs for every handshake."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from queue import SimpleQueue
from typing import NamedTuple

from keystrand.edge.consumers.echoing import MESSAGE_BYTES, Echoing, Opened, exchange
from keystrand.edge.consumers.psk_ends import external_psk_supported
from keystrand.edge.consumers.seen_keys import SeenKeys
from keystrand.edge.consumers.tls_psk import EchoServer, opened_with
from keystrand.edge.kme.client import Client014
from keystrand.edge.pilot.attempts import Done
from keystrand.edge.pilot.base import B, Ground
from keystrand.edge.pilot.certified import CertifiedEcho, certificates, certified
from keystrand.edge.pilot.paced import PATIENCE_S, PacedTrial, nothing
from keystrand.edge.pilot.way import Way
from keystrand.model.pilot import PilotConsumer
from keystrand.model.stages.recorded import Deed, DeedKind

_MESSAGE = b"keystrand pilot"
_CONNECTIONS = 4
"""To the KME, kept open: handshakes that begin at once wait for each other's keys no longer than they must."""


class _Connected(NamedTuple):
    """An open connection, and what it took to get its key."""

    opened: Opened
    key_id: str = ""
    enc_keys_s: float | None = None


class TlsTrial(PacedTrial):
    """See `base.Trial`. `throughput`: 64 KiB to the other end and back, again and again, counted one way."""

    how = "TLS 1.3 with an external pre-shared key, identity = key_ID, psk_dhe_ke; a fresh key for every handshake"

    def __init__(self, declared: PilotConsumer) -> None:
        super().__init__(declared)
        self._seen = SeenKeys()
        self._echo: EchoServer | None = None
        self._idle: SimpleQueue[Client014] = SimpleQueue()
        self._connect: Callable[[], AbstractContextManager[_Connected]] | None = None
        self._open = ExitStack()

    def why_not(self) -> str:
        """Return what the installed `cryptography` lacks."""
        return "" if external_psk_supported() else "the installed cryptography knows no external pre-shared keys"

    def set_up(self, ground: Ground) -> None:
        """See `base.Trial`."""
        self._ground, self._way = ground, Way(ground.carrier)
        ground.care.add(self)
        what = "start the service with its KME, the files of its SAE and the other SAE's name, at either end"
        self.deeds.append(Deed(kind=DeedKind.COMMAND, what=what, count=2, consumer=self.declared.id))

    def stop(self) -> None:
        """End everything."""
        self.end_traffic()
        self._end()

    def begin_plain(self) -> str:
        """See `base.Trial`."""
        self._context, files = certificates(self._ground.folder / f"{self.declared.id}-certificates", self._way.host)
        self._begin(CertifiedEcho(files, self._way.listener()), self._certified)
        return "the same echo by certificates at both ends (ECDSA P-256) in X25519MLKEM768, without a key from a KME"

    def end_plain(self) -> None:
        """See `base.Trial`."""
        self._end()

    def begin_keyed(self) -> None:
        """See `base.Trial`."""
        near, far = self._ground.kmes
        self._idle = SimpleQueue()
        for _ in range(_CONNECTIONS):
            self._idle.put(self._open.enter_context(near.client(timeout_s=PATIENCE_S)))
        theirs = self._open.enter_context(far.client(timeout_s=PATIENCE_S))
        self._echo = EchoServer(theirs, near.sae, listener=self._way.listener())
        self._begin(self._echo, self._keyed)

    def throughput(self, seconds: float) -> float | None:
        """See `base.Trial`. Raises `NoKeyAvailable`, `PeerUnavailable`."""
        if self._connect is None:
            return None
        with self._connect() as connected:
            message, octets, begin = secrets.token_bytes(MESSAGE_BYTES), 0, time.monotonic()
            while time.monotonic() - begin < seconds:
                exchange(connected.opened, message)
                octets += len(message)
            return 8 * octets / (time.monotonic() - begin)

    def wrong_keys(self) -> int:
        """See `base.Trial`."""
        return self._seen.old + self._seen.zero

    # What the evidence of the key service is made of

    @property
    def old_keys(self) -> int:
        """How many keys came twice."""
        return self._seen.old

    @property
    def zero_keys(self) -> int:
        """How many keys were empty."""
        return self._seen.zero

    @property
    def without_key(self) -> int:
        """How many handshakes the server completed without a key."""
        return self._echo.without_key if self._echo else 0

    def dec_keys_s(self, from_s: float, to_s: float) -> tuple[float, ...]:
        """Return how long dec_keys took (seconds) for each success that began between two moments."""
        echo = self._echo
        found = [echo.dec_keys_s_of(key_id) for _, key_id in self.keys_used(from_s, to_s)] if echo else []
        return tuple(one for one in found if one is not None)

    # Inside

    def _begin(self, server: Echoing, connect: Callable[[], AbstractContextManager[_Connected]]) -> None:
        self._open.enter_context(server)
        self._port, self._connect, self._operation = server.port, connect, self._once

    def _end(self) -> None:
        self._operation, self._connect = nothing, None
        self._open.close()

    def _once(self) -> Done | None:
        if self._connect is None:
            return None
        with self._connect() as connected:
            exchange(connected.opened, _MESSAGE)
        opened = connected.opened
        return Done(connected.key_id, opened.handshake_s, connected.enc_keys_s, opened.group)

    @contextmanager
    def _certified(self) -> Iterator[_Connected]:
        with certified(self._context, self._way.dial(self._port), self._way.host) as opened:
            yield _Connected(opened)

    @contextmanager
    def _kme(self) -> Iterator[Client014]:
        """Yield a connection to the KME that nobody else uses meanwhile."""
        kme = self._idle.get()
        try:
            yield kme
        finally:
            self._idle.put(kme)

    @contextmanager
    def _keyed(self) -> Iterator[_Connected]:
        with self._kme() as kme:
            begin = time.perf_counter()
            (key,) = kme.enc_keys(self._ground.kmes[B].sae)
            taken_s = time.perf_counter() - begin
        with key.key:
            self._seen.examine(key.key_id, key.key.view())
            place = f"{self._way.host}:{self._port}"
            with opened_with(self._way.dial(self._port), place, key.key_id, key.key) as opened:
                yield _Connected(opened, key.key_id, taken_s)
