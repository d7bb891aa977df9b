r"""A fast HTTP/1.1 server on httptools, the parser of Node.js: little is done for each request.

    pip install httptools
    python examples/http_httptools.py --port 8080    # and: --backend uvloop, --backend trio

    curl -i http://127.0.0.1:8080/
    curl -i --data-binary @LICENSE http://127.0.0.1:8080/echo
    printf 'GET / HTTP/1.1\r\nHost: a\r\n\r\n%.0s' 1 2 3 | nc -N 127.0.0.1 8080   # pipelined
    wrk -d 2 http://127.0.0.1:8080/

Bodies are whole in memory here, within bounds; http_h11.py takes them piece by piece.  SIGTERM or
Ctrl-C: requests that are under way are answered, idle connections are closed.
"""

import argparse
import signal
from functools import partial
from http import HTTPStatus
from typing import Any

import httptools

import penstock
from penstock.abc import SocketAttribute, SocketStream

MAX_HEAD = 16384  # bytes; httptools knows no limit
MAX_BODY = 65536  # bytes
LINGER = 2.0  # seconds for the peer to hang up once we have
GRACE = 10.0  # seconds for what is under way when the server is stopped


class Server:
    def __init__(self, patience: float) -> None:
        self.patience = patience  # seconds for a request to come, and for answers to go
        self.stopping = False
        self.idle: set[penstock.CancelScope] = set()  # of connections between two requests

    async def handle(self, stream: SocketStream) -> None:
        async with stream:
            with penstock.CancelScope() as scope:  # one for all waits; its deadline moves
                await self.converse(stream, scope)
            # Closing while unread bytes are there is a reset, which may overtake the answer.
            await stream.send_eof()
            with penstock.move_on_after(LINGER):
                async for _ in stream:
                    pass

    async def converse(self, stream: SocketStream, scope: penstock.CancelScope) -> None:
        connection = Connection(self)
        while not connection.last:
            if connection.began is None:
                self.idle.add(scope)
            scope.deadline = (connection.began or penstock.current_time()) + self.patience
            try:
                data = await stream.receive()
            except penstock.EndOfStream:
                return
            finally:
                self.idle.discard(scope)
            connection.feed(data)
            if connection.answers:  # those to all requests that came together, in one call
                scope.deadline = penstock.current_time() + self.patience
                await stream.send(b"".join(connection.answers))
                connection.answers.clear()

    def stop(self) -> None:
        self.stopping = True
        for scope in self.idle:
            scope.cancel("the server is stopping")


class Connection:
    """One connection: httptools calls its ``on_`` methods, which append to ``answers``."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.parser = httptools.HttpRequestParser(self)
        self.answers: list[bytes] = []
        self.last = False  # whether the connection ends after these answers
        self.reset()

    def reset(self) -> None:
        self.began: float | None = None  # when the first byte of the request came
        self.in_head = True
        self.expects = False
        self.url, self.body = b"", bytearray()
        self.head = 0  # bytes

    def feed(self, data: bytes) -> None:
        """Parse what was received."""
        if self.in_head:
            self.head += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.last = True  # it was answered as if the peer had not asked for another protocol
        except httptools.HttpParserError:  # also where a method of ours has raised something
            self.refuse(413 if len(self.body) > MAX_BODY else 400)
        if self.in_head and self.head > MAX_HEAD:
            self.refuse(431)

    def refuse(self, status: int) -> None:
        if not self.last:
            self.last = True
            self.answer(status)

    def on_message_begin(self) -> None:
        self.began = penstock.current_time()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"expect" and value.lower() == b"100-continue":
            self.expects = True

    def on_headers_complete(self) -> None:
        self.in_head = False
        if self.expects:
            self.answers.append(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self.body += data
        if len(self.body) > MAX_BODY:
            raise ValueError("the body is too long")

    def on_message_complete(self) -> None:
        if self.last:
            return  # what comes behind "Connection: close" is nobody's
        self.last = self.server.stopping or not self.parser.should_keep_alive()
        if self.url == b"/":
            self.answer(200, b"Hello, world!\n")
        elif self.url == b"/echo":
            self.answer(200, bytes(self.body))
        else:
            self.answer(404)
        self.reset()

    def answer(self, status: int, body: bytes = b"") -> None:
        close = b"Connection: close\r\n" if self.last else b""
        head = b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n"
        reason = HTTPStatus(status).phrase.encode()
        self.answers.append(head % (status, reason, len(body), close))
        if self.parser.get_method() != b"HEAD":
            self.answers.append(body)


def report(exc: Exception, stream: SocketStream) -> None:
    print("a connection has failed:", repr(exc), flush=True)


async def main(port: int, patience: float) -> None:
    server = Server(patience)
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    serve = partial(listener.serve, server.handle, max_connections=1000, on_error=report)
    with penstock.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with listener, penstock.create_task_group() as tasks:
            tasks.start_soon(serve)
            print("listening on port", listener.extra(SocketAttribute.local_port), flush=True)
            await anext(signals)
            server.stop()
            cancelled = await listener.drain(penstock.current_time() + GRACE)
            print(f"{listener.statistics().accepted} connections, {cancelled} cut off", flush=True)


BACKENDS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8080, help="0: one that is free")
    parser.add_argument("--patience", type=float, default=15.0, help="seconds until a peer is idle")
    parser.add_argument("--backend", choices=BACKENDS, default="asyncio")
    options = parser.parse_args()
    penstock.run(main, options.port, options.patience, **BACKENDS[options.backend])
