"""The order of a model's layers: each comes after all that it reads."""

import pytest
from networks import rows

import fastnet as fn
from fastnet import layers

Dense, Input, Model = layers.Dense, fn.Input, fn.Model


def cross_attention(deep=True):
    """The query is there before what the keys and values are made of."""
    x, y = Input((5, 4)), Input((6, 4))
    values = Dense(8, "tanh", name="below")(y)
    values = Dense(8, "tanh", name="above")(values) if deep else values
    z = layers.MultiHeadAttention(2, 4, name="attention")(Dense(8, name="query")(x), values)
    return Model([x, y], Dense(2, name="top")(z), seed=0)


def states():
    """A recurrent layer of two that begins with the states of another one."""
    x, y = Input((5, 4)), Input((6, 4))
    _, *given = layers.LSTM(3, return_state=True, name="first")(y)
    z = layers.Bidirectional(layers.LSTM(3), name="second")(x, initial_state=[*given, *given])
    return Model([x, y], Dense(2, name="top")(z), seed=0)


def two_inputs():
    """A layer of one's own: the first input is read before the second is made."""
    x, y = Input((3,)), Input((3,))
    z = Late(name="late")(x, Dense(3, "tanh", name="second")(Dense(3, "tanh", name="first")(y)))
    return Model([x, y], z, seed=0)


def outer(make):
    """The same with a model in the place of the layer, on a value made late."""
    inner = make()
    x, y = (Input(tensor.sample_shape) for tensor in inner.inputs)
    late = Dense(y.sample_shape[-1], "tanh", name="late_dense")(y)
    late = Dense(y.sample_shape[-1], "tanh", name="later_dense")(late)
    return Model([x, y], Dense(2, name="outside")(inner([x, late])), seed=1)


class Late(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.one, self.two = Dense(3, "tanh"), Dense(3, "tanh")

    def call(self, a, b):
        return layers.Add()([self.one(a), self.two(b)])


ORDERS = {
    "cross_attention": (cross_attention, ["query", "below", "above", "attention", "top"]),
    "states": (states, ["first", "second", "top"]),
    "two_inputs": (two_inputs, ["first", "second", "late"]),
    "outer cross_attention": (lambda: outer(cross_attention), ["late_dense", "later_dense", "model", "outside"]),
    "outer states": (lambda: outer(states), ["late_dense", "later_dense", "model", "outside"]),
    "outer two_inputs": (lambda: outer(two_inputs), ["late_dense", "later_dense", "model", "outside"]),
}


@pytest.mark.parametrize("name", ORDERS)
def test_a_layer_comes_after_all_that_it_reads(tmp_path, name):
    make, names = ORDERS[name]
    model = make()
    assert [layer.name for layer in model.layers] == names
    made = set(map(id, model.inputs))
    for call in model._graph.calls:
        assert {id(tensor) for tensor in call.sources} <= made
        made.update(map(id, call.outputs))
    model.save(tmp_path / "m")
    x = [rows(3, tensor.sample_shape[0] * tensor.sample_shape[-1] if len(tensor.sample_shape) > 1 else 3, i)
         .reshape(3, *tensor.sample_shape) for i, tensor in enumerate(model.inputs)]  # fmt: skip
    expected = model.predict(x).tobytes()
    assert fn.load_model(tmp_path / "m", {"Late": Late}).predict(x).tobytes() == expected
    again = fn.saving.rebuild(model.get_config(), {"Late": Late})
    again.set_weights(model.get_weights())
    assert again.predict(x).tobytes() == expected
    assert again.get_config()["calls"] == model.get_config()["calls"]


def test_layers_are_named_in_the_order_of_their_first_operations():
    """As before calls were sorted: what was written by `save_weights` then goes where it came from."""
    x, y = Input((5, 8)), Input((6, 8))
    inner = layers.MultiHeadAttention(2, 4)
    outer = layers.MultiHeadAttention(2, 4)
    memory = inner(Dense(8)(y), y)
    model = Model([x, y], outer(x, memory), seed=0)
    assert model.layers[-2:] == [inner, outer]
    assert (outer.name, inner.name) == ("multi_head_attention", "multi_head_attention_1")


def test_the_order_of_many_layers_is_found_without_recursion():
    x, y = Input((2,)), Input((2,))
    z = y
    for _ in range(1500):
        z = layers.ReLU()(z)
    model = Model([x, y], Late()(x, z), seed=0)
    assert model.layers[-1].name == "late" and len(model.layers) == 1501
