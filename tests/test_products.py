"""Products of matrices and sums of products in fn.ops: against NumPy, by differences, in layers."""

import numpy as np
import pytest

import fastnet as fn
from fastnet import ops

RANDOM = np.random.default_rng(3)


def arrays(*shapes):
    return [RANDOM.normal(size=shape) for shape in shapes]


MATRICES = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((2, 3), (5, 3, 4)),
    ((3,), (5, 3, 4)), ((5, 2, 3), (3,)), ((2, 1, 2, 3), (4, 3, 2)), ((1, 17), (17, 1)), ((16, 9), (9, 33)),
]  # fmt: skip


@pytest.mark.parametrize("dtype, rtol", [("float32", 2e-5), ("float64", 1e-11)])
@pytest.mark.parametrize("shapes", MATRICES)
def test_matrices(shapes, dtype, rtol):
    a, b = (x.astype(dtype) for x in arrays(*shapes))
    for name in ("matmul", "dot", "outer"):
        found, expected = getattr(ops, name)(a, b), getattr(np, name)(a, b)
        assert found.shape == expected.shape and found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ji", (2, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)), ("iij->j", (3, 3, 2)),
    ("...ij,...jk->...ik", (2, 1, 2, 3), (4, 3, 2)), ("i,j->ij", (2,), (3,)), ("bqhd,bkhd->bhqk", (2, 3, 4, 5), (2, 6, 4, 5)),
    ("bhqk,bkhd->bqhd", (2, 4, 3, 6), (2, 6, 4, 5)), ("abc,cde->abde", (2, 3, 4), (4, 5, 6)), ("i,i->", (3,), (3,)),
    ("i,i->i", (3,), (3,)), ("ij,kl->", (2, 3), (4, 5)), ("a,ab,abc->abc", (2,), (2, 3), (2, 3, 4)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)), ("i...,i...->...", (3, 2, 4), (3, 4)), ("ab,ab,ab->a", (2, 3), (2, 3), (2, 3)),
    ("i...->...", (3, 2)), ("xyi,xyj->ixj", (2, 3, 4), (2, 3, 5)), ("ij,ij->ji", (2, 3), (1, 3)), (" i j , j -> i ", (2, 3), (3,)),
]  # fmt: skip


@pytest.mark.parametrize("case", EINSUMS, ids=lambda case: case[0])
def test_einsum(case):
    subscripts, *shapes = case
    xs = arrays(*shapes)
    found, expected = ops.einsum(subscripts, *xs), np.einsum(subscripts, *xs)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


def test_what_is_a_sum_of_products():
    a, b, x = arrays((2, 3, 4), (3, 4, 5), (3, 4, 5))
    for axes in (2, 0, [[2, 1], [1, 0]], ((-1,), (1,)), [2, 1]):
        expected = np.tensordot(a, b, axes)
        found = ops.tensordot(a, b, axes)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-11)
    np.testing.assert_allclose(ops.trace(x), np.trace(x))
    np.testing.assert_allclose(ops.trace(x, -1, 2, 0), np.trace(x, -1, 2, 0))
    np.testing.assert_allclose(ops.trace(x, 2, 0, -1), np.trace(x, 2, 0, -1))
    np.testing.assert_allclose(ops.vdot(x, b.reshape(5, 12)), np.vdot(x, b.reshape(5, 12)), rtol=1e-11)
    np.testing.assert_allclose(ops.inner(a, b[0].T[:, :]), np.inner(a, b[0].T), rtol=1e-11)


#: A function of two tensors of shapes (None, 3, 4) and (None, 4, 2), and the same for one row.
OF_ROWS = [
    (lambda x, y: x @ y, lambda x, y: x @ y),
    (lambda x, y: x @ np.arange(8.0).reshape(4, 2), lambda x, y: x @ np.arange(8.0).reshape(4, 2)),
    (lambda x, y: np.arange(6.0).reshape(2, 3) @ x, lambda x, y: np.arange(6.0).reshape(2, 3) @ x),
    (lambda x, y: x @ np.arange(4.0), lambda x, y: x @ np.arange(4.0)),
    (lambda x, y: np.arange(3.0) @ x, lambda x, y: np.arange(3.0) @ x),
    (lambda x, y: ops.einsum("bij,bjk->bki", x, y), lambda x, y: (x @ y).T),
    (lambda x, y: ops.einsum("...ij,...jk", x, y), lambda x, y: x @ y),
    (lambda x, y: ops.einsum("bij,jk->bik", x, np.eye(4, 5)), lambda x, y: x @ np.eye(4, 5)),
    (lambda x, y: ops.einsum("ki,bij->bjk", np.arange(6.0).reshape(2, 3), x), lambda x, y: (np.arange(6.0).reshape(2, 3) @ x).T),
    (lambda x, y: ops.dot(x, y), np.dot),
    (lambda x, y: ops.tensordot(x, y, axes=1), lambda x, y: np.tensordot(x, y, 1)),
    (lambda x, y: ops.tensordot(x, y, axes=[[2], [1]]), lambda x, y: np.tensordot(x, y, [[1], [0]])),
    (lambda x, y: ops.outer(x, y), np.outer),
    (lambda x, y: ops.vdot(x, np.arange(12.0)), lambda x, y: np.vdot(x, np.arange(12.0))),
    (lambda x, y: ops.inner(x, ops.transpose(y, (0, 2, 1))), lambda x, y: np.inner(x, y.T)),
    (lambda x, y: ops.trace(ops.matmul(x, y), axis1=1, axis2=2), lambda x, y: np.trace(x @ y)),
]


@pytest.mark.parametrize("function, of_row", OF_ROWS)
def test_rows_of_the_batch(function, of_row):
    inputs = fn.Input((3, 4)), fn.Input((4, 2))
    model = fn.Model(inputs, function(*inputs), seed=0, dtype="float64")
    x, y = arrays((5, 3, 4), (5, 4, 2))
    expected = np.array([of_row(*row) for row in zip(x, y)])
    found = model.predict([x, y])
    assert found.shape == (expected.shape if expected.ndim > 1 else (*expected.shape, 1)) or found.shape == expected.shape
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-11, atol=1e-11)


WEIGHTED = [
    ((4, 5), "bij,jk->bik"), ((5, 4), "bij,kj->bik"), ((4, 2, 5), "bij,jhd->bihd"), ((2, 5, 4), "bij,hdj->bihd"), ((4,), "bij,j->bi"),
    ((2, 4, 5), "bij,hjk->bhik"), ((3, 4), "bij,ij->b"), ((3, 4), "bij,ij->bij"), ((3, 2), "ik,bij->bkj"), ((5, 4, 2), "bij,kjl->bilk"),
    ((4, 4), "bij,jj->bi"), ((3, 4, 5), "bij,ijk->bk"), ((3, 4, 5), "bij,ijk->bik"), ((2,), "bij,k->bkij"), ((1, 4), "bij,ij->bij"),
]  # fmt: skip


@pytest.mark.parametrize("shape, subscripts", WEIGHTED)
def test_weights_and_their_gradients(shape, subscripts):
    class Product(fn.layers.Layer):
        def build(self, input_shape):
            self.w = self.add_weight(shape, "glorot_uniform", name="w")

        def call(self, x):
            operands = [x, self.w] if subscripts.startswith("b") else [self.w, x]
            return ops.einsum(subscripts, *operands)

    x = fn.Input((3, 4))
    model = fn.Model(x, Product()(x), seed=0, dtype="float64")
    model.compile("sgd", "mse")
    (given,) = arrays((5, 3, 4))

    def value(given, w):
        return np.einsum(subscripts, *([given, w] if subscripts.startswith("b") else [w, given]))

    w = model.get_weights()[0]
    expected = value(given, w)
    np.testing.assert_allclose(model.predict(given).reshape(expected.shape), expected, rtol=1e-11, atol=1e-11)
    (factors,) = arrays(model.forward(given, training=True).shape)
    dx = model.backward(factors)
    (dw,) = model.gradients if isinstance(model.gradients, list) else model.gradients.values()
    factors = factors.reshape(expected.shape)
    for array, found in ((given, dx), (w, dw)):
        direction = RANDOM.normal(size=array.shape)
        above, below = (
            value(*((array + s * direction, w) if array is given else (given, array + s * direction))) for s in (1, -1)
        )
        np.testing.assert_allclose((found * direction).sum(), ((above - below) / 2 * factors).sum(), rtol=1e-9)


def attention_by_hand(heads):
    class AttentionInOps(fn.layers.Layer):
        """Multi-head self-attention."""

        def build(self, input_shape):
            width = input_shape[-1]
            size = width // heads
            for name in ("query", "key", "value"):
                setattr(self, name, self.add_weight((width, heads, size), "glorot_uniform", name=name))
                setattr(self, f"{name}_bias", self.add_weight((heads, size), "zeros", name=f"{name}_bias"))
            self.output_kernel = self.add_weight((heads, size, width), "glorot_uniform", name="output")
            self.output_bias = self.add_weight((width,), "zeros", name="output_bias")

        def call(self, x):
            q = ops.einsum("btc,chd->bthd", x, self.query) + self.query_bias
            k = ops.einsum("btc,chd->bthd", x, self.key) + self.key_bias
            v = ops.einsum("btc,chd->bthd", x, self.value) + self.value_bias
            scores = ops.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1])
            weights = ops.softmax(scores)
            y = ops.einsum("bhqk,bkhd->bqhd", weights, v)
            return ops.einsum("bqhd,hdc->bqc", y, self.output_kernel) + self.output_bias

    return AttentionInOps()


def test_multi_head_attention_in_ops_trains_as_the_layer():
    def network(by_hand):
        x = fn.Input((6, 8))
        y = attention_by_hand(2)(x) if by_hand else fn.layers.MultiHeadAttention(2, 4)(x, x)
        model = fn.Model(x, y, seed=0, dtype="float64")
        model.compile(fn.optimizers.Adam(0.01), "mse")
        return model

    layer, by_hand = network(False), network(True)
    random = np.random.default_rng(0)
    start = [random.normal(size=w.shape) / 3 for w in layer.get_weights()]
    layer.set_weights(start)
    by_hand.set_weights([w.reshape(v.shape) for w, v in zip(start, by_hand.get_weights())])
    x, y = random.normal(size=(4, 6, 8)), random.normal(size=(4, 6, 8))
    losses = [[model.train_on_batch(x, y) for _ in range(20)] for model in (layer, by_hand)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-9)
    assert losses[0][-1] < 0.9 * losses[0][0]
    for a, b in zip(layer.get_weights(), by_hand.get_weights()):
        np.testing.assert_allclose(b.reshape(a.shape), a, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda x, y, v: x @ x, ["do not fit", "(None, 3, 4)"]),
        (lambda x, y, v: ops.matmul(v, v), ["of each row of the batch", "(None, 4)"]),
        (lambda x, y, v: np.ones((2, 4)) @ v, ["mixes rows", "(None, 4)", "(2, 4)"]),
        (lambda x, y, v: x @ np.ones((5, 2)), ["do not fit", "(5, 2)"]),
        (lambda x, y, v: x @ np.ones((2, 4, 2)), ["mixes rows"]),
        (lambda x, y, v: ops.einsum("bij,bjk->ik", x, y), ["bij,bjk->ik", "(None, 3, 4)", "batch"]),
        (lambda x, y, v: ops.einsum("bij,bjk", x, y), ["batch"]),
        (lambda x, y, v: ops.einsum("bij,bik->bjk", x, y), ["'i' is of sizes 3 and 4"]),
        (lambda x, y, v: ops.einsum("bi,bij->bj", x, y), ["'bi' does not name", "(None, 3, 4)"]),
        (lambda x, y, v: ops.einsum("bij->bij", x, y), ["1 operands, got 2"]),
        (lambda x, y, v: ops.einsum("b1j->bj", x), ["letters"]),
        (lambda x, y, v: ops.einsum("bij->bz", x), ["output"]),
        (lambda x, y, v: ops.einsum("b...->b", x), ["'...'"]),
        (lambda x, y, v: ops.tensordot(x, y, axes=[[0], [0]]), ["batch"]),
        (lambda x, y, v: ops.dot(x, np.ones(3)), ["do not fit", "(3,)"]),
        (lambda x, y, v: ops.trace(x), ["batch"]),
        (lambda x, y, v: ops.trace(x, axis1=1, axis2=1), ["twice"]),
    ],
)
def test_errors_name_shapes(call, words):
    with pytest.raises(ValueError) as error:
        call(fn.Input((3, 4)), fn.Input((4, 2)), fn.Input((4,)))
    for word in words:
        assert word in str(error.value)
