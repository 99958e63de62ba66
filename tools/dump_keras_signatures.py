"""Writes the arguments of Keras's public classes, functions and methods, for tests/test_signatures.py to compare with.

    KERAS_BACKEND=torch python tools/dump_keras_signatures.py       # with keras and torch installed

Writes tests/traces/keras_signatures.json: the versions, and for each module as fastnet calls it the arguments of each name as
they are written in Python, without annotations; `...` stands for a default that is no literal. Of classes there are their
constructors ("Adam"), of layers also their calls ("Dense.call"), and of the classes that others derive from all methods
that are public ("Model.fit") and what calls of their objects take ("Loss.__call__"). PyTorch's optimizers are among them.
"""

from __future__ import annotations

import ast
import inspect
import json
import pathlib

import keras
import torch
from keras.src.models import Functional

#: What fastnet calls a module -> the module of Keras.
MODULES = {
    "": keras,
    "activations": keras.activations,
    "callbacks": keras.callbacks,
    "constraints": keras.constraints,
    "initializers": keras.initializers,
    "layers": keras.layers,
    "losses": keras.losses,
    "metrics": keras.metrics,
    "optimizers": keras.optimizers,
    "optimizers.pytorch": torch.optim,
    "regularizers": keras.regularizers,
    "saving": keras.saving,
    "schedules": keras.optimizers.schedules,
}

BASES = (
    keras.Model,
    keras.layers.Layer,
    keras.losses.Loss,
    keras.metrics.Metric,
    keras.optimizers.Optimizer,
    keras.Sequential,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.callbacks.Callback,
    keras.initializers.Initializer,
    keras.regularizers.Regularizer,
    keras.constraints.Constraint,
)


def default_of(parameter: inspect.Parameter) -> str:
    """The default as Python writes it."""
    text = repr(parameter.default)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return "..."
    return text


def arguments_of(function: object) -> str:
    """The arguments as they are written between the parentheses of a definition, without `self`."""
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name == "self":
        del parameters[0]
    parameters = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    written = []
    for parameter in parameters:
        bare = str(parameter.replace(default=inspect.Parameter.empty))
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not any(text.startswith("*") for text in written):
            written.append("*")
        written.append(bare if parameter.default is inspect.Parameter.empty else f"{bare}={default_of(parameter)}")
    return ", ".join(written)


def signatures_in(module: object) -> dict[str, str]:
    """name -> arguments of what is public in a module."""
    found = {}
    for name, thing in sorted(vars(module).items()):
        if name.startswith("_") or inspect.ismodule(thing) or not callable(thing):
            continue
        if not inspect.isclass(thing):
            found[name] = arguments_of(thing)
            continue
        # Model makes a Functional where it is given inputs and outputs.
        found[name] = arguments_of(Functional.__init__ if thing is keras.Model else thing.__init__)
        if issubclass(thing, torch.optim.Optimizer):
            found[name] = found[name].removeprefix("params, ")
        methods = {method for method in dir(thing) if not method.startswith("_")} | {"__call__"} if thing in BASES else set()
        if issubclass(thing, keras.layers.Layer):
            methods.add("call")
        for method in sorted(methods):
            function = inspect.getattr_static(thing, method, None)
            # Keras's own, which are not those of its backend's modules.
            if (
                inspect.isfunction(function)
                and function.__module__.startswith("keras")
                and "TorchLayer" not in function.__qualname__
            ):
                found[f"{name}.{method}"] = arguments_of(function)
    return found


def main() -> None:
    path = pathlib.Path(__file__).parents[1] / "tests" / "traces" / "keras_signatures.json"
    signatures = {name: signatures_in(module) for name, module in MODULES.items()}
    versions = {"keras": keras.__version__, "torch": torch.__version__.partition("+")[0]}
    path.write_text(json.dumps({"versions": versions, "signatures": signatures}, indent=0) + "\n")
    print(f"{path.name}: {sum(map(len, signatures.values()))} signatures, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
