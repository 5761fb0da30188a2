"""What a campaign does to a corridor: each event, how it is undone, and what its mending asks for."""

from collections.abc import Callable

from keystrand.edge.pilot.agents import Agents
from keystrand.edge.pilot.base import Carrier
from keystrand.edge.pilot.key_service import Doing, KeyService
from keystrand.model.pilot import CarrierTerms, EventKind

SKEW_S = 3600.0
"""How far ahead a clock runs that is wrong: an hour, as after a wrong time zone."""
_NOTHING = Doing(lambda _: None, lambda _: None)
_RESTART = ("systemctl restart keystrand-agent, where it is not restarted by itself",)


class Doings:
    """How each event is done here. `told` keeps what else is worth a sentence, such as an impairment left out."""

    def __init__(self, keys: KeyService, agents: Agents | None, carrier: Carrier | None, terms: CarrierTerms) -> None:
        self._keys, self._agents, self._carrier, self._terms = keys, agents, carrier, terms
        self.told = ""

    def of(self, event: EventKind) -> Doing | str:
        """Return how `event` is done, or why it cannot be."""
        if event is EventKind.NORMAL:
            return _NOTHING
        if event in (EventKind.AGENT_DEATH, EventKind.CLOCK_SKEW):
            return self._to_agents(event, self._agents) if self._agents else "no consumer that runs has an agent"
        if event in (EventKind.IMPAIRED, EventKind.CARRIER_CUT):
            return self._to_carrier(event, self._carrier) if self._carrier else "there is no carrier without root"
        return self._keys.doing(event)

    def _to_agents(self, event: EventKind, agents: Agents) -> Doing:
        if event is EventKind.AGENT_DEATH:
            return Doing(lambda n: agents.kill(n % 2), lambda n: agents.start(n % 2, event=event), _RESTART)
        return Doing(
            lambda n: agents.start(n % 2, SKEW_S, event=event), lambda n: agents.start(n % 2, event=event),
            ("set the clock right, and restart the agent",),
        )  # fmt: skip

    def _to_carrier(self, event: EventKind, carrier: Carrier) -> Doing:
        def mend(_number: int) -> None:
            carrier.mend()

        if event is EventKind.CARRIER_CUT:
            return Doing(_once(carrier.cut), mend)
        return Doing(_once(self._impair), mend)

    def _impair(self) -> None:
        if self._carrier:
            terms = self._terms
            self.told = self._carrier.impair(
                delay_ms=terms.delay_ms, loss_ratio=terms.loss_ratio, rate_mbit_per_s=terms.rate_mbit_per_s
            )


def _once(work: Callable[[], None]) -> Callable[[int], None]:
    return lambda _number: work()
