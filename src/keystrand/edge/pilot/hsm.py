"""The consumer `hsm` on trial: a token at either end that the agents key, and an application at each that uses it.

At site a the newest key that both tokens hold seals a message, which is carried to site b and unsealed there. Nothing
is sealed under a key that one end alone has. The tokens are SoftHSM2's: no hardware is measured.
"""

import sys
import threading
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from secrets import token_bytes

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from keystrand.edge.consumers.pkcs11 import Pkcs11Settings
from keystrand.edge.consumers.seen_keys import SeenKeys
from keystrand.edge.daemons import Daemon, program
from keystrand.edge.files import write_atomic
from keystrand.edge.pilot.attempts import Done
from keystrand.edge.pilot.base import A, B, Ground
from keystrand.edge.pilot.paced import PacedTrial, nothing
from keystrand.edge.pilot.softhsm import SoftToken, library, new_token
from keystrand.edge.pilot.token_user import HeldKey, Question, TokenApplication
from keystrand.edge.pilot.way import Way
from keystrand.model.errors import MissingInput, NoKeyAvailable, PeerUnavailable
from keystrand.model.pilot import PilotConsumer
from keystrand.model.stages.recorded import Deed, DeedKind

_MESSAGE_OCTETS = 256
_BLOCK = bytes(16)


def _check_of_empty(octets: int) -> bytes:
    encryptor = Cipher(AES(bytes(octets)), ECB()).encryptor()  # noqa: S305 - one block, to know an empty key by
    return encryptor.update(_BLOCK) + encryptor.finalize()


_EMPTY = frozenset(map(_check_of_empty, (16, 24, 32)))


class HsmTrial(PacedTrial):
    """See `base.Trial`. An operation: 256 octets sealed in one token, carried, and unsealed in the other."""

    how = "PKCS#11 tokens (SoftHSM2): each key an object that cannot be read, found by its key_ID, AES-GCM inside"
    programs: tuple[str, ...] = ("SoftHSM2",)
    needs: tuple[str, ...] = ("Debian package softhsm2", "python-pkcs11 (the extra hsm)")

    def __init__(self, declared: PilotConsumer) -> None:
        super().__init__(declared)
        self._seen = SeenKeys()
        self._examined: set[str] = set()
        self._turn = threading.Lock()
        self._tokens: list[SoftToken] = []
        self._applications: list[TokenApplication] = []

    def why_not(self) -> str:
        """Return what is absent."""
        if find_spec("pkcs11") is None:
            return "python-pkcs11 is not installed: install keystrand with the extra hsm"
        try:
            library()
            program("softhsm2-util", "softhsm2")
        except MissingInput as error:
            return f"{error.message}: {error.hint}"
        return ""

    def set_up(self, ground: Ground) -> None:
        """See `base.Trial`."""
        self._way = Way(ground.carrier)
        ground.care.add(self)
        for at in (A, B):
            folder = ground.folder / self.declared.id / "ab"[at]
            self._tokens.append(new_token(folder, f"{self.declared.id}-{'ab'[at]}"))
            self._applications.append(self._started(ground, at, folder))
        lines = sum(len(token.configuration.read_text().splitlines()) for token in self._tokens)
        for kind, what, count in (
            (DeedKind.COMMAND, "softhsm2-util --init-token at both ends", 2),
            (DeedKind.CONFIG_LINES, "softhsm2.conf at both ends", lines),
            (DeedKind.ACTION, "a file with the token's PIN for agent and application, at both ends", 2),
        ):
            self.deeds.append(Deed(kind=kind, what=what, count=count, consumer=self.declared.id))

    def _started(self, ground: Ground, at: int, folder: Path) -> TokenApplication:
        settings, application = folder / "application.json", TokenApplication(folder / "application.sock")
        write_atomic(settings, msgspec.json.encode(Pkcs11Settings(**self.agent_settings(at))))
        words = (sys.executable, "-m", "keystrand.edge.pilot.token_user", settings, application.path)
        daemon = Daemon(words, folder / "application.log", env=self._tokens[at].env)
        ground.care.add(daemon)
        daemon.start(application.path.exists)
        return application

    def stop(self) -> None:
        """End the traffic; the applications end by themselves."""
        self.end_traffic()
        self._operation = nothing

    def begin_plain(self) -> str:
        """See `base.Trial`."""
        return "- no such thing: without a key there is nothing that the tokens could seal with"

    def end_plain(self) -> None:
        """See `base.Trial`."""

    def agent_kind(self) -> str:
        """See `base.Trial`."""
        return "pkcs11"

    def agent_settings(self, at: int) -> Mapping[str, str]:
        """See `base.Trial`."""
        token = self._tokens[at]
        return {
            "module": str(token.module), "token": token.label, "pin_file": str(token.pin_file),
            "label": self.declared.id,
        }  # fmt: skip

    def installer_env(self, at: int) -> Mapping[str, str]:
        """See `base.Trial`: where its token is."""
        return self._tokens[at].env

    def begin_traffic(self) -> None:
        """See `base.Trial`."""
        self._operation = self._once
        super().begin_traffic()

    def wrong_keys(self) -> int:
        """See `base.Trial`: told by what the tokens make of a block of zeros with each key."""
        return self._seen.old + self._seen.zero

    def keys_used(self, from_s: float, to_s: float) -> tuple[tuple[float, str], ...]:  # noqa: ARG002 - of the protocol
        """Return none: an agent serves it."""
        return ()

    def _once(self) -> Done | None:
        begin = time.perf_counter()
        try:
            key_id = self._brought_over(token_bytes(_MESSAGE_OCTETS))
        except NoKeyAvailable:
            # a key may be retired between two looks: an application then takes the one that replaced it
            key_id = self._brought_over(token_bytes(_MESSAGE_OCTETS))
        return Done(key_id, time.perf_counter() - begin)

    def _brought_over(self, message: bytes) -> str:
        key_id, sealed = self._sealed(message)
        back = self._applications[B].ask(Question(verb="unseal", key_ids=(key_id,), content=self._way.carry(sealed)))
        if back.content != message:
            raise PeerUnavailable("what was unsealed is not what was sealed")
        return key_id

    def _sealed(self, message: bytes) -> tuple[str, bytes]:
        """Seal with the newest key of both. Raises `NoKeyAvailable` where there is none."""
        theirs = self._held(B)
        self._examine(self._held(A))
        reply = self._applications[A].ask(Question(verb="seal", key_ids=tuple(theirs), content=message))
        return reply.key_id, reply.content

    def _held(self, at: int) -> dict[str, HeldKey]:
        return {one.key_id: one for one in self._applications[at].ask(Question(verb="held")).held}

    def _examine(self, held: Mapping[str, HeldKey]) -> None:
        with self._turn:
            for key_id in held.keys() - self._examined:
                self._examined.add(key_id)
                self._seen.note(key_id, held[key_id].check, empty=held[key_id].check in _EMPTY)
