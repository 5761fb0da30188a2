"""Blocks that are open in memory: every link and direction works on one or two, and opens each once."""

from collections import OrderedDict

from keystrand.crypto.labels import STORE_BLOCK, bound
from keystrand.crypto.secret import Secret
from keystrand.edge.store.blocks import BlockDamaged, BlockGone
from keystrand.edge.store.keyring import SealBroken, Sealer
from keystrand.edge.store.session import Session
from keystrand.keys.allocation import Piece
from keystrand.model.errors import StoreFailure

_OPENED = 64
"""How many blocks are kept open."""


class OpenedBlocks:
    """The bytes of blocks of one store, opened with `sealer`, and cleared as far as they were used."""

    def __init__(self, sealer: Sealer, store_id: str) -> None:
        self._sealer, self._store_id = sealer, store_id
        self._opened: OrderedDict[str, Secret] = OrderedDict()

    async def content(self, session: Session, block_id: str) -> Secret:
        """Return the bytes of a block, opened once and kept for a while. Raises `BlockGone` or `StoreFailure`."""
        opened = self._opened.get(block_id)
        while opened is None:
            epoch, sealed, place, used = await self._sealed(session, block_id)
            try:
                # somebody else may have opened it meanwhile
                opened = self._opened.get(block_id) or self._sealer.open(epoch, sealed, place)
            except StoreFailure as error:
                # or sealed it under a later epoch, and this one has ended
                if (await self._sealed(session, block_id))[0] == epoch:
                    raise (BlockDamaged(block_id) if isinstance(error, SealBroken) else error) from None
                continue
            opened.zeroise_first(used)
            self._opened[block_id] = opened
            if len(self._opened) > _OPENED:
                self._opened.popitem(last=False)[1].zeroise()
        self._opened.move_to_end(block_id)
        return opened

    async def piece(self, session: Session, block_id: str, piece: Piece) -> memoryview:
        """Return bytes of a block, to be copied at once. Raises as `content`; also where they were used and cleared."""
        opened = await self.content(session, block_id)
        if piece.offset < opened.cleared:
            raise BlockGone(block_id)
        return opened.view()[piece.offset : piece.end]

    async def _sealed(self, session: Session, name: str) -> tuple[int, bytes, bytes, int]:
        """Return a block's epoch, what is sealed, for which place, and its first bytes used. Raises `BlockGone`."""
        sql = (
            "SELECT epoch, sealed, label, qber, ready * cursor FROM block JOIN block_seal USING (block_id)"
            " WHERE block_id = ?"
        )
        row = await session.row(sql, name)
        if row is None:
            raise BlockGone(name)
        return row[0], row[1], self._place(name, row[2], row[3]), row[4]

    async def forget_gone(self, session: Session) -> None:
        """Clear from memory what other processes have used or destroyed."""
        for name in tuple(self._opened):
            row = await session.row("SELECT ready * cursor FROM block WHERE block_id = ?", name)
            if row is None:
                self.forget(name)
            else:
                self._forget_used(name, row[0])

    def _forget_used(self, name: str, cursor: int) -> None:
        """Clear from memory the bytes of a block below its cursor: whoever was given them has a copy."""
        if opened := self._opened.get(name):
            opened.zeroise_first(cursor)

    def forget(self, block_id: str) -> None:
        """Clear a block's bytes from memory."""
        if opened := self._opened.pop(block_id, None):
            opened.zeroise()

    def _place(self, block_id: str, label: str, qber: float) -> bytes:
        # a number that compares equal reads equal: SQLite knows no negative zero
        return bound(STORE_BLOCK, self._store_id, block_id, label, repr(qber + 0.0))
