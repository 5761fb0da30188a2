"""One consumer of one agent at work: what the pure end asks for is carried out here, and what comes of it goes back.

Journal and audit are written in the loop's own thread before anything that follows them; the KME and the installer are
asked in threads of their own.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar, Protocol

from keystrand.edge.agent.config import AgentConfig, ConsumerTable
from keystrand.edge.agent.holding import Fresh, Holding
from keystrand.edge.agent.installer import Installed
from keystrand.edge.agent.journal import steady_s
from keystrand.edge.agent.kme_access import KmeAccess
from keystrand.edge.agent.words import Agree, Agreed, Answered, Asked, Confirm, Install, Offer, Proven, Refuse, Want
from keystrand.edge.agent.words import Installed as SaidInstalled
from keystrand.edge.consumers.base import NewKey, Role
from keystrand.keys.agent import End
from keystrand.keys.agent_initiator import InitiatorEnd
from keystrand.keys.agent_memory import Action, Do, Event, Heard, Memory, Save, Verb
from keystrand.keys.agent_responder import ResponderEnd
from keystrand.keys.lapse import Terms
from keystrand.model.errors import KeystrandError, NoKeyAvailable, PolicyDenied
from keystrand.model.words import shown

_log = logging.getLogger(__name__)

_LOOK_S = 5.0
"""A timer looks at least so often: the machine may have slept."""
_REASON = 400


class Place(Protocol):
    """What a consumer at work needs of its agent."""

    config: AgentConfig

    def save(self, consumer: str, role: Role, memory: Memory) -> None:
        """Have it in the journal."""

    def tell(self, action: str, detail: dict[str, Any], group: str) -> None:
        """Have it in the audit."""

    def say(self, word: Asked | Answered) -> bool:
        """Say it to the peer; return whether there is a connection to say it over."""

    async def reach(self) -> None:
        """Have a connection to the peer. Raises `PeerUnavailable`, `PolicyDenied`."""

    @property
    def group(self) -> str:
        """The key exchange group of the connection to the peer."""

    def fail(self, error: KeystrandError) -> None:
        """Stop the agent: what must be written could not be."""


class Carrier:
    """The consumer of `table`. Everything but blocking calls runs in the loop's thread."""

    def __init__(self, table: ConsumerTable, terms: Terms, memory: Memory, place: Place, kme: KmeAccess) -> None:
        self.table, self._place = table, place
        initiates = table.role is Role.INITIATOR
        self.end: End = (InitiatorEnd if initiates else ResponderEnd)(terms, table.pace, memory)
        agent = place.config.agent
        parties = (agent.name, agent.peer) if initiates else (agent.peer, agent.name)
        self._holding = Holding(table, parties, kme)
        self.installed = Installed(Path(agent.installer), table.id, 2 * table.wait_s + 1)
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def begin(self) -> None:
        """Begin where the journal left off."""
        self._carry(self.end.begin(steady_s()))

    async def close(self) -> None:
        """Let go of everything; the consumer keeps its key."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._holding.close()
        self.installed.close()

    def hear(self, heard: Heard, key_id: str = "", **more: Any) -> None:
        """Tell the end what happened."""
        self._carry(self.end.handle(Event(heard=heard, key_id=key_id, **more), steady_s()))

    def lost(self, why: str) -> None:
        """Learn that the connection to the peer has ended: what waits for a word of it waits in vain."""
        if self.end.memory.state == _AGREES:
            self.hear(Heard.NO_KEY, why=why)
        elif self.end.new and self.end.memory.state in _WAITS_FOR_PEER:
            self.hear(Heard.FAILED, self.end.new.key_id, why=why)

    # Doing what the end asks for

    def _carry(self, actions: tuple[Action, ...]) -> None:
        """Do it, writing first what must be written first."""
        if self._closed:
            return
        try:
            for action in actions:
                if isinstance(action, Save):
                    self._place.save(self.table.id, self.table.role, action.memory)
                elif isinstance(action, Do):
                    self._start(action)
                else:
                    self._place.tell(action.action, {"consumer": self.table.id, **action.detail}, self._place.group)
        except KeystrandError as error:
            self._closed = True  # no switch without its record
            self._place.fail(error)
            return
        self._holding.keep_only((self.end.new.key_id,) if self.end.new else ())
        self._wake()

    def _wake(self) -> None:
        if self._timer:
            self._timer.cancel()
        wait_s = min(_LOOK_S, max(0.0, self.end.next_s - steady_s()))
        self._timer = asyncio.get_running_loop().call_later(wait_s, lambda: self._carry(self.end.poll(steady_s())))

    def _start(self, do: Do) -> None:
        self._spawn(self._done(do))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _done(self, do: Do) -> None:
        try:
            await self._verbs[do.verb](self, do)
        except KeystrandError as error:
            self._went_wrong(do, error)
        except Exception as error:
            _log.exception("%s: %s", self.table.id, do.verb)
            self._went_wrong(do, KeystrandError(f"{do.verb}: {type(error).__name__}"))

    def _went_wrong(self, do: Do, error: KeystrandError) -> None:
        _log.info("%s: %s: %s", self.table.id, do.verb, shown(error.message))
        if heard := _WRONG.get(do.verb):
            self.hear(heard, do.key_id, why=shown(error.message))

    # Keys

    async def _take(self, _: Do) -> None:
        await self._place.reach()  # a key that the other end cannot be told of would be wasted
        try:
            fresh, key = await asyncio.to_thread(self._holding.take)
        except NoKeyAvailable:
            self._spawn(self._count())
            raise
        self._holding.hold(fresh.key_id, key)
        self._taken(fresh)
        self._spawn(self._count())

    async def _count(self) -> None:
        """Ask what the KME has left, beside the changeover: one that does not tell holds nothing up."""
        try:
            stock = await asyncio.to_thread(self._holding.stock)
        except KeystrandError as error:
            _log.info("%s: the KME does not tell its stock: %s", self.table.id, shown(error.message))
        else:
            self.hear(Heard.STOCK, number=stock)

    async def _fetch(self, do: Do) -> None:
        offer = self._holding.offer
        if offer is None or offer.key_id != do.key_id:
            return
        found = self._holding.agreed(do.key_id)
        if found is None:
            found = await asyncio.to_thread(self._holding.fetch, do.key_id)
        self._holding.accept(offer, *found)
        self.hear(Heard.MATCHED, do.key_id)

    async def _agree(self, _: Do) -> None:
        await self._place.reach()
        self._say(self._holding.begin_agreement())

    def _taken(self, fresh: Fresh) -> None:
        self.hear(Heard.TAKEN, fresh.key_id, label=fresh.label, substitute=fresh.substitute)

    # What is said

    async def _offer(self, _: Do) -> None:
        if new := self.end.new:
            await self._place.reach()
            self._say(self._holding.make_offer(new, self.end.memory.number))

    async def _confirm(self, _: Do) -> None:
        if offer := self._holding.offer:
            self._say(self._holding.make_confirmation(offer))

    async def _refuse(self, do: Do) -> None:
        self._say(self._refusal(do.key_id, do.why))

    async def _tell_install(self, do: Do) -> None:
        self._say(Install(consumer=self.table.id, key_id=do.key_id))

    async def _tell_proven(self, do: Do) -> None:
        self._say(Proven(consumer=self.table.id, key_id=do.key_id))

    async def _say_installed(self, do: Do) -> None:
        self._say(SaidInstalled(consumer=self.table.id, key_id=do.key_id))

    async def _want(self, _: Do) -> None:
        self._say(Want(consumer=self.table.id))

    def _refusal(self, key_id: str, why: str) -> Refuse:
        return Refuse(consumer=self.table.id, key_id=key_id, why=why[:_REASON], number=self.end.memory.number)

    def _say(self, word: Asked | Answered) -> None:
        if not self._place.say(word):
            self.lost("there is no connection to the peer agent")

    # What the peer says

    def told(self, word: Asked | Answered) -> None:
        """Take what the peer says about this consumer. What this end's role does not hear is told in the log alone."""
        if isinstance(word, Asked) is (self.table.role is Role.INITIATOR):
            what = type(word).__name__
            _log.warning("%s: the peer agent says %s; is it %s there too?", self.table.id, what, self.table.role)
        elif heard := _HEARD.get(type(word)):
            self.hear(heard, getattr(word, "key_id", ""))
        else:
            self._words[type(word)](self, word)

    def _hear_offer(self, word: Offer) -> None:
        if word.number > self.end.memory.number:
            self._holding.offer = word
        self.hear(Heard.OFFERED, word.key_id, label=word.label, substitute=word.substitute, number=word.number)

    def _hear_agree(self, word: Agree) -> None:
        try:
            if not self.end.lapse.may_substitute(steady_s()):
                raise PolicyDenied("the policy here permits no post-quantum key in a fresh one's place")  # noqa: TRY301  # answered as the other
            self._say(self._holding.answer_agreement(word))
        except PolicyDenied as error:
            self._say(self._refusal(word.key_id, error.message))

    def _hear_agreed(self, word: Agreed) -> None:
        try:
            if fresh := self._holding.finish_agreement(word):
                self._taken(fresh)
        except PolicyDenied as error:
            self.hear(Heard.NO_KEY, why=error.message)

    def _hear_confirm(self, word: Confirm) -> None:
        if self._holding.confirms(word):
            self.hear(Heard.CONFIRMED, word.key_id)
        else:
            self.hear(Heard.FAILED, word.key_id, why="the peer's proof is not that of this key")

    def _hear_refusal(self, word: Refuse) -> None:
        why = f"the peer refuses: {shown(word.why)}"
        if self._holding.agreeing_on(word.key_id):
            self.hear(Heard.NO_KEY, why=why)
        else:
            self.hear(Heard.REFUSED, word.key_id, why=why, number=word.number)

    # The consumer

    async def _install(self, do: Do) -> None:
        async with self._turn:
            with self._holding.pop(do.key_id) as key:
                await asyncio.to_thread(self.installed.install, NewKey(do.key_id, do.label, key))
        self.hear(Heard.INSTALLED, do.key_id)

    async def _prove(self, do: Do) -> None:
        async with self._turn:
            proof = await asyncio.to_thread(self.installed.prove, do.key_id)
        in_use = proof.in_use and proof.key_id == do.key_id
        self.hear(Heard.PROVED if in_use else Heard.NOT_PROVED, do.key_id, why=shown(proof.shown_by))

    async def _retire(self, do: Do) -> None:
        async with self._turn:
            await asyncio.to_thread(self.installed.retire, do.key_id)
        self.hear(Heard.RETIRED, do.key_id)

    async def _destroy(self, _: Do) -> None:
        """Nothing: what is not the key of a changeover under way is cleared whenever anything was done."""

    _verbs: ClassVar[dict[Verb, Callable[["Carrier", Do], Coroutine[Any, Any, None]]]] = {
        Verb.TAKE: _take, Verb.AGREE: _agree, Verb.OFFER: _offer, Verb.TELL_INSTALL: _tell_install,
        Verb.INSTALL: _install, Verb.PROVE: _prove, Verb.TELL_PROVEN: _tell_proven, Verb.FETCH: _fetch,
        Verb.CONFIRM: _confirm, Verb.REFUSE: _refuse, Verb.SAY_INSTALLED: _say_installed, Verb.WANT: _want,
        Verb.DESTROY: _destroy, Verb.RETIRE: _retire,
    }  # fmt: skip
    _words: ClassVar[dict[type, Callable[["Carrier", Any], None]]] = {
        Offer: _hear_offer, Agree: _hear_agree, Agreed: _hear_agreed, Confirm: _hear_confirm, Refuse: _hear_refusal,
    }  # fmt: skip


_HEARD = {
    Install: Heard.TOLD_TO_INSTALL, SaidInstalled: Heard.PEER_INSTALLED, Proven: Heard.PEER_PROVED, Want: Heard.WANTED,
}  # fmt: skip
_WRONG = {
    Verb.TAKE: Heard.NO_KEY, Verb.AGREE: Heard.NO_KEY, Verb.OFFER: Heard.FAILED, Verb.INSTALL: Heard.FAILED,
    Verb.FETCH: Heard.UNMATCHED, Verb.PROVE: Heard.NOT_PROVED, Verb.RETIRE: Heard.NOT_RETIRED,
    Verb.CONFIRM: Heard.FAILED,
}  # fmt: skip
"""What a verb that failed means."""
_AGREES = "taking"
_WAITS_FOR_PEER = frozenset({"offered", "peer installing", "confirmed", "fetching"})
