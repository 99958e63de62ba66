# Included by _core.pyx: steps that consist of several updates, each a plan of its own.


cdef double *_doubles(object given, int64_t size, object what) except NULL:
    """The address of an array that so many numbers can be written to."""
    cdef cnp.ndarray array = given
    if array.dtype != np.float64 or not array.flags.carray or array.size < size:
        raise ValueError(f"{what} must be a contiguous writeable array of float64 with {size} elements")
    return <double *>cnp.PyArray_DATA(array)


def run_sequence(list plans, unsigned phases, *, list inputs, list hyper, list counters, list names, int64_t n_rows,
                 int64_t batch_size, int64_t first_row=0, cnp.ndarray order=None, double seconds=0, losses, squares, rows_done=None,
                 list outputs=None, Position position=None, Counter batches=None, list every=None, list groups=None):
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
        Of each plan, and perhaps of several: count their steps, also where the run raises, before Python can do anything else.
    names : list of str
        What the plans are called in errors.
    n_rows, batch_size, first_row, order, seconds
        As in `Plan.run`.
    losses : ndarray of float64
        Added to: the loss of each plan times the rows.
    squares : ndarray of float64
        Added to: the squared norms of each plan's gradients.
    rows_done : ndarray of float64, optional
        Added to: the rows of the batches that each plan was run for.
    outputs : list of list of (ndarray or None), optional
        Where to write the outputs of each plan, n_rows rows each, where `phases` asks for them.
    position : Position
        Gets `next_row` in the same moment.
    batches : Counter, optional
        Counts the batches that all plans have done: random numbers, and which plans are run, are functions of it. Default: the counter of
        the first plan.
    every : list of int, optional
        Of each plan: it is run in each so many-th batch alone.
    groups : list of int, optional
        Plans that follow each other and have the same number compute their gradients with the same parameters, before any of them updates.

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
    cdef int32_t n = len(plans), failed = -1, n_runs
    cdef int i, j, k
    cdef int64_t rows = n_rows, steps = (n_rows - first_row + batch_size - 1) // max(batch_size, 1), number, done, begun
    cdef unsigned one_phases
    cdef double *loss_sums
    cdef double *squared_norms
    cdef double *counted_rows = NULL
    if not n == len(inputs) == len(hyper) == len(counters) == len(names):
        raise ValueError(f"got {n} plans, inputs of {len(inputs)}, {len(hyper)} hyper, {len(counters)} counters, {len(names)} names")
    if len(set(map(id, plans))) != n:
        raise ValueError("a plan is given twice")
    turns = _turns(n, phases, groups)
    n_runs = len(turns)
    number = (counters[0] if batches is None else batches).batches
    cdef fn_plan **pointers = <fn_plan **>scratch.allocate(n_runs * sizeof(fn_plan *))
    cdef fn_run *runs = <fn_run *>scratch.allocate(n_runs * sizeof(fn_run))
    cdef fn_run **run_pointers = <fn_run **>scratch.allocate(n_runs * sizeof(fn_run *))
    cdef double **totals = <double **>scratch.allocate(n * sizeof(double *))
    cdef fn_source *sources
    error.message[0] = 0
    loss_sums = _doubles(losses, n, "losses")
    squared_norms = _doubles(squares, n, "squares")
    if rows_done is not None:
        counted_rows = _doubles(rows_done, n, "rows_done")
    if order is not None:
        rows = len(order)
    for k in range(n_runs):
        i, one_phases = turns[k]
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
        pointers[k] = plan.plan
        run_pointers[k] = &runs[k]
        runs[k].size = sizeof(fn_run)
        runs[k].phases = one_phases
        runs[k].n_rows = n_rows
        runs[k].batch_size = batch_size
        runs[k].first_row = first_row
        if order is not None:
            plan.set_order(&runs[k], order)
        runs[k].seconds = seconds
        sources = <fn_source *>scratch.allocate(len(inputs[i]) * sizeof(fn_source))
        for j in range(len(inputs[i])):
            to_source(inputs[i][j], &sources[j], rows, plan.input_widths[j])
        runs[k].inputs = sources
        runs[k].targets = <fn_source *>scratch.allocate(len(plan.output_widths) * sizeof(fn_source))
        if outputs is not None:
            runs[k].outputs = <void **>scratch.allocate(len(plan.output_widths) * sizeof(void *))
            plan.fill_arrays(outputs[i], plan.output_widths, runs[k].outputs, n_rows, True, f"outputs of {names[i]}")
        # The totals go on, so that they have the same bits however many calls the batches are divided among; two runs of one plan share them.
        if totals[i] == NULL:
            totals[i] = <double *>scratch.allocate((1 + len(plan.output_widths)) * sizeof(double))
            totals[i][0] = loss_sums[i]
        runs[k].loss_sum = totals[i]
        runs[k].gradient_squares = squared_norms[i]
        counter = counters[i]
        runs[k].step = counter.seen + counters[:i].count(counter)
        runs[k].stride = counters.count(counter)
        runs[k].draws_ahead = number - <int64_t>runs[k].step
        runs[k].every = 0 if every is None else every[i]
        plan.set_hyper(&runs[k], hyper[i], steps, f"{names[i]}: ")
    for plan in plans:
        plan.running = True
    try:
        with nogil:
            status = fn_plans_run(n_runs, pointers, run_pointers, &failed, &error)
    finally:
        for plan in plans:
            plan.running = False
    begun = runs[0].next_row - first_row
    done = (begun + batch_size - 1) // max(batch_size, 1)
    for k in range(n_runs):
        i, one_phases = turns[k]
        loss_sums[i] = totals[i][0]
        if one_phases & UPDATE:
            counter = counters[i]
            counter.put(counter.seen + runs[k].steps_done)
            squared_norms[i] = runs[k].gradient_squares
            if counted_rows != NULL and runs[k].every > 1:
                counted_rows[i] += ((number + done) // runs[k].every - number // runs[k].every) * batch_size
                if (number + done) % runs[k].every == 0:  # the last batch may be a smaller one
                    counted_rows[i] -= done * batch_size - begun
            elif counted_rows != NULL:
                counted_rows[i] += begun
    if batches is not None:
        batches.put(number + done)
    if position is not None:
        position.row = runs[0].next_row
    if status != FN_OK and failed >= 0:
        message = error.message.decode("utf-8", "replace") or fn_status_text(status).decode()
        raise _EXCEPTIONS[fn_status_exception(status).decode()](f"{names[turns[failed][0]]}: {message}")
    check(status, &error)
    return runs[0].next_row, done


def _turns(int n, unsigned phases, groups):
    """Which plan is run for which phases: gradients of a group come before its updates."""
    turns = []
    i = 0
    while i < n:
        end = i + 1
        while groups is not None and end < n and groups[end] == groups[i]:
            end += 1
        if end == i + 1:
            turns.append((i, phases))
        else:
            turns += [(j, phases & ~UPDATE) for j in range(i, end)] + [(j, UPDATE) for j in range(i, end)]
        i = end
    return turns
