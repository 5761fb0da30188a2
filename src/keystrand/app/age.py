"""The plug-in of age: where its configuration is, and one conversation with age."""

import os
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from keystrand.edge.consumers.age import VARIABLE
from keystrand.edge.consumers.age_plugin import Pipe, identity_v1, recipient_v1
from keystrand.edge.kme.client import Client014
from keystrand.edge.toml_files import read_text
from keystrand.formats.toml_input import read_toml
from keystrand.model.errors import InvalidInput
from keystrand.model.units import PartyId

MACHINES = {"recipient-v1": recipient_v1, "identity-v1": identity_v1}


class AgeKme(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The KME that keys come from (ETSI GS QKD 014). Relative paths start at the configuration's folder."""

    url: str
    ca: str
    certificate: str
    key: str
    kme_id: str = ""
    require_post_quantum: bool = True
    foreign: bool = False


class AgeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the plug-in must know: which SAE it is here, and its KME."""

    sae: PartyId
    kme: AgeKme


def converse(machine: str, come: BinaryIO, go: BinaryIO) -> None:
    """Go through one of age's state machines.

    Raises `InvalidInput` for another one or a configuration that cannot be used, before anything is said.
    """
    if machine not in MACHINES:
        raise InvalidInput(f"{machine!r} is not known here", hint=f"known are {' and '.join(MACHINES)}")
    path = config_path()
    text = read_text(path, what="the plug-in's configuration", hint=f"write it, or name another in {VARIABLE}")
    config = read_toml(text.text, AgeConfig, file=text.name, what=text.name)
    kme, home = config.kme, path.parent
    with Client014(
        kme.url, home / kme.ca, home / kme.certificate, home / kme.key, kme_id=kme.kme_id,
        require_post_quantum=kme.require_post_quantum, foreign=kme.foreign,
    ) as client:  # fmt: skip
        MACHINES[machine](Pipe(come, go), client, config.sae)


def config_path() -> Path:
    """Return where the configuration is: named by `KEYSTRAND_AGE`, else the user's, else the machine's."""
    if named := os.environ.get(VARIABLE):
        return Path(named).absolute()
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "keystrand" / "age.toml"
    machine = Path("/etc/keystrand/age.toml")
    return machine if machine.exists() and not user.exists() else user
