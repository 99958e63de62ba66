# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=False
"""The engine for Python: plans, registries, statuses. No loops over data, no arithmetic.

Everything here checks the arrays it is given (dtype, length, layout) before their addresses go to C.
"""

cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcmp, memset

from ._engine cimport *

import os

import numpy as np

cnp.import_array()


FORWARD = FN_PHASE_FORWARD
LOSS = FN_PHASE_LOSS
BACKWARD = FN_PHASE_BACKWARD
UPDATE = FN_PHASE_UPDATE
FETCH = FN_PHASE_FETCH
OUTPUT_GRADIENT = FN_PHASE_OUTPUT_GRADIENT
FETCH_GRADIENTS = FN_PHASE_FETCH_GRADIENTS
FLUSH = FN_PHASE_FLUSH
STATES = FN_PHASE_STATES
ALIGNMENT = FN_ALIGNMENT
MAX_RANK = FN_MAX_RANK
MAX_THREADS = FN_MAX_THREADS
MAX_OUTPUTS = FN_MAX_LOSSES


# ---- statuses ------------------------------------------------------------------------------------

_EXCEPTIONS = {
    "None": None, "MemoryError": MemoryError, "ValueError": ValueError, "TypeError": TypeError,
    "FloatingPointError": FloatingPointError, "RuntimeError": RuntimeError, "OSError": OSError,
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


def fail_allocation(int64_t number):
    """For tests: of the engine's allocations from now on that of this number, from 1, fails as where there is no memory; 0: none."""
    fn_fail_allocation(number)


def measure_flops(dtype="float32"):
    """Floating-point operations a second that one thread makes at best, in fused multiply-adds of a dtype."""
    cdef double rate
    cdef fn_dtype number = _DTYPES[dtype]
    with nogil:
        rate = fn_measure_flops(number)
    return rate


def measure_bandwidth():
    """Bytes a second between one thread and memory, in a sum of two large arrays."""
    cdef double rate
    with nogil:
        rate = fn_measure_bandwidth()
    if rate < 0:
        raise MemoryError
    return rate


# ---- versions --------------------------------------------------------------------------------------

cdef int64_t _version = 0  # of all models


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
                         "activations": FN_ACTIVATIONS, "functions": FN_FUNCTIONS, "updates": FN_UPDATES}


cdef const fn_entry *find_entry(fn_registry registry, object name) except NULL:
    text = name.encode()
    cdef int index = fn_registry_find(registry, text)
    if index < 0:
        raise ValueError(f"the engine has no entry named {name!r}")
    return fn_registry_entry(registry, index)


cdef list ordered_attributes(fn_registry registry, object name, object given):
    """Values in the order of the registry, defaults filled in; ValueError for one it does not know, or out of its range.

    Those of operations are checked by who knows the name of the layer.
    """
    cdef const fn_entry *entry = find_entry(registry, name)
    cdef _Scratch scratch
    cdef fn_error error
    values = []
    left = dict(given or {})
    for i in range(entry.n_attributes):
        values.append(float(left.pop(entry.attributes[i].name.decode(), entry.attributes[i].value)))
    if left:
        raise ValueError(f"{name} has no attribute {sorted(left)[0]!r}")
    if registry != FN_OPS:
        scratch = _Scratch()
        error.message[0] = 0
        check(fn_check_attributes(registry, entry.name, NULL, scratch.numbers(values), &error), &error)
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
    """All entries of "ops", "losses", "metrics", "optimizers", "activations", "functions" or "updates".

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


def penalizes(op):
    """Whether an operation adds to the loss."""
    return bool(fn_op_penalizes(op.encode()))


def attribute_ranges(kind):
    """What the attributes of all entries of a kind, as of `registry`, may be: (lowest, highest, whole, varies).

    Returns
    -------
    dict
        {name: {attribute: such a tuple}}. Both ends are included; whole: a whole number; varies: whether it
        may be another number in each step.
    """
    cdef fn_registry number = _REGISTRIES[kind]
    cdef const fn_entry *entry
    cdef const fn_attribute *attribute
    entries = {}
    for i in range(fn_registry_size(number)):
        entry = fn_registry_entry(number, i)
        ranges = {}
        for j in range(entry.n_attributes):
            attribute = &entry.attributes[j]
            ranges[attribute.name.decode()] = (attribute.lowest, attribute.highest, bool(attribute.kind & FN_IS_INTEGER),
                                               bool(attribute.kind & FN_VARIES))
        entries[entry.name.decode()] = ranges
    return entries


def attribute_choices(op, name):
    """What the numbers 0, 1, ... of an attribute of an operation stand for."""
    cdef const fn_entry *entry = find_entry(FN_OPS, op)
    for i in range(entry.n_attributes):
        if entry.attributes[i].name.decode() == name and entry.attributes[i].choices is not NULL:
            return tuple(entry.attributes[i].choices.decode().split())
    raise ValueError(f"{op} has no attribute {name!r} of several choices")


def activation_index(name):
    """Number of an activation: the value of the `activation` attribute of operations."""
    text = name.encode()
    index = fn_registry_find(FN_ACTIVATIONS, text)
    if index < 0:
        raise ValueError(f"unknown activation {name!r}")
    return index


cdef int to_signature(object op, object layer, object shapes, object attributes, fn_signature *signature) except -1:
    cdef _Scratch scratch = _Scratch()
    cdef fn_error error
    memset(&error, 0, sizeof(error))
    memset(signature, 0, sizeof(fn_signature))
    cdef fn_shape *inputs = <fn_shape *>scratch.allocate(len(shapes) * sizeof(fn_shape))
    for i, sizes in enumerate(shapes):
        to_shape(sizes, &inputs[i], layer)
    cdef double *values = scratch.numbers(ordered_attributes(FN_OPS, op, attributes))
    return check(fn_infer(scratch.text(op), scratch.text(layer), len(shapes), inputs, values, signature, &error), &error)


def infer(op, layer, shapes, attributes):
    """Shapes of the outputs and parameters of an operation: (outputs, parameters), lists of tuples."""
    cdef fn_signature signature
    to_signature(op, layer, shapes, attributes, &signature)
    return ([from_shape(&signature.output[i]) for i in range(signature.n_outputs)],
            [from_shape(&signature.parameter[i]) for i in range(signature.n_parameters)])


def own_inputs(read, used):
    """Of what a node reads, the inputs of its operation, without what stands for parameters."""
    return read[:len(read) - sum(parameter < 0 for parameter in used)]


def keeps_numbers(op, shapes, attributes):
    """Whether each number that an operation makes is one that its inputs hold, or 0."""
    cdef fn_signature signature
    to_signature(op, "", shapes, attributes, &signature)
    return bool(signature.keeps_numbers)


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
    cdef const char *names[FN_MAX_SLOTS]
    cdef double start[FN_MAX_SLOTS]
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
        y_true without the last axis where the loss takes labels. Computed in float64 if y_pred is, else in
        float32.
    sample_weight : array_like, shape (n,) or (n, k), optional
        Of rows, or each of as many positions, which lie together.

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
    cdef cnp.ndarray weight = np.ones(len(prediction)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weight.ndim < 1 or weight.shape[0] != len(prediction) or weight.size == 0 or positions % weight.size:
        raise ValueError(f"sample_weight has shape {np.shape(sample_weight)}, expected {(len(prediction),)}")
    weight = np.repeat(weight.reshape(-1), positions // weight.size)
    cdef cnp.ndarray scale = contiguous(weight / positions, dtype)
    cdef cnp.ndarray losses = np.empty(positions, dtype)
    cdef cnp.ndarray gradient = np.empty_like(prediction)
    cdef double *values = scratch.numbers(ordered_attributes(FN_LOSSES, loss, attributes))
    cdef fn_shape shape
    to_shape(np.shape(y_pred)[1:], &shape, "y_pred")
    check(fn_compute_loss(scratch.text(loss), values, _DTYPES[np.dtype(dtype).name], len(prediction), &shape,
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


def is_readable(array):
    """Whether it is an array that the engine reads as it is: of a type it knows, C-ordered, aligned, not of a subclass."""
    if not cnp.PyArray_CheckExact(array) or not cnp.PyArray_ISCARRAY_RO(array) or (<cnp.ndarray>array).ndim == 0:
        return False
    return cnp.PyArray_TYPE(array) in (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64, cnp.NPY_UINT8, cnp.NPY_INT32, cnp.NPY_INT64)


cdef int64_t row_width(cnp.ndarray array):
    """How many numbers a row has."""
    cdef int64_t width = 1
    cdef int i
    for i in range(1, array.ndim):
        width *= array.shape[i]
    return width


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


def sum_arrays(cnp.ndarray out not None, terms, double factor=1):
    """out = factor * the sum of arrays as long, in postfix order: None stands for the sum of the two operands before it.

    Returns
    -------
    bool
        Whether all of it is finite.

    Raises
    ------
    TypeError
        Where an array is not contiguous, or of another dtype than `out`.
    ValueError
        Where one is of another size.
    RuntimeError
        Where the order is none.
    """
    cdef fn_error error
    cdef fn_status status
    cdef bool_t finite = False
    cdef cnp.ndarray term
    cdef int i, n_terms = len(terms)
    cdef int64_t n = out.size
    cdef int number = cnp.PyArray_TYPE(out)
    cdef fn_dtype dtype = FN_FLOAT32 if number == cnp.NPY_FLOAT32 else FN_FLOAT64 if number == cnp.NPY_FLOAT64 else FN_UINT8
    cdef _Scratch scratch = _Scratch()
    cdef const void **pointers = <const void **>scratch.allocate(n_terms * sizeof(void *))
    error.message[0] = 0
    for i in range(n_terms + 1):
        term = out if i == n_terms else terms[i]
        if term is None:
            continue
        if term.descr is not out.descr or not (cnp.PyArray_ISCARRAY(term) if term is out else cnp.PyArray_ISCARRAY_RO(term)):
            raise TypeError(f"a sum of arrays of {out.dtype} is of contiguous ones of that dtype")
        if term.size != n:
            raise ValueError(f"a sum of {n} numbers has a term of {term.size}")
        if i < n_terms:
            pointers[i] = cnp.PyArray_DATA(term)
    with nogil:
        status = fn_sum_arrays(dtype, n, cnp.PyArray_DATA(out), pointers, n_terms, factor, &finite, &error)
    check(status, &error)
    return bool(finite)


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


include "_gate.pxi"
include "_threads.pxi"
include "_counters.pxi"
include "_plan.pxi"
include "_predictor.pxi"
include "_pool.pxi"
include "_sequence.pxi"
