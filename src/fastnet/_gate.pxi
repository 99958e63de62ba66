# Included by _core.pyx: who may read and write the weights of a slab.
#
# All this is done while the GIL is held and without a lock, so that a process may fork at any time: a child finds no lock that
# nobody will release, and forgets the threads of its parent. The managers are entered and left in C, so that no KeyboardInterrupt
# comes between what is noted and the block that takes it back.

from cpython.exc cimport PyErr_CheckSignals

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()

cdef extern from "unistd.h" nogil:
    int usleep(unsigned int)

cdef int64_t _forks = 0  # that this process is away from the one that has imported it


def _note_fork():
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@cython.final
cdef class Gate:
    """Who reads the weights of a slab while they do not change, and who changes them.

    Readers note themselves. A writer waits until there are none, and from its coming on no other thread is let in: such a one
    can `ask` for something, a copy of the weights, to be done when the writer leaves. The thread that writes may read, and one
    that reads may read again. A thread may be the only one to write for longer, between its writes too: `session`.

    Attributes
    ----------
    steps : int
        Writes that are over: as long as it is the same, so are the weights.
    """
    cdef dict readers  # by thread: how often it has been let in
    cdef unsigned long writer, owner  # threads; 0: none
    cdef int writes, sessions  # one within another
    cdef list asked
    cdef int64_t forks
    cdef readonly int64_t steps

    def __cinit__(self):
        self.readers, self.asked, self.forks = {}, [], _forks

    cdef int forget_threads(self) except -1:
        """In a forked child: those of the parent are not there."""
        if self.forks != _forks:
            self.readers, self.asked, self.forks = {}, [], _forks
            self.writer = self.owner = 0
            self.writes = self.sessions = 0
        return 0

    cdef bint may_read(self, unsigned long thread, bint between):
        """between: also while another thread's session is between two writes."""
        if (self.writer == 0 or self.writer == thread) and (between or self.owner == 0 or self.owner == thread):
            return True
        return thread in self.readers

    cdef int enter(self, unsigned long thread) except -1:
        self.readers[thread] = self.readers.get(thread, 0) + 1
        return 0

    cdef int leave(self, unsigned long thread) except -1:
        cdef object left = self.readers.get(thread, 0) - 1
        if left > 0:
            self.readers[thread] = left
        else:
            self.readers.pop(thread, None)
        return 0

    def reading(self, bint between=False):
        """A manager: True within it where the weights may be read, as nobody is to change them; else False."""
        return _Reading(self, between)

    def writing(self, bint wait=False):
        """A manager: within it this thread alone may read and change the weights.

        Parameters
        ----------
        wait : bool
            For another thread that writes, and not only for those that read.

        Raises
        ------
        RuntimeError
            Where another thread has a session, or writes.
        """
        return _Writing(self, wait)

    def session(self):
        """A manager: within it this thread alone may write; RuntimeError where another one does."""
        return _Session(self)

    @property
    def busy(self):
        """Whether another thread writes."""
        self.forget_threads()
        return self.writer != 0 and self.writer != PyThread_get_thread_ident()

    def ask(self, function):
        """Has a function called when the thread that writes leaves; False: there is none."""
        self.forget_threads()
        if self.writer == 0 or self.writer == PyThread_get_thread_ident():
            return False
        self.asked.append(function)
        return True

    def awaits(self, function):
        """Whether a function is still to be called that this was asked for, or is being called."""
        self.forget_threads()
        return function in self.asked


cdef object _TRAINED = "the weights of this model are being trained or set by another thread"


@cython.final
cdef class _Reading:
    cdef Gate gate
    cdef bint between, entered

    def __cinit__(self, Gate gate not None, bint between):
        self.gate, self.between = gate, between

    def __enter__(self):
        cdef unsigned long thread = PyThread_get_thread_ident()
        self.gate.forget_threads()
        self.entered = self.gate.may_read(thread, self.between)
        if self.entered:
            self.gate.enter(thread)
        return self.entered

    def __exit__(self, *error):
        if self.entered:
            self.entered = False
            self.gate.leave(PyThread_get_thread_ident())


@cython.final
cdef class _Writing:
    cdef Gate gate
    cdef bint wait

    def __cinit__(self, Gate gate not None, bint wait):
        self.gate, self.wait = gate, wait

    def __enter__(self):
        cdef unsigned long thread = PyThread_get_thread_ident()
        cdef Gate gate = self.gate
        gate.forget_threads()
        while gate.writer != 0 and gate.writer != thread and self.wait and (gate.owner == 0 or gate.owner == thread):
            if thread in gate.readers:
                break  # the other one may wait for this one
            with nogil:
                usleep(50)
            PyErr_CheckSignals()
        if (gate.writer != 0 and gate.writer != thread) or (gate.owner != 0 and gate.owner != thread):
            raise RuntimeError(_TRAINED)
        gate.writer = thread
        gate.writes += 1
        try:
            while len(gate.readers) > (1 if thread in gate.readers else 0):
                with nogil:
                    usleep(20)
                PyErr_CheckSignals()
        except BaseException:
            self.end()
            raise
        return True

    def __exit__(self, *raised):
        cdef Gate gate = self.gate
        cdef object one, failure = None
        if gate.writes == 1:
            gate.steps += 1
            while gate.asked:
                one = gate.asked[0]
                try:
                    one()
                except BaseException as error:
                    failure = error
                if one in gate.asked:
                    gate.asked.remove(one)
        self.end()
        if failure is not None and not isinstance(failure, Exception):
            raise failure  # an interrupt; others are for those who asked, who find nothing done

    cdef int end(self) except -1:
        self.gate.writes -= 1
        if self.gate.writes <= 0:
            self.gate.writes, self.gate.writer = 0, 0
        return 0


@cython.final
cdef class _Session:
    cdef Gate gate

    def __cinit__(self, Gate gate not None):
        self.gate = gate

    def __enter__(self):
        cdef unsigned long thread = PyThread_get_thread_ident()
        cdef Gate gate = self.gate
        gate.forget_threads()
        if (gate.owner != 0 and gate.owner != thread) or (gate.writer != 0 and gate.writer != thread):
            raise RuntimeError(_TRAINED)
        gate.owner = thread
        gate.sessions += 1

    def __exit__(self, *error):
        self.gate.sessions -= 1
        if self.gate.sessions <= 0:
            self.gate.sessions, self.gate.owner = 0, 0
