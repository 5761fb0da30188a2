"""A whole campaign: the corridor is set up, every consumer runs without keystrand and with it, and the events come."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from keystrand.edge.daemons import Daemons
from keystrand.edge.pilot.agents import Agents
from keystrand.edge.pilot.attempts import Outcome
from keystrand.edge.pilot.base import Carrier, Ground, Trial
from keystrand.edge.pilot.carrier import NamespaceCarrier
from keystrand.edge.pilot.doings import Doings
from keystrand.edge.pilot.episodes import Performer, Window, episodes
from keystrand.edge.pilot.flows import keyed_flow, plain_flow
from keystrand.edge.pilot.key_service import KeyService, TwinKeys, VendorKeys, demand_bits_per_s
from keystrand.edge.pilot.link_monitor import Told
from keystrand.edge.pilot.tls import TlsTrial
from keystrand.edge.pilot.trials import made
from keystrand.model.errors import InvalidInput
from keystrand.model.link import LinkRate
from keystrand.model.pilot import EventKind, Pilot, PilotPlan, SourceChoice
from keystrand.model.stages.recorded import (
    CutEvidence,
    Deed,
    Episode,
    Flow,
    RunConsumer,
)
from keystrand.model.stages.recorded import KeyService as KeyServiceRecord

WELL_S = 40.0
"""How long the agents may take to their first keys."""
_ALL_ON_ONE_MACHINE = (
    "everything ran on one machine: what is slow here may be slow for want of processors, and only ratios and counts "
    "of losses carry over to other machines"
)
_TUNNELS_IN_USER_SPACE = "the tunnels ran in user space (wireguard-go, kernel-libipsec): their throughput is theirs"
_MANAGEMENT = "key management entities and agents talked over a network of their own, which no event touched"
_SIMULATED = (
    "the telemetry of the simulated link scatters as counts would: a device's drifts and false alarms are not in it"
)


class Campaigned(NamedTuple):
    """What a campaign brought; the fields are those of `PilotRecord`."""

    source_words: str
    key_service: KeyServiceRecord
    consumers: tuple[RunConsumer, ...]
    episodes: tuple[Episode, ...]
    flows: tuple[Flow, ...]
    deeds: tuple[Deed, ...]
    limits: tuple[str, ...]
    took_s: float
    machine: str


class Order(NamedTuple):
    """What is to be run: the plan and the pilot of the estate, its link's modelled rate, and the plan's folder."""

    plan: PilotPlan
    pilot: Pilot
    rate: LinkRate
    beside: Path


def run_campaign(order: Order, folder: Path, say: Callable[[str], None]) -> Campaigned:
    """Perform the campaign in the new `folder`; nothing of it runs on afterwards, however it ends.

    Raises `PeerUnavailable`, `MissingInput`, `NoKeyAvailable` where it cannot be set up, and `InvalidInput` where no
    consumer can run here.
    """
    with Daemons() as care:
        return _Campaign(order, folder, care, say).run()


class _Campaign:
    """One campaign under way."""

    def __init__(self, order: Order, folder: Path, care: Daemons, say: Callable[[str], None]) -> None:
        self._order, self._folder, self._care, self._say = order, folder, care, say
        self._began = time.time()
        self._all = tuple(made(one) for one in order.plan.consumers)
        self._lacks = {one.declared.id: one.why_not() for one in self._all}
        self._trials = tuple(one for one in self._all if not self._lacks[one.declared.id])
        if not self._trials:
            raise InvalidInput(
                "none of the pilot's consumers can run here: "
                + "; ".join(f"{name}: {why}" for name, why in self._lacks.items()),
                hint="mend what stands behind each, or declare one that runs here: tls needs no rights and no program",
            )

    def run(self) -> Campaigned:
        """Do everything, in order."""
        for name, why in self._lacks.items():
            if why:
                self._say(f"  {name} is left out: {why}")
        keys = self._keys()
        carrier = self._carrier()
        ground = Ground(self._folder, self._care, keys.ends, carrier, self._order.plan.packets_per_s)
        for trial in self._trials:
            trial.set_up(ground)
        flows = []
        for trial in self._trials:
            self._say(f"  {trial.declared.id}: without keystrand's keys")
            flows.append(plain_flow(trial))
        agents = self._agents(ground, keys)
        for trial in self._trials:
            trial.begin_keyed()
        if agents:
            agents.wait_fresh(WELL_S)
        performer = Performer(self._trials, agents, Doings(keys, agents, carrier, self._order.plan.carrier))
        began_flows = time.monotonic()
        for trial in self._trials:
            self._say(f"  {trial.declared.id}: with keystrand's keys")
            flows.append(keyed_flow(trial))
        rates = keys.rates_bits_per_s(began_flows, time.monotonic())
        self._events(performer)
        return self._brought(keys, agents, performer, flows, rates)

    def _keys(self) -> KeyService:
        order, source = self._order, self._order.plan.source
        keys: KeyService
        if source.kind is SourceChoice.VENDOR:
            keys = VendorKeys(source, order.beside)
        else:
            demand = demand_bits_per_s(
                tuple(one.declared.rotate_every_s for one in self._trials if one.agent_kind()),
                tuple(one.declared.per_s for one in self._trials if not one.agent_kind()),
            )
            keys = TwinKeys(
                self._folder / "kme", order.pilot.segment, order.rate, stock_keys=source.stock_keys,
                demand_bits_per_s=demand,
            )  # fmt: skip
        self._care.add(keys)
        keys.start()
        return keys

    def _carrier(self) -> Carrier | None:
        if os.geteuid() != 0:
            return None
        carrier = NamespaceCarrier(self._folder, self._care)
        carrier.start()
        return carrier

    def _agents(self, ground: Ground, keys: KeyService) -> Agents | None:
        if not any(one.agent_kind() for one in self._trials):
            return None
        agents = Agents(ground, self._trials, saes=keys.pair.pki if isinstance(keys, TwinKeys) else None)
        agents.set_up()
        return agents

    def _events(self, performer: Performer) -> None:
        for trial in self._trials:
            trial.begin_traffic()
        time.sleep(1.0)  # the first answers
        for event in self._order.plan.events:
            performer.perform(event, self._say)
        for trial in self._trials:
            trial.end_traffic()

    def _brought(
        self, keys: KeyService, agents: Agents | None, performer: Performer, flows: Sequence[Flow],
        rates: tuple[float, ...],
    ) -> Campaigned:  # fmt: skip
        windows = performer.windows
        alarms: Sequence[Told] = tuple(keys.alarms)
        seen = episodes(windows, self._trials, agents, alarms, self._began, keys.audited())
        deeds = [deed for trial in self._trials for deed in trial.deeds]
        return Campaigned(
            source_words=keys.words,
            key_service=_key_service(rates, windows, self._trials),
            consumers=tuple(_consumer(one, self._lacks[one.declared.id]) for one in self._all),
            episodes=(*seen, *performer.not_run),
            flows=tuple(flows),
            deeds=(*deeds, *(agents.deeds if agents else ()), *performer.deeds),
            limits=tuple(_limits(keys, self._trials)),
            took_s=round(time.time() - self._began, 1),
            machine=f"{os.cpu_count()} processors, Linux {platform.release()}",
        )


def _consumer(trial: Trial, why_not: str) -> RunConsumer:
    one = trial.declared
    held = bool(trial.agent_kind())
    longest = (one.ttl_s or one.max_age_s) if held else None
    return RunConsumer(
        id=one.id, kind=one.kind, policy=one.policy, max_age_s=one.max_age_s if held else None, may_serve_s=longest,
        how=trial.how, programs=tuple(trial.programs), needs=tuple(trial.needs), not_run=why_not,
    )  # fmt: skip


def _limits(keys: KeyService, trials: Iterable[Trial]) -> Iterable[str]:
    yield from (_ALL_ON_ONE_MACHINE, _MANAGEMENT)
    if any("wireguard-go" in one.programs or "charon-systemd" in one.programs for one in trials):
        yield _TUNNELS_IN_USER_SPACE
    if isinstance(keys, TwinKeys):
        yield _SIMULATED
        yield from (f"no report of the link shows {one}" for one in keys.unseen)


def _key_service(rates: tuple[float, ...], windows: Sequence[Window], trials: Iterable[Trial]) -> KeyServiceRecord:
    tls = next((one for one in trials if isinstance(one, TlsTrial)), None)
    if tls is None:
        return KeyServiceRecord(secret_key_rates_bits_per_s=rates)
    quiet = [one for one in windows if one.event is EventKind.NORMAL]
    attempts = [each for one in quiet for each in tls.attempts(one.began, one.ended)]
    done = [each.done for each in attempts if each.done]
    return KeyServiceRecord(
        secret_key_rates_bits_per_s=rates,
        enc_keys_ms=tuple(1e3 * one.enc_keys_s for one in done if one.enc_keys_s is not None),
        dec_keys_ms=tuple(1e3 * each for one in quiet for each in tls.dec_keys_s(one.began, one.ended)),
        handshakes_ms=tuple(1e3 * one.operation_s for one in done),
        handshakes=len(attempts),
        failed_handshakes=sum(one.outcome is not Outcome.DONE for one in attempts),
        key_ids=len({one.key_id for one in done}),
        key_exchange=tuple(sorted({one.group for one in done if one.group})),
        cut=_cut(tls, [one for one in windows if one.event is EventKind.LINK_CUT]),
    )


def _cut(tls: TlsTrial, cuts: Sequence[Window]) -> CutEvidence | None:
    """Return what the handshakes of `tls` met while the quantum link was cut; None where it never was."""
    if not cuts:
        return None
    met = [each for one in cuts for each in tls.attempts(one.began, one.undone)]
    refused = [one for one in met if one.outcome is Outcome.NO_KEY]
    back = [
        min((at_s for at_s, _ in tls.keys_used(one.undone, one.ended) if at_s >= one.undone), default=None)
        for one in cuts
    ]
    recovered = all(one is not None for one in back)
    waits = [at_s - one.undone for at_s, one in zip(back, cuts, strict=True) if at_s is not None]
    return CutEvidence(
        requests=len(met), refused_with_503=len(refused),
        keys_from_stock=sum(one.outcome is Outcome.DONE for one in met), handshakes_without_key=tls.without_key,
        old_keys=tls.old_keys, zero_keys=tls.zero_keys, consumer_error=f"no key: {refused[-1].why}" if refused else "",
        recovered=recovered, recovery_s=max(waits) if recovered else None,
    )  # fmt: skip
