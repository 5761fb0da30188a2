"""The consumer `age` on trial: files made at site a for site b's SAE, carried over, opened there and compared."""

import io
import json
import os
import secrets
import shlex
import sys
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from keystrand.crypto.secret import Secret
from keystrand.edge.consumers.age import VARIABLE, addressed, identity_of, opened_by, recipient_of
from keystrand.edge.consumers.seen_keys import SeenKeys
from keystrand.edge.daemons import program, run
from keystrand.edge.files import write_atomic
from keystrand.edge.pilot.attempts import Done
from keystrand.edge.pilot.base import A, B, Ground, KmeEnd
from keystrand.edge.pilot.paced import PacedTrial, nothing
from keystrand.edge.pilot.way import Way
from keystrand.formats.age_stanza import read
from keystrand.model.errors import MissingInput, NoKeyAvailable, PeerUnavailable, PolicyDenied
from keystrand.model.pilot import PilotConsumer
from keystrand.model.stages.recorded import Deed, DeedKind

_FILE_OCTETS = 1 << 15
_LARGE_OCTETS = 1 << 23
_WITHIN_S = 15.0
"""For one run of age: its plug-in waits for its KME ten seconds at most."""
_NO_KEY = "the KME answered 503"
"""How the plug-in says that there is no key (ETSI GS QKD 014, 6.3)."""
_EMPTY_KEY_OCTETS = 32


class _Mode(NamedTuple):
    """Whom a file is for, and the file with what opens it."""

    recipient: str
    identity: Path


class AgeTrial(PacedTrial):
    """See `base.Trial`. An operation is a file of 32 KiB, from its making to its opening; `throughput`: of 8 MiB."""

    how = "age with its plug-in: each file under a key of its own, the key_ID in its header"
    programs: tuple[str, ...] = ("age",)
    needs: tuple[str, ...] = ("Debian package age",)
    most_at_once = 3
    """Each is four programs one after the other: more of them would slow down everything else that is measured."""

    def __init__(self, declared: PilotConsumer) -> None:
        super().__init__(declared)
        self._seen = SeenKeys()
        self._mode: _Mode | None = None

    def why_not(self) -> str:
        """Return which program is absent."""
        try:
            for name in ("age", "age-keygen"):
                program(name, "age")
        except MissingInput as error:
            return f"{error.message}: {error.hint}"
        return ""

    def set_up(self, ground: Ground) -> None:
        """See `base.Trial`: what an operator writes, at either end."""
        self._folder, self._kmes, self._way = ground.folder / self.declared.id, ground.kmes, Way(ground.carrier)
        ground.care.add(self)
        lines = 0
        for at in (A, B):
            self._at(at).mkdir(parents=True, mode=0o700)
            text = _configuration(ground.kmes[at])
            write_atomic(self._at(at) / "age.toml", text.encode(), mode=0o600)
            lines += len(text.splitlines())
            _write_plugin(self._at(at))
        identity = self._at(B) / "identity"
        write_atomic(identity, identity_of(ground.kmes[B].sae).encode() + b"\n", mode=0o600)
        self._keyed = _Mode(recipient_of(ground.kmes[B].sae), identity)
        for kind, what, count in (
            (DeedKind.CONFIG_LINES, "age.toml at both ends", lines),
            (DeedKind.COMMAND, "age-plugin-keystrand: the recipient for site a, the identity for site b", 2),
        ):
            self.deeds.append(Deed(kind=kind, what=what, count=count, consumer=self.declared.id))

    def stop(self) -> None:
        """End everything."""
        self.end_traffic()
        self._operation, self._mode = nothing, None

    def begin_plain(self) -> str:
        """See `base.Trial`."""
        identity = self._at(B) / f"plain-{uuid.uuid4()}"
        run(program("age-keygen", "age"), "-o", str(identity))
        recipient = run(program("age-keygen", "age"), "-y", str(identity)).strip()
        self._mode, self._operation = _Mode(recipient, identity), self._once
        return "age with a recipient of its own kind (X25519), without a key from a KME"

    def end_plain(self) -> None:
        """See `base.Trial`."""
        self._operation, self._mode = nothing, None

    def begin_keyed(self) -> None:
        """See `base.Trial`."""
        self._mode, self._operation = self._keyed, self._once

    def throughput(self, seconds: float) -> float | None:
        """See `base.Trial`. Raises `NoKeyAvailable`, `PeerUnavailable`."""
        octets, begin = 0, time.monotonic()
        while self._mode and time.monotonic() - begin < seconds:
            self._brought_over(self._mode, secrets.token_bytes(_LARGE_OCTETS))
            octets += _LARGE_OCTETS
        return 8 * octets / (time.monotonic() - begin) if octets else None

    def wrong_keys(self) -> int:
        """Return how many keys were given twice, as told by their key_ID, or are empty, as told by trying."""
        return self._seen.old + self._seen.zero

    def _once(self) -> Done | None:
        mode, begin = self._mode, time.perf_counter()
        if mode is None:
            return None
        key_id = self._brought_over(mode, secrets.token_bytes(_FILE_OCTETS))
        return Done(key_id, time.perf_counter() - begin)

    def _brought_over(self, mode: _Mode, content: bytes) -> str:
        """Make a file of `content`, carry it, open it and compare; return the key_ID, empty for none."""
        with TemporaryDirectory(dir=self._folder) as name:
            place = Path(name)
            (place / "content").write_bytes(content)
            self._age(A, "-r", mode.recipient, "-o", str(place / "sealed"), str(place / "content"))
            sealed = (place / "sealed").read_bytes()
            key_id = self._examined(sealed) if mode is self._keyed else ""
            (place / "arrived").write_bytes(self._way.carry(sealed))
            self._age(B, "-d", "-i", str(mode.identity), "-o", str(place / "opened"), str(place / "arrived"))
            if (place / "opened").read_bytes() != content:
                raise PeerUnavailable("what was opened is not what was sealed")
        return key_id

    def _examined(self, sealed: bytes) -> str:
        """Return the key_ID that a file names, once its key was looked at."""
        header = io.BytesIO(sealed)
        header.readline()
        stanza = read(header.readline)
        if stanza is None:
            raise PeerUnavailable("age wrote a file without a recipient")
        to = addressed(stanza)
        try:
            opened_by(Secret(bytes(_EMPTY_KEY_OCTETS)), to, stanza.body)
        except PolicyDenied:
            empty = False
        else:
            empty = True
        self._seen.note(to.key_id, stanza.body, empty=empty)
        return to.key_id

    def _age(self, at: int, *words: str) -> None:
        folder = self._at(at)
        env = {"PATH": f"{folder}:{os.environ.get('PATH', os.defpath)}", VARIABLE: str(folder / "age.toml")}
        try:
            run(program("age", "age"), *words, env=env, within_s=_WITHIN_S)
        except PeerUnavailable as error:
            if _NO_KEY in error.message:
                raise NoKeyAvailable(error.message) from error
            raise

    def _at(self, at: int) -> Path:
        return self._folder / "ab"[at]


def _configuration(kme: KmeEnd) -> str:
    files = kme.files
    lines = [f"sae = {_quoted(kme.sae)}", "[kme]", f"url = {_quoted(kme.url)}"]
    paths = ("ca", files.ca), ("certificate", files.certificate), ("key", files.key)
    lines += [f"{name} = {_quoted(str(path.absolute()))}" for name, path in paths]
    lines += [f"kme_id = {_quoted(kme.kme_id)}"] if kme.kme_id else []
    lines += ["foreign = true"] if kme.foreign else []
    lines += [] if kme.require_post_quantum else ["require_post_quantum = false"]
    return "\n".join((*lines, ""))


def _quoted(text: str) -> str:
    """Return `text` as a TOML basic string, which a JSON string is."""
    return json.dumps(text)


def _write_plugin(folder: Path) -> None:
    """Write what age finds on its PATH: our plug-in, by the interpreter and the code that run now."""
    words = shlex.join([sys.executable, "-m", "keystrand.cli.age_plugin"])
    write_atomic(folder / "age-plugin-keystrand", f'#!/bin/sh\nexec {words} "$@"\n'.encode(), mode=0o700)
