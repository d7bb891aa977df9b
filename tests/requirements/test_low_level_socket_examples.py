"""The examples of requirement 003 about sockets do what it says.

The files in ``examples/`` are copied from it.  ``trio`` is replaced by ``penstock``, the quoting
of the host that the original forgot is mended, and what belongs into a task is awaited there.
"""

from pathlib import Path

import pytest

import penstock
from penstock import socket

EXAMPLES = Path(__file__).parent / "examples"


def read(name):
    source = (EXAMPLES / f"{name}.txt").read_text(encoding="utf-8")
    return source.replace("trio.", "penstock.").replace("(127.0.0.1,", "('127.0.0.1',")


async def run(source, **names):
    """Run the lines of an example as the body of a coroutine function."""
    body = "".join(f"    {line}\n" for line in source.splitlines())
    namespace = {"penstock": penstock, **vars(socket), **names}
    exec(f"async def example():\n{body}    return locals()", namespace)
    return await namespace["example"]()


async def test_service_name_of_a_port():
    source = read("003-service-name").replace("NI_NUMERICHOST))", "NI_NUMERICHOST)")
    assert (await run(source, port=80))["service_name"] == "http"


async def test_port_of_a_service_name():
    await run(read("003-service-port"), service_name="http")
    assert {info[4][1] for info in await socket.getaddrinfo(None, "http")} == {80}


async def test_numeric_addresses_are_fine():
    (bind, connect) = read("003-numeric-addresses").replace("# OK\n", "").splitlines()
    with socket.socket() as sock:
        try:
            await run(bind, sock=sock)
        except PermissionError:  # a port for the superuser
            pass
        assert sock.getsockname()[1] in (0, 80)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        try:
            await run(f"await {connect}", sock=sock)
        except OSError as exc:  # no IPv6 beyond this machine
            assert "2607:f8b0:4000:80f::200e" in str(exc)


async def test_host_names_are_forbidden():
    (bind, connect) = read("003-host-names").replace("# Might block!\n", "").splitlines()
    with socket.socket() as sock:
        for line in (bind, f"await {connect}"):
            with pytest.raises(ValueError, match="expected a numeric address"):
                await run(line, sock=sock)


async def test_addresses_can_be_used_again_by_default():
    with socket.socket() as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        await run(read("003-no-reuseaddr"), sock=sock)
        assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


async def test_ipv6_is_not_alone_by_default():
    with (await run(read("003-ipv6-only")))["sock"] as sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
