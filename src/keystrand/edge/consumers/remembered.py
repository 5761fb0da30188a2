"""Which keys of ours a device was given, by name, for who comes after a crash. It holds no key."""

from pathlib import Path

import msgspec

from keystrand.edge.consumers.base import ConsumerFailure
from keystrand.edge.files import write_atomic
from keystrand.model.errors import StoreFailure

RUN = Path("/run/keystrand")
"""On a tmpfs: no restart of the machine leaves it there, as none leaves a key in a device."""
MOST = 64


class Remembered:
    """The names in `file`, the latest last. Both verbs raise `ConsumerFailure`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def names(self) -> list[str]:
        """Return them; none where there is no file."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=list[str])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            raise ConsumerFailure(
                f"{self._file}: not to be read: {error}",
                hint="remove it: the keys in the device are then taken for a stranger's",
            ) from error

    def add(self, name: str) -> None:
        """Remember one more, and the latest of those before."""
        names = [*(one for one in self.names() if one != name), name][-MOST:]
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(self._file, msgspec.json.encode(names), mode=0o600)
        except (OSError, StoreFailure) as error:
            raise ConsumerFailure(f"{self._file} cannot be written: {error}") from error
