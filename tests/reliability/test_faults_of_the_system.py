"""What the system does to a program: interrupts it, stops its peer, forks it, gives it little.

Each fault is a real one.  Signals go to processes of their own, which say how it went.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import resource
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import socket_peers
import tls_peers
import unix_peers
import uvloop
from backends import BackendUnderTest
from socket_peers import HOST, listening, raw_socket_of
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import create_task_group, fail_after
from penstock.lowlevel import set_ready_budget
from penstock.streams.buffered import BufferedByteStream

# -- interrupted ---------------------------------------------------------------------------

WAITS = ("receive", "send", "accept", "memory receive", "memory send", "sleep", "thread")
INTERRUPTED = """
import asyncio, os, signal, sys
import penstock
from penstock.abc import SocketAttribute

async def main(name):
    async with await penstock.create_tcp_listener(local_host="127.0.0.1") as multi:
        [listener] = multi.listeners
        port = listener.extra(SocketAttribute.local_port)
        send, receive = penstock.create_memory_object_stream()
        async with await penstock.connect_tcp("127.0.0.1", port) as client:
            async with await listener.accept() as server:
                with send, receive:
                    wait = {
                        "receive": client.receive,
                        "send": lambda: client.send(bytes(1 << 26)),
                        "accept": listener.accept,
                        "memory receive": receive.receive,
                        "memory send": lambda: send.send(1),
                        "sleep": lambda: penstock.sleep(60),
                        "thread": lambda: penstock.to_thread.run_sync(
                            lambda: None, limiter=penstock.CapacityLimiter(0)
                        ),
                    }[name]
                    async with penstock.create_task_group() as tg:
                        tg.start_soon(tell)
                        await wait()

async def tell():
    await penstock.wait_all_tasks_blocked()
    print("waits", flush=True)

def new_loop():
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop

def descriptors():
    return set(os.listdir("/proc/self/fd"))

def run(func, *args):
    penstock.run(func, *args, backend={name!r}, backend_options={options})

signal.signal(signal.SIGINT, signal.default_int_handler)
run(penstock.sleep, 0)  # opens what is opened once
before = descriptors()
for name in sys.argv[1:]:
    try:
        run(main, name)
    except* KeyboardInterrupt:
        print("interrupted", len(descriptors()) - len(before), flush=True)
"""


def options_of(backend: BackendUnderTest) -> str:
    return (
        "{'loop_factory': new_loop}" if "loop_factory" in backend.options else repr(backend.options)
    )


def test_interrupt_in_every_wait_ends_the_program_in_an_orderly_way(
    backend: BackendUnderTest,
) -> None:
    program = INTERRUPTED.replace("{name!r}", repr(backend.name)).replace(
        "{options}", options_of(backend)
    )
    command = [sys.executable, "-W", "error", "-c", program, *WAITS]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None

        def expect(line: str, wait: str) -> None:
            if (told := process.stdout.readline()) != line:
                process.kill()
                pytest.fail(f"{wait}: {told!r}, {process.stderr.read()}")

        for wait in WAITS:
            expect("waits\n", wait)
            process.send_signal(signal.SIGINT)
            expect("interrupted 0\n", wait)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""  # no word of tasks that were destroyed


# -- a peer that stands still --------------------------------------------------------------

READER = """
import hashlib, socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
    digest = hashlib.sha256()
    while data := sock.recv(65536):
        digest.update(data)
print(digest.hexdigest())
"""


async def test_transfer_to_a_stopped_process_waits_can_be_cancelled_and_goes_on() -> None:
    data = os.urandom(1 << 16) * 256
    async with listening() as (listener, port):
        with subprocess.Popen(
            [sys.executable, "-S", "-c", READER, str(port)], stdout=subprocess.PIPE, text=True
        ) as process:
            with fail_after(60):
                async with await listener.accept() as stream:
                    process.send_signal(signal.SIGSTOP)
                    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
                    sent = 0
                    for _ in range(2):
                        async with create_task_group() as tg:
                            tg.start_soon(stream.send, memoryview(data)[sent:])
                            await penstock.wait_all_tasks_blocked()
                            tg.cancel_scope.cancel()
                        assert stream.partial_send is not None
                        sent += stream.partial_send
                    assert 0 < sent < len(data)
                    async with create_task_group() as tg:
                        tg.start_soon(stream.send, memoryview(data)[sent:])
                        await penstock.wait_all_tasks_blocked()
                        process.send_signal(signal.SIGCONT)
            digest, _ = process.communicate(timeout=30)
    assert digest.strip() == hashlib.sha256(data).hexdigest()


# -- forked --------------------------------------------------------------------------------


def step(operation: Any) -> Any:
    try:
        operation.send(None)
    except StopIteration as done:
        return done.value
    except (RuntimeError, penstock.NoEventLoopError) as exc:
        return exc
    operation.close()
    return None


# Idle threads of other tests may be there; the child needs nothing of theirs.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("connect", [socket_peers.connected, unix_peers.connected])
async def test_what_a_forked_child_does_to_a_stream_is_refused_and_takes_nothing(
    connect: Any,
) -> None:
    async with connect() as (stream, peer):
        peer.sendall(b"for the parent")
        child = os.fork()
        if not child:
            signal.alarm(30)
            refused = False
            try:
                calls = (stream.receive(), stream.receive_into(bytearray(9)), stream.send(b"x"))
                refused = all(isinstance(step(call), Exception) for call in calls)
                step(stream.aclose())
                del stream
                gc.collect()
            finally:
                os._exit(0 if refused else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with fail_after(10):
            assert await stream.receive() == b"for the parent"
            await stream.send(b"alive")
            assert peer.recv(10) == b"alive"
            peer.sendall(b"more")
            assert await stream.receive() == b"more"


# -- a loop that is closed -----------------------------------------------------------------


def closed_under_a_stream(backend: BackendUnderTest, port: int) -> Any:
    factory = backend.options.get("loop_factory", asyncio.new_event_loop)
    loop = uvloop.new_event_loop() if "use_uvloop" in backend.options else factory()

    async def connect() -> Any:
        set_ready_budget(1)  # or what is ready would go ahead
        return await penstock.connect_tcp(HOST, port)

    stream = loop.run_until_complete(connect())
    loop.close()  # without a word: no async generator is shut down
    return stream


def test_stream_of_a_loop_that_was_just_closed_is_refused_and_can_be_closed(
    asyncio_backend: BackendUnderTest,
) -> None:
    async def use(stream: Any) -> None:
        for operation in (stream.receive, partial(stream.send, b"x"), stream.send_eof):
            with pytest.raises(RuntimeError, match="another event loop"):
                await operation()
        await stream.aclose()
        await stream.aclose()

    with socket.create_server((HOST, 0)) as server:
        stream = closed_under_a_stream(asyncio_backend, server.getsockname()[1])
        with server.accept()[0] as peer:
            peer.settimeout(5)
            asyncio_backend.run(use, stream)
            assert peer.recv(1) == b""
    asyncio_backend.run(penstock.sleep, 0)  # the next loop cleans up behind the closed one


@pytest.mark.filterwarnings("always::ResourceWarning")
def test_stream_of_a_loop_that_was_just_closed_warns_when_it_is_forgotten(
    asyncio_backend: BackendUnderTest,
) -> None:
    with socket.create_server((HOST, 0)) as server:
        stream = closed_under_a_stream(asyncio_backend, server.getsockname()[1])
        with server.accept()[0] as peer:
            peer.settimeout(5)
            with pytest.warns(ResourceWarning, match="Unclosed"):
                del stream
                gc.collect()
            assert peer.recv(1) == b""
    asyncio_backend.run(penstock.sleep, 0)  # the next loop cleans up behind the closed one


# -- little of everything ------------------------------------------------------------------

BULK = 20_000


def narrow(stream: Any) -> None:
    raw = raw_socket_of(stream)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        raw.setsockopt(socket.SOL_SOCKET, option, 1)  # the system makes it the least it has


async def narrow_ends(name: str) -> tuple[Any, Any]:
    if name == "unix":
        ends = [
            await penstock.abc.UNIXSocketStream.from_socket(sock)
            for sock in socket.socketpair(socket.AF_UNIX)
        ]
    else:
        ends = list(await tls_peers.tcp())
    for end in ends:
        narrow(end)
    if name == "tls":
        return await tls_peers.shake_hands(*ends)
    if name == "buffered":
        return BufferedByteStream(ends[0]), BufferedByteStream(ends[1])
    return ends[0], ends[1]


@pytest.mark.parametrize("name", ["tcp", "unix", "tls", "buffered"])
async def test_smallest_buffers_carry_much_in_both_directions_at_once(name: str) -> None:
    data = os.urandom(1000) * (BULK // 1000)
    came = {}

    async def receive(number: int, stream: Any) -> None:
        received = bytearray()
        while len(received) < BULK:
            received += await stream.receive()
        came[number] = bytes(received)

    near, far = await narrow_ends(name)
    with fail_after(60):
        async with create_task_group() as tg:
            for number, stream in enumerate((near, far)):
                tg.start_soon(receive, number, stream)
                tg.start_soon(stream.send, data)
        async with create_task_group() as tg:  # TLS parts with both
            tg.start_soon(near.aclose)
            tg.start_soon(far.aclose)
    assert came == {0: data, 1: data}


@contextmanager
def few_descriptors(count: int) -> Any:
    """Let this process open only ``count`` descriptors more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [os.dup(0) for _ in range(count + 1)]
    for fd in free:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(free), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_listener_with_few_descriptors_serves_all_as_they_come_free(kind: str) -> None:
    peers: list[socket.socket] = []
    most = 0

    async def echo(stream: Any) -> None:
        nonlocal most
        async with stream:
            most = max(most, listener_of_all[0].statistics().open_handlers)
            await stream.send(await stream.receive())
            await stream.receive()  # until the peer has closed

    async def serve(listener: Any, family: int, address: Any) -> None:
        listener_of_all.append(listener)
        for number in range(8):
            peer = socket.socket(family)
            peer.settimeout(30)
            peer.connect(address)
            peer.sendall(b"%d" % number)
            peers.append(peer)
        with few_descriptors(2), fail_after(30):
            async with create_task_group() as tg:
                tg.start_soon(listener.serve, echo)
                await until_all_answered()
                tg.cancel_scope.cancel()
        assert 0 < most < len(peers)
        assert listener.statistics().accept_failures > 0

    async def until_all_answered() -> None:
        for number, peer in enumerate(peers):
            await penstock.wait_readable(peer)
            assert peer.recv(10) == b"%d" % number
            peer.close()

    listener_of_all: list[Any] = []
    if kind == "tcp":
        async with listening() as (listener, port):
            await serve(listener, socket.AF_INET, (HOST, port))
    else:
        with unix_peers.temporary_path() as path:
            async with await penstock.create_unix_listener(path) as listener:
                await serve(listener, socket.AF_UNIX, str(path))
