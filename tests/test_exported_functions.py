"""Regularizers and constraints that are functions, in exported steps of training and in files that C reads."""

import numpy as np
import pytest
from exports import compile_model
from test_function_constraints import CONSTRAINTS

import fastnet as fn

ops = fn.ops
X = np.random.default_rng(0).normal(size=(6, 5))


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("optimizer", [fn.optimizers.SGD(0.1), fn.optimizers.Adam(0.05, clipnorm=0.2)], ids=["sgd", "adam"])
def test_exported_steps(name, optimizer):
    """Losses and weights are those of the model, with a penalty on the one weight and a constraint on the other, and on both."""
    layers = [
        fn.layers.Dense(
            5, "tanh", kernel_constraint=CONSTRAINTS[name][0], kernel_regularizer=lambda w: ops.sum(ops.tanh(w) ** 2) / 9
        ),
        fn.layers.Dense(5, bias_regularizer=lambda b: ops.sum(ops.abs(b - 1)) / 7),
    ]
    model = fn.Sequential([fn.Input((5,)), *layers], seed=0, dtype="float64")
    model.compile(type(optimizer).from_config(optimizer.get_config()), "mse")
    for batch in (6, 1):
        compiled = compile_model(model, training=True, batch_size=batch)
        rate = float(model.optimizer.learning_rate)
        for i in range(3):
            x = X[i : i + batch] if batch == 1 else X
            loss = float(compiled.train([x], [x], learning_rate=rate))
            assert loss == pytest.approx(model.train_on_batch(x, x), rel=1e-10)
        np.testing.assert_allclose(compiled.predict(X[:batch])[0], model.predict(X[:batch]), rtol=1e-9, atol=1e-12)
