"""A KME with one step left out, which the harness must find: the negative control. Run as a script, by the tests only.

The environment names the weakness: `answer-before-commit` (commits come up to 0.2 s later), `slave-before-commit` (the
same where it serves as a slave), `sync-normal` (commits are not synced), `goes-on` (faults of the store are forgotten).
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keystrand.edge.kme import __main__ as kme
from keystrand.edge.kme import database
from keystrand.edge.kme.database import Database
from keystrand.edge.kme.store import Store

_LATE_S = 0.2


@contextmanager
def _uncommitted(self: Database) -> Iterator[None]:
    """Keep a transaction open over several requests: each sees what the ones before did, the disk does not."""
    if not self._db.in_transaction:
        self._db.execute("BEGIN IMMEDIATE")
        vars(self)["begun_s"] = time.monotonic()
    self._db.execute("SAVEPOINT one")
    try:
        yield
    except BaseException:
        self._db.execute("ROLLBACK TO one")
        raise
    finally:
        self._db.execute("RELEASE one")
    if time.monotonic() - vars(self)["begun_s"] > _LATE_S or vars(self).get("commits"):
        self._db.execute("COMMIT")


def _commit_late() -> None:
    fold = Database.fold

    def commit_and_fold(self: Database) -> bool:
        if self._db.in_transaction:
            self._db.execute("COMMIT")
        return fold(self)

    Database.transaction = _uncommitted  # type: ignore[method-assign]
    Database.fold = commit_and_fold  # type: ignore[method-assign]


def _commit_late_as_slave() -> None:
    _commit_late()
    for name in ("deliver", "burn", "add_block", "note"):
        setattr(Store, name, _committed(getattr(Store, name)))


def _committed(method: Callable[..., Any]) -> Callable[..., Any]:
    def whole(self: Store, *args: Any, **kwargs: Any) -> Any:
        vars(self._db)["commits"] = True
        try:
            return method(self, *args, **kwargs)
        finally:
            vars(self._db)["commits"] = False

    return whole


def _sync_less() -> None:
    database._PRAGMAS = tuple(one.replace("=FULL", "=NORMAL") for one in database._PRAGMAS)  # type: ignore[assignment]


def _go_on() -> None:
    strict = Database.transaction

    @contextmanager
    def forgetful(self: Database) -> Iterator[None]:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        with strict(self):
            yield

    Database.transaction = forgetful  # type: ignore[method-assign]
    Database._broken = property(lambda _: False, lambda _, __: None)  # type: ignore[assignment]


WEAKNESSES = {
    "answer-before-commit": _commit_late,
    "slave-before-commit": _commit_late_as_slave,
    "sync-normal": _sync_less,
    "goes-on": _go_on,
}

if __name__ == "__main__":
    WEAKNESSES[os.environ["KEYSTRAND_TESTS_WEAKNESS"]]()
    sys.exit(kme.main())
