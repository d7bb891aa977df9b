"""Whose a socket is: event loops, threads, forks and the garbage collector."""

import asyncio
import gc
import os
import socket as stdlib
import subprocess
import sys
from threading import Thread

import pytest
from low_peers import (
    blocked,
    every_descriptor_is_closed,  # noqa: F401
    outcome,
    pair,
    registered,
    tcp_pair,
)

import penstock
from penstock import ClosedResourceError, NoEventLoopError, socket
from penstock._backends import current_backend
from penstock._readiness import poller_of
from penstock.lowlevel import checkpoint


def in_thread(func):
    results = []

    def run():
        try:
            results.append(func())
        except BaseException as exc:
            results.append(exc.with_traceback(None))

    thread = Thread(target=run)
    thread.start()
    thread.join()
    return results.pop()


def test_socket_is_made_bound_and_closed_without_a_loop():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def test_call_without_a_loop_says_so():
    with pair() as (ours, _):
        call = ours.recv(1)
        with pytest.raises(NoEventLoopError):
            call.send(None)


def test_socket_is_used_by_one_loop_after_another(backend):
    pollers = []
    with pair() as (ours, peer):

        async def use():
            pollers.append(poller_of(current_backend()))
            assert registered() == 0
            for _ in range(3):
                assert await blocked(ours.recv, 9, then=lambda: peer.send(b"x")) == b"x"
                await ours.send(b"y")
                assert peer.recv(9) == b"y"
            assert registered() == 1

        for _ in range(3):
            backend.run(use)
        penstock.run(use, backend="trio" if backend.name == "asyncio" else "asyncio")
        assert [len(poller) for poller in pollers] == [0, 0, 0, 1]


async def test_another_thread_s_loop_is_refused():
    with pair() as (ours, peer):
        peer.send(b"ab")
        assert await ours.recv(1) == b"a"
        for name in ("asyncio", "trio"):
            for call in (
                lambda: ours.recv(1),
                lambda: ours.recv(1, socket.MSG_DONTWAIT),
                lambda: ours.send(b"x"),
                lambda: ours.connect(""),
                lambda: ours.resolve_local_address(""),
            ):

                async def use(call=call):
                    return await call()

                failure = in_thread(lambda: penstock.run(use, backend=name))  # noqa: B023
                assert isinstance(failure, RuntimeError)
                assert "belongs to another event loop or thread" in str(failure)
        assert await ours.recv(1) == b"b"


async def test_another_thread_may_not_close_it():
    with pair() as (ours, _):
        await ours.send(b"x")
        for call in (ours.close, ours.detach):
            failure = in_thread(call)
            assert isinstance(failure, RuntimeError)
            assert "another thread" in str(failure)
        assert ours.fileno() >= 0
    assert in_thread(ours.close) is None


def test_loop_that_has_not_ended_keeps_its_sockets():
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    with pair() as (ours, peer):
        peer.send(b"a")
        assert first.run_until_complete(ours.recv(1)) == b"a"
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            second.run_until_complete(ours.recv(1))
        first.close()
        peer.send(b"b")
        assert second.run_until_complete(ours.recv(1)) == b"b"
        second.run_until_complete(second.shutdown_asyncgens())
    second.close()


async def test_unclosed_socket_is_closed_with_a_warning_by_the_collector():
    before = registered()
    left, right = socket.socketpair()
    with right:
        await left.send(b"x")
        assert registered() == before + 1
        with pytest.warns(ResourceWarning, match="Unclosed <penstock.socket.socket fd="):
            del left
            gc.collect()
        assert registered() == before
        assert await right.recv(9) == b"x"
        assert await right.recv(9) == b""


def test_unclosed_socket_that_was_never_used_is_closed_with_a_warning():
    with pytest.warns(ResourceWarning, match="unclosed"):
        socket.socket()
        gc.collect()


def test_unclosed_socket_of_a_loop_that_has_ended_is_closed_with_a_warning(backend):
    left, right = socket.socketpair()
    with right:
        backend.run(left.send, b"x")
        with pytest.warns(ResourceWarning, match="Unclosed"):
            del left
            gc.collect()


@pytest.mark.parametrize("failing", ["recv", "connect", "sendall", "busy", "closed", "dontwait"])
async def test_failed_call_leaves_no_reference_cycle(failing):
    with tcp_pair() as (ours, _):
        calls = {
            "recv": lambda: socket.socket().recv(1),
            "connect": lambda: ours.connect(ours.getpeername()),
            "sendall": lambda: ours.sendall(1),
            "busy": lambda: ours.recv(1),
            "closed": lambda: ours.recv(1),
            "dontwait": lambda: ours.recv(1, socket.MSG_DONTWAIT),
        }
        if failing == "recv":
            ours.shutdown(socket.SHUT_WR)
            calls["recv"] = lambda: ours.send(b"x")
        if failing == "closed":
            ours.close()
        gc.collect()
        gc.disable()
        try:
            async with penstock.create_task_group() as tg:
                if failing == "busy":
                    tg.start_soon(ours.recv, 1)
                    await penstock.wait_all_tasks_blocked()
                result = await outcome(calls[failing])
                tg.cancel_scope.cancel()
            assert isinstance(result, Exception)
            del result, tg
            await checkpoint()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found = [x for x in gc.garbage if isinstance(x, OSError | ClosedResourceError)]
            assert found == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


async def test_descriptor_closed_behind_its_back_is_an_error():
    ours, peer = socket.socketpair()
    with peer:
        await ours.send(b"x")
        os.close(ours.fileno())
        with pytest.raises(OSError, match="Bad file descriptor"):
            await ours.send(b"x")
        with pytest.raises(OSError, match="Bad file descriptor"):
            ours.close()


def test_child_of_a_fork_uses_the_socket_with_a_loop_of_its_own(backend):
    program = f"""if True:
        import os
        import penstock
        from penstock import socket

        async def parent(ours, peer):
            await ours.send(b"a")
            pid = os.fork()
            if not pid:
                try:
                    os._exit(child(ours))
                finally:
                    os._exit(1)
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                await penstock.sleep(0.001)
            assert await peer.recv(2, socket.MSG_WAITALL) == b"ab"
            await peer.send(b"c")
            assert await ours.recv(9) == b"c"

        def child(ours):
            from threading import Thread
            codes = []
            def run():
                async def use():
                    await ours.send(b"b")
                    ours.close()
                    return 0
                codes.append(penstock.run(use, backend={backend.name!r}))
            thread = Thread(target=run)
            thread.start()
            thread.join()
            return codes.pop()

        with_them = socket.socketpair()
        with with_them[0], with_them[1]:
            penstock.run(parent, *with_them, backend={backend.name!r})
    """
    subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program],
        check=True,
        timeout=60,
    )


async def test_stdlib_socket_stays_usable_beside_ours():
    left, right = stdlib.socketpair()
    with socket.from_stdlib_socket(left) as ours, right:
        left.send(b"abc")
        assert right.recv(9) == b"abc"
        assert ours.fileno() == left.fileno()
