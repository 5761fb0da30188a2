"""What one object in a file of keys is: its facts, and why there are none or not all."""

from typing import NamedTuple

from keystrand.model.observation import AlgorithmUse, Certificate, Keystore, PublicKey

ENCRYPTED = "encrypted"

KeyFact = Certificate | PublicKey | AlgorithmUse | Keystore


class Found(NamedTuple):
    """One object in a file. A gap is `ENCRYPTED` or a sentence; `where` its place, where it is not simply the n-th."""

    facts: tuple[KeyFact, ...] = ()
    gap: str = ""
    where: str = ""
