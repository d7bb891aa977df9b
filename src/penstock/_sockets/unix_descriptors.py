"""Descriptors on their way over a UNIX socket: what may be sent, and what has come.

See unix(7), "Ancillary messages", and cmsg(3).
"""

from __future__ import annotations

import os
import socket
import sys
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

__all__ = ("Ancillary", "close_all", "packed", "received_in", "refuse_all", "room_for")

Ancillary: TypeAlias = Sequence[tuple[int, int, Any]]

#: How many descriptors one message carries: SCM_MAX_FD of unix(7).
MOST = 253
#: A descriptor of the process that sent, which comes unasked where SO_PASSPIDFD is set; the
#: number is that of linux/socket.h.
SCM_PIDFD = 4
#: Longest security label that is left room for (SO_PASSSEC).
LABEL_BYTES = 256
#: Whether a socket takes descriptors, from Linux 6.16 on; the number is that of
#: asm-generic/socket.h.
SO_PASSRIGHTS = 83
#: Received descriptors are not inherited by child programs (recvmsg(2)).
CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def packed(fds: Iterable[FileDescriptorLike]) -> Ancillary:
    """Return descriptors as ``sendmsg`` takes them.

    Raises:
        TypeError: One is neither an integer nor has a ``fileno``.
        ValueError: There are none or more than 253, or one is not open.
    """
    numbers = array("i", map(_number_of, fds))
    if not numbers:
        raise ValueError("fds must not be empty")
    if len(numbers) > MOST:
        raise ValueError(f"at most {MOST} descriptors go with one message, not {len(numbers)}")
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)]


def _number_of(fd: FileDescriptorLike) -> int:
    if not isinstance(fd, int) and not hasattr(fd, "fileno"):
        raise TypeError(f"expected a descriptor or an object with fileno(), not {fd!r}")
    try:
        number = fd if isinstance(fd, int) else fd.fileno()
        os.get_inheritable(number)  # asks about the descriptor, not about the file
    except (OSError, OverflowError, ValueError) as exc:
        raise ValueError(f"expected an open descriptor, not {fd!r}") from exc
    return number


def room_for(count: int) -> int:
    """Return how many bytes of ancillary data ``count`` descriptors may come with.

    Other data comes first and would take their room: a time, the sender's credentials and
    security label; so there is some for each.
    """
    others = (16, 12, LABEL_BYTES, array("i").itemsize)
    return sum(map(socket.CMSG_SPACE, others)) + socket.CMSG_LEN(
        min(count, MOST) * array("i").itemsize
    )


def received_in(ancillary: Ancillary) -> list[int]:
    """Return the descriptors that were sent; those that came unasked are closed."""
    fds = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind in (socket.SCM_RIGHTS, SCM_PIDFD):
            whole = array("i", data[: len(data) - len(data) % fds.itemsize])
            if kind == SCM_PIDFD:
                close_all(fd for fd in whole if fd >= 0)
            else:
                fds += whole
    if not CLOEXEC:
        for fd in fds:
            os.set_inheritable(fd, False)
    return fds.tolist()


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors that nobody wants."""
    for fd in fds:
        os.close(fd)


def refuse_all(sock: socket.socket) -> None:
    """Have the system refuse descriptors that are sent to ``sock``, where it can.

    Elsewhere it drops those that nobody receives.  But what is dropped is closed then and there,
    and a socket that lingers makes whoever receives, or closes the queue, wait for it.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # ENOPROTOOPT: an older kernel
            sock.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 0)
