"""Closing whatever can be closed."""

from __future__ import annotations

import socket

import penstock
from penstock.abc import AsyncResource
from penstock.streams.buffered import BufferedByteStream


class Lingering(AsyncResource):
    """Waits for its peer for ever when it is closed, unless it is cancelled."""

    closed = False

    async def aclose(self) -> None:
        try:
            await penstock.sleep_forever()
        finally:
            self.closed = True


async def test_aclose_forcefully_waits_for_nothing() -> None:
    resource = Lingering()
    await penstock.aclose_forcefully(resource)
    assert resource.closed


async def test_aclose_forcefully_closes_a_socket_under_whatever_is_around_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = await penstock.connect_tcp(*server.getsockname())
        peer, _ = server.accept()
        with peer:
            await penstock.aclose_forcefully(BufferedByteStream(stream))
            await penstock.aclose_forcefully(stream)
            assert peer.recv(1) == b""


async def test_aclose_forcefully_in_a_cancelled_scope_closes_as_well() -> None:
    resource = Lingering()
    with penstock.CancelScope() as scope:
        scope.cancel()
        await penstock.aclose_forcefully(resource)
    assert resource.closed


async def test_aclose_forcefully_lets_errors_out() -> None:
    class Failing(AsyncResource):
        async def aclose(self) -> None:
            raise OSError("it has failed")

    try:
        await penstock.aclose_forcefully(Failing())
    except OSError as exc:
        assert str(exc) == "it has failed"
    else:
        raise AssertionError("it has not failed")
