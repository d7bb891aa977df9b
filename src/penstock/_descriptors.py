"""Waiting for sockets and descriptors that a program brings and reads or writes by itself.

The event loop watches them, level-triggered: the poller of ``_readiness`` would have to be told
whenever they are read empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock._backends import current_backend
from penstock._exceptions import ClosedResourceError

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

__all__ = ("notify_closing", "wait_readable", "wait_writable")


async def wait_readable(obj: FileDescriptorLike) -> None:
    """Wait until there is something to read, or to accept, or the end of it.

    Not for a socket that a stream or listener has been made of.  If cancelled, stop waiting.

    Args:
        obj: A descriptor, or an object with a ``fileno()`` method; whatever epoll(7), or what
            the event loop uses instead, can watch.

    Raises:
        BusyResourceError: Another task waits for the same.
        ClosedResourceError: :func:`notify_closing` was called meanwhile, or ``obj`` is closed.
        OSError: The system cannot watch it.
        TypeError: ``obj`` is neither.
        ValueError: The descriptor is negative.
    """
    await current_backend().wait_ready(_descriptor_of(obj), False)


async def wait_writable(obj: FileDescriptorLike) -> None:
    """Wait until there is room to write, or an error to be told.

    Otherwise as :func:`wait_readable`, with the same errors.  If cancelled, stop waiting.

    Args:
        obj: A descriptor, or an object with a ``fileno()`` method.
    """
    await current_backend().wait_ready(_descriptor_of(obj), True)


def notify_closing(obj: FileDescriptorLike) -> None:
    """Raise ClosedResourceError in the tasks that wait for ``obj``, which is about to be closed.

    The caller closes it, and sees to it that no task begins to wait for it before that.

    Args:
        obj: What was given to :func:`wait_readable` or :func:`wait_writable`.
    """
    current_backend().notify_closing(_descriptor_of(obj))


def _descriptor_of(obj: FileDescriptorLike) -> int:
    if isinstance(obj, int):
        if obj < 0:
            raise ValueError(f"a descriptor cannot be negative: {obj}")
        return obj
    fileno = getattr(obj, "fileno", None)
    fd = None if fileno is None else fileno()
    if not isinstance(fd, int):
        raise TypeError(f"expected a descriptor or an object that has one, not {obj!r}")
    if fd < 0:  # what a closed socket says
        raise ClosedResourceError
    return fd
