r"""An HTTP/1.1 server on h11: keep-alive, pipelining, chunked bodies, and peers that misbehave.

    pip install h11
    python examples/http_h11.py --port 8080    # and: --backend uvloop, --backend trio

    curl -i http://127.0.0.1:8080/
    curl -i -T README.md http://127.0.0.1:8080/echo      # sent back while it comes, in chunks
    curl -i -T - http://127.0.0.1:8080/echo < README.md  # in chunks both ways
    printf 'rubbish\r\n\r\n' | nc -N 127.0.0.1 8080      # 400
    wrk -d 2 http://127.0.0.1:8080/

SIGTERM or Ctrl-C: requests that are under way are answered, idle connections are closed.
"""

import argparse
import signal
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from typing import Any

import h11

import penstock
from penstock.abc import SocketAttribute, SocketStream

MAX_HEAD = 16384  # bytes; a longer one is answered with 431
MAX_BODY = 1 << 24  # bytes; a longer one is answered with 413
LINGER = 2.0  # seconds for the peer to hang up once we have
GRACE = 10.0  # seconds for what is under way when the server is stopped


class Server:
    def __init__(self, patience: float) -> None:
        self.patience = patience  # seconds: for a head, a piece of a body, and to take an answer
        self.stopping = False
        self.idle: set[penstock.CancelScope] = set()  # of connections between two requests

    async def handle(self, stream: SocketStream) -> None:
        async with stream:
            connection = Connection(self, stream)
            try:
                await connection.converse()
            except h11.RemoteProtocolError as exc:
                await connection.refuse(exc.error_status_hint)
            except TimeoutError:
                await connection.refuse(408)
            # Closing while unread bytes are there is a reset, which may overtake the answer.
            await stream.send_eof()
            with penstock.move_on_after(LINGER):
                async for _ in stream:
                    pass

    def stop(self) -> None:
        self.stopping = True
        for scope in self.idle:
            scope.cancel("the server is stopping")


class Connection:
    """One connection: h11 knows the protocol and no sockets; this gives it one."""

    def __init__(self, server: Server, stream: SocketStream) -> None:
        self.server, self.stream = server, stream
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self.last = False  # whether the connection ends after this answer

    async def converse(self) -> None:
        """Answer one request after the other."""
        while isinstance(request := await self.next_request(), h11.Request):
            if request.target == b"/echo" and request.method in (b"POST", b"PUT"):
                # What is not sent yet is not received yet: a body of any size takes the memory of
                # one piece.  Without a length h11 sends chunks.
                async for data in self.body():
                    await self.send(200, None, h11.Data(data=data))
                await self.send(200, None, h11.EndOfMessage())
            else:
                async for _ in self.body():
                    pass  # the next request comes behind it
                found = request.target == b"/"
                status, text = (200, b"Hello, world!\n") if found else (404, b"Nothing\n")
                shown = h11.Data(data=b"" if request.method == b"HEAD" else text)
                await self.send(status, len(text), shown, h11.EndOfMessage())
            if self.http.our_state is not h11.DONE or self.server.stopping:
                return  # HTTP/1.0, or one of the two has said "Connection: close"
            self.http.start_next_cycle()

    async def next_request(self) -> Any:
        """Return None if there is none in time, or the server stops."""
        with penstock.move_on_after(self.server.patience) as scope:
            self.server.idle.add(scope)
            try:
                return await self.receive()
            finally:
                self.server.idle.discard(scope)
        if self.http.trailing_data[0]:  # the beginning of one
            await self.refuse(408)

    async def body(self) -> AsyncIterator[bytes]:
        """Receive the request's body, piece by piece."""
        size = 0
        while True:
            with penstock.fail_after(self.server.patience):
                event = await self.receive()
            if not isinstance(event, h11.Data):
                return  # h11.EndOfMessage
            size += len(event.data)
            if size > MAX_BODY:
                raise h11.RemoteProtocolError("the body is too long", error_status_hint=413)
            yield bytes(event.data)

    async def receive(self) -> Any:
        """Receive h11's next event; bytes that came with the last one are used first."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                response = h11.InformationalResponse(status_code=100, headers=[])
                await self.stream.send(self.http.send(response) or b"")
            try:
                self.http.receive_data(await self.stream.receive())
            except penstock.EndOfStream:
                self.http.receive_data(b"")
        return event

    async def send(self, status: int, length: int | None, *events: Any) -> None:
        """Send parts of an answer, in one call, and its head before the first of them."""
        if self.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("content-type", "text/plain")]
            if length is not None:
                headers.append(("content-length", str(length)))
            if self.last or self.server.stopping:
                headers.append(("connection", "close"))
            reason = HTTPStatus(status).phrase.encode()
            head = h11.Response(status_code=status, headers=headers, reason=reason)
            events = (head, *events)
        with penstock.fail_after(self.server.patience):
            await self.stream.send(b"".join([self.http.send(event) or b"" for event in events]))

    async def refuse(self, status: int) -> None:
        """Say what was wrong, unless an answer is half sent already."""
        if self.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.last = True
            await self.send(status, 0, h11.EndOfMessage())


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
