# Included by _core.pyx: steps that consist of several updates, each a plan of its own.


cdef double *_doubles(object given, int64_t size, object what) except NULL:
    """The address of an array that so many numbers can be written to."""
    cdef cnp.ndarray array = given
    if array.dtype != np.float64 or not array.flags.carray or array.size < size:
        raise ValueError(f"{what} must be a contiguous writeable array of float64 with {size} elements")
    return <double *>cnp.PyArray_DATA(array)


def run_sequence(list plans, unsigned phases, *, list inputs, list hyper, list counters, list names, int64_t n_rows,
                 int64_t batch_size, int64_t first_row=0, cnp.ndarray order=None, double seconds=0, losses, squares,
                 list outputs=None, Position position=None):
    """Runs several plans for each batch, one after another, without the GIL; see fn_plans_run.

    Parameters
    ----------
    plans : list of Plan
        Each another one; without targets.
    phases : int
        As in `Plan.run`, of all.
    inputs : list of list of ndarray
        Those of each plan, n_rows rows each (more, if `order` names them).
    hyper : list of ndarray
        Of each plan: one row of hyper-parameters, or one row for each step.
    counters : list of Counter
        Of each plan: count its steps, also where the run raises, before Python can do anything else.
    names : list of str
        What the plans are called in errors.
    n_rows, batch_size, first_row, order, seconds
        As in `Plan.run`.
    losses : ndarray of float64
        Added to: the loss of each plan times the rows.
    squares : ndarray of float64
        Added to: the squared norms of each plan's gradients.
    outputs : list of list of (ndarray or None), optional
        Where to write the outputs of each plan, n_rows rows each, where `phases` asks for them.
    position : Position
        Gets `next_row` in the same moment.

    Returns
    -------
    next_row, steps_done : int
        Rows and batches that all plans have done.

    Raises
    ------
    FloatingPointError, ValueError
        As `Plan.run`, with the name of the plan; those before it have made their step of this batch.
    """
    cdef _Scratch scratch = _Scratch()
    cdef Plan plan
    cdef Counter counter
    cdef fn_error error
    cdef fn_status status
    cdef int32_t n = len(plans), failed = -1
    cdef int i, j
    cdef int64_t rows = n_rows, steps = (n_rows - first_row + batch_size - 1) // max(batch_size, 1)
    cdef double *loss_sums
    cdef double *squared_norms
    if not n == len(inputs) == len(hyper) == len(counters) == len(names):
        raise ValueError(f"got {n} plans, inputs of {len(inputs)}, {len(hyper)} hyper, {len(counters)} counters, {len(names)} names")
    if len(set(map(id, plans))) != n:
        raise ValueError("a plan is given twice")
    cdef fn_plan **pointers = <fn_plan **>scratch.allocate(n * sizeof(fn_plan *))
    cdef fn_run *runs = <fn_run *>scratch.allocate(n * sizeof(fn_run))
    cdef fn_run **run_pointers = <fn_run **>scratch.allocate(n * sizeof(fn_run *))
    cdef fn_source *sources
    error.message[0] = 0
    loss_sums = _doubles(losses, n, "losses")
    squared_norms = _doubles(squares, n, "squares")
    if order is not None:
        rows = len(order)
    for i in range(n):
        plan = plans[i]
        if plan.plan == NULL:
            raise RuntimeError("this plan was not initialised")
        if plan.is_used():
            raise RuntimeError("this model is being run by another thread")
        if len(inputs[i]) != len(plan.input_widths):
            raise ValueError(f"{names[i]}: got {len(inputs[i])} inputs, expected {len(plan.input_widths)}")
        if plan.metric_size:
            raise ValueError(f"{names[i]}: a plan of a sequence has no metrics")
        if any(width is not None for width in plan.target_widths):
            raise ValueError(f"{names[i]}: a plan of a sequence has no targets")
        pointers[i] = plan.plan
        run_pointers[i] = &runs[i]
        runs[i].size = sizeof(fn_run)
        runs[i].phases = phases
        runs[i].n_rows = n_rows
        runs[i].batch_size = batch_size
        runs[i].first_row = first_row
        if order is not None:
            plan.set_order(&runs[i], order)
        runs[i].seconds = seconds
        sources = <fn_source *>scratch.allocate(len(inputs[i]) * sizeof(fn_source))
        for j in range(len(inputs[i])):
            to_source(inputs[i][j], &sources[j], rows, plan.input_widths[j])
        runs[i].inputs = sources
        runs[i].targets = <fn_source *>scratch.allocate(len(plan.output_widths) * sizeof(fn_source))
        if outputs is not None:
            runs[i].outputs = <void **>scratch.allocate(len(plan.output_widths) * sizeof(void *))
            plan.fill_arrays(outputs[i], plan.output_widths, runs[i].outputs, n_rows, True, f"outputs of {names[i]}")
        runs[i].loss_sum = <double *>scratch.allocate((1 + len(plan.output_widths)) * sizeof(double))
        counter = counters[i]
        runs[i].step = counter.seen
        plan.set_hyper(&runs[i], hyper[i], steps, f"{names[i]}: ")
    for plan in plans:
        plan.running = True
    try:
        with nogil:
            status = fn_plans_run(n, pointers, run_pointers, &failed, &error)
    finally:
        for plan in plans:
            plan.running = False
    for i in range(n):
        counter = counters[i]
        counter.put(counter.seen + runs[i].steps_done)
        loss_sums[i] += runs[i].loss_sum[0]
        squared_norms[i] += runs[i].gradient_squares
    if position is not None:
        position.row = runs[0].next_row
    if status != FN_OK and failed >= 0:
        message = error.message.decode("utf-8", "replace") or fn_status_text(status).decode()
        raise _EXCEPTIONS[fn_status_exception(status).decode()](f"{names[failed]}: {message}")
    check(status, &error)
    return runs[0].next_row, runs[n - 1].steps_done
