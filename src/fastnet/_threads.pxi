# Included by _core.pyx: threads whose end is always seen.

import _thread

cdef extern from "pythread.h":
    ctypedef void *PyThread_type_lock
    ctypedef int PyLockStatus
    PyLockStatus PY_LOCK_ACQUIRED
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock)
    void PyThread_release_lock(PyThread_type_lock)
    PyLockStatus PyThread_acquire_lock_timed(PyThread_type_lock, long long microseconds, int interruptible) nogil


@cython.final
cdef class _Call:
    """What one thread of a group does.

    Where there is no memory, not even the first line of a Python function is reached, nor its `finally`. So it is C that calls the
    function, and says that it is over.
    """
    cdef ThreadGroup group
    cdef object function, error
    cdef bint begun, over, done, dropped
    cdef PyThread_type_lock lock  # closed until it is over

    def __cinit__(self, ThreadGroup group not None, function):
        self.group, self.function = group, function
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError
        PyThread_acquire_lock_timed(self.lock, 0, 0)

    def __dealloc__(self):
        if self.lock != NULL:
            if not self.over:
                PyThread_release_lock(self.lock)
            PyThread_free_lock(self.lock)

    def __call__(self):
        if self.dropped:
            return
        self.begun = True
        try:
            self.function()
            self.done = True
        except BaseException as error:
            self.error = error
        finally:
            if not self.done:
                self.group.cancelled = True
            self.over = True
            PyThread_release_lock(self.lock)

    cdef int wait(self) except -1:
        """Returns when it is over. Signals are handled meanwhile, whichever thread they came to: what their handlers raise is raised."""
        cdef PyLockStatus got
        while not self.over:
            with nogil:
                got = PyThread_acquire_lock_timed(self.lock, 50000, 1)
            if got == PY_LOCK_ACQUIRED:
                PyThread_release_lock(self.lock)
            PyErr_CheckSignals()
        return 0


@cython.final
cdef class ThreadGroup:
    """Threads that call the same function, until it is over in all of them.

    They are not of the `threading` module, whose `Thread.start` waits for ever for a thread that finds no memory to begin with.

    Attributes
    ----------
    cancelled : bool
        The function is to end.
    """
    cdef readonly bint cancelled

    def cancel(self):
        """Says that the function is to end."""
        self.cancelled = True

    def run(self, function, int n_threads):
        """Calls a function in so many threads.

        Raises
        ------
        BaseException
            What was raised in one of the threads, or meanwhile by the handler of a signal, MemoryError where a thread had no memory
            to begin with, RuntimeError where there was none to be had; when all have ended, or at the third signal.
        """
        cdef _Call call
        cdef list calls = []
        cdef int failures = 0
        cdef object failure = None
        try:
            for _ in range(n_threads):
                call = _Call(self, function)
                calls.append(call)
                try:
                    _thread.start_new_thread(call, ())
                except BaseException:
                    if not call.begun:  # it may begin still: the number of the thread needs memory, too
                        call.dropped = True
                        calls.pop()
                    raise
        except BaseException as error:
            self.cancelled = True
            failure = error
        for one in calls:
            call = one
            while not call.over:
                try:
                    call.wait()
                except BaseException as error:
                    self.cancelled = True
                    failures += 1
                    failure = error if failure is None else failure
                    if failures == 3:
                        raise
        for one in calls:
            call = one
            if failure is None and not call.done:
                failure = MemoryError("a thread had no memory to begin with") if call.error is None else call.error
        if failure is not None:
            raise failure
