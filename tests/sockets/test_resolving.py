"""Looking names and addresses up."""

from __future__ import annotations

import socket
import threading
from enum import IntEnum
from typing import Any

import anyio
import pytest
from connecting_peers import naming as naming
from socket_peers import HOST
from socket_peers import every_descriptor_is_closed as every_descriptor_is_closed

import penstock
from penstock import getaddrinfo, getnameinfo
from penstock.lowlevel import checkpoint

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM


async def test_addresses_come_as_the_system_says_them() -> None:
    infos = await getaddrinfo("localhost", 80, type=STREAM)
    assert infos
    for family, kind, protocol, name, address in infos:
        assert isinstance(family, socket.AddressFamily)
        assert isinstance(kind, socket.SocketKind)
        assert (kind, protocol, name) == (STREAM, socket.IPPROTO_TCP, "")
        assert address in ((HOST, 80), ("::1", 80))


async def test_numbers_narrow_what_is_asked_for() -> None:
    (info,) = await getaddrinfo(HOST, 53, family=socket.AF_INET, type=DATAGRAM, proto=17)
    assert info == (socket.AF_INET, DATAGRAM, socket.IPPROTO_UDP, "", (HOST, 53))
    with pytest.raises(socket.gaierror, match=HOST):
        await getaddrinfo(HOST, 53, family=socket.AF_INET6)


async def test_services_have_names() -> None:
    infos = await getaddrinfo(HOST, "http", type=STREAM)
    assert [info[4] for info in infos] == [(HOST, 80)]
    with pytest.raises(socket.gaierror):
        await getaddrinfo(HOST, "no-such-service", type=STREAM)


@pytest.mark.parametrize("host", [b"127.0.0.1", "127.0.0.1"])
async def test_a_host_may_be_bytes(host: Any) -> None:
    assert (await getaddrinfo(host, None, type=STREAM))[0][4] == (HOST, 0)


async def test_a_port_may_be_the_member_of_an_enumeration() -> None:
    port = IntEnum("Port", {"HTTP": 80}).HTTP
    for infos in (
        await getaddrinfo(HOST, port, type=STREAM),
        await getaddrinfo("localhost", port, type=STREAM, family=socket.AF_INET),
    ):
        assert [(type(number), number) for *_, (_, number) in infos] == [(int, 80)]


async def test_no_host_is_this_machine_or_every_interface() -> None:
    addresses = {info[4] for info in await getaddrinfo(None, 80, type=STREAM)}
    assert addresses <= {(HOST, 80), ("::1", 80)}
    flags = socket.AI_PASSIVE
    addresses = {info[4] for info in await getaddrinfo(None, 80, type=STREAM, flags=flags)}
    assert addresses <= {("0.0.0.0", 80), ("::", 80)}


async def test_addresses_of_ipv6_are_pairs_with_the_scope_in_the_host() -> None:
    index = socket.if_nametoindex("lo")
    for host, expected in (
        ("::1", "::1"),
        (f"fe80::1%{index}", f"fe80::1%{index}"),
        ("fe80::1%lo", f"fe80::1%{index}"),
        (f"ff02::1%{index}", f"ff02::1%{index}"),
    ):
        (info,) = await getaddrinfo(host, 80, type=STREAM)
        assert info[4] == (expected, 80)


async def test_addresses_that_python_cannot_read_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So it gives IPv6 addresses where it was built without: as numbers."""
    infos = [
        (socket.AF_INET6, STREAM, 6, "", (10, b"\0" * 26)),
        (socket.AF_INET, STREAM, 6, "", (HOST, 80)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: infos)
    assert await getaddrinfo("some.test", 80) == infos[1:]


@pytest.mark.parametrize(
    ("host", "encoded"),
    [
        ("fa\u00df.test", b"xn--fa-hia.test"),  # IDNA 2003 would make it "fass"
        ("\uff22\u00fcCHER.test", b"xn--bcher-kva.test"),  # UTS 46 maps width and case
        ("\u0645\u062b\u0627\u0644.test", b"xn--mgbh0fb.test"),
    ],
    ids=ascii,
)
async def test_names_are_translated_by_idna_2008(
    naming: Any, monkeypatch: pytest.MonkeyPatch, host: str, encoded: bytes
) -> None:
    naming(encoded.decode(), [HOST])
    assert (await getaddrinfo(host, 80, type=STREAM))[0][4] == (HOST, 80)


async def test_an_unknown_host_is_an_error_with_its_name() -> None:
    with pytest.raises(socket.gaierror, match=r"'no\.such\.host\.invalid'") as caught:
        await getaddrinfo("no.such.host.invalid", 80)
    assert caught.value.errno == socket.EAI_NONAME
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((5, 80), TypeError),
        ((["a"], 80), TypeError),
        ((HOST, 80.5), TypeError),
        ((HOST, b"http"), TypeError),
        (("a\0b", 80), ValueError),
        ((b"a\0b", 80), ValueError),
        (("\u2603.example", 80), ValueError),
    ],
    ids=ascii,
)
async def test_bad_arguments_are_refused(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await getaddrinfo(*arguments)


async def test_a_numeric_address_needs_no_thread() -> None:
    before = set(threading.enumerate())
    await getaddrinfo("::1", 80)
    assert set(threading.enumerate()) <= before


async def test_results_are_those_of_anyio(backend: Any) -> None:
    for arguments, options in (
        (("localhost", 80), {}),
        (("localhost", "http"), {"type": STREAM}),
        (("::1", 80), {"type": DATAGRAM}),
        ((b"127.0.0.1", None), {"family": socket.AF_INET}),
        ((None, 80), {"flags": socket.AI_PASSIVE}),
        (("fe80::1%lo", 80), {}),
    ):
        assert await getaddrinfo(*arguments, **options) == await anyio.getaddrinfo(  # type: ignore[arg-type]
            *arguments,  # type: ignore[arg-type]
            **options,  # type: ignore[arg-type]
        )


# -- the other way round -------------------------------------------------------------------


async def test_a_name_is_found_for_an_address() -> None:
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert await getnameinfo((HOST, 80), flags) == (HOST, "80")
    assert await getnameinfo((HOST, 80), socket.NI_NUMERICHOST) == (HOST, "http")
    assert await getnameinfo(("::1", 80, 0, 0), flags) == ("::1", "80")
    assert await getnameinfo((HOST, 80)) == await anyio.getnameinfo((HOST, 80))


async def test_an_address_that_must_have_a_name_and_has_none_is_an_error() -> None:
    with pytest.raises(socket.gaierror):
        await getnameinfo(("no.number", 80))


@pytest.mark.parametrize(
    ("address", "error"),
    [
        (None, TypeError),
        (HOST, TypeError),
        ((HOST,), TypeError),
        ([HOST, 80], TypeError),
        ((HOST, 80, 0, 0, 0), TypeError),
        ((None, 80), TypeError),
        ((HOST, "80"), TypeError),
        ((HOST, -1), ValueError),
        ((HOST, 10**10), ValueError),
    ],
    ids=repr,
)
async def test_a_bad_address_is_refused(address: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await getnameinfo(address)


# -- cancelling ----------------------------------------------------------------------------


async def test_a_pending_cancellation_is_raised() -> None:
    for call in (
        lambda: getaddrinfo(HOST, 80),
        lambda: getaddrinfo("localhost", 80),
        lambda: getnameinfo((HOST, 80)),
    ):
        with penstock.CancelScope() as scope:
            scope.cancel()
            await call()
        assert scope.cancelled_caught


@pytest.mark.parametrize("name", ["getaddrinfo", "getnameinfo"])
async def test_a_cancelled_look_up_is_left_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name service here has no answer until the test is over."""
    asked, answer, over = threading.Event(), threading.Event(), threading.Event()

    def slow(*args: Any) -> Any:
        if args[-1] & socket.AI_NUMERICHOST and name == "getaddrinfo":
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        asked.set()
        answer.wait(30)
        over.set()
        raise socket.gaierror(socket.EAI_NONAME, "too late")

    monkeypatch.setattr(socket, name, slow)
    try:
        async with penstock.create_task_group() as tg:
            if name == "getaddrinfo":
                tg.start_soon(getaddrinfo, "slow.test", 80)
            else:
                tg.start_soon(getnameinfo, (HOST, 80))
            while not asked.is_set():
                await checkpoint()
            tg.cancel_scope.cancel()
        assert not over.is_set()
    finally:
        answer.set()
        assert over.wait(30)


def test_outside_an_event_loop_it_says_so() -> None:
    for coroutine in (getaddrinfo(HOST, 80), getnameinfo((HOST, 80))):
        with pytest.raises(penstock.NoEventLoopError):
            coroutine.send(None)
