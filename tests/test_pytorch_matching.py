"""Which arrays of PyTorch go to which layer where their order is not that of the module: found out, or refused."""

import collections
import itertools
import types

import numpy as np
import pytest
from networks import same_weights
from test_importing import MODELS, PYTORCH, arrays_of, names_in

import fastnet as fn
from fastnet import layers
from fastnet.saving.pytorch_matching import match


def linear(names, inputs=3, outputs=3):
    """The arrays of linear modules, all different."""
    rng = np.random.default_rng(len(names))
    shapes = {"weight": (outputs, inputs), "bias": (outputs,)}
    return {f"{name}.{own}": rng.normal(size=shape).astype("float32") for name in names for own, shape in shapes.items()}


def sorted_by_name(state):
    """As safetensors keeps them."""
    return dict(sorted(state.items()))


def in_module_order(state):
    """What state_dict returns."""
    ordered = collections.OrderedDict(state)
    ordered._metadata = collections.OrderedDict()
    return ordered


def dense(count, names=()):
    made = [layers.Dense(3, name=name) for name in names] or [layers.Dense(3) for _ in range(count)]
    return fn.Sequential([fn.Input((3,)), *made], seed=0)


def assert_taken(model, state, names):
    for layer, name in zip(model.layers, names, strict=True):
        np.testing.assert_array_equal(layer.kernel, state[f"{name}.weight"].T)
        np.testing.assert_array_equal(layer.bias, state[f"{name}.bias"])


MODULES = ["input_proj", "body"]


def test_an_order_that_is_not_the_modules_is_refused():
    state, model = linear(MODULES), dense(2)
    before = model.get_weights()
    for given in (sorted_by_name(state), dict(state), collections.OrderedDict(state)):
        with pytest.raises(ValueError) as caught:
            fn.saving.from_pytorch(given, model)
        for word in ("'body', 'input_proj'", "'dense', 'dense_1'", "state_dict()", "mapping={'dense': 'body', ...}"):
            assert word in str(caught.value)
        assert same_weights(before, model)


def test_what_tells_the_order():
    state = linear(MODULES)
    module = types.SimpleNamespace(state_dict=lambda: state)
    for source in (in_module_order(state), module):
        assert_taken(fn.saving.from_pytorch(source, dense(2)), state, MODULES)
    lost = sorted_by_name(state)
    assert_taken(fn.saving.from_pytorch(lost, dense(2), {"dense": "input_proj"}), state, MODULES)
    assert_taken(fn.saving.from_pytorch(lost, dense(2), {"dense_1": "body"}), state, MODULES)
    assert_taken(fn.saving.from_pytorch(lost, dense(2, MODULES)), state, MODULES)
    assert_taken(fn.saving.from_pytorch(in_module_order(lost), dense(2, MODULES)), state, MODULES)
    assert_taken(fn.saving.from_pytorch(lost, dense(2, ["input_proj", "other"])), state, MODULES)


def test_names_within_other_modules():
    state = linear(["net.input_proj", "net.body"])
    assert_taken(fn.saving.from_pytorch(sorted_by_name(state), dense(2, MODULES)), state, ["net.input_proj", "net.body"])
    twice = linear(["a.one", "b.one"])  # a name that says nothing
    with pytest.raises(ValueError, match="in more than one way"):
        fn.saving.from_pytorch(twice, dense(2, ["one", "two"]))
    inner = fn.Sequential([fn.Input((3,)), layers.Dense(3, name="one")], name="b")
    model = fn.Sequential([inner, layers.Dense(3, name="one")])
    fn.saving.from_pytorch(twice, model, {"one": "a.one"})
    np.testing.assert_array_equal(inner.layers[0].kernel, twice["b.one.weight"].T)


def test_a_name_that_was_not_given_says_nothing():
    """ "dense" is what the first layer is called anyway."""
    state = linear(["hidden", "dense"])
    assert_taken(fn.saving.from_pytorch(in_module_order(state), dense(2)), state, ["hidden", "dense"])
    with pytest.raises(ValueError, match="in more than one way"):
        fn.saving.from_pytorch(state, dense(2))


@pytest.mark.parametrize("names", [
    [str(i) for i in range(12)], [f"net.{i}" for i in range(12)], [f"blocks.{i}.fc" for i in range(12)],
    [f"{i // 4}.{i % 4}" for i in range(12)],
])  # fmt: skip
def test_numbers_in_names_are_the_order_of_a_sequential(names):
    state, rng = linear(names), np.random.default_rng(0)
    keys = list(state)
    for order in (sorted(keys), rng.permutation(keys), rng.permutation(keys)):
        assert_taken(fn.saving.from_pytorch({key: state[key] for key in order}, dense(12)), state, names)


@pytest.mark.parametrize("names", [["fc1", "fc2"], ["0.q", "0.k"], ["a.0", "b.0"], ["0", "one"]])
def test_other_names_are_not(names):
    with pytest.raises(ValueError, match="in more than one way"):
        fn.saving.from_pytorch(linear(names), dense(2))


@pytest.mark.parametrize("name", names_in(PYTORCH))
def test_shapes_and_numbers_suffice_in_any_order(name):
    state, rng = arrays_of(PYTORCH, f"{name}/state/"), np.random.default_rng(1)
    wanted = fn.saving.from_pytorch(in_module_order(state), MODELS[name]())
    for _ in range(3):
        shuffled = {key: state[key] for key in rng.permutation(list(state))}
        assert same_weights(wanted, fn.saving.from_pytorch(shuffled, MODELS[name]()))


def test_modules_declared_in_another_order_than_they_are_used():
    first, last = linear(["first"], 4, 3), linear(["last"], 3, 2)
    model = fn.Sequential([fn.Input((4,)), layers.Dense(3), layers.Dense(2)])
    fn.saving.from_pytorch(in_module_order({**last, **first}), model)
    assert_taken(model, {**last, **first}, ["first", "last"])


def test_layers_of_several_modules_by_mapping():
    state = arrays_of(PYTORCH, "separable/state/")
    wanted = fn.saving.from_pytorch(in_module_order(state), MODELS["separable"]())
    for mapping in ({"separable_conv2d": ["2", "3"]}, {"separable_conv2d": "2"}):
        for given in (in_module_order(state), dict(reversed(state.items()))):
            assert same_weights(wanted, fn.saving.from_pytorch(given, MODELS["separable"](), mapping))
    for mapping, error, words in [
        ({"separable_conv2d": ["2", "3", "4"]}, ValueError, "takes 2 modules"),
        ({"separable_conv2d": ["2", "9"]}, ValueError, "no module '9'"),
        ({"separable_conv2d": 2}, TypeError, "name of a module"),
        ({"separable_conv2d": ["3", "2"]}, ValueError, "'separable_conv2d'.*'3'"),
        ("2", TypeError, "mapping must be"),
    ]:
        with pytest.raises(error, match=words):
            fn.saving.from_pytorch(state, MODELS["separable"](), mapping)


@pytest.mark.parametrize("seed", range(60))
def test_assignments_are_counted_rightly(seed):
    """Against all permutations: none, the only one, or several."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    fitting = rng.random((n, n)) < rng.uniform(0.3, 0.9)
    modules = [chr(ord("a") + i) for i in range(n)]
    slots = [(f"layer{i}", 0) for i in range(n)]

    def check(slot, module):
        if not fitting[slots.index(slot), modules.index(module)]:
            raise ValueError(f"{module} does not fit {slot[0]}")

    every = [order for order in itertools.permutations(range(n)) if all(fitting[i, j] for i, j in enumerate(order))]
    for in_order in (False, True):
        if len(every) == 1 or (in_order and tuple(range(n)) in every):
            wanted = tuple(range(n)) if in_order and tuple(range(n)) in every else every[0]
            assert match(slots, modules, {}, [], in_order, check) == {slot: modules[j] for slot, j in zip(slots, wanted)}
        else:
            with pytest.raises(ValueError, match="more than one way" if every else "does not fit"):
                match(slots, modules, {}, [], in_order, check)


# ---- damage --------------------------------------------------------------------------------------------------------

DAMAGE = {
    "object": lambda a: np.array([None, a], object), "text": lambda a: np.array(["a"]), "complex": lambda a: a.astype("complex64"),
    "ragged": lambda a: [[1.0], [1.0, 2.0]], "none": lambda a: None, "void": lambda a: np.zeros(a.shape, "V3"),
    "zero-dimensional": lambda a: np.float32(1), "empty": lambda a: np.zeros(0, "f4"), "flat": lambda a: a.reshape(-1),
    "regrouped": lambda a: a.reshape(-1, a.shape[1] * 2) if a.ndim == 2 and len(a) % 2 == 0 else None,
    "more axes": lambda a: a[..., None, None], "less": lambda a: a[:-1], "turned": lambda a: np.stack([a, a]),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", names_in(PYTORCH))
def test_arrays_that_are_damaged(name, damage):
    state, model = arrays_of(PYTORCH, f"{name}/state/"), MODELS[name]()
    before = model.get_weights()
    for key in (key for key in state if "num_batches" not in key):
        if damage == "flat" and state[key].ndim == 1:
            continue
        for mark in (in_module_order, dict):
            with pytest.raises((ValueError, TypeError)) as caught:
                fn.saving.from_pytorch(mark({**state, key: DAMAGE[damage](state[key])}), model)
            assert type(caught.value) in (ValueError, TypeError), caught.value
            without = {other: array for other, array in state.items() if other != key}
            with pytest.raises(ValueError):
                fn.saving.from_pytorch(mark(without), model)
    assert same_weights(before, model)


def test_arguments_of_another_kind():
    state = linear(["0"])
    for model in (state, None, types.SimpleNamespace()):
        with pytest.raises(TypeError, match="Model"):
            fn.saving.from_pytorch(state, model)
        with pytest.raises(TypeError, match="Model|Keras"):
            fn.saving.from_keras(types.SimpleNamespace(to_json=str, layers=[], get_weights=list), model or 3)
    with pytest.raises(TypeError, match="names of a state_dict are strings, got 3"):
        fn.saving.from_pytorch({3: np.ones(3)}, dense(1))


def test_tensors_of_precisions_that_numpy_does_not_have():
    class Half:
        """As a tensor of PyTorch's bfloat16, which its numpy refuses."""

        dtype = "torch.bfloat16"

        def __init__(self, array):
            self.array = array

        def detach(self):
            return self

        cpu = detach

        def float(self):
            return types.SimpleNamespace(numpy=lambda: self.array)

        def numpy(self):
            raise TypeError("Got unsupported ScalarType BFloat16")

    state = linear(["0"])
    assert_taken(fn.saving.from_pytorch({name: Half(array) for name, array in state.items()}, dense(1)), state, ["0"])
    Half.dtype = "torch.qint8"
    with pytest.raises(TypeError, match="'0.weight'.*unsupported"):
        fn.saving.from_pytorch({name: Half(array) for name, array in state.items()}, dense(1))
