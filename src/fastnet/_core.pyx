"""The engine for Python: plans, registries, statuses. No loops over data, no arithmetic.

Everything here checks the arrays it is given (dtype, length, layout) before their addresses go to C.
"""
# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=False

cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

import numpy as np

cnp.import_array()


cdef extern from "fastnet.h" nogil:
    enum: FN_MAX_RANK
    enum: FN_MAX_SLOTS
    enum: FN_ALIGNMENT
    enum: FN_STATUS_COUNT
    enum: FN_MAX_LOSSES

    ctypedef enum fn_status:
        FN_OK
        FN_ERROR_MEMORY
        FN_ERROR_DATA
        FN_ERROR_LABEL

    ctypedef struct fn_error:
        fn_status status
        char message[400]

    const char *fn_status_name(fn_status)
    const char *fn_status_exception(fn_status)
    const char *fn_status_text(fn_status)

    ctypedef enum fn_dtype:
        FN_FLOAT32
        FN_FLOAT64
        FN_UINT8
        FN_INT32
        FN_INT64

    ctypedef struct fn_shape:
        int32_t rank
        int64_t size[6]

    ctypedef enum fn_isa:
        FN_ISA_COUNT

    const char *fn_isa_name(fn_isa)
    bint fn_isa_available(fn_isa)
    fn_isa fn_isa_current()
    fn_status fn_isa_select(const char *, fn_error *)
    int fn_cpu_count()
    double fn_cpu_quota()
    int fn_default_threads()

    ctypedef enum fn_registry:
        FN_OPS
        FN_LOSSES
        FN_METRICS
        FN_OPTIMIZERS
        FN_ACTIVATIONS
        FN_UPDATES

    ctypedef struct fn_attribute:
        const char *name
        double value

    ctypedef struct fn_entry:
        const char *name
        const fn_attribute *attributes
        int32_t n_attributes

    int fn_registry_size(fn_registry)
    const fn_entry *fn_registry_entry(fn_registry, int)
    int fn_registry_find(fn_registry, const char *)
    int fn_optimizer_slots(const char *, const double *, const char **, double *)
    int64_t fn_metric_size(const char *, const double *, const fn_shape *)

    ctypedef struct fn_signature:
        int32_t n_outputs
        fn_shape output[4]
        int32_t n_parameters
        fn_shape parameter[8]

    fn_status fn_infer(const char *, const char *, int, const fn_shape *, const double *, fn_signature *, fn_error *)
    fn_status fn_infer_target(const char *, const double *, const fn_shape *, fn_shape *, fn_error *)
    fn_status fn_compute_loss(const char *, const double *, fn_dtype, int64_t, int64_t, const void *, const void *,
                              const void *, void *, void *, fn_error *)
    fn_status fn_compute_metric(const char *, const double *, fn_dtype, int64_t, int64_t, int64_t, const void *,
                                const void *, double *, fn_error *)

    ctypedef struct fn_node_spec:
        const char *op
        const char *layer
        int32_t n_inputs
        const int32_t *inputs
        int32_t n_parameters
        const int32_t *parameters
        const double *attributes

    ctypedef struct fn_constraint:
        bint non_negative
        double lowest
        double highest
        double rate
        int64_t reduced
        int64_t inner

    ctypedef struct fn_parameter_spec:
        fn_shape shape
        int64_t offset
        bint trainable
        bint decays
        double rate
        double l1
        double l2
        const fn_constraint *constraint

    ctypedef struct fn_input_spec:
        fn_shape shape
        const double *scale
        const double *shift

    ctypedef struct fn_output_spec:
        int32_t value
        const char *loss
        const double *loss_attributes
        double loss_weight
        const char *layer

    ctypedef struct fn_metric_spec:
        const char *metric
        const double *attributes
        int32_t output

    ctypedef struct fn_scheduled:
        int32_t node
        int32_t attribute

    ctypedef struct fn_plan_spec:
        fn_dtype dtype
        int64_t max_rows
        bint training
        bint input_gradients
        uint64_t seed
        int32_t n_threads
        int32_t n_inputs, n_nodes, n_parameters, n_outputs, n_metrics
        const fn_input_spec *inputs
        const fn_node_spec *nodes
        const fn_parameter_spec *parameters
        const fn_output_spec *outputs
        const fn_metric_spec *metrics
        const char *optimizer
        const double *hyper
        int32_t n_scheduled
        const fn_scheduled *scheduled
        void *parameter_slab
        void *gradient_slab
        void *slots[12]

    ctypedef struct fn_plan:
        pass

    fn_status fn_plan_create(const fn_plan_spec *, fn_plan **, fn_error *)
    void fn_plan_destroy(fn_plan *)

    ctypedef struct fn_source:
        const void *data
        fn_dtype dtype
        int64_t stride

    enum:
        FN_RUN_FORWARD
        FN_RUN_LOSS
        FN_RUN_BACKWARD
        FN_RUN_UPDATE
        FN_RUN_FETCH
        FN_RUN_SEED
        FN_RUN_FETCH_GRADIENTS
        FN_RUN_FLUSH

    ctypedef struct fn_run:
        unsigned parts
        int64_t n_rows
        int64_t batch_size
        int64_t first_row
        const int64_t *order
        const fn_source *inputs
        const fn_source *targets
        const fn_source *weights
        double mixup
        uint64_t step
        const double *hyper
        int64_t hyper_stride
        void **outputs
        const void **output_gradients
        void **input_gradients
        double seconds
        const int *stop
        double *loss_sum
        double *metrics
        double gradient_squares
        int64_t next_row
        int64_t steps_done

    fn_status fn_plan_run(fn_plan *, fn_run *, fn_error *)

    ctypedef struct fn_plan_info:
        fn_isa isa
        int32_t n_threads
        int32_t n_stages
        int32_t n_barriers
        int64_t arena_bytes
        int64_t thread_bytes
        int64_t live_bytes

    void fn_plan_describe(const fn_plan *, fn_plan_info *)
    const char *fn_plan_stage_label(const fn_plan *, int)
    int64_t fn_allocation_count()
    void fn_shuffle(uint64_t, uint64_t, int64_t, int64_t *)
    fn_status fn_check_finite(const fn_source *, int64_t, int64_t, int64_t *)
    fn_status fn_check_labels(const fn_source *, int64_t, int64_t, int64_t, int64_t *, double *)


FORWARD = FN_RUN_FORWARD
LOSS = FN_RUN_LOSS
BACKWARD = FN_RUN_BACKWARD
UPDATE = FN_RUN_UPDATE
FETCH = FN_RUN_FETCH
SEED = FN_RUN_SEED
FETCH_GRADIENTS = FN_RUN_FETCH_GRADIENTS
FLUSH = FN_RUN_FLUSH
ALIGNMENT = FN_ALIGNMENT


# ---- statuses ------------------------------------------------------------------------------------

_EXCEPTIONS = {
    "None": None, "MemoryError": MemoryError, "ValueError": ValueError, "TypeError": TypeError,
    "FloatingPointError": FloatingPointError, "RuntimeError": RuntimeError,
}


def statuses():
    """The statuses of the engine: a list of (name, exception class or None, meaning)."""
    return [(fn_status_name(<fn_status>i).decode(), _EXCEPTIONS[fn_status_exception(<fn_status>i).decode()],
             fn_status_text(<fn_status>i).decode()) for i in range(FN_STATUS_COUNT)]


cdef int check(fn_status status, fn_error *error) except -1:
    """Raises the exception that belongs to a status."""
    if status == FN_OK:
        return 0
    message = error.message.decode("utf-8", "replace") or fn_status_text(status).decode()
    raise _EXCEPTIONS[fn_status_exception(status).decode()](message)


# ---- the machine -----------------------------------------------------------------------------------

def isa():
    """Name of the instruction set in use."""
    return fn_isa_name(fn_isa_current()).decode()


def available_isas():
    """Names of the instruction sets that are compiled in and that this machine has."""
    return [fn_isa_name(<fn_isa>i).decode() for i in range(FN_ISA_COUNT) if fn_isa_available(<fn_isa>i)]


def select_isa(name=None):
    """Chooses the kernels for the plans made from now on; None: the best. ValueError if there is none such."""
    cdef fn_error error
    error.message[0] = 0
    text = (name or "").encode()
    check(fn_isa_select(text, &error), &error)
    note_change()


def cpu_count():
    """Logical CPUs this process may run on."""
    return fn_cpu_count()


def cpu_quota():
    """CPU quota of the container in CPUs; 0: none."""
    return fn_cpu_quota()


def default_threads():
    """Most threads a plan uses unless told otherwise."""
    return fn_default_threads()


def allocation_count():
    """Allocations made by the engine since the process started."""
    return fn_allocation_count()


# ---- versions --------------------------------------------------------------------------------------

cdef int64_t _version = 0


def note_change():
    """Says that something has changed that plans are made of: an attribute of a layer, the slab of a weight."""
    global _version
    _version += 1


def version():
    """A number that is another one after each `note_change`."""
    return _version


# ---- helpers ---------------------------------------------------------------------------------------

cdef class _Scratch:
    """C arrays that live as long as this object."""
    cdef list kept
    cdef void **blocks
    cdef int n_blocks, capacity

    def __cinit__(self):
        self.kept = []
        self.capacity = 64
        self.blocks = <void **>PyMem_Calloc(self.capacity, sizeof(void *))
        if self.blocks == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef int i
        if self.blocks != NULL:
            for i in range(self.n_blocks):
                PyMem_Free(self.blocks[i])
            PyMem_Free(self.blocks)

    cdef void *allocate(self, size_t bytes) except NULL:
        cdef void **larger
        cdef int i
        if self.n_blocks == self.capacity:
            larger = <void **>PyMem_Calloc(2 * self.capacity, sizeof(void *))
            if larger == NULL:
                raise MemoryError
            for i in range(self.n_blocks):
                larger[i] = self.blocks[i]
            PyMem_Free(self.blocks)
            self.blocks = larger
            self.capacity *= 2
        cdef void *block = PyMem_Calloc(1, bytes + 1)
        if block == NULL:
            raise MemoryError
        self.blocks[self.n_blocks] = block
        self.n_blocks += 1
        return block

    cdef const char *text(self, value) except NULL:
        data = value.encode()
        self.kept.append(data)
        return <const char *>data

    cdef double *numbers(self, values) except NULL:
        cdef double *array = <double *>self.allocate(len(values) * sizeof(double))
        for i, value in enumerate(values):
            array[i] = value
        return array

    cdef int32_t *integers(self, values) except NULL:
        cdef int32_t *array = <int32_t *>self.allocate(len(values) * sizeof(int32_t))
        for i, value in enumerate(values):
            array[i] = value
        return array


cdef int to_shape(object sizes, fn_shape *shape, object what) except -1:
    if len(sizes) > FN_MAX_RANK:
        raise ValueError(f"{what}: shape {tuple(sizes)} has {len(sizes)} axes; at most {FN_MAX_RANK} are possible")
    memset(shape, 0, sizeof(fn_shape))
    shape.rank = len(sizes)
    for i in range(len(sizes)):
        shape.size[i] = sizes[i]
    return 0


cdef tuple from_shape(const fn_shape *shape):
    return tuple([shape.size[i] for i in range(shape.rank)])


cdef dict _DTYPES = {"float32": FN_FLOAT32, "float64": FN_FLOAT64}
cdef dict _REGISTRIES = {"ops": FN_OPS, "losses": FN_LOSSES, "metrics": FN_METRICS, "optimizers": FN_OPTIMIZERS,
                         "activations": FN_ACTIVATIONS, "updates": FN_UPDATES}


cdef const fn_entry *find_entry(fn_registry registry, object name) except NULL:
    text = name.encode()
    cdef int index = fn_registry_find(registry, text)
    if index < 0:
        raise ValueError(f"the engine has no entry named {name!r}")
    return fn_registry_entry(registry, index)


cdef list ordered_attributes(fn_registry registry, object name, object given):
    """Values in the order of the registry, defaults filled in; ValueError for one it does not know."""
    cdef const fn_entry *entry = find_entry(registry, name)
    values = []
    left = dict(given or {})
    for i in range(entry.n_attributes):
        values.append(float(left.pop(entry.attributes[i].name.decode(), entry.attributes[i].value)))
    if left:
        raise ValueError(f"{name} has no attribute {sorted(left)[0]!r}")
    return values


cdef list ordered_hyper(object optimizer, object given):
    """Hyper-parameters of an optimizer, then those of the entry "update", in the order of the registries."""
    cdef const fn_entry *entry = find_entry(FN_UPDATES, "update")
    shared = {entry.attributes[i].name.decode() for i in range(entry.n_attributes)}
    given = dict(given or {})
    around = {name: given.pop(name) for name in list(given) if name in shared}
    return ordered_attributes(FN_OPTIMIZERS, optimizer, given) + ordered_attributes(FN_UPDATES, "update", around)


# ---- registries --------------------------------------------------------------------------------------

def registry(kind):
    """All entries of "ops", "losses", "metrics", "optimizers", "activations" or "updates".

    Returns
    -------
    dict
        {name: {attribute: default}}. "updates" has one entry, "update": the hyper-parameters of every optimizer.
    """
    cdef fn_registry number = _REGISTRIES[kind]
    cdef const fn_entry *entry
    entries = {}
    for i in range(fn_registry_size(number)):
        entry = fn_registry_entry(number, i)
        entries[entry.name.decode()] = {entry.attributes[j].name.decode(): entry.attributes[j].value
                                        for j in range(entry.n_attributes)}
    return entries


def activation_index(name):
    """Number of an activation: the value of the `activation` attribute of operations."""
    text = name.encode()
    index = fn_registry_find(FN_ACTIVATIONS, text)
    if index < 0:
        raise ValueError(f"unknown activation {name!r}")
    return index


def infer(op, layer, shapes, attributes):
    """Shapes of the outputs and parameters of an operation: (outputs, parameters), lists of tuples."""
    cdef _Scratch scratch = _Scratch()
    cdef fn_error error
    cdef fn_signature signature
    memset(&error, 0, sizeof(error))
    memset(&signature, 0, sizeof(signature))
    cdef fn_shape *inputs = <fn_shape *>scratch.allocate(len(shapes) * sizeof(fn_shape))
    for i, sizes in enumerate(shapes):
        to_shape(sizes, &inputs[i], layer)
    cdef double *values = scratch.numbers(ordered_attributes(FN_OPS, op, attributes))
    check(fn_infer(scratch.text(op), scratch.text(layer), len(shapes), inputs, values, &signature, &error), &error)
    return ([from_shape(&signature.output[i]) for i in range(signature.n_outputs)],
            [from_shape(&signature.parameter[i]) for i in range(signature.n_parameters)])


def infer_target(loss, attributes, shape):
    """Shape of the target that a loss wants for predictions of this shape (of one sample)."""
    cdef _Scratch scratch = _Scratch()
    cdef fn_error error
    cdef fn_shape prediction, target
    memset(&error, 0, sizeof(error))
    memset(&target, 0, sizeof(target))
    to_shape(shape, &prediction, "output")
    cdef double *values = scratch.numbers(ordered_attributes(FN_LOSSES, loss, attributes))
    check(fn_infer_target(scratch.text(loss), values, &prediction, &target, &error), &error)
    return from_shape(&target)


def optimizer_slots(optimizer, hyper):
    """Slots an update keeps with these hyper-parameters: a list of (name, start); NaN: starts as the parameters."""
    cdef _Scratch scratch = _Scratch()
    cdef const char *names[12]
    cdef double start[12]
    cdef double *values = scratch.numbers(ordered_hyper(optimizer, hyper))
    cdef int n = fn_optimizer_slots(scratch.text(optimizer), values, names, start)
    return [(names[i].decode(), start[i]) for i in range(n)]


def hyper_parameters(optimizer, values):
    """Hyper-parameters of an optimizer and its update as the row of numbers that Plan.run takes."""
    return np.array(ordered_hyper(optimizer, values), dtype=np.float64)


def hyper_names(optimizer):
    """Names of the numbers in that row."""
    return [*registry("optimizers")[optimizer], *registry("updates")["update"]]


def metric_size(metric, attributes, shape):
    """Number of accumulators of a metric for predictions of this shape (of one sample)."""
    cdef _Scratch scratch = _Scratch()
    cdef fn_shape prediction
    to_shape(shape, &prediction, "output")
    cdef double *values = scratch.numbers(ordered_attributes(FN_METRICS, metric, attributes))
    return fn_metric_size(scratch.text(metric), values, &prediction)


cdef cnp.ndarray contiguous(object array, object dtype):
    return np.ascontiguousarray(array, dtype=dtype)


def evaluate_loss(loss, attributes, y_true, y_pred, sample_weight=None):
    """Value of a loss and its gradient with respect to y_pred.

    Parameters
    ----------
    loss : str
        Name in the registry.
    attributes : dict
    y_true, y_pred : array_like, shape (n, ..., width)
        y_true without the last axis where the loss takes class labels. Computed in float64 if y_pred is, else in
        float32.
    sample_weight : array_like, shape (n,), optional

    Returns
    -------
    value : float
        sum(weight * loss) / number of positions.
    gradient : ndarray, shape of y_pred
    """
    cdef _Scratch scratch = _Scratch()
    cdef fn_error error
    memset(&error, 0, sizeof(error))
    dtype = np.float64 if np.asarray(y_pred).dtype == np.float64 else np.float32
    cdef cnp.ndarray prediction = contiguous(y_pred, dtype)
    if prediction.ndim < 2 or prediction.size == 0:
        raise ValueError(f"y_pred must have the shape (n, ..., width) and at least one row, got {np.shape(y_pred)}")
    attributes = dict(attributes or {})
    target_shape = (np.shape(y_pred)[0],) + infer_target(loss, attributes, np.shape(y_pred)[1:])
    cdef cnp.ndarray target = contiguous(y_true, dtype)
    if target.size != int(np.prod(target_shape)):
        raise ValueError(f"{loss}: y_true has shape {np.shape(y_true)}, expected {target_shape}")
    cdef int64_t width = prediction.shape[prediction.ndim - 1]
    cdef int64_t positions = prediction.size // width
    if len(target_shape) < prediction.ndim:
        check_labels(target.reshape(positions), width)
    cdef cnp.ndarray weight = np.ones(len(prediction)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weight.ndim != 1 or len(weight) != len(prediction):
        raise ValueError(f"sample_weight has shape {np.shape(sample_weight)}, expected {(len(prediction),)}")
    weight = np.repeat(weight, positions // len(prediction))
    cdef cnp.ndarray scale = contiguous(weight / positions, dtype)
    cdef cnp.ndarray losses = np.empty(positions, dtype)
    cdef cnp.ndarray gradient = np.empty_like(prediction)
    cdef double *values = scratch.numbers(ordered_attributes(FN_LOSSES, loss, attributes))
    check(fn_compute_loss(scratch.text(loss), values, _DTYPES[np.dtype(dtype).name], positions, width,
                          cnp.PyArray_DATA(prediction), cnp.PyArray_DATA(target), cnp.PyArray_DATA(scale),
                          cnp.PyArray_DATA(losses), cnp.PyArray_DATA(gradient), &error), &error)
    return float(np.dot(losses.astype(np.float64), weight) / positions), gradient


def update_metric(metric, attributes, y_true, y_pred, cnp.ndarray[double, ndim=1, mode="c"] accumulators not None):
    """Adds arrays to the accumulators of a metric, which are changed in place.

    y_pred has shape (n, ..., width); y_true the same, or without the last axis where it holds class labels.
    """
    cdef _Scratch scratch = _Scratch()
    cdef fn_error error
    memset(&error, 0, sizeof(error))
    dtype = np.float64 if np.asarray(y_pred).dtype == np.float64 else np.float32
    cdef cnp.ndarray prediction = contiguous(y_pred, dtype)
    if prediction.ndim < 2:
        raise ValueError(f"y_pred must have the shape (n, ..., width), got {np.shape(y_pred)}")
    if accumulators.shape[0] != metric_size(metric, attributes, np.shape(y_pred)[1:]):
        raise ValueError(f"{metric}: got {len(accumulators)} accumulators")
    if prediction.size == 0:
        return
    cdef cnp.ndarray target = contiguous(y_true, dtype)
    cdef int64_t width = prediction.shape[prediction.ndim - 1]
    cdef int64_t positions = prediction.size // width
    if target.size not in (positions, positions * width):
        raise ValueError(f"{metric}: y_true has shape {np.shape(y_true)}, y_pred {np.shape(y_pred)}")
    cdef double *values = scratch.numbers(ordered_attributes(FN_METRICS, metric, attributes))
    check(fn_compute_metric(scratch.text(metric), values, _DTYPES[np.dtype(dtype).name], positions, width,
                            target.size // positions, cnp.PyArray_DATA(prediction), cnp.PyArray_DATA(target),
                            <double *>cnp.PyArray_DATA(accumulators), &error), &error)


# ---- data ----------------------------------------------------------------------------------------------

cdef int source_dtype(cnp.ndarray array) except -1:
    cdef int number = cnp.PyArray_TYPE(array)
    if not cnp.PyArray_ISNOTSWAPPED(array):
        raise TypeError("arrays must have the byte order of this machine")
    if number == cnp.NPY_FLOAT32:
        return FN_FLOAT32
    if number == cnp.NPY_FLOAT64:
        return FN_FLOAT64
    if number == cnp.NPY_UINT8:
        return FN_UINT8
    if number == cnp.NPY_INT32:
        return FN_INT32
    if number == cnp.NPY_INT64:
        return FN_INT64
    raise TypeError(f"expected float32, float64, uint8, int32 or int64, got {array.dtype}")


cdef int to_source(object given, fn_source *source, int64_t n_rows, int64_t width) except -1:
    """Fills *source from an array whose rows are contiguous, after checking that it holds what will be read."""
    if given is None:
        raise TypeError("expected an array, got None")
    cdef cnp.ndarray array = given
    cdef int i
    cdef int64_t elements = 1, stride
    if array.ndim < 1 or array.shape[0] < n_rows:
        raise ValueError(f"expected an array of at least {n_rows} rows, got shape {given.shape}")
    stride = array.itemsize
    for i in range(array.ndim - 1, 0, -1):
        if array.shape[i] != 1 and array.strides[i] != stride:
            raise ValueError("the rows of the array are not contiguous")
        stride *= array.shape[i]
        elements *= array.shape[i]
    if elements != width:
        raise ValueError(f"expected {width} numbers in each row, got {elements}")
    source.data = cnp.PyArray_DATA(array)
    source.dtype = <fn_dtype>source_dtype(array)
    source.stride = array.strides[0]
    return 0


def shuffle(seed, epoch, n):
    """The order in which an epoch visits n rows: a permutation, a function of (seed, epoch, n)."""
    cdef cnp.ndarray[int64_t, ndim=1] order = np.empty(n, dtype=np.int64)
    cdef uint64_t s = seed, e = epoch
    cdef int64_t length = n
    with nogil:
        fn_shuffle(s, e, length, <int64_t *>cnp.PyArray_DATA(order))
    return order


def first_not_finite(cnp.ndarray array not None):
    """Number of the first row that holds a NaN or an infinity, or -1."""
    if array.ndim == 0:
        raise ValueError("expected an array with at least one axis, got a number")
    cdef fn_source source
    cdef int64_t row = -1, n = array.shape[0], width
    cdef fn_status status
    if n == 0:
        return -1
    width = array.size // n
    to_source(array, &source, n, width)
    with nogil:
        status = fn_check_finite(&source, n, width, &row)
    return row if status == FN_ERROR_DATA else -1


def first_bad_label(cnp.ndarray array not None, n_classes):
    """(row, label) of the first label that is not a whole number in [0, n_classes), or None."""
    if array.ndim == 0:
        raise ValueError("expected an array with at least one axis, got a number")
    cdef fn_source source
    cdef int64_t row = -1, n = array.shape[0], classes = n_classes, width
    cdef double label = 0
    cdef fn_status status
    if n == 0:
        return None
    width = array.size // n
    to_source(array, &source, n, width)
    with nogil:
        status = fn_check_labels(&source, n, width, classes, &row, &label)
    return (row, label) if status == FN_ERROR_LABEL else None


def check_labels(array, n_classes, name="y"):
    """Raises ValueError for the first label that is not a whole number in [0, n_classes)."""
    bad = first_bad_label(array, n_classes)
    if bad is not None:
        raise ValueError(f"{name}: label {bad[1]:g} in row {bad[0]} is not a class number from 0 to {n_classes - 1}")


# ---- plans -----------------------------------------------------------------------------------------------

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
    parameters : list of (shape, offset, trainable[, decays, rate, l1, l2[, constraint]])
        Offsets in elements into the slabs. Whether weight decay applies, the factor of the learning rate, the penalty,
        and the fields of an fn_constraint, or None.
    outputs : list of (value, loss, attributes, weight, layer)
        loss is None where there is none.
    metrics : list of (metric, attributes, output)
    optimizer : str or None
    hyper : dict
        Hyper-parameters, as far as they decide on the slots.
    scheduled : list of (node, attribute)
        Number of a node and name of an attribute that a further column of `hyper` sets for each step.
    parameter_slab, gradient_slab : ndarray
        Aligned one-dimensional arrays, kept by reference.
    slots : list of ndarray
    seed, n_threads, input_gradients
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
    cdef readonly int n_hyper
    cdef readonly int64_t next_row, steps_done  # of the last run, also when it raised
    cdef readonly double gradient_squares  # squared norms of the gradients of its updates, added to what was given
    cdef bint running

    def __init__(self, *, dtype, max_rows, training, inputs, nodes, parameters, outputs, metrics=(), optimizer=None,
                 hyper=None, scheduled=(), parameter_slab=None, gradient_slab=None, slots=(), seed=0, n_threads=0,
                 input_gradients=False):
        cdef _Scratch scratch = _Scratch()
        cdef fn_plan_spec spec
        cdef fn_error error
        cdef fn_plan *made = NULL
        cdef fn_shape shape
        cdef fn_constraint *constraint
        memset(&spec, 0, sizeof(spec))
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
        spec.seed = seed & 0xFFFFFFFFFFFFFFFF
        spec.n_threads = n_threads or 0

        spec.n_inputs = len(inputs)
        cdef fn_input_spec *input_specs = <fn_input_spec *>scratch.allocate(len(inputs) * sizeof(fn_input_spec))
        if len(inputs) > FN_MAX_LOSSES:
            raise ValueError(f"a model has at most {FN_MAX_LOSSES} inputs, got {len(inputs)}")
        self.input_widths = []
        for i, (sizes, scale, shift) in enumerate(inputs):
            to_shape(sizes, &input_specs[i].shape, "input")
            width = int(np.prod(sizes, dtype=np.int64))
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
            slab_size = max(slab_size, offset + int(np.prod(sizes, dtype=np.int64)))
        spec.parameters = parameter_specs

        spec.n_outputs = len(outputs)
        cdef fn_output_spec *output_specs = <fn_output_spec *>scratch.allocate(len(outputs) * sizeof(fn_output_spec))
        for i, (value, loss, attributes, weight, layer) in enumerate(outputs):
            output_specs[i].value = value
            output_specs[i].loss_weight = weight
            output_specs[i].layer = scratch.text(layer)
            if loss is not None:
                output_specs[i].loss = scratch.text(loss)
                output_specs[i].loss_attributes = scratch.numbers(ordered_attributes(FN_LOSSES, loss, attributes))
        spec.outputs = output_specs

        spec.n_metrics = len(metrics)
        cdef fn_metric_spec *metric_specs = <fn_metric_spec *>scratch.allocate(len(metrics) * sizeof(fn_metric_spec))
        for i, (metric, attributes, output) in enumerate(metrics):
            metric_specs[i].metric = scratch.text(metric)
            metric_specs[i].attributes = scratch.numbers(ordered_attributes(FN_METRICS, metric, attributes))
            metric_specs[i].output = output
        spec.metrics = metric_specs

        cdef fn_scheduled *columns = <fn_scheduled *>scratch.allocate(len(scheduled) * sizeof(fn_scheduled))
        for i, (node, attribute) in enumerate(scheduled):
            columns[i].node = node
            columns[i].attribute = list(registry("ops")[nodes[node][0]]).index(attribute)
        spec.n_scheduled = len(scheduled)
        spec.scheduled = columns

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
        self.kept = (parameter_slab, gradient_slab, list(slots))

        check(fn_plan_create(&spec, &made, &error), &error)
        self.plan = made
        self._measure_outputs(inputs, nodes, outputs, metrics)

    def _measure_outputs(self, inputs, nodes, outputs, metrics):
        """Widths of the rows of outputs and targets, from the same inference that the plan was made by."""
        shapes = [tuple(sizes) for sizes, _, _ in inputs]
        for op, layer, read, _, attributes in nodes:
            shapes += infer(op, layer, [shapes[value] for value in read], attributes)[0]
        self.output_widths = [int(np.prod(shapes[value], dtype=np.int64)) for value, *_ in outputs]
        self.target_widths = [None if loss is None else int(np.prod(infer_target(loss, attributes, shapes[value]),
                                                                    dtype=np.int64))
                              for value, loss, attributes, *_ in outputs]
        self.metric_size = sum(metric_size(metric, attributes, shapes[outputs[output][0]])
                               for metric, attributes, output in metrics)

    def __dealloc__(self):
        fn_plan_destroy(self.plan)

    def info(self):
        """Facts: isa, n_threads (0: undecided), stages, barriers, arena_bytes, thread_bytes, live_bytes."""
        cdef fn_plan_info info
        fn_plan_describe(self.plan, &info)
        return {"isa": fn_isa_name(info.isa).decode(), "n_threads": info.n_threads, "stages": info.n_stages,
                "barriers": info.n_barriers, "arena_bytes": info.arena_bytes, "thread_bytes": info.thread_bytes,
                "live_bytes": info.live_bytes}

    def stage_labels(self):
        """Labels of the stages, in order."""
        labels = []
        while fn_plan_stage_label(self.plan, len(labels)) != NULL:
            labels.append(fn_plan_stage_label(self.plan, len(labels)).decode())
        return labels

    cdef int fill_arrays(self, object arrays, list widths, void **pointers, int64_t n_rows, bint writeable,
                         object what) except -1:
        """Addresses of arrays of the plan's dtype, n_rows rows each; None stays NULL."""
        cdef cnp.ndarray array
        if len(arrays) != len(widths):
            raise ValueError(f"{what}: got {len(arrays)} arrays, expected {len(widths)}")
        for i, given in enumerate(arrays):
            if given is None:
                continue
            array = given
            if array.dtype != self.dtype or not array.flags.c_contiguous or (writeable and not array.flags.writeable):
                raise TypeError(f"{what}: expected a contiguous array of {self.dtype}")
            if array.size < n_rows * widths[i]:
                raise ValueError(f"{what}: array {i} has {array.size} numbers, expected {n_rows * widths[i]}")
            pointers[i] = cnp.PyArray_DATA(array)
        return 0

    def run(self, unsigned parts, *, int64_t n_rows, int64_t batch_size, int64_t first_row=0, inputs=None, targets=None,
            weights=None, cnp.ndarray order=None, uint64_t step=0, cnp.ndarray hyper=None, outputs=None,
            output_gradients=None, input_gradients=None, double seconds=0, double mixup=0,
            cnp.ndarray loss_sum=None, cnp.ndarray metrics=None, double gradient_squares=0):
        """Runs batch after batch, without the GIL; see fn_plan_run.

        Parameters
        ----------
        parts : int
            Sum of FORWARD, LOSS, BACKWARD, UPDATE, FETCH, SEED, FETCH_GRADIENTS.
        n_rows, batch_size, first_row : int
        inputs, targets, weights : list of ndarray
            n_rows rows each (more, if `order` names them); None among the weights stands for ones.
        order : ndarray of int64
        step : int
        hyper : ndarray of float64
            One row of hyper-parameters, or one row for each step.
        outputs, output_gradients, input_gradients : list of ndarray or None
        seconds : float
            Return after the step in which this time is over; 0: never.
        mixup : float
            alpha of mixup; 0: rows are not mixed.
        loss_sum, metrics : ndarray of float64
            Added to.
        gradient_squares : float
            What the attribute of this name begins with.

        Returns
        -------
        next_row, steps_done : int

        Raises
        ------
        FloatingPointError
            The loss is not finite. The parameters are those from before that step.
        """
        cdef fn_run run
        cdef fn_error error
        cdef fn_source input_sources[16]
        cdef fn_source target_sources[16]
        cdef fn_source weight_sources[16]
        cdef void *output_pointers[16]
        cdef void *seed_pointers[16]
        cdef void *gradient_pointers[16]
        cdef fn_status status
        cdef int i
        memset(&run, 0, sizeof(run))
        error.message[0] = 0
        if self.plan == NULL:
            raise RuntimeError("this plan was not initialised")
        if self.running:
            raise RuntimeError("this model is being run by another thread")
        self.next_row, self.steps_done, self.gradient_squares = first_row, 0, gradient_squares
        run.parts = parts
        run.n_rows = n_rows
        run.batch_size = batch_size
        run.first_row = first_row
        run.step = step
        run.seconds = seconds
        run.mixup = mixup
        run.gradient_squares = gradient_squares
        rows = n_rows
        if order is not None:
            if order.dtype != np.int64 or order.ndim != 1 or not order.flags.c_contiguous or len(order) < n_rows:
                raise ValueError("order must be a contiguous array of int64, a number for each row")
            run.order = <const int64_t *>cnp.PyArray_DATA(order)
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
                if weights[i] is not None:
                    to_source(weights[i], &weight_sources[i], rows, 1)
            run.weights = weight_sources
        if outputs is not None:
            memset(output_pointers, 0, sizeof(output_pointers))
            self.fill_arrays(outputs, self.output_widths, output_pointers, n_rows, True, "outputs")
            run.outputs = output_pointers
        if output_gradients is not None:
            memset(seed_pointers, 0, sizeof(seed_pointers))
            self.fill_arrays(output_gradients, self.output_widths, seed_pointers, n_rows, False, "output_gradients")
            run.output_gradients = <const void **>seed_pointers
        if input_gradients is not None:
            memset(gradient_pointers, 0, sizeof(gradient_pointers))
            self.fill_arrays(input_gradients, self.input_widths, gradient_pointers, n_rows, True, "input_gradients")
            run.input_gradients = gradient_pointers
        if hyper is not None:
            steps = (n_rows - first_row + batch_size - 1) // max(batch_size, 1)
            if hyper.ndim not in (1, 2) or hyper.dtype != np.float64 or not hyper.flags.c_contiguous or hyper.shape[hyper.ndim - 1] != self.n_hyper:
                raise ValueError(f"hyper must be an array of float64 with {self.n_hyper} columns")
            if hyper.ndim == 2:
                if len(hyper) < steps:
                    raise ValueError(f"hyper has {len(hyper)} rows, expected one for each of {steps} steps")
                run.hyper_stride = self.n_hyper
            run.hyper = <const double *>cnp.PyArray_DATA(hyper)
        if loss_sum is not None:
            if loss_sum.dtype != np.float64 or not loss_sum.flags.carray or loss_sum.size < 1 + len(self.output_widths):
                raise ValueError("loss_sum must be a contiguous writeable array of float64: the total and one number for each output")
            run.loss_sum = <double *>cnp.PyArray_DATA(loss_sum)
        if metrics is not None:
            if metrics.dtype != np.float64 or not metrics.flags.carray or metrics.size < self.metric_size:
                raise ValueError(f"metrics must be a contiguous writeable array of float64 with {self.metric_size} elements")
            run.metrics = <double *>cnp.PyArray_DATA(metrics)
        self.running = True
        try:
            with nogil:
                status = fn_plan_run(self.plan, &run, &error)
        finally:
            self.running = False
        self.next_row, self.steps_done = run.next_row, run.steps_done
        self.gradient_squares = run.gradient_squares
        check(status, &error)
        return run.next_row, run.steps_done
