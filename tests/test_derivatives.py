"""Derivatives as operations: against differences, of every operation and function; second ones; in files and in training."""

import pathlib
import re

import numpy as np
import pytest
from exports import compile_model
from test_elementwise import DOMAINS

import fastnet as fn
from fastnet import _core, ops
from fastnet._weights import WeightSpec
from fastnet.ops._derivatives import DERIVATIVES
from fastnet.ops._slopes import FUNCTION_DERIVATIVES, STEPS

RANDOM = np.random.default_rng(0)
STEP = 1e-6
L = fn.layers


@pytest.fixture(autouse=True)
def numbers_of_the_test():
    """The same for a test, whichever ran before."""
    global RANDOM
    RANDOM = np.random.default_rng(0)


class Factor(L.Layer):
    """The operation that scales queries."""

    def call(self, x):
        return self.emit("scale", [x], None, {"scale": WeightSpec(fn.initializers.get("ones"))})


#: By operation: layers, or functions of symbolic tensors, that make it, and the shapes of a row of what they take.
CASES = {
    "activation": [(L.Activation("tanh"), (3,))],
    "activity_regularization": [(L.ActivityRegularization(l2=0.1), (3,))],
    "add": [(lambda a, b: L.Add()([a, b]), (3,), (3,))],
    "affine": [(L.Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0]), (3, 2)), (L.Rescaling(3.0, 1.0), (3,))],
    "argsort": [(lambda a: a**2 * ops.argsort(a), (5,))],
    "attention": [
        (lambda a, b: L.Attention()(a, b), (3, 4), (5, 4)),
        (L.MultiHeadAttention(2, 3), (4, 5), (3, 5)),
        (lambda a: L.GroupQueryAttention(3, 4, 2)(a, a), (4, 5)),
        (lambda a: L.MultiHeadAttention(2, 3)(a, a, use_causal_mask=True), (4, 5)),
        (lambda a, b: L.Attention()(*[L.Masking(mask_value=0.0)(ops.where(t > -0.5, t, 0.0)) for t in (a, b)]), (3, 1), (4, 1)),
    ],
    "average": [(lambda a, b: L.Average()([a, b]), (3,), (3,))],
    "average_pooling": [(L.AveragePooling2D(2), (4, 6, 2)), (L.GlobalAveragePooling2D(), (3, 4, 2)), (L.AveragePooling1D(3), (6, 2))],
    "batch_normalization": [(L.BatchNormalization(), (3,)), (L.BatchNormalization(scale=False), (2, 3))],
    "concatenate": [(lambda a, b: L.Concatenate(axis=1)([a, b]), (2, 3), (4, 3)), (lambda a, b: L.Concatenate()([a, b, a]), (2, 3), (2, 1))],
    "convolution": [
        (L.Conv2D(3, (3, 2), activation="tanh"), (5, 6, 2)),
        (L.Conv2D(3, 3, strides=2, padding="same", activation="gelu"), (5, 6, 2)),
        (L.Conv2D(2, 2, strides=3), (7, 5, 1)),
        (L.Conv1D(3, 3, padding="causal", dilation_rate=2), (6, 2)),
        (L.Conv1D(2, 4, padding="same"), (5, 2)),
    ],
    "dense": [(L.Dense(4, "tanh"), (3,)), (L.Dense(4, "mish"), (2, 3)), (L.Dense(1), (5,))],
    "dropout": [(L.Dropout(0.4), (3,))],
    "elementwise": [(lambda a, b: ops.sin(a) * b + 2.0, (2, 3), (1, 3))],
    "gaussian_dropout": [(L.GaussianDropout(0.4), (3,))],
    "gaussian_noise": [(L.GaussianNoise(0.1), (3,))],
    "group_normalization": [(L.GroupNormalization(2), (3, 4)), (L.GroupNormalization(-1), (2, 3, 4))],
    "in_training": [(L.RandomColorDegeneration(0.5, (-1, 1)), (2, 2, 3)), (L.RandomCrop(2, 2), (3, 4, 1))],
    "layer_normalization": [(L.LayerNormalization(), (2, 5))],
    "log_softmax": [(ops.log_softmax, (2, 4))],
    "masking": [(L.Masking(), (3, 2))],
    "matmul": [
        (lambda a, b: ops.matmul(a, b), (2, 3), (3, 2)),
        (lambda a: a @ ops.swapaxes(a, 1, 2), (2, 3)),
        (lambda a, b: ops.matmul(a, b), (2, 1, 2, 3), (1, 3, 3, 2)),
        (lambda a: ops.einsum("bji,bjk,lk->bil", a, a, np.arange(6.0).reshape(2, 3)), (2, 3)),
        (lambda a: ops.einsum("bij,jkl->bikl", a, np.arange(12.0).reshape(3, 2, 2)), (2, 3)),
        (lambda a: ops.matmul(np.arange(12.0).reshape(2, 3, 2), a), (1, 2, 3)),
        (lambda a: ops.einsum("bij,bkj->bik", a, a), (2, 3)),
    ],
    "masked_mean": [(lambda a: L.GlobalAveragePooling1D()(L.Masking()(a)), (4, 3))],
    "max_pooling": [
        (L.MaxPooling2D((2, 3)), (4, 6, 2)),
        (L.MaxPooling1D(2), (4, 3)),
        (L.GlobalMaxPooling2D(), (3, 2, 2)),
        (lambda a: L.MaxPooling2D()(a * a), (4, 2, 1)),
    ],
    "maximum": [(lambda a, b: L.Maximum()([a, b]), (5,), (5,))],
    "minimum": [(lambda a, b: L.Minimum()([a, b, a]), (5,), (5,))],
    "multiply": [(lambda a, b: L.Multiply()([a, b, a]), (5,), (5,))],
    "orthogonal_regularization": [(L.Dense(3, kernel_regularizer=fn.regularizers.OrthogonalRegularizer()), (3,))],
    "strided_copy": [
        (L.Lambda(lambda x: x[:, 1:, ::-2]), (3, 4)),
        (L.Lambda(lambda x: ops.tile(x, (1, 2, 3))), (2, 2)),
        (L.Lambda(lambda x: ops.diagonal(x, axis1=1, axis2=2)), (3, 3)),
    ],
    "pad": [(L.ZeroPadding2D((1, 2)), (2, 3, 2)), (L.Cropping2D(1), (4, 4, 1))],
    "permute": [(L.Permute((3, 1, 2)), (2, 3, 4))],
    "position_embedding": [(L.SinePositionEncoding(), (3, 4))],
    "reduce": [
        (lambda a, f=f, axis=axis, keep=keep: getattr(ops, f)(a, axis=axis, keepdims=keep), (2, 3, 4))
        for f in ("sum", "mean", "prod", "max", "min")
        for axis, keep in ((1, False), ((1, 3), True), (-1, False))
    ],
    "random": [(L.Lambda(lambda a: a**2 * fn.random.normal(a.shape, seed=1)), (3,))],
    "reshape": [(L.Reshape((6,)), (2, 3))],
    "resize": [(L.UpSampling2D((2, 3)), (2, 3, 2)), (L.UpSampling1D(2), (3, 2))],
    "rms_normalization": [(L.RMSNormalization(), (2, 5))],
    "scale": [(Factor(), (3,))],
    "scan": [(lambda a: ops.cumsum(a, axis=1) ** 3, (3, 2)), (lambda a: ops.cumsum(a, axis=-1) ** 2 * a, (3, 2)),
             (lambda a: ops.cumprod(a, axis=1), (4, 2)), (lambda a: ops.cumprod(ops.floor(a + 1.5) * a, axis=-1), (2, 4))],
    "scatter": [
        *((lambda a, f=f: ops.take(f(a**2, [2, 0, 2, 0], 3, axis=1), [0, 2], axis=1) ** 2, (4, 2))
            for f in (ops.segment_sum, ops.segment_max)),
        (lambda a: ops.segment_sum(a**2, ops.argmax(a, axis=-1) * 2 - 1, 3, axis=1) ** 2, (4, 3)),
        (lambda a, b: ops.scatter_update(a, [[2], [0], [2]], b**2, batch_dims=1) ** 2, (4, 2), (3, 2)),
    ],
    "softmax": [(L.Softmax(), (2, 4))],
    "subtract": [(lambda a, b: L.Subtract()([a, b]), (3,), (3,))],
    "take": [
        (lambda a: ops.take(a**2, [2, 0, 2], axis=1) ** 2, (3, 2)),
        (lambda a, b: ops.take_along_axis(a**2, ops.argmax(b, axis=-1, keepdims=True), axis=-1) * b, (1, 4), (3, 2)),
        (lambda a: ops.sort(a, axis=1) ** 3, (3, 2)),
        (lambda a: ops.top_k(a**2, 2)[0] ** 2, (2, 4)),
        (lambda a: ops.take(np.array([1.0, -2.0, 3.0]), ops.argmax(a, axis=-1), axis=0) * ops.sum(a, axis=-1), (2, 3)),
    ],
    "transposed_convolution": [
        (L.Conv2DTranspose(2, 3, strides=2, activation="tanh"), (3, 2, 3)),
        (L.Conv2DTranspose(2, 3, strides=2, padding="same"), (3, 2, 3)),
        (L.Conv2DTranspose(2, (2, 3), strides=(3, 1), padding="same", output_padding=(1, 0)), (3, 2, 1)),
    ],
}  # fmt: skip


def make(function, shapes, domain=(-1.5, 1.5)):
    """A model in float64 with weights that are no zeros, and rows for it."""
    inputs = [fn.Input(shape) for shape in shapes]
    model = fn.Model(inputs, function(*inputs), seed=0, dtype="float64")
    for weight in model.trainable_weights:
        weight.assign(RANDOM.normal(size=weight.shape) / 2)
    return model, [RANDOM.uniform(*domain, (3, *shape)) for shape in shapes]


def differences(function, xs, i):
    """Of the sum over a row of the numbers of function(xs), by those of xs[i]."""
    found = np.empty_like(xs[i])
    flat, out = xs[i].reshape(len(xs[i]), -1), found.reshape(len(xs[i]), -1)
    for j in range(flat.shape[1]):
        kept = flat[:, j].copy()
        flat[:, j] = kept + STEP
        above = function(xs).reshape(len(kept), -1).sum(axis=1)
        flat[:, j] = kept - STEP
        out[:, j] = (above - function(xs).reshape(len(kept), -1).sum(axis=1)) / (2 * STEP)
        flat[:, j] = kept
    return found


def assert_near(found, expected, rtol):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * max(1.0, np.abs(expected).max()))


def check(model, xs, second=True, rtol=1e-6):
    """First derivatives of weighted outputs, and second ones of weighted first ones, against differences."""
    y = model.outputs[0]
    weights = RANDOM.normal(size=y.sample_shape)
    weighted = lambda values: values * weights
    total = y * weights if y.sample_shape else y * float(weights)
    first = fn.gradients([total], model.inputs)
    derived = fn.Model(model.inputs, first, seed=0, dtype="float64")
    found = derived.predict(xs)
    for i, one in enumerate(found if len(xs) > 1 else [found]):
        assert_near(one, differences(lambda xs: weighted(model.predict(xs)), xs, i), rtol)
    if second:
        factors = [RANDOM.normal(size=x.shape[1:]) for x in xs]
        sums = [t * f if t.sample_shape else t * float(f) for t, f in zip(first, factors)]
        again = fn.Model(model.inputs, fn.gradients(sums, model.inputs), seed=0, dtype="float64").predict(xs)

        def combined(xs):
            values = derived.predict(xs)
            values = values if len(xs) > 1 else [values]
            return sum((v * f).reshape(len(v), -1).sum(axis=1, keepdims=True) for v, f in zip(values, factors))

        for i, one in enumerate(again if len(xs) > 1 else [again]):
            assert_near(one, differences(combined, xs, i), rtol)


FORMS = [(op, k) for op, forms in CASES.items() for k in range(len(forms))]


@pytest.mark.parametrize("op, k", FORMS)
def test_derivatives_of_operations(op, k):
    function, *shapes = CASES[op][k]
    model, xs = make(function, shapes)
    assert op in {operation.op for operation in model._graph.operations}
    check(model, xs)


@pytest.mark.parametrize("name", sorted(_core.registry("activations")))
def test_derivatives_of_activations(name):
    for layer in (L.Activation(name), L.Dense(3, name)):
        check(*make(layer, [(4,)], (-4.2, 4.3)))


@pytest.mark.parametrize("name", sorted(_core.registry("functions")))
def test_derivatives_of_functions(name):
    assert (name in FUNCTION_DERIVATIVES) != (name in STEPS)
    n = len(FUNCTION_DERIVATIVES[name]) if isinstance(FUNCTION_DERIVATIVES.get(name), tuple) else 1
    if name in STEPS:
        x = fn.Input((3,))
        y = (
            getattr(ops, name)(x, x + 1.0)
            if name.split("_")[0] in ("equal", "greater", "less", "not", "floor", "logical")
            and name not in ("floor", "logical_not")
            else getattr(ops, name)(x)
        )
        assert not fn.Model(x, fn.gradients(y, x), seed=0).predict(RANDOM.normal(size=(2, 3))).any()
        return
    domains = DOMAINS.get(name) or [(-2, 2)] * n
    shapes = [(2, 3), (1, 3), (2, 1)][: 1 if name == "clip" else n]  # no gradient to bounds
    inputs = [fn.Input(shape) for shape in shapes]
    bounds = [-1.0, 1.5] if name == "clip" else []
    model = fn.Model(inputs, getattr(ops, name)(*inputs, *bounds), seed=0, dtype="float64")
    xs = [RANDOM.uniform(lo, hi, (3, *shape)) for (lo, hi), shape in zip(domains, shapes)]
    check(model, xs, rtol=1e-5)


def test_every_operation_with_a_rule_is_tested():
    apart = {"transposed_dense", "embedding", "select"}  # of second derivatives; of labels; below
    assert set(DERIVATIVES) - apart <= set(CASES)


class _Operand(L.Layer):
    def __init__(self, name, place, **kwargs):
        super().__init__(**kwargs)
        self.function, self.place = name, place

    def build(self, input_shape):
        self.w = self.add_weight((3,), fn.initializers.RandomUniform(0.3, 0.9))

    def call(self, x):
        return getattr(ops, self.function)(*((self.w, x) if self.place == 0 else (x, self.w)))


@pytest.mark.parametrize("name", ["multiply", "divide", "power", "arctan2", "maximum", "logaddexp"])
@pytest.mark.parametrize("place", [0, 1])
def test_weights_and_numbers_as_operands(name, place):
    x = fn.Input((2, 3))
    for function in (_Operand(name, place), lambda t: getattr(ops, name)(*((1.5, t) if place == 0 else (t, 1.5)))):
        check(fn.Model(x, function(x), seed=0, dtype="float64"), [RANDOM.uniform(0.2, 0.8, (3, 2, 3))], rtol=1e-5)


def test_batch_normalization_has_one_while_it_is_frozen():
    """With statistics of the batch its derivative is none of rows: predictions have it, training refuses it by name."""
    x, layer = fn.Input((3,)), L.BatchNormalization(name="norm")
    y = L.Dense(1)(L.Activation("tanh")(layer(L.Dense(4)(x))))
    model = fn.Model(x, fn.gradients(y, x), seed=0, dtype="float64")
    layer.moving_variance[...] = [0.5, 1.0, 2.0, 4.0]
    rows = RANDOM.normal(size=(5, 3))
    model.compile(fn.optimizers.SGD(0.0), "mse")
    before = model.predict(rows)
    for call in (
        lambda: model.fit(rows, rows, verbose=0),
        lambda: model.train_on_batch(rows, rows),
        lambda: model.forward(rows, training=True),
    ):
        with pytest.raises(
            NotImplementedError, match=r"layer 'norm': in training its statistics are those of the batch.*trainable = False"
        ):
            call()
    layer.trainable = False
    assert np.array_equal(model.predict(rows), before)
    check_training(model, rows, RANDOM.normal(size=(5, 3)))


# ---- training ------------------------------------------------------------------------------------------------


def loss_of(model, x, target):
    return float(np.mean((model.predict(x) - target) ** 2))


def check_training(model, x, target):
    """The gradients of all weights by differences of the whole loss."""
    model.compile(fn.optimizers.SGD(0.0), "mse")
    y = model.forward(x, training=True)
    model.backward(2 * (y - target) / y.size)
    for weight in model.trainable_weights:
        found, values = weight.gradient.copy(), weight.value
        for index in np.ndindex(weight.shape):
            kept = values[index]
            values[index] = kept + STEP
            above = loss_of(model, x, target)
            values[index] = kept - STEP
            slope = (above - loss_of(model, x, target)) / (2 * STEP)
            values[index] = kept
            assert abs(found[index] - slope) < 1e-6 + 1e-5 * abs(slope), (weight.path, index)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "gelu", "softplus", "silu"])
def test_weights_are_trained_through_first_and_second_derivatives(activation):
    x = fn.Input((2,))
    h = L.Dense(4, activation)(L.Dense(5, activation)(x))
    u = L.Dense(1)(h)
    first = fn.gradients(u, x)
    second = fn.gradients(ops.sum(first**2, axis=1), x)
    model = fn.Model(x, L.Concatenate()([u, first, second]), seed=1, dtype="float64")
    rows = RANDOM.normal(size=(7, 2))
    check_training(model, rows, RANDOM.normal(size=(7, 5)))


def test_convolution_and_normalization_are_trained_through_their_derivative():
    x = fn.Input((5, 5, 2))
    h = L.LayerNormalization()(L.Conv2D(3, 3, padding="same", activation="tanh")(x))
    y = L.Dense(1)(L.GlobalAveragePooling2D()(h))
    model = fn.Model(x, L.Flatten()(fn.gradients(y, x)), seed=1, dtype="float64")
    check_training(model, RANDOM.normal(size=(3, 5, 5, 2)), np.zeros((3, 50)))


@pytest.mark.parametrize("kind", [L.Dropout, L.SpatialDropout1D, L.GaussianDropout])
def test_derivative_of_dropout_has_its_factors(kind):
    """In training, also where several derivatives are made and a node comes before."""
    x = fn.Input((4, 30))
    h = x * 3.0
    y = kind(0.5)(h)
    other = kind(0.5)(h)
    first = fn.gradients(y * y, h)  # 2 y f
    second = fn.gradients(ops.sum(first, axis=1), h)  # 2 f^2
    model = fn.Model(x, [y, first, second, other], seed=4, dtype="float64")
    rows = RANDOM.uniform(1, 2, (5, 4, 30))
    model.compile("sgd", ["mse"] * 4)
    y, first, second, other = model.forward(rows, training=True)
    factors = y / (3 * rows)
    np.testing.assert_allclose(first, 2 * y * factors, rtol=1e-12)
    np.testing.assert_allclose(second, 2 * factors**2, rtol=1e-12)
    assert np.mean(np.abs(factors - 1) > 0.01) > 0.1 and not np.allclose(other, y)
    y, first = model.predict(rows)[:2]
    np.testing.assert_allclose(first, 2 * y)


@pytest.mark.parametrize("n_threads", [2, 3])
def test_bits_do_not_depend_on_threads(n_threads):
    rows = RANDOM.normal(size=(96, 3)).astype(np.float32)
    found = []
    for threads in (1, n_threads):
        x = fn.Input((3,))
        u = L.Dense(1)(L.Dense(33, "tanh")(L.Dense(40, "tanh")(x)))
        model = fn.Model(x, L.Concatenate()([u, fn.gradients(u, x)]), seed=3)
        model.compile("adam", "mse", n_threads=threads)
        model.fit(rows, np.zeros((96, 4)), batch_size=32, epochs=8, verbose=0)
        found.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    assert np.array_equal(*found)


# ---- functions, models, files ----------------------------------------------------------------------------------


def network(dtype="float64"):
    return fn.Sequential([fn.Input((3,)), L.Dense(6, "tanh"), L.Dense(4, "gelu"), L.Dense(2)], seed=0, dtype=dtype)


def jacobian_by_differences(model, x):
    steps = np.eye(x.shape[1]) * STEP
    return np.stack([(model.predict(x + step) - model.predict(x - step)) / (2 * STEP) for step in steps], axis=-1)


def test_products_of_a_model():
    model, x = network(), RANDOM.normal(size=(5, 3))
    expected = jacobian_by_differences(model, x)
    np.testing.assert_allclose(model.input_jacobian(x), expected, atol=1e-8)
    np.testing.assert_allclose(fn.jacobian(model, x), expected, atol=1e-8)
    v, w = RANDOM.normal(size=(5, 3)), RANDOM.normal(size=(5, 2))
    y, product = fn.jvp(model, x, v)
    np.testing.assert_array_equal(y, model.predict(x))
    np.testing.assert_allclose(product, np.einsum("noi,ni->no", expected, v), atol=1e-8)
    np.testing.assert_allclose(fn.vjp(model, x, w)[1], np.einsum("noi,no->ni", expected, w), atol=1e-8)
    for output in (0, 1, -1):
        np.testing.assert_allclose(model.input_gradient(x, output), expected[:, output], atol=1e-8)
    # They follow the weights.
    model.set_weights([weight * 1.5 for weight in model.get_weights()])
    np.testing.assert_allclose(model.input_jacobian(x), jacobian_by_differences(model, x), atol=1e-8)


def test_hessian_products_of_a_model():
    model = fn.Sequential([fn.Input((3,)), L.Dense(6, "tanh"), L.Dense(1)], seed=0, dtype="float64")
    x, v = RANDOM.normal(size=(5, 3)), RANDOM.normal(size=(5, 3))
    slope = lambda t: model.input_gradient(t)
    np.testing.assert_allclose(fn.hvp(model, x, v)[1], (slope(x + STEP * v) - slope(x - STEP * v)) / (2 * STEP), atol=1e-8)


def test_functions_of_arrays():
    a, b = RANDOM.normal(size=(2, 3)), RANDOM.normal(size=3)
    np.testing.assert_allclose(fn.grad(lambda x: ops.sum(ops.exp(x)))(a), np.exp(a), rtol=1e-14)
    both = fn.grad(lambda x, y: ops.sum(x * y), argnums=(0, 1))(a, b)
    np.testing.assert_allclose(both[0], np.broadcast_to(b, (2, 3)))
    np.testing.assert_allclose(both[1], a.sum(axis=0))
    assert fn.grad(lambda x: x**3)(2.0) == 12.0
    np.testing.assert_allclose(
        fn.jacobian(lambda x: ops.sum(x**2, axis=0), a)[1], [[0, 2 * a[0, 1], 0], [0, 2 * a[1, 1], 0]], rtol=1e-6
    )


def test_third_derivatives():
    x = fn.Input((2,))
    y = ops.sin(x)
    for _ in range(3):
        y = fn.gradients(y, x)
    rows = RANDOM.normal(size=(4, 2))
    np.testing.assert_allclose(fn.Model(x, y, seed=0, dtype="float64").predict(rows), -np.cos(rows), rtol=1e-12)


def test_labels_have_no_derivative():
    labels, x = fn.Input((3,)), fn.Input((2,))
    y = ops.sum(L.Flatten()(L.Embedding(5, 2)(labels)), axis=1, keepdims=True) * x
    model = fn.Model([labels, x], fn.gradients(y, [labels, x]), seed=0)
    by_labels, by_x = model.predict([np.ones((4, 3)), np.ones((4, 2))])
    assert by_labels.shape == (4, 3) and not by_labels.any() and by_x.all()


def test_merging_of_masked_sequences():
    x, b = fn.Input((4, 3)), fn.Input((4, 3))
    y = L.Multiply()([L.Masking()(x), b])
    model = fn.Model([x, b], fn.gradients(y, [x, b]), seed=0, dtype="float64")
    assert "select" in {operation.op for operation in model._graph.operations}
    rows, others = RANDOM.normal(size=(2, 2, 4, 3))
    rows[:, 1] = 0
    by_x, by_b = model.predict([rows, others])
    np.testing.assert_allclose(by_x, others * rows.any(axis=-1, keepdims=True))
    np.testing.assert_allclose(by_b, np.where(rows.any(axis=-1, keepdims=True), rows, 1.0))  # a masked factor is 1


def test_of_equal_numbers_the_first_has_the_gradient_of_their_maximum():
    image = fn.Input((2, 4, 1))
    model = fn.Model(image, fn.gradients(L.MaxPooling2D()(image), image), seed=0)
    found = model.predict(np.array([[[[1], [3], [2], [2]], [[3], [0], [2], [2]]]]))
    assert found[0, :, :, 0].tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]


def test_what_does_not_depend_is_zero_and_inner_values_are_allowed():
    a, b = fn.Input((2,)), fn.Input((3,))
    h = L.Dense(4, "tanh")(a)
    y = ops.sum(h**2, axis=1)
    model = fn.Model([a, b], fn.gradients(y, [h, b]), seed=0, dtype="float64")
    x = RANDOM.normal(size=(5, 2))
    by_h, by_b = model.predict([x, np.ones((5, 3))])
    np.testing.assert_allclose(by_h, 2 * fn.Model(a, h, seed=0, dtype="float64").predict(x))
    assert by_b.shape == (5, 3) and not by_b.any()


class Energy(L.Layer):
    """Of a potential, and its force, within one layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden, self.out = L.Dense(5, "softplus"), L.Dense(1)

    def call(self, x):
        energy = self.out(self.hidden(x))
        return L.Concatenate()([energy, -fn.gradients(energy, x)])


@pytest.mark.parametrize("form", ["layer", "function", "model as a layer"])
def test_files_and_models_as_layers(form, tmp_path):
    x = fn.Input((3,))
    if form == "layer":
        y = Energy()(x)
    else:
        inner = fn.Sequential(
            [fn.Input((3,)), L.Dense(5, "gelu"), L.Lambda(lambda t: ops.logsumexp(t, axis=1, keepdims=True))], seed=0
        )
        u = inner(x) if form == "model as a layer" else inner.layers[1](inner.layers[0](x))
        y = L.Concatenate()([u, fn.grad(lambda t: ops.sum(t**2, axis=1))(x), fn.gradients(u, x)])
    model = fn.Model(x, y, seed=0)
    rows = RANDOM.normal(size=(5, 3)).astype(np.float32)
    expected = model.predict(rows)
    model.compile("sgd", "mse")
    model.save(tmp_path / "model.safetensors")
    again = fn.load_model(tmp_path / "model.safetensors", custom_objects={"Energy": Energy})
    np.testing.assert_array_equal(again.predict(rows), expected)
    outer_input = fn.Input((3,))
    outer = fn.Model(outer_input, model(outer_input), seed=0)
    np.testing.assert_array_equal(outer.predict(rows), expected)
    losses = [one.fit(rows, np.zeros(expected.shape), epochs=2, verbose=0).history["loss"] for one in (model, again)]
    assert losses[0] == losses[1]


def test_exported_program_trains_through_derivatives():
    """With the same factors of dropout in a function and its derivative."""
    x = fn.Input((3,))
    h = L.Dropout(0.3)(L.Dense(8, "tanh")(x))
    u = L.Dense(1)(L.GaussianDropout(0.2)(L.Dense(6, "sigmoid")(h)))
    model = fn.Model(x, L.Concatenate()([u, fn.gradients(u, x)]), seed=0, dtype="float64")
    model.compile(fn.optimizers.SGD(0.1), "mse")
    rows, target = RANDOM.normal(size=(8, 3)), RANDOM.normal(size=(8, 4))
    compiled = compile_model(model, training=True, batch_size=8)
    for _ in range(5):
        expected = model.train_on_batch(rows, target)
        found = compiled.train([rows], [target], learning_rate=0.1)
        np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(compiled.predict(rows)[0], model.predict(rows), rtol=1e-9)


# ---- what is refused -------------------------------------------------------------------------------------------


def test_layers_without_derivative_are_named():
    x = fn.Input((4, 3))
    with pytest.raises(NotImplementedError, match=r"layer 'memory': its operation 'lstm'"):
        y = L.LSTM(3, name="memory")(x)
        fn.gradients(y, x)
    image = fn.Input((6, 6, 2))
    with pytest.raises(NotImplementedError, match=r"'max_pooling', of windows that overlap"):
        fn.gradients(L.MaxPooling2D(3, strides=2)(image), image)
    with pytest.raises(NotImplementedError, match="overlap"):
        fn.gradients(L.AveragePooling2D(3, strides=1)(image), image)
    with pytest.raises(NotImplementedError, match="groups"):
        fn.gradients(L.Conv2D(4, 3, groups=2)(image), image)


def test_bad_arguments():
    x = fn.Input((3,))
    with pytest.raises(TypeError, match="ys must be"):
        fn.gradients(3.0, x)
    with pytest.raises(ValueError, match=r"one number for each row, got shape \(None, 3\)"):
        fn.grad(lambda t: t * 2)(x)
    with pytest.raises(ValueError, match="have these shapes"):
        fn.gradients(x * 2, x, fn.Input((4,)))
    with pytest.raises(TypeError, match="must be callable"):
        fn.grad(3)(x)
    with pytest.raises(ValueError, match="output 2 of 2 numbers"):
        network().input_gradient(np.ones((1, 3)), 2)
    with pytest.raises(ValueError, match="one number for each row"):
        network().input_gradient(np.ones((1, 3)))


def test_page_lists_the_operations_with_a_derivative():
    text = (pathlib.Path(__file__).parents[1] / "docs" / "mathematics.md").read_text(encoding="utf-8")
    row = re.search(r"Operations with a derivative: (.*?)\.\n", text, re.DOTALL).group(1)
    assert re.findall(r"`(\w+)`", row) == sorted(DERIVATIVES)


def test_scalars_and_vectors_of_other_shapes():
    """A derivative has the shape of what it is by, a number, too; v that does not fit is said with both shapes."""
    cube = lambda x: x**3
    for x in (np.array(3.0), 3.0):
        found = [fn.grad(cube)(x), fn.vjp(cube, x, np.array(1.0))[1], fn.jvp(cube, x, np.array(1.0))[1], fn.jacobian(cube, x)]
        assert [(np.shape(one), float(one)) for one in found] == 4 * [((), 27.0)]
        assert np.shape(fn.hvp(cube, x, np.array(1.0))[1]) == () and fn.hvp(cube, x, np.array(1.0))[1] == 18
    x, wrong = np.array([1.0, 2.0]), np.array([1.0, 2.0, 3.0])
    square = lambda x: fn.ops.sum(x**2)
    for name, v, expected in (
        ("hvp", wrong, r"fn.hvp: v must be of the shapes of the inputs, \[\(2,\)\], got \[\(3,\)\]"),
        ("jvp", wrong[None], r"fn.jvp: v must be of the shapes of the inputs, \[\(2,\)\], got \[\(1, 3\)\]"),
        ("hvp", [x, x], "got .*2,.*2,"),
        ("vjp", wrong, "fn.vjp: v must be of the shapes of the outputs"),
    ):
        with pytest.raises(ValueError, match=expected):
            getattr(fn, name)(square, x, v)
