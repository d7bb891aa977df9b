"""Every way to cancel an operation, for programs of tasks that are cancelled anywhere."""

import asyncio

import trio

from penstock import CancelScope, create_task_group


class Sibling(Exception):
    """What a task of a group raises in order to bring the group down."""


class Cancellable:
    """One operation at a time, which :meth:`cancel` cancels in the way that it was run."""

    def __init__(self):
        self._cancel = None

    @property
    def running(self):
        return self._cancel is not None

    def cancel(self):
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    async def run(self, way, func):
        """Await ``func()``, and say whether it came to its end: it may have been cancelled."""
        try:
            return await WAYS[way](self, func)
        finally:
            self._cancel = None

    async def _by_scope(self, func):
        with CancelScope() as scope:
            self._cancel = scope.cancel
            await func()
        return not scope.cancelled_caught

    async def _by_group(self, func):
        ended = False

        async def child():
            nonlocal ended
            await func()
            ended = True

        async with create_task_group() as tg:
            self._cancel = tg.cancel_scope.cancel
            tg.start_soon(child)
        return ended

    async def _by_sibling(self, func):
        ended = False

        async def fail():
            raise Sibling

        async def child():
            nonlocal ended
            await func()
            ended = True
            self._cancel = None

        try:
            async with create_task_group() as tg:
                self._cancel = lambda: tg.start_soon(fail)
                tg.start_soon(child)
        except* Sibling:
            pass
        return ended

    async def _by_task(self, func):
        task = asyncio.current_task()
        self._cancel = task.cancel
        try:
            await func()
        except asyncio.CancelledError:
            task.uncancel()
            return False
        return True

    async def _by_timeout(self, func):
        try:
            async with asyncio.timeout(None) as timeout:
                self._cancel = lambda: timeout.reschedule(0)
                await func()
        except TimeoutError:
            return False
        return True

    async def _by_wait_for(self, func):
        # Its own time-out, where the clock of the loop can be put forward; else from outside.
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if isinstance(loop, asyncio.BaseEventLoop):
            self._cancel = lambda: put_forward(loop, 1_000)
        else:
            self._cancel = task.cancel
        try:
            await asyncio.wait_for(func(), 1_000)
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            task.uncancel()
            return False
        return True

    async def _by_asyncio_group(self, func):
        ended = False

        async def fail():
            raise Sibling

        async def child():
            nonlocal ended
            await func()
            ended = True
            self._cancel = None

        try:
            async with asyncio.TaskGroup() as tg:
                self._cancel = lambda: tg.create_task(fail())
                tg.create_task(child())
        except* Sibling:
            pass
        return ended

    async def _by_trio_scope(self, func):
        with trio.CancelScope() as scope:
            self._cancel = scope.cancel
            await func()
        return not scope.cancelled_caught


def put_forward(loop, seconds):
    read = loop.time
    loop.time = lambda: read() + seconds


WAYS = {
    "scope": Cancellable._by_scope,
    "group": Cancellable._by_group,
    "sibling": Cancellable._by_sibling,
    "task.cancel": Cancellable._by_task,
    "timeout": Cancellable._by_timeout,
    "wait_for": Cancellable._by_wait_for,
    "asyncio group": Cancellable._by_asyncio_group,
    "trio scope": Cancellable._by_trio_scope,
}
#: Ways that may reach a task which has been woken already.
NATIVE = ("task.cancel", "timeout", "wait_for", "asyncio group")
SCOPED = ("scope", "group", "sibling")


def ways(backend_name):
    """Return the names of the ways to cancel there are on a backend."""
    return (*SCOPED, *NATIVE) if backend_name == "asyncio" else (*SCOPED, "trio scope")
