"""httpx over penstock: TCP, TLS and UNIX sockets, on any event loop.

    pip install httpx
    python examples/http_client.py http://127.0.0.1:8080/ http://127.0.0.1:8080/nothing
    python examples/http_client.py https://localhost:8443/ --cacert ca.pem
    python examples/http_client.py http://localhost/ --uds /run/nginx.sock

All URLs are asked for at once, over at most ``--connections`` connections, which are used again.
``--backend uvloop`` and ``--backend trio`` do the same.
"""

import argparse
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

import penstock
from penstock.interop.httpcore import PenstockBackend


@contextmanager
def httpx_errors() -> Iterator[None]:
    """Raise httpx's exception of the same name in place of httpcore's."""
    try:
        yield
    except Exception as exc:
        if not type(exc).__module__.startswith("httpcore"):
            raise
        raise getattr(httpx, type(exc).__name__, httpx.TransportError)(str(exc)) from exc


class Body(httpx.AsyncByteStream):
    """A response's body, which comes while it is read."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with httpx_errors():
            async for data in self.stream:
                yield data

    async def aclose(self) -> None:
        await self.stream.aclose()


class PenstockTransport(httpx.AsyncBaseTransport):
    """A transport of httpx's that connects by penstock.

    Args:
        pool_options: What ``httpcore.AsyncConnectionPool`` takes: ``ssl_context``,
            ``max_connections``, ``uds`` (the path of a UNIX socket), and so on.
    """

    def __init__(self, **pool_options: Any) -> None:
        self.pool = httpcore.AsyncConnectionPool(network_backend=PenstockBackend(), **pool_options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, AsyncIterable)
        url = request.url
        with httpx_errors():
            response = await self.pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=url.raw_scheme,
                        host=url.raw_host,
                        port=url.port,
                        target=url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,  # timeouts, for one
                )
            )
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=Body(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self.pool.aclose()


async def get(client: httpx.AsyncClient, url: str) -> None:
    """Download a page piece by piece; only its size is kept."""
    try:
        async with client.stream("GET", url) as response:
            size = sum([len(data) async for data in response.aiter_bytes()])
    except httpx.TransportError as exc:
        print(f"{url}: {type(exc).__name__}: {exc}")
    else:
        print(f"{url}: {response.status_code} {response.reason_phrase}, {size} bytes")


async def main(urls: list[str], cacert: str | None, uds: str | None, connections: int) -> None:
    transport = PenstockTransport(
        ssl_context=ssl.create_default_context(cafile=cacert),
        uds=uds,
        max_connections=connections,
    )
    client = httpx.AsyncClient(transport=transport, timeout=10)
    async with client, penstock.create_task_group() as tasks:
        for url in urls:
            tasks.start_soon(get, client, url)


BACKENDS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--cacert", help="a file with the certificates to trust")
    parser.add_argument("--uds", help="the path of a UNIX socket to connect to instead")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--backend", choices=BACKENDS, default="asyncio")
    options = parser.parse_args()
    arguments = (options.urls, options.cacert, options.uds, options.connections)
    penstock.run(main, *arguments, **BACKENDS[options.backend])
