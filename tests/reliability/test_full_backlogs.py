"""A TCP listener whose queue is full: listen(2).

The system drops what finds no room there, and the client asks again, after a second at first.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest
from socket_peers import HOST
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import create_task_group, fail_after, wait_all_tasks_blocked
from penstock.abc import SocketAttribute, SocketListener

pytestmark = pytest.mark.usefixtures("every_descriptor_is_closed")


async def full() -> SocketListener:
    """Make a listener with room for one connection."""
    multi = await penstock.create_tcp_listener(local_host=HOST, backlog=0)
    [listener] = multi.listeners
    return listener


async def test_connecting_to_a_full_queue_can_be_cancelled_and_done_again() -> None:
    connected = 0

    async def client() -> None:
        nonlocal connected
        async with await penstock.connect_tcp(HOST, port):
            connected += 1

    with fail_after(30), ExitStack() as stack:
        async with await full() as listener:
            port = listener.extra(SocketAttribute.local_port)
            for _ in range(2):
                queued = stack.enter_context(socket.socket())
                queued.setblocking(False)
                queued.connect_ex((HOST, port))
            async with create_task_group() as tg:
                tg.start_soon(client)
                await wait_all_tasks_blocked()
                tg.cancel_scope.cancel()
            assert not connected
            async with create_task_group() as tg:
                tg.start_soon(client)
                await wait_all_tasks_blocked()
                for _ in range(2):
                    await (await listener.accept()).aclose()
            assert connected == 1
