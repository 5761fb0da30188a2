"""What age and our plug-in say to each other over a pipe (C2SP age-plugin): recipient-v1 and identity-v1.

First age tells everything, then we do, and age answers each of our stanzas. What we do not know in the first part is
passed over: the other side puts random stanzas there so that nobody grows deaf to new ones.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import BinaryIO, NamedTuple

from keystrand.edge.consumers.age import TAG, Addressed, addressed, sae_of, unwrapped, wrapped
from keystrand.edge.kme.client import Client014
from keystrand.formats.age_stanza import Stanza, read, written
from keystrand.model.errors import InvalidInput, KeystrandError

_LABEL = "postquantum"
"""What age calls recipients that resist a quantum computer: a file for one of those and for a classical one is refused
by a program that knows labels (age 1.2 and later), since the classical one would decide for both."""


class Pipe:
    """Both directions, a stanza at a time."""

    def __init__(self, come: BinaryIO, go: BinaryIO) -> None:
        self._come, self._go = come, go

    def told(self) -> Iterator[Stanza]:
        """Yield what the other side tells until it is done. Raises `InvalidInput` where it ends before."""
        while (stanza := self._next()).tag != "done":
            yield stanza

    def ask(self, stanza: Stanza) -> None:
        """Tell one thing and wait for the answer. Raises `InvalidInput` where it was not taken."""
        self.tell(stanza)
        if self._next().tag != "ok":
            raise InvalidInput(f"age did not take a stanza of the kind {stanza.tag}")

    def tell(self, stanza: Stanza) -> None:
        """Tell one thing."""
        self._go.write(written(stanza))
        self._go.flush()

    def _next(self) -> Stanza:
        stanza = read(self._come.readline)
        if stanza is None:
            raise InvalidInput("age closed the pipe before it was done")
        return stanza


class _Offered(NamedTuple):
    """A stanza of one file's header, with its place there."""

    file: str
    place: int
    stanza: Stanza


def recipient_v1(pipe: Pipe, kme: Client014, ours: str) -> None:
    """Wrap every file key for every recipient; either all of them or, with the errors told, none."""
    asked: dict[str, list[str]] = {"recipient": [], "identity": []}
    file_keys, knows_labels = [], False
    for stanza in pipe.told():
        kind = stanza.tag.removeprefix("add-")
        if kind in asked and stanza.tag != kind and len(stanza.arguments) == 1:
            asked[kind].append(stanza.arguments[0])
        elif stanza.tag == "wrap-file-key":
            file_keys.append(stanza.body)
        knows_labels |= stanza.tag == "extension-labels"
    made, errors = _wrapped_all(kme, ours, asked, file_keys)
    if knows_labels and not errors:
        pipe.ask(Stanza("labels", (_LABEL,)))
    for answer in errors or made:
        pipe.ask(answer)
    pipe.tell(Stanza("done"))


def _wrapped_all(
    kme: Client014, ours: str, asked: dict[str, list[str]], file_keys: list[bytes]
) -> tuple[list[Stanza], list[Stanza]]:
    """Return the answers, and the errors that forbid to give any of them. No key is taken where a name is wrong."""
    errors, readers = [], []
    for kind, texts in asked.items():
        for at, text in enumerate(texts):
            try:
                readers.append((kind, at, sae_of(text)))
            except InvalidInput as error:
                errors.append(_error(error, kind, str(at)))
    made: list[Stanza] = []
    for number, file_key in enumerate(() if errors else file_keys):
        for kind, at, reader in readers:
            try:
                stanza = wrapped(kme, ours, reader, file_key)
            except KeystrandError as error:
                # one refusal is enough: what follows would only use up keys
                return [], [_error(error, kind, str(at))]
            made.append(Stanza("recipient-stanza", (str(number), stanza.tag, *stanza.arguments), stanza.body))
    return made, errors


def identity_v1(pipe: Pipe, kme: Client014, ours: str) -> None:
    """Give the file key of each file that has a stanza for us, or say why there is none."""
    identities, stanzas = [], []
    for stanza in pipe.told():
        if stanza.tag == "add-identity" and len(stanza.arguments) == 1:
            identities.append(stanza.arguments[0])
        elif stanza.tag == "recipient-stanza" and len(stanza.arguments) >= 2:
            stanzas.append(stanza)
    strange = [(at, why) for at, text in enumerate(identities) if (why := _strange(text, ours))]
    for answer in [_error(why, "identity", str(at)) for at, why in strange] or _opened_all(kme, ours, stanzas):
        pipe.ask(answer)
    pipe.tell(Stanza("done"))


def _strange(identity: str, ours: str) -> InvalidInput | None:
    """Return what is wrong with an identity at this place."""
    try:
        sae = sae_of(identity)
    except InvalidInput as error:
        return error
    if sae != ours:
        return InvalidInput(f"this identity is that of the SAE {sae}, and the configuration here is that of {ours}")
    return None


def _opened_all(kme: Client014, ours: str, stanzas: list[Stanza]) -> Iterator[Stanza]:
    for file, offered in groupby(stanzas, key=lambda stanza: stanza.arguments[0]):
        known = [
            _Offered(file, place, Stanza(stanza.arguments[1], stanza.arguments[2:], stanza.body))
            for place, stanza in enumerate(offered)
            if stanza.arguments[1] == TAG
        ]
        yield from _opened(kme, ours, known)


def _opened(kme: Client014, ours: str, known: list[_Offered]) -> Iterator[Stanza]:
    """Yield the file key of one file, or what stands against it. One bad stanza stands against all of a file's."""
    ways: list[tuple[_Offered, Addressed]] = []
    errors: list[Stanza] = []
    for offered in known:
        try:
            ways.append((offered, addressed(offered.stanza)))
        except InvalidInput as error:
            errors.append(_error(error, "stanza", offered.file, str(offered.place)))
    for offered, to in () if errors else ways:
        if to.slave_sae != ours:
            continue
        try:
            file_key = unwrapped(kme, to, offered.stanza.body)
        except KeystrandError as error:
            errors.append(_error(error, "stanza", offered.file, str(offered.place)))
        else:
            yield Stanza("file-key", (offered.file,), file_key)
            return
    yield from errors


def _error(error: KeystrandError, *arguments: str) -> Stanza:
    told = f"{error.message}; {error.hint}" if error.hint else error.message
    return Stanza("error", arguments, told.encode())
