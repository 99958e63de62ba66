"""Functions of `fastnet.ops` that pick, repeat and reorder numbers by places known while the graph is made, against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

import fastnet as fn

ops = fn.ops
RANDOM = np.random.default_rng(0)


def numbers(*shape):
    return RANDOM.normal(size=shape)


#: Of a batch of samples of shape (3, 4): the function, and NumPy's on the whole batch.
FUNCTIONS = {
    "slice": (lambda x: ops.slice(x, (0, 1, 0), (-1, 2, 3)), lambda x: x[:, 1:3, :3]),
    "split": (lambda x: ops.split(x, 2, axis=2)[1], lambda x: np.split(x, 2, axis=2)[1]),
    "split_at": (lambda x: ops.split(x, [1, 3], axis=-1)[1], lambda x: np.split(x, [1, 3], axis=-1)[1]),
    "array_split": (lambda x: ops.array_split(x, 3, axis=2)[0], lambda x: np.array_split(x, 3, axis=2)[0]),
    "unstack": (lambda x: ops.unstack(x, axis=1)[2], lambda x: x[:, 2]),
    "pad": (lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 3))), lambda x: np.pad(x, ((0, 0), (1, 2), (0, 3)))),
    "pad_number": (
        lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 3)), constant_values=2.5),
        lambda x: np.pad(x, ((0, 0), (1, 2), (0, 3)), constant_values=2.5),
    ),
    **{
        mode: (
            lambda x, mode=mode: ops.pad(x, ((0, 0), (1, 2), (3, 0)), mode=mode),
            lambda x, mode=mode: np.pad(x, ((0, 0), (1, 2), (3, 0)), mode=mode),
        )
        for mode in ("edge", "reflect", "symmetric")
    },
    "flip": (lambda x: ops.flip(x, axis=(1, 2)), lambda x: x[:, ::-1, ::-1]),
    "fliplr": (ops.fliplr, lambda x: x[:, ::-1]),
    "roll": (lambda x: ops.roll(x, 3, axis=2), lambda x: np.roll(x, 3, axis=2)),
    "roll_axes": (lambda x: ops.roll(x, (1, -2), axis=(1, 2)), lambda x: np.roll(x, (1, -2), axis=(1, 2))),
    **{
        f"rot90_{k}": (lambda x, k=k: ops.rot90(x, k, axes=(1, 2)), lambda x, k=k: np.rot90(x, k, axes=(1, 2)))
        for k in range(-1, 5)
    },
    "tile": (lambda x: ops.tile(x, (1, 2, 3)), lambda x: np.tile(x, (1, 2, 3))),
    "repeat": (lambda x: ops.repeat(x, 3, axis=1), lambda x: np.repeat(x, 3, axis=1)),
    "repeat_each": (lambda x: ops.repeat(x, [2, 0, 1], axis=1), lambda x: np.repeat(x, [2, 0, 1], axis=1)),
    "broadcast_to": (
        lambda x: ops.broadcast_to(x[:, :, :1], (-1, 3, 5)),
        lambda x: np.broadcast_to(x[:, :, :1], (len(x), 3, 5)),
    ),
    "tril": (lambda x: ops.tril(x, 1), lambda x: np.tril(x, 1)),
    "triu": (lambda x: ops.triu(x, -1), lambda x: np.triu(x, -1)),
    "diagonal": (lambda x: ops.diagonal(x, 1, 1, 2), lambda x: np.diagonal(x, 1, 1, 2)),
    "hstack": (lambda x: ops.hstack([x, 2 * x]), lambda x: np.hstack([x, 2 * x])),
    "index": (lambda x: x[:, 1, None, ::-2], lambda x: x[:, 1, None, ::-2]),
    "ellipsis": (lambda x: x[..., -1], lambda x: x[..., -1]),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients(name, dtype):
    """The gradient of a linear map is its transpose: <f(a), b> = <a, f'(b)> for all a and b."""
    function, expected = FUNCTIONS[name]
    a = numbers(5, 3, 4).astype(dtype)
    x = fn.Input((3, 4))
    model = fn.Model(x, function(x), seed=0, dtype=dtype)
    np.testing.assert_array_equal(model.predict(a), expected(a))
    constant = expected(np.zeros((5, 3, 4), dtype))
    y = model.forward(a, training=True)
    b = numbers(*y.shape).astype(dtype)
    np.testing.assert_allclose(
        np.vdot(y - constant, b), np.vdot(a, model.backward(b)), rtol=1e-5 if dtype == "float32" else 1e-12
    )
    # As part of what is trained, from a file, and by the graph of derivatives.
    inputs, hidden = fn.Input((3, 4)), fn.layers.Dense(4)
    network = fn.Sequential(
        [inputs, hidden, fn.layers.Lambda(function), fn.layers.Flatten(), fn.layers.Dense(1)], seed=0, dtype=dtype
    )
    seeds = [network.input_gradient(a)]
    network.forward(a, training=True)
    seeds.append(network.backward(np.ones((5, 1), dtype)))
    np.testing.assert_allclose(*seeds, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bits_do_not_depend_on_threads(name):
    data = numbers(40, 3, 4).astype("f4"), numbers(40, 1).astype("f4")
    weights = []
    for threads in (1, 2, 3):
        layers = [fn.layers.Dense(4, "tanh"), fn.layers.Lambda(FUNCTIONS[name][0]), fn.layers.Flatten(), fn.layers.Dense(1)]
        model = fn.Sequential([fn.Input((3, 4)), *layers], seed=0)
        model.compile("sgd", "mse", n_threads=threads)
        model.fit(*data, epochs=2, batch_size=17, verbose=0)
        weights.append(model.get_weights())
    for other in weights[1:]:
        for a, b in zip(weights[0], other):
            np.testing.assert_array_equal(a, b)


ON_ARRAYS = [
    ("get_item", (numbers(3, 4), (slice(1, None), slice(None, None, -1))), lambda x, key: x[key]),
    ("reshape", (numbers(3, 4), [2, 6]), np.reshape),
    ("split", (numbers(4, 3), [1, 3]), np.split),
    ("repeat", (numbers(3, 4), [1, 0, 2], 0), np.repeat),
    ("tile", (numbers(3, 4), [2, 1, 3]), np.tile),
    ("pad", (numbers(3, 4), [[1, 0], [2, 1]]), np.pad),
    ("flip", (numbers(3, 4),), np.flip),
    ("flipud", (numbers(3, 4),), np.flipud),
    ("roll", (numbers(3, 4), 5), np.roll),
    ("repeat", (numbers(3, 4), 2), np.repeat),
    ("ravel", (numbers(3, 4),), np.ravel),
    ("rot90", (numbers(3, 4),), np.rot90),
    ("diagonal", (numbers(3, 4), -1), np.diagonal),
    ("triu", (numbers(3, 4),), np.triu),
]


@pytest.mark.parametrize(
    ("name", "arguments", "expected"), ON_ARRAYS, ids=[f"{name}{i}" for i, (name, *_) in enumerate(ON_ARRAYS)]
)
def test_arrays_are_computed_at_once(name, arguments, expected):
    found, wanted = getattr(ops, name)(*arguments), expected(*arguments)
    for one, other in zip(*([found, wanted] if isinstance(found, list) else [[found], [wanted]]), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_indices_are_those_of_numpy(data):
    shape = data.draw(array_shapes(min_dims=1, max_dims=4, max_side=6))
    key = data.draw(basic_indices(shape, min_dims=0, max_dims=5, allow_newaxis=True))
    key = key if isinstance(key, tuple) else (key,)
    a = numbers(2, *shape)
    key = key if key and key[0] is Ellipsis else (slice(None), *key)
    expected = a[key]
    if expected.size == 0 or expected.ndim > 7:
        return
    x = fn.Input(shape)
    try:
        y = x[key]
    except (IndexError, ValueError) as error:  # more axes than the engine has, or the batch in another place
        assert expected.ndim > 6 or key[0] is Ellipsis, error
        return
    np.testing.assert_array_equal(fn.Model(x, y, seed=0, dtype="float64").predict(a), expected)


@pytest.mark.parametrize(
    ("run", "error", "words"),
    [
        (lambda x: x[0], IndexError, ["first axis is the batch", "(None, 3, 4)"]),
        (lambda x: x[1:], IndexError, ["first axis is the batch"]),
        (lambda x: x[:, 3], IndexError, ["no 3", "size 3"]),
        (lambda x: x[:, 2:2], IndexError, ["nothing is left"]),
        (lambda x: x[:, :, :, :], IndexError, ["more indices than axes"]),
        (lambda x: x[:, [0, 1]], TypeError, ["fn.ops.take", "fn.ops.where"]),
        (lambda x: x[x > 0], TypeError, ["fn.ops.where"]),
        (lambda x: x[:, 1.5], TypeError, ["integer", "1.5"]),
        (lambda x: ops.split(x, 3, axis=2), ValueError, ["axis 2", "3 equal parts"]),
        (lambda x: ops.split(x, 2, axis=0), ValueError, ["batch"]),
        (lambda x: ops.pad(x, 1), ValueError, ["(0, 0) for the batch"]),
        (lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 0)), mode="wrap"), ValueError, ["wrap"]),
        (lambda x: ops.tile(x, (2, 1, 1)), ValueError, ["batch"]),
        (lambda x: ops.repeat(x, [1, 2], axis=1), ValueError, ["[1, 2]", "axis 1"]),
        (lambda x: ops.broadcast_to(x, (-1, 3, 5)), ValueError, ["(None, 3, 4)", "(-1, 3, 5)"]),
        (lambda x: ops.flip(x), ValueError, ["batch"]),
        (lambda x: ops.diagonal(x, 4, 1, 2), ValueError, ["no diagonal 4"]),
        (lambda x: ops.unstack(x, 5, axis=1), ValueError, ["has not 5"]),
    ],
)
def test_wrong_input(run, error, words):
    with pytest.raises(error) as raised:
        run(fn.Input((3, 4)))
    assert all(word in str(raised.value) for word in words), str(raised.value)
