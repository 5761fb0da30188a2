"""The contract under everything at once: crowds of requests, faults of the wire, kills of either KME, from a seed."""

import asyncio
import random
from pathlib import Path

import pytest
from tests.edge.kme.faulty_wire import Fault
from tests.edge.kme.two_kmes import Kme, Network, in_loop, running

from keystrand.edge.kme.assigning import Assigner
from keystrand.edge.kme.messages import ASSIGN_URL, NOTICES_URL, Assign, AssignAnswer, Verdict
from keystrand.edge.tls import Peer
from keystrand.model.errors import InvalidInput, KeystrandError

STEPS = 60
KEY = 32
FAULTS = [fault for fault in Fault if fault is not Fault.HANGS]


class Ledger:
    """What both SAEs were given, as they see it."""

    def __init__(self, net: Network, chance: random.Random) -> None:
        self.net, self.chance = net, chance
        self.given: dict[str, bytes] = {}
        self.fetched: dict[str, bytes] = {}

    async def ask(self) -> None:
        """Get some keys for the slave SAE, or none where something is in the way."""
        try:
            got = await self.net.a.issue("sae-b", count=self.chance.randint(1, 3))
        except KeystrandError:
            return
        keys = got.keys.reveal()
        for at, key_id in enumerate(got.key_ids):
            assert key_id not in self.given
            self.given[key_id] = keys[at * KEY : (at + 1) * KEY]

    async def fetch(self, key_id: str) -> None:
        """Fetch a key at the slave KME; it is there, whatever has happened."""
        (taken,) = await self.net.b.take("sae-b", "sae-a", [key_id])
        self.fetched[key_id] = bytes(taken.key)

    def check(self) -> None:
        """Every key has one ID, and both ends have the same; no half of a key is in another one."""
        assert all(self.given[key_id] == key for key_id, key in self.fetched.items())
        halves = [half for key in self.given.values() for half in (key[:16], key[16:])]
        assert len(set(halves)) == len(halves)


async def crowd(ledger: Ledger, hit: Kme | None) -> None:
    """Ask for keys many times at once; `hit` is killed meanwhile, and started again."""
    asking = [asyncio.ensure_future(ledger.ask()) for _ in range(ledger.chance.randint(1, 6))]
    if hit:
        await asyncio.sleep(ledger.chance.random() * 0.02)
        await hit.kill()
        if hit is ledger.net.a:
            for one in asking:
                one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await hit.start()
        await ledger.net.trusted()
    for outcome in await asyncio.gather(*asking, return_exceptions=True):
        assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome


async def live(net: Network, seed: int) -> Ledger:
    """Let everything happen for a while; then fetch what is left. Raises where a promise is broken."""
    chance = random.Random(seed)
    ledger, wire = Ledger(net, chance), net.a.wires["ab"]
    for _ in range(STEPS):
        if chance.random() < 0.3:
            await net.fill(16 * chance.randint(4, 40))
        if chance.random() < 0.6:
            wire.faults = {ASSIGN_URL: [chance.choice(FAULTS)], NOTICES_URL: [chance.choice(FAULTS)]}
        await crowd(ledger, chance.choice([None, None, None, net.a, net.b]))
        wire.faults = {}
        await net.trusted()
        chance.shuffle(wire.late)
        if chance.random() < 0.5:
            await wire.deliver_late()
        waiting = sorted(ledger.given.keys() - ledger.fetched.keys())
        for key_id in chance.sample(waiting, min(len(waiting), 3)):
            await ledger.fetch(key_id)
    await wire.deliver_late()
    for key_id in sorted(ledger.given.keys() - ledger.fetched.keys()):
        await ledger.fetch(key_id)
    ledger.check()
    return ledger


@pytest.mark.parametrize("seed", [1, 2, 3])
@in_loop
async def test_no_promise_breaks(tmp_path: Path, seed: int) -> None:
    """No key twice, none under two IDs, the same at both ends, and each that was answered can be fetched in the end."""
    async with running(tmp_path) as net:
        ledger = await live(net, seed)
        assert len(ledger.given) > 30
        assert {"burn", "enc_keys"} <= set(net.a.actions())


@in_loop
async def test_a_slave_that_answers_before_it_commits_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same life breaks a promise where the slave KME is weak: what was answered cannot be fetched after a kill."""
    assign, later = Assigner.assign, set[asyncio.Task[AssignAnswer]]()

    async def early(self: Assigner, message: Assign, peer: Peer) -> AssignAnswer:
        async def late() -> AssignAnswer:
            await asyncio.sleep(0.01)
            return await assign(self, message, peer)

        later.add(asyncio.get_running_loop().create_task(late()))
        return AssignAnswer(mark=self._store.mark, verdicts=tuple(Verdict() for _ in message.orders))

    monkeypatch.setattr(Assigner, "assign", early)
    async with running(tmp_path) as net:
        with pytest.raises(InvalidInput, match="not found on KME"):
            await live(net, 1)
        for task in later:
            task.cancel()
