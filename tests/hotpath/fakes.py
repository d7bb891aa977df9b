"""What an event loop gives the kernels, without an event loop: waits, and how they end."""

import threading


def in_thread(func):
    """Return what ``func`` returns in another thread."""
    results = []
    thread = threading.Thread(target=lambda: results.append(func()))
    thread.start()
    thread.join()
    return results[0]


class Wait:
    """One wait of one task."""

    def __init__(self):
        self.woken = False
        self.cancelled = False


def wake(wait):
    """End a wait; return False where it had ended."""
    if wait.woken or wait.cancelled:
        return False
    wait.woken = True
    return True


class Ends:
    """A queue with one open end on either side."""

    def __init__(self, twin, max_buffer_size=0, operations=1_000_000):
        self.budget = twin.ReadyBudget(operations)
        self.queue = twin.ItemQueue(max_buffer_size)
        self.queue.bind(self.budget)
        self.sender = self.queue.open_sender()
        self.receiver = self.queue.open_receiver()

    def park_sender(self, item, end=None):
        """Let a task wait with ``item``; return its wait and its waiter."""
        wait = Wait()
        return wait, self.queue.park_sender(item, wait, wake, end or self.sender)

    def park_receiver(self, end=None):
        """Let a task wait for an item; return its wait and its waiter."""
        wait = Wait()
        return wait, self.queue.park_receiver(wait, wake, end or self.receiver)
