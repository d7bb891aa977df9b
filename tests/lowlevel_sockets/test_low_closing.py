"""Closing and cancellation: who waits is woken, and nothing is lost."""

import os
import socket as stdlib

import pytest
from low_peers import (
    HOST,
    blocked,
    every_descriptor_is_closed,  # noqa: F401
    fill,
    pair,
    registered,
)

import penstock
from penstock import ClosedResourceError, socket
from penstock.lowlevel import checkpoint, set_ready_budget


def close(sock):
    sock.close()


def detach(sock):
    fd = sock.fileno()
    assert sock.detach() == fd
    os.close(fd)


def surrender(sock):
    fd, family = sock.fileno(), sock.family
    with sock._surrender() as theirs:  # as from_socket() of the streams does
        assert (theirs.fileno(), theirs.family) == (fd, family)


def leave(sock):
    with sock:
        pass


def fail(sock):
    with pytest.raises(ZeroDivisionError), sock:
        raise ZeroDivisionError


DOORS = [close, detach, surrender, leave, fail]
CALLS = {
    "recv": lambda sock: sock.recv(1),
    "recv with flags": lambda sock: sock.recv(1, socket.MSG_PEEK),
    "recv at once": lambda sock: sock.recv(1, socket.MSG_DONTWAIT),
    "recv_into": lambda sock: sock.recv_into(bytearray(1)),
    "recvfrom": lambda sock: sock.recvfrom(1),
    "recvfrom_into": lambda sock: sock.recvfrom_into(bytearray(1)),
    "recvmsg": lambda sock: sock.recvmsg(1),
    "recvmsg_into": lambda sock: sock.recvmsg_into([bytearray(1)]),
    "accept": lambda sock: sock.accept(),
    "send": lambda sock: sock.send(b"x"),
    "send at once": lambda sock: sock.send(b"x", socket.MSG_DONTWAIT),
    "sendall": lambda sock: sock.sendall(b"x"),
    "sendmsg": lambda sock: sock.sendmsg([b"x"]),
    "sendto": lambda sock: sock.sendto(b"x", "\0nobody"),
    "connect": lambda sock: sock.connect("\0nobody"),
}
WAITING = {
    **{name: call for name, call in CALLS.items() if name.startswith("recv")},
    **{name: CALLS[name] for name in ("send", "sendall", "sendmsg")},
}
del WAITING["recv at once"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("call", WAITING)
async def test_closing_wakes_who_waits(door, call):
    before = registered()
    with pair() as (ours, _):
        await fill(ours)
        result = await blocked(WAITING[call], ours, then=lambda: door(ours))
        assert isinstance(result, ClosedResourceError)
        assert registered() == before


@pytest.mark.parametrize("door", DOORS)
async def test_closing_wakes_both_directions_within_a_turn(door):
    with pair() as (ours, _):
        await fill(ours)
        woken = []

        async def waiting(call):
            with pytest.raises(ClosedResourceError):
                await call(ours)
            woken.append(call)

        async with penstock.create_task_group() as tg:
            tg.start_soon(waiting, CALLS["recv"])
            tg.start_soon(waiting, CALLS["send"])
            await penstock.wait_all_tasks_blocked()
            door(ours)
            await checkpoint()
            await checkpoint()
            assert len(woken) == 2


@pytest.mark.parametrize("door", DOORS)
async def test_closing_wakes_who_accepts(door):
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        listening.listen()
        result = await blocked(listening.accept, then=lambda: door(listening))
        assert isinstance(result, ClosedResourceError)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("used", [False, True])
async def test_every_call_of_a_closed_socket_says_so(call, used):
    with pair() as (ours, peer):
        if used:
            peer.send(b"abc")
            await ours.recv(1)
        ours.close()
        with pytest.raises(ClosedResourceError):
            await CALLS[call](ours)


async def test_detached_descriptor_is_open_and_can_be_taken_over():
    with pair() as (ours, peer):
        peer.send(b"abc")
        assert await ours.recv(1) == b"a"
        before = registered()
        with socket.socket(fileno=ours.detach()) as again:
            assert ours.fileno() == -1
            assert await again.recv(1) == b"b"
            assert registered() == before
            assert await again.recv(1) == b"c"
            assert await blocked(again.recv, 1, then=lambda: peer.send(b"d")) == b"d"


async def test_number_of_a_closed_socket_can_be_another_s_at_once():
    with pair() as (ours, _):
        number = ours.fileno()
        result = await blocked(ours.recv, 1, then=ours.close)
        assert isinstance(result, ClosedResourceError)
        with pair() as (other, other_peer):
            assert number in (other.fileno(), other_peer.fileno())
            assert await blocked(other.recv, 1, then=lambda: other_peer.send(b"x")) == b"x"


async def test_duplicate_wakes_by_itself():
    with pair() as (ours, peer), ours.dup() as again:
        result = await blocked(ours.recv, 1, then=ours.close)
        assert isinstance(result, ClosedResourceError)
        assert await blocked(again.recv, 1, then=lambda: peer.send(b"x")) == b"x"


async def test_shutdown_of_receiving_ends_the_stream_for_who_waits():
    with pair() as (ours, _):
        assert await blocked(ours.recv, 1, then=lambda: ours.shutdown(socket.SHUT_RD)) == b""


# -- cancellation ------------------------------------------------------------------------------

RECEIVING = {
    name: call
    for name, call in WAITING.items()
    if name.startswith("recv") and name != "recv with flags"
}


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("call", RECEIVING)
async def test_receive_that_is_cancelled_when_data_has_come_loses_nothing(call, kind):
    with pair(type=kind) as (ours, peer):
        for _ in range(20):
            scope = penstock.CancelScope()

            async def receive(scope=scope):
                with scope:
                    await RECEIVING[call](ours)
                    raise AssertionError("received")

            async with penstock.create_task_group() as tg:
                tg.start_soon(receive)
                await penstock.wait_all_tasks_blocked()
                peer.send(b"x")
                scope.cancel()
            assert await ours.recv(10) == b"x"


@pytest.mark.parametrize("size", [1, 64])
@pytest.mark.parametrize("call", CALLS)
async def test_ready_call_in_a_cancelled_scope_has_no_effect(call, size):
    set_ready_budget(size)
    with pair() as (ours, peer):
        peer.send(b"abc")
        with penstock.CancelScope() as scope:
            scope.cancel()
            await CALLS[call](ours)
        assert scope.cancelled_caught
        if call != "connect":
            assert await ours.recv(10) == b"abc"
        peer.setblocking(False)
        if call == "connect":
            assert ours.fileno() == -1
        else:
            with pytest.raises(BlockingIOError):
                peer.recv(1)


@pytest.mark.parametrize("call", ["send", "sendmsg"])
async def test_send_that_is_cancelled_has_sent_nothing(call):
    with pair() as (ours, peer):
        sent = await fill(ours)
        with penstock.move_on_after(0.01) as scope:
            await CALLS[call](ours)
        assert scope.cancelled_caught
        peer.setblocking(False)
        received = 0
        with pytest.raises(BlockingIOError):
            while True:
                received += len(peer.recv(1 << 20))
        assert received == sent
        await ours.send(b"x")


async def test_sendall_that_is_cancelled_has_sent_some_and_the_socket_goes_on():
    with pair() as (ours, peer):
        with penstock.move_on_after(0.01) as scope:
            await ours.sendall(bytes(1 << 24))
        assert scope.cancelled_caught
        peer.setblocking(False)
        received = 0
        with pytest.raises(BlockingIOError):
            while True:
                received += len(peer.recv(1 << 20))
        assert 0 < received < 1 << 24
        await ours.sendall(b"x")
        assert peer.recv(10) == b"x"


async def test_full_queue_of_a_datagram_socket_is_waited_for():
    with (
        stdlib.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as far,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as near,
    ):
        far.bind("")
        far.setblocking(False)
        address = far.getsockname()
        for call in (
            lambda: near.sendto(b"x", address),
            lambda: near.sendmsg([b"x"], [], 0, address),
        ):
            queued = 0
            while True:
                with penstock.move_on_after(0.03) as scope:
                    await call()
                if scope.cancelled_caught:
                    break
                queued += 1
            ended = False

            async def send(call=call):
                nonlocal ended
                await call()
                ended = True

            async with penstock.create_task_group() as tg:
                tg.start_soon(send)
                await penstock.sleep(0.02)
                assert not ended
                assert far.recv(10) == b"x"
            for _ in range(queued):
                far.recv(10)
            with pytest.raises(BlockingIOError):
                far.recv(10)
        while not isinstance(await try_now(near, address), BlockingIOError):
            pass
        result = await blocked(near.sendto, b"x", address, then=near.close)
        assert isinstance(result, ClosedResourceError)


async def try_now(sock, address):
    try:
        return await sock.sendto(b"x", socket.MSG_DONTWAIT, address)
    except BlockingIOError as exc:
        return exc.with_traceback(None)
