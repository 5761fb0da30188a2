"""Perform a pilot's campaign: two real KMEs, a key source at the modelled rate, and a real consumer of the keys."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from keystrand.edge.consumers.seen_keys import SeenKeys
from keystrand.edge.consumers.tls_psk import EchoResult, EchoServer, echo_with
from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.pair import start_pair
from keystrand.model.errors import NoKeyAvailable, PeerUnavailable
from keystrand.model.link import LinkRate
from keystrand.model.pilot import Pilot
from keystrand.model.stages import CutEvidence, PilotEvent
from keystrand.pilot.campaign import CAMPAIGN, Phase, PhaseName, Progress, is_over
from keystrand.pilot.report import Campaign
from keystrand.pilot.scorecard import Samples
from keystrand.pilot.twin import LinkEvent

SAES = ("sae-a", "sae-b")
CONSUMER = "TLS 1.3 with an external pre-shared key, identity = key_ID, psk_dhe_ke"
STOCK_KEYS = 200
"""Keys each direction may stock: a cut must be felt within the campaign, not after an hour."""
WATCH_S = 3.0
"""How long the key rate is watched at least: some thirty blocks."""
PHASE_S = 60.0
"""A phase that has not reached its end by then never will; the scorecard says what was missed."""
REFUSED_PAUSE_S = 0.02
_MESSAGE = b"keystrand pilot"


class _Consumer:
    """The client end of the consumer, with a memory of every key it was given."""

    def __init__(self, kme: Client014, server: EchoServer) -> None:
        self._kme, self._server = kme, server
        self.seen = SeenKeys()
        self.results: list[EchoResult] = []
        self.failed = 0

    def use_fresh_key(self) -> None:
        """Take one key and echo under it. Raises `NoKeyAvailable`; a handshake that fails is counted, not raised."""
        begin = time.perf_counter()
        (key,) = self._kme.enc_keys(SAES[1])
        fetched_s = time.perf_counter() - begin
        with key.key:
            self.seen.examine(key.key_id, key.key.view())
            try:
                result = echo_with(
                    self._server.host, self._server.port, key.key_id, key.key, _MESSAGE, enc_keys_s=fetched_s
                )
            except PeerUnavailable:
                self.failed += 1
            else:
                self.results.append(result)


class _Normal(NamedTuple):
    """What the normal phase brought: handshakes that succeeded, how many failed, the server's dec_keys times."""

    results: tuple[EchoResult, ...]
    failed: int
    dec_keys_s: tuple[float, ...]


class _Run:
    """One campaign under way."""

    def __init__(
        self, pilot: Pilot, source: TwinSource, consumer: _Consumer, server: EchoServer, kme: Client014
    ) -> None:
        self._pilot, self._source, self._consumer, self._server, self._kme = pilot, source, consumer, server, kme
        self._begin = self.cut_at = time.monotonic()
        self.events: list[PilotEvent] = []
        self.requests = self.refused = 0
        self.from_stock = 0
        self.error = ""
        self.recovery_s: float | None = None
        self.normal: _Normal | None = None

    def perform(self, phase: Phase, say: Callable[[str], None]) -> None:
        """Go through `phase` until it is over, or until `PHASE_S` have passed."""
        say(f"  {phase.name.value}: {phase.expects}")
        self._obey(phase.begins_with)
        begin, progress = time.monotonic(), Progress(stock=self._stock())
        old = self._consumer.seen.old
        while not (over := self._over(phase, progress, begin)) and time.monotonic() - begin < PHASE_S:
            progress = self._step(phase, progress)
        if phase.name is PhaseName.NORMAL:
            self.normal = _Normal(tuple(self._consumer.results), self._consumer.failed, self._server.dec_keys_s)
        if phase.name is PhaseName.RESTORE and progress.delivered:
            self.recovery_s = time.monotonic() - begin
        seen = self._seen(phase, progress, old=self._consumer.seen.old - old)
        late = "" if over else f"not over within {PHASE_S:g} s: "
        self.events.append(PilotEvent(name=phase.name.value, at_s=round(begin - self._begin, 3), seen=late + seen))

    def _seen(self, phase: Phase, progress: Progress, *, old: int) -> str:
        """Return what the consumer saw in `phase`. Numbers that the clock decides are in the evidence."""
        if phase.name is PhaseName.NORMAL:
            return (
                f"{len(self._consumer.results)} of {self._pilot.handshakes} handshakes with a key, "
                f"{self._consumer.failed} failed, {old} with an old key"
            )
        if phase.name is PhaseName.CUT:
            return f"the stock {'ran out' if progress.stock <= 0 else 'did not run out'}; {old} keys given twice"
        if phase.name is PhaseName.DRAINED:
            return f"{'refused with 503' if progress.refused else 'not refused'}; {old} keys given twice"
        return f"{'a new key came' if progress.delivered and not old else 'no new key came'} after the link was mended"

    def _obey(self, event: LinkEvent | None) -> None:
        if event is LinkEvent.CUT:
            self.cut_at = time.monotonic()
            self._source.cut()
        elif event is LinkEvent.RESTORED:
            self._source.restore()

    def _over(self, phase: Phase, progress: Progress, begin: float) -> bool:
        watched = phase.name is not PhaseName.NORMAL or time.monotonic() - begin >= WATCH_S
        return watched and is_over(phase, progress, handshakes=self._pilot.handshakes)

    def _step(self, phase: Phase, before: Progress) -> Progress:
        """Let the consumer take one key, unless the phase has had its handshakes and only the clock is awaited."""
        if phase.full_run and before.handshakes >= self._pilot.handshakes:
            time.sleep(REFUSED_PAUSE_S)
            return before
        delivered = refused = 0
        try:
            self._consumer.use_fresh_key()
            delivered = 1
        except NoKeyAvailable as error:
            refused, self.error = 1, error.message
            time.sleep(REFUSED_PAUSE_S)
        if phase.name in (PhaseName.CUT, PhaseName.DRAINED):
            self.requests += 1
            self.refused += refused
            self.from_stock += delivered
        return Progress(
            handshakes=before.handshakes + delivered,
            refused=before.refused + refused,
            delivered=before.delivered + delivered,
            stock=self._stock() if phase.drains else before.stock,
        )

    def _stock(self) -> int:
        return self._kme.status(SAES[1]).stored_key_count

    def evidence(self) -> CutEvidence:
        """Return what the cut showed."""
        return CutEvidence(
            requests=self.requests,
            refused_with_503=self.refused,
            keys_from_stock=self.from_stock,
            handshakes_without_key=self._server.handshakes - len(self._consumer.results),
            old_keys=self._consumer.seen.old,
            zero_keys=self._consumer.seen.zero,
            consumer_error=f"no key: {self.error}" if self.error else "",
            recovered=self.recovery_s is not None,
            recovery_s=self.recovery_s,
        )


def run_campaign(pilot: Pilot, rate: LinkRate, folder: Path, say: Callable[[str], None]) -> Campaign:
    """Perform the campaign of `pilot` in the new `folder` and return what was measured.

    Raises `PeerUnavailable` where a key management entity does not start.
    """
    with (
        start_pair(folder, saes=SAES, link=pilot.segment, max_key_count=STOCK_KEYS) as pair,
        pair.client(SAES[0]) as master,
        pair.client(SAES[1]) as slave,
        EchoServer(slave, SAES[0]) as server,
        TwinSource(
            pilot.segment, pair.source_ends, bits_per_s=rate.secret_key_rate_bits_per_s, qber=rate.qber
        ) as source,
    ):
        _wait_for_first_key(master)
        consumer = _Consumer(master, server)
        run = _Run(pilot, source, consumer, server, master)
        for phase in CAMPAIGN:
            run.perform(phase, say)
        normal = run.normal or _Normal((), 0, ())
        groups = {result.group for result in consumer.results}
        groups |= {kme.peer.group for kme in (master, slave) if kme.peer}
        return Campaign(
            consumer=CONSUMER,
            key_management_entities=len(pair.urls),
            key_exchange=tuple(sorted(groups)),
            samples=_samples(run, normal, source),
            key_ids=tuple(result.key_id for result in normal.results),
            cut=run.evidence(),
            events=tuple(run.events),
            further_limits=_further_limits(pilot, normal),
        )


def _further_limits(pilot: Pilot, normal: _Normal) -> tuple[str, ...]:
    stock = f"each direction stocks at most {STOCK_KEYS} keys, so that a cut is felt soon"
    made = len(normal.results) + normal.failed
    if made >= pilot.handshakes:
        return (stock,)
    few = f"only {made} of {pilot.handshakes} handshakes took place within {PHASE_S:g} s: the keys came too slowly"
    return (stock, few)


def _wait_for_first_key(kme: Client014) -> None:
    deadline = time.monotonic() + PHASE_S
    while not kme.status(SAES[1]).stored_key_count:
        if time.monotonic() > deadline:
            raise PeerUnavailable("no key came from the source", hint="the modelled rate may be too low for a pilot")
        time.sleep(REFUSED_PAUSE_S)


def _samples(run: _Run, normal: _Normal, source: TwinSource) -> Samples:
    before_cut = [push for push in source.pushes() if push.at_s < run.cut_at]
    rates = [later.bits / (later.at_s - earlier.at_s) for earlier, later in pairwise(before_cut)]
    return Samples(
        secret_key_rates_bits_per_s=tuple(rates),
        handshakes_ms=tuple(1e3 * result.handshake_s for result in normal.results),
        enc_keys_ms=tuple(1e3 * result.enc_keys_s for result in normal.results),
        dec_keys_ms=tuple(1e3 * seconds for seconds in normal.dec_keys_s),
        recovery_s=run.recovery_s,
        handshakes=len(normal.results) + normal.failed,
        failed_handshakes=normal.failed,
        unmeasured=()
        if run.recovery_s is not None
        else (("recovery after a cut", "the link was not seen to recover"),),
    )
