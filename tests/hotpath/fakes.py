"""What an event loop gives the kernels, without an event loop: waits, and how they end."""

import select
import socket
import threading
from socket import AF_INET, AF_INET6


def in_thread(func):
    """Return what ``func`` returns in another thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(func()))
    thread.start()
    thread.join()
    return results[0]


class Wait:
    """One wait of one task."""

    def __init__(self):
        self.woken = False
        self.cancelled = False


def wake(wait):
    """End a wait; return False where it had ended."""
    if wait.woken or wait.cancelled:
        return False
    wait.woken = True
    return True


class Ends:
    """A queue with one open end on either side."""

    def __init__(self, twin, max_buffer_size=0, operations=1_000_000):
        self.budget = twin.ReadyBudget(operations)
        self.queue = twin.ItemQueue(max_buffer_size)
        self.queue.bind(self.budget)
        self.sender = self.queue.open_sender()
        self.receiver = self.queue.open_receiver()

    def park_sender(self, item, end=None):
        """Let a task wait with ``item``; return its wait and its waiter."""
        wait = Wait()
        return wait, self.queue.park_sender(item, wait, wake, end or self.sender)

    def park_receiver(self, end=None):
        """Let a task wait for an item; return its wait and its waiter."""
        wait = Wait()
        return wait, self.queue.park_receiver(wait, wake, end or self.receiver)


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=AF_INET6):
            return True
    except OSError:
        return False


#: Kinds of connected socket pairs.
STREAMS = ("tcp", "unix", *(["tcp6"] if has_ipv6() else []))
KINDS = (*STREAMS, "udp", "datagram", "seqpacket")


def socket_pair(kind):
    """Return two connected non-blocking sockets."""
    if kind in ("tcp", "tcp6"):
        host, family = {"tcp": ("127.0.0.1", AF_INET), "tcp6": ("::1", AF_INET6)}[kind]
        with socket.create_server((host, 0), family=family) as server:
            near = socket.create_connection(server.getsockname()[:2])
            far, _ = server.accept()
    elif kind == "udp":
        near, far = (socket.socket(AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for sock in (near, far):
            sock.bind(("127.0.0.1", 0))
        near.connect(far.getsockname())
        far.connect(near.getsockname())
    else:
        sort = {
            "unix": socket.SOCK_STREAM,
            "datagram": socket.SOCK_DGRAM,
            "seqpacket": socket.SOCK_SEQPACKET,
        }[kind]
        near, far = socket.socketpair(socket.AF_UNIX, sort)
    near.setblocking(False)
    far.setblocking(False)
    return near, far


class Loop:
    """A poller, and the part of an event loop that it needs."""

    def __init__(self, twin, operations=1_000_000, watch_once=None):
        self.budget = twin.ReadyBudget(operations)
        # a budget also ends after so many bytes, which only a test of that wants to see
        self.budget.spend_bytes(-(1 << 40))
        self.poller = twin.Poller(self.budget, Wait, wake, watch_once)

    def register(self, sock):
        return self.poller.register(sock)

    def poll(self):
        """Wait for events, take them, and return how many there were."""
        assert select.select([self.poller.fd], [], [], 10)[0], "no event came"
        return self.poll_now()

    def poll_now(self):
        """Take the events that are due."""
        events = self.poller.poll()
        self.poller._check()
        return events

    def drain(self):
        """Take the events of sockets just registered."""
        while self.poll_now():
            pass


def park(registration, direction="reader"):
    """Start to wait as a stream does; return the wait, or None."""
    return getattr(registration, f"park_{direction}")()


def waiting_reader(loop, sock):
    """Register ``sock`` and wait for it; return registration and wait."""
    registration = loop.register(sock)
    loop.drain()
    assert registration.recv(100) is None
    return registration, park(registration)


def fill(registration, chunk=b"x" * 4096):
    """Send until it would block; return how many bytes went out."""
    sent = 0
    while registration.writable:
        left = registration.send(chunk, 0)
        if left >= 0:
            sent += len(chunk) - left
        registration.budget.grant()
    return sent


def reset(sock):
    """Close a TCP socket so that the other end is told of an error."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
