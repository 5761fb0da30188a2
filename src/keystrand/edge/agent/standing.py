"""How an agent's consumers stand, read from its journal: also where the agent is dead, and then most of all."""

import math
import time
from pathlib import Path

from msgspec import Struct

from keystrand.edge.agent.certificates import certificate_alarms
from keystrand.edge.agent.config import AgentConfig, ConsumerTable, exception_ends_s
from keystrand.edge.agent.journal import Journal, steady_s
from keystrand.keys.agent_memory import Memory
from keystrand.keys.agent_responder import ResponderEnd
from keystrand.keys.lapse import Footing


class KeyAge(Struct, frozen=True, kw_only=True):
    """A key that a consumer may hold. `age_s` in seconds."""

    key_ID: str  # noqa: N815  # the name of ETSI GS QKD 014
    label: str
    age_s: float
    in_use: bool
    must_go: bool
    """Whether it is being retired."""


class Standing(Struct, frozen=True, kw_only=True):
    """One consumer. `age_s` is that of the key in use, None where there is none; `alarms` in words, none is well."""

    consumer: str
    kind: str
    role: str
    policy: str
    footing: Footing
    label: str
    age_s: float | None
    left_s: float | None
    """How long the footing lasts if nothing changes; None where it has no end."""
    state: str
    last_changeover_s: float | None
    """How long ago the latest key was proven."""
    changeovers: int
    failures: int
    """How many changeovers came to their end, and how many did not, since the journal began."""
    stock: int | None
    """The keys that the KME had left when it was last asked; None where it was not, as at the responder."""
    keys: tuple[KeyAge, ...]
    alarms: tuple[str, ...]


def standings(config: AgentConfig) -> tuple[Standing, ...]:
    """Return how every consumer stands now. Raises `InvalidInput`, `StoreFailure` for a journal that cannot be read."""
    journal = Journal(Path(config.agent.journal))
    alive = journal.in_use()
    common = certificate_alarms(config, time.time())
    if not alive:
        common = ("the agent does not run: keys are not replaced", *common)
    return tuple(_standing(one, config, journal, common) for one in config.consumers)


def agent_runs(config: AgentConfig) -> bool:
    """Return whether the agent of `config` runs now."""
    return Journal(Path(config.agent.journal)).in_use()


def _standing(table: ConsumerTable, config: AgentConfig, journal: Journal, common: tuple[str, ...]) -> Standing:
    memory = journal.read(table.id, table.role.value, steady_s(), time.time())
    now = steady_s()  # after what was read: it may be of this very moment, and nothing in it lies ahead
    ends_s = exception_ends_s(table, config.agent)
    terms = table.terms(None if ends_s is None else now + ends_s - time.time())
    # the footing is that of any end: the same lapse, brought to the same proofs
    end = ResponderEnd(terms, table.pace, Memory(held=memory.held, proven=memory.proven, proved_s=memory.proved_s,
                                                 substitutes_since_s=memory.substitutes_since_s))  # fmt: skip
    end.begin(now)
    lapse, proven = end.lapse, memory.proven
    valid = proven is not None and lapse.footing is not Footing.INVALID
    left_s = lapse.until_s - now
    return Standing(
        consumer=table.id, kind=table.kind, role=table.role.value, policy=table.policy.value, footing=lapse.footing,
        label=proven.label if proven and valid else "",
        age_s=round(now - proven.born_s, 3) if proven and valid else None,
        left_s=round(left_s, 3) if left_s < math.inf else None,
        state=memory.state,
        last_changeover_s=None if memory.proved_s is None else round(now - memory.proved_s, 3),
        changeovers=memory.changeovers, failures=memory.failures, stock=memory.stock,
        keys=tuple(
            KeyAge(
                key_ID=note.key_id, label=note.label, age_s=round(now - note.born_s, 3),
                in_use=valid and note == proven, must_go=note.key_id in memory.doomed,
            )
            for note in memory.held
        ),
        alarms=tuple(_alarms(table, memory, lapse.footing, common)),
    )  # fmt: skip


def _alarms(table: ConsumerTable, memory: Memory, footing: Footing, common: tuple[str, ...]) -> list[str]:
    told = {
        Footing.INVALID: "no key is in use: nothing may pass",
        Footing.HELD: f"a key older than {table.max_age_s:g} s is in use, until its ttl_s",
        Footing.SUBSTITUTE: "a post-quantum key stands in for one from quantum links",
        Footing.OPEN: f"a key older than {table.max_age_s:g} s is in use under a signed exception",
    }
    alarms = [told[footing]] if footing in told else []
    alarms += common
    if memory.stock is not None and memory.stock < table.stock_alarm_keys:
        alarms.append(f"the KME has fewer than {table.stock_alarm_keys} keys left for {table.peer_sae}")
    if memory.doomed:
        alarms.append(f"{len(memory.doomed)} keys that must go are not retired yet")
    if memory.state == "apart":
        alarms.append("the two ends may hold different keys")
    if memory.trouble:
        alarms.append(f"the latest try failed: {memory.trouble}")
    return alarms
