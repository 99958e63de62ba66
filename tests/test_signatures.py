"""What is called as in Keras takes the arguments that Keras takes: those by position in its order, and with its defaults.

A positional argument that means something else than in Keras is taken without a word: ``MeanSquaredError("sum")`` was once a mean
whose name is "sum". The arguments of Keras are in traces/keras_signatures.json, which tools/dump_keras_signatures.py writes.
"""

import ast
import inspect
import json
import pathlib

import pytest

import fastnet as fn
from fastnet import _config
from fastnet._fit_options import FitOptions

SIGNATURES = json.loads((pathlib.Path(__file__).parent / "traces" / "keras_signatures.json").read_text())["signatures"]

#: What has a name of Keras and is something else: what is called by the engine or by fastnet alone, not by a user.
OTHERS = {
    "callbacks.CallbackList": "made by fit",
    "layers.AdditiveAttention.call": "as that of Attention",
    "layers.Attention.call": "takes (query, value, key); Keras's takes a list of these first, and so do layers that are called",
}

#: Arguments that are not as in Keras, and why: {what: {argument: (Keras's default, ours)}}.
OTHER_DEFAULTS = {
    # Keras takes the loss's word for nothing: logits have to be announced to the metric as well.
    "metrics.AUC": {"from_logits": (False, None)},
    # One default for all that trains.
    # They print what they return only if they are told to.
    "Model.evaluate": {"verbose": ("auto", 0)},
    "Model.predict": {"verbose": ("auto", 0)},
}
OTHER_DEFAULTS |= {f"Sequential.{name[6:]}": other for name, other in OTHER_DEFAULTS.items() if name.startswith("Model.")}

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def find(module, path):
    """What fastnet has under a name of Keras that is called, or None."""
    thing = fn
    for name in f"{module}.{path}".strip(".").split("."):
        thing = getattr(thing, name, None)
    return thing if callable(thing) else None


def keras_arguments(text):
    """The names of the positional arguments in order, None where it takes any, and by name the defaults (`...`: unknown)."""
    arguments = ast.parse(f"def f({text}): ...").body[0].args
    positional = [argument.arg for argument in arguments.args]
    defaults = dict(zip(positional[::-1], arguments.defaults[::-1]))
    defaults |= {a.arg: default for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults) if default is not None}
    return None if arguments.vararg else positional, {name: ast.literal_eval(default) for name, default in defaults.items()}


def our_arguments(thing):
    """The same of fastnet; the defaults are also those of the arguments that a class hands on to its base."""
    parameters = list(inspect.signature(thing).parameters.values())
    if parameters and parameters[0].name == "self":
        del parameters[0]
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    if isinstance(thing, type) and issubclass(thing, _config.Configurable):
        defaults |= {name: value for name, value in thing._arguments().items() if value is not ...}
    return [p.name for p in parameters if p.kind in POSITIONAL], defaults


SHARED = {
    f"{module}.{path}".lstrip("."): (module, path)
    for module, paths in SIGNATURES.items()
    for path, arguments in paths.items()
    if arguments is not None and not arguments.startswith("=") and find(module, path) and f"{module}.{path}" not in OTHERS
}


def compared(name):
    module, path = SHARED[name]
    ours, defaults = our_arguments(find(module, path))
    theirs, keras_defaults = keras_arguments(SIGNATURES[module][path])
    if path.endswith(".call"):  # the first is the input, which is never given by name
        ours, theirs = ours[1:], theirs and theirs[1:]
    return ours, defaults, ours if theirs is None else theirs, keras_defaults


def test_there_is_something_to_compare():
    assert len(SHARED) > 300 and all(name in SHARED for name in OTHER_DEFAULTS)


@pytest.mark.parametrize("name", SHARED)
def test_arguments_by_position(name):
    ours, _, theirs, _ = compared(name)
    assert ours == theirs[: len(ours)]


def sizes(value):
    """A size for each axis, of which one stands for all."""
    return {value} if isinstance(value, int) else set(value)


@pytest.mark.parametrize("name", SHARED)
def test_defaults(name):
    _, defaults, _, keras_defaults = compared(name)
    other = {
        argument: (keras_defaults[argument], default)
        for argument, default in defaults.items()
        if keras_defaults.get(argument, ...) is not ...
        and keras_defaults[argument] != default
        and not (argument in ("strides", "dilation_rate") and sizes(keras_defaults[argument]) == sizes(default))
        and not (argument == "name" and keras_defaults[argument] is None)  # one is made from the class's
    }
    assert other == OTHER_DEFAULTS.get(name, {})


@pytest.mark.parametrize("make", [
    lambda: fn.metrics.AUC(200, "ROC", "interpolation", 5),
    lambda: fn.metrics.BinaryAccuracy(0.7),
    lambda: fn.metrics.Precision(None, 2),
    lambda: fn.metrics.Recall(0.5, 2, 1),
    lambda: fn.optimizers.SGD(0.1, name=0.9),
    lambda: fn.schedules.PiecewiseConstantDecay([1], [0.1, 0.2], 3),
    lambda: fn.Input((3,), "float32"),
    lambda: fn.layers.Bidirectional(fn.layers.LSTM(2), "sum", fn.layers.LSTM(2)),
    lambda: fn.Sequential([fn.Input((3,)), fn.layers.Dense(1)]).compile("adam", "mse", ["mae"]),
    lambda: fn.initializers.Zeros()((2,), None, "float32"),
])  # fmt: skip
def test_what_means_something_else_in_keras_is_refused(make):
    with pytest.raises(TypeError):
        make()


def test_what_comes_after_what_fastnet_lacks_goes_by_name():
    auc = fn.metrics.AUC(50, "PR", "minoring", "mine")
    assert (auc.name, auc.from_logits) == ("mine", None)
    assert fn.metrics.Precision(0.5, class_id=2).class_id == 2
    assert fn.layers.GRU(2, reset_after=False).reset_after is False
    assert fn.Input((3,), 4).batch_size == 4
    assert fn.initializers.Ones()((2,), "float64").dtype == "float64"


def test_the_options_of_fit_are_its_arguments():
    """In their order, by which `fit` hands them over, and with its defaults, which `fit_many` relies on."""
    parameters = list(inspect.signature(fn.Model.fit).parameters.values())[1:]
    assert list(FitOptions._fields) == [parameter.name for parameter in parameters]
    defaults = {parameter.name: parameter.default for parameter in parameters if parameter.default is not inspect.Parameter.empty}
    assert FitOptions._field_defaults == defaults | {"verbose": 0}  # `fit_many` has a word for each model
