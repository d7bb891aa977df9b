"""How the peer of a stream comes to see a reset.

Lives here: what is done to a stream of each kind before it is closed.  Where there is no such
thing as a reset, its peer sees what it sees when a stream is closed forcefully.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable

from penstock._resources import aclose_forcefully
from penstock.abc import (
    ByteStream,
    SocketAttribute,
    TypedAttributeProvider,
    TypedAttributeSet,
    typed_attribute,
)
from penstock.streams.stapled import StapledByteStream

__all__ = ("ResetAttribute", "connection_reset", "reset")


class ResetAttribute(TypedAttributeSet):
    """What streams in memory offer to :func:`reset`."""

    #: Have the peer see a reset, behind what it has not received yet.
    reset_peer: Callable[[], None] = typed_attribute()


def connection_reset() -> OSError:
    """Return what a system says of a reset."""
    return OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


async def reset(stream: ByteStream) -> None:
    """Close a stream forcefully; its peer sees a reset, if the kind of the stream has such a thing.

    TCP and the streams in memory of this package have.  A UNIX socket tells its peer of a reset
    if something was sent to it that it has not received, and else of the end.  If cancelled, the
    stream is closed all the same.
    """
    halves: list[TypedAttributeProvider] = [stream]
    if isinstance(stream, StapledByteStream):  # whose attributes are those of one half alone
        halves += [stream.send_stream, stream.receive_stream]
    for half in halves:
        raw_socket = half.extra(SocketAttribute.raw_socket, None)
        if raw_socket is not None:
            linger = struct.pack("ii", 1, 0)
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        reset_peer = half.extra(ResetAttribute.reset_peer, None)
        if reset_peer is not None:
            reset_peer()
    await aclose_forcefully(stream)
