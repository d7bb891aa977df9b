"""A Redis client: RESP by ``receive_until`` and ``receive_exactly``, pipelining, publish/subscribe.

    redis-server --port 6379 --save "" &
    python examples/redis_client.py --port 6379    # and: --backend uvloop, --backend trio

It is small because the buffered stream does the hard part: replies come in any pieces, and what of
the next reply came with this one stays in the buffer.
"""

import argparse
from types import TracebackType
from typing import Any, Self, TypeAlias

import penstock
from penstock.streams.buffered import BufferedByteStream

MAX_LINE = 65536  # bytes
MAX_BULK = 1 << 29  # bytes: Redis's own limit
MAX_DEPTH = 32  # arrays in arrays

Argument: TypeAlias = str | bytes | int | float
Command: TypeAlias = tuple[Argument, ...]


class RedisError(Exception):
    """The server has refused a command; the connection goes on."""


class ProtocolError(Exception):
    """The server has sent what is no RESP."""


class Redis:
    """One connection, which any number of tasks may share; close it, or use ``async with``."""

    def __init__(self, stream: BufferedByteStream) -> None:
        self.stream = stream
        self.lock = penstock.Lock()

    @classmethod
    async def connect(cls, host: str = "127.0.0.1", port: int = 6379) -> Self:
        return cls(BufferedByteStream(await penstock.connect_tcp(host, port)))

    async def execute(self, *command: Argument) -> Any:
        """Have one command executed; an error that it gives is raised."""
        (reply,) = await self.pipeline(command)
        if isinstance(reply, RedisError):
            raise reply
        return reply

    async def pipeline(self, *commands: Command) -> list[Any]:
        """Send commands together and return their replies; errors are among these."""
        request = b"".join([encode(command) for command in commands])
        async with self.lock:
            try:
                await self.stream.send(request)  # Redis takes it all, whether we receive or not
                return [await self._receive_reply() for _ in commands]
            except BaseException:
                # Cancelled, say: nobody could tell which command the next reply belongs to.
                await penstock.aclose_forcefully(self.stream)
                raise

    async def subscribe(self, *channels: str) -> None:
        """Subscribe to channels; from then on this connection is for :meth:`receive_message`."""
        await self.stream.send(encode(("SUBSCRIBE", *channels)))
        for _ in channels:
            await self._receive_reply()

    async def receive_message(self) -> tuple[str, bytes]:
        """Receive what is published next, and on which channel."""
        _, channel, payload = await self._receive_reply()
        return channel.decode(), payload

    async def _receive_reply(self, depth: int = 0) -> Any:
        line = await self.stream.receive_until(b"\r\n", MAX_LINE)
        kind, rest = line[:1], line[1:]
        if kind == b"+":  # simple string
            return rest.decode()
        if kind == b"-":  # error
            return RedisError(rest.decode())
        if kind not in (b":", b"$", b"*"):
            raise ProtocolError(f"no reply begins with {line[:20]!r}")
        number = int(rest)
        if kind == b":":
            return number
        if number == -1:  # nil
            return None
        if number > MAX_BULK or depth > MAX_DEPTH:
            raise ProtocolError("a reply is too large")
        if kind == b"$":  # bulk string
            data = await self.stream.receive_exactly(number + 2)
            return data[:-2]
        return [await self._receive_reply(depth + 1) for _ in range(number)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.stream.aclose()


def encode(command: Command) -> bytes:
    """Return a command as Redis wants it: an array of bulk strings."""
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


async def main(host: str, port: int) -> None:
    async with await Redis.connect(host, port) as redis, await Redis.connect(host, port) as ears:
        print(
            await redis.execute("SET", "greeting", "hello"), await redis.execute("GET", "greeting")
        )
        print(await redis.execute("GET", "nothing here"))
        try:
            await redis.execute("INCR", "greeting")
        except RedisError as exc:
            print("refused:", exc)

        commands: list[Command] = [("SET", f"key:{n}", n * n) for n in range(1000)]
        print(len(await redis.pipeline(*commands)), "replies to one pipeline")
        print(await redis.execute("MGET", "key:3", "no such key", "key:999"))

        await ears.subscribe("news")
        await redis.execute("PUBLISH", "news", "rain")
        print(await ears.receive_message())
        await redis.execute("DEL", "greeting", *[f"key:{n}" for n in range(1000)])


BACKENDS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--backend", choices=BACKENDS, default="asyncio")
    options = parser.parse_args()
    penstock.run(main, options.host, options.port, **BACKENDS[options.backend])
