"""Every model that a test makes is described and made again, saved and loaded, and must compute the same bits.

`tests/conftest.py` watches the tests: a model is looked at once its test has ended, if none of the same structure was.
"""

import json
import os
import sys
import tempfile

import numpy as np

import fastnet as fn
from fastnet._config import Configurable
from fastnet.layers.traced import TracedLayer
from fastnet.saving.description import describe

#: Models made by the test that runs.
made = []
#: The name of its module.
of_module = None
#: Structures that were looked at, by what JSON says of them.
known = set()


def watch():
    """From now on, models are noted as their layers are connected."""
    connect = fn.Model._connect

    def connect_and_note(model, *args, **kwargs):
        connect(model, *args, **kwargs)
        if not any(model is other for other in made):
            made.append(model)

    fn.Model._connect = connect_and_note


def structure_of(plain):
    """A description without seeds: models that differ in these only are of one structure."""
    if isinstance(plain, list):
        return [structure_of(value) for value in plain]
    if isinstance(plain, dict):
        return {key: structure_of(value) for key, value in plain.items() if key not in ("seed", "compiled")}
    return plain


def is_own(cls):
    """Whether a class was made by a test, or by an example in the documentation of a module of fastnet."""
    return not cls.__module__.startswith("fastnet.") or getattr(sys.modules[cls.__module__], cls.__name__, None) is not cls


def layers_of(model):
    """The model, its layers, and theirs."""
    layers = [model]
    for layer in layers:
        layers.extend(layer.sublayers())
    return layers


def own_classes(model):
    """Classes of the tests, by name; of several those in the model, else of the module of the test that has ended, else the latest."""
    left, found = [Configurable], {}
    while left:
        for cls in left.pop().__subclasses__():
            left.append(cls)
            if is_own(cls) and cls.__name__ not in fn.layers.__all__:
                known = found.get(cls.__name__)
                if known is None or known.__module__ != of_module or cls.__module__ == of_module:
                    found[cls.__name__] = cls
    for layer in layers_of(model):  # loaded without its class, which is another one of that name
        if isinstance(layer, TracedLayer):
            found.pop(layer._saved_class, None)
    used = [type(layer) for layer in layers_of(model) if type(layer).__name__ in found and is_own(type(layer))]
    return {**found, **{cls.__name__: cls for cls in used}}


def can_be_made_again(model):
    """Whether no layer takes arguments of which its configuration says nothing."""
    own = [type(layer) for layer in layers_of(model) if is_own(type(layer))]
    if any(cls.__name__ in fn.layers.__all__ for cls in own):
        return False
    return all(("get_config" in vars(cls)) >= ("__init__" in vars(cls)) for cls in own if not issubclass(cls, fn.Model))


def inputs_for(model, n):
    random = np.random.default_rng(3)
    arrays = []
    for tensor in model.inputs:
        x = random.uniform(-2, 2, (n, *tensor.sample_shape))
        if id(tensor) in model._labels:
            x = random.integers(0, model._labels[id(tensor)][0].count, x.shape)
        if tensor.holds_objects:
            x = random.choice(["2021", ""], x.shape)  # a number, a date and text
        elif tensor.holds_strings:
            x = random.choice(["a", "b", "so good a film", "7", ""], x.shape)
        elif any(any(tensor is one for one in operation.inputs) for operation in model._graph.host):
            x = np.trunc(2 * x)
        arrays.append(x)
    return arrays


def bits(model, x):
    model._batches_predicted = 0  # a new model begins with the same random numbers
    found = model.predict(x, verbose=0, batch_size=model._graph.batch_size or 2)
    found = list(found.values()) if isinstance(found, dict) else found
    return [array.tobytes() for array in (found if isinstance(found, list) else [found])]


def check(model):
    """Raises AssertionError where the model is not what its description and its file say."""
    try:
        config = json.loads(json.dumps(describe(model)))
    except (TypeError, ValueError):
        return  # pieces of layers, layers that say more of themselves than JSON holds: there are tests of what is told
    text = json.dumps(structure_of(config), sort_keys=True)
    if text in known:
        return
    known.add(text)
    if '"needs"' in text and is_traced(config):
        check_copies(model, {**config, "compiled": None}, {}, compile=False)
    if '"unconfigured"' not in text and can_be_made_again(model):
        check_copies(model, config, own_classes(model))


def is_traced(plain):
    """Whether of all layers whose classes are those of tests there is what they did."""
    if isinstance(plain, list):
        return all(map(is_traced, plain))
    if not isinstance(plain, dict):
        return True
    return not isinstance(plain.get("traced"), str) and all(map(is_traced, plain.values()))


def without_traces(config):
    """A description without what losses and metrics did, of which nothing is known before there are targets."""

    def strip(plain):
        if isinstance(plain, list):
            return [strip(value) for value in plain]
        return {key: strip(value) for key, value in plain.items() if key != "traced"} if isinstance(plain, dict) else plain

    return {**config, "compiled": strip(config["compiled"])}


def check_copies(model, config, custom, compile=True):
    """Raises AssertionError where the model made again, with these classes or without any, is another one."""
    again = fn.saving.rebuild(config, custom)
    assert without_traces(json.loads(json.dumps(describe(again)))) == without_traces(config), (
        "the description of what was made from a description differs"
    )
    assert list(again._paths().values()) == list(model._paths().values())
    handle, path = tempfile.mkstemp(suffix=".safetensors")
    os.close(handle)
    try:
        model.save(path)
        loaded = fn.load_model(path, custom, compile)
        again.load_weights(path)
    finally:
        os.unlink(path)
    x = inputs_for(model, model._graph.batch_size or 2)
    expected = bits(model, x)
    assert bits(again, x) == expected, f"made again from its description, {model!r} computes something else"
    assert bits(loaded, x) == expected, f"saved and loaded, {model!r} computes something else"


def check_all(module):
    """Looks at the models of the test of a module that has ended."""
    global of_module
    of_module = module
    models = list(made)
    made.clear()
    for model in models:
        if model.built:
            check(model)
