"""Whether a task of asyncio yields, and could be cancelled, while somebody looks.

Lives here: what the assertions of ``penstock.testing`` ask of asyncio, and nothing that runs
without them.
"""

from __future__ import annotations

from asyncio import current_task

from penstock._backends.asyncio.states import TaskStates

__all__ = ("CheckpointWatch",)


class CheckpointWatch:
    """What the current task does from now on, until :meth:`end`.

    Args:
        states: The tasks of its event loop.
    """

    # The callback is due in the next turn of the loop, before the task can be resumed: so it
    # runs if, and only if, the task has yielded.
    #
    # I1  while _looked is unset, _handle is due
    __slots__ = ("_handle", "_looked", "_looks", "_outside", "_state", "_states", "_yielded")

    def __init__(self, states: TaskStates) -> None:
        task = current_task(states.loop)
        if task is None:
            raise RuntimeError("this is to be called in a task")
        self._states = states
        self._state = states.make(task)
        self._outside = self._state.scope
        self._looks = states.looks
        self._yielded = self._looked = False
        self._handle = states.loop.call_soon(self._turn)

    def _turn(self) -> None:
        if not self._yielded:
            self._yielded = True
            self._note_looks()
        if not (self._looked or self._shielded()):
            self._looked = True  # any wait of asyncio's can be cancelled
        if not self._looked:  # perhaps the next yield is outside the shield
            self._handle = self._states.loop.call_soon(self._turn)

    def _note_looks(self) -> None:
        # Until it yields, nobody but this task can have looked.
        self._looked = self._looked or self._states.looks != self._looks

    def _shielded(self) -> bool:
        scope = self._state.scope
        while scope is not None and scope is not self._outside:
            if scope.shield:
                return True
            scope = scope._parent
        return False

    def end(self) -> tuple[bool, bool]:
        """Stop watching, and return whether the task has yielded, and looked for cancellations."""
        self._handle.cancel()
        if not self._yielded:
            self._note_looks()
        return self._yielded, self._looked
