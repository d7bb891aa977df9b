"""Addresses: numeric ones only, and names made numeric."""

import socket as stdlib
import threading

import pytest
from low_peers import HOST, every_descriptor_is_closed  # noqa: F401

import penstock
from penstock import socket
from penstock.lowlevel import checkpoint

NAMES = ["localhost", b"localhost", bytearray(b"localhost"), "example.org", "no such host", "::g"]


def no_look_up(*args, **kwargs):
    raise AssertionError("a hidden look-up")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("host", NAMES)
async def test_host_name_is_a_value_error_and_never_looked_up(family, host):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        for call in (sock.connect, lambda address: sock.sendto(b"x", address)):
            with pytest.raises(ValueError, match="expected a numeric address, not") as caught:
                await call((host, 80))
            assert repr(host) in str(caught.value)
        with pytest.raises(ValueError, match="expected a numeric address, not"):
            await sock.sendmsg([b"x"], [], 0, (host, 80))
        with pytest.raises(ValueError, match="expected a numeric address, not"):
            sock.bind((host, 80))
        assert sock.fileno() >= 0


@pytest.mark.parametrize("host", ["127.0.0.1", b"127.0.0.1", "127.1", "0x7f.1", ""])
def test_whatever_is_numeric_can_be_bound_to(host):
    with socket.socket() as sock:
        sock.bind((host, 0))
        assert sock.getsockname()[0] == ("127.0.0.1" if host else "0.0.0.0")


def test_ipv6_address_with_a_scope_is_numeric():
    with socket.socket(socket.AF_INET6) as sock:
        with pytest.raises(OSError, match=r"Cannot assign|Invalid argument"):
            sock.bind(("fe80::1%lo", 0))


async def test_broadcast_is_numeric():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(PermissionError):  # for want of SO_BROADCAST
            await sock.sendto(b"x", ("<broadcast>", 9))


def test_address_of_the_other_family_gets_the_standard_library_s_error():
    with socket.socket(socket.AF_INET6) as sock:
        with pytest.raises(socket.gaierror):
            sock.bind((HOST, 0))


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET, (HOST,)),
        (socket.AF_INET, (HOST, 80, 0)),
        (socket.AF_INET, (HOST, "80")),
        (socket.AF_INET, (HOST, 65536)),
        (socket.AF_INET, (None, 80)),
        (socket.AF_INET, (1, 80)),
        (socket.AF_INET, ()),
        (socket.AF_INET, None),
        (socket.AF_INET6, ("::1", 80, 0, 0, 0)),
        (socket.AF_INET6, ("::1", 80, -1)),
        (socket.AF_UNIX, 80),
        (socket.AF_UNIX, "x" * 200),
        (socket.AF_UNIX, "a\0b" * 100),
    ],
)
async def test_what_is_no_address_gets_the_standard_library_s_error(family, address):
    with stdlib.socket(family) as theirs, socket.socket(family) as ours:
        with pytest.raises(Exception) as expected:  # noqa: PT011  of whatever type
            theirs.bind(address)
        with pytest.raises(type(expected.value)):
            ours.bind(address)
        with pytest.raises(type(expected.value)):
            await ours.connect(address)
        assert ours.fileno() >= 0


async def test_unix_path_may_be_path_like(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as sock:
        listening.bind(tmp_path / "sock")
        listening.listen()
        await sock.connect(tmp_path / "sock")
        assert sock.getpeername() == str(tmp_path / "sock")


async def test_local_host_of_none_is_every_interface():
    for host in (None, "", b""):
        with socket.socket() as sock:
            assert await sock.resolve_local_address((host, 80)) == ("0.0.0.0", 80)
        with socket.socket(socket.AF_INET6) as sock:
            assert await sock.resolve_local_address((host, 80)) == ("::", 80, 0, 0)


async def test_remote_host_of_none_is_this_machine():
    for host in (None, "", b""):
        with socket.socket() as sock:
            assert await sock.resolve_remote_address((host, 80)) == ("127.0.0.1", 80)
        with socket.socket(socket.AF_INET6) as sock:
            assert await sock.resolve_remote_address((host, 80)) == ("::1", 80, 0, 0)


async def test_names_of_hosts_and_services_are_resolved():
    with socket.socket() as sock:
        assert await sock.resolve_remote_address(("localhost", "http")) == ("127.0.0.1", 80)
        assert await sock.resolve_local_address(("localhost", "http")) == ("127.0.0.1", 80)
        assert await sock.resolve_remote_address(("<broadcast>", 9)) == ("255.255.255.255", 9)


async def test_what_is_numeric_stays_as_it_is():
    with socket.socket() as sock:
        assert await sock.resolve_remote_address((HOST, 80)) == (HOST, 80)
    with socket.socket(socket.AF_INET6) as sock:
        for address in (("::1", 80, 3, 0), ("fe80::1", 80, 7, 1)):
            assert await sock.resolve_remote_address(address) == address
        assert await sock.resolve_remote_address(("::1", 80, 5)) == ("::1", 80, 5, 0)
        scope = socket.if_nametoindex("lo")
        assert await sock.resolve_local_address(("fe80::1%lo", 80)) == ("fe80::1", 80, 0, scope)


async def test_ipv4_address_is_mapped_only_while_ipv6_is_not_alone():
    with socket.socket(socket.AF_INET6) as sock:
        mapped = await sock.resolve_remote_address((HOST, 80))
        assert mapped == ("::ffff:127.0.0.1", 80, 0, 0)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
        with pytest.raises(socket.gaierror):
            await sock.resolve_remote_address((HOST, 80))


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, (HOST,)),
        (socket.AF_INET, (HOST, 80, 0)),
        (socket.AF_INET, HOST),
        (socket.AF_INET, [HOST, 80]),
        (socket.AF_INET6, ("::1",)),
        (socket.AF_INET6, ("::1", 80, 0, 0, 0)),
    ],
)
async def test_address_of_the_wrong_shape_is_not_resolved(family, address):
    with socket.socket(family) as sock:
        for resolve in (sock.resolve_local_address, sock.resolve_remote_address):
            with pytest.raises(ValueError, match="address should be a") as caught:
                await resolve(address)
            assert repr(address) in str(caught.value)


async def test_addresses_of_other_families_stay_as_they_are(tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        for resolve in (sock.resolve_local_address, sock.resolve_remote_address):
            assert await resolve("\0abstract") == "\0abstract"
            assert await resolve(tmp_path) == str(tmp_path)


async def test_rare_protocols_are_resolved_too():
    with socket.socket(proto=socket.IPPROTO_MPTCP) as sock:
        assert await sock.resolve_remote_address(("localhost", 80)) == ("127.0.0.1", 80)


async def test_closed_socket_resolves_nothing():
    sock = socket.socket()
    sock.close()
    for resolve in (sock.resolve_local_address, sock.resolve_remote_address):
        with pytest.raises(penstock.ClosedResourceError):
            await resolve((HOST, 80))


async def test_getaddrinfo_says_what_the_standard_library_says():
    for arguments in (
        ("127.0.0.1", 80),
        ("::1", "80", 0, socket.SOCK_STREAM),
        (None, 80, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE),
        ("localhost", "http", socket.AF_INET, socket.SOCK_STREAM),
        (b"localhost", b"http", socket.AF_INET),
        (None, "http"),
    ):
        assert await socket.getaddrinfo(*arguments) == stdlib.getaddrinfo(*arguments)
    by_keyword = await socket.getaddrinfo(
        host=HOST, port=1, family=0, type=socket.SOCK_DGRAM, proto=17, flags=0
    )
    assert by_keyword == stdlib.getaddrinfo(HOST, 1, type=socket.SOCK_DGRAM, proto=17)


async def test_numeric_addresses_need_no_thread(monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", no_look_up)
    assert await socket.getaddrinfo(HOST, 80)
    assert await socket.getaddrinfo("\uff11\uff12\uff17.0.0.1", 80, type=socket.SOCK_STREAM)


async def test_names_are_encoded_by_idna_2008(monkeypatch):
    asked = []

    def getaddrinfo(host, *args):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(stdlib, "getaddrinfo", getaddrinfo)
    with pytest.raises(socket.gaierror, match="fa\xdf"):
        await socket.getaddrinfo("Fa\xdf.de".lower(), 80)
    assert set(asked) == {b"xn--fa-hia.de"}  # IDNA 2003 makes it "fass.de", another's


@pytest.mark.parametrize("host", ["a\0b", b"a\0b", "\ud800", "a" * 64 + "\xdf.de"])
async def test_what_no_name_may_have_is_refused(host):
    with pytest.raises(ValueError):  # noqa: PT011  of several libraries
        await socket.getaddrinfo(host, 80)


@pytest.mark.parametrize("host", [1, 1.5, object()])
async def test_what_is_no_host_is_refused(host):
    with pytest.raises(TypeError, match="host must be a string, bytes or None, not"):
        await socket.getaddrinfo(host, 80)


async def test_unknown_host_is_in_the_message():
    with pytest.raises(socket.gaierror, match="no such host"):
        await socket.getaddrinfo("no such host", 80)


async def test_cancelled_look_up_is_abandoned(monkeypatch):
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    real = stdlib.getaddrinfo

    def slow(*args):
        started.set()
        go_on.wait(30)
        ended.set()

    def names_only(*args):
        return real(*args) if args[-1] & socket.AI_NUMERICHOST else slow()

    monkeypatch.setattr(stdlib, "getaddrinfo", names_only)
    monkeypatch.setattr(stdlib, "getnameinfo", slow)
    monkeypatch.setattr(stdlib, "getprotobyname", slow)
    for look_up, *arguments in (
        (socket.getaddrinfo, "localhost", 80),
        (socket.getnameinfo, (HOST, 80), 0),
        (socket.getprotobyname, "tcp"),
    ):
        for event in (started, go_on, ended):
            event.clear()
        async with penstock.create_task_group() as tg:
            tg.start_soon(look_up, *arguments)
            while not started.is_set():
                await checkpoint()
            tg.cancel_scope.cancel()
        assert not ended.is_set()
        go_on.set()
        assert ended.wait(30)


async def test_getnameinfo_and_getprotobyname_say_what_the_standard_library_says():
    flags = socket.NI_NUMERICHOST
    assert await socket.getnameinfo((HOST, 80), flags) == (HOST, "http")
    assert await socket.getnameinfo(("::1", 80, 0, 0), flags) == ("::1", "http")
    assert await socket.getprotobyname("udp") == socket.IPPROTO_UDP
    with pytest.raises(OSError, match="protocol not found"):
        await socket.getprotobyname("no such protocol")
    with pytest.raises(socket.gaierror):
        await socket.getnameinfo(("localhost", 80), flags)
    with pytest.raises(TypeError):
        await socket.getnameinfo("localhost", flags)
