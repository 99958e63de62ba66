"""Memory that the processes of one machine share, for what they exchange in a step."""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np

__all__ = ["SharedMemory"]


class SharedMemory:
    """A window of MPI in which each process has as much, and reads what the others have: for all models the same, as long as it is.

    Parameters
    ----------
    MPI : module
    comm, host : mpi4py.MPI.Comm
        All processes, and those of this machine.

    Attributes
    ----------
    arrays : list of ndarray
        That of each process, or none.
    user
        What it was used for last, as whoever uses it says.
    """

    def __init__(self, MPI: Any, comm: Any, host: Any) -> None:
        self._MPI, self._comm, self._host = MPI, comm, host
        self._window: Any = None
        self.arrays: list[np.ndarray] = []
        self.user: Any = None

    def take(self, size: int) -> list[np.ndarray]:
        """So many bytes of each process, aligned; all processes call it together.

        Returns
        -------
        list of ndarray
            The same object until some process asks for more. Empty with one process, with several machines, and where what may be shared
            does not suffice.
        """
        if self._comm.size == 1 or self._host.size != self._comm.size:
            return self.arrays
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        asked = np.array([size, -_free()], np.int64)
        self._comm.Allreduce(self._MPI.IN_PLACE, asked, self._MPI.MAX)
        size, free = int(asked[0]), -int(asked[1])
        if self.arrays and len(self.arrays[0]) >= size:
            return self.arrays
        if self._window is not None:
            self.arrays = []
            self._window.Unlock_all()
            self._window.Free()
            self._window = None
        if size * self._comm.size > free // 2:
            return self.arrays
        self._window = self._MPI.Win.Allocate_shared(size, 1, comm=self._host)
        self._window.Lock_all(self._MPI.MODE_NOCHECK)
        self.arrays = [np.frombuffer(self._window.Shared_query(rank)[0], np.uint8, size) for rank in range(self._comm.size)]
        return self.arrays

    def sync(self) -> None:
        """Before an exchange and after it: what was written before it is read after it."""
        if self._window is not None:
            self._window.Sync()


def _free() -> int:
    """Bytes that may still be shared; in a container these are often few, and to write beyond them ends the process."""
    folder = "/dev/shm"
    if not os.path.isdir(folder):
        return 1 << 62
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
