"""One agent's configuration: a TOML file, read strictly, judged whole before anything starts.

The agent and its installer read the same file. The installer takes it only where nobody but its own user can write it.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

from keystrand.edge.agent.exception import read_exception
from keystrand.edge.consumers.base import Role
from keystrand.edge.consumers.registry import HINT, kinds, objection_to
from keystrand.edge.pki import Credentials, Identity, Kind
from keystrand.edge.toml_files import read_text
from keystrand.formats.decode import Fault
from keystrand.formats.toml_input import read_toml
from keystrand.keys.agent_memory import Pace
from keystrand.keys.lapse import FailurePolicy, Terms
from keystrand.model.errors import InvalidInput
from keystrand.model.units import Identifier, PartyId

Seconds = Annotated[float, Meta(gt=0, le=31_536_000, description="seconds")]
Address = Annotated[str, Meta(pattern=r"^.+:[0-9]{1,5}\Z", description="HOST:PORT")]
Value = str | int | float | bool


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every table refuses keys it does not know."""


class AgentPlace(_Part, frozen=True, kw_only=True):
    """The agent itself. Relative paths start at the configuration's folder.

    `peer` is the agent at the other end, by the name in its certificate, reached at `peer_address`. `journal` and
    `audit` are folders of the agent alone; the key that signs the audit is in the former where `signing_key` does not
    say otherwise. `installer` is the socket of its privileged part. Started as root, the agent becomes `user`.
    `exception_key` is the public half (ML-DSA-65, PEM) of whoever may permit `fail-open`. `certificate_alarm_days`: so
    long before a certificate ends there is an alarm.
    """

    name: PartyId
    listen: Address
    peer: PartyId
    peer_address: Address
    ca: str
    certificate: str
    key: str
    crl: str = ""
    journal: str
    audit: str
    signing_key: str = ""
    installer: str
    user: str = ""
    exception_key: str = ""
    certificate_alarm_days: Annotated[float, Meta(gt=0, le=3650)] = 14.0


class KmePlace(_Part, frozen=True, kw_only=True):
    """The agent's KME (ETSI GS QKD 014), and the SAE that the agent is to it. `foreign`: a KME of another make."""

    url: str
    ca: str
    certificate: str
    key: str
    kme_id: str = ""
    require_post_quantum: bool = True
    foreign: bool = False


class ConsumerTable(_Part, frozen=True, kw_only=True):
    """One consumer at this end. Its `id` is the same at both; exactly one of the two ends is the `initiator`.

    `policy` says what happens when no fresh key comes; it has no default. `peer_sae` is the SAE of the other agent.
    `stock_alarm_keys`: where the initiator's KME has fewer keys left there is an alarm. `settings` are those of its
    kind.
    """

    id: Identifier
    kind: str
    role: Role
    peer_sae: PartyId
    policy: FailurePolicy
    rotate_every_s: Seconds
    max_age_s: Seconds
    ttl_s: Seconds | None = None
    fallback_most_s: Seconds | None = None
    exception: str = ""
    key_bits: Annotated[int, Meta(ge=128, le=4096, multiple_of=8)] = 256
    wait_s: Seconds = 10.0
    prove_within_s: Seconds = 30.0
    prove_every_s: Seconds = 0.2
    retry_s: Seconds = 1.0
    retry_most_s: Seconds = 30.0
    stock_alarm_keys: Annotated[int, Meta(ge=0)] = 10
    settings: dict[str, Value] = field(default_factory=dict)

    @property
    def pace(self) -> Pace:
        """Its times. Raises `InvalidInput`."""
        return Pace(
            rotate_every_s=self.rotate_every_s, wait_s=self.wait_s, prove_within_s=self.prove_within_s,
            prove_every_s=self.prove_every_s, retry_s=self.retry_s, retry_most_s=self.retry_most_s,
        )  # fmt: skip

    def terms(self, exception_ends_s: float | None = None) -> Terms:
        """Return its failure policy; `exception_ends_s` in the clock that it is used with. Raises `InvalidInput`."""
        return Terms(
            policy=self.policy, max_age_s=self.max_age_s, ttl_s=self.ttl_s, fallback_most_s=self.fallback_most_s,
            exception_ends_s=exception_ends_s,
        )  # fmt: skip

    def serves_most_s(self, exception_left_s: float = 0.0) -> float:
        """Return how long one key may serve by this policy when nobody replaces it."""
        if self.policy is FailurePolicy.FAIL_OPEN:
            return max(self.max_age_s, exception_left_s)
        return self.ttl_s if self.policy is FailurePolicy.HOLD_UNTIL_TTL and self.ttl_s else self.max_age_s


class AgentConfig(_Part, frozen=True, kw_only=True):
    """Everything one agent knows about itself, its peer, its KME and its consumers."""

    agent: AgentPlace
    kme: KmePlace
    consumers: Annotated[tuple[ConsumerTable, ...], Meta(min_length=1)] = field(name="consumer")

    @property
    def identity(self) -> Identity:
        """Who this agent is."""
        return Identity(kind=Kind.AGENT, id=self.agent.name)

    @property
    def peer_identity(self) -> Identity:
        """Who the other agent is."""
        return Identity(kind=Kind.AGENT, id=self.agent.peer)

    @property
    def credentials(self) -> Credentials:
        """The files of the agent's TLS identity."""
        place = self.agent
        return Credentials(
            ca=Path(place.ca), certificate=Path(place.certificate), key=Path(place.key),
            crl=Path(place.crl) if place.crl else None,
        )  # fmt: skip

    @property
    def devices(self) -> dict[str, str]:
        """Return the network devices that consumers make, and which consumer makes each."""
        return {
            str(one.settings[name]): one.id
            for one in self.consumers
            for name in ("device", "interface")
            if one.settings.get(name)
        }

    def consumer(self, consumer_id: str) -> ConsumerTable:
        """Return one consumer. Raises `InvalidInput` where there is none of that id."""
        found = next((one for one in self.consumers if one.id == consumer_id), None)
        if found is None:
            raise InvalidInput(f"there is no consumer {consumer_id!r} here")
        return found


def load_agent(file: Path) -> AgentConfig:
    """Return the configuration in `file` with its paths made absolute.

    Raises `MissingInput`, or `InvalidInput` with every problem at its line.
    """
    told = read_text(file, what="the agent's file", hint="make one: keystrand agent init FILE")
    config = read_toml(
        told.text, AgentConfig, file=str(file), what=f"the agent's file {file}",
        further=lambda raw: _further_faults(raw, file.absolute().parent),
    )  # fmt: skip
    return _absolute(config, file.absolute().parent)


def host_and_port(address: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT; an IPv6 address stands in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _further_faults(raw: dict[str, Any], folder: Path) -> Iterable[Fault]:
    try:
        config = msgspec.convert(raw, AgentConfig)
    except msgspec.ValidationError:
        return ()  # what is wrong alone is told first
    return _cross_faults(_absolute(config, folder))


def _cross_faults(config: AgentConfig) -> Iterator[Fault]:
    place = config.agent
    if place.peer == place.name:
        yield Fault(("agent", "peer"), "this agent itself", "name the agent at the other end")
    for name in ("listen", "peer_address"):
        if not 0 <= host_and_port(getattr(place, name))[1] <= 65535:
            yield Fault(("agent", name), "no such port", "write HOST:PORT, the port 1 to 65535")
    if not config.kme.url.startswith("https://"):
        yield Fault(("kme", "url"), "not an https URL", 'write "https://host:port"')
    seen: set[str] = set()
    for n, one in enumerate(config.consumers):
        if one.id in seen:
            yield Fault(("consumer", n, "id"), f"{one.id!r} is named twice", "keep one")
        seen.add(one.id)
        yield from (fault._replace(path=("consumer", n, *fault.path)) for fault in _consumer_faults(one, place))


def _consumer_faults(one: ConsumerTable, place: AgentPlace) -> Iterator[Fault]:
    if why := objection_to(one.kind):
        yield Fault(("kind",), why, HINT.format(", ".join(kinds()) or "none"))
    if one.rotate_every_s + one.wait_s >= one.max_age_s:
        hint = f"make max_age_s more than {one.rotate_every_s + one.wait_s:g}, or the others shorter"
        yield Fault(("max_age_s",), "a key is too old before one slow answer replaces it: rotate_every_s and wait_s"
                    " together must stay below it", hint)  # fmt: skip
    for name, wanted in (("ttl_s", FailurePolicy.HOLD_UNTIL_TTL), ("fallback_most_s", FailurePolicy.FALLBACK_PQC)):
        if getattr(one, name) is not None and one.policy is not wanted:
            yield Fault((name,), f"means nothing under {one.policy}", f"leave it out, or choose {wanted}")
    if bool(one.exception) != (one.policy is FailurePolicy.FAIL_OPEN):
        text = (
            "fail-open needs a signed exception that ends" if not one.exception else f"means nothing under {one.policy}"
        )
        yield Fault(("exception" if one.exception else "policy",), text, "see `keystrand agent except --help`")
        return
    try:
        exception_ends_s(one, place)
        one.terms(0.0 if one.exception else None)
        one.pace  # noqa: B018  # for what it raises
    except InvalidInput as error:
        yield Fault(("exception" if one.exception else "policy",), error.message, error.hint)


def exception_ends_s(one: ConsumerTable, place: AgentPlace) -> float | None:
    """Return when the signed exception of a consumer ends, in seconds since the epoch; None where it has none.

    Raises `MissingInput`, or `InvalidInput` where it is not signed for this consumer.
    """
    if not one.exception:
        return None
    if not place.exception_key:
        raise InvalidInput("nobody may sign an exception here", hint="name exception_key under [agent]")
    return (
        read_exception(Path(one.exception), Path(place.exception_key), one.id).expires.replace(tzinfo=UTC).timestamp()
    )


def _absolute(config: AgentConfig, folder: Path) -> AgentConfig:
    def at(path: str) -> str:
        return str(folder / path) if path else ""

    def with_paths(part: Any, *names: str) -> Any:
        return msgspec.structs.replace(part, **{name: at(getattr(part, name)) for name in names})

    place = with_paths(
        config.agent, "ca", "certificate", "key", "crl", "journal", "audit", "signing_key", "installer", "exception_key"
    )
    if not place.signing_key:
        place = msgspec.structs.replace(place, signing_key=f"{place.journal}/audit.key")
    kme = with_paths(config.kme, "ca", "certificate", "key")
    consumers = tuple(with_paths(one, "exception") for one in config.consumers)
    return msgspec.structs.replace(config, agent=place, kme=kme, consumers=consumers)
