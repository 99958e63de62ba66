"""Models made of what `description` wrote."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import constraints, initializers, regularizers
from .. import losses as _losses
from .. import metrics as _metrics
from .. import optimizers as _optimizers
from .._graph import SymbolicTensor, tensor_of
from .._names import lookup
from .._registered import CustomObjects
from .._row_sums import Total
from .._weights import Weight, WeightSpec
from ..layers._modes import traced_with
from ..layers._operands import with_formulas, without_formulas
from ..layers._registry import LAYERS
from ..layers.base import Layer
from ..layers.core import Input
from ..layers.functional import AddLoss
from ..layers.traced import TracedLayer, is_whole, signature_of
from .description import VERSION, most_operations, operations_of, parts_of
from .formulas import FUNCTION, ancestors_of

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["SavedWeightFunction", "rebuild"]


class _Broken(ValueError):
    """The description is not one."""


def _keyed(description: Mapping[str, Any], name: str, tensors: list[Any]) -> Any:
    """Tensors, in a dictionary where there are keys for them."""
    if name not in description:
        return tensors
    keys = _field(description, name, list)
    if len(set(map(str, keys))) != len(tensors):
        raise _Broken(f"{name} are {keys} for {len(tensors)} tensors")
    return dict(zip(keys, tensors))


def _field(description: Mapping[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    value = description.get(name) if isinstance(description, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _Broken(f"field {name!r} is missing or not of the right kind")
    return value


def rebuild(
    description: Mapping[str, Any],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    check_weights: Callable[[list[Weight]], None] | None = None,
) -> Model:
    """The model that `describe` described, with new weights.

    Parameters
    ----------
    description : mapping
    custom_objects : mapping of str to class or function, optional
        Classes and functions of your own (layers, initializers, schedules, losses, ...), by their names.
    compile : bool
        Compile the model as it was.
    check_weights : callable, optional
        Called with all weights so far, whose shapes are known, each time before memory is taken for some of them; raises
        where they are not what was expected.

    Raises
    ------
    ValueError
        Where this is not a description, names an unknown class, or shapes do not fit.
    """
    if isinstance(description.get("undescribed"), str):
        raise ValueError(
            f"this training checkpoint does not describe its model, which cannot be saved: {description['undescribed']}; make the model, and go "
            "on with fit(resume_from=...)"
        )
    try:
        builder = _Builder(CustomObjects(custom_objects), check_weights, most_operations(description))
        model = builder.model(description, [])
        for name, columns in (description.get("columns") or {}).items():
            if not isinstance(columns, list) or not all(isinstance(column, (str, int)) for column in columns):
                raise _Broken(f"the columns of {name!r} are no names")
            model._columns.known[name] = list(columns)
        compiled = description.get("compiled")
        if compiled is not None and compile:
            compiled = builder.with_objects(compiled)
            optimizer = _optimizers.get(_field(compiled, "optimizer", (dict, _optimizers.Optimizer)))
            model.compile(
                optimizer,
                loss=_object(compiled.get("loss"), _losses.get),
                metrics=_object(compiled.get("metrics"), _metrics.get),
                loss_weights=compiled.get("loss_weights"),
                n_threads=compiled.get("n_threads"),
                precise=bool(compiled.get("precise")),
            )
    except (_Broken, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise ValueError(f"this does not describe a model: {error}") from error
    return model


class _Builder:
    """Makes a model of a description, of which nothing is larger than is checked before it is made.

    Parameters
    ----------
    custom : CustomObjects
    check_weights : callable, optional
        Called with all weights so far before a model takes memory for its own, and theirs.
    operations : int
        How many there may be.
    """

    def __init__(self, custom: CustomObjects, check_weights: Callable[[list[Weight]], None] | None, operations: int) -> None:
        self.custom, self.check_weights = custom, check_weights
        self.operations = operations
        self.weights: dict[Weight, None] = {}

    def model(self, description: Mapping[str, Any], known: list[Layer]) -> Model:
        """The model, uncompiled; `known` are the layers described so far."""
        from ..model import Model, Sequential

        if _field(description, "fastnet", int) > VERSION:
            raise _Broken(f"it was written by a newer fastnet (format {description['fastnet']}, this is {VERSION})")
        tensors = []
        for given in _field(description, "inputs", list):
            named = {key: given.get(key) for key in ("name", "batch_size", "dtype")}
            tensors.append(Input(_field(given, "shape", list), **named))
        inputs = list(tensors)
        described = _field(description, "layers", list)
        layers = [self.layer(given, known) for given in described]
        called, added = [], []
        for number, read, *options in _field(description, "calls", list):
            named = _with_tensors(options[0], tensors) if options else {}
            called.append(layers[_index(number, layers)])
            self.operations -= operations_of(called[-1])
            if self.operations < 0:
                raise _Broken("its models call others so often that it stands for more operations than its size allows")
            with traced_with(options[1] if len(options) > 1 else None):
                made = called[-1]._make_call([_tensor(i, tensors, layers) for i in read], **named).outputs
            tensors.extend(made)
            if isinstance(called[-1], AddLoss):
                added.extend(made)
        outputs = [_tensor(i, tensors) for i in _field(description, "outputs", list)]
        if self.check_weights is not None:
            self.weights.update(dict.fromkeys(weight for layer in layers for weight in layer.weights))
            self.check_weights(list(self.weights))
        arguments = {
            "seed": _field(description, "seed", int),
            "dtype": _field(description, "dtype", str),
            "name": _field(description, "name", str),
        }
        if _field(description, "class_name", str) == "Sequential":
            for layer in layers:  # what they are called on is the model's input
                layer._first_call = None
            model: Model = Sequential([inputs[0], *called], **arguments)
        else:
            model = Model(*(_keyed(description, *one) for one in (("input_keys", inputs), ("output_keys", outputs))), **arguments)
            if added:
                model._connect(inputs, outputs, None, added)
        for layer, given in zip(layers, described):
            parts = dict(parts_of(layer))
            for path, trainable in (given.get("trainable") or {}).items():
                parts[path]._trainable = bool(trainable)
        return model

    def layer(self, given: Mapping[str, Any], known: list[Layer]) -> Layer:
        if isinstance(given, Mapping) and "shared" in given:
            return known[_index(given["shared"], known)]
        name, config = _field(given, "class_name", str), _field(given, "config", dict)
        layer: Layer
        if "fastnet" in config:
            layer = self.model(config, known)
        elif isinstance(given.get("traced"), dict) and not all(map(self.custom.get, _field(given, "needs", list))):
            layer = self.traced(given)
        elif "unconfigured" in given:
            raise _Broken(
                f"layer {config.get('name')!r} was saved as what it did, as its {given['unconfigured']}: do not give class {name}"
            )
        else:
            cls = self.custom.get(name) or LAYERS.get(name)
            if cls is None and isinstance(given.get("traced"), str):
                raise _Broken(
                    f"class {name} of layer {config.get('name')!r} is not given, and without it the layer is not known: {given['traced']}"
                )
            layer = (cls or lookup("layer", name, LAYERS)).from_config(self.with_objects(config))
            if isinstance(given.get("traced"), dict) and "trainable" not in config:
                layer.trainable = bool(given["traced"].get("trainable", True))
        known.append(layer)
        return layer

    def traced(self, given: Mapping[str, Any], owners: Sequence[Any] = ()) -> TracedLayer:
        """A layer without its class; owners: of weights that it computes with besides."""
        traced, config = _field(given, "traced", dict), _field(given, "config", dict)
        known: list[Layer] = []
        parts: dict[str, Layer] = {}
        for one in _field(traced, "parts", list):
            name, part = _field(one, "name", str), self.layer(_field(one, "layer", dict), known)
            if part.name is None:
                part.name = name
            for weight, (shape, engine_shape, spec) in self.weights_in(one.get("weights", []), part).items():
                part._weights.setdefault(weight, Weight(part, weight, engine_shape, spec._replace(shape=shape)))
            if name in parts:
                raise _Broken(f"layer {config.get('name')!r} has two parts {name!r}")
            parts[name] = part
        calls, layers = _field(traced, "calls", list), {}
        label, operations = config.get("name"), 1
        for call in calls:
            for name, kind in (("steps", list), ("outputs", list), ("masks", list), ("layers", list), ("signature", str)):
                _field(call, name, kind)
            if len(call["masks"]) != len(call["outputs"]) or not isinstance(call.get("list"), bool):
                raise _Broken(f"a call of layer {label!r} has outputs of no kind")
            own = list(known)
            found = layers[call["signature"]] = [*parts.values(), *(self.layer(one, own) for one in call["layers"])]
            counts = [operations_of(one) for one in found]
            found += owners
            numbers = [step.get("call") if isinstance(step, dict) else None for step in call["steps"]]
            operations = max(operations, sum(counts[i] if is_whole(i, len(counts)) else 1 for i in numbers))
        layer = TracedLayer(
            _field(given, "class_name", str),
            config,
            _field(given, "needs", list),
            self.weights_in(_field(traced, "weights", list), label),
            parts,
            calls,
            layers,
            given.get("unconfigured"),
            trainable=bool(traced.get("trainable", True)),
            name=label,
        )
        layer.operations = operations
        return layer

    def weights_in(self, given: Any, owner: Any) -> dict[str, tuple[tuple[int, ...], tuple[int, ...], WeightSpec]]:
        """What a file says of the weights of a layer: their shapes, and what else is known of them."""
        found = {}
        for one in given:
            name, shape = _field(one, "name", str), _field(one, "shape", list)
            engine_shape = one.get("engine_shape", shape)
            for sizes in (shape, engine_shape):
                if not isinstance(sizes, list) or not all(is_whole(size, 2**48) for size in sizes):
                    raise _Broken(f"weight {name!r} of layer {owner!r} has no shape but {str(sizes)[:100]}")
            if math.prod(shape) != math.prod(engine_shape):
                raise _Broken(f"weight {name!r} of layer {owner!r} has shapes {shape} and {engine_shape} of different sizes")
            spec = WeightSpec(
                initializers.get(one.get("initializer", "zeros")),
                regularizers.get(self.with_objects(one.get("regularizer"))),
                bool(one.get("trainable", True)),
                constraints.get(self.with_objects(one.get("constraint"))),
            )
            found[name] = (tuple(shape), tuple(engine_shape), spec)
        return found

    def formula(self, given: Mapping[str, Any]) -> Any:
        """A loss or a metric of the user's: the function or the object, where it is at hand, else what it computes."""
        name, config = _field(given, "class_name", str), _field(given, "config", dict)
        needed = [self.custom.get(one) for one in _field(given, "needs", list)]
        if given["kind"] in ("regularizer", "constraint"):
            if not needed or None in needed:
                return SavedWeightFunction(given)
            return needed[0] if name == FUNCTION else needed[0].from_config(self.with_objects(config))
        if name == FUNCTION:
            label = _field(config, "name", str)
            arguments = config.get("arguments") or {}
            own = needed[0] if needed and needed[0] is not None else None
            saved = SavedFunction(label, _field(given, "traced", list), arguments)
            if given["kind"] != "metric":
                return own or saved
            return _metrics.MeanMetricWrapper(own or saved, config.get("metric"), **(arguments if own else {}))
        if needed and None not in needed:
            return needed[0].from_config(self.with_objects(config))
        return SavedLoss(SavedFunction(name, _field(given, "traced", list)), config)

    def with_objects(self, plain: Any) -> Any:
        """A configuration, with models and objects of classes of the user's in place of their configurations."""
        if isinstance(plain, list):
            return [self.with_objects(value) for value in plain]
        if not isinstance(plain, dict):
            return plain
        if isinstance(plain.get("config"), dict) and "fastnet" in plain["config"]:
            return self.model(plain["config"], [])
        if "kind" in plain and "traced" in plain:
            return self.formula(plain)
        plain = {key: self.with_objects(value) for key, value in plain.items()}
        name = plain.get("class_name")
        cls = self.custom.get(name)
        return plain if cls is None else cls.from_config(_field(plain, "config", dict))


class SavedFunction:
    """A function of targets and predictions in a file, whose Python source is not at hand: what it computed, of symbolic tensors.

    Parameters
    ----------
    name : str
    traced : list of dict
        What it does for targets of certain shapes; see `formulas`.
    arguments : dict
        More arguments of the function, for whoever has it.
    """

    def __init__(self, name: str, traced: list[Any], arguments: Mapping[str, Any] | None = None) -> None:
        self.__name__, self.traced, self.arguments = name, traced, dict(arguments or {})

    def __call__(self, y_true: Any, y_pred: Any) -> Any:
        """As the function did; ValueError for targets of another shape than it had."""
        if not (isinstance(y_true, SymbolicTensor) and isinstance(y_pred, SymbolicTensor)):
            raise TypeError(
                f"{self.__name__} was loaded without its source: a model computes it, and arrays it does not take; give the function, "
                f"custom_objects={{{self.__name__!r}: ...}}"
            )
        case = signature_of([y_true, y_pred], {})
        found = next((one for one in self.traced if isinstance(one, Mapping) and one.get("case") == case), None)
        if found is None:
            raise ValueError(
                f"{self.__name__}, loaded without its source, was not computed for targets of shape {y_true.shape} when it was saved: "
                f"give the function, custom_objects={{{self.__name__!r}: ...}}"
            )
        ancestors, tensors = ancestors_of(y_pred), [y_true, y_pred]
        for given in _field(found, "ancestors", list):
            tensors.append(tensor := ancestors[_index(given.get("place"), ancestors)])
            op = tensor.operation.op if tensor.operation is not None else None
            if op != given.get("op") or list(tensor.sample_shape) != given.get("shape"):
                raise ValueError(f"{self.__name__} computes with a value of another model")
        traced = {"weights": found.get("weights"), "parts": [], "calls": [_field(found, "call", dict)]}
        builder = _Builder(CustomObjects(), None, most_operations(found))
        owners = []
        for place in found.get("owners", []):
            operation = ancestors[_index(place, ancestors)].operation
            if operation is None:
                raise ValueError(f"{self.__name__} computes with weights of no layer")
            owners.append(operation.layer)
        plain = {"class_name": self.__name__, "config": {"name": self.__name__}, "needs": [], "traced": traced}
        layer = builder.traced(plain, owners)
        if layer.operations > builder.operations:
            raise ValueError(f"{self.__name__} stands for more operations than its size allows")
        return layer(tensors)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SavedFunction):
            return NotImplemented
        return (self.__name__, self.traced) == (other.__name__, other.traced)

    def __hash__(self) -> int:
        return hash(self.__name__)

    def __repr__(self) -> str:
        return f"<SavedFunction {self.__name__}>"


class SavedWeightFunction:
    """A regularizer or a constraint in a file, whose Python source is not at hand: what it computed of weights, or of activities.

    Parameters
    ----------
    described : dict
        See `weight_functions`.
    """

    def __init__(self, described: Mapping[str, Any]) -> None:
        _field(described, "traced", list)
        self.described = dict(described)
        self.__name__ = str(next(iter(_field(described, "needs", list)), described["kind"]))

    def _find(self, tensor: SymbolicTensor) -> tuple[TracedLayer, Mapping[str, Any]]:
        """What was done with a tensor of this shape, as a layer."""
        case = signature_of([tensor], {})
        case = f"activity {case}" if tensor.has_batch else case
        found = next((one for one in self.described["traced"] if isinstance(one, Mapping) and one.get("case") == case), None)
        if found is None:
            raise ValueError(
                f"{self.__name__}, loaded without its source, was not computed for {'outputs' if tensor.has_batch else 'weights'} of shape "
                f"{tensor.shape} when it was saved: give it, custom_objects={{{self.__name__!r}: ...}}"
            )
        traced = {"weights": found.get("weights"), "parts": [], "calls": [_field(found, "call", dict)]}
        plain = {"class_name": self.__name__, "config": {"name": self.__name__}, "needs": [], "traced": traced}
        builder = _Builder(CustomObjects(), None, most_operations(found))
        layer = builder.traced(plain)
        if layer.operations > builder.operations:
            raise ValueError(f"{self.__name__} stands for more operations than its size allows")
        return layer, found

    def layer_for(self, weight: Weight) -> TracedLayer:
        """What it computed of such a weight, as a layer that is called on the tensor of the weight."""
        return self._find(tensor_of(weight))[0]

    def __call__(self, x: Any) -> Any:
        """As the function did of what models compute; TypeError for arrays."""
        if isinstance(x, Weight):
            return with_formulas(self.layer_for(x)(without_formulas(x)))
        if not isinstance(x, SymbolicTensor):
            raise TypeError(
                f"{self.__name__} was loaded without its source: a model computes it, and arrays it does not take; give the function, "
                f"custom_objects={{{self.__name__!r}: ...}}"
            )
        layer, found = self._find(x)
        outputs, factors = layer._make_call(x).outputs, _field(found, "factors", list)
        return Total([(tensor, float(factor), False) for tensor, factor in zip(outputs, factors, strict=True)])

    def __eq__(self, other: object) -> bool:
        return self.described == other.described if isinstance(other, SavedWeightFunction) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.__name__)

    def __repr__(self) -> str:
        return f"<SavedWeightFunction {self.__name__}>"


class SavedLoss(_losses.Loss):
    """A loss in a file whose class is not at hand.

    Parameters
    ----------
    function : SavedFunction
    arguments : dict
        The configuration of the loss, for whoever has the class.
    """

    def __init__(self, function: SavedFunction, arguments: Mapping[str, Any]) -> None:
        name = arguments.get("name")
        super().__init__(name=name if isinstance(name, str) else function.__name__)
        self.saved, self.arguments = function, dict(arguments)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.saved(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        return dict(self.arguments)


def _tensor(given: Any, tensors: list[SymbolicTensor], layers: Sequence[Layer] = ()) -> SymbolicTensor:
    """The tensor of a number, the mask of one, or a weight of a layer; one that nothing depends on is described by its shape."""
    if not isinstance(given, dict):
        return tensors[_index(given, tensors)]
    if "weight" in given:
        parts, owner = list(layers), None
        for number in _field(given, "owner", list):
            owner = parts[_index(number, parts)]
            parts = owner.sublayers()
        if owner is None or given["weight"] not in owner._weights:
            raise _Broken(f"it computes with a weight {str(given['weight'])[:100]!r}, which is not there")
        return tensor_of(owner._weights[given["weight"]])
    if "mask" not in given:
        return Input(_field(given, "shape", list))
    mask = tensors[_index(given["mask"], tensors)].mask
    if mask is None:
        raise _Broken(f"it refers to the mask of number {given['mask']}, which has none")
    return mask


def _with_tensors(plain: Any, tensors: list[SymbolicTensor]) -> Any:
    """Arguments of a call, with tensors in place of their numbers."""
    if isinstance(plain, list):
        return [_with_tensors(value, tensors) for value in plain]
    if isinstance(plain, dict):
        if list(plain) == ["tensor"]:
            return _tensor(plain["tensor"], tensors)
        return {key: _with_tensors(value, tensors) for key, value in plain.items()}
    return plain


def _index(number: Any, things: list[Any]) -> int:
    if not isinstance(number, int) or not 0 <= number < len(things):
        raise _Broken(f"it refers to number {number!r} of {len(things)}")
    return number


def _object(plain: Any, get: Callable[[Any], Any]) -> Any:
    """What `_plain` wrote, with objects in place of configurations."""
    if isinstance(plain, Mapping) and "class_name" in plain:
        name = plain["class_name"]
        try:
            return get(plain)
        except ValueError as error:
            if not str(error).startswith(("unknown loss", "unknown metric")):
                raise
            raise ValueError(
                f"{error} (a class of your own: give custom_objects={{{name!r}: ...}}, or compile=False to load the model without it)"
            ) from None
    if isinstance(plain, Mapping):
        return {key: _object(value, get) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_object(value, get) for value in plain]
    return plain
