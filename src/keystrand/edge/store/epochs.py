"""The data keys of a store's epochs: made before anything needs them, destroyed when nothing does.

The keyring is a file or a token, which may be away for a moment. What it did not destroy then is destroyed later: an
epoch that the store does not have needs no key.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from keystrand.crypto.secret import Secret
from keystrand.edge.lasting import Patience
from keystrand.edge.store.keyring import Keyring, KeyringFault
from keystrand.edge.store.own_marks import RESTORED_HINT
from keystrand.edge.store.session import Session
from keystrand.model.errors import KeystrandError, StoreFailure


class Epochs:
    """The data keys in `keyring`. A fault of it when a key is to be destroyed is borne for `patience_s`."""

    def __init__(self, keyring: Keyring, patience_s: float) -> None:
        self._keyring = keyring
        self._ended: set[int] = set()
        self._patience = Patience("the keyring destroys no data keys", patience_s)

    async def settle(self, session: Session) -> int:
        """Return the number of the latest epoch, 0 for none; destroy data keys of epochs that the store does not have.

        Only within the transaction: nobody begins an epoch meanwhile. Raises `StoreFailure` where the store is a copy,
        and `KeyringFault`.
        """
        held = set(await self._ask(self._keyring.epochs))
        known = {no for (no,) in await session.rows("SELECT no FROM epoch")}
        _refuse_restored(max(known, default=0), max(held, default=0), "keyring")
        if lost := known - held:
            raise StoreFailure(
                f"the data key of epoch {min(lost)} was destroyed: the store was put back from a copy",
                hint=RESTORED_HINT,
            )
        for epoch in held - known:
            # its end was committed, or its beginning was not
            await self._ask(self._keyring.destroy, epoch)
        return max(known, default=0)

    async def create(self, epoch: int) -> Secret:
        """Return a new data key, durable on return. Raises `KeyringFault`."""
        key: Secret = await self._ask(self._keyring.create, epoch)
        return key

    async def destroy(self, ended: Iterable[int]) -> None:
        """Destroy data keys, and those that could not be destroyed before.

        Raises `StoreFailure` where that has failed for too long: then the promise of when keys are gone does not hold.
        """
        self._ended.update(ended)
        try:
            for epoch in sorted(self._ended):
                await self._ask(self._keyring.destroy, epoch)
                self._ended.discard(epoch)
        except KeyringFault as error:
            self._patience.bear(error)
        else:
            self._patience.over()

    async def _ask(self, work: Callable[..., Any], *values: Any) -> Any:
        """Return what the keyring gives, asked in another thread. Raises `KeyringFault`."""
        try:
            return await asyncio.get_running_loop().run_in_executor(None, work, *values)
        except KeystrandError as error:
            raise KeyringFault(error.message, hint=error.hint) from error
        except OSError as error:
            raise KeyringFault(f"the keyring cannot be used: {error.strerror}") from error


def _refuse_restored(generation: int, remembered: int, where: str) -> None:
    # one more than the store has is a commit that the machine's stop undid; its audit was faster
    if remembered > generation + 1:
        raise StoreFailure(
            f"the store is at commit {generation}, but its {where} remembers commit {remembered}: it was put back from"
            " a copy", hint=RESTORED_HINT,
        )  # fmt: skip
