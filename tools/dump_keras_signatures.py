"""Writes the arguments of Keras's public classes, functions and methods, for tests/test_signatures.py and make_keras_table.py.

    KERAS_BACKEND=torch python tools/dump_keras_signatures.py       # with keras and torch installed

Writes tests/traces/keras_signatures.json: the versions, and for each public module of Keras the arguments of each name as
they are written in Python, without annotations; `...` stands for a default that is no literal, "=layers.Dense" for another name of
what is described there, null for an attribute. Of classes there are their
constructors ("Adam"), of layers also their calls ("Dense.call"), and of the classes that others derive from all methods
that are public ("Model.fit") and what calls of their objects take ("Loss.__call__"). PyTorch's optimizers are among them.
"""

from __future__ import annotations

import ast
import inspect
import json
import pathlib
import re
import types

import keras
import torch
from keras.src.models import Functional

#: What is also in another module is described there, rather than in one of these.
SECOND = ("models", "preprocessing", "legacy", "mixed_precision")


def public_modules(module: types.ModuleType, path: str = "") -> dict[str, types.ModuleType]:
    """path -> module, of a module and those within it."""
    found = {path: module}
    for name, thing in sorted(vars(module).items()):
        if isinstance(thing, types.ModuleType) and not name.startswith("_") and re.match(r"keras\.(?!src)", thing.__name__):
            found.update(public_modules(thing, f"{path}.{name}".lstrip(".")))
    return found


def modules() -> dict[str, types.ModuleType]:
    """The modules in the order in which names are looked for; "optimizers.pytorch" is PyTorch's, as fastnet calls it."""
    found = public_modules(keras)
    order = sorted(found, key=lambda path: (path.count("."), path in SECOND, path == ""))
    return {path: found[path] for path in order} | {"optimizers.pytorch": torch.optim}


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


def signatures_in(path: str, module: object, known: dict[int, str]) -> dict[str, str | None]:
    """name -> arguments of what is public in a module; `known` has where what was found before is, by its id."""
    found: dict[str, str | None] = {}
    for name, thing in sorted(vars(module).items()):
        if name.startswith("_") or inspect.ismodule(thing) or not callable(thing):
            continue
        elsewhere = known.setdefault(id(thing), f"{path}.{name}".lstrip("."))
        if elsewhere.rpartition(".")[0] != path:
            found[name] = f"={elsewhere}"
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
            if isinstance(function, property) and function.fget.__module__.startswith("keras"):
                found[f"{name}.{method}"] = None
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
    known: dict[int, str] = {}
    signatures = {name: signatures_in(name, module, known) for name, module in modules().items()}
    versions = {"keras": keras.__version__, "torch": torch.__version__.partition("+")[0]}
    path.write_text(json.dumps({"versions": versions, "signatures": signatures}, indent=0) + "\n")
    print(f"{path.name}: {sum(map(len, signatures.values()))} signatures, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
