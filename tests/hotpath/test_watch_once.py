"""Without epoll each wait is a watch of the event loop: the kernel's part, and the whole of it."""

import select
import socket

import pytest
from fakes import Loop, fill, park

import penstock
from penstock import _readiness


class Watches:
    """An event loop's own watches."""

    def __init__(self):
        self.pending = {}

    def watch_once(self, fd, writing, callback):
        key = fd, writing
        assert key not in self.pending
        self.pending[key] = callback
        return lambda: self.pending.pop(key, None)

    def look(self):
        """Wait until a watch has something to tell, and let it."""
        reading = [fd for fd, writing in self.pending if not writing]
        writing = [fd for fd, writing in self.pending if writing]
        readable, writable, _ = select.select(reading, writing, [], 10)
        for key in [(fd, False) for fd in readable] + [(fd, True) for fd in writable]:
            self.pending.pop(key)()


@pytest.fixture
def watches():
    return Watches()


@pytest.fixture
def loop(twin, watches):
    return Loop(twin, watch_once=watches.watch_once)


def test_poller_without_epoll_has_no_descriptor_and_no_events(loop, pair):
    assert loop.poller.fd == -1
    loop.register(pair()[0])
    assert len(loop.poller) == 1
    assert loop.poll_now() == 0


@pytest.mark.parametrize("kind", ["tcp", "unix", "udp", "datagram", "seqpacket"])
def test_data_wakes_who_waits_to_receive(loop, watches, pair, kind):
    near, far = pair(kind)
    registration = loop.register(near)
    assert registration.recv(100) is None
    wait = park(registration)
    far.send(b"abc")
    watches.look()
    assert wait.woken
    registration.reader = None
    assert registration.recv(100) == b"abc"


def test_room_wakes_who_waits_to_send(loop, watches, pair):
    near, far = pair()
    registration = loop.register(near)
    left = fill(registration)
    wait = park(registration, "writer")
    while left:
        left -= len(far.recv(1 << 20))
    watches.look()
    assert wait.woken
    registration.writer = None
    assert registration.send(b"abc", 0) == 0


def test_wait_that_was_cancelled_leaves_one_watch_for_the_next(loop, watches, pair):
    near, far = pair()
    registration = loop.register(near)
    registration.recv(100)
    for _ in range(3):
        wait = park(registration)
        wait.cancelled = True
        registration.reader = None
    assert list(watches.pending) == [(near.fileno(), False)]
    wait = park(registration)
    far.send(b"abc")
    watches.look()
    assert wait.woken


def test_both_directions_are_watched_apart(loop, watches, pair):
    near, far = pair()
    registration = loop.register(near)
    registration.recv(100)
    fill(registration)
    reading, writing = park(registration), park(registration, "writer")
    assert set(watches.pending) == {(near.fileno(), False), (near.fileno(), True)}
    far.send(b"abc")
    watches.look()
    assert (reading.woken, writing.woken) == (True, False)


def test_event_lets_the_budget_start_anew(twin, watches, pair):
    loop = Loop(twin, 5, watches.watch_once)
    near, far = pair()
    registration = loop.register(near)
    registration.recv(100)
    park(registration)
    loop.budget.spend()
    far.send(b"abc")
    watches.look()
    assert loop.budget.left == 5


def test_close_calls_the_watches_off_and_wakes(loop, watches, pair):
    registration = loop.register(pair()[0])
    registration.recv(100)
    wait = park(registration)
    registration.close()
    assert watches.pending == {}
    assert wait.woken
    assert len(loop.poller) == 0


def test_watches_that_have_fired_are_not_called_off(loop, watches, pair):
    near, far = pair()
    registration = loop.register(near)
    registration.recv(100)
    park(registration)
    far.send(b"abc")
    watches.look()
    somebody_elses = {(near.fileno(), False): None}
    watches.pending.update(somebody_elses)
    registration.close()
    assert watches.pending == somebody_elses


@pytest.mark.parametrize("state", ["closed", "blocking"])
def test_register_refuses_what_it_refuses_with_epoll(loop, pair, state):
    near, _ = pair()
    near.close() if state == "closed" else near.setblocking(True)
    with pytest.raises((OSError, ValueError)):
        loop.register(near)
    assert len(loop.poller) == 0


# -- the same with a real event loop -------------------------------------------------------


@pytest.fixture
def no_epoll(monkeypatch):
    monkeypatch.setattr(_readiness, "HAVE_EPOLL", False)


async def connect():
    """Return the two ends of a TCP connection."""
    [listener] = (await penstock.create_tcp_listener(local_host="127.0.0.1")).listeners
    address = listener.extra(penstock.abc.SocketAttribute.local_address)
    client = await penstock.connect_tcp(*address[:2])
    server = await listener.accept()
    await listener.aclose()
    return client, server


async def test_echo_without_epoll(no_epoll):
    content = bytes(range(256)) * 20_000

    async def echo(stream):
        try:
            while True:
                await stream.send(await stream.receive())
        except penstock.EndOfStream:
            await stream.send_eof()

    async def send_all(stream):
        await stream.send(content)
        await stream.send_eof()

    async with penstock.create_task_group() as group:
        client, server = await connect()
        group.start_soon(echo, server)
        group.start_soon(send_all, client)
        received = bytearray()
        try:
            while True:
                received += await client.receive()
        except penstock.EndOfStream:
            pass
    assert received == content
    await client.aclose()
    await server.aclose()


async def test_close_without_epoll_wakes_a_waiter(no_epoll):
    async def wait(stream):
        with pytest.raises(penstock.ClosedResourceError):
            await stream.receive()

    async with penstock.create_task_group() as group:
        client, server = await connect()
        group.start_soon(wait, client)
        await penstock.wait_all_tasks_blocked()
        await client.aclose()
    await server.aclose()


async def test_cancelled_waiter_without_epoll_loses_nothing(no_epoll):
    async def wait(stream):
        await stream.receive()

    client, server = await connect()
    for _ in range(3):
        async with penstock.create_task_group() as waiting:
            waiting.start_soon(wait, client)
            await penstock.wait_all_tasks_blocked()
            waiting.cancel_scope.cancel()
        await server.send(b"abc")
        assert await client.receive() == b"abc"
    await client.aclose()
    await server.aclose()


async def test_accept_without_epoll_waits_for_a_connection(no_epoll):
    [listener] = (await penstock.create_tcp_listener(local_host="127.0.0.1")).listeners
    accepted = []

    async def accept():
        accepted.append(await listener.accept())

    async with penstock.create_task_group() as group:
        group.start_soon(accept)
        await penstock.wait_all_tasks_blocked()
        with socket.create_connection(listener.extra(penstock.abc.SocketAttribute.local_address)):
            pass
    for resource in (*accepted, listener):
        await resource.aclose()
