# Included by _core.pyx: plans that several threads take turns with; see _gate.pxi for why there is no lock.

@cython.final
cdef class PlanPool:
    """Plans that are all alike, each used by one thread at a time; as many are made as are used at the same time.

    Parameters
    ----------
    make : callable
        Returns a plan.
    kept : int
        How many are kept that are not used.
    more : int
        Bytes that a plan holds beside its own memory, as a slab.
    """
    cdef list plans
    cdef object make
    cdef int kept
    cdef int64_t more

    def __cinit__(self, make, int kept, int64_t more=0):
        self.plans, self.make, self.kept, self.more = [], make, kept, more

    def take(self):
        """A manager: within it a plan is this thread's."""
        return _Lease(self)

    @property
    def memory(self):
        """Bytes that its plans hold."""
        return sum([(<Plan>plan).memory + self.more for plan in self.plans])

    def was_used(self):
        """Whether a plan of it was used without the pool being asked, by `Predictor`, since this was asked last."""
        cdef bint used = False
        for plan in self.plans:
            used = used or (<Plan>plan).recent
            (<Plan>plan).recent = False
        return used


@cython.final
cdef class _Lease:
    cdef PlanPool pool
    cdef Plan plan

    def __cinit__(self, PlanPool pool not None):
        self.pool = pool

    def __enter__(self):
        cdef Plan plan
        for one in self.pool.plans:
            plan = <Plan>one
            if not plan.is_used():
                break
        else:
            plan = <Plan?>self.pool.make()
            self.pool.plans.append(plan)
        plan.is_used()  # takes note of a fork
        plan.taken = True
        self.plan = plan
        return plan

    def __exit__(self, *error):
        cdef Plan plan = self.plan
        plan.taken = False
        self.plan = None
        if len(self.pool.plans) > self.pool.kept and plan in self.pool.plans:
            self.pool.plans.remove(plan)
