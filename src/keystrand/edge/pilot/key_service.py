"""Where the keys of a pilot come from: two KMEs of ours fed by the twin of the corridor's link, or a vendor's two."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from keystrand.edge.consumers.base import ConsumerFailure
from keystrand.edge.consumers.settings import told
from keystrand.edge.devices.twin_source import TwinSource
from keystrand.edge.kme.pair import KME_IDS, Pair, start_pair
from keystrand.edge.pilot.base import A, B, KmeEnd
from keystrand.edge.pilot.link_monitor import LinkMonitor, Told
from keystrand.edge.pki import Credentials, Identity, Kind, issue
from keystrand.keys.contract import INDEX_DIGITS
from keystrand.model.errors import InvalidInput, KeystrandError, NoKeyAvailable, PeerUnavailable
from keystrand.model.link import LinkRate
from keystrand.model.pilot import EventKind, KeySource, VendorEnd
from keystrand.operate.audit import entry_of
from keystrand.pilot.link_reports import intercepted, sagging
from keystrand.pilot.twin import ChangingTwin

SAES = ("sae-a", "sae-b")
BLOCKS_PER_S = 10.0
CERTIFICATE_S = 4.0
"""How long the certificate of an SAE lasts that expires under the eyes of the pilot."""
_KEY_BITS = 256
_PKI_DAYS = 7


class Doing(NamedTuple):
    """How one event is done and undone; `deeds` are the commands that its mending asks of an operator."""

    do: Callable[[int], None]
    undo: Callable[[int], None]
    deeds: tuple[str, ...] = ()


class KeyService(Protocol):
    """The source of keys and both KMEs."""

    words: str
    alarms: list[Told]

    @property
    def ends(self) -> tuple[KmeEnd, KmeEnd]:
        """Both KMEs, as the SAEs at the two ends see them."""

    def start(self) -> None:
        """Start it, or see that it answers. Raises `PeerUnavailable`, `NoKeyAvailable`."""

    def stop(self) -> None:
        """End what was started."""

    def doing(self, event: EventKind) -> Doing | str:
        """Return how `event` is done to it, or why it cannot be."""

    def rates_bits_per_s(self, from_s: float, to_s: float) -> tuple[float, ...]:
        """Return what the source made between two moments of the monotonic clock; nothing where that is not told."""

    def audited(self) -> frozenset[str] | None:
        """Return the key_IDs that both ends' audits say were handed out; None where no audit is ours to read."""


class TwinKeys:
    """Two KME processes of our own and the twin of the link between them. The keys are simulated."""

    words = "the twin of the corridor's link: two key management entities of keystrand, key at the modelled rate"

    def __init__(self, folder: Path, link: str, rate: LinkRate, *, stock_keys: int, demand_bits_per_s: float) -> None:
        self._folder, self._link, self._rate = folder, link, rate
        self._stock, self._demand = stock_keys, demand_bits_per_s
        self._state: LinkRate | None = rate
        self._pair: Pair | None = None
        self._source: TwinSource | None = None
        self._twin: ChangingTwin | None = None
        self._monitor = LinkMonitor(link, lambda: self._state, seed=1)
        self.alarms = self._monitor.alarms

    @property
    def pair(self) -> Pair:
        """The two KMEs. Raises `PeerUnavailable` before they are started."""
        if self._pair is None:
            raise PeerUnavailable("the key management entities of the pilot do not run")
        return self._pair

    @property
    def ends(self) -> tuple[KmeEnd, KmeEnd]:
        """Both KMEs as their SAEs see them."""
        one, two = (
            KmeEnd(self.pair.urls[at], SAES[at], self.pair.pki.of(Kind.SAE, SAES[at]), KME_IDS[at]) for at in (A, B)
        )
        return one, two

    @property
    def unseen(self) -> tuple[str, ...]:
        """Return which attacks the link's reports do not show."""
        return self._monitor.unseen

    def start(self) -> None:
        """Start both KMEs and the twin, and wait for the first keys. Raises `PeerUnavailable`."""
        self._pair = start_pair(self._folder, saes=SAES, link=self._link, max_key_count=self._stock)
        bits = self._rate.secret_key_rate_bits_per_s
        # no block may be larger than half of what a direction may hold
        block = max(1024, int(min(bits / BLOCKS_PER_S, self._stock * _KEY_BITS / 2)) // 8 * 8)
        self._source = TwinSource(
            self._link, self.pair.source_ends, bits_per_s=bits, qber=self._rate.qber, block_bits=block, twin=self._made
        )
        self._source.start()
        self._monitor.start()
        self.pair.wait_for_keys(1)

    def _made(self, block_bits: int, now_s: float) -> ChangingTwin:
        self._twin = ChangingTwin(
            secret_bits_per_s=self._rate.secret_key_rate_bits_per_s, qber=self._rate.qber, block_bits=block_bits,
            now_s=now_s,
        )  # fmt: skip
        return self._twin

    def stop(self) -> None:
        """End the twin and both KMEs."""
        self._monitor.stop()
        if self._source:
            self._source.stop()
        if self._pair:
            self._pair.stop()

    def rates_bits_per_s(self, from_s: float, to_s: float) -> tuple[float, ...]:
        """Return the rate of each block that the twin made: simulated."""
        pushes = self._source.pushes() if self._source else ()
        within = [one for one in pushes if from_s <= one.at_s <= to_s]
        return tuple(later.bits / (later.at_s - earlier.at_s) for earlier, later in pairwise(within))

    def audited(self) -> frozenset[str]:
        """Return the key_IDs that the audit of the one says it gave first, and that of the other says it gave too."""
        given = {one["order"]: one["count"] for one in self._told(A, "enc_keys")}
        fetched = (key_id for one in self._told(B, "dec_keys") for key_id in one["key_ids"])
        return frozenset(key_id for key_id in fetched if _place(key_id) < given.get(_order(key_id), 0))

    def _told(self, at: int, action: str) -> Iterator[dict[str, Any]]:
        """Yield what whole lines of an end's audit say of `action`."""
        for file in sorted((self._folder / f"{KME_IDS[at]}.audit").glob("*.jsonl")):
            lines = file.read_bytes().splitlines(keepends=True)
            entries = (entry_of(line) for line in lines if line.endswith(b"\n"))
            yield from (msgspec.json.decode(one.detail) for one in entries if one.action == action)

    # Events

    def doing(self, event: EventKind) -> Doing | str:
        """Return how `event` is done to link and KMEs. The number of the repetition chooses the end."""
        found = {
            EventKind.RATE_SAG: Doing(self._sag, self._whole),
            EventKind.LINK_CUT: Doing(self._cut, self._mended),
            EventKind.EAVESDROPPER: Doing(lambda _: self._change(intercepted(self._rate)), self._whole),
            EventKind.KME_DEATH: Doing(
                lambda n: self.pair.kill(KME_IDS[n % 2]), lambda n: self.pair.restart(KME_IDS[n % 2]),
                ("systemctl restart keystrand-kme, where it is not restarted by itself",),
            ),
            EventKind.MAINTENANCE: Doing(
                self._shut_down, lambda _: self.pair.restart(KME_IDS[B]),
                ("systemctl stop keystrand-kme", "systemctl start keystrand-kme"),
            ),
            EventKind.CERTIFICATE_EXPIRY: Doing(
                lambda _: self._certificate(CERTIFICATE_S), lambda _: self._certificate(None),
                (f"keystrand pki issue DIR --kind sae --id {SAES[A]} --renew",),
            ),
        }  # fmt: skip
        return found.get(event, f"{event} is not done to a key service")

    def _sag(self, _number: int) -> None:
        self._change(sagging(self._rate, min(self._demand, self._rate.secret_key_rate_bits_per_s) / 2))

    def _whole(self, _number: int) -> None:
        self._monitor.forget()
        self._change(self._rate)

    def _change(self, state: LinkRate) -> None:
        self._state = state
        if self._twin and self._source:
            self._twin.change(max(0.0, state.secret_key_rate_bits_per_s), state.qber)
            self._source.restore()  # wakes it

    def _cut(self, _number: int) -> None:
        self._state = None
        if self._source:
            self._source.cut()

    def _mended(self, _number: int) -> None:
        self._monitor.forget()
        self._state = self._rate
        if self._source:
            self._source.restore()

    def _shut_down(self, _number: int) -> None:
        self.pair.kme(KME_IDS[B]).stop()

    def _certificate(self, seconds: float | None) -> None:
        """Give the SAE at site a another certificate, one that ends in so many seconds, or one that lasts."""
        now = datetime.now(UTC)
        began = now if seconds is None else now - timedelta(days=1) + timedelta(seconds=seconds)
        issue(self.pair.pki, Identity(kind=Kind.SAE, id=SAES[A]), days=1, renew=True, now=began)


class VendorKeys:
    """A vendor's two KMEs by ETSI GS QKD 014. What is done to its equipment, an operator's commands do."""

    def __init__(self, source: KeySource, folder: Path) -> None:
        if source.a is None or source.b is None:
            raise InvalidInput("a vendor's key service needs both ends", hint="write [source.a] and [source.b]")
        self._commands = source.commands
        self._under_way: list[str] = []
        """The commands that undo what was begun, the latest last."""
        self.ends = _vendor_end(source.a, folder), _vendor_end(source.b, folder)
        self.words = f"a vendor's key management entities by ETSI GS QKD 014: {self.ends[A].url} and {self.ends[B].url}"
        self.alarms: list[Told] = []

    def start(self) -> None:
        """See that it has a key for the consumers. Raises `PeerUnavailable`, `NoKeyAvailable`, `PolicyDenied`."""
        with self.ends[A].client() as client:
            if not client.status(self.ends[B].sae).stored_key_count:
                raise NoKeyAvailable(f"{self.ends[A].url} holds no key for {self.ends[B].sae}")

    def stop(self) -> None:
        """Undo what was begun, the latest first: its events end with the pilot. Raises `KeystrandError`."""
        with ExitStack() as left:
            for command in self._under_way:
                left.callback(self._end, command)

    def doing(self, event: EventKind) -> Doing | str:
        """Return the operator's commands for `event`, both of them."""
        begin, end = self._commands.get(event), self._commands.get(f"{event}-end")
        if begin is None or end is None:
            return f"the key source is a vendor's, and [source.commands] has no {event} with {event}-end"
        return Doing(lambda _: self._begin(begin, end), lambda _: self._end(end), (begin, end))

    def _begin(self, command: str, end: str) -> None:
        self._under_way.append(end)  # before: one that fails may have done a part
        self._run(command)

    def _end(self, command: str) -> None:
        self._under_way = [one for one in self._under_way if one != command]
        self._run(command)

    def _run(self, command: str) -> None:
        try:
            told(command)
        except ConsumerFailure as error:
            raise KeystrandError(f"a command of [source.commands] failed: {error.message}") from error

    def rates_bits_per_s(self, from_s: float, to_s: float) -> tuple[float, ...]:  # noqa: ARG002 - it does not tell
        """Return nothing: ETSI GS QKD 014 has no rate."""
        return ()

    def audited(self) -> None:
        """Return None: its audit is the vendor's."""
        return


def _order(key_id: str) -> str:
    """Return the order that a key belongs to: its key_ID without the place in it (`keys/contract`)."""
    return key_id[:-INDEX_DIGITS]


def _place(key_id: str) -> int:
    return int(key_id[-INDEX_DIGITS:], 16)


def _vendor_end(end: VendorEnd, folder: Path) -> KmeEnd:
    files = Credentials(ca=folder / end.ca, certificate=folder / end.certificate, key=folder / end.key)
    return KmeEnd(end.url, end.sae, files, foreign=True, require_post_quantum=end.require_post_quantum)


def demand_bits_per_s(rotations_s: tuple[float, ...], in_band_per_s: tuple[float, ...]) -> float:
    """Return the bits of key a second that consumers ask for: some change keys every so often, some use one each."""
    keys_per_s = math.fsum(1 / every for every in rotations_s) + math.fsum(in_band_per_s)
    return _KEY_BITS * keys_per_s
