import socket

import penstock
from penstock.abc import SocketStream
from penstock.testing import check_byte_stream, check_half_close


async def maker() -> tuple[SocketStream, SocketStream]:
    near, far = socket.socketpair()
    return await SocketStream.from_socket(near), await SocketStream.from_socket(far)


async def main() -> None:
    await check_byte_stream(maker)  # raises AssertionError if something is wrong
    await check_half_close(maker)
    print("a byte stream")


if __name__ == "__main__":
    penstock.run(main)
