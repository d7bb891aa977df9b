"""Several processes that serve one port: the system spreads the connections over them.

    python examples/workers.py --port 8080 --workers 4    # and: --backend uvloop, --backend trio

    for i in 1 2 3 4 5 6 7 8; do curl -s http://127.0.0.1:8080/; done    # who has answered?
    wrk -c 64 -d 2 http://127.0.0.1:8080/

Each worker has a socket of its own on the port (``reuse_port``), an event loop and an interpreter
of its own: nothing is shared.  SIGTERM or Ctrl-C to the first process stops them all: answers that
are under way are sent, connections that are idle are cut off after two seconds, and each worker
says how many it has had.  If a worker dies, all are stopped, and the exit status is 1.
"""

import argparse
import multiprocessing
import os
import signal
import socket
from multiprocessing.connection import wait
from typing import Any

import penstock
from penstock.abc import SocketStream
from penstock.streams.buffered import BufferedByteStream

GRACE = 2.0  # seconds for answers that are under way
PATIENCE = 15.0  # seconds for a request


async def answer(stream: SocketStream) -> None:
    """Tell whoever asks which worker this is; http_h11.py is a server that does more."""
    text = b"worker %d\n" % os.getpid()
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
    async with BufferedByteStream(stream) as requests:
        with penstock.move_on_after(PATIENCE) as scope:
            while await requests.peek(1):  # EndOfStream ends this connection, and no other
                await requests.receive_until(b"\r\n\r\n", 16384)
                await requests.send(response)
                scope.deadline = penstock.current_time() + PATIENCE


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    with penstock.open_signal_receiver(signal.SIGTERM) as signals:
        async with penstock.create_task_group() as tasks:
            listener = await penstock.create_tcp_listener(
                local_host="127.0.0.1", local_port=port, reuse_port=True
            )
            tasks.start_soon(listener.serve, answer)
            print(f"worker {os.getpid()} is there", flush=True)
            await anext(signals)
            # What the system has queued for this socket, and nobody has accepted, is reset by
            # closing it: where that matters, have the load balancer stop sending first.
            await listener.drain(penstock.current_time() + GRACE)
            accepted = listener.statistics().accepted
            print(f"worker {os.getpid()}: {accepted} connections", flush=True)


def work(port: int, how: dict[str, Any]) -> None:
    """Be a worker: the first function of its process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process tells us
    penstock.run(serve, port, **how)


def main(port: int, count: int, how: dict[str, Any]) -> int:
    """Start workers, and wait until a signal comes or one of them dies."""
    # Bound and never listening: keeps the port ours, and finds a free one for --port 0.
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", port))
        port = reserved.getsockname()[1]
        print("serving port", port, flush=True)
        stopping, told = os.pipe()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: os.write(told, b"x"))
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=work, args=(port, how)) for _ in range(count)]
        for worker in workers:
            worker.start()
        wait([stopping, *[worker.sentinel for worker in workers]])
        died = any(worker.exitcode is not None for worker in workers)
        for worker in workers:
            worker.terminate()  # SIGTERM
        for worker in workers:
            worker.join()
    return int(died or any(worker.exitcode for worker in workers))


BACKENDS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8080, help="0: one that is free")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--backend", choices=BACKENDS, default="asyncio")
    options = parser.parse_args()
    raise SystemExit(main(options.port, options.workers, BACKENDS[options.backend]))
