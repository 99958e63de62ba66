# Included by _core.pyx: predictions of a few rows.

def same_bytes(cnp.ndarray a not None, cnp.ndarray b not None):
    """Whether two C-contiguous arrays hold the same bits; ValueError where one is not contiguous."""
    if not cnp.PyArray_IS_C_CONTIGUOUS(a) or not cnp.PyArray_IS_C_CONTIGUOUS(b):
        raise ValueError("arrays must be C-contiguous")
    n = cnp.PyArray_NBYTES(a)
    return n == cnp.PyArray_NBYTES(b) and memcmp(cnp.PyArray_DATA(a), cnp.PyArray_DATA(b), n) == 0


# Work that takes less is done without giving up the GIL: another thread would keep it for 5 ms. Where several threads predict in
# turn, each gives it back soon, and what takes longer than the handing over is done beside each other.
cdef double _BRIEF = 20e-6
cdef double _TINY = 2e-6
# Predictions for which that is believed after a thread has been another one than before; how many times the GIL may come back so late
# before it is kept, and for how many predictions then.
cdef int _SHARED = 1000, _LATE = 3, _KEPT = 50000
cdef double _LATE_SECONDS = 1e-3


@cython.final
cdef class Predictor:
    """The short way from an array to what a model of one input and one output makes of it.

    It holds plans that are ready to run, for batches of up to 1, 2, 4, 8, ... rows, for each as many as threads have used at once. What
    it cannot do at once, it leaves to the long way: `predict`, which then says with `keep` what plan it used.
    """
    cdef list plans       # by the power of two: a list of Plan
    cdef unsigned long thread  # that made the last prediction
    cdef int shared       # predictions for which it is taken that several threads make them in turn
    cdef int late, kept   # times in a row that the GIL came back late; predictions for which it is not given up
    cdef list keys        # pairs: a function, and what it must return
    cdef list watched     # weights that somebody may write to, and copies
    cdef int64_t version  # that all this belongs to
    cdef Gate gate        # of the weights
    cdef bint alone       # a prediction changes the states of layers: no other may be made meanwhile
    cdef int rank, output_rank, type_number
    cdef cnp.npy_intp sizes[FN_MAX_RANK]
    cdef cnp.npy_intp output_sizes[FN_MAX_RANK + 1]

    def __cinit__(self):
        self.version = -1

    def keep(self, Plan plan not None, input_shape, output_shape, keys, Gate gate not None, bint alone, list watched not None):
        """Takes a plan for batches of `plan.max_rows`, a power of two, of the present version.

        Parameters
        ----------
        plan : Plan
        input_shape, output_shape : tuple of int
            Of one sample.
        keys : list of (callable, object)
            What the plan depends on beside the version: functions, and what they return now.
        gate : Gate
            Of the weights that the plan reads.
        alone : bool
            A prediction changes the states of layers, so that no other may be made meanwhile.
        watched : list of (weakref, ndarray, ndarray)
            References to what somebody can write to weights by, the weights, and copies of what they were: as long as both hold
            the same bits, the plan is that of the present weights.
        """
        self.gate, self.alone, self.watched = gate, alone, watched
        if self.version != _version or self.keys != keys:
            self.plans = [[] for _ in range(64)]
            self.version, self.keys = _version, keys
            self.rank, self.output_rank = len(input_shape), len(output_shape)
            for i, size in enumerate(input_shape):
                self.sizes[i] = size
            for i, size in enumerate(output_shape):
                self.output_sizes[1 + i] = size
            self.type_number = (<cnp.dtype>plan.dtype).type_num
        ready = self.plans[(plan.max_rows - 1).bit_length()]
        if plan not in ready:
            ready.append(plan)
            del ready[:-fn_cpu_count()]

    def drop(self, rows):
        """Forgets the plans for batches of so many rows, a power of two."""
        if self.plans is not None:
            self.plans[(rows - 1).bit_length()].clear()

    cdef bint look_again(self) except -1:
        """Whether a weight that is watched was written to, or need not be watched any more."""
        for view, array, seen in self.watched:
            if view() is None or not same_bytes(array, seen):
                return True
        return False

    def predict(self, x):
        """The prediction for x, or None where that takes the long way."""
        cdef cnp.ndarray array, result
        cdef Plan plan
        cdef fn_run run
        cdef fn_error error
        cdef fn_source source
        cdef void *output
        cdef fn_status status
        cdef double begin, end
        cdef int i, power = 0
        cdef unsigned long thread
        if self.version != _version or not cnp.PyArray_CheckExact(x):
            return None
        array = x
        if array.ndim != self.rank + 1 or not cnp.PyArray_ISCARRAY_RO(array) or array.shape[0] < 1:
            return None
        for i in range(self.rank):
            if array.shape[1 + i] != self.sizes[i]:
                return None
        i = cnp.PyArray_TYPE(array)
        if i == cnp.NPY_FLOAT32:
            source.dtype = FN_FLOAT32
        elif i == cnp.NPY_FLOAT64:
            source.dtype = FN_FLOAT64
        elif i == cnp.NPY_UINT8:
            source.dtype = FN_UINT8
        elif i == cnp.NPY_INT32:
            source.dtype = FN_INT32
        elif i == cnp.NPY_INT64:
            source.dtype = FN_INT64
        else:
            return None
        while array.shape[0] > <int64_t>1 << power:
            power += 1
        for function, answer in self.keys:
            if function() != answer:
                return None
        self.output_sizes[0] = array.shape[0]
        result = cnp.PyArray_EMPTY(1 + self.output_rank, self.output_sizes, self.type_number, 0)
        source.data = cnp.PyArray_DATA(array)
        source.stride = cnp.PyArray_STRIDE(array, 0)
        output = cnp.PyArray_DATA(result)
        memset(&run, 0, sizeof(run))
        run.size = sizeof(run)
        run.phases = FN_PHASE_FORWARD | FN_PHASE_FETCH
        run.n_rows = run.batch_size = array.shape[0]
        run.inputs = &source
        run.outputs = &output
        # From here on no other thread has the GIL until the plan runs.
        if self.watched and self.look_again() or self.version != _version:
            return None
        for one in <list>self.plans[power]:
            plan = <Plan>one
            if not plan.is_used():
                break
        else:
            return None
        plan.recent = True
        thread = PyThread_get_thread_ident()
        if thread != self.thread:
            self.thread, self.shared = thread, _SHARED
        elif self.shared > 0:
            self.shared -= 1
        if self.kept > 0:
            self.kept -= 1
        if plan.brief and (plan.tiny or self.shared == 0 or self.kept > 0 or self.alone):
            if self.gate.writer != 0 and self.gate.busy:
                return None
            status = fn_plan_run(plan.plan, &run, &error)
        else:
            self.gate.forget_threads()
            if self.alone or not self.gate.may_read(thread, False):
                return None
            self.gate.enter(thread)
            plan.running = True
            with nogil:
                begin = fn_seconds()
                status = fn_plan_run(plan.plan, &run, &error)
                end = fn_seconds()
            plan.running = False
            self.gate.leave(thread)
            self.late = self.late + 1 if fn_seconds() - end > _LATE_SECONDS else 0
            if self.late >= _LATE:  # threads that do something else keep it
                self.late, self.kept = 0, _KEPT
            plan.brief, plan.tiny = end - begin < _BRIEF, end - begin < _TINY
        if status != FN_OK:
            check(status, &error)
        return result
