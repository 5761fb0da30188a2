"""One PKCS#11 token (v2.40), reached through its library: what the key store and the consumer of keys share.

A session is opened for each use, with the PIN: a token that was away and came back is used again. Once the token has
refused the PIN it is not tried again, since most tokens lock after a few tries.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11.exceptions import (
    MultipleTokensReturned,
    NoSuchToken,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
)

from keystrand.crypto.secret import Secret
from keystrand.model.errors import InvalidInput, MissingInput, StoreFailure

_TURN = threading.Lock()
"""A library is one for the whole process, and so is who has logged in: one session at a time."""
_LOST: set[Path] = set()
"""The libraries that failed last: some keep a token for broken that was away, or was being written by another program,
until they begin anew. Looked at when it is one's turn."""


class Token:
    """The token called `label` of the library `module`.

    Raises `InvalidInput` or `MissingInput` where module, token or PIN are not right, `StoreFailure` where it fails.
    """

    def __init__(self, module: Path, label: str, pin: Secret) -> None:
        self.label, self._pin = label, pin
        self._refused = False
        self._module, self._library = module, _library(module)

    def close(self) -> None:
        """Forget the PIN."""
        self._pin.zeroise()

    @contextmanager
    def session(self) -> Iterator[Any]:
        """Yield a session that is logged in and may write. Raises as the class says."""
        if self._refused:
            raise StoreFailure(f"the token {self.label} refused the PIN and is not asked again", hint=_PIN_HINT)
        with _TURN:
            try:
                if self._module in _LOST:
                    self._library.reinitialize()
                    _LOST.discard(self._module)
                with self._slot().open(rw=True, user_pin=self._pin.reveal().decode()) as session:
                    yield session
            except (PinIncorrect, PinInvalid, PinLenRange, PinLocked) as error:
                self._refused = True
                raise InvalidInput(f"the token {self.label} refuses the PIN: {named(error)}", hint=_PIN_HINT) from error
            except PKCS11Error as error:
                _LOST.add(self._module)
                raise StoreFailure(
                    f"the token {self.label} failed: {named(error)}", hint="see that it is there and answers"
                ) from error

    def _slot(self) -> Any:
        try:
            return self._library.get_token(token_label=self.label)
        except (NoSuchToken, MultipleTokensReturned):
            _LOST.add(self._module)
            raise MissingInput(
                f"there is no token, or more than one, called {self.label}",
                hint="see that it is plugged in and initialised; `pkcs11-tool --list-slots` shows what is seen",
            ) from None


_PIN_HINT = "correct the PIN where the configuration takes it from, see that the token is not locked, and start again"


def _library(module: Path) -> Any:
    """Return the loaded library. Raises `MissingInput`, or `InvalidInput` where it is none."""
    if not module.exists():
        raise MissingInput(f"the PKCS#11 module {module} does not exist", hint="name the library of your token")
    try:
        return pkcs11.lib(str(module))
    except PKCS11Error as error:
        raise InvalidInput(f"{module} cannot be used as a PKCS#11 module: {named(error)}") from error


def named(error: Exception) -> str:
    """Return what a token's error is called: most say nothing more."""
    return f"{type(error).__name__} {error}".strip()
