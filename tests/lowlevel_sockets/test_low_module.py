"""The names of the module."""

import socket as stdlib
import subprocess
import sys

import pytest
from low_peers import every_descriptor_is_closed  # noqa: F401

import penstock
from penstock import socket

LEFT_OUT = (
    "create_connection",
    "create_server",
    "getdefaulttimeout",
    "getfqdn",
    "gethostbyaddr",
    "gethostbyname",
    "gethostbyname_ex",
    "getservbyname",
    "getservbyport",
    "recv_fds",
    "send_fds",
    "setdefaulttimeout",
)
OURS = (
    "SocketType",
    "fromfd",
    "getaddrinfo",
    "getnameinfo",
    "getprotobyname",
    "socket",
    "socketpair",
)


@pytest.mark.parametrize("name", [name for name in stdlib.__all__ if name.isupper()])
def test_every_constant_is_the_standard_library_s(name):
    assert getattr(socket, name) is getattr(stdlib, name)


def test_what_is_not_ours_and_not_left_out_is_the_standard_library_s():
    names = set(stdlib.__all__) - {*LEFT_OUT, *OURS}
    assert {"inet_pton", "htons", "if_nameindex", "CMSG_LEN", "has_ipv6", "gaierror"} <= names
    for name in names:
        assert getattr(socket, name) is getattr(stdlib, name)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_obsolete_and_blocking_functions_are_left_out(name):
    assert hasattr(stdlib, name)
    assert not hasattr(socket, name)
    assert name not in socket.__all__


@pytest.mark.parametrize("name", ["sys", "TYPE_CHECKING", "stdlib", "AF_NONSENSE"])
def test_names_of_the_implementation_are_not_there(name):
    assert not hasattr(socket, name)


def test_all_and_dir_agree_and_hold_what_is_ours():
    assert dir(socket) == sorted(socket.__all__)
    assert {"from_stdlib_socket", "is_async_socket", *OURS} <= set(socket.__all__)
    assert len(set(socket.__all__)) == len(socket.__all__)
    assert all(hasattr(socket, name) for name in socket.__all__)


def test_star_import_brings_every_name():
    namespace = {}
    exec("from penstock.socket import *", namespace)
    assert namespace.keys() - {"__builtins__"} == set(socket.__all__)


def test_windows_has_no_so_reuseaddr_and_has_fromshare():
    program = """if True:
        import socket, ssl  # which looks at the platform, too
        socket.SO_EXCLUSIVEADDRUSE = socket.SO_REUSEADDR
        socket.fromshare = lambda info: socket.socket()
        socket.__all__ += ["SO_EXCLUSIVEADDRUSE", "fromshare"]
        import sys
        sys.platform = "win32"
        from penstock import socket as ours
        assert "SO_REUSEADDR" not in ours.__all__
        assert not hasattr(ours, "SO_REUSEADDR")
        assert {"fromshare", "SO_EXCLUSIVEADDRUSE"} <= set(ours.__all__)
        with ours.socket() as sock:
            assert sock.getsockopt(ours.SOL_SOCKET, ours.SO_EXCLUSIVEADDRUSE)
            assert hasattr(sock, "share")
            assert not hasattr(sock, "recvmsg")
        with ours.fromshare(b"") as sock:
            assert ours.is_async_socket(sock)
    """
    subprocess.run([sys.executable, "-c", program], check=True)


def test_socket_module_is_there_after_a_plain_import():
    assert penstock.socket is socket


@pytest.mark.parametrize(
    "name",
    [
        "setblocking", "settimeout", "gettimeout", "getblocking", "timeout", "makefile",
        "sendfile", "connect_ex", "is_readable", "wait_writable", "aclose",
    ],
)  # fmt: skip
def test_what_makes_no_sense_on_these_sockets_is_left_out(name):
    with socket.socket() as sock:
        assert not hasattr(sock, name)
        with pytest.raises(AttributeError):
            setattr(sock, name, None)
