"""Target: descriptors that come over a UNIX socket are the ones sent, or closed; none is left."""

from __future__ import annotations

import os
import socket
import struct
from array import array
from collections.abc import Sequence

from choices import Choices

from penstock import BrokenResourceError, EndOfStream
from penstock._sockets.unix_descriptors import SCM_PIDFD, received_in
from penstock.abc import SocketAttribute, UNIXSocketStream

MARKS = 4
KINDS = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def descriptors() -> set[int]:
    """Return the open descriptors, without the one that they are listed by."""
    return set(filter(is_open, map(int, os.listdir("/proc/self/fd"))))


def inode(fd: int) -> int:
    return os.fstat(fd).st_ino


class Marks:
    """Open files that can be told from each other."""

    def __enter__(self) -> Sequence[int]:
        self._fds = [os.memfd_create(str(n)) for n in range(MARKS)]
        return self._fds

    def __exit__(self, *exc_info: object) -> None:
        for fd in self._fds:
            os.close(fd)


class Queue:
    """What unix(7) says of messages and descriptors that wait in a socket."""

    def __init__(self, kind: int) -> None:
        self._messages: list[tuple[bytes, list[int]]] = []
        self._bounded = kind == socket.SOCK_SEQPACKET

    def put(self, message: bytes, inodes: list[int]) -> None:
        self._messages.append((message, inodes))

    def __len__(self) -> int:
        return len(self._messages)

    def take(self, nbytes: int) -> tuple[bytes, list[int], bool]:
        """Return what one ``recvmsg`` takes, and whether some of the message was lost."""
        if self._bounded:
            message, inodes = self._messages.pop(0)
            return message[:nbytes], inodes, len(message) > nbytes
        taken = b""
        while self._messages and len(taken) < nbytes:
            message, inodes = self._messages[0]
            room = nbytes - len(taken)
            taken += message[:room]
            if message[room:]:
                self._messages[0] = (message[room:], [])
            else:
                del self._messages[0]
            if inodes:  # descriptors are a barrier
                return taken, inodes, False
        return taken, [], False


def check_parser(choices: Choices) -> None:
    """Parse ancillary data as no kernel should deliver it."""
    before = descriptors()
    with Marks() as marks:
        expected: list[int] = []
        unasked: list[int] = []

        def part() -> tuple[int, int, bytes]:
            stray = choices.octets(3)
            fds = [os.dup(mark) for mark in marks[: choices.integer(0, MARKS)]]
            kind = choices.integer(0, 3)
            if kind == 0:  # of other protocols: they are no descriptors
                for fd in fds:
                    os.close(fd)
                level = choices.one_of((socket.IPPROTO_IP, socket.IPPROTO_TCP, 0x7FFF))
                kind = choices.one_of((socket.SCM_RIGHTS, SCM_PIDFD))
                return level, kind, array("i", fds).tobytes()
            if kind == 1:
                unasked.extend(fds)
                return socket.SOL_SOCKET, SCM_PIDFD, array("i", [*fds, -1]).tobytes() + stray
            if kind == 2:
                for fd in fds:
                    os.close(fd)
                return socket.SOL_SOCKET, choices.one_of((2, 3, 29, 63)), choices.octets(40)
            expected.extend(fds)
            return socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds).tobytes() + stray

        got = received_in(choices.several(5, part))
        assert got == expected
        for fd in got:
            os.close(fd)
        assert not any(map(is_open, unasked))
    assert descriptors() == before


async def check_messages(choices: Choices) -> None:
    """Send messages of every shape, and receive them in every way."""
    kind = choices.one_of(KINDS)
    ours, peer = socket.socketpair(socket.AF_UNIX, kind)
    with peer, Marks() as marks:
        async with await UNIXSocketStream.from_socket(ours) as stream:
            raw = stream.extra(SocketAttribute.raw_socket)
            for option in (socket.SO_PASSCRED, 34):  # and SO_PASSSEC
                raw.setsockopt(socket.SOL_SOCKET, option, choices.integer(0, 1))
            before = descriptors()
            queue = Queue(kind)
            for _ in range(choices.integer(1, 8)):
                if choices.integer(0, 1):
                    send(choices, peer, marks, queue)
                if queue:
                    await receive(choices, stream, queue)
                assert descriptors() == before
            peer.shutdown(socket.SHUT_WR)
            while queue:
                await receive(choices, stream, queue)
            try:
                await stream.receive_fds(10, 10)
            except EndOfStream:
                pass
            else:
                raise AssertionError("there was something behind the end")
            assert descriptors() == before


def send(choices: Choices, peer: socket.socket, marks: Sequence[int], queue: Queue) -> None:
    message = b"m" + choices.octets(20)
    numbers = array("i", choices.several(6, lambda: choices.one_of(marks)))
    place = choices.integer(0, len(numbers))
    ancillary = [
        (socket.SOL_SOCKET, socket.SCM_RIGHTS, part.tobytes())
        for part in (numbers[:place], numbers[place:])  # as one or as two
        if part
    ]
    if choices.integer(0, 1):
        own = struct.pack("3i", os.getpid(), os.getuid(), os.getgid())
        ancillary.insert(0, (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, own))
    if choices.integer(0, 5) == 0:  # the kernel refuses what is no open descriptor
        octets = choices.octets(40)
        ancillary.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, octets))
        numbers.frombytes(octets[: len(octets) // 4 * 4])
    try:
        peer.sendmsg([message], ancillary)
    except OSError:
        return
    queue.put(message, [inode(fd) for fd in numbers])


async def receive(choices: Choices, stream: UNIXSocketStream, queue: Queue) -> None:
    nbytes = choices.one_of((1, 3, 100))
    if choices.integer(0, 3) == 0:
        message, _, cut = queue.take(nbytes)
        try:
            assert await stream.receive(nbytes) == message
            assert not cut
        except BrokenResourceError:
            assert cut
        return
    room = choices.integer(1, 8)
    message, sent, cut = queue.take(nbytes)
    try:
        got, fds = await stream.receive_fds(nbytes, room)
    except BrokenResourceError:
        assert cut or len(sent) > room
        return
    try:
        assert not cut
        assert got == message
        assert len(fds) <= room
        assert [inode(fd) for fd in fds] == sent
        assert not any(map(os.get_inheritable, fds))
    finally:
        for fd in fds:
            os.close(fd)


async def check(choices: Choices) -> None:
    if choices.integer(0, 3):
        await check_messages(choices)
    else:
        check_parser(choices)
