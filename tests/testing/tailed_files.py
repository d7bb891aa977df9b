"""File streams as two ends of one stream: a file that is read while it is written.

All bytes go through ``FileWriteStream`` and ``FileReadStream``; added is only that a reader who
has come to the end waits until there is more, or the writer is closed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from penstock import EndOfStream, Event, ResourceGuard
from penstock.abc import ByteReceiveStream, ByteSendStream
from penstock.streams.file import FileReadStream, FileWriteStream


class News:
    """What a reader waits for."""

    def __init__(self) -> None:
        self.ended = False
        self.event = Event()

    def tell(self) -> None:
        self.event.set()
        self.event = Event()


class Written(ByteSendStream):
    def __init__(self, file: FileWriteStream, news: News) -> None:
        self.file = file
        self.news = news

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self.file.extra_attributes

    @property
    def partial_send(self) -> int | None:
        return self.file.partial_send

    async def send(self, item: Any) -> None:
        try:
            await self.file.send(item)
        finally:
            self.news.tell()

    async def send_many(self, buffers: Iterable[Any]) -> None:
        try:
            await self.file.send_many(buffers)
        finally:
            self.news.tell()

    async def aclose(self) -> None:
        try:
            await self.file.aclose()
        finally:
            self.news.ended = True
            self.news.tell()


class Tailed(ByteReceiveStream):
    def __init__(self, file: FileReadStream, news: News) -> None:
        self.file = file
        self.news = news
        self.guard = ResourceGuard("reading from")

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return self.file.extra_attributes

    async def receive(self, max_bytes: int = 65536) -> bytes:
        with self.guard:
            while True:
                event, ended = self.news.event, self.news.ended
                try:
                    return await self.file.receive(max_bytes)
                except EndOfStream:
                    if ended:
                        raise
                await event.wait()

    async def aclose(self) -> None:
        try:
            await self.file.aclose()
        finally:
            self.news.tell()


def tailed_file(directory: Path) -> Callable[[], Awaitable[tuple[Any, Any]]]:
    """Return a maker of pairs, each of a file of its own."""
    numbers = count()

    async def make() -> tuple[Any, Any]:
        path = directory / str(next(numbers))
        news = News()
        writer = Written(await FileWriteStream.from_path(path), news)
        return writer, Tailed(await FileReadStream.from_path(path), news)

    return make
