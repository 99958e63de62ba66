"""The networks of examples/ trained beside PyTorch, where it is installed: from the same weights, by the same batches.

Both end at the same weights to 1e-4, in float32, after hundreds of steps; in float64 they agree to 1e-9.
"""

import numpy as np
import pytest

import fastnet as fn

torch = pytest.importorskip("torch")

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def make_pair(sizes, activation, dtype):
    """A stack of dense layers in fastnet, and in PyTorch with the same weights."""
    layers = [fn.layers.Dense(n, activation=activation) for n in sizes[1:-1]]
    model = fn.Sequential([fn.Input((sizes[0],)), *layers, fn.layers.Dense(sizes[-1])], seed=0, dtype=dtype)
    modules = []
    for layer in model.layers:
        linear = torch.nn.Linear(*layer.kernel.shape, dtype=getattr(torch, dtype))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.kernel.T.copy()))
            linear.bias.copy_(torch.from_numpy(layer.bias.copy()))
        modules += [linear, {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[activation]()]
    return model, torch.nn.Sequential(*modules[:-1])


def train_torch(module, optimizer, loss, x, y, batch_size, epochs, scheduler=None, penalty=None):
    """Batches in the order of the rows. The scheduler moves on after each epoch."""
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(epochs):
        for first in range(0, len(x), batch_size):
            optimizer.zero_grad()
            value = loss(module(x[first : first + batch_size]), y[first : first + batch_size])
            (value + penalty(module) if penalty else value).backward()
            optimizer.step()
        if scheduler:
            scheduler.step()


def assert_same_weights(model, module, dtype):
    theirs = [parameter.detach().numpy() for parameter in module.parameters()]
    for ours, other in zip(model.get_weights(), theirs, strict=True):
        np.testing.assert_allclose(ours, other.T, rtol=0, atol=TOLERANCE[dtype])


def classes(dtype, n=500):
    """Ten overlapping clouds in 32 dimensions; the last batch of 32 is a smaller one."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, n)
    x = rng.normal(size=(10, 32))[labels] + rng.normal(scale=1.5, size=(n, 32))
    return x.astype(dtype), labels


def test_linear_regression_with_momentum(dtype):
    """y = 2x; the learning rate outside the momentum buffer, as PyTorch has it."""
    x = np.linspace(-1, 1, 10).reshape(-1, 1).astype(dtype)
    model, module = make_pair([1, 1], "relu", dtype)
    model.compile(fn.optimizers.pytorch.SGD(0.05, momentum=0.9), "mse")
    model.fit(x, 2 * x, batch_size=4, epochs=100, shuffle=False, verbose=0)
    optimizer = torch.optim.SGD(module.parameters(), 0.05, momentum=0.9)
    train_torch(module, optimizer, torch.nn.MSELoss(), x, 2 * x, 4, 100)
    assert_same_weights(model, module, dtype)
    assert abs(model.get_weights()[0].item() - 2) < 1e-3


def test_keras_momentum_is_the_same_while_the_rate_is(dtype):
    """Keras puts the learning rate into the momentum buffer: no difference as long as it is constant."""
    x, y = classes(dtype)
    model, module = make_pair([32, 16, 10], "tanh", dtype)
    model.compile(fn.optimizers.SGD(0.02, momentum=0.9, nesterov=True), fn.losses.SparseCategoricalCrossentropy(True))
    model.fit(x, y, batch_size=32, epochs=3, shuffle=False, verbose=0)
    optimizer = torch.optim.SGD(module.parameters(), 0.02, momentum=0.9, nesterov=True)
    train_torch(module, optimizer, torch.nn.CrossEntropyLoss(), x, y, 32, 3)
    assert_same_weights(model, module, dtype)


def test_classifier_with_adam(dtype):
    x, y = classes(dtype)
    model, module = make_pair([32, 64, 10], "tanh", dtype)
    model.compile(fn.optimizers.pytorch.Adam(1e-3), fn.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=32, epochs=10, shuffle=False, verbose=0)
    train_torch(module, torch.optim.Adam(module.parameters(), 1e-3), torch.nn.CrossEntropyLoss(), x, y, 32, 10)
    assert_same_weights(model, module, dtype)


def test_classifier_with_step_decay_every_epochs(dtype):
    """The 32-64-10 classifier of examples/step_decay.py beside StepLR."""
    x, y = classes(dtype)
    steps = -(-len(x) // 32)
    model, module = make_pair([32, 64, 10], "relu", dtype)
    schedule = fn.schedules.StepDecay(0.02, step_size=4, gamma=0.3).in_epochs(steps)
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fn.optimizers.pytorch.SGD(schedule, momentum=0.9), loss)
    model.fit(x, y, batch_size=32, epochs=12, shuffle=False, verbose=0)
    optimizer = torch.optim.SGD(module.parameters(), 0.02, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, gamma=0.3)
    train_torch(module, optimizer, torch.nn.CrossEntropyLoss(), x, y, 32, 12, scheduler)
    assert_same_weights(model, module, dtype)


def test_l2_penalty_and_adamw(dtype):
    """The penalty is part of the gradient, the decay is not."""
    x, y = classes(dtype)
    model, module = make_pair([32, 16, 10], "tanh", dtype)
    layer = fn.layers.Dense(16, activation="tanh", kernel_regularizer=fn.regularizers.L2(1e-3))
    regularized = fn.Sequential([fn.Input((32,)), layer, fn.layers.Dense(10)], seed=1, dtype=dtype)
    regularized.set_weights(model.get_weights())
    loss = fn.losses.SparseCategoricalCrossentropy(from_logits=True)
    regularized.compile(fn.optimizers.pytorch.AdamW(1e-3, weight_decay=0.05), loss)
    regularized.fit(x, y, batch_size=32, epochs=5, shuffle=False, verbose=0)
    optimizer = torch.optim.AdamW(module.parameters(), 1e-3, weight_decay=0.05)
    train_torch(
        module, optimizer, torch.nn.CrossEntropyLoss(), x, y, 32, 5, penalty=lambda module: 1e-3 * (module[0].weight ** 2).sum()
    )
    assert_same_weights(regularized, module, dtype)


def test_custom_loop_with_clipped_gradients(dtype):
    """forward, a gradient made by hand, backward, all gradients clipped together, apply_gradients."""
    x, y = classes(dtype)
    y = y[:, None].astype(dtype)
    model, module = make_pair([32, 16, 1], "tanh", dtype)
    model.compile(fn.optimizers.pytorch.SGD(0.05), "mse")
    optimizer = torch.optim.SGD(module.parameters(), 0.05)
    for first in range(0, 300, 30):
        rows = slice(first, first + 30)
        prediction = model.forward(x[rows], training=True)
        model.backward(2 * (prediction - y[rows]) / 30)
        norm = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in model.gradients))
        for g in model.gradients:
            g *= min(1, 1 / (norm + 1e-6))
        model.apply_gradients()
        optimizer.zero_grad()
        ((module(torch.from_numpy(x[rows])) - torch.from_numpy(y[rows])) ** 2).mean().backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1)
        optimizer.step()
    assert_same_weights(model, module, dtype)
