"""What one KME does about the KME at the other end of a link, all the time: trust it, confirm blocks, keep it informed.

Trust: each shows the other how far its store has come, at first and as it goes on. One that has gone back was restored
from a copy: it hands nothing out any more. Until the other end has been asked, nothing moves on the link.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import TypeVar

from msgspec import Struct

from keystrand.edge.kme import confirming
from keystrand.edge.kme.channel import InDoubt, NotSent
from keystrand.edge.kme.denials import Allowance, Sparing
from keystrand.edge.kme.links import Link
from keystrand.edge.kme.losing import lose_rest, lose_shared
from keystrand.edge.kme.messages import (
    ASSIGN_URL,
    CONFIRM_URL,
    HELLO_URL,
    NOTICES_URL,
    Assign,
    AssignAnswer,
    Confirm,
    ConfirmAnswer,
    Done,
    Hello,
    HelloAnswer,
    Notice,
    Notices,
    Order,
    Verdict,
)
from keystrand.edge.kme.ways import PeerWays
from keystrand.edge.lasting import Fail, Patience, lasting
from keystrand.edge.store import peers
from keystrand.edge.store.blocks import give_up
from keystrand.edge.store.committer import Transaction
from keystrand.edge.store.keyring import KeyringFault
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.store.pools import BlockGone, Fresh
from keystrand.edge.store.session import Session
from keystrand.formats import etsi014
from keystrand.keys.witness import Standing, StoreMark
from keystrand.model.errors import InvalidInput, KeystrandError, PeerUnavailable, StoreFailure
from keystrand.model.key import Strength

_log = logging.getLogger(__name__)
T = TypeVar("T")

_HELLO_S = 1.0
"""How often the other end is shown how far this store has come: a copy older than that is noticed."""
_RETRY_S = 0.2
_TIMEOUT_S = 3.0
_NOTICES = 200
_PATIENCE_S = 60.0
"""How long blocks may fail to open before the process stops."""
_CHANGES, _CHANGES_S = 3, 60.0
"""How often a peer may come with another store: each time much is destroyed."""
_ACCEPTED = (Standing.CONTINUES, Standing.NEW_STORE)
"""How a peer's store may stand for its link to be used."""


class Peering:
    """The life of `link` towards the KME at its other end. `fail` is told what must stop this process."""

    def __init__(
        self, store: KeyStore, link: Link, connection: PeerWays, background: PeerWays,
        fail: Fail,
    ) -> None:  # fmt: skip
        self._store, self.link, self._connection, self._background = store, link, connection, background
        self._shown = -1
        self._known: tuple[StoreMark, ...] = ()
        """What the other end remembers of this store, as far as it lies in its past."""
        self._run = ("", "", "")
        """The run of the other end's store that answered last, and was found to go on from what was seen."""
        self._changes, self._sparing = Allowance(_CHANGES, _CHANGES_S), Sparing()
        # where the round of all fresh blocks stands, and whether it has met one that the other end does not have
        self._asked, self._absent = "", False
        self._fresh, self._news, self._doubted = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._fresh.set()
        self._news.set()
        work = {"greeting": self._greet, "confirmation": self._confirm, "notices": self._inform}
        self._tasks = [lasting(run(), f"the {what} on link {link.id}", fail) for what, run in work.items()]

    # What others set off

    def block_came(self) -> None:
        """Confirm what is fresh, soon."""
        self._fresh.set()

    def news(self) -> None:
        """Tell the other end what it must hear, soon."""
        self._news.set()

    def doubt(self, why: str) -> None:
        """Use the link no more until the other end has answered a hello, which it is sent at once."""
        self.link.distrust(why)
        self._doubted.set()

    async def assign(self, message: Assign) -> AssignAnswer:
        """Return the slave KME's verdicts. Raises `NotSent` where it holds nothing of it, `InDoubt` where it may.

        Then the link is doubted: who asks next is refused soon, and no bytes are cut or burned for a KME that is gone.
        """
        try:
            return await self._assigned(message)
        except (NotSent, InDoubt) as error:
            self.doubt(error.message)
            raise

    async def _assigned(self, message: Assign) -> AssignAnswer:
        status, answer = await self._connection.exchange(
            "POST", ASSIGN_URL, etsi014.encode(message), timeout_s=_TIMEOUT_S
        )
        if status in (401, 403):
            raise NotSent("the KME at the other end does not trust this store")
        if 400 <= status < 500:
            raise NotSent(f"the other KME refused the assignment with {status}")
        if status != 200:
            raise InDoubt(f"the other KME answered {status}")
        try:
            assigned = etsi014.decode(answer, AssignAnswer)
        except InvalidInput:
            raise InDoubt("the other KME's answer cannot be read") from None
        if not all(map(_is_about, assigned.verdicts, message.orders)):
            raise InDoubt("the other KME's answer is about blocks that were not asked for")
        run = (assigned.mark.store, assigned.mark.writer, assigned.mark.start)
        if run == self._run:
            return assigned
        shown = await peers.standing_of(
            await self._store.reader(), self.link.peer_kme, (assigned.mark,), all_writers=False
        )
        if shown is Standing.UNPROVEN:
            return assigned  # it was started again: what its store knows the next hello tells
        if shown is not Standing.CONTINUES:
            raise InDoubt("the KME at the other end has another store than before")
        self._run = run
        return assigned

    # Trust

    async def _greet(self) -> None:
        while True:
            due = not self.link.trusted or self._store.committer.worth_showing > self._shown
            try:
                if due:
                    await self._greet_once()
            except PeerUnavailable as error:
                # one that was trusted stays so: it has been seen, and says itself how far it has come with each answer
                if not self.link.trusted:
                    self.link.trouble = error.message
            except StoreFailure:
                raise
            except KeystrandError as error:
                self._distrust(error.message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HELLO_S if self.link.trusted else _RETRY_S):
                    await self._doubted.wait()
            self._doubted.clear()

    async def _greet_once(self) -> None:
        """Show how far this store has come, until the other end takes it for the one that it saw before.

        A run of which it has seen nothing yet is shown twice: only then can it say that it knows what was seen.
        """
        for _ in range(2):
            mark, answer = await self._shown_to_peer()
            if not answer.doubted:
                self._shown = mark.generation
                await self.judge(answer)
                return
        self._distrust("the KME at the other end says, without proof, that this store was put back from a copy")

    async def _shown_to_peer(self) -> tuple[StoreMark, HelloAnswer]:
        mark, *others = await self._store.own_marks.all()
        seen = await peers.seen_of(await self._store.reader(), self.link.peer_kme)
        hello = Hello(mark=mark, others=tuple(others), seen=seen, known=self._known)
        answer = await self.ask(HELLO_URL, hello, HelloAnswer)
        self._known = await self._look_back(answer.seen)
        return mark, answer

    async def _look_back(self, seen: Sequence[StoreMark]) -> tuple[StoreMark, ...]:
        """Return what this store knows of what the other end remembers of it.

        Raises `StoreFailure` where it has gone back behind what it has said itself. Without that proof the other end
        may say what it wants: it costs its own link and no other.
        """
        known = []
        for mark in seen:
            standing = await self._store.own_marks.judge(mark)
            if standing is Standing.ROLLED_BACK:
                await self._store.own_marks.stop_behind(mark, self.link.peer_kme)
            if standing is Standing.CONTINUES:
                known.append(mark)
        return tuple(known)

    def _distrust(self, why: str) -> None:
        if self.link.trusted or self.link.trouble != why:
            _log.error("link %s: %s", self.link.id, why)
        self._run = ("", "", "")
        self.link.trusted, self.link.trouble = False, why

    async def hello(self, message: Hello) -> HelloAnswer:
        """Return the answer to the other end's hello. Raises `StoreFailure` where this store is a copy."""
        known = await self._look_back(message.seen)
        standing = await self._judge_shown(message)
        mark, *others = await self._store.own_marks.all()
        seen = await peers.seen_of(await self._store.reader(), self.link.peer_kme, message.mark.store)
        return HelloAnswer(mark=mark, others=tuple(others), seen=seen, known=known, doubted=standing not in _ACCEPTED)

    async def judge(self, shown: HelloAnswer) -> None:
        """Go by what the other end shows of its store in answer to our mark: now both sides have judged each other."""
        standing = await self._judge_shown(shown)
        if standing is Standing.UNPROVEN:
            self._distrust("the store of the KME at the other end does not know what was seen of it before")
        if standing in _ACCEPTED and not self.link.trusted:
            await self.link.look()
            self.link.trusted, self.link.trouble = True, ""
            self.link.greeted.set()
            self._fresh.set()
            self._news.set()

    async def _judge_shown(self, shown: Hello) -> Standing:
        """Return what the other end's marks mean, and remember them.

        What was shared with an earlier store is dropped. Raises `PeerUnavailable` where that comes too often.
        """
        marks = (shown.mark, *shown.others)
        if len({mark.store for mark in marks}) != 1 or len({mark.writer for mark in marks}) != len(marks):
            raise PeerUnavailable("the marks of the KME at the other end are not of one store")
        kme, session = self.link.peer_kme, await self._store.reader()
        if await peers.standing_of(session, kme, marks, all_writers=True) is Standing.NEW_STORE:
            if not self._changes.take(kme):
                raise PeerUnavailable("the KME at the other end has changed its store too often in a short time")
            await lose_shared(self._store, self.link)
        standing = await _judge_marks(self._store, self.link, marks, shown.known, self._sparing)
        if standing is Standing.NEW_STORE:
            self._doubted.set()  # greet it at once: the link is not used before
        if standing is Standing.ROLLED_BACK:
            self._distrust("the store of the KME at the other end was put back from a copy")
        return standing

    # Confirmation

    async def _confirm(self) -> None:
        patience = Patience(f"the blocks of link {self.link.id} are not confirmed", _PATIENCE_S)
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            again = True
            try:
                again = self.link.trusted and await self._confirm_some()
                patience.over()
            except BlockGone:
                pass
            except (StoreFailure, KeyringFault) as error:  # of the keyring, which may be away for a moment
                patience.bear(error)
            except KeystrandError:
                patience.over()
            if again:
                await asyncio.sleep(_RETRY_S)
                self._fresh.set()

    async def _confirm_some(self) -> bool:
        """Ask about the next fresh blocks; return whether, all asked about, some must be asked about again."""
        session = await self._store.reader()
        blocks = await self._store.pools.fresh(
            session, self.link.id, self.link.kme, after=self._asked, at_most=confirming.AT_ONCE
        )
        await self._ask_about(blocks, session)
        if len(blocks) == confirming.AT_ONCE:
            self._asked = blocks[-1].name
            self._fresh.set()
            return False
        again, self._asked, self._absent = self._absent, "", False
        return again

    async def _ask_about(self, blocks: Sequence[Fresh], session: Session) -> None:
        tags, damaged = await confirming.tags_of(self._store, session, self.link.id, blocks)
        if damaged:
            await self._store.committer.do(lambda tx: give_up(tx, self._store.pools.destroy, damaged))
            blocks = [one for one in blocks if one.name not in damaged]
        if not blocks:
            return
        answer = await self.ask(CONFIRM_URL, Confirm(link=self.link.id, blocks=tags), ConfirmAnswer)
        if len(answer.verdicts) != len(blocks):
            raise PeerUnavailable("the other KME answered for other blocks")
        if await confirming.settle(self._store, self.link.id, blocks, answer.verdicts, self._sparing):
            for block, verdict in zip(blocks, answer.verdicts, strict=True):
                if verdict == confirming.SAME:
                    self.link.offered[block.source] = Strength(block.label)
            self.link.stocked.set()
        self._absent |= confirming.ABSENT in answer.verdicts

    # Notices

    async def _inform(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                more = self.link.trusted and await self._inform_once()
            except StoreFailure:
                raise
            except KeystrandError:
                more = True
                await asyncio.sleep(_RETRY_S)
            if more:
                self._news.set()

    async def _inform_once(self) -> bool:
        notices = await peers.untold(await self._store.reader(), self.link.peer_kme, at_most=_NOTICES)
        if not notices:
            return False
        told = tuple(Notice(order_id=one.order_id, event=one.event) for one in notices)
        await self.ask(NOTICES_URL, Notices(link=self.link.id, notices=told), Done)
        await self._store.committer.do(lambda tx: peers.told(tx, notices))
        return True

    async def ask(self, url: str, message: Struct, kind: type[T]) -> T:
        """Return the other KME's answer to a message of ours. Raises `PeerUnavailable`."""
        status, answer = await self._background.exchange("POST", url, etsi014.encode(message), timeout_s=_TIMEOUT_S)
        if status != 200:
            raise PeerUnavailable(f"the other KME answered {status}")
        try:
            return etsi014.decode(answer, kind)
        except InvalidInput as error:
            raise PeerUnavailable("the other KME's answer cannot be read") from error

    async def close(self) -> None:
        """Stop, and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._connection.close()
        self._background.close()


def _is_about(verdict: Verdict, order: Order) -> bool:
    """Return whether a verdict names blocks of its order only, each once."""
    asked = {(strand.source, no) for strand in order.strands for no, _, _ in strand.pieces} if verdict.used else set()
    named = [(source, no) for source, no, _ in verdict.used]
    return len(set(named)) == len(named) and asked.issuperset(named)


async def _judge_marks(
    store: KeyStore, link: Link, shown: Sequence[StoreMark], known: Sequence[StoreMark], sparing: Sparing
) -> Standing:
    """Return what a peer's marks mean and remember them; with a new store what the old one shared is destroyed."""

    async def judge(tx: Transaction) -> Standing:
        standing = await peers.standing_of(tx.session, link.peer_kme, shown, known, all_writers=True)
        if standing is Standing.NEW_STORE:
            await lose_rest(tx, store, link)
            sparing.note(tx, "peer_has_new_store", link.peer_kme, None, kme=link.peer_kme, link=link.id)
        if standing is Standing.ROLLED_BACK:
            sparing.note(
                tx, "peer_rolled_back", link.peer_kme, None, kme=link.peer_kme, generation=shown[0].generation
            )  # fmt: skip
        elif standing in _ACCEPTED:
            for mark in shown:
                await peers.witness(tx, link.peer_kme, mark)
            store.shown.witnessed(link.peer_kme, shown[0], tx.now)
        return standing

    standing = await store.committer.do_undoable(judge)
    if standing is Standing.NEW_STORE:
        _log.warning("%s has a new store: what was shared with the old one is destroyed", link.peer_kme)
        link.drop()
    return standing
