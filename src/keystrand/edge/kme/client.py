"""An SAE's side of ETSI GS QKD 014, blocking: keys come out as secrets, every refusal as an error of its own kind."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote

from msgspec import UNSET

from keystrand.crypto.secret import Secret
from keystrand.edge.kme import wire
from keystrand.edge.kme.channel import Channel, InDoubt, NotSent
from keystrand.edge.kme.wire import SecretKey
from keystrand.edge.pki import Credentials
from keystrand.edge.tls import Peer
from keystrand.formats import etsi014
from keystrand.formats.etsi014 import Extension, KeyContainer, KeyIdEntry, KeyIds, KeyRequest, Method, Status
from keystrand.model.errors import InvalidInput, NoKeyAvailable, PeerUnavailable, PolicyDenied, Problem
from keystrand.model.words import shown

T = TypeVar("T")


class Client014:
    """The calling SAE's connection to its KME. One connection, kept; usable from several threads, one at a time.

    Every method raises `NoKeyAvailable` (503), `PolicyDenied` (401), `InvalidInput` (400 and other refusals of the
    request), or `PeerUnavailable` where the KME is not reached, not trusted, or answers what the standard forbids.
    """

    def __init__(
        self,
        url: str,
        ca: Path,
        cert: Path,
        key: Path,
        *,
        kme_id: str = "",
        require_post_quantum: bool = True,
        foreign: bool = False,
        timeout_s: float = 10.0,
    ) -> None:
        """Prepare; nothing is connected yet. `foreign`: the KME is of another make. Raises `InvalidInput`."""
        self._channel = Channel(
            url, Credentials(ca=ca, certificate=cert, key=key), kme_id=kme_id,
            require_post_quantum=require_post_quantum, foreign=foreign, timeout_s=timeout_s,
        )  # fmt: skip

    @property
    def peer(self) -> Peer | None:
        """Who answered last, and by which key exchange group; None before the first answer."""
        return self._channel.peer

    def status(self, slave_sae: str) -> Status:
        """Return the status of the keys shared with `slave_sae` (clause 5.2)."""
        return self._call("GET", slave_sae, Method.STATUS, b"", Status)

    def enc_keys(
        self,
        slave_sae: str,
        *,
        number: int = 1,
        size: int | None = None,
        additional_slave_saes: Sequence[str] = (),
        mandatory: Sequence[Extension] = (),
        optional: Sequence[Extension] = (),
    ) -> tuple[SecretKey, ...]:
        """Return `number` fresh keys of `size` bits (None: the KME's default) to use with `slave_sae` (clause 5.3).

        The `additional_slave_saes` can fetch the same keys. `mandatory` and `optional` are name/value pairs (clause
        6.2; ours: `etsi014_extensions.Demands`). Where the answer is lost so are its keys: ask for others.
        """
        asked = KeyRequest(
            number=number, size=UNSET if size is None else size, additional_slave_sae_ids=tuple(additional_slave_saes),
            extension_mandatory=tuple(mandatory), extension_optional=tuple(optional),
        )  # fmt: skip
        keys = self._call("POST", slave_sae, Method.ENC_KEYS, etsi014.encode(asked), KeyContainer[Secret]).keys
        sizes = {8 * len(key.key) for key in keys}
        if len(keys) != number or len(sizes) != 1 or 0 in sizes or (size is not None and sizes != {size}):
            raise PeerUnavailable("the KME answered other keys than were asked for", hint="its answer was not used")
        return keys

    def dec_keys(self, master_sae: str, key_ids: Sequence[str], *, retry: bool = False) -> tuple[SecretKey, ...]:
        """Return the keys that `master_sae` got under `key_ids`, in that order (clause 5.4); each works once.

        With `retry` the same request goes out once more, over a new connection, where its answer is lost: a KME with a
        replay window then answers the same again. One without has given the keys to nobody: `InDoubt` says so.
        """
        body = etsi014.encode(KeyIds(entries=tuple(KeyIdEntry(key_id=key_id) for key_id in key_ids)))
        ask = partial(self._call, "POST", master_sae, Method.DEC_KEYS, body, KeyContainer[Secret])
        try:
            keys = ask().keys
        except InDoubt as lost:
            if not retry:
                raise
            keys = _repeated(ask, lost).keys
        if [key.key_id.lower() for key in keys] != [key_id.lower() for key_id in key_ids]:
            raise PeerUnavailable("the KME answered other keys than were asked for", hint="its answer was not used")
        return keys

    def _call(self, verb: str, sae_id: str, method: Method, body: bytes, kind: type[T]) -> T:
        target = f"/api/v1/keys/{quote(sae_id, safe='')}/{method}"
        status, answer = self._channel.exchange(verb, target, body)
        if status != 200:
            raise _error_of(status, answer)
        try:
            return wire.decode(answer, kind)
        except InvalidInput as error:
            where = shown("; ".join(map(str, error.problems)))
            raise PeerUnavailable(f"the KME's answer does not follow ETSI GS QKD 014: {where}") from None

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _repeated(ask: Callable[[], T], lost: InDoubt) -> T:
    """Return the answer to the same question asked anew. Raises what asking raises."""
    try:
        return ask()
    except (InvalidInput, NotSent) as refused:
        hint = "the keys may be lost with the first answer: let the master SAE get others"
        raise InDoubt(f"{lost.message}; asked again, {refused.message}", hint=hint) from refused


def _error_of(status: int, answer: bytes) -> NoKeyAvailable | PolicyDenied | InvalidInput | PeerUnavailable:
    told = wire.error_of(answer)
    problems = tuple(Problem(message=v, field=k) for detail in told.details for k, v in detail.items())
    message = f"the KME answered {status}: {told.message}"
    if status == 503:
        return NoKeyAvailable(message, problems=problems)
    if status == 401:
        return PolicyDenied(message, problems=problems)
    if 400 <= status < 500:
        return InvalidInput(message, problems=problems, hint="the request was refused whole; nothing was handed out")
    return PeerUnavailable(message, problems=problems)
