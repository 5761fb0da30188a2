"""`pilot.toml`, how a pilot is run with real consumers of keys: every problem at once with its file, line, field."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from keystrand.formats.decode import Fault, near_name, sound_fields
from keystrand.formats.estate_references import rows
from keystrand.formats.toml_input import read_toml
from keystrand.formats.wording import joined
from keystrand.model.errors import InvalidInput
from keystrand.model.lapsing import FailurePolicy, Terms
from keystrand.model.pilot import ConsumerKind, EventKind, PilotConsumer, PilotPlan, SourceChoice

Raw = dict[str, Any]

IN_BAND = frozenset({ConsumerKind.TLS, ConsumerKind.AGE})
"""Consumers that name their key in band: each use takes a key of its own, so no agent rotates it and none grows old."""
_WITH_AGENTS = frozenset(ConsumerKind) - IN_BAND
TUNNELS = frozenset({ConsumerKind.IPSEC, ConsumerKind.WIREGUARD})
"""Consumers whose traffic is packets."""
POLICIES = (FailurePolicy.FAIL_SECURE, FailurePolicy.FALLBACK_PQC, FailurePolicy.HOLD_UNTIL_TTL)
"""`fail-open` is not among them: it needs a signed exception for a consumer in service, and a pilot has none."""
END = "-end"
"""A vendor's command that undoes the event before it."""
_AGENT_TIMES = ("rotate_every_s", "max_age_s", "ttl_s", "fallback_most_s")


def pilot_plan_from_toml(text: str, file: str, pilots: Collection[str]) -> PilotPlan:
    """Return what `text` plans; `file` names it in problems, `pilots` are those that the estate declares.

    Raises `InvalidInput` with every problem in the order of the lines.
    """

    def further(raw: Raw) -> Iterator[Fault]:
        yield from _pilot_faults(raw, pilots)
        yield from _repeated(raw, "consumer", "id", "give each an id of its own")
        yield from _repeated(raw, "event", "kind", "keep one, and say times = ... in it")
        yield from _second_of_a_kind(raw)
        for n, row in rows(raw, "consumer"):
            yield from (fault._replace(path=("consumer", n, *fault.path)) for fault in _consumer_faults(row))
        yield from _event_faults(raw)
        if isinstance(source := raw.get("source", {}), dict):
            yield from (fault._replace(path=("source", *fault.path)) for fault in _source_faults(source))

    return read_toml(text, PilotPlan, file=file, what=f"the pilot's plan {file}", further=further)


def _pilot_faults(raw: Raw, pilots: Collection[str]) -> Iterator[Fault]:
    named = raw.get("pilot")
    if isinstance(named, str) and named not in pilots:
        near = near_name(named, pilots)
        known = f"pilots of the estate: {joined(sorted(pilots), most=20)}" if pilots else "add a [[pilot]] to it"
        yield Fault(("pilot",), f"the estate declares no pilot {named!r}", f"did you mean {near!r}?" if near else known)


def _repeated(raw: Raw, table: str, key: str, hint: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for n, row in rows(raw, table):
        name = row.get(key)
        if isinstance(name, str) and name in seen:
            yield Fault((table, n, key), f"there is already a [[{table}]] with {key} = {name!r}", hint)
        elif isinstance(name, str):
            seen.add(name)


def _second_of_a_kind(raw: Raw) -> Iterator[Fault]:
    """Two tunnels of a kind would have the same networks, and one installer serves one set of tokens."""
    first: dict[str, Any] = {}
    for n, row in rows(raw, "consumer"):
        kind = row.get("kind")
        if isinstance(kind, str) and kind in _WITH_AGENTS and first.setdefault(kind, row) is not row:
            text = f"there is already a consumer of kind {kind}, and a pilot runs one"
            yield Fault(("consumer", n, "kind"), text, "try the other in a pilot.toml of its own, given by --file")


def _consumer_faults(row: Raw) -> Iterator[Fault]:
    declared = sound_fields(row, PilotConsumer)
    match declared:
        case {"kind": kind} if kind in IN_BAND:
            for name in ("policy", *_AGENT_TIMES):
                if name in row:
                    text = f"means nothing for {kind}: each use takes a fresh key, and without one there is no use"
                    yield Fault((name,), text, "leave it out")
        case {"kind": kind, "policy": policy}:
            yield from _policy_faults(kind, policy, declared)
    match declared:
        case {"kind": kind} if kind in TUNNELS and "per_s" in row:
            yield Fault(("per_s",), f"means nothing for {kind}: its traffic is packets",
                        "leave it out, and set packets_per_s above the tables")  # fmt: skip


def _policy_faults(kind: ConsumerKind, policy: str, declared: Raw) -> Iterator[Fault]:
    known = [one.value for one in POLICIES]
    if policy == FailurePolicy.FAIL_OPEN:
        text = "fail-open needs a signed exception for a consumer in service, and a pilot has none"
        yield Fault(("policy",), text, f"choose {joined(known)}")
    elif policy not in known:
        near = near_name(policy, known)
        text = f"there is no failure policy {policy!r}" if policy else f"{kind} needs one: nothing fails in silence"
        meant = f"did you mean {near!r}? " if near else ""
        yield Fault(("policy",), text, f"{meant}write policy = one of {joined(known)}")
    else:
        yield from _time_faults(FailurePolicy(policy), declared)


def _time_faults(policy: FailurePolicy, declared: Raw) -> Iterator[Fault]:
    match declared:
        case {"rotate_every_s": rotate_s, "max_age_s": oldest_s} if rotate_s >= oldest_s:
            yield Fault(("max_age_s",), "a key is too old before the next one comes: rotate_every_s must stay below it",
                        f"make max_age_s well above {rotate_s:g}, or rotate_every_s shorter")  # fmt: skip
    for name, wanted in (("ttl_s", FailurePolicy.HOLD_UNTIL_TTL), ("fallback_most_s", FailurePolicy.FALLBACK_PQC)):
        if declared.get(name) is not None and policy is not wanted:
            yield Fault((name,), f"means nothing under {policy}", f"leave it out, or choose {wanted}")
    times = {name: declared[name] for name in ("max_age_s", "ttl_s", "fallback_most_s") if name in declared}
    if len(times) == 3:
        try:
            Terms(policy=policy, **times)
        except InvalidInput as error:
            name = {FailurePolicy.HOLD_UNTIL_TTL: "ttl_s", FailurePolicy.FALLBACK_PQC: "fallback_most_s"}[policy]
            yield Fault((name,), error.message, error.hint)


def _event_faults(raw: Raw) -> Iterator[Fault]:
    kinds = {kind for _, row in rows(raw, "consumer") if isinstance(kind := row.get("kind"), str)}
    agents = kinds - {one.value for one in IN_BAND}
    for n, row in rows(raw, "event"):
        if row.get("kind") == EventKind.AGENT_DEATH and kinds and not agents:
            text = "no consumer here has an agent that could die"
            yield Fault(("event", n, "kind"), text, "leave the event out, or add a consumer such as ipsec")


def _source_faults(source: Raw) -> Iterator[Fault]:
    kind = source.get("kind", SourceChoice.TWIN)
    if kind == SourceChoice.VENDOR:
        for name in ("a", "b"):
            if name not in source:
                yield Fault((name,), "missing: a vendor's keys are fetched at both sites",
                            f"add a table [source.{name}] with url, sae, ca, certificate and key")  # fmt: skip
        if "stock_keys" in source:
            yield Fault(("stock_keys",), "is the twin's: a vendor's store has the size it has", "leave it out")
        match source:
            case {"a": {"sae": str() as one}, "b": {"sae": str() as other}} if one == other:
                yield Fault(("b", "sae"), f"both ends are {one!r}", "an SAE of its own fetches the keys at each site")
    if kind == SourceChoice.TWIN:
        for name in ("a", "b", "commands"):
            if name in source:
                yield Fault((name,), "means nothing with the twin as source",
                            'leave it out, or write kind = "vendor"')  # fmt: skip
    with suppress(msgspec.ValidationError):
        yield from _command_faults(msgspec.convert(source.get("commands", {}), dict[str, str]))


def _command_faults(commands: dict[str, str]) -> Iterator[Fault]:
    events = [one.value for one in EventKind if one is not EventKind.NORMAL]
    for name, command in commands.items():
        event = name.removesuffix(END)
        if event not in events:
            near = near_name(event, events)
            yield Fault(("commands", name), "no event is called so",
                        f"did you mean {near!r}?" if near else f"events: {joined(events, most=20)}")  # fmt: skip
        elif name.endswith(END) and event not in commands:
            yield Fault(("commands", name), "undoes what no command does", f"add {event} = ...")
        if not command.strip():
            yield Fault(("commands", name), "no command", "write what an operator would type, or leave the event out")
