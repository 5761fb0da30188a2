"""Run key management entities, look at them, and change them while they run."""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from keystrand.app.policy import open_policy
from keystrand.edge.files import read_bytes
from keystrand.edge.kme.__main__ import serve
from keystrand.edge.kme.operator_client import OperatorClient, Told
from keystrand.edge.pki import Algorithm
from keystrand.keys.staging import begin, stage
from keystrand.model.errors import InvalidInput

Row = dict[str, Any]


class OperatorAccess(NamedTuple):
    """How an operator reaches a key management entity."""

    url: str
    ca: Path
    certificate: Path
    key: Path

    def open(self) -> OperatorClient:
        """Return a connection; nothing is asked yet. Raises `InvalidInput` for what cannot be used."""
        return OperatorClient(self.url, self.ca, self.certificate, self.key)


def serve_kme(config: Path) -> None:
    """Serve ETSI GS QKD 014 as `config` says, until SIGTERM."""
    serve(config)


class LabOptions(NamedTuple):
    """What `keystrand kme lab` was asked for; see `LabWish`."""

    nodes: int
    stock: int
    block_bits: int | None
    bits_per_s: float
    algorithm: str
    max_key_count: int | None


def run_lab(folder: Path, options: LabOptions, ready: Callable[[], None], stop: Event) -> None:
    """Run a lab of KMEs in `folder` until `stop` is set; `ready` is called once keys can be had.

    Raises `InvalidInput` where the folder is in use or no lab can be like that, `PeerUnavailable` where a KME ends.
    """
    from keystrand.edge.kme.lab import Lab  # noqa: PLC0415  # with the twin, and so NumPy: nothing else here needs them
    from keystrand.edge.kme.lab_folder import LabWish  # noqa: PLC0415  # as above

    wish = LabWish(**{**options._asdict(), "algorithm": Algorithm(options.algorithm)})
    Lab(folder, wish).run(ready, stop)


# Looking


def status_of(access: OperatorAccess) -> Told:
    """Return how a KME stands."""
    with access.open() as operator:
        return operator.status()


def link_rows(status: Told) -> list[Row]:
    """Return one row a link of a status."""
    return [
        {
            "link": link["id"],
            "peer_kme": link["peer_kme"],
            "trusted": link["trusted"],
            **{f"{source}_bits": bits for source, bits in link["stored_bits"].items()},
            "labels": [f"{source}: {label}" for source, label in link["labels"].items()],
            "trouble": link["trouble"],
        }
        for link in status["links"]
    ]


def headline(status: Told) -> list[str]:
    """Return what else is worth saying of a status: who it is, its policy, its keys, and what ran out."""
    policy, store = status["policy"], status["store"]
    keys = ", ".join(f"{one['orders']} {one['state']} ({one['role']})" for one in status["keys"])
    return [
        f"{status['kme_id']}: keystrand {status['version']}, up {status['up_s']:.0f} s, commit {store['generation']}",
        f"policy {policy['name']!r}, revision {policy['revision']} ({policy['file']})",
        f"orders of keys: {keys or 'none'}",
        *(f"attention: profile {one['profile']} of link {one['link']} is {one['state']}"
          for one in status["supply"] if one["state"] != "normal"),
    ]  # fmt: skip


# Changing


def reload_kme(access: OperatorAccess) -> Told:
    """Have a KME read its certificates and revocation lists again."""
    with access.open() as operator:
        return operator.reload()


def policy_rows_of(policies: Told) -> list[Row]:
    """Return one row a policy that a KME knows: in force, staged, and the earlier ones, the newest first."""
    staged = [policies["staged"]] if policies["staged"] else []
    ranks = [("active", policies["active"]), *(("staged", one) for one in staged)]
    ranks += [("earlier", one) for one in reversed(policies["earlier"])]
    return [{"state": state, "file": one["file"], "revision": one["revision"]} for state, one in ranks]


def policies_of(access: OperatorAccess) -> Told:
    """Return which policies a KME knows."""
    with access.open() as operator:
        return operator.policy()


def stage_policy(access: OperatorAccess, file: Path, now: float, *, dry_run: bool = False) -> Told:
    """Stage the policy in `file`, which is judged here first: its form, its meaning, its own tests.

    Raises `InvalidInput` with every problem and its line; then nothing was sent.
    """
    rules = open_policy(file)
    stage(begin(rules), rules.policy, file=str(file), now=now)
    with access.open() as operator:
        if dry_run:
            known = operator.policy()
            return {**known, "staged": {"file": file.name, "revision": None}}
        return operator.stage_policy(read_bytes(file).decode(), file.name)


def activate_policy(access: OperatorAccess, *, dry_run: bool = False) -> Told:
    """Put the staged policy in force. Raises `InvalidInput` where there is none."""
    with access.open() as operator:
        if not dry_run:
            return operator.activate_policy()
        known = operator.policy()
        if not known["staged"]:
            raise InvalidInput("no policy is staged", hint="stage one first: keystrand kme policy stage FILE")
        return {"active": known["staged"], "staged": None, "earlier": [*known["earlier"], known["active"]]}


def roll_back_policy(access: OperatorAccess, *, dry_run: bool = False) -> Told:
    """Put the policy before this one in force. Raises `InvalidInput` where there is none."""
    with access.open() as operator:
        if not dry_run:
            return operator.roll_back_policy()
        known = operator.policy()
        if not known["earlier"]:
            raise InvalidInput("there is no earlier policy", hint="stage the policy that shall hold, and activate it")
        return {**known, "active": known["earlier"][-1], "earlier": known["earlier"][:-1]}
