"""One end of a post-processing session between two machines: a photon record in, a key file and its account out."""

import asyncio
import math
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.edge import photon_records, qkd_key_files
from keystrand.edge.qkd_channel import SILENCE_S, Connection, Endpoint, connection, converse
from keystrand.model.errors import InvalidInput, KeystrandError, NoKeyAvailable, PeerUnavailable
from keystrand.qkd.session import Alice, Bob
from keystrand.qkd.session_account import Account, SessionParameters
from keystrand.qkd.session_states import Aborted, Done, KeyOctets, NoKey, State
from keystrand.qkd.session_wire import Wire, pool

Say = Callable[[str], None]

_MOST_ROUNDS = {"cascade": 210, "ldpc": 20}
"""Of the frames in flight, with plan, tags and verdict: seldom are more needed."""
_BITS_A_ROUND = 5
"""Sequential Cascade asks for one parity of a frame a round: at 4 % of errors it discloses a bit in four."""
_MORE_MESSAGES = 64
"""Besides: what frames the rest, and long messages in pieces."""


class SessionRequest(Struct, frozen=True, kw_only=True):
    """What one end is asked to do. `agreed` are the fields of `SessionParameters` that both ends must be given alike;
    `authentication_octets` 0 takes the whole file."""

    end: Literal["alice", "bob"]
    record: Path
    authentication: Path
    out: Path
    endpoint: Endpoint
    agreed: dict[str, Any]
    authentication_octets: int = 0
    wait_s: float = 60.0
    silence_s: float = SILENCE_S


class SessionResult(Struct, frozen=True, kw_only=True):
    """How a session ended that was not aborted. `reason` says why there is no key to deliver, or is empty."""

    end: str
    block: str
    reason: str
    simulated: bool
    account: Account


def endpoint(listen: str, connect: str) -> Endpoint:
    """Return the one of both that was given, HOST:PORT. Raises `InvalidInput`."""
    if bool(listen) == bool(connect):
        raise InvalidInput("give either --listen or --connect", hint="for instance --listen 127.0.0.1:7400")
    host, _, port = (listen or connect).rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidInput(f"{listen or connect!r} is no HOST:PORT", hint="for instance 127.0.0.1:7400")
    return Endpoint(host.strip("[]"), int(port), bool(listen))


def run_session(request: SessionRequest, say: Say) -> SessionResult:
    """Run one end to its end, and write the key file where there is key.

    A record makes one key: a second session on it would disclose more of the same bits, which neither counts, and
    whoever cuts the line can bring that about. So it is used up as soon as both ends have agreed, before any bit of it
    is disclosed. A copy of it is not noticed.

    Raises `InvalidInput` for files and options, `PeerUnavailable` and its kind where the session was aborted.
    """
    qkd_key_files.check_new(request.out)
    qkd_key_files.check_authentication(request.authentication)
    facts, record = _record(request)
    parameters = _parameters(request, facts)
    ended = asyncio.run(_session(request, parameters, record, say))
    return _settled(request, ended)


def ledger_rows(result: SessionResult) -> list[dict[str, Any]]:
    """Return the account as rows: what, how much, and the unit."""
    account, ledger = result.account, result.account.ledger
    bits = {f"key: {name.removesuffix('_bits')}": getattr(ledger, name) for name in ledger.__struct_fields__}
    bits |= {"key: delivered": ledger.delivered_bits}
    spent = account.authentication
    bits |= {f"authentication: {name.removesuffix('_bits')}": getattr(spent, name) for name in spent.__struct_fields__}
    bits |= {"key made less authentication spent": account.net_bits}
    rows = [{"entry": name, "value": value, "unit": "bits"} for name, value in bits.items()]
    epsilon = account.epsilon
    chances = {name: getattr(epsilon, name) for name in (*epsilon.__struct_fields__, "total")}
    return rows + [{"entry": f"epsilon: {name}", "value": value, "unit": ""} for name, value in chances.items()]


def result_value(result: SessionResult) -> dict[str, Any]:
    """Return the result for JSON, the sums beside their parts."""
    made: dict[str, Any] = msgspec.to_builtins(result)
    account = result.account
    made["account"]["ledger"]["delivered_bits"] = account.ledger.delivered_bits
    made["account"]["epsilon"]["total"] = account.epsilon.total
    made["account"]["net_bits"] = account.net_bits
    return made


def _record(request: SessionRequest) -> tuple[photon_records.RunFacts, Any]:
    photon_records.check_usable(request.record)
    return (photon_records.read_sent if request.end == "alice" else photon_records.read_received)(request.record)


def _parameters(request: SessionRequest, facts: photon_records.RunFacts) -> SessionParameters:
    raw = {"link": msgspec.to_builtins(facts.link), "pulses": facts.pulses, **request.agreed}
    try:
        return msgspec.convert(raw, SessionParameters)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"such a session cannot be: {error}", hint="see --help for the options") from error


async def _session(request: SessionRequest, parameters: SessionParameters, record: Any, say: Say) -> State:
    where = f"{request.endpoint.host}:{request.endpoint.port}"
    held = request.authentication_octets or qkd_key_files.check_authentication(request.authentication)
    if (wanted := _octets_wanted(parameters, record.slot.size)) > held:
        say(f"warning: {held} octets of authentication key may not be enough; so long a run can take {wanted}")
    say(f"{'listening at' if request.endpoint.listen else 'connecting to'} {where}")
    async with connection(request.endpoint, request.wait_s, _knows(request)) as over:
        say(f"{request.end}: {record.slot.size} detections, connected")
        return await _talk(request, parameters, record, over, say)


def _octets_wanted(parameters: SessionParameters, detections: int) -> int:
    """Return how much authentication key the messages of a run may take."""
    sent, received = parameters.link.transmitter.key_basis_ratio, parameters.link.receiver.key_basis_ratio
    frames = math.ceil(detections * sent * received / parameters.frame_bits)
    rounds = _MOST_ROUNDS[parameters.correction]
    if parameters.correction == "cascade" and not parameters.batched:
        rounds = parameters.frame_bits // _BITS_A_ROUND
    groups = math.ceil(frames / parameters.frames_in_flight)
    return qkd_key_files.PORTION_OCTETS * (rounds * groups + _MORE_MESSAGES)


def _knows(request: SessionRequest) -> Callable[[bytes], bool]:
    """Return what tells the peer's first frame: by key that is only looked at, and only kept where it has come."""

    def knows(frame: bytes) -> bool:
        key = qkd_key_files.see_authentication(request.authentication, request.authentication_octets)
        wire = Wire(pool(key, initiator=request.end == "alice"))
        try:
            return wire.recognises(frame)
        finally:
            wire.close()

    return knows


async def _talk(
    request: SessionRequest, parameters: SessionParameters, record: Any, over: Connection, say: Say
) -> State:
    end = Alice if request.end == "alice" else Bob
    key = qkd_key_files.take_authentication(request.authentication, request.authentication_octets)
    try:
        party = end(record, parameters, key, secrets.token_bytes)
    except ValueError as error:
        raise InvalidInput(str(error), hint="shorten the run with 'keystrand qkd simulate'") from error
    steps: list[str] = []

    def on_step(step: str) -> None:
        if len(steps) == 1:  # hello is over: from here on bits of the record are told, so it serves no other session
            photon_records.use_up(request.record)
        steps.append(step)
        say(f"{request.end}: {step}")

    return await converse(party, over, request.silence_s, on_step)


def _settled(request: SessionRequest, ended: State) -> SessionResult:
    """Write what is to be kept, the key first."""
    if isinstance(ended, Aborted):
        raise _aborted(ended)
    if not isinstance(ended, Done | NoKey):
        raise PeerUnavailable("the session did not end")
    block, reason = (ended.block.hex(), "") if isinstance(ended, Done) else ("", ended.reason)
    try:
        if isinstance(ended, Done) and ended.key:
            _write_key(request.out, ended.key, block)
        elif isinstance(ended, Done):
            reason = "all of the key made went into the authentication of the next session"
    finally:  # the other end returns its own all the same
        with Secret(ended.authentication) as unused:
            ended.authentication[:] = bytes(len(ended.authentication))
            qkd_key_files.return_authentication(request.authentication, unused)
    return SessionResult(end=request.end, block=block, reason=reason, simulated=True, account=ended.account)


def _write_key(path: Path, octets: KeyOctets, block: str) -> None:
    with Secret(octets) as key:
        octets[:] = bytes(len(octets))
        try:
            qkd_key_files.write_new_key(path, key)
        except KeystrandError as error:
            said = f"{error.message}; the other end has the key of block {block}: discard it there"
            raise type(error)(said, hint=error.hint) from error


def _aborted(ended: Aborted) -> Exception:
    said = "no key at either end"
    if ended.in_doubt:
        said = f"no key here, but the other end may have delivered block {ended.block.hex()}: discard it there"
    return type(ended.error)(f"{ended.reason}; {said}", hint=ended.error.hint)


def no_key(result: SessionResult) -> NoKeyAvailable | None:
    """Return the error that a session without key to deliver ends the command with."""
    hint = "a longer run proves more; a high QBER may mean somebody listens"
    return NoKeyAvailable(f"no key from this block: {result.reason}", hint=hint) if result.reason else None
