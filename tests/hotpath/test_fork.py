"""A child process is forked while an event loop runs: the parent's sockets go on having events.

Each case is a process of its own: forking is safe only where there are no other threads.
"""

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import asyncio, gc, os, sys, threading, warnings
import penstock
from penstock.abc import SocketAttribute

{child}

async def main():
    [listener] = (await penstock.create_tcp_listener(local_host="127.0.0.1")).listeners
    port = listener.extra(SocketAttribute.local_port)
    client = await penstock.connect_tcp("127.0.0.1", port)
    server = await listener.accept()
    async with penstock.create_task_group() as group:
        received = []

        async def wait():
            received.append(await server.receive())

        group.start_soon(wait)
        await penstock.wait_all_tasks_blocked()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child(client, server, listener)
                status = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        await client.send(b"abc")
    assert received == [b"abc"]
    for number in range(3):
        await server.send(b"%d" % number)
        assert await client.receive() == b"%d" % number
    for resource in (client, server, listener):
        await resource.aclose()

penstock.run(main, backend={backend!r}, backend_options={options})
"""

LEAVES = "def child(*resources): pass"
CLOSES = """
def child(*resources):
    for resource in resources:
        try:
            resource.aclose().send(None)
        except (StopIteration, penstock.NoEventLoopError):
            pass
    for resource in resources:
        assert resource._registration.fd == -1
    del resources, resource
    gc.collect()
"""
RUNS = """
def child(*resources):
    async def talk():
        [listener] = (await penstock.create_tcp_listener(local_host="127.0.0.1")).listeners
        client = await penstock.connect_tcp(
            "127.0.0.1", listener.extra(SocketAttribute.local_port)
        )
        server = await listener.accept()
        async with penstock.create_task_group() as group:
            group.start_soon(client.send, b"child")
            received.append(await server.receive())
        for resource in (client, server, listener):
            await resource.aclose()

    received = []
    thread = threading.Thread(target=lambda: penstock.run(talk, backend={backend!r}))
    thread.start()  # Trio knows in this one that it is running
    thread.join()
    assert received == [b"child"]
"""


@pytest.mark.parametrize("child", ["leaves", "closes", "runs"])
def test_parent_goes_on_having_events_after_fork_and_the_child(backend, child):
    if "loop_factory" in backend.options:
        options = "{'loop_factory': new_loop}"
        child_code = textwrap.dedent(
            """
            def new_loop():
                loop = asyncio.new_event_loop()
                loop.set_task_factory(asyncio.eager_task_factory)
                return loop
            """
        )
    else:
        options, child_code = repr(backend.options), ""
    child_code += {"leaves": LEAVES, "closes": CLOSES, "runs": RUNS}[child].replace(
        "{backend!r}", repr(backend.name)
    )
    program = PROGRAM.format(child=child_code, backend=backend.name, options=options)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "faulthandler", "-c", program],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, "")
