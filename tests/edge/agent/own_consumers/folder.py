"""A consumer that is a folder: its keys are files. Traffic "runs" under a key that both ends hold the same of.

What it was given stands in `installed`, one key ID a line. A file `stop-VERB` makes that verb fail,
`stop-installed` when the key is in place already.
"""

from pathlib import Path

from keystrand.edge.consumers.base import Consumer, ConsumerFailure, NewKey, Proof, Role, Settings
from keystrand.edge.files import write_atomic
from keystrand.model.errors import InvalidInput, Problem


class FolderConsumer:
    """The consumer in `folder`; the other end's is in `other`."""

    def __init__(self, folder: Path, other: Path) -> None:
        self._folder, self._other = folder, other

    def _may(self, verb: str) -> None:
        if (self._folder / f"stop-{verb}").exists():
            raise ConsumerFailure(f"told not to {verb}")

    def prepare(self) -> None:
        """Put the guard up."""
        self._may("prepare")
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "guard").touch()

    def install(self, key: NewKey) -> None:
        """Write the key, and its ID into the list."""
        self._may("install")
        assert (self._folder / "guard").exists()
        write_atomic(self._folder / f"{key.key_id}.key", key.octets.reveal(), mode=0o600)
        with (self._folder / "installed").open("a") as told:
            told.write(f"{key.key_id} {key.label}\n")
        self._may("installed")

    def prove(self, key_id: str) -> Proof:
        """Compare the newest key with the other end's."""
        self._may("prove")
        ours, theirs = (place / f"{key_id}.key" for place in (self._folder, self._other))
        same = ours.exists() and theirs.exists() and ours.read_bytes() == theirs.read_bytes()
        return Proof(key_id=key_id, in_use=same, shown_by="both files are the same" if same else "they differ")

    def retire(self, key_id: str) -> None:
        """Remove the key."""
        self._may("retire")
        (self._folder / f"{key_id}.key").unlink(missing_ok=True)


def make(settings: Settings, role: Role) -> Consumer:
    """Return the consumer of `folder` and `other`."""
    del role
    for name in ("folder", "other"):
        if name not in settings:
            raise InvalidInput("no folder", problems=(Problem(message="missing", field=name),))
    return FolderConsumer(Path(str(settings["folder"])), Path(str(settings["other"])))
