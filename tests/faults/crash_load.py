"""Load on two KMEs whose clients write down all they were given, and what must hold of it whatever happened to them.

Nothing here looks into a KME: an SAE knows what it was answered, and that stays true.
"""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from msgspec import Struct

from keystrand.edge.kme.client import Client014
from keystrand.edge.kme.wire import SecretKey
from keystrand.model.errors import InvalidInput, KeystrandError, NoKeyAvailable, PolicyDenied

from .node import Node, NotStarted
from .plant import IN_DOUBT, NOT_REACHED, SAES, Plant
from .shim import Action, Op, Rule

_PAUSE_S = 0.02
_PATIENCE_S = 9.0
"""How long a client asks again for keys it was promised: a KME's restart, and less than the replay window."""
_PAUSES_S = (0.3, 1.2)
"""Between a KME's restart and the next strike."""
_BOTH = 0.2
"""How many of the strikes hit both KMEs at once."""
_STALLS_MS = (0, 50, 150)
_SLOW_S = 0.2
"""Before a strike a disk is as slow as that for so long."""
_RECENT = 6
"""How many orders are asked for again after each strike."""
_MOST_KEYS = 4
_LATE = 0.2
_LATE_S = 0.4
"""That share of orders is fetched only after up to so long: its states last until other commits have come between."""


class Order(Struct, frozen=True, kw_only=True):
    """What one Get key was answered: SAE `master` got `keys` under `key_ids`, to share with the other SAE."""

    master: int
    key_ids: tuple[str, ...]
    keys: tuple[bytes, ...]


def order_of(master: int, keys: Sequence[SecretKey]) -> Order:
    """Return what a client of the master was answered, for the ledger."""
    return Order(master=master, key_ids=tuple(k.key_id for k in keys), keys=tuple(k.key.reveal() for k in keys))


class Fetched(Struct, frozen=True, kw_only=True):
    """How fetching an order ended: with `keys`, or refused with a reason (None: given up).

    `doubts`: how many answers before it were lost.
    """

    order: Order
    keys: tuple[bytes, ...] | None
    doubts: int
    why: str = ""


class Ledger:
    """All that clients were answered, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.given: list[Order] = []
        self.fetched: list[Fetched] = []
        self.over = False
        """Whether nobody waits any more for what is still to be fetched."""
        self.wrong: list[str] = []
        """Answers that were no answer to their request."""
        self.again: list[str] = []
        """Keys that were given a second time to a request that could not be a repetition of the first."""

    def trouble(self, error: KeystrandError) -> bool:
        """Write down an error that no outage explains; return whether an answer was lost."""
        if error.id not in (IN_DOUBT, NOT_REACHED, NoKeyAvailable.id):
            self.wrong.append(error.message)
        return error.id == IN_DOUBT

    def add(self, one: Order | Fetched) -> None:
        """Write down an answer."""
        with self._lock:
            if isinstance(one, Order):
                self.given.append(one)
            else:
                self.fetched.append(one)

    @property
    def keys(self) -> int:
        """How many keys went both ways."""
        with self._lock:
            return sum(len(one.keys) for one in self.fetched if one.keys)

    def violations(self, plant: Plant) -> dict[str, int]:
        """Return what must not be, by name, with its count; nothing where all is well. The KMEs are stopped.

        Without a replay window a request whose first answer was lost may be refused when it is repeated.
        """
        given = [pair for order in self.given for pair in zip(order.key_ids, order.keys, strict=True)]
        got = [(one.order, one.keys) for one in self.fetched if one.keys is not None]
        refused = [one for one in self.fetched if one.keys is None and one.why]
        found = {
            "wrong answer": len(self.wrong),
            "key ID given twice": _repeated(key_id for key_id, _ in given),
            "key bytes given twice": _repeated(key for _, key in given),
            "fetched twice": len(self.again) + _repeated(i for order, _ in got for i in order.key_ids),
            "ends differ": sum(order.keys != keys for order, keys in got),
            "refused though promised": sum(plant.replay_window or not one.doubts for one in refused),
            "never answered": sum(one.keys is None and not one.why for one in self.fetched),
            **self._unaudited(plant),
        }
        return {name: count for name, count in found.items() if count}

    def _unaudited(self, plant: Plant) -> dict[str, int]:
        audits = plant.audited(0), plant.audited(1)
        enc = (len(set(one.key_ids) - audits[one.master]["enc_keys"]) for one in self.given)
        fetched = (one.order for one in self.fetched if one.keys)
        dec = (len(set(one.key_ids) - audits[1 - one.master]["dec_keys"]) for one in fetched)
        return {"enc_keys not in audit": sum(enc), "dec_keys not in audit": sum(dec)}

    def demand_work(self, keys: int) -> None:
        """Raise `AssertionError` unless so many keys went both ways: what was not done proves nothing."""
        assert self.keys >= keys, f"only {self.keys} keys went both ways"


def _repeated(values: Iterable[object]) -> int:
    return sum(count - 1 for count in Counter(values).values())


class Load:
    """Clients in both directions, 1 to 4 keys a request, while this is open. What they are answered is in `ledger`."""

    def __init__(self, plant: Plant, seed: int, threads: int = 4) -> None:
        self._plant, self._seed, self.ledger = plant, seed, Ledger()
        self._stop = threading.Event()
        self._broken: list[BaseException] = []
        self._threads = [threading.Thread(target=self._guarded, args=(n,)) for n in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self.ledger.over = error is not None
        for thread in self._threads:
            thread.join()
        if self._broken:
            raise self._broken[0]

    def _guarded(self, number: int) -> None:
        try:
            self._run(number)
        except BaseException as error:  # a client that ended early would hide what it missed
            self._broken.append(error)

    def _run(self, number: int) -> None:
        master, chance = number % 2, random.Random(f"{self._seed} {number}")
        with self._plant.client(master, timeout_s=5) as mine, self._plant.client(1 - master, timeout_s=5) as other:
            while not self._stop.is_set():
                try:
                    keys = mine.enc_keys(SAES[1 - master], number=chance.randint(1, _MOST_KEYS))
                except KeystrandError as error:
                    self.ledger.trouble(error)
                    time.sleep(_PAUSE_S)
                    continue
                order = order_of(master, keys)
                self.ledger.add(order)
                time.sleep(chance.uniform(0, _LATE_S) if chance.random() < _LATE else 0)
                self.ledger.add(fetch(other, order, self.ledger))

    def wait_for(self, keys: int) -> None:
        """Wait until so many more keys went both ways. Raises `AssertionError` where they do not come."""
        wanted = self.ledger.keys + keys
        for _ in range(2000):
            if self.ledger.keys >= wanted:
                return
            time.sleep(0.01)
        raise AssertionError("no new keys for twenty seconds")


def deliver(plant: Plant, master: int, ledger: Ledger, *, patience_s: float = 0.0) -> bool:
    """Get two keys, asking for so long, and fetch them at the other end; return whether they were given."""
    until_s = time.monotonic() + patience_s
    with plant.client(master, timeout_s=20) as mine, plant.client(1 - master, timeout_s=20) as other:
        while True:
            try:
                keys = mine.enc_keys(SAES[1 - master], number=2)
                break
            except KeystrandError as error:
                ledger.trouble(error)
                if time.monotonic() >= until_s:
                    return False
                time.sleep(_PAUSE_S)
        order = order_of(master, keys)
        ledger.add(order)
        ledger.add(fetch(other, order, ledger))
    return True


def fetch(slave: Client014, order: Order, ledger: Ledger) -> Fetched:
    """Get an order's keys at its slave, again and again on one connection's identity until there is a last word."""
    doubts, until_s = 0, time.monotonic() + _PATIENCE_S
    while time.monotonic() < until_s and not ledger.over:
        try:
            keys = slave.dec_keys(SAES[order.master], order.key_ids)
        except (InvalidInput, PolicyDenied) as error:
            return Fetched(order=order, keys=None, doubts=doubts, why=error.message)
        except KeystrandError as error:
            doubts += ledger.trouble(error)
            time.sleep(_PAUSE_S)
        else:
            return Fetched(order=order, keys=tuple(key.key.reveal() for key in keys), doubts=doubts)
    return Fetched(order=order, keys=None, doubts=doubts)


def strike_at_random(
    plant: Plant, times: int, seed: int, strike: Callable[[Node], None] = Node.kill, *, threads: int = 4
) -> dict[str, int]:
    """Kill a KME, at times both, again and again under load, and start it anew; return what must not be, with counts.

    `strike` is done to what was killed before it starts again. `threads` clients ask at once.
    """
    chance = random.Random(seed)
    load = Load(plant, seed, threads)
    try:
        with plant.source(), load:
            load.wait_for(20)
            for _ in range(times):
                time.sleep(chance.uniform(*_PAUSES_S))
                _strike(plant, chance, load, strike)
            load.wait_for(20)
    except NotStarted as error:
        return {str(error): 1}
    for one in plant.nodes:
        one.stop()
    load.ledger.demand_work(10 * times)
    return load.ledger.violations(plant)


def _strike(plant: Plant, chance: random.Random, load: Load, strike: Callable[[Node], None]) -> None:
    victims = plant.nodes if chance.random() < _BOTH else (chance.choice(plant.nodes),)
    if victims[0].has_shim:
        # on a slow disk much is on its way at once
        for one in victims:
            one.rules.set(Rule(ops=Op.SYNC, pattern="*", action=Action.STALL, stall_ms=chance.choice(_STALLS_MS)))
        time.sleep(_SLOW_S)
    for one in victims:
        one.kill()
    recent = load.ledger.fetched[-_RECENT:]
    for one in victims:
        strike(one)
        one.launch()
    for one in victims:
        one.wait_ready()
    ask_again(plant, load.ledger, recent)


def ask_again(plant: Plant, ledger: Ledger, fetched: Sequence[Fetched]) -> None:
    """Ask for one key of each of several that were fetched together: no repetition, so every one must be refused."""
    for one in fetched:
        if one.keys and len(one.keys) > 1:
            with contextlib.suppress(KeystrandError), plant.client(1 - one.order.master) as slave:
                slave.dec_keys(SAES[one.order.master], one.order.key_ids[:1])
                ledger.again.append(one.order.key_ids[0])


def fill(plant: Plant, keys: int) -> None:
    """Feed both KMEs until each can give so many keys, and no longer."""
    with plant.source(), plant.client(0) as one, plant.client(1) as two:
        for _ in range(1000):
            if min(one.status(SAES[1]).stored_key_count, two.status(SAES[0]).stored_key_count) >= keys:
                return
            time.sleep(0.01)
    raise AssertionError("the source gave no keys in ten seconds")
