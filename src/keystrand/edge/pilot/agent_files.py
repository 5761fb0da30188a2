"""The files of a pilot's two agents: what an operator would write, from the consumers on trial."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from keystrand.edge.pilot.base import A, B, KmeEnd
from keystrand.edge.pki import Credentials
from keystrand.model.errors import InvalidInput
from keystrand.model.pilot import PilotConsumer

NAMES = ("agent-a", "agent-b")
Value = str | int | float | bool
_ROLES = ("initiator", "responder")
_PROVE_EVERY_S = 0.02
"""How finely the time of a changeover is known where a consumer's use of a key does not show at once."""
_WAIT_S = 2.0
_RETRY_S, _RETRY_MOST_S = 0.2, 1.0


class OnAgent(Protocol):
    """What the agents must know of a `base.Trial`."""

    declared: PilotConsumer

    def agent_kind(self) -> str:
        """See `Trial`."""

    def agent_settings(self, at: int) -> Mapping[str, Value]:
        """See `Trial`."""

    def installer_prefix(self, at: int) -> Sequence[str]:
        """See `Trial`."""

    def installer_env(self, at: int) -> Mapping[str, str]:
        """See `Trial`."""


def agent_tables(at: int, own: Credentials, kme: KmeEnd, ports: tuple[int, int]) -> str:
    """Return the tables `[agent]` and `[kme]` of the agent at one end, which listens at its port on loopback."""
    agent: dict[str, Value] = {
        "name": NAMES[at], "listen": f"127.0.0.1:{ports[at]}",
        "peer": NAMES[1 - at], "peer_address": f"127.0.0.1:{ports[1 - at]}",
        "ca": str(own.ca), "certificate": str(own.certificate), "key": str(own.key),
        **({"crl": str(own.crl)} if own.crl else {}),
        "journal": "journal", "audit": "audit", "installer": "installer.sock",
    }  # fmt: skip
    files = kme.files
    service: dict[str, Value] = {
        "url": kme.url, "ca": str(files.ca), "certificate": str(files.certificate), "key": str(files.key),
        **({"kme_id": kme.kme_id} if kme.kme_id else {}),
        **({"foreign": True} if kme.foreign else {}),
        **({} if kme.require_post_quantum else {"require_post_quantum": False}),
    }  # fmt: skip
    return _table("[agent]", agent) + "\n" + _table("[kme]", service)


def consumer_tables(at: int, trial: OnAgent, peer_sae: str) -> str:
    """Return the table of one consumer and that of its settings, in the file of the agent at one end."""
    one = trial.declared
    told: dict[str, Value] = {
        "id": one.id, "kind": trial.agent_kind(), "role": _ROLES[at], "peer_sae": peer_sae, "policy": one.policy,
        "rotate_every_s": one.rotate_every_s, "max_age_s": one.max_age_s,
        **{name: value for name in ("ttl_s", "fallback_most_s") if (value := getattr(one, name)) is not None},
        **_pace(one),
    }  # fmt: skip
    return _table("[[consumer]]", told) + "\n" + _table("[consumer.settings]", trial.agent_settings(at))


def _pace(one: PilotConsumer) -> dict[str, Value]:
    """Return the times that a pilot does not name. A key must not grow too old before one slow answer replaces it."""
    spare_s = one.max_age_s - one.rotate_every_s
    return {
        "wait_s": min(_WAIT_S, spare_s / 2), "prove_within_s": spare_s, "prove_every_s": _PROVE_EVERY_S,
        "retry_s": min(_RETRY_S, spare_s / 4), "retry_most_s": min(_RETRY_MOST_S, spare_s / 2),
    }  # fmt: skip


def _table(head: str, members: Mapping[str, Value]) -> str:
    return f"{head}\n" + "".join(f"{name} = {_value(value)}\n" for name, value in members.items())


def _value(value: Value) -> str:
    """Return a value of TOML, which JSON's are too where nothing is escaped as a surrogate."""
    return json.dumps(value, ensure_ascii=False)


def installer_place(trials: Sequence[OnAgent], at: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return where the one installer of an end runs: what comes before its command, and its environment.

    Raises `InvalidInput` where two consumers need different ones.
    """
    prefixes = {tuple(map(str, prefix)) for trial in trials if (prefix := trial.installer_prefix(at))}
    env: dict[str, str] = {}
    for trial in trials:
        for name, value in trial.installer_env(at).items():
            if env.setdefault(name, value) != value:
                raise InvalidInput(f"two consumers at end {'ab'[at]} need different values of {name}", hint=_SPLIT)
    if len(prefixes) > 1:
        raise InvalidInput(f"two consumers at end {'ab'[at]} live in different places", hint=_SPLIT)
    return next(iter(prefixes), ()), env


_SPLIT = "an agent has one installer: run them in pilots of their own"


def check_declared(trials: Sequence[OnAgent]) -> None:
    """Judge what the agents' own files cannot say in words of the pilot's. Raises `InvalidInput`."""
    for one in (trial.declared for trial in trials):
        if not one.policy:
            raise InvalidInput(f"the consumer {one.id} has no failure policy", hint='write policy = "fail-secure"')
        if one.max_age_s <= one.rotate_every_s:
            raise InvalidInput(
                f"a key of {one.id} is too old before the next one comes",
                hint="make max_age_s more than rotate_every_s",
            )


def write_files(
    folder: Path, trials: Sequence[OnAgent], kmes: tuple[KmeEnd, KmeEnd], own: tuple[Credentials, Credentials],
    ports: tuple[int, int],
) -> tuple[Path, Path]:  # fmt: skip
    """Write both agents' files, each in a folder of its own, and return them."""
    written = []
    for at in (A, B):
        file = folder / NAMES[at] / "agent.toml"
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        tables = [agent_tables(at, own[at], kmes[at], ports)]
        tables += [consumer_tables(at, trial, kmes[1 - at].sae) for trial in trials]
        file.write_text("\n".join(tables))
        file.chmod(0o600)
        written.append(file)
    return written[0], written[1]
