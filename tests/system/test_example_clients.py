"""The clients of examples/ against the servers that they are for: redis-server and nginx."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import trustme
from system_programs import (
    EXAMPLES,
    SECONDS,
    free_port,
    nginx_on_port,
    output_of,
    redis_server,
)

import penstock
from penstock import ClosedResourceError, wait_all_tasks_blocked

sys.path.append(str(EXAMPLES))
from http_client import PenstockTransport
from redis_client import ProtocolError, Redis, RedisError

Program = Callable[[str], str]

PAGE = b"".join(b"line %d\n" % number for number in range(20_000))
BACKENDS = ("asyncio", "uvloop", "trio")


def said_by(example: str, *arguments: str) -> list[str]:
    command = (sys.executable, str(EXAMPLES / example), *arguments)
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().splitlines()


# -- redis_client.py -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.mark.parametrize("name", BACKENDS)
def test_the_redis_client_says_what_it_promises(redis_port: int, name: str) -> None:
    assert said_by("redis_client.py", "--port", str(redis_port), "--backend", name) == [
        "OK b'hello'",
        "None",
        "refused: ERR value is not an integer or out of range",
        "1000 replies to one pipeline",
        "[b'9', None, b'998001']",
        "('news', b'rain')",
    ]


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (("PING",), "PONG"),
        (("ECHO", b"a\r\nb\x00$3\r\n"), b"a\r\nb\x00$3\r\n"),
        (("ECHO", ""), b""),
        (("EVAL", "return -42", 0), -42),
        (("GET", "no such key"), None),
        (("BLPOP", "no such list", 0.01), None),  # an array that is nil
        (("LRANGE", "no such list", 0, -1), []),
        (("EVAL", "return {1, {2, 'x', false, {}}, 'y'}", 0), [1, [2, b"x", None, []], b"y"]),
    ],
    ids=["simple", "bulk", "empty", "integer", "nil", "nil array", "empty array", "arrays"],
)
async def test_redis_replies(redis_port: int, command: Any, reply: Any) -> None:
    async with await Redis.connect(port=redis_port) as redis:
        assert await redis.execute(*command) == reply


async def test_errors_of_redis_are_raised_and_harm_nobody(redis_port: int) -> None:
    async with await Redis.connect(port=redis_port) as redis:
        with pytest.raises(RedisError, match=r"^ERR unknown command"):
            await redis.execute("NONSENSE")
        first, second, third = await redis.pipeline(("ECHO", "a"), ("NONSENSE",), ("ECHO", "b"))
        assert (first, third) == (b"a", b"b")
        assert isinstance(second, RedisError)


async def test_a_pipeline_of_many_commands_is_answered_in_order(redis_port: int) -> None:
    async with await Redis.connect(port=redis_port) as redis:
        replies = await redis.pipeline(*[("ECHO", n) for n in range(5000)])
        assert replies == [b"%d" % n for n in range(5000)]


async def test_large_values_come_back(redis_port: int) -> None:
    value = os.urandom(1 << 20) * 4
    async with await Redis.connect(port=redis_port) as redis:
        assert await redis.pipeline(("SET", "large", value), ("GET", "large")) == ["OK", value]


async def test_tasks_share_a_connection_to_redis(redis_port: int) -> None:
    async def ask(number: int) -> None:
        for count in range(20):
            assert await redis.execute("ECHO", f"{number} {count}") == b"%d %d" % (number, count)

    async with await Redis.connect(port=redis_port) as redis:
        async with penstock.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(ask, number)


async def test_a_cancelled_command_leaves_no_connection_to_misread(redis_port: int) -> None:
    async with await Redis.connect(port=redis_port) as redis:
        async with penstock.create_task_group() as tasks:
            tasks.start_soon(redis.execute, "BLPOP", "no such list", 0)
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        with pytest.raises(ClosedResourceError):
            await redis.execute("PING")


async def test_what_redis_cli_publishes_is_received(program: Program, redis_port: int) -> None:
    cli = (program("redis-cli"), "-p", str(redis_port), "PUBLISH")
    async with await Redis.connect(port=redis_port) as redis:
        await redis.subscribe("news", "sport")
        assert await output_of(*cli, "news", "rain") == b"1\n"
        assert await output_of(*cli, "sport", "one goal") == b"1\n"
        assert await redis.receive_message() == ("news", b"rain")
        assert await redis.receive_message() == ("sport", b"one goal")


async def test_what_is_no_redis_is_found_out(web: Web) -> None:
    async with await Redis.connect(port=web.port) as redis:
        with pytest.raises(ProtocolError, match=r"HTTP/1\.1 400"):
            await redis.execute("PING")


# -- http_client.py ------------------------------------------------------------------------


@dataclass(frozen=True)
class Web:
    """An nginx, and all the ways to ask it for the file ``page``."""

    port: int
    tls_port: int
    path: str
    cacert: str

    def transport(self, **options: Any) -> PenstockTransport:
        return PenstockTransport(
            ssl_context=ssl.create_default_context(cafile=self.cacert), **options
        )


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    directory = tmp_path_factory.mktemp("nginx")
    (directory / "files").mkdir()
    (directory / "files" / "page").write_bytes(PAGE)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        directory / "server.pem"
    )
    tls_port, path = free_port(), str(directory / "socket")
    listen = (
        f"listen 127.0.0.1:{tls_port} ssl; listen unix:{path};"
        f"ssl_certificate {directory}/server.pem; ssl_certificate_key {directory}/server.pem;"
    )
    with nginx_on_port(directory, listen) as port:
        yield Web(port, tls_port, path, str(directory / "ca.pem"))


@pytest.mark.parametrize("way", ["TCP", "TLS", "UNIX"])
async def test_httpx_asks_nginx(web: Web, way: str) -> None:
    origin = {
        "TCP": f"http://localhost:{web.port}",
        "TLS": f"https://localhost:{web.tls_port}",
        "UNIX": "http://localhost",
    }[way]
    transport = web.transport(max_connections=3, uds=web.path if way == "UNIX" else None)
    async with httpx.AsyncClient(transport=transport, base_url=origin) as client:

        async def get() -> None:
            response = await client.get("/page")
            assert (response.status_code, response.content) == (200, PAGE)

        async with penstock.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(get)
        assert 1 <= len(transport.pool.connections) <= 3
        assert (await client.get("/nothing")).status_code == 404
        assert (await client.post("/page", content=PAGE)).status_code == 405


async def test_errors_are_those_of_httpx(web: Web) -> None:
    async with httpx.AsyncClient(transport=web.transport()) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://localhost:{free_port()}/page")
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            await client.get(f"https://127.0.0.1:{web.tls_port}/page")


@pytest.mark.parametrize("name", BACKENDS)
def test_the_http_client_says_what_it_promises(web: Web, name: str) -> None:
    urls = [f"https://localhost:{web.tls_port}/page", f"http://localhost:{web.port}/nothing"]
    said = said_by("http_client.py", "--backend", name, "--cacert", web.cacert, *urls)
    assert len(said) == 2
    assert f"{urls[0]}: 200 OK, {len(PAGE)} bytes" in said
    assert any(line.startswith(f"{urls[1]}: 404 Not Found, ") for line in said)
