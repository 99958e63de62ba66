"""Weights of PyTorch modules for models of fastnet: a table of how the arrays of each kind of layer correspond.

PyTorch itself is not needed: a state_dict is a mapping of names to tensors, which NumPy can view.

Channels come first there and last here; kernels are (outputs, inputs, ...) there and (..., inputs, outputs) here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._graph import SymbolicTensor, Weight
from ..layers.base import Layer

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["from_pytorch"]

Arrays = dict[str, np.ndarray]

#: Arrays that say nothing of what is computed.
_IGNORED = ("num_batches_tracked",)

#: Operations whose outputs have channels, which PyTorch has before the other axes.
_OF_CHANNELS = {"average_pooling", "convolution", "convolution_transpose", "depthwise_convolution", "max_pooling"}
#: Operations whose outputs PyTorch has in our order.
_OF_FEATURES = {"attention", "dense", "embedding", "gru", "lstm", "simple_rnn"}


class Entry(NamedTuple):
    """How the arrays of a kind of layer come from PyTorch.

    Attributes
    ----------
    convert : callable
        Takes the layer and the arrays of its modules by name, one dictionary for each; returns those of the layer's weights.
    modules : int
        How many modules the layer is.
    """

    convert: Callable[..., Arrays]
    modules: int = 1


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


def _separable(layer: Layer, first: Arrays, second: Arrays) -> Arrays:
    """The convolution of each channel, without a bias, and the one that mixes them."""
    depthwise, pointwise = _depthwise(layer, first), _convolution(layer, second)
    found = {"depthwise_kernel": depthwise.pop("kernel"), "pointwise_kernel": pointwise.pop("kernel"), **pointwise}
    return found | {f"depthwise_{name}": array for name, array in depthwise.items()}


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
    names = ("query", "key", "value")
    if "in_proj_weight" in given:
        kernels = np.split(given["in_proj_weight"], 3)
    else:
        kernels = [given[f"{name[0]}_proj_weight"] for name in names]
    found = {f"{name}/kernel": kernel.T.reshape(-1, heads, size) for name, kernel in zip(names, kernels)}
    found["attention_output/kernel"] = given["out_proj.weight"].T.reshape(heads, size, -1)
    if "in_proj_bias" in given:
        biases = np.split(given["in_proj_bias"], 3)
        found.update((f"{name}/bias", bias.reshape(heads, size)) for name, bias in zip(names, biases))
        found["attention_output/bias"] = given["out_proj.bias"]
    return found


_SCALED = Entry(_renamed(weight="gamma", bias="beta"))

#: Name of the class of a layer -> how its arrays come from PyTorch.
LAYERS: Mapping[str, Entry] = {
    "BatchNormalization": Entry(
        _renamed(weight="gamma", bias="beta", running_mean="moving_mean", running_var="moving_variance")
    ),
    **{f"Conv{axes}D{kind}": Entry(_convolution) for axes in (1, 2, 3) for kind in ("", "Transpose")},
    "Dense": Entry(_dense),
    "DepthwiseConv1D": Entry(_depthwise),
    "DepthwiseConv2D": Entry(_depthwise),
    "Embedding": Entry(_renamed(weight="embeddings")),
    "GRU": Entry(_recurrent((1, 0, 2))),  # there reset, update, new
    "GroupNormalization": _SCALED,
    "LSTM": Entry(_recurrent((0, 1, 2, 3))),
    "LayerNormalization": _SCALED,
    "MultiHeadAttention": Entry(_attention),
    "RMSNormalization": Entry(_renamed(weight="scale")),
    "SeparableConv1D": Entry(_separable, 2),
    "SeparableConv2D": Entry(_separable, 2),
    "SimpleRNN": Entry(_recurrent((0,))),
}


def from_pytorch(source: Any, model: Model, mapping: Mapping[str, str] | None = None) -> Model:
    """Gives a model the weights of a PyTorch module that computes the same.

    Layers and modules with weights are matched in order: that of the layers of the model, those of models within it
    included, and that of the state_dict. Kernels are transposed, gates reordered and biases joined as needed, and the
    rows of a dense layer on flattened images follow the order of the channels. A SeparableConv takes two modules, the
    convolution of each channel and the one that mixes them; a Bidirectional layer the two directions of one.

    Parameters
    ----------
    source : mapping of str to array_like, or module
        What ``module.state_dict()`` returns, or the module.
    model : Model
        Into which the weights go.
    mapping : dict of str to str, optional
        Which module is for which layer, by the path of the layer and the name of the module: ``{"dense": "fc1"}``. The
        other layers take what is left, in order.

    Returns
    -------
    Model
        The model that was given.

    Raises
    ------
    TypeError
        If the source is no mapping of names to arrays.
    ValueError
        If shapes do not fit, if a layer has no module or a module has no layer, or if the mapping names what is not there;
        the model is unchanged then.
    """
    model._require_built()
    modules = _modules(_state(source))
    layers = dict(_layers(model, ""))
    flattened = _flattened(model)
    found = []
    for path, names in _match(layers, modules, mapping or {}).items():
        layer = layers[path]
        given = [dict(modules[name]) for name in names]
        if layer in flattened:
            given[0]["weight"] = _reordered(given[0]["weight"], flattened[layer])
        found += _assignments(layer, path, given, _told(names))
    for weight, array in found:
        weight.assign(array)
    return model


def _assignments(layer: Layer, path: str, given: list[Arrays], told: str) -> list[tuple[Weight, np.ndarray]]:
    """The weights of a layer with their arrays; ValueError unless each has one, and no array is left."""
    try:
        arrays = LAYERS[type(layer).__name__].convert(layer, *given)
    except KeyError as error:
        raise ValueError(f"layer {path!r}: {told} has no {error}; it has {list(given[0])}") from None
    except ValueError as error:
        raise ValueError(f"layer {path!r}: {told}: {error}") from None
    found = []
    for weight in layer.weights:
        array = arrays.pop(weight.name, None)
        if array is None:
            raise ValueError(f"layer {path!r}: {told} has nothing for its {weight.name!r}")
        if array.shape != weight.shape:
            raise ValueError(f"layer {path!r}: {weight.name} from {told} has shape {array.shape}, expected {weight.shape}")
        found.append((weight, array))
    if arrays:
        raise ValueError(f"layer {path!r} has no {', '.join(map(repr, arrays))}, which {told} has")
    return found


def _told(names: tuple[str, ...]) -> str:
    return f"module {names[0]!r}" if len(names) == 1 else f"modules {', '.join(map(repr, names))}"


def _state(source: Any) -> dict[str, np.ndarray]:
    """Names and arrays."""
    given = source.state_dict() if hasattr(source, "state_dict") else source
    if not isinstance(given, Mapping):
        raise TypeError(f"from_pytorch takes a state_dict or a module, got {type(source).__name__}")
    state = {}
    for name, tensor in given.items():
        if name.endswith(_IGNORED):
            continue
        array = np.asarray(tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{name!r} of the source is no array of numbers: {tensor!r}")
        state[name] = array
    return state


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
    for layer in model._parts():
        path = f"{above}{layer.name}"
        if layer._parts():
            yield from _layers(layer, f"{path}/")
        elif layer.weights and not hasattr(layer, "affine_map"):  # those that scale learn from data
            if type(layer).__name__ not in LAYERS:
                raise ValueError(f"layer {path!r}: weights of {type(layer).__name__} are not taken from PyTorch")
            yield path, layer


def _match(
    layers: Mapping[str, Layer], modules: Mapping[str, Arrays], mapping: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """The modules for each layer: those that the mapping says, and for the others what is left, in order."""
    for path, name in mapping.items():
        if path not in layers:
            raise ValueError(f"mapping: there is no layer {path!r}; there are {list(layers)}")
        if name not in modules:
            raise ValueError(f"mapping: there is no module {name!r}; there are {list(modules)}")
    order = list(modules)
    counts = {path: LAYERS[type(layer).__name__].modules for path, layer in layers.items()}
    chosen = {path: tuple(order[order.index(name) :][: counts[path]]) for path, name in mapping.items()}
    left = [name for name in order if not any(name in names for names in chosen.values())]
    for path in layers:
        if path not in chosen:
            chosen[path], left = tuple(left[: counts[path]]), left[counts[path] :]
        if len(chosen[path]) < counts[path]:
            raise ValueError(f"no module is left for layer {path!r}")
    if left:
        raise ValueError(f"no layer is left for {_told(tuple(left))}")
    return chosen


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
