"""Weights of PyTorch modules for models of fastnet: a table of how the arrays of each kind of layer correspond.

PyTorch itself is not needed: a state_dict is a mapping of names to tensors, which NumPy can view.

Channels come first there and last here; kernels are (outputs, inputs, ...) there and (..., inputs, outputs) here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._graph import SymbolicTensor
from .._weights import Weight
from ..layers.base import Layer
from .keras_files import as_numbers
from .pytorch_matching import Slot, match

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["from_pytorch"]

Arrays = dict[str, np.ndarray]

#: Arrays that say nothing of what is computed.
_IGNORED = ("num_batches_tracked",)
#: Types of tensors that NumPy does not have.
_WIDENED = ("torch.bfloat16", "torch.float8_e4m3fn", "torch.float8_e5m2")

#: Operations whose outputs have channels, which PyTorch has before the other axes.
_OF_CHANNELS = {"average_pooling", "convolution", "convolution_transpose", "depthwise_convolution", "max_pooling"}
#: Operations whose outputs PyTorch has in our order.
_OF_FEATURES = {"attention", "dense", "embedding", "gru", "lstm", "simple_rnn"}


class Entry(NamedTuple):
    """How the arrays of a kind of layer come from PyTorch.

    Attributes
    ----------
    convert : tuple of callable
        For each module that the layer is: takes the layer and the arrays of the module by name; returns those of the layer's
        weights by theirs.
    prefixes : tuple of str
        How the names of the weights begin that come from each module; of a weight, the first that fits counts.
    """

    convert: tuple[Callable[[Layer, Arrays], Arrays], ...]
    prefixes: tuple[str, ...] = ("",)


def _renamed(**names: str) -> Callable[[Layer, Arrays], Arrays]:
    """Arrays that are the same under other names."""
    return lambda layer, given: {names.get(name, name): array for name, array in given.items()}


def _dense(layer: Layer, given: Arrays) -> Arrays:
    """weight [out][in] -> kernel [in][out]"""
    return {"kernel": given["weight"].T, **_bias(given)}


def _bias(given: Arrays) -> Arrays:
    return {"bias": given["bias"]} if "bias" in given else {}


def _convolution(layer: Layer, given: Arrays) -> Arrays:
    """weight [out][in / groups][sizes] -> kernel [sizes][in / groups][out]; transposed, in and out change places."""
    return {"kernel": np.moveaxis(given["weight"], (0, 1), (-1, -2)), **_bias(given)}


def _depthwise(layer: Layer, given: Arrays) -> Arrays:
    """weight [channels * multiplier][1][sizes] -> kernel [sizes][channels][multiplier]"""
    weight, multiplier = given["weight"], layer.depth_multiplier
    if weight.shape[1] != 1 or len(weight) % multiplier:
        raise ValueError(f"a kernel of shape {weight.shape} is none for each channel, {multiplier} times")
    split = weight.reshape(len(weight) // multiplier, multiplier, *weight.shape[2:])
    return {"kernel": np.moveaxis(split, (0, 1), (-2, -1)), **_bias(given)}


def _each_channel(layer: Layer, given: Arrays) -> Arrays:
    """Of a separable convolution, that of each channel, without a bias."""
    return {f"depthwise_{name}": array for name, array in _depthwise(layer, given).items()}


def _mixing(layer: Layer, given: Arrays) -> Arrays:
    """Of a separable convolution, the one that mixes the channels."""
    found = _convolution(layer, given)
    return {"pointwise_kernel": found.pop("kernel"), **found}


def _gates(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """[gates * units][...] -> [...][gates * units], the gates in another order."""
    parts = np.split(array, len(order))
    return np.concatenate([parts[i] for i in order]).T


def _recurrent(order: tuple[int, ...]) -> Callable[[Layer, Arrays], Arrays]:
    """weight_ih [gates * units][in], weight_hh [gates * units][units] -> kernel, recurrent_kernel, transposed.

    PyTorch adds two biases; one holds their sum here. A GRU applies its reset gate after the product, so that it needs
    both: [2][gates * units].
    """

    def convert(layer: Layer, given: Arrays) -> Arrays:
        found = {"kernel": _gates(given["weight_ih"], order), "recurrent_kernel": _gates(given["weight_hh"], order)}
        if "bias_ih" in given:
            biases = [_gates(given[name], order) for name in ("bias_ih", "bias_hh")]
            found["bias"] = np.stack(biases) if len(order) == 3 else biases[0] + biases[1]
        return found

    return convert


def _attention(layer: Layer, given: Arrays) -> Arrays:
    """in_proj_weight [3 * E][E], or q_, k_, v_proj_weight -> a kernel [E][heads][size] each; out_proj [E][E]"""
    heads, size = layer.num_heads, layer.key_dim
    width = heads * size
    names = ("query", "key", "value")
    if "in_proj_weight" in given:
        kernels = np.split(given["in_proj_weight"], 3)
    else:
        kernels = [given[f"{name[0]}_proj_weight"] for name in names]
    found = {f"{name}/kernel": _split(kernel, (width, None)).T.reshape(-1, heads, size) for name, kernel in zip(names, kernels)}
    found["attention_output/kernel"] = _split(given["out_proj.weight"], (None, width)).T.reshape(heads, size, -1)
    if "in_proj_bias" in given:
        biases = np.split(given["in_proj_bias"], 3)
        found.update((f"{name}/bias", _split(bias, (width,)).reshape(heads, size)) for name, bias in zip(names, biases))
        found["attention_output/bias"] = given["out_proj.bias"]
    return found


def _split(array: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array whose axes are about to be taken apart; ValueError where they have other sizes."""
    if len(array.shape) != len(shape) or any(size not in (None, own) for own, size in zip(array.shape, shape)):
        raise ValueError(f"a projection has shape {array.shape}, expected {shape}")
    return array


_SCALED = Entry((_renamed(weight="gamma", bias="beta"),))
_SEPARABLE = Entry((_each_channel, _mixing), ("depthwise_", ""))

#: Name of the class of a layer -> how its arrays come from PyTorch.
LAYERS: Mapping[str, Entry] = {
    "BatchNormalization": Entry(
        (_renamed(weight="gamma", bias="beta", running_mean="moving_mean", running_var="moving_variance"),)
    ),
    **{f"Conv{axes}D{kind}": Entry((_convolution,)) for axes in (1, 2, 3) for kind in ("", "Transpose")},
    "Dense": Entry((_dense,)),
    "DepthwiseConv1D": Entry((_depthwise,)),
    "DepthwiseConv2D": Entry((_depthwise,)),
    "Embedding": Entry((_renamed(weight="embeddings"),)),
    "GRU": Entry((_recurrent((1, 0, 2)),)),  # there reset, update, new
    "GroupNormalization": _SCALED,
    "LSTM": Entry((_recurrent((0, 1, 2, 3)),)),
    "LayerNormalization": _SCALED,
    "MultiHeadAttention": Entry((_attention,)),
    "RMSNormalization": Entry((_renamed(weight="scale"),)),
    "SeparableConv1D": _SEPARABLE,
    "SeparableConv2D": _SEPARABLE,
    "SimpleRNN": Entry((_recurrent((0,)),)),
}


def from_pytorch(source: Any, model: Model, mapping: Mapping[str, str | Sequence[str]] | None = None) -> Model:
    """Gives a model the weights of a PyTorch module that computes the same.

    A layer that was given a name takes the module of that name, if it fits. The others are matched in order, that of the
    layers of the model, those of models within it included, and that of the module, if the source is a module or what its
    ``state_dict()`` returned. Other mappings, as those that safetensors reads, are in an order of their own: there the shapes
    decide, and the numbers in names as those of an ``nn.Sequential``. Kernels are transposed, gates reordered and biases
    joined as needed, and the rows of a dense layer on flattened images follow the order of the channels. A SeparableConv
    takes two modules, the convolution of each channel and the one that mixes them; a Bidirectional layer the two directions
    of one.

    Parameters
    ----------
    source : mapping of str to array_like, or module
        The module, what its ``state_dict()`` returns, or the same arrays by the same names in any order; bfloat16 is
        converted.
    model : Model
        Into which the weights go.
    mapping : dict of str to str, optional
        Which module is for which layer, by the path of the layer and the name of the module: ``{"dense": "fc1"}``, or a
        list of names where the layer takes several. The other layers take what is left.

    Returns
    -------
    Model
        The model that was given.

    Raises
    ------
    TypeError
        If the source is no mapping of names to arrays of numbers, or the model or the mapping is of another kind.
    ValueError
        If shapes do not fit, if a layer has no module or a module has no layer, if several ways to match them fit and the
        order of the source is not known to be the module's, or if the mapping names what is not there; the model is
        unchanged then.
    """
    from ..model import Model

    if not isinstance(model, Model):
        raise TypeError(f"from_pytorch gives weights to a Model, its second argument, got {type(model).__name__}")
    model._require_built()
    state, in_order = _state(source)
    modules = _modules(state)
    layers = dict(_layers(model, ""))
    flattened = _flattened(model)
    slots = [(path, i) for path, layer in layers.items() for i in range(len(LAYERS[type(layer).__name__].convert))]

    def pairs(slot: Slot, module: str) -> list[tuple[Weight, np.ndarray]]:
        layer = layers[slot[0]]
        return _assignments(layer, slot, modules[module], module, flattened.get(layer))

    known: dict[Any, str | None] = {}

    def check(slot: Slot, module: str) -> None:
        """As `pairs`, looking once at layers and modules that are alike."""
        layer = layers[slot[0]]
        key = (
            type(layer),
            slot[1],
            tuple((weight.name, weight.shape) for weight in layer.weights),
            flattened.get(layer),
            tuple((name, array.shape) for name, array in modules[module].items()),
        )
        if known.get(key, "") is not None:
            known[key] = "does not fit"
            pairs(slot, module)
            known[key] = None

    given = _mapped(mapping, slots, list(modules), in_order)
    named = [path for path, layer in layers.items() if layer._named]
    found = []
    for slot, module in match(slots, list(modules), given, named, in_order, check).items():
        found += pairs(slot, module)
    for weight, array in found:
        weight.assign(array)
    return model


def _mapped(mapping: Any, slots: Sequence[Slot], modules: Sequence[str], in_order: bool) -> dict[Slot, str]:
    """What a mapping says. Of a layer that takes several modules, the others are those that follow where the order is known."""
    if mapping is not None and not isinstance(mapping, Mapping):
        raise TypeError(f"mapping must be a dictionary of paths of layers and names of modules, got {type(mapping).__name__}")
    found: dict[Slot, str] = {}
    for path, names in (mapping or {}).items():
        own = [slot for slot in slots if slot[0] == path]
        if not own:
            raise ValueError(f"mapping: there is no layer {path!r}; there are {list(dict.fromkeys(path for path, _ in slots))}")
        chosen = [names] if isinstance(names, str) else names
        if not isinstance(chosen, Sequence) or not all(isinstance(name, str) for name in chosen):
            raise TypeError(f"mapping: of layer {path!r} the name of a module is expected, or a list of names, got {names!r}")
        for name in chosen:
            if name not in modules:
                raise ValueError(f"mapping: there is no module {name!r}; there are {list(modules)}")
        if in_order and len(chosen) == 1:
            first = modules.index(chosen[0])
            chosen = modules[first : first + len(own)]
        if len(chosen) > len(own):
            raise ValueError(f"mapping: layer {path!r} takes {len(own)} modules, got {chosen}")
        found.update(zip(own, chosen))
    return found


def _assignments(
    layer: Layer, slot: Slot, given: Arrays, module: str, flattened: tuple[int, ...] | None
) -> list[tuple[Weight, np.ndarray]]:
    """The weights of a layer that come from one of its modules, with arrays; ValueError unless each has one, and none is left."""
    path, number = slot
    entry = LAYERS[type(layer).__name__]
    given = dict(given)
    try:
        if flattened is not None and "weight" in given:
            given["weight"] = _reordered(given["weight"], flattened)
        arrays = entry.convert[number](layer, given)
    except KeyError as error:
        raise ValueError(f"layer {path!r}: module {module!r} has no {error}; it has {list(given)}") from None
    except (ValueError, IndexError) as error:
        raise ValueError(f"layer {path!r}: module {module!r}: {error}") from None
    found = []
    for weight in layer.weights:
        if next(i for i, prefix in enumerate(entry.prefixes) if weight.name.startswith(prefix)) != number:
            continue
        array = arrays.pop(weight.name, None)
        if array is None:
            raise ValueError(f"layer {path!r}: module {module!r} has nothing for its {weight.name!r}")
        if array.shape != weight.shape:
            raise ValueError(
                f"layer {path!r}: {weight.name} from module {module!r} has shape {array.shape}, expected {weight.shape}"
            )
        found.append((weight, array))
    if arrays:
        raise ValueError(f"layer {path!r} has no {', '.join(map(repr, arrays))}, which module {module!r} has")
    return found


def _state(source: Any) -> tuple[dict[str, np.ndarray], bool]:
    """Names and arrays, and whether they are in the order of the module, which state_dict marks."""
    module = hasattr(source, "state_dict")
    given = source.state_dict() if module else source
    if not isinstance(given, Mapping):
        raise TypeError(f"from_pytorch takes a state_dict or a module, got {type(source).__name__}")
    state = {}
    for name, tensor in given.items():
        if not isinstance(name, str):
            raise TypeError(f"the names of a state_dict are strings, got {name!r}")
        if not name.endswith(_IGNORED):
            state[name] = _array(tensor, name)
    return state, module or hasattr(given, "_metadata")


def _array(tensor: Any, name: str) -> np.ndarray:
    try:
        if hasattr(tensor, "detach"):
            tensor = tensor.detach().cpu()
            tensor = (tensor.float() if str(getattr(tensor, "dtype", "")) in _WIDENED else tensor).numpy()
        array = np.asarray(tensor)
        array = as_numbers(array, "it") if array.dtype.kind == "V" else array
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise TypeError(f"{name!r} of the source is no array of numbers: {error}") from None
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name!r} of the source is no array of numbers: {array.dtype} of shape {array.shape}")
    return array


def _modules(state: Mapping[str, np.ndarray]) -> dict[str, Arrays]:
    """The arrays of each module, by their names within it.

    A module of several recurrent layers is one for each and each direction, "rnn.l0", "rnn.l0_reverse"; the projection out
    of an attention is a part of it.
    """
    attention = {name.rpartition(".")[0] for name in state if name.endswith(("in_proj_weight", "q_proj_weight"))}
    modules: dict[str, Arrays] = {}
    for name, array in state.items():
        module, _, own = name.rpartition(".")
        outer, _, last = module.rpartition(".")
        if last == "out_proj" and outer in attention:
            module, own = outer, f"out_proj.{own}"
        if own.startswith(("weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l")):
            own, _, level = own.rpartition("_l")
            module = f"{module}.l{level}".lstrip(".")
        modules.setdefault(module, {})[own] = array
    return modules


def _layers(model: Layer, above: str) -> Iterator[tuple[str, Layer]]:
    """Path and layer of all that have weights, models and layers put together from others taken apart."""
    for layer in model.sublayers():
        path = f"{above}{layer.name}"
        if layer.sublayers():
            yield from _layers(layer, f"{path}/")
        elif layer.weights and not hasattr(layer, "affine_map"):  # those that scale learn from data
            if type(layer).__name__ not in LAYERS:
                raise ValueError(f"layer {path!r}: weights of {type(layer).__name__} are not taken from PyTorch")
            yield path, layer


def _flattened(model: Model) -> dict[Layer, tuple[int, ...]]:
    """The dense layers that read flattened values with channels, and the shapes of these."""
    found: dict[Layer, tuple[int, ...]] = {}
    for operation in model._graph.operations:
        tensor = operation.inputs[0]
        while operation.op == "dense" and len(tensor.sample_shape) == 1 and tensor.operation is not None:
            shape = tensor.operation.inputs[0].sample_shape
            if tensor.operation.op == "reshape" and len(shape) > 1:
                if _has_channels(tensor.operation.inputs[0]):
                    found[operation.layer] = shape
                break
            if tensor.operation.op in _OF_FEATURES:
                break
            tensor = tensor.operation.inputs[0]
    return found


def _has_channels(tensor: SymbolicTensor) -> bool:
    """Whether the last axis is that of channels: of images always, of sequences after operations on windows."""
    if len(tensor.sample_shape) > 2:
        return True
    while tensor.operation is not None and tensor.operation.op not in _OF_FEATURES:
        if tensor.operation.op in _OF_CHANNELS:
            return True
        tensor = tensor.operation.inputs[0]
    return False


def _reordered(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """weight [out][channels * sizes] -> [out][sizes * channels]"""
    if weight.ndim != 2 or weight.shape[1] != math.prod(shape):
        return weight  # told with the other shapes that do not fit
    split = weight.reshape(len(weight), shape[-1], *shape[:-1])
    return np.moveaxis(split, 1, -1).reshape(len(weight), -1)
