"""Worker threads on asyncio: blocking functions, called where they block nobody.

Not the loop's default executor: that one has too few threads for functions that wait, and ending
the loop would wait for functions that were abandoned.
"""

from __future__ import annotations

from asyncio import CancelledError, Future
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import sniffio

from penstock._backends.asyncio.scopes import AsyncioCancelScope

if TYPE_CHECKING:
    from penstock._backends._base import ThreadLimiter
    from penstock._backends.asyncio.loop import AsyncioBackend

__all__ = ("WorkerThreads", "run_sync_in_thread")

T = TypeVar("T")

#: A thread that has had no job for so long is let go when another one gets a job; Trio's rule.
IDLE_SECONDS = 10.0


class _Job:
    """One call of a blocking function, and the borrower of a token for the time that it takes."""

    __slots__ = ("args", "context", "error", "finished", "func", "limiter", "value", "wait")

    def __init__(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        context: Context,
        limiter: ThreadLimiter,
    ) -> None:
        self.limiter = limiter
        self.func = func
        self.args = args
        self.context = context
        self.finished = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.wait: Future[None] | None = None  # belongs to the loop's thread, like finished

    def run(self) -> None:
        try:
            self.value = self.context.run(self.func, *self.args)
        except BaseException as exc:
            self.error = exc
        del self.func, self.args, self.context


class WorkerThreads:
    """The worker threads of one event loop."""

    # I1  _idle holds the threads without a job and since when, the longest idle first
    def __init__(self, backend: AsyncioBackend) -> None:
        self._loop = backend.loop
        self._idle: deque[tuple[float, SimpleQueue[_Job | None]]] = deque()
        self._closed = False
        backend.on_close(self._close)

    def begin(self, job: _Job) -> None:
        """Run ``job`` in a thread, for which a limiter has lent a token."""
        if self._idle:
            _, jobs = self._idle.pop()
        else:
            jobs = SimpleQueue()
            Thread(target=self._work, args=(jobs,), name="penstock worker", daemon=True).start()
        jobs.put(job)
        long_ago = self._loop.time() - IDLE_SECONDS
        while self._idle and self._idle[0][0] < long_ago:
            self._idle.popleft()[1].put(None)

    def _work(self, jobs: SimpleQueue[_Job | None]) -> None:
        while (job := jobs.get()) is not None:
            job.run()
            try:
                self._loop.call_soon_threadsafe(self._finish, job, jobs)
            except RuntimeError:  # the loop is closed: it has abandoned the job, and this thread
                return
            del job

    def _finish(self, job: _Job, jobs: SimpleQueue[_Job | None]) -> None:
        if self._closed:
            jobs.put(None)
        else:
            self._idle.append((self._loop.time(), jobs))
        job.finished = True
        if job.wait is not None and not job.wait.done():
            job.wait.set_result(None)
        job.limiter.release_on_behalf_of(job)

    def _close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop()[1].put(None)


async def run_sync_in_thread(
    backend: AsyncioBackend,
    func: Callable[..., T],
    args: tuple[Any, ...],
    abandon_on_cancel: bool,
    limiter: ThreadLimiter,
) -> T:
    """Call ``func(*args)`` in a worker thread of ``backend`` and return what it returns.

    If cancelled before ``limiter`` has lent a token, ``func`` is not called.  Afterwards ``func``
    is left alone with ``abandon_on_cancel``, and awaited without.
    """
    context = copy_context()
    context.run(sniffio.current_async_library_cvar.set, None)
    job = _Job(func, args, context, limiter)
    await limiter.acquire_on_behalf_of(job)
    try:
        backend.worker_threads().begin(job)
    except BaseException:  # the system has no thread to give
        limiter.release_on_behalf_of(job)
        raise
    cancellation: CancelledError | None = None
    error: BaseException | None
    try:
        with AsyncioCancelScope(backend.states, shield=not abandon_on_cancel):
            while not job.finished:
                job.wait = backend.loop.create_future()
                try:
                    await job.wait
                except CancelledError as exc:
                    if abandon_on_cancel:
                        raise
                    cancellation = exc  # native: no shield keeps that out
        if cancellation is not None:
            raise cancellation
        error, job.error = job.error, None  # its traceback leads back to the job
        if error is not None:
            raise error
        value: T = job.value
        return value
    finally:
        error = cancellation = None  # their tracebacks lead back to this frame
