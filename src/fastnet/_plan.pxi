# Included by _core.pyx: the plans and what runs them.

cdef class Plan:
    """A compiled model: what fn_plan_create makes of a description.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    max_rows : int
        The largest batch.
    training : bool
        With a backward pass.
    inputs : list of (shape, scale, shift)
        Shape of one sample; scale and shift are None or one number for each feature.
    nodes : list of (op, layer, inputs, parameters, attributes)
        Names, value numbers, parameter numbers, {attribute: number}.
    parameters : list of (shape, offset, trainable[, decays, rate, l1, l2[, constraint[, values[, update_shape]]]])
        Offsets in elements into the slabs. Whether weight decay applies, the factor of the learning rate, the penalty,
        the fields of an fn_constraint, or None, and an array to read the numbers from instead of the slab, or None, in plans
        that do not train, and the shape for an optimizer that looks at parameters as a whole.
    outputs : list of (value, loss, attributes, weight, layer) or (..., mask)
        loss is None where there is none; the mask is the number of a value, or None.
    metrics : list of (metric, attributes, output) or (metric, attributes, output, value)
        The value is added up in place of the prediction, by metrics that need no target.
    optimizer : str or None
    hyper : dict
        Hyper-parameters, as far as they decide on the slots.
    scheduled : list of (node, attribute)
        Number of a node and name of an attribute that a further column of `hyper` sets for each step.
    assignments : list of (parameter, value)
        Numbers of parameters, and of values without a batch, which these become after each update.
    parameter_slab, gradient_slab : ndarray
        Aligned one-dimensional arrays, kept by reference.
    slots : list of ndarray
    seed, n_threads, input_gradients, separate_stages, pieces, replicas, cuts
        See fn_plan_spec; n_threads 0 leaves the choice to measurement.

    Raises
    ------
    ValueError, TypeError, MemoryError
        Whatever does not fit, with the layer's name.
    """
    cdef fn_plan *plan
    cdef object kept
    cdef readonly object dtype
    cdef readonly int64_t max_rows
    cdef readonly list input_widths, output_widths, target_widths
    cdef readonly int64_t metric_size
    cdef readonly list exchanges  # how many numbers each replica says in those of a step
    cdef int64_t exchange_numbers  # of all replicas in all of them
    cdef readonly list cuts  # the part of a step after which the gradients from each cut on are complete
    cdef readonly bint has_loss  # an output has a loss, or an operation adds to it: LOSS is a part of its steps
    cdef readonly int n_hyper
    cdef readonly int pieces  # of each batch
    cdef readonly int64_t epochs_done, next_row, steps_done  # of the last run, also when it raised
    cdef readonly double gradient_squares  # squared norms of the gradients of its updates, added to what was given
    cdef object checked_order  # of the last run that had one: all of it within its arrays
    cdef bint running  # in C, without the GIL
    cdef bint taken    # by a thread, from a pool
    cdef int64_t forks # since one of these was said: in a forked child neither is true
    cdef object bound  # number of what is in its slab, where that is its own
    cdef readonly int64_t memory
    cdef bint recent  # the short way has used it, see `PlanPool.was_used`
    cdef bint brief  # a prediction takes so little time that the GIL is not given up, unless several threads make them
    cdef bint tiny   # nor then

    def __init__(self, *, dtype, max_rows, training, inputs, nodes, parameters, outputs, metrics=(), optimizer=None,
                 hyper=None, scheduled=(), assignments=(), parameter_slab=None, gradient_slab=None, slots=(), seed=0, n_threads=0,
                 input_gradients=False, separate_stages=False, pieces=1, replicas=0, cuts=()):
        cdef _Scratch scratch = _Scratch()
        cdef fn_plan_spec spec
        cdef fn_error error
        cdef fn_plan *made = NULL
        cdef fn_shape shape
        cdef fn_constraint *constraint
        memset(&spec, 0, sizeof(spec))
        spec.size = sizeof(spec)
        memset(&error, 0, sizeof(error))
        if self.plan != NULL:
            raise RuntimeError("a plan cannot be initialised twice")
        if dtype not in _DTYPES:
            raise TypeError(f"models are computed in float32 or float64, not {dtype!r}")
        self.dtype = np.dtype(dtype)
        self.max_rows = max_rows
        spec.dtype = _DTYPES[dtype]
        spec.max_rows = max_rows
        spec.training = training
        spec.input_gradients = input_gradients
        spec.separate_stages = separate_stages
        spec.pieces = pieces
        spec.seed = seed & 0xFFFFFFFFFFFFFFFF
        spec.n_threads = n_threads or 0
        spec.replicas = replicas
        spec.n_cuts = len(cuts)
        cdef int64_t *cut_numbers = <int64_t *>scratch.allocate(len(cuts) * sizeof(int64_t))
        spec.cuts = cut_numbers
        for i in range(len(cuts)):
            cut_numbers[i] = cuts[i]

        spec.n_inputs = len(inputs)
        cdef fn_input_spec *input_specs = <fn_input_spec *>scratch.allocate(len(inputs) * sizeof(fn_input_spec))
        if sum(len(given) == 3 for given in inputs) > FN_MAX_LOSSES:
            raise ValueError(f"a model has at most {FN_MAX_LOSSES} inputs, got {len(inputs)}")
        self.input_widths = []
        for i, (sizes, scale, shift, *target) in enumerate(inputs):
            to_shape(sizes, &input_specs[i].shape, "input")
            width = int(np.prod(sizes, dtype=np.int64))
            if target:
                input_specs[i].target = 1 + target[0] if target[0] >= 0 else target[0]
            else:
                self.input_widths.append(width)
            for numbers in (scale, shift):
                if numbers is not None and len(numbers) != width:
                    raise ValueError(f"input {i}: scaling has {len(numbers)} numbers, expected {width}")
            input_specs[i].scale = NULL if scale is None else scratch.numbers(scale)
            input_specs[i].shift = NULL if shift is None else scratch.numbers(shift)
        spec.inputs = input_specs

        spec.n_nodes = len(nodes)
        cdef fn_node_spec *node_specs = <fn_node_spec *>scratch.allocate(len(nodes) * sizeof(fn_node_spec))
        for i, (op, layer, read, used, attributes) in enumerate(nodes):
            node_specs[i].op = scratch.text(op)
            node_specs[i].layer = scratch.text(layer)
            node_specs[i].n_inputs = len(read)
            node_specs[i].inputs = scratch.integers(read)
            node_specs[i].n_parameters = len(used)
            node_specs[i].parameters = scratch.integers(used)
            node_specs[i].attributes = scratch.numbers(ordered_attributes(FN_OPS, op, attributes))
        spec.nodes = node_specs

        slab_size = 0
        elsewhere = []  # values that are not in the slab
        spec.n_parameters = len(parameters)
        cdef fn_parameter_spec *parameter_specs = <fn_parameter_spec *>scratch.allocate(
            len(parameters) * sizeof(fn_parameter_spec))
        for i, (sizes, offset, trainable, *rest) in enumerate(parameters):
            to_shape(sizes, &parameter_specs[i].shape, "parameter")
            parameter_specs[i].offset = offset
            parameter_specs[i].trainable = trainable
            decays, rate, l1, l2, *limits = rest or (True, 1.0, 0.0, 0.0)
            parameter_specs[i].decays = decays
            parameter_specs[i].rate = rate
            parameter_specs[i].l1 = l1
            parameter_specs[i].l2 = l2
            if limits and limits[0] is not None:
                constraint = <fn_constraint *>scratch.allocate(sizeof(fn_constraint))
                constraint.non_negative, constraint.lowest, constraint.highest = limits[0][:3]
                constraint.rate, constraint.reduced, constraint.inner = limits[0][3:]
                parameter_specs[i].constraint = constraint
            if len(limits) > 1 and limits[1] is not None:
                self.check_values(limits[1], int(np.prod(sizes, dtype=np.int64)))
                parameter_specs[i].values = cnp.PyArray_DATA(limits[1])
                elsewhere.append(limits[1])
            if len(limits) > 2:
                to_shape(limits[2], &parameter_specs[i].update_shape, "parameter")
            if len(limits) < 2 or limits[1] is None:
                slab_size = max(slab_size, offset + int(np.prod(sizes, dtype=np.int64)))
        spec.parameters = parameter_specs

        spec.n_outputs = len(outputs)
        cdef fn_output_spec *output_specs = <fn_output_spec *>scratch.allocate(len(outputs) * sizeof(fn_output_spec))
        for i, (value, loss, attributes, weight, layer, *more) in enumerate(outputs):
            mask = more[0] if more else None
            output_specs[i].value = value
            output_specs[i].loss_weight = weight
            output_specs[i].layer = scratch.text(layer)
            if mask is not None:
                output_specs[i].mask = scratch.integers([mask])
            if len(more) > 1:
                output_specs[i].formula = scratch.integers([more[1]])
                output_specs[i].labels = more[2]
            if loss is not None:
                output_specs[i].loss = scratch.text(loss)
                output_specs[i].loss_attributes = scratch.numbers(ordered_attributes(FN_LOSSES, loss, attributes))
        spec.outputs = output_specs

        spec.n_metrics = len(metrics)
        cdef fn_metric_spec *metric_specs = <fn_metric_spec *>scratch.allocate(len(metrics) * sizeof(fn_metric_spec))
        for i, (metric, attributes, output, *formula) in enumerate(metrics):
            metric_specs[i].metric = scratch.text(metric)
            metric_specs[i].attributes = scratch.numbers(ordered_attributes(FN_METRICS, metric, attributes))
            metric_specs[i].output = output
            if formula:
                metric_specs[i].formula = scratch.integers(formula)
        spec.metrics = metric_specs

        cdef fn_scheduled *columns = <fn_scheduled *>scratch.allocate(len(scheduled) * sizeof(fn_scheduled))
        for i, (node, attribute) in enumerate(scheduled):
            columns[i].node = node
            columns[i].attribute = list(registry("ops")[nodes[node][0]]).index(attribute)
        spec.n_scheduled = len(scheduled)
        spec.scheduled = columns

        cdef fn_assignment *assigned = <fn_assignment *>scratch.allocate(len(assignments) * sizeof(fn_assignment))
        for i, (parameter, value) in enumerate(assignments):
            assigned[i].parameter, assigned[i].value = parameter, value
        spec.n_assignments = len(assignments)
        spec.assignments = assigned

        self.n_hyper = len(scheduled)
        slabs = [("parameter", parameter_slab), ("gradient", gradient_slab)]
        if optimizer is not None:
            spec.optimizer = scratch.text(optimizer)
            spec.hyper = scratch.numbers(ordered_hyper(optimizer, hyper))
            self.n_hyper += len(hyper_names(optimizer))
            needed = optimizer_slots(optimizer, hyper)
            if len(slots) != len(needed):
                raise ValueError(f"optimizer {optimizer} keeps {len(needed)} slots, got {len(slots)}")
            if gradient_slab is None:
                raise ValueError("an update needs a gradient slab")
            if any(slot is None for slot in slots):
                raise TypeError(f"optimizer {optimizer}: a slot is None")
            slabs += [(name, slot) for (name, _), slot in zip(needed, slots)]
        for name, slab in slabs:
            if slab is None:
                continue
            if slab.dtype != self.dtype or slab.ndim != 1 or not slab.flags.c_contiguous or not slab.flags.writeable:
                raise TypeError(f"the {name} slab must be a writeable one-dimensional array of {dtype}")
            if slab.size < slab_size or slab.ctypes.data % FN_ALIGNMENT:
                raise ValueError(f"the {name} slab has {slab.size} elements, expected {slab_size}, aligned")
        if parameters and parameter_slab is None:
            raise ValueError("a model with parameters needs a parameter slab")
        spec.parameter_slab = NULL if parameter_slab is None else cnp.PyArray_DATA(parameter_slab)
        spec.gradient_slab = NULL if gradient_slab is None else cnp.PyArray_DATA(gradient_slab)
        for i, slot in enumerate(slots):
            spec.slots[i] = cnp.PyArray_DATA(slot)
        self.kept = (parameter_slab, gradient_slab, list(slots), elsewhere)

        check(fn_plan_create(&spec, &made, &error), &error)
        self.plan = made
        self._measure_outputs(inputs, nodes, outputs, metrics)
        self.has_loss = any(stage["phase"] & FN_PHASE_LOSS for stage in self.stages())
        self.exchanges = []
        while (width := fn_plan_exchange(made, len(self.exchanges))) > 0:
            self.exchanges.append(width)
        self.exchange_numbers = replicas * sum(self.exchanges)
        self.cuts = [fn_plan_cut(made, i) for i in range(len(cuts))]
        info = self.info()
        self.pieces = info["pieces"]
        self.memory = info["arena_bytes"] + info["thread_bytes"] * (n_threads or fn_default_threads())

    cdef int check_values(self, object values, int64_t size) except -1:
        """TypeError or ValueError unless it is an array that a parameter of so many numbers can be read from."""
        if type(values) is not np.ndarray or values.dtype != self.dtype or not values.flags.c_contiguous:
            raise TypeError(f"the values of a parameter must be a contiguous array of {self.dtype}")
        if values.size != size:
            raise ValueError(f"the values of a parameter have {values.size} elements, expected {size}")
        return 0

    def _measure_outputs(self, inputs, nodes, outputs, metrics):
        """Widths of the rows of outputs and targets, from the same inference that the plan was made by."""
        shapes = [tuple(sizes) for sizes, *_ in inputs]
        targets = {target[0]: int(np.prod(sizes, dtype=np.int64)) for sizes, _, _, *target in inputs if target}
        for op, layer, read, used, attributes in nodes:
            shapes += infer(op, layer, [shapes[value] for value in own_inputs(read, used)], attributes)[0]
        self.output_widths = [int(np.prod(shapes[value], dtype=np.int64)) for value, *_ in outputs]
        self.target_widths = [targets.get(i) if loss is None else int(np.prod(infer_target(loss, attributes, shapes[value]),
                                                                              dtype=np.int64))
                              for i, (value, loss, attributes, *_) in enumerate(outputs)]
        self.metric_size = sum(metric_size(metric, attributes, shapes[formula[0] if formula else outputs[output][0]])
                               for metric, attributes, output, *formula in metrics)

    def __dealloc__(self):
        fn_plan_destroy(self.plan)

    def bind(self, values, number):
        """Copies numbers into its slab, which nobody else has, unless those of this number are there."""
        if self.bound != number:
            self.bound = None
            self.kept[0][...] = values
            self.bound = number

    cdef bint is_used(self):
        if self.forks != _forks:  # a forked child does not have the threads of its parent
            self.running = self.taken = False
            self.forks = _forks
        return self.running or self.taken

    def info(self):
        """Facts: isa, n_threads (0: undecided), stages, barriers, arena_bytes, thread_bytes, live_bytes, peers (1: none),
        peer_steps (in all calls), pieces."""
        cdef fn_plan_info info
        info.size = sizeof(info)
        fn_plan_describe(self.plan, &info)
        return {"isa": fn_isa_name(info.isa).decode(), "n_threads": info.n_threads, "stages": info.n_stages,
                "barriers": info.n_barriers, "arena_bytes": info.arena_bytes, "thread_bytes": info.thread_bytes,
                "live_bytes": info.live_bytes, "peers": info.n_peers, "peer_steps": info.peer_steps, "pieces": info.pieces}

    def stages(self):
        """What is known of each stage: label, layer, part, flops_per_row, flops_fixed, bytes_per_row, bytes_fixed."""
        cdef fn_stage_info info
        info.size = sizeof(info)
        stages = []
        while fn_plan_stage(self.plan, len(stages), &info):
            stages.append({"label": info.label.decode(), "layer": "" if info.layer == NULL else info.layer.decode(),
                           "phase": info.phase, "flops_per_row": info.flops_per_row, "flops_fixed": info.flops_fixed,
                           "bytes_per_row": info.bytes_per_row, "bytes_fixed": info.bytes_fixed})
        return stages

    def stage_labels(self):
        """Labels of the stages, in order."""
        return [stage["label"] for stage in self.stages()]

    cdef int set_order(self, fn_run *run, cnp.ndarray order) except -1:
        """The rows in the order of visit, run.n_rows of them or more."""
        if order.dtype != np.int64 or order.ndim != 1 or not order.flags.c_contiguous or len(order) < run.n_rows:
            raise ValueError("order must be a contiguous array of int64, a number for each row")
        if order is not self.checked_order:  # an epoch is many calls with the same order
            rows = len(order)
            for wrong in order[(order < 0) | (order >= rows)][:1]:
                raise ValueError(f"order holds row {wrong}, but its {rows} rows are those from 0 to {rows - 1}")
            self.checked_order = order
        run.order = <int64_t *>cnp.PyArray_DATA(order)
        return 0

    cdef int set_hyper(self, fn_run *run, cnp.ndarray hyper, int64_t steps, str whose="") except -1:
        """One row of hyper-parameters, or one for each step; whose: begins what errors say."""
        if hyper.ndim not in (1, 2) or hyper.dtype != np.float64 or not hyper.flags.c_contiguous or hyper.shape[hyper.ndim - 1] != self.n_hyper:
            raise ValueError(f"{whose}hyper must be an array of float64 with {self.n_hyper} columns")
        if hyper.ndim == 2:
            if len(hyper) < steps:
                raise ValueError(f"{whose}hyper has {len(hyper)} rows, expected one for each of {steps} steps")
            run.hyper_stride = self.n_hyper
        run.hyper = <const double *>cnp.PyArray_DATA(hyper)
        return 0

    cdef int fill_arrays(self, object arrays, list widths, void **pointers, int64_t n_rows, bint writeable,
                         object what) except -1:
        """Addresses of arrays of the plan's dtype, n_rows rows each; None stays NULL."""
        cdef cnp.ndarray array
        cdef int type_number = (<cnp.dtype>self.dtype).type_num
        if len(arrays) != len(widths):
            raise ValueError(f"{what}: got {len(arrays)} arrays, expected {len(widths)}")
        for i, given in enumerate(arrays):
            if given is None:
                continue
            array = given
            if cnp.PyArray_TYPE(array) != type_number or not (
                cnp.PyArray_ISCARRAY(array) if writeable else cnp.PyArray_ISCARRAY_RO(array)
            ):  # in place, and so in the order of bytes of the machine
                raise TypeError(f"{what}: expected a contiguous array of {self.dtype}")
            if array.size < n_rows * widths[i]:
                raise ValueError(f"{what}: array {i} has {array.size} numbers, expected {n_rows * widths[i]}")
            pointers[i] = cnp.PyArray_DATA(array)
        return 0

    def run(self, unsigned phases, *, int64_t n_rows, int64_t batch_size, int64_t first_row=0, inputs=None, targets=None,
            weights=None, cnp.ndarray order=None, int64_t epochs=1, shuffle=None, uint64_t step=0, cnp.ndarray hyper=None,
            outputs=None, output_gradients=None, input_gradients=None, double seconds=0, double mixup=0, double cutmix=0,
            cnp.ndarray loss_sum=None, cnp.ndarray metrics=None, double gradient_squares=0, cnp.ndarray epoch_results=None,
            cnp.ndarray stage_seconds=None, Counter counter=None, int64_t counts=1, Position position=None, staged=None,
            int64_t mean_rows=0, cnp.ndarray results=None, bint checked=False,
            int part=0, int replica=0, cnp.ndarray exchange=None):
        """Runs batch after batch, without the GIL; see fn_plan_run.

        Parameters
        ----------
        phases : int
            Sum of FORWARD, LOSS, BACKWARD, UPDATE, FETCH, OUTPUT_GRADIENT, FETCH_GRADIENTS, STATES.
        n_rows, batch_size, first_row : int
        inputs, targets, weights : list of ndarray
            n_rows rows each (more, if `order` names them). Rows of weights have one number, or one for each so many positions of
            the output, which lie together; None among them stands for ones.
        order : ndarray of int64
            Numbers from 0 to its length - 1: checked in the first call with an array, which only `shuffle` may write to after.
        epochs : int
            How often to visit the rows, in training: `epochs_done` of these are over when another has begun.
        shuffle : tuple of int, optional
            Seed and number of `order`: a permutation of n_rows rows, that in each further pass is the one of the next number.
        step : int
        hyper : ndarray of float64
            One row of hyper-parameters, or one row for each step.
        outputs, output_gradients, input_gradients : list of ndarray or None
        seconds : float
            Return after the step in which this time is over; 0: never.
        mixup, cutmix : float
            Their alpha; 0: rows are not mixed.
        loss_sum, metrics : ndarray of float64
            Added to.
        gradient_squares : float
            What the attribute of this name begins with.
        epoch_results : ndarray of float64
            A row for each pass but the last. Where a pass ends and another begins, `loss_sum`, `metrics` and
            `gradient_squares` are moved here, followed by the seconds since this call began.
        stage_seconds : ndarray of float64
            Added to: the time that each stage took.
        counter : Counter
            Counts the batches of the steps made, `counts` for each, also where the run raises: before Python can do anything else.
        position : Position
            Gets `next_row`, `epochs_done` and the `gradient_squares` in the same moment.
        staged : tuple of (int, ndarray, ndarray), optional
            The row, totals and sums that the position gets instead, if a step was made.
        part, replica : int
            Of a plan with `exchanges`: which part of the step to run, one more than there are of these, and as which replica. Of one
            with `cuts`: which part of the step to run, one more than they have different ones.
        exchange : ndarray of float64
            What all replicas say: exchange after exchange, a row for each replica.

        mean_rows, checked
            See fn_run.
        results : ndarray of float64
            In place of loss_sum and metrics: a row for each piece, of the losses and then the metrics.

        Returns
        -------
        next_row, steps_done : int

        Raises
        ------
        FloatingPointError
            The loss or a gradient is not finite: the parameters are those from before that step. Or parameters are not finite
            after a step.
        """
        cdef fn_run run
        cdef fn_error error
        cdef fn_plan_info info
        cdef fn_source input_sources[FN_MAX_LOSSES]
        cdef fn_source target_sources[FN_MAX_LOSSES]
        cdef fn_source weight_sources[FN_MAX_LOSSES]
        cdef int64_t weights_per_row[FN_MAX_LOSSES]
        cdef void *output_pointers[FN_MAX_LOSSES]
        cdef void *output_gradient_pointers[FN_MAX_LOSSES]
        cdef void *gradient_pointers[FN_MAX_LOSSES]
        cdef fn_status status
        cdef int i
        cdef int64_t staged_row = 0
        cdef object staged_totals = None, staged_sums = None
        memset(&run, 0, sizeof(run))
        run.size = sizeof(run)
        error.message[0] = 0
        if self.plan == NULL:
            raise RuntimeError("this plan was not initialised")
        self.is_used()
        if self.running:
            raise RuntimeError("this model is being run by another thread")
        self.epochs_done, self.next_row, self.steps_done, self.gradient_squares = 0, first_row, 0, gradient_squares
        run.phases = phases
        run.n_rows = n_rows
        run.batch_size = batch_size
        run.first_row = first_row
        run.step = step
        run.seconds = seconds
        run.mean_rows = mean_rows
        run.checked = checked
        run.mixup = mixup
        run.cutmix = cutmix
        run.gradient_squares = gradient_squares
        rows = n_rows
        if order is not None:
            self.set_order(&run, order)
            rows = len(order)
        if inputs is not None:
            if len(inputs) != len(self.input_widths):
                raise ValueError(f"got {len(inputs)} inputs, expected {len(self.input_widths)}")
            for i in range(len(inputs)):
                to_source(inputs[i], &input_sources[i], rows, self.input_widths[i])
            run.inputs = input_sources
        if targets is not None:
            memset(target_sources, 0, sizeof(target_sources))
            if len(targets) != len(self.target_widths):
                raise ValueError(f"got {len(targets)} targets, expected {len(self.target_widths)}")
            for i in range(len(self.target_widths)):
                if self.target_widths[i] is not None:
                    to_source(targets[i], &target_sources[i], rows, self.target_widths[i])
            run.targets = target_sources
        if weights is not None:
            memset(weight_sources, 0, sizeof(weight_sources))
            if len(weights) != len(self.target_widths):
                raise ValueError(f"got {len(weights)} weights, expected {len(self.target_widths)}")
            for i in range(len(self.target_widths)):
                weights_per_row[i] = 1
                if weights[i] is not None:
                    weights_per_row[i] = row_width(weights[i])
                    to_source(weights[i], &weight_sources[i], rows, weights_per_row[i])
            run.weights = weight_sources
            run.weights_per_row = weights_per_row
        if outputs is not None:
            memset(output_pointers, 0, sizeof(output_pointers))
            self.fill_arrays(outputs, self.output_widths, output_pointers, n_rows, True, "outputs")
            run.outputs = output_pointers
        if output_gradients is not None:
            memset(output_gradient_pointers, 0, sizeof(output_gradient_pointers))
            self.fill_arrays(output_gradients, self.output_widths, output_gradient_pointers, n_rows, False, "output_gradients")
            run.output_gradients = <const void **>output_gradient_pointers
        if input_gradients is not None:
            memset(gradient_pointers, 0, sizeof(gradient_pointers))
            self.fill_arrays(input_gradients, self.input_widths, gradient_pointers, n_rows, True, "input_gradients")
            run.input_gradients = gradient_pointers
        if epochs > 1:
            run.epochs = epochs
            columns = 3 + len(self.output_widths) + self.metric_size
            if epoch_results is None or epoch_results.dtype != np.float64 or not epoch_results.flags.carray or epoch_results.size < (epochs - 1) * columns:
                raise ValueError(f"epoch_results must be a contiguous writeable array of float64, {epochs - 1} rows of {columns} numbers")
            run.epoch_results = <double *>cnp.PyArray_DATA(epoch_results)
            if shuffle is not None:
                if order is None or len(order) != n_rows or not order.flags.writeable:
                    raise ValueError("shuffle needs a writeable order of the rows")
                run.shuffles = True
                run.shuffle_seed, run.shuffle_number = shuffle
        if hyper is not None:
            steps = (n_rows - first_row + batch_size - 1) // max(batch_size, 1)
            steps += (max(epochs, 1) - 1) * ((n_rows + batch_size - 1) // max(batch_size, 1))
            self.set_hyper(&run, hyper, steps)
        if loss_sum is not None:
            if loss_sum.dtype != np.float64 or not loss_sum.flags.carray or loss_sum.size < 1 + len(self.output_widths):
                raise ValueError("loss_sum must be a contiguous writeable array of float64: the total and one number for each output")
            run.loss_sum = <double *>cnp.PyArray_DATA(loss_sum)
        if metrics is not None:
            if metrics.dtype != np.float64 or not metrics.flags.carray or metrics.size < self.metric_size:
                raise ValueError(f"metrics must be a contiguous writeable array of float64 with {self.metric_size} elements")
            run.metrics = <double *>cnp.PyArray_DATA(metrics)
        if results is not None:
            columns = 1 + len(self.output_widths) + self.metric_size
            if results.dtype != np.float64 or not cnp.PyArray_ISBEHAVED(results) or results.ndim != 2 or len(results) < self.pieces or (
                    results.shape[1] < columns or results.strides[1] != sizeof(double) or results.strides[0] % sizeof(double)):
                raise ValueError(f"results must be a writeable array of float64, {self.pieces} rows of {columns} numbers")
            run.loss_sum = <double *>cnp.PyArray_DATA(results)
            run.metrics = run.loss_sum + 1 + len(self.output_widths)
            run.piece_stride = results.strides[0] // <int64_t>sizeof(double)
        elif self.pieces > 1 and (loss_sum is not None or metrics is not None):
            raise ValueError("a plan of several pieces has results for each")
        if stage_seconds is not None:
            info.size = sizeof(info)
            fn_plan_describe(self.plan, &info)
            if stage_seconds.dtype != np.float64 or not stage_seconds.flags.carray or stage_seconds.size < info.n_stages:
                raise ValueError(f"stage_seconds must be a contiguous writeable array of float64 with {info.n_stages} elements")
            run.stage_seconds = <double *>cnp.PyArray_DATA(stage_seconds)
        run.part, run.replica = part, replica
        if exchange is not None:
            if exchange.dtype != np.float64 or not exchange.flags.carray or exchange.size < self.exchange_numbers:
                raise ValueError(f"exchange must be a contiguous writeable array of float64 with {self.exchange_numbers} elements")
            run.exchange = <double *>cnp.PyArray_DATA(exchange)
        if staged is not None:
            staged_row, staged_totals, staged_sums = staged
        self.running = True
        try:
            with nogil:
                status = fn_plan_run(self.plan, &run, &error)
        finally:
            self.running = False
        self.epochs_done, self.next_row, self.steps_done = run.epochs_done, run.next_row, run.steps_done
        self.gradient_squares = run.gradient_squares
        if counter is not None:
            counter.put(counter.seen + counts * run.steps_done)
        if position is not None:
            position.epochs, position.squared_norm = run.epochs_done, run.gradient_squares
            if staged is None:
                position.row = run.next_row
            elif run.steps_done:
                position.row, position.totals, position.sums = staged_row, staged_totals, staged_sums
        check(status, &error)
        return run.next_row, run.steps_done
