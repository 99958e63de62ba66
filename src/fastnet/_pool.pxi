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
    """
    cdef list plans
    cdef object make
    cdef int kept

    def __cinit__(self, make, int kept):
        self.plans, self.make, self.kept = [], make, kept

    def take(self):
        """A manager: within it a plan is this thread's."""
        return _Lease(self)


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
