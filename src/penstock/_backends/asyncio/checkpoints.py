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
    # I1  until end(), _note_look is among the lookouts; until _looked, _handle is due
    __slots__ = ("_handle", "_looked", "_outside", "_state", "_states", "_task", "_yielded")

    def __init__(self, states: TaskStates) -> None:
        task = current_task(states.loop)
        if task is None:
            raise RuntimeError("this is to be called in a task")
        self._task = task
        self._states = states
        self._state = states.make(task)
        self._outside = self._state.scope
        self._yielded = self._looked = False
        states.lookouts.append(self._note_look)
        self._handle = states.loop.call_soon(self._turn)

    def _note_look(self) -> None:
        if current_task(self._states.loop) is self._task:
            self._looked = True

    def _turn(self) -> None:
        self._yielded = True
        if not self._shielded():
            self._looked = True  # any wait of asyncio's can be cancelled
        if not self._looked:  # perhaps the next one is outside the shield
            self._handle = self._states.loop.call_soon(self._turn)

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
        self._states.lookouts.remove(self._note_look)
        return self._yielded, self._looked
