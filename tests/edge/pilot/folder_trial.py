"""A consumer on trial that is a folder at each end: nothing of others, and its keys can be looked at."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from keystrand.model.pilot import ConsumerKind, PilotConsumer

MAX_AGE_S = 3.5


class FolderTrial:
    """A consumer that is a folder at each end."""

    def __init__(
        self, name: str, folder: Path, policy: str = "fail-secure", env: Mapping[str, str] | None = None
    ) -> None:
        self.declared = PilotConsumer(
            id=name, kind=ConsumerKind.HSM, policy=policy, rotate_every_s=0.5, max_age_s=MAX_AGE_S,
            fallback_most_s=60 if policy == "fallback-pqc" else None,
        )  # fmt: skip
        self._folder, self._env = folder, env or {}

    def keys(self, at: int) -> Path:
        """Return the folder at one end."""
        return self._folder / f"{self.declared.id}-{at}"

    def installed(self, at: int) -> list[str]:
        """Return the IDs of all keys that were ever installed at one end, in order."""
        return [line.split()[0] for line in (self.keys(at) / "installed").read_text().splitlines()]

    def agent_kind(self) -> str:
        """See `Trial`."""
        return "own_consumers.folder"

    def agent_settings(self, at: int) -> Mapping[str, str]:
        """See `Trial`."""
        return {"folder": str(self.keys(at)), "other": str(self.keys(1 - at))}

    def installer_prefix(self, at: int) -> Sequence[str]:
        """See `Trial`."""
        del at
        return ()

    def installer_env(self, at: int) -> Mapping[str, str]:
        """See `Trial`."""
        del at
        return self._env
