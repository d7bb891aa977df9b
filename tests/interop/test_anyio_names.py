"""penstock's exceptions, contracts and keys under the names of AnyIO and Trio."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap

import anyio
import anyio.abc
import anyio.streams.file
import anyio.streams.tls
import pytest
import trio
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.stapled import StapledByteStream
from anyio.streams.tls import TLSStream as AnyIOTLSStream
from interop_peers import tcp_pair
from tls_peers import client_context, server_context

import penstock
import penstock.abc
from penstock.streams.file import FileReadStream
from penstock.streams.tls import TLSStream

ARGUMENTS = {"BusyResourceError": ("reading from",), "DelimiterNotFound": (5,)}
SHARED = [
    name
    for name in penstock._exceptions.__all__
    if hasattr(anyio, name) and name != "NoEventLoopError"
]


def an(name):
    return getattr(penstock, name)(*ARGUMENTS.get(name, ()))


@pytest.mark.parametrize("name", SHARED)
def test_exception_is_caught_under_anyios_name(name):
    with pytest.raises(getattr(anyio, name)) as caught:
        raise an(name)
    assert isinstance(caught.value, getattr(penstock, name))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("BrokenResourceError", trio.BrokenResourceError),
        ("BusyResourceError", trio.BusyResourceError),
        ("ClosedResourceError", trio.ClosedResourceError),
        ("EndOfStream", trio.EndOfChannel),
        ("WouldBlock", trio.WouldBlock),
    ],
)
def test_exception_is_caught_under_trios_name(ours, theirs):
    with pytest.raises(theirs):
        raise an(ours)


@pytest.mark.parametrize("name", [*SHARED, "FrameTooLarge"])
@pytest.mark.parametrize("again", [copy.copy, lambda exc: pickle.loads(pickle.dumps(exc))])
def test_exception_survives_being_pickled_and_copied(name, again):
    exc = an(name) if name != "FrameTooLarge" else penstock.FrameTooLarge(5, 9)
    exc.add_note("seen")
    other = again(exc)
    assert type(other) is type(exc)
    assert (str(other), other.args) == (str(exc), exc.args)
    assert other.__notes__ == ["seen"]


@pytest.mark.parametrize("name", ARGUMENTS)
def test_text_is_put_together_once(name):
    ours, theirs = an(name), getattr(anyio, name)(*ARGUMENTS[name])
    assert str(ours).startswith(str(theirs))
    assert vars(ours) == dict.fromkeys(vars(ours), ARGUMENTS[name][0])


def test_subclass_of_a_program_is_caught_under_anyios_name_too():
    class Hung(penstock.EndOfStream):
        pass

    with pytest.raises(anyio.EndOfStream) as caught:
        raise Hung("up")
    assert isinstance(caught.value, Hung)
    assert repr(caught.value) == "Hung('up')"


def test_exceptions_in_a_group_are_caught_under_anyios_name():
    with pytest.raises(anyio.EndOfStream):
        try:
            raise ExceptionGroup("", [penstock.EndOfStream()])
        except* anyio.EndOfStream as group:
            raise group.exceptions[0] from None


def test_nothing_is_imported_for_it_and_the_class_is_chosen_when_first_raised():
    program = """
        import sys, penstock
        try:
            raise penstock.EndOfStream
        except penstock.EndOfStream as exc:
            assert type(exc) is penstock.EndOfStream
        assert not {"anyio", "trio"} & sys.modules.keys()
        import anyio
        try:
            raise penstock.EndOfStream
        except anyio.EndOfStream:
            pass
        assert "trio" not in sys.modules
        import trio
        try:
            raise penstock.EndOfStream
        except trio.EndOfChannel as exc:
            assert isinstance(exc, anyio.EndOfStream)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


async def test_contracts_of_anyio_accept_penstocks_streams():
    listener = await penstock.create_tcp_listener(local_host="127.0.0.1")
    async with listener:
        assert isinstance(listener, anyio.abc.Listener)
        assert isinstance(listener.listeners[0], anyio.abc.SocketListener)
        assert not isinstance(listener, anyio.abc.ByteStream)
        port = listener.extra(penstock.abc.SocketAttribute.local_port)
        async with await penstock.connect_tcp("127.0.0.1", port) as stream:
            assert isinstance(stream, anyio.abc.SocketStream)
            assert isinstance(stream, anyio.abc.ByteReceiveStream)
            assert not isinstance(stream, anyio.abc.ObjectReceiveStream)
    send, receive = penstock.create_memory_object_stream[int]()
    with send, receive:
        assert isinstance(send, anyio.abc.ObjectSendStream)
        assert isinstance(receive, anyio.abc.ObjectReceiveStream)


async def test_anyios_buffered_stream_reads_a_byte_stream_of_penstocks():
    async with tcp_pair() as (one, other):
        await one.send(b"header and body")
        buffered = BufferedByteReceiveStream(other)
        assert await buffered.receive_exactly(6) == b"header"  # and no more was taken
        assert await other.receive(100) == b" and body"
        await one.aclose()
        with pytest.raises(anyio.EndOfStream):
            await buffered.receive()


async def test_anyios_tls_runs_over_a_stream_of_penstocks():
    async with tcp_pair() as (one, other):
        async with penstock.create_task_group() as tasks:

            async def serve():
                async with await TLSStream.wrap(
                    other, server_side=True, ssl_context=server_context()
                ) as peer:
                    await peer.send((await peer.receive()).upper())

            tasks.start_soon(serve)
            encrypted = await AnyIOTLSStream.wrap(
                one, hostname="localhost", ssl_context=client_context()
            )
            await encrypted.send(b"hello")
            assert await encrypted.receive() == b"HELLO"
            assert encrypted.extra(anyio.abc.SocketAttribute.raw_socket) is one.extra(
                penstock.abc.SocketAttribute.raw_socket
            )
            await encrypted.aclose()


async def test_streams_answer_for_anyios_keys(tmp_path):
    async with tcp_pair() as (one, _other):
        for name in ("family", "local_address", "local_port", "raw_socket", "remote_address"):
            ours = one.extra(getattr(penstock.abc.SocketAttribute, name))
            assert one.extra(getattr(anyio.abc.SocketAttribute, name)) == ours
        stapled = StapledByteStream(one, one)
        assert stapled.extra(anyio.abc.SocketAttribute.remote_port) > 0
        assert one.extra(anyio.streams.tls.TLSAttribute.tls_version, None) is None
        (tmp_path / "file").write_bytes(b"")
        async with await FileReadStream.from_path(tmp_path / "file") as file:
            assert file.extra(anyio.streams.file.FileStreamAttribute.path) == tmp_path / "file"
