"""Writes tests/traces/values_keras.npz: losses, metrics and layers of Keras in float64, for the cases of tests/keras_cases.py.

    KERAS_BACKEND=torch python tools/dump_keras_values.py       # needs Keras 3 and torch

For loss number i: loss/i/losses, those of the positions; value, their mean; weighted, that with weights of the rows; gradient, that
of the mean by the predictions. For metric number i: metric/i/value after two updates, and weighted, with weights of rows. For layer number i: layer/i/y/k, the outputs, and layer/i/dx/k and dw/k, the gradients of the sum of
dy * y by the inputs and the weights, in Keras's order.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch

TESTS = pathlib.Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import keras_cases  # noqa: E402


def number_of(tensor):
    return tensor.detach().cpu().numpy()


def losses():
    found = {}
    for i, (name, arguments, kind, shape) in enumerate(keras_cases.LOSSES):
        cls = getattr(keras.losses, name)
        target, prediction, weights = (torch.tensor(array) for array in keras_cases.loss_data(kind, shape, i))
        prediction.requires_grad_(True)
        losses = cls(**arguments).call(target, prediction)
        mask = getattr(losses, "_keras_mask", None)  # of positions that the mean leaves out
        counted = losses.numel() if mask is None else int(mask.sum())
        value = losses.sum() / counted
        value.backward()
        weights = weights.reshape(-1, *[1] * (losses.ndim - 1)) if losses.ndim else torch.ones(())
        weighted = (losses * weights).sum() / counted  # as calls do, in float32
        np.testing.assert_allclose(number_of(cls(**arguments)(target, prediction, weights)), number_of(weighted), rtol=1e-5)
        names = {"losses": losses, "value": value, "weighted": weighted, "gradient": prediction.grad}
        found.update({f"{i}/{name}": number_of(array) for name, array in names.items()})
    return found


def metrics():
    found = {}
    for i, (name, arguments, kind, shape) in enumerate(keras_cases.METRICS):
        target, prediction, weights = (torch.tensor(array) for array in keras_cases.loss_data(kind, shape, 2000 + i))
        if name.endswith("IoU"):  # which take no weights of rows
            shape = target.shape[:-1] if name.startswith("OneHot") else target.shape
            weights = weights.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)
        for what, given in (("value", None), ("weighted", weights)):
            metric = getattr(keras.metrics, name)(**arguments)
            for rows in (slice(0, 3), slice(3, None)):
                metric.update_state(target[rows], prediction[rows], sample_weight=None if given is None else given[rows])
            found[f"{i}/{what}"] = number_of(metric.result())
    return found


def listed(given):
    return list(given) if isinstance(given, (list, tuple)) else [given]


def layers():
    found = {}
    for i, (name, arguments, shapes, options) in enumerate(keras_cases.LAYERS):
        layer = keras_cases.layer_of(keras.layers, name, arguments, dtype="float64")
        tensors = [torch.zeros(shape, dtype=torch.float64) for shape in shapes]
        outputs = listed(layer(tensors if len(tensors) > 1 else tensors[0], **options))
        variables = layer.weights
        sizes = [[tuple(one.shape) for one in given] for given in (outputs, variables)]
        inputs, weights, dys = keras_cases.layer_data(shapes, *sizes, i)
        layer.set_weights(weights)
        tensors = [torch.tensor(array, requires_grad=True) for array in inputs]
        outputs = listed(layer(tensors if len(tensors) > 1 else tensors[0], **options))
        sum((y * torch.tensor(dy)).sum() for y, dy in zip(outputs, dys)).backward()
        found.update({f"{i}/y/{k}": number_of(y) for k, y in enumerate(outputs)})
        found.update({f"{i}/dx/{k}": number_of(tensor.grad) for k, tensor in enumerate(tensors)})
        found.update({f"{i}/dw/{k}": number_of(variable.value.grad) for k, variable in enumerate(variables)})
    return found


def main():
    keras.config.set_floatx("float64")
    found = {f"loss/{name}": array for name, array in losses().items()}
    found |= {f"layer/{name}": array for name, array in layers().items()}
    found |= {f"metric/{name}": array for name, array in metrics().items()}
    facts = {"versions": {"keras": keras.__version__, "torch": torch.__version__.partition("+")[0]}}
    np.savez_compressed(TESTS / "traces" / "values_keras.npz", facts=json.dumps(facts), **found)


if __name__ == "__main__":
    main()
