"""Calls that all processes make together: which each is at, and how the others are told where one fails."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

__all__ = ["CALLS", "Meetings", "differing", "message_of", "weights_in"]

#: What all processes do together, if one does.
CALLS = (
    "fit",
    "train_on_batch",
    "DataParallel.evaluate",
    "DataParallel.predict",
    "DataParallel.scatter",
    "the end of the program",
)
_END = len(CALLS) - 1
#: Added to the number of a call that has failed before all were there.
_FAILED = 1 << 16


def message_of(error: BaseException | None) -> str | None:
    """An exception as the other processes are told of it."""
    if error is None:
        return None
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # one of the user's, which cannot say what it is
        return type(error).__name__


def differing(places: Sequence[str]) -> str:
    """The message of processes that are not at the same place, from where each is."""
    found = ", ".join(
        f"process{'es' * (len(ranks) > 1)} {' and '.join(map(str, ranks))} at {place}"
        for place in sorted(set(places), key=lambda one: places.index(one))
        if (ranks := [rank for rank, one in enumerate(places) if one == place])
    )
    return f"the processes do not make the same calls, {found}: what is made together must be called by all of them"


def weights_in(weights: Sequence[Any]) -> Any:
    """The weights of rows for each output, in words; None where there are none."""
    found = [None if array is None else f"of shape (n{''.join(f', {n}' for n in array.shape[1:])})" for array in weights]
    return None if not any(found) else found[0] if len(found) == 1 else found


class Meetings:
    """Where the processes of a distribution come together before they make a call.

    Attributes
    ----------
    lock : RLock
        Of the thread that makes such calls.
    within : list
        What trains: within `fit` and `train_on_batch` functions of the user's are called, and where one of these makes another call, or
        fails, the others may be at an exchange of the training, so that it is said in the form of these. Each has ``meet(call, error)``.
    interrupts : list of int
        Signals of Ctrl-C since all have met for a call, which is to end at the same place in all of them.
    """

    def __init__(self, MPI: Any, comm: Any) -> None:
        self.MPI, self.comm, self.rank, self.size = MPI, comm, comm.rank, comm.size
        self.lock = threading.RLock()
        self.within: list[Any] = []
        self.interrupts: list[int] = []
        self._holding = False  # whether Ctrl-C is put there, as all have met
        self._calls = np.zeros(self.size, np.int32)
        self._over = ""  # why nothing is done together any more
        self._known: BaseException | None = None
        self._depth = 0

    def meet(self, what: str, error: BaseException | None = None) -> None:
        """Before what all processes do together.

        Afterwards all have left what they did together before, and may write where others have read.

        Parameters
        ----------
        error : BaseException, optional
            What has gone wrong in this process: the others are told and raise it, which is not raised here.

        Raises
        ------
        RuntimeError
            In all processes, where some are about to do something else, have failed, or have come to the end of their program.
        """
        self._holding = True
        if self.size == 1:
            return
        own = CALLS.index(what)
        if self.within:
            self.within[-1].meet(own, error)
            return
        if self._over:
            raise self.known(RuntimeError(f"{what}: {self._over}"))
        calls = self._calls
        calls[self.rank] = own if error is None else own + _FAILED
        self.comm.Allgather(self.MPI.IN_PLACE, calls)
        if (calls == own).all():
            return
        failed = np.flatnonzero(calls >= _FAILED)
        if len(failed):
            process = int(failed[0])
            said = self.comm.bcast(message_of(error), process)
            if said.startswith("KeyboardInterrupt") and error is None:
                raise self.known(KeyboardInterrupt)
            message = f"process {process} has failed: {said}"
        else:
            message = differing([CALLS[call] for call in calls])
        if (calls % _FAILED == _END).any():
            self._over = message
        if error is None:
            raise self.known(RuntimeError(message))

    def known(self, error: BaseException) -> BaseException:
        """An exception of which all processes know, or which all have."""
        self._known = error
        return error

    @contextlib.contextmanager
    def together(self, what: str) -> Iterator[None]:
        """A call that all processes make: where it fails in some alone, the others are told where they come to meet next.

        Raises
        ------
        RuntimeError
            Where another thread of this process is at such a call.
        """
        if not self.lock.acquire(blocking=False):
            raise RuntimeError("another thread trains with this distribution: the processes make one step after another together")
        self._depth += 1
        try:
            with self._interrupts_handled() if self._depth == 1 else contextlib.nullcontext():
                try:
                    yield
                    if self._depth == 1 and self.interrupts:
                        raise KeyboardInterrupt  # too late for what all have made together
                except BaseException as error:
                    if self.size > 1 and self._known is not error:
                        with contextlib.suppress(BaseException):  # there is one already
                            self.meet(what, error)
                        self.known(error)
                    raise
        finally:
            self._depth -= 1
            if not self._depth:
                self._known = None
                self.interrupts.clear()
            self.lock.release()

    @contextlib.contextmanager
    def _interrupts_handled(self) -> Iterator[None]:
        """From when all have met Ctrl-C waits for an exchange, or for the end of the call."""
        before = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
        if not callable(before):
            yield
            return

        def handle(number: int, frame: Any) -> None:
            if self._holding:
                self.interrupts.append(number)
            else:
                before(number, frame)

        signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
            self._holding = False

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """What this process does by itself, and then tells the others how it has ended: Ctrl-C is raised at once."""
        self._holding = False
        try:
            if self.interrupts:
                raise KeyboardInterrupt
            yield
        finally:
            self._holding = True

    def end_all(self, error: BaseException) -> None:
        """Ends the programs of all processes: they are where they cannot be told of an exception."""
        if self.size == 1:
            return
        traceback.print_exception(error)
        print(f"fastnet: process {self.rank} has failed: {message_of(error)}", file=sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        self.MPI.COMM_WORLD.Abort(1)

    def end(self) -> None:
        """At the end of the program: those that wait for this process are told."""
        if self._over or self.MPI.Is_finalized():
            return
        try:
            self.meet(CALLS[_END])
        except RuntimeError as error:
            print(f"fastnet: {error}", file=sys.stderr)
