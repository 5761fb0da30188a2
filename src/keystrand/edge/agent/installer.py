"""The privileged part of an agent: it alone touches the consumers, and does four things to those of its own tables.

It listens on a Unix socket that only the agent's user can open, and asks the kernel who is at the other end. A caller
names a consumer by its id and nothing else: which program, device or file that is stands in a file that only the
installer's own user can write. Key bytes come over that socket after their length, and are cleared after use.

A key that is not replaced within the time of its policy is retired here too, whatever became of the agent. Started
anew, the installer learns from the agent's journal which keys may be in place.
"""

import logging
import os
import pwd
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from msgspec import Struct

from keystrand.crypto.secret import Secret
from keystrand.edge.agent.config import AgentConfig, ConsumerTable, exception_ends_s
from keystrand.edge.agent.frames import framed, receive, receive_exactly
from keystrand.edge.agent.journal import Journal, steady_s
from keystrand.edge.consumers.base import Consumer, ConsumerFailure, NewKey, Proof
from keystrand.edge.consumers.registry import make
from keystrand.keys.agent_memory import Memory
from keystrand.model.errors import InvalidInput, KeystrandError, PolicyDenied, Problem, StoreFailure
from keystrand.model.taken_apart import take_apart
from keystrand.model.words import shown

_log = logging.getLogger(__name__)

_LOOK_S = 0.25
"""How late a key that is too old may be found."""
_CREDENTIALS = struct.Struct("3i")
_CONNECTIONS = 64
_KEY_OCTETS = 4096 // 8


class Ask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the four verbs of `consumers.base.Consumer`. `octets` of key follow an `install`."""

    verb: Literal["prepare", "install", "prove", "retire"]
    consumer: str
    key_id: str = ""
    label: str = ""
    octets: int = 0


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came of it: `failed` says what went wrong, empty for nothing."""

    failed: str = ""
    hint: str = ""
    proof: Proof | None = None


take_apart(Ask, Answer)


class _Kept:
    """One consumer, one verb at a time, and until when each of its keys may serve."""

    def __init__(self, table: ConsumerTable, consumer: Consumer, exception_ends_s: float | None) -> None:
        self.table, self.consumer, self._exception_ends_s = table, consumer, exception_ends_s
        self.turn = threading.Lock()
        self.ends: dict[str, float] = {}
        self._prepared = False

    def remember(self, memory: Memory) -> None:
        """Take note of the keys that an installer before this one may have left in place."""
        self.ends.update((note.key_id, self._end_s(note.born_s)) for note in memory.held)

    def _end_s(self, born_s: float) -> float:
        excepted_s = (self._exception_ends_s or 0.0) - time.time() + steady_s() - born_s
        return born_s + self.table.serves_most_s(excepted_s)

    def prepare(self) -> None:
        self.consumer.prepare()
        self._prepared = True

    def install(self, key: NewKey) -> None:
        asked_s = time.time()
        self.ends[key.key_id] = self._end_s(steady_s())  # before: what fails half-way may leave it in place
        self.consumer.install(key)
        self._tell(key.key_id, "installed", asked_s)

    def retire(self, key_id: str) -> None:
        self.consumer.retire(key_id)
        self.ends.pop(key_id, None)
        self._tell(key_id, "retired", time.time())

    def _tell(self, key_id: str, what: str, at_s: float) -> None:
        """Say what became of a key, beside the agent's audit: whoever doubts the one can compare."""
        _log.info("%s: key %s: %s at %.6f", self.table.id, key_id, what, at_s)

    def sweep(self) -> None:
        """Retire what is too old. A consumer that does not obey is asked again."""
        for key_id in [one for one, ends_s in tuple(self.ends.items()) if steady_s() >= ends_s]:
            with self.turn:
                try:
                    if not self._prepared:
                        self.prepare()  # the guard before anything else
                    self.retire(key_id)
                    _log.warning("%s: the key %s was too old and nobody replaced it: retired", self.table.id, key_id)
                except KeystrandError as error:
                    _log.error("%s: the key %s is too old and stays: %s", self.table.id, key_id, shown(error.message))


class Installer:
    """Serves the agent of `config` until closed. Raises `InvalidInput` with the field that a consumer's settings get
    wrong, `StoreFailure` where its socket cannot be made.
    """

    def __init__(self, config: AgentConfig, file: Path) -> None:
        self._user_id, self._group_id = user_of(config.agent.user)
        self._kept = {
            one.id: _Kept(one, _made(one, n, file), exception_ends_s(one, config.agent))
            for n, one in enumerate(config.consumers)
        }
        self._journal = Journal(Path(config.agent.journal))
        self._path = Path(config.agent.installer)
        self._listener = self._listen()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("installer", self._accept), ("old keys", self._watch))
        ]

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            remove_dead(self._path)
            before = os.umask(0o177)
            try:
                listener.bind(str(self._path))
            finally:
                os.umask(before)
            if os.geteuid() == 0:
                os.chown(self._path, self._user_id, self._group_id)
        except OSError as error:
            listener.close()
            raise StoreFailure(f"{self._path} cannot be listened at: {error.strerror or error}") from error
        listener.listen(_CONNECTIONS)
        return listener

    def start(self) -> None:
        """Serve, in threads of its own."""
        for one in self._kept.values():
            self._remember(one)
        for thread in self._threads:
            thread.start()

    def _remember(self, one: _Kept) -> None:
        try:
            one.remember(self._journal.read(one.table.id, one.table.role.value, steady_s(), time.time()))
        except KeystrandError as error:
            told = "keys in place are not known and end by the agent alone"
            _log.warning("%s: %s: %s", one.table.id, told, shown(error.message))

    def close(self) -> None:
        """Serve nobody any more. Keys stay where they are."""
        self._over.set()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_S):
            for one in self._kept.values():
                one.sweep()

    def _accept(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        with stream:
            try:
                self._demand_agent(stream)
                while (asked := receive(stream, Ask)) is not None:
                    stream.sendall(framed(self._answer(asked, stream)))
            except (PolicyDenied, OSError) as error:
                _log.warning("a caller was cut off: %s", shown(str(error)))

    def _demand_agent(self, stream: socket.socket) -> None:
        found = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        caller = _CREDENTIALS.unpack(found)[1]
        if caller not in (self._user_id, os.geteuid()):
            raise PolicyDenied(f"user {caller} is not the agent's")

    def _answer(self, asked: Ask, stream: socket.socket) -> Answer:
        if not 0 <= asked.octets <= _KEY_OCTETS or bool(asked.octets) != (asked.verb == "install"):
            raise PolicyDenied("no key has that length")
        octets = receive_exactly(stream, asked.octets)
        with Secret(octets) as key:
            octets[:] = bytes(len(octets))
            kept = self._kept.get(asked.consumer)
            if kept is None:
                return Answer(failed=f"the installer has no consumer {asked.consumer!r}")
            try:
                with kept.turn:
                    return Answer(proof=_done(kept, asked, key))
            except KeystrandError as error:
                return Answer(failed=shown(error.message), hint=shown(error.hint))
            except Exception as error:
                # a consumer's own defect must neither end this thread nor tell what it was given
                _log.exception("%s of %s", asked.verb, asked.consumer)
                return Answer(failed=f"{asked.verb} failed: {type(error).__name__}")


def _done(kept: _Kept, asked: Ask, key: Secret) -> Proof | None:
    match asked.verb:
        case "prepare":
            kept.prepare()
        case "install":
            kept.install(NewKey(key_id=asked.key_id, label=asked.label, octets=key))
        case "prove":
            return kept.consumer.prove(asked.key_id)
        case "retire":
            kept.retire(asked.key_id)
    return None


def _made(one: ConsumerTable, n: int, file: Path) -> Consumer:
    try:
        return make(one.kind, one.settings, one.role)
    except InvalidInput as error:
        told = error.problems or (Problem(message=error.message, hint=error.hint),)
        problems = tuple(
            Problem(
                message=p.message, hint=p.hint, file=str(file), field=f"consumer[{n}].settings.{p.field}".rstrip(".")
            )
            for p in told
        )
        raise InvalidInput(f"the settings of {one.id} are not those of a {one.kind}", problems=problems) from error


def check_consumers(config: AgentConfig, file: Path) -> str:
    """Return which consumers can be made. Raises `InvalidInput` with the field that their settings get wrong."""
    for n, one in enumerate(config.consumers):
        _made(one, n, file)
    return ", ".join(f"{one.id} ({one.kind})" for one in config.consumers)


def user_of(name: str) -> tuple[int, int]:
    """Return the user and group id of `name`, our own for none. Raises `InvalidInput` for one that is not there."""
    if not name:
        return os.geteuid(), os.getegid()
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise InvalidInput(f"there is no user {name!r}", hint="make it: useradd --system " + name) from None
    return found.pw_uid, found.pw_gid


def remove_dead(path: Path) -> None:
    """Remove a socket that nobody listens at. Raises `OSError` where somebody does."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as looking:
        try:
            looking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(0, "an installer listens there already")


class Installed:
    """The agent's way to one consumer: a blocking `Consumer` whose verbs the installer carries out.

    `within_s` bounds each. Raises `ConsumerFailure` where it fails, or the installer is not reached.
    """

    def __init__(self, path: Path, consumer: str, within_s: float) -> None:
        self._path, self._consumer, self._within_s = path, consumer, within_s
        self._stream: socket.socket | None = None

    def prepare(self) -> None:
        """See `Consumer`."""
        self._ask(Ask(verb="prepare", consumer=self._consumer))

    def install(self, key: NewKey) -> None:
        """See `Consumer`. The key is not cleared."""
        asked = Ask(
            verb="install", consumer=self._consumer, key_id=key.key_id, label=key.label, octets=len(key.octets)
        )  # fmt: skip
        self._ask(asked, lambda stream: stream.sendall(key.octets.view()))

    def prove(self, key_id: str) -> Proof:
        """See `Consumer`."""
        answer = self._ask(Ask(verb="prove", consumer=self._consumer, key_id=key_id))
        if answer.proof is None:
            raise ConsumerFailure("the installer answered no proof")
        return answer.proof

    def retire(self, key_id: str) -> None:
        """See `Consumer`."""
        self._ask(Ask(verb="retire", consumer=self._consumer, key_id=key_id))

    def _ask(self, asked: Ask, then: Callable[[socket.socket], None] = lambda _: None) -> Answer:
        try:
            stream = self._connected()
            stream.sendall(framed(asked))
            then(stream)
            answer = receive(stream, Answer)
        except (OSError, PolicyDenied) as error:
            self.close()
            told = getattr(error, "strerror", "") or str(error)
            raise ConsumerFailure(
                f"the installer at {self._path} is not reached: {told}", hint="start it: keystrand agent installer"
            ) from error
        if answer is None:
            self.close()
            raise ConsumerFailure(f"the installer at {self._path} did not answer")
        if answer.failed:
            raise ConsumerFailure(answer.failed, hint=answer.hint)
        return answer  # type: ignore[no-any-return]  # `receive` gives what it is asked for

    def _connected(self) -> socket.socket:
        if self._stream is None:
            stream = socket.socket(socket.AF_UNIX)
            stream.settimeout(self._within_s)
            try:
                stream.connect(str(self._path))
            except OSError:
                stream.close()
                raise
            self._stream = stream
            # the installer may be a new one: what keeps traffic from leaving in clear comes before anything else
            self.prepare()
        return self._stream

    def close(self) -> None:
        """Let go of the connection."""
        if self._stream:
            self._stream.close()
            self._stream = None


def wait_for(path: Path, within_s: float) -> None:
    """Wait until an installer listens at `path`. Raises `ConsumerFailure`."""
    deadline = time.monotonic() + within_s
    while True:
        with socket.socket(socket.AF_UNIX) as looking:
            try:
                looking.connect(str(path))
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise ConsumerFailure(
                        f"no installer listens at {path}: {error.strerror}",
                        hint="start it: keystrand agent installer",
                    ) from error
            else:
                return
        time.sleep(0.05)
