"""From a Get key to its keys: what policy permits, which profile's turn it is, and what to do when keys run out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from msgspec import UNSET, Struct

from keystrand.edge.kme.config import LinkEnd
from keystrand.edge.kme.links import Link
from keystrand.edge.kme.ordering import Ask, Issued, KeysBurned, StrandNeed
from keystrand.edge.store.keystore import KeyStore
from keystrand.edge.tls import Peer
from keystrand.formats.etsi014 import MANDATORY_UNMET, KeyRequest
from keystrand.formats.etsi014_extensions import PREFIX, Demands, joined, parse_demands, parse_wishes, refuse_unmet
from keystrand.keys import policy, staging
from keystrand.keys.allocation import Demand, PoolTooSmall
from keystrand.keys.fallback import Change, Exhausted, Fallbacks, Stock, Supply
from keystrand.keys.policy import Choice, DemandUnmet, Permit
from keystrand.keys.quota import Quotas
from keystrand.keys.rules import PolicyRules
from keystrand.model.errors import InvalidInput, NoKeyAvailable, PolicyDenied
from keystrand.model.key import RouteType
from keystrand.model.key_policy import CryptoProfile, KeyPolicy

_log = logging.getLogger(__name__)

_WATCH_S = 0.5
"""How often the stock of a profile that ran out is looked at: it counts as back soon after it is."""


class Wanted(Struct, frozen=True, kw_only=True):
    """A Get key whose form was judged: `slaves` with their KMEs, `size` in bits."""

    peer: Peer
    slaves: tuple[tuple[str, str], ...]
    size: int
    request: KeyRequest


Issue = Callable[[Link, Ask], Awaitable[Issued]]
OnChange = Callable[[Change], None]


class Grants:
    """The policy in force and what it has counted. `issue` gives the keys of an order, `changed` hears of fallbacks;
    `ends` are the links by the KME at their other end.
    """

    def __init__(
        self, rules: PolicyRules, store: KeyStore, clock: Callable[[], float], issue: Issue, changed: OnChange,
        ends: Mapping[str, LinkEnd],
    ) -> None:  # fmt: skip
        self.revisions, self._ends = staging.begin(rules), ends
        self._store, self._clock, self._issue, self._changed = store, clock, issue, changed
        self._quotas, self.fallbacks = Quotas(rules), Fallbacks(rules)

    @property
    def rules(self) -> PolicyRules:
        """The policy in force."""
        return self.revisions.active

    # Change of policy

    def stage(self, new: KeyPolicy, file: str, digest: str = "") -> None:
        """Stage a policy. Raises `InvalidInput` where it or one of its own tests does not hold."""
        self.revisions = staging.stage(self.revisions, new, file=file, now=self._clock(), digest=digest)

    def activate(self) -> None:
        """Put the staged policy in force. Raises `InvalidInput` where there is none."""
        self._adopt(staging.activate(self.revisions))

    def roll_back(self) -> None:
        """Put the policy before this one in force. Raises `InvalidInput` where there is none."""
        self._adopt(staging.roll_back(self.revisions))

    def _adopt(self, revisions: staging.Revisions) -> None:
        self.revisions = revisions
        self._quotas.adopt(revisions.active)
        self._store.holdings.repeat_for(revisions.active.replay_window_s)
        self.fallbacks.adopt(revisions.active, self._clock())
        self._tell()

    # Requests

    async def grant(self, link: Link, wanted: Wanted) -> tuple[Issued, tuple[str, ...]]:
        """Return the keys and the profiles that were passed over for them.

        Raises `PolicyDenied`, `InvalidInput` (a demand cannot be met), `NoKeyAvailable` or `PeerUnavailable`.
        """
        demands = parse_demands(wanted.request.extension_mandatory)
        wishes = joined(demands, parse_wishes(wanted.request.extension_optional))
        permits = self._permits(link, wanted, demands, wishes)
        self._quotas.take(wanted.peer.identity.id, 0, self._clock())
        try:
            for permit in permits[:-1]:
                try:
                    return await self._supply(link, permit, wanted)
                except KeysBurned:
                    raise
                except NoKeyAvailable:
                    continue
            return await self._supply(link, permits[-1], wanted)
        except PoolTooSmall as short:
            if names := _named(demands):
                raise refuse_unmet(names) from short
            raise

    def _permits(
        self, link: Link, wanted: Wanted, demands: Demands, wishes: Demands
    ) -> list[Permit]:  # fmt: skip
        """Return what may be tried: first what the wishes ask for too, then the demands alone."""
        if demands.route_type == RouteType.INDIRECT:
            raise refuse_unmet([f"{PREFIX}route_type"])
        permits = []
        if wishes != demands and wishes.route_type != RouteType.INDIRECT:
            try:
                permits.append(self._decide(link, wanted, wishes))
            except (InvalidInput, PolicyDenied):
                permits.clear()  # a wish that cannot be had, or is not allowed, is passed over
        return [*permits, self._decide(link, wanted, demands)]

    def _decide(self, link: Link, wanted: Wanted, demands: Demands) -> Permit:
        if demands.profile is not UNSET and demands.profile not in self.rules.profiles:
            raise refuse_unmet([f"{PREFIX}profile"])
        constrained = demands.label is not UNSET or demands.min_label is not UNSET
        asked = policy.Ask(
            master_sae=wanted.peer.identity.id, slave_saes=self._over(link, wanted), link=link.id,
            regions=frozenset(self._ends[link.peer_kme].regions), number=wanted.request.number, size=wanted.size,
            offered=link.offered,
            profile=None if demands.profile is UNSET else demands.profile,
            labels=frozenset(map(str, demands.labels)) if constrained else None,
            max_age_s=None if demands.max_age_s is UNSET else float(demands.max_age_s),
        )  # fmt: skip
        try:
            return policy.decide_all(self.rules, (asked, *self._elsewhere(link, wanted)), self._clock())
        except DemandUnmet as error:
            if error.message == MANDATORY_UNMET:
                raise refuse_unmet(_named(demands)) from error
            raise

    def _over(self, link: Link, wanted: Wanted) -> tuple[str, ...]:
        """Return the slaves that the link itself serves: those at its other end, and those at this KME."""
        return tuple(sae for sae, kme in wanted.slaves if kme == link.peer_kme or kme not in self._ends)

    def _elsewhere(self, link: Link, wanted: Wanted) -> list[policy.Ask]:
        """Return what is asked of every other link: its own slaves, and that it may carry the keys."""
        others: dict[str, list[str]] = {}
        for sae, kme in wanted.slaves:
            if kme in self._ends and kme != link.peer_kme:
                others.setdefault(kme, []).append(sae)
        return [
            policy.Ask(
                master_sae=wanted.peer.identity.id, slave_saes=tuple(saes), link=self._ends[kme].id,
                regions=frozenset(self._ends[kme].regions), number=wanted.request.number, size=wanted.size,
            )
            for kme, saes in others.items()
        ]  # fmt: skip

    async def _supply(self, link: Link, permit: Permit, wanted: Wanted) -> tuple[Issued, tuple[str, ...]]:
        """Issue keys by the profile whose turn it is; where they run out do what its policy says."""
        while True:
            course = self.fallbacks.course(link.id, permit, self._clock())
            link.stocked.clear()
            try:
                issued = await self._counted(link, self._ask(link, course.choice, wanted))
            except PoolTooSmall as short:
                await self._exhausted(link, permit, course.choice, short)
            else:
                return issued, course.instead_of

    async def _counted(self, link: Link, ask: Ask) -> Issued:
        """Issue keys under the quota of who asks: all that is cut for them counts, whatever becomes of it."""
        octets = _octets(link, ask)
        self._quotas.take(ask.master, 8 * octets, self._clock(), requests=0)
        try:
            return await self._issue(link, ask)
        except asyncio.CancelledError:
            ask.cost.octets = max(ask.cost.octets, octets)  # what is given up may yet be cut
            raise
        finally:
            self._quotas.settle(ask.master, taken=8 * octets, cut=8 * ask.cost.octets, now=self._clock())

    async def _exhausted(self, link: Link, permit: Permit, choice: Choice, short: PoolTooSmall) -> None:
        """Return where another try makes sense, after waiting for it. Raises `short` where not."""
        name, now = choice.profile.name, self._clock()
        # the real stock, whatever the request demanded of it: nobody degrades a link by asking for much
        state = self.fallbacks.handle(link.id, name, Exhausted(await self._stored_bits(link, choice.profile)), now)
        self._tell()
        if state is Supply.DEGRADED and choice is not permit.choices[-1]:
            return
        if state is not Supply.WAITING:
            raise short
        until_s = self.fallbacks.course(link.id, permit, now).wait_until_s
        try:
            async with asyncio.timeout(max(0.0, until_s - now)):
                await link.stocked.wait()
        except TimeoutError:
            raise short from None

    def _ask(self, link: Link, choice: Choice, wanted: Wanted) -> Ask:
        since = 0.0 if choice.max_age_s is None else self._clock() - choice.max_age_s
        needs = tuple(
            StrandNeed(source=one.source, demand=Demand(labels=frozenset((one.strength.value,)), since=since))
            for one in choice.profile.strands
        )
        return Ask(
            peer=wanted.peer, link=link.id, slaves=wanted.slaves, count=wanted.request.number, size=wanted.size,
            needs=needs, profile=choice.profile.name,
        )  # fmt: skip

    # Supply

    async def watch(self, links: dict[str, Link]) -> None:
        """See when what ran out is back, for as long as the process runs."""
        while True:
            await asyncio.sleep(_WATCH_S)
            for (link_id, name), state in self.fallbacks.states.items():
                # before anything is waited for: the policy may change meanwhile
                profile = self.rules.profiles.get(name)
                if state is not Supply.NORMAL and link_id in links and profile:
                    bits = await self._stored_bits(links[link_id], profile)
                    self.fallbacks.handle(link_id, name, Stock(bits), self._clock())
            self._tell()

    async def _stored_bits(self, link: Link, profile: CryptoProfile) -> int:
        session, stored = await self._store.reader(), []
        for strand in profile.strands:
            pool = await link.stock(strand.source).pool()
            stored.append(8 * await self._store.pools.stored_octets(session, pool) if pool else 0)
        return min(stored)

    def _tell(self) -> None:
        for change in self.fallbacks.poll(self._clock()):
            (_log.warning if change.alarm else _log.info)("%s", change)
            self._changed(change)


def _octets(link: Link, ask: Ask) -> int:
    """Return how many bytes of pools an order takes: those of its strands, and a pad for each further link."""
    further = {kme for _, kme in ask.slaves} - {link.kme, link.peer_kme}
    return ask.octets * len(ask.needs) + ask.pad_octets * len(further)


def _named(demands: Demands) -> list[str]:
    """Return the names of what is demanded, as on the wire."""
    return [f"{PREFIX}{name}" for name, value in msgspec.structs.asdict(demands).items() if value is not UNSET]
