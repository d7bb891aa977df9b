"""Streams in memory from which bytes come in given pieces, and what was sent can be seen."""

from __future__ import annotations

from collections.abc import Iterable

from penstock import EndOfStream
from penstock.abc import ByteStream, ObjectReceiveStream


class Pieces(ByteStream):
    """A byte stream: each receive gives one of the pieces, or its beginning."""

    def __init__(self, pieces: Iterable[bytes] = ()) -> None:
        self._pieces = list(pieces)[::-1]
        self.sent = bytearray()

    @property
    def partial_send(self) -> int | None:
        return None

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not self._pieces:
            raise EndOfStream
        piece = self._pieces.pop()
        if len(piece) > max_bytes:
            self._pieces.append(piece[max_bytes:])
        return piece[:max_bytes]

    async def send(self, item: bytes) -> None:
        self.sent += item

    async def send_eof(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


class PieceObjects(ObjectReceiveStream[bytes]):
    """An object stream: each receive gives one of the pieces, whole."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = list(pieces)[::-1]

    async def receive(self) -> bytes:
        if not self._pieces:
            raise EndOfStream
        return self._pieces.pop()

    async def aclose(self) -> None:
        pass
