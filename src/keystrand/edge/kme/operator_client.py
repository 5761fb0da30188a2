"""What an operator's programs ask of a running KME (`kme.operating`), blocking, over mutual TLS.

The caller's certificate must be of the kind `operator`, and the key exchange post-quantum. No answer holds keys.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import msgspec

from keystrand.edge.kme.channel import Channel
from keystrand.edge.kme.operating import BASE, KeyBody, PairBody, PolicyBody
from keystrand.edge.pki import Credentials
from keystrand.formats import etsi014
from keystrand.keys.lifecycle import KeyEvent
from keystrand.model.errors import InvalidInput, KeystrandError, PeerUnavailable, PolicyDenied, Problem

Told = dict[str, Any]

_PAGE = 10
"""How many orders are asked for at once: each may have a thousand keys, and an answer has an end."""


class OperatorClient:
    """An operator's connection to the KME at `url`. One connection, kept; usable from several threads, one at a time.

    Every method raises `PolicyDenied` (this certificate may not), `InvalidInput` (the KME refuses the request), or
    `PeerUnavailable` where the KME is not reached or not trusted, or cannot answer.
    """

    def __init__(self, url: str, ca: Path, cert: Path, key: Path, *, kme_id: str = "", timeout_s: float = 10.0) -> None:
        """Prepare; nothing is connected yet. Raises `InvalidInput` for a URL or files that cannot be used."""
        self._channel = Channel(url, Credentials(ca=ca, certificate=cert, key=key), kme_id=kme_id, timeout_s=timeout_s)

    # Looking

    def status(self) -> Told:
        """Return how the KME stands: store, policy, links, keys by state, what ran out."""
        return self._get("status")

    def keys(self, *, sae: str = "", state: str = "") -> Iterator[Told]:
        """Yield what is known of every key, of one SAE and in one state where those are given."""
        after = ""
        while True:
            page = self._get("keys", sae=sae, state=state, after=after, limit=str(_PAGE))
            yield from page["keys"]
            after = page["after"]
            if not after:
                return

    def keys_of(self, key_id: str) -> list[Told]:
        """Return what is known of every key of the order that `key_id` belongs to, at each SAE of this KME."""
        return list(self._get("keys", key_ID=key_id)["keys"])

    def rotation(self, master: str, slave: str) -> Told:
        """Return whether the pair must take a new key, and why."""
        return self._get("rotation", master=master, slave=slave)

    def policy(self) -> Told:
        """Return the policy in force, the one that is staged, and the earlier ones."""
        return self._get("policy")

    # Changing

    def happen(self, key_id: str, event: KeyEvent, why: str) -> list[Told]:
        """Let `event` happen to all keys of the order of `key_id`, at both ends; return what it changed here."""
        return list(self._post("keys", KeyBody(key_id=key_id, event=event, why=why))["keys"])

    def rotate(self, master: str, slave: str) -> Told:
        """Void what the pair has not fetched yet; from then on a new key is due."""
        return self._post("rotate", PairBody(master=master, slave=slave))

    def stage_policy(self, text: str, file: str) -> Told:
        """Stage a policy; nothing changes until it is activated."""
        return self._post("policy/stage", PolicyBody(file=file, text=text))

    def activate_policy(self) -> Told:
        """Put the staged policy in force."""
        return self._post("policy/activate")

    def roll_back_policy(self) -> Told:
        """Put the policy before this one in force."""
        return self._post("policy/rollback")

    def reload(self) -> Told:
        """Have certificates and revocation lists read again."""
        return self._post("reload")

    # Asking

    def _get(self, what: str, **query: str) -> Told:
        asked = urlencode({name: value for name, value in query.items() if value})
        return self._ask("GET", f"{BASE}{what}" + (f"?{asked}" if asked else ""))

    def _post(self, what: str, body: msgspec.Struct | None = None) -> Told:
        return self._ask("POST", f"{BASE}{what}", b"" if body is None else msgspec.json.encode(body))

    def _ask(self, verb: str, target: str, body: bytes = b"") -> Told:
        status, answer = self._channel.exchange(verb, target, body)
        if status != 200:
            raise _error_of(status, answer)
        try:
            return msgspec.json.decode(answer, type=Told)
        except msgspec.DecodeError:
            raise PeerUnavailable("the KME's answer cannot be read", hint="use the release that the KME runs") from None

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _error_of(status: int, answer: bytes) -> KeystrandError:
    try:
        told = etsi014.decode(answer, etsi014.Error)
    except InvalidInput:
        told = etsi014.Error(message="without a reason")
    details = [(name, str(value)) for detail in told.details for name, value in detail.items()]
    hint = next((value for name, value in details if name == "hint"), "")
    problems = tuple(Problem(message=value, field=name) for name, value in details if name != "hint")
    message = f"the KME answered {status}: {told.message}"
    if status == 401:
        return PolicyDenied(
            message, hint=hint or "use the certificate of an operator (keystrand pki issue --kind operator)"
        )
    if 400 <= status < 500:
        return InvalidInput(message, problems=problems, hint=hint or "nothing was changed")
    return PeerUnavailable(message, problems=problems, hint="see the log of the KME")
