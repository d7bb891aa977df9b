"""Every public exception of penstock, with AnyIO's names and texts.

Lives here: exception classes and nothing else.  This module imports next to nothing, so that
kernels, backends and facades may all import it.  Each says how AnyIO and Trio call it: where they
are loaded, what is raised is caught by their names as well.

``Closed...`` means that we closed it, ``Broken...`` that the outside did, ``Busy...`` that two
tasks used one direction at the same time.
"""

from __future__ import annotations

from typing import Any

from penstock._kin import Kindred

__all__ = (
    "BrokenResourceError",
    "BusyResourceError",
    "ClosedResourceError",
    "ConnectionFailed",
    "DelimiterNotFound",
    "EndOfStream",
    "FrameTooLarge",
    "IncompleteRead",
    "NoEventLoopError",
    "TaskCancelled",
    "TaskFailed",
    "TaskNotFinished",
    "TypedAttributeLookupError",
    "WouldBlock",
)


class BrokenResourceError(
    Kindred, Exception, anyio="BrokenResourceError", trio="BrokenResourceError"
):
    """The resource was made unusable from outside, by the peer or by the system.

    Where the system said why, its ``OSError`` is the ``__cause__``.
    """


class BusyResourceError(Kindred, Exception, anyio="BusyResourceError", trio="BusyResourceError"):
    """Another task is already using the resource in this direction.

    Args:
        action: What the other task does, as in ``"reading from"``.
    """

    def __init__(self, action: str) -> None:
        # Not super(): that may be AnyIO's, which would put the text together again.
        Exception.__init__(self, f"Another task is already {action} this resource")
        self.action = action

    def __reduce__(self) -> tuple[Any, ...]:
        return self._public_class(), (self.action,), vars(self)


class ClosedResourceError(
    Kindred, Exception, anyio="ClosedResourceError", trio="ClosedResourceError"
):
    """The resource was closed on this side, before or during the call."""


class ConnectionFailed(Kindred, OSError, anyio="ConnectionFailed"):
    """A connectable could not connect; the ``__cause__`` says why."""


class DelimiterNotFound(Kindred, Exception, anyio="DelimiterNotFound"):
    """More than ``max_bytes`` bytes came without the delimiter; they stay buffered.

    Args:
        max_bytes: The limit of the call that failed, in bytes.
    """

    def __init__(self, max_bytes: int) -> None:
        Exception.__init__(self, f"The delimiter was not found among the first {max_bytes} bytes")
        self.max_bytes = max_bytes

    def __reduce__(self) -> tuple[Any, ...]:
        return self._public_class(), (self.max_bytes,), vars(self)


class EndOfStream(Kindred, Exception, anyio="EndOfStream", trio="EndOfChannel"):
    """The peer has sent everything that it will ever send."""


class FrameTooLarge(Exception):
    """A frame has more than ``max_frame_size`` bytes; what came of it stays buffered.

    Args:
        max_frame_size: The limit of the stream, in bytes.
        size: What the frame's prefix announced; None: it has none.
    """

    def __init__(self, max_frame_size: int, size: int | None = None) -> None:
        announced = "The frame" if size is None else f"The frame of {size} bytes"
        super().__init__(f"{announced} is larger than {max_frame_size} bytes")
        self.max_frame_size = max_frame_size
        self.size = size

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.max_frame_size, self.size), vars(self)


class IncompleteRead(Kindred, Exception, anyio="IncompleteRead"):
    """The stream ended before the request was complete; the bytes that came stay buffered."""

    def __init__(self) -> None:
        Exception.__init__(
            self, "The stream was closed before the read operation could be completed"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return self._public_class(), (), vars(self)


class NoEventLoopError(Kindred, RuntimeError, anyio="NoEventLoopError"):
    """The call needs a running event loop and there is none in this thread."""


class TaskFailed(Kindred, Exception, anyio="TaskFailed"):
    """The task that a handle stands for has no return value: the ``__cause__`` ended it."""


class TaskCancelled(TaskFailed, anyio="TaskCancelled"):
    """The task that a handle stands for was cancelled."""


class TaskNotFinished(Kindred, Exception, anyio="TaskNotFinished"):
    """The task that a handle stands for has not ended, so that its outcome is open."""


class TypedAttributeLookupError(Kindred, LookupError, anyio="TypedAttributeLookupError"):
    """The object does not have the typed attribute, and no default was given."""


class WouldBlock(Kindred, Exception, anyio="WouldBlock", trio="WouldBlock"):
    """A ``_nowait`` call could not be completed at once."""
