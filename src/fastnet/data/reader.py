"""A thread that reads ahead: the next batches are made ready while the engine works on those before."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["END", "Reader", "is_reading"]

#: What is taken after the last item.
END = object()
#: Items, and bytes of them, that may wait.
_ITEMS, _BYTES = 16, 1 << 24
#: Seconds to wait for a thread that is in a function of the user's, where something else has failed.
_PATIENCE = 1.0

_THREAD = threading.local()


class _Queue:
    """What the two threads share."""

    def __init__(self) -> None:
        self.items: deque[tuple[Any, int]] = deque()
        self.bytes = 0
        self.changed = threading.Condition()
        self.closed = self.ended = False
        self.error: BaseException | None = None

    def put(self, item: Any, size: int) -> bool:
        """Waits for room; False: nobody wants any more."""
        with self.changed:
            while not self.closed and self.items and (len(self.items) >= _ITEMS or self.bytes + size > _BYTES):
                self.changed.wait()
            self.items.append((item, size))
            self.bytes += size
            self.changed.notify_all()
            return not self.closed

    def end(self, error: BaseException | None) -> None:
        with self.changed:
            self.ended, self.error = True, error
            self.changed.notify_all()


class Reader:
    """Takes items from an iterator in a thread of its own, some of them ahead.

    Parameters
    ----------
    items : iterator
        Runs in that thread.
    size_of : callable
        Bytes of an item.

    Notes
    -----
    An exception of the iterator is raised by `take`, where its item would have come. Who waits can be interrupted. The thread is not
    waited for at the end of the process.
    """

    def __init__(self, items: Iterator[Any], size_of: Callable[[Any], int]) -> None:
        self._queue = _Queue()
        self._thread = threading.Thread(target=_read, args=(items, size_of, self._queue), name="fastnet-reader", daemon=True)
        self._thread.start()

    def take(self) -> Any:
        """The next item, or END. Raises what the iterator has raised."""
        queue = self._queue
        with queue.changed:
            while not queue.items and not queue.ended:
                queue.changed.wait()
            if queue.items:
                item, size = queue.items.popleft()
                queue.bytes -= size
                queue.changed.notify_all()
                return item
        if queue.error is not None:
            error, queue.error = queue.error, None
            raise error
        return END

    def take_ready(self) -> Any:
        """The next item if it is there already, else None."""
        return self.take() if self._queue.items else None

    def close(self, failed: bool = False) -> None:
        """Ends the thread, and waits for it: not for long where something has failed, as it may be in a function of the user's."""
        with self._queue.changed:
            self._queue.closed = True
            self._queue.items.clear()
            self._queue.changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE if failed else None)

    def __del__(self) -> None:
        queue = getattr(self, "_queue", None)
        if queue is not None:
            queue.closed = True  # without the lock, which this thread may have
            if queue.changed.acquire(blocking=False):
                queue.changed.notify_all()
                queue.changed.release()


def is_reading() -> bool:
    """Whether this is a thread of a reader."""
    return getattr(_THREAD, "reads", False)


def _read(items: Iterator[Any], size_of: Callable[[Any], int], queue: _Queue) -> None:
    _THREAD.reads = True
    try:
        for item in items:
            if not queue.put(item, size_of(item)):
                break
            del item  # it is the other thread's
    except BaseException as error:
        queue.end(error)
    else:
        queue.end(None)
