"""Whose a stream is: asked before a stream that wraps it closes itself.

A stream of another thread's event loop refuses to be closed.  Whatever wraps it has to know that
beforehand, or it would be closed itself, while the stream below goes on.
"""

from __future__ import annotations

__all__ = ("refuse_other_thread",)


def refuse_other_thread(stream: object) -> None:
    """Raise where ``stream``, or what it wraps, belongs to an event loop in another thread.

    Streams that are not penstock's cannot be asked: nothing is raised.

    Raises:
        RuntimeError: It belongs to one.
    """
    refuse = getattr(stream, "_refuse_other_thread", None)
    if refuse is not None:
        refuse()
