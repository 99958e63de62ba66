"""`export`: a model as one C99 file."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._booleans import check_booleans
from .._derived import as_list
from .._lowering import lower
from .._model_data import positive
from .._replace import replaced_file
from .._traced_losses import NotTraced
from .._weight_functions import functions_in_plan
from ._constants import without_formulas
from ._library import load_library
from ._lowering import Description, Parameter, lower_jacobian, lower_prediction, lower_training, make_weights
from ._names import RESERVED_PREFIXES, WORDS, identifier, name_arguments
from ._program import Array, Call, named_arguments
from ._quantization import Quantizer
from ._writer import Export, Function, write_files

if TYPE_CHECKING:
    from .._network import Network

__all__ = ["Exported", "QuantizationLoss", "Written", "describe_model", "draw_samples", "export", "write_model"]


class Exported(NamedTuple):
    """What was written.

    Attributes
    ----------
    paths : list of pathlib.Path
    weights : int
        Bytes of the constant arrays.
    memory : int
        Bytes of the memory that the caller gives, `sizeof(NAME_memory)`.
    operations : int
        Multiply-adds of a prediction, about.
    loss : QuantizationLoss or None
        What is lost in integers.
    """

    paths: list[pathlib.Path]
    weights: int
    memory: int
    operations: int
    loss: QuantizationLoss | None = None


class QuantizationLoss(NamedTuple):
    """How the outputs of a model in integers differ from its own, for the calibration data.

    Attributes
    ----------
    largest, mean : float
        Of the differences, without their signs.
    accuracy, own_accuracy : float or None
        In integers, and of the model itself; None without labels.
    """

    largest: float
    mean: float
    accuracy: float | None = None
    own_accuracy: float | None = None


def describe_model(model: Network, training: bool, prefix: str = "net", infinite: bool = False) -> Description:
    """The description of a model, with its numbers; arguments have names that none with the prefix is equal to.

    infinite: numbers may be that, as those of masks that are added before softmax.
    """
    for operation in model._graph.host:
        raise NotImplementedError(
            f"export: layer {operation.layer.name!r} computes in Python, before the model: export what is behind it, "
            f"fn.Model(layer.output, model.output), and give that the numbers which the layer makes of the data"
        )
    compiled = model._require_compiled() if training else model._compiled
    if training and compiled is not None:
        try:
            compiled = compiled.for_export(model._graph, model.outputs, model.output_names)
        except NotTraced as error:
            raise NotImplementedError(
                f"export: a loss that is a Python function is exported where it is written in fastnet.ops; {error}"
            ) from error
    if training and model._plans.own_constraints:
        raise NotImplementedError(
            "export: a constraint that is a function of arrays has no exported step: write it in fastnet.ops"
        )
    if training and compiled is not None and not compiled.optimizer.kernel:
        raise NotImplementedError(f"export: optimizer {type(compiled.optimizer).__name__} has no exported step")
    for operation in model._graph.operations if training else []:
        for name in operation.layer.scheduled_attributes(operation):
            raise NotImplementedError(
                f"export: {name} of layer {operation.layer.name!r} varies from step to step; an exported step has one value"
            )
    functions = functions_in_plan(model, "train") if training else []
    spec = lower(model, compiled, "train" if training else "predict", {}, [], functions)
    offsets = model._slab.offsets
    by_offset = {offset: weight for weight, offset in offsets.items()}
    paths = model._paths()
    described_weights = [one for one in spec["parameters"] if one[8] is None]  # the others are arrays of losses
    names = [paths[by_offset[one[1]]] for one in described_weights]
    values = model._evaluation_values() if not training else {weight: weight.array for weight in model.weights}
    parameters, used = [], []
    for name, (shape, offset, trainable, decays, rate, l1, l2, constraint, _, update_shape) in zip(names, described_weights):
        weight = by_offset[offset]
        used.append(weight)
        array = values.get(weight, weight.array)
        if np.isnan(array).any() if infinite else not np.isfinite(array).all():
            raise ValueError(f"export: weight {name!r} has values that are not finite")
        if weight.regularizer is not None and weight.regularizer.own:
            l2 = 0.0  # which only says that the gradient is there
        parameters.append(
            Parameter(name, tuple(shape), np.array(array), trainable, decays, rate, l1, l2, constraint, tuple(update_shape))
        )
    for one in spec["parameters"][len(used) :]:
        parameters.append(
            Parameter(f"constant_of_loss_{len(parameters)}", tuple(one[0]), np.array(one[8][: math.prod(one[0])]), False)
        )
    inputs, outputs = name_arguments(
        ["x"] if len(model.inputs) == 1 else model.input_names, ["y"] if len(model.outputs) == 1 else model.output_names, prefix
    )
    hyper, slots, steps = {}, {}, 0
    if training and compiled is not None:
        optimizer = compiled.optimizer
        hyper = dict(spec["hyper"])
        steps = int(optimizer.batches)
        if steps:
            arrays = model._plans.slots.arrays()
            for (name, _), array in zip(optimizer.slots(), arrays):
                slots[name] = [array[offsets[w] : offsets[w] + w.size].copy() for w in used]
    described = [
        (v, more[0] if more else loss, attributes, weight, name, mask)
        for (v, loss, attributes, weight, _, mask, *more), name in zip(spec["outputs"], outputs)
    ]
    own = [tuple(given[:3]) for given in spec["inputs"]]
    targets = {i: given[3] for i, given in enumerate(spec["inputs"]) if len(given) > 3 and given[3] >= 0}
    computed = {i: -1 - given[3] for i, given in enumerate(spec["inputs"]) if len(given) > 3 and given[3] < 0}
    inputs += [f"{outputs[output]}_target" for output in targets.values()]
    formulas = [*compiled.formulas, *functions] if training and compiled else []
    n_formulas = len({operation for one in formulas for operation in one.operations})
    described_model = Description(
        own,
        inputs,
        spec["nodes"],
        parameters,
        described,
        spec["optimizer"],
        hyper,
        spec["seed"],
        slots,
        steps,
        targets,
        n_formulas,
        computed,
        spec["assignments"],
    )
    return described_model if training else without_formulas(described_model, model.dtype)


def _count_operations(calls: list[Call], library: Any) -> int:
    """Multiply-adds of products, from the sizes of their arguments."""
    total = 0
    for call in calls:
        if not call.function:
            continue
        values = named_arguments(library, call)
        kernel, window = values.get("kernel"), values.get("window")
        if isinstance(kernel, Array):
            positions = int(values.get("positions", values.get("rows", 1)))
            if isinstance(window, Array):  # whose members are those of fnp_window: of a transposed convolution it slides over y
                assert window.values is not None
                positions *= int(window.values[3] * window.values[4])
            total += kernel.size * positions
        if call.function == "fnp_recurrent":  # of the steps after the first one and of another kernel
            total += values["rows"] * (values["steps"] * values["recurrent_kernel"].size + (values["steps"] - 1) * kernel.size)
        elif call.function == "fnp_attention":
            weights = values["rows"] * values["heads"] * values["queries"] * values["keys"]
            total += weights * (values["size"] + values["value_size"])
    return total


class Written(NamedTuple):
    """The text of the C file and of its header, its functions, and sizes in bytes."""

    source: str
    header: str | None
    functions: list[Function]
    weights: int
    memory: int
    operations: int
    quantizer: Quantizer | None = None


def write_model(
    model: Network,
    prefix: str,
    *,
    training: bool = False,
    gradient: bool = False,
    batch_size: int = 1,
    libm: bool = False,
    header_name: str | None = None,
    title: Sequence[str] = (),
    tests: Callable[[], Sequence[Any]] = tuple,
    calibration: Sequence[np.ndarray] | None = None,
) -> Written:
    """A model as text; see `export`. With calibration data, rows of each input, it is in integers.

    tests: what gives inputs and outputs for the self-test.
    """
    description = describe_model(model, training, prefix)
    bits = 64 if model.dtype == "float64" else 32
    library = load_library(bits, libm)
    weights = make_weights(description, library)
    train = lower_training(description, library, weights, batch_size) if training else None
    quantizer = None if calibration is None else Quantizer(description, library, calibration)
    if quantizer is not None:
        predict = quantizer.step
        samples: Sequence[Any] = [(inputs, quantizer.predict(inputs)) for inputs, _ in tests()]
    else:
        predict = lower_prediction(description, library, weights, train=train)
        samples = tests()
    functions = [Function("predict", "The outputs for one row of inputs.", predict)]
    if train is not None:
        functions.append(Function("train", f"One step on {batch_size} rows; returns its loss. {_WEIGHTS}", train))
    if gradient:
        functions.append(Function("input_gradient", _JACOBIAN, lower_jacobian(description, library, weights, train)))
    operations = _count_operations(predict.calls, library)
    text = [*title, f"Weights: SHA-256 {_digest(description)}.", f"A prediction takes about {operations} multiply-adds."]
    tolerance = 1e-4 if bits == 32 else 1e-9
    wanted = Export(prefix, text, bits, libm, library, functions, description.steps, samples, tolerance, batch_size)
    source, header, sizes = write_files(wanted, header_name)
    return Written(source, header, functions, sizes["weights"], sizes["memory"], operations, quantizer)


_WEIGHTS = (
    "Each weight counts a row, or a position of a row, in the loss; without them, NULL, all count alike. A step whose loss or "
    "gradient is not finite changes nothing, and returns what is not finite."
)
_JACOBIAN = "The derivatives of the outputs, one after another, by the inputs of one row: jacobian [outputs][inputs]."


def _digest(description: Description) -> str:
    digest = hashlib.sha256()
    for parameter in description.parameters:
        digest.update(np.ascontiguousarray(parameter.values).tobytes())
    return digest.hexdigest()[:16]


def export(
    model: Network,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    header: bool = False,
    training: bool = False,
    gradient: bool = False,
    batch_size: int = 1,
    libm: bool = False,
    quantize: str | None = None,
    calibration: Any = None,
) -> Exported:
    """Writes a model as one C99 file; see `Model.export`."""
    target = pathlib.Path(os.fspath(path))
    if target.suffix not in (".c", ".cc", ".cpp"):
        raise ValueError(f"export writes C: the path must end with .c, got {target.name!r}")
    check_booleans("export", header=header, training=training, gradient=gradient, libm=libm)
    batch_size, libm = positive("batch_size", batch_size), bool(libm)
    if batch_size > 1 and not training:
        raise ValueError(
            f"batch_size is of steps of training, and a prediction is of one row: got {batch_size} without training=True"
        )
    model._require_built()
    model._variants.require_fixed("export")
    if quantize not in (None, "int8"):
        raise ValueError(f"quantize must be None or 'int8', got {quantize!r}")
    if (quantize is None) != (calibration is None):
        raise ValueError(
            "quantize='int8' needs calibration=x, or (x, y): rows of data such as the model will see; they go together"
        )
    if quantize and (training or gradient):
        raise ValueError("a model with quantize='int8' only predicts: training=True and gradient=True are not for it")
    rows, labels = _calibration_rows(model, calibration) if quantize else (None, None)
    prefix = _prefix(target, name)
    if header and re.search(r'["\\\x00-\x1f]', target.name):
        raise ValueError(f"a header needs a name that #include takes, got {target.name!r}")
    options = {
        "name": name, "header": header, "training": training, "gradient": gradient, "libm": libm,
        "batch_size": batch_size if batch_size > 1 else None, "quantize": quantize,
    }  # fmt: skip
    given = "".join(f", {key}={value!r}" for key, value in options.items() if value)
    title = [
        f"Model {model.name!r}, by fastnet: model.export({target.name!r}{given}).",
        "C99 without allocation, of the C library memcpy and memset. A compiler may contract products and sums; results then differ",
        "in their last bits.",
    ]
    written = write_model(
        model, prefix, training=training, gradient=gradient, batch_size=batch_size, libm=libm, title=title, tests=lambda: draw_samples(model),
        header_name=target.with_suffix(".h").name if header else None, calibration=rows,
    )  # fmt: skip
    loss = _measure_loss(model, written.quantizer, rows, labels) if written.quantizer is not None and rows else None
    paths = [target]
    with contextlib.ExitStack() as files:  # both or none
        files.enter_context(replaced_file(target, mode="w", encoding="utf-8", newline="\n")).write(written.source)
        if written.header is not None:
            paths.append(target.with_suffix(".h"))
            files.enter_context(replaced_file(paths[1], mode="w", encoding="utf-8", newline="\n")).write(written.header)
    sizes = f"{written.weights} bytes of weights, {written.memory} bytes of memory, {written.operations} multiply-adds"
    print(f"{target.name}: {sizes}")
    if loss is not None:
        print(_describe_loss(loss))
    return Exported(paths, written.weights, written.memory, written.operations, loss)


def _calibration_rows(model: Network, calibration: Any) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Rows of each input, and labels where they were given."""
    labels = None
    if isinstance(calibration, tuple):
        if len(calibration) != 2:
            raise ValueError(f"calibration must be x or (x, y), got a tuple of {len(calibration)}")
        calibration, labels = calibration[0], np.asarray(calibration[1])
    rows = model._rows_for(calibration, False)
    if len(rows[0]) == 0:
        raise ValueError("calibration must have at least one row, got none")
    if labels is not None and (len(labels) != len(rows[0]) or len(model.outputs) != 1):
        raise ValueError(
            f"calibration labels are for a model of one output, one for each of the {len(rows[0])} rows, got {len(labels)}"
        )
    return rows, labels


def _measure_loss(model: Network, quantizer: Quantizer, rows: list[np.ndarray], labels: np.ndarray | None) -> QuantizationLoss:
    own = as_list(model.predict(rows if len(rows) > 1 else rows[0]))
    found = quantizer.predict(rows)
    differences = np.concatenate([np.abs(a.astype(np.float64) - b).reshape(-1) for a, b in zip(found, own)])
    accuracies = [None if labels is None else _accuracy(labels, outputs[0]) for outputs in (found, own)]
    return QuantizationLoss(float(differences.max()), float(differences.mean()), *accuracies)


def _accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Of classes; of two, where there is one output: those above 1/2, or above 0 where outputs are not probabilities."""
    if predicted.shape[-1] == 1:
        found = predicted > (0.5 if predicted.min() >= 0 and predicted.max() <= 1 else 0.0)
        known = labels > 0.5
    else:
        found = predicted.argmax(-1)
        known = labels.argmax(-1) if labels.shape == predicted.shape else labels
    if known.size != found.size:
        raise ValueError(f"calibration labels have shape {labels.shape}, the outputs {predicted.shape}")
    return float(np.mean(found.reshape(-1) == known.reshape(-1)))


def _describe_loss(loss: QuantizationLoss) -> str:
    text = f"in int8, outputs differ by at most {loss.largest:.3g}, by {loss.mean:.3g} in the mean, for the calibration data"
    if loss.accuracy is None or loss.own_accuracy is None:
        return text
    return f"{text}; accuracy {loss.accuracy:.4f}, in float {loss.own_accuracy:.4f}"


def _prefix(target: pathlib.Path, name: str | None) -> str:
    """What all names begin with."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a str, got {name!r}")
    prefix = identifier(target.stem) if name is None else name
    if not re.fullmatch(r"[A-Za-z]\w*", prefix, re.ASCII) or prefix in WORDS or RESERVED_PREFIXES.fullmatch(prefix):
        if name is None:
            raise ValueError(f"no names of C begin with that of the file, {target.name!r}: give name=, an identifier of C")
        raise ValueError(f"name must be an identifier of C, got {prefix!r}")
    return prefix


def draw_samples(model: Network) -> list[tuple[list[np.ndarray], list[np.ndarray]]]:
    """A row for the self-test, and what the model predicts for it; none where that is never finite.

    Labels where the input is read as such, else the first of normal, positive, small positive numbers and zeros with finite outputs.
    """
    random, rows = np.random.default_rng(0), model._graph.batch_size or 1
    states = [w for w in model.weights if getattr(w.layer, "stateful", False) and w.name.startswith("state_")]
    kept, predicted_before = [weight.array.copy() for weight in states], model._batches_predicted
    try:
        for scale, lowest in ((1.0, -np.inf), (1.0, 0.1), (0.001, 0.1), (0.0, 0.0)):
            inputs = []
            for tensor in model.inputs:
                shape, label = (1, *tensor.sample_shape), model._labels.get(id(tensor))
                normal = random.normal(size=shape)
                drawn = (
                    random.integers(0, label[0].count, shape)
                    if label
                    else scale * (normal if lowest < 0 else np.abs(normal) + lowest)
                )
                inputs.append(drawn.astype(model.dtype))
            for weight in states:  # an export begins anew
                weight.array[...] = 0
            model._batches_predicted = 0
            given = [np.repeat(array, rows, axis=0) for array in inputs]
            outputs = [array[:1] for array in as_list(model.predict(given if len(given) > 1 else given[0]))]
            if all(np.all(np.isfinite(array)) for array in outputs):
                return [(inputs, outputs)]
    finally:
        model._batches_predicted = predicted_before
        for weight, array in zip(states, kept):
            weight.array[...] = array
    return []
