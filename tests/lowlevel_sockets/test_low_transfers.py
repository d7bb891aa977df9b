"""What sockets receive and send."""

import array
import ctypes
import fcntl
import os
import socket as stdlib
from threading import Thread

import pytest
from low_peers import (
    HOST,
    blocked,
    every_descriptor_is_closed,  # noqa: F401
    fill,
    outcome,
    pair,
    tcp_pair,
    udp_pair,
)

import penstock
from penstock import BusyResourceError, socket
from penstock.lowlevel import checkpoint, set_ready_budget

BLOCK = bytes(range(256)) * 4096  # 1 MiB


async def test_recv_gives_what_is_there_and_empty_bytes_at_the_end():
    with pair() as (ours, peer):
        peer.send(b"abcdef")
        assert await ours.recv(4) == b"abcd"
        assert await ours.recv(4) == b"ef"
        peer.close()
        assert await ours.recv(4) == b""
        assert await ours.recv(4) == b""


async def test_every_receiving_call_waits_for_what_comes():
    buffer = bytearray(3)
    calls = {
        "recv": (lambda sock: sock.recv(10), b"abc"),
        "recv with flags": (lambda sock: sock.recv(10, socket.MSG_TRUNC), b"abc"),
        "recv_into": (lambda sock: sock.recv_into(buffer), 3),
        "recvfrom": (lambda sock: sock.recvfrom(10), (b"abc", None)),
        "recvfrom_into": (lambda sock: sock.recvfrom_into(buffer), (3, None)),
        "recvmsg": (lambda sock: sock.recvmsg(10), (b"abc", [], 0, None)),
        "recvmsg_into": (lambda sock: sock.recvmsg_into([buffer]), (3, [], 0, None)),
    }
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        for name, (call, expected) in calls.items():
            if kind == socket.SOCK_STREAM and "flags" in name:
                continue  # MSG_TRUNC throws the bytes of a stream away
            buffer[:] = bytes(3)
            with pair(type=kind) as (ours, peer):
                result = await blocked(call, ours, then=lambda: peer.send(b"abc"))
                if isinstance(result, tuple):
                    seen = result[2] if len(result) == 4 else 0
                    assert seen in (0, socket.MSG_EOR), name  # SEQPACKET tells of records
                    result = tuple(x if n != 2 else 0 for n, x in enumerate(result))
                assert result == expected, name
                assert bytes(buffer) in (b"abc", bytes(3))
                assert (bytes(buffer) == b"abc") == name.endswith("_into"), name


async def test_every_sending_call_waits_for_room():
    calls = [
        lambda sock: sock.send(b"abc"),
        lambda sock: sock.send(b"abc", socket.MSG_NOSIGNAL),
        lambda sock: sock.sendmsg([b"a", b"bc"]),
        lambda sock: sock.sendall(b"abc"),
    ]
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        for number, call in enumerate(calls):
            with pair(type=kind) as (ours, peer):
                sent = await fill(ours) if kind == socket.SOCK_STREAM else 0
                while kind != socket.SOCK_STREAM:
                    if await outcome(ours.send, b"x", socket.MSG_DONTWAIT) != 1:
                        break
                    sent += 1

                def drain(peer=peer, left=sent):
                    while left:
                        left -= len(peer.recv(min(left, 1 << 20)))

                assert await blocked(call, ours, then=drain) == (None if number == 3 else 3)
                assert peer.recv(100) == b"abc"


async def test_nothing_asked_for_is_nothing_received():
    with pair() as (ours, _):
        assert await ours.recv(0) == b""
        assert await ours.recv_into(bytearray()) == 0


async def test_part_of_a_buffer_is_received_into():
    with pair() as (ours, peer):
        peer.send(b"abcdef")
        buffer = bytearray(4)
        assert await ours.recv_into(buffer, 2) == 2
        assert await ours.recvfrom_into(memoryview(buffer)[2:], nbytes=1) == (1, None)
        assert await ours.recvmsg_into([bytearray(1), bytearray(1)]) == (2, [], 0, None)
        assert buffer == b"abc\0"


async def test_peeking_consumes_nothing():
    with pair() as (ours, peer):
        peeked = await blocked(ours.recv, 2, socket.MSG_PEEK, then=lambda: peer.send(b"abc"))
        assert peeked == b"ab"
        assert await ours.recv(100, socket.MSG_PEEK) == b"abc"
        assert await ours.recv(100) == b"abc"


async def test_dontwait_never_waits():
    with pair() as (ours, peer):
        for flags in (socket.MSG_DONTWAIT, socket.MSG_DONTWAIT | socket.MSG_PEEK):
            with pytest.raises(BlockingIOError):
                await ours.recv(1, flags)
        with pytest.raises(BlockingIOError):
            await ours.recvmsg_into([bytearray(1)], 0, socket.MSG_DONTWAIT)
        await fill(ours)
        with pytest.raises(BlockingIOError):
            await ours.sendall(b"x", socket.MSG_DONTWAIT)
        peer.send(b"abc")
        assert await ours.recv(100, socket.MSG_DONTWAIT) == b"abc"


async def test_dontwait_in_a_cancelled_scope_does_nothing():
    with pair() as (ours, peer), penstock.CancelScope() as scope:
        scope.cancel()
        await ours.send(b"abc", socket.MSG_DONTWAIT)
    assert scope.cancelled_caught
    with pair() as (ours, peer):
        peer.send(b"abc")
        with penstock.CancelScope() as scope:
            scope.cancel()
            await ours.recv(100, socket.MSG_DONTWAIT)
        assert await ours.recv(100) == b"abc"


async def test_waitall_does_not_wait_for_all():
    with pair() as (ours, peer):
        peer.send(b"abc")
        assert await ours.recv(100, socket.MSG_WAITALL) == b"abc"


async def test_urgent_data_comes_by_itself_and_never_blocks_the_rest():
    with tcp_pair() as (ours, peer):
        with pytest.raises(OSError, match="Invalid argument"):
            await ours.recv(1, socket.MSG_OOB)
        peer.send(b"abc")
        peer.send(b"!", socket.MSG_OOB)
        peer.send(b"def")
        received = bytearray()
        while len(received) < 3:
            received += await ours.recv(100)
        assert await ours.recv(1, socket.MSG_OOB) == b"!"
        with pytest.raises(OSError, match="Invalid argument"):
            await ours.recv(1, socket.MSG_OOB)
        while len(received) < 6:
            received += await ours.recv(100)
        assert received == b"abcdef"
        assert await ours.send(b"?", socket.MSG_OOB) == 1
        peer.setblocking(False)  # with a timeout it would wait for what is not urgent
        assert peer.recv(1, socket.MSG_OOB) == b"?"


async def test_urgent_data_can_be_had_while_another_task_receives():
    with tcp_pair() as (ours, peer):
        result = []

        async def receive():
            result.append(await ours.recv(100))

        async with penstock.create_task_group() as tg:
            tg.start_soon(receive)
            await penstock.wait_all_tasks_blocked()
            peer.send(b"!", socket.MSG_OOB)
            while await outcome(ours.recv, 1, socket.MSG_OOB) != b"!":
                await checkpoint()
            peer.send(b"abc")
        assert result == [b"abc"]


async def test_empty_error_queue_hides_no_datagram():
    with udp_pair() as (left, right):
        await left.sendto(b"abc", right.getsockname())
        with pytest.raises(BlockingIOError):
            await right.recvmsg(100, 100, socket.MSG_ERRQUEUE)
        assert await right.recv(100) == b"abc"


async def test_datagrams_keep_their_bounds_and_addresses():
    with udp_pair() as (left, right):
        address = right.getsockname()
        assert await left.sendto(b"", address) == 0
        assert await left.sendto(b"ab", address) == 2
        assert await left.sendto(b"abc", 0, address) == 3
        assert await left.sendmsg([b"ab", b"cd"], [], 0, address) == 4
        assert await right.recv(100) == b""
        assert await right.recvfrom(1) == (b"a", left.getsockname())
        buffer = bytearray(9)
        assert await right.recvfrom_into(buffer) == (3, left.getsockname())
        assert await right.recvmsg(3) == (b"abc", [], socket.MSG_TRUNC, left.getsockname())


async def test_sendall_of_a_datagram_sends_one_even_if_empty():
    with udp_pair() as (left, right):
        await left.connect(right.getsockname())
        await left.sendall(b"")
        assert await right.recv(100) == b""
        with pytest.raises(OSError, match="Message too long"):
            await left.sendall(bytes(70_000))


async def test_largest_datagram_is_not_cut():
    size = 300_000  # more than the kernel receives of a stream at once
    with pair(type=socket.SOCK_DGRAM) as (ours, peer):
        for sock in (ours, peer):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        assert await ours.send(bytes(size)) == size
        assert len(peer.recv(1 << 20)) == size
        peer.send(bytes(size))
        assert len(await ours.recv(1 << 20)) == size


async def test_refused_datagram_is_an_error_of_the_next_call():
    with udp_pair() as (left, right):
        address = right.getsockname()
        right.close()
        await left.connect(address)
        await left.send(b"abc")
        with pytest.raises(ConnectionRefusedError):
            await left.recv(100)


class Structure(ctypes.BigEndianStructure):
    _fields_ = (("number", ctypes.c_uint64),)


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "items", "shape", "structures"])
async def test_sendall_counts_bytes_whatever_the_items_are(kind):
    data = {
        "bytes": BLOCK,
        "bytearray": bytearray(BLOCK),
        "items": array.array("Q", BLOCK),
        "shape": memoryview(BLOCK).cast("B", (1024, 1024)),
        "structures": (Structure * (len(BLOCK) // 8)).from_buffer_copy(BLOCK),
    }[kind]
    with pair() as (ours, peer):
        received = bytearray()

        def collect():
            while block := peer.recv(1 << 20):
                received.extend(block)

        thread = Thread(target=collect)
        thread.start()
        await ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        while thread.is_alive():
            await checkpoint()
    assert received == BLOCK


async def test_buffer_cannot_be_resized_while_sendall_waits():
    data = bytearray(BLOCK)
    with pair() as (ours, peer):

        def resize():
            with pytest.raises(BufferError):
                data.append(0)
            peer.close()

        assert isinstance(await blocked(ours.sendall, data, then=resize), BrokenPipeError)
    data.append(0)


async def test_sendmsg_of_an_iterator_can_wait_and_loses_nothing():
    with pair() as (ours, peer):
        sent = await fill(ours)

        def drain():
            left = sent
            while left:
                left -= len(peer.recv(left))

        parts = (part for part in (b"ab", b"cd"))
        assert await blocked(ours.sendmsg, parts, iter(()), then=drain) == 4
        assert peer.recv(100) == b"abcd"


async def test_received_descriptors_are_not_inherited_and_the_flag_is_not_shown():
    with pair() as (ours, peer):
        room = socket.CMSG_SPACE(4)
        for flags in (0, socket.MSG_CMSG_CLOEXEC):
            for receive in (
                lambda flags: ours.recvmsg(10, room, flags),
                lambda flags: ours.recvmsg_into([bytearray(10)], room, flags),
            ):
                stdlib.send_fds(peer, [b"abc"], [peer.fileno()])
                _, ((level, kind, data),), seen, _ = await receive(flags)
                assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                assert seen == flags
                (fd,) = array.array("i", data)
                assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
                os.close(fd)


async def test_descriptors_are_sent_with_a_control_message():
    with pair() as (ours, peer):
        rights = array.array("i", [peer.fileno()])
        await ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        data, (fd,), _, _ = stdlib.recv_fds(peer, 10, 1)
        assert data == b"x"
        os.close(fd)


@pytest.mark.parametrize("size", [1, 64])
async def test_two_tasks_in_one_direction_are_one_too_many(size):
    set_ready_budget(size)
    with pair() as (ours, peer):
        for waiting, others in (
            (
                lambda: ours.recv(1),
                [
                    lambda: ours.recv(1),
                    lambda: ours.recv(1, socket.MSG_PEEK),
                    lambda: ours.recv_into(bytearray(1)),
                    lambda: ours.recvfrom(1),
                    lambda: ours.recvfrom_into(bytearray(1)),
                    lambda: ours.recvmsg(1),
                    lambda: ours.recvmsg_into([bytearray(1)]),
                    ours.accept,
                ],
            ),
            (
                lambda: ours.sendall(BLOCK),
                [
                    lambda: ours.send(b"x"),
                    lambda: ours.sendall(b"x"),
                    lambda: ours.sendmsg([b"x"]),
                    lambda: ours.sendto(b"x", "\0nobody"),
                    lambda: ours.connect("\0nobody"),
                ],
            ),
        ):
            async with penstock.create_task_group() as tg:
                tg.start_soon(waiting)
                await penstock.wait_all_tasks_blocked()
                for other in others:
                    with pytest.raises(BusyResourceError):
                        await other()
                tg.cancel_scope.cancel()
        peer.setblocking(False)
        while peer.recv(1 << 20):
            if await outcome(ours.send, b"", socket.MSG_DONTWAIT) == 0:
                break


async def test_both_directions_at_once_are_fine():
    with pair() as (ours, peer):
        received = []

        async def receive():
            received.append(await ours.recv(100))

        async with penstock.create_task_group() as tg:
            tg.start_soon(receive)
            await penstock.wait_all_tasks_blocked()
            tg.start_soon(ours.sendall, BLOCK)
            await penstock.wait_all_tasks_blocked()
            peer.send(b"abc")
            left = len(BLOCK)
            while left:
                left -= len(peer.recv(left, socket.MSG_DONTWAIT))
                await penstock.wait_all_tasks_blocked()
        assert received == [b"abc"]


@pytest.mark.parametrize("call", ["send", "recv", "recv_into", "recvmsg"])
async def test_task_that_always_finds_data_lets_others_run(call):
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    with pair(type=socket.SOCK_DGRAM) as (ours, peer):
        async with penstock.create_task_group() as tg:
            tg.start_soon(count)
            for _ in range(2000):
                if call == "send":
                    await ours.send(b"x")
                    peer.recv(1)
                else:
                    peer.send(b"x")
                    await getattr(ours, call)(bytearray(1) if call == "recv_into" else 1)
            tg.cancel_scope.cancel()
    assert turns >= 5


async def test_bytes_count_on_the_ready_budget():
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    size = 100_000
    buffer = bytearray(size)
    with pair(type=socket.SOCK_DGRAM) as (ours, peer):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for call in (
            lambda: ours.recv(size),
            lambda: ours.recv_into(buffer),
            lambda: ours.recvfrom(size),
            lambda: ours.recvfrom_into(buffer),
            lambda: ours.recvmsg(size),
            lambda: ours.recvmsg_into([buffer]),
            lambda: ours.send(buffer),
            lambda: ours.sendmsg([buffer]),
        ):
            turns = 0
            async with penstock.create_task_group() as tg:
                tg.start_soon(count)
                for _ in range(20):
                    peer.send(buffer)
                    await call()
                    while await outcome(ours.recv, 1, socket.MSG_DONTWAIT) == b"\0":
                        pass
                    peer.setblocking(False)
                    try:
                        peer.recv(1)
                    except BlockingIOError:
                        pass
                    peer.settimeout(30)
                tg.cancel_scope.cancel()
            assert turns >= 3


async def test_udp_over_ipv6():
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as left,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as right,
    ):
        left.bind(("::", 0))
        right.bind((HOST, 0))
        mapped = ("::ffff:127.0.0.1", right.getsockname()[1], 0, 0)
        await left.sendto(b"abc", mapped)
        assert await right.recvfrom(100) == (b"abc", (HOST, left.getsockname()[1]))
        await right.sendto(b"def", (HOST, left.getsockname()[1]))
        assert await left.recvfrom(100) == (b"def", mapped)
