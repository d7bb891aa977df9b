"""Every public exception of penstock, with AnyIO's names and texts.

Lives here: exception classes and nothing else.  This module imports nothing, so that kernels,
backends and facades may all import it.

``Closed...`` means that we closed it, ``Broken...`` that the outside did, ``Busy...`` that two
tasks used one direction at the same time.
"""

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


class BrokenResourceError(Exception):
    """The resource was made unusable from outside, by the peer or by the system.

    Where the system said why, its ``OSError`` is the ``__cause__``.
    """


class BusyResourceError(Exception):
    """Another task is already using the resource in this direction.

    Args:
        action: What the other task does, as in ``"reading from"``.
    """

    def __init__(self, action: str) -> None:
        super().__init__(f"Another task is already {action} this resource")
        self.action = action

    def __reduce__(self) -> tuple[type["BusyResourceError"], tuple[str]]:
        return type(self), (self.action,)


class ClosedResourceError(Exception):
    """The resource was closed on this side, before or during the call."""


class ConnectionFailed(OSError):
    """A connectable could not connect; the ``__cause__`` says why."""


class DelimiterNotFound(Exception):
    """More than ``max_bytes`` bytes came without the delimiter; they stay buffered.

    Args:
        max_bytes: The limit of the call that failed, in bytes.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The delimiter was not found among the first {max_bytes} bytes")
        self.max_bytes = max_bytes

    def __reduce__(self) -> tuple[type["DelimiterNotFound"], tuple[int]]:
        return type(self), (self.max_bytes,)


class EndOfStream(Exception):
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

    def __reduce__(self) -> tuple[type["FrameTooLarge"], tuple[int, int | None]]:
        return type(self), (self.max_frame_size, self.size)


class IncompleteRead(Exception):
    """The stream ended before the request was complete; the bytes that came stay buffered."""

    def __init__(self) -> None:
        super().__init__("The stream was closed before the read operation could be completed")


class NoEventLoopError(RuntimeError):
    """The call needs a running event loop and there is none in this thread."""


class TaskFailed(Exception):
    """The task that a handle stands for has no return value: the ``__cause__`` ended it."""


class TaskCancelled(TaskFailed):
    """The task that a handle stands for was cancelled."""


class TaskNotFinished(Exception):
    """The task that a handle stands for has not ended, so that its outcome is open."""


class TypedAttributeLookupError(LookupError):
    """The object does not have the typed attribute, and no default was given."""


class WouldBlock(Exception):
    """A ``_nowait`` call could not be completed at once."""
