"""Layers outside of fastnet in files: loaded with their classes they are objects of these, and without them compute and train alike."""

import copy
import json
import re

import numpy as np
import pytest

import fastnet as fn

ops, Dense, Input, Layer = fn.ops, fn.layers.Dense, fn.Input, fn.layers.Layer
RANDOM = np.random.default_rng(0)


def rows(*shape):
    return RANDOM.normal(size=shape)


# ---- layers ----------------------------------------------------------------------------------------------------


class Scale(Layer):
    """Weights with all that these may have, an array, and a penalty."""

    def build(self, input_shape):
        self.gain = self.add_weight(
            (input_shape[-1],),
            "ones",
            regularizer=fn.regularizers.L1L2(0.01, 0.1),
            constraint=fn.constraints.MinMaxNorm(0.5, 1.5, 0.9),
        )
        self.shift = self.add_weight((input_shape[-1],), "zeros", trainable=False, name="shift")

    def call(self, x):
        y = x * self.gain + self.shift + np.linspace(-1, 1, x.shape[-1])
        self.add_loss(0.1 * ops.sum(y**2, axis=-1))
        return y


class Residual(Layer):
    """Of other layers, with what training changes besides weights, and random numbers."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.parts = [Dense(units, "relu", activity_regularizer="l2"), fn.layers.BatchNormalization(), fn.layers.Dropout(0.3)]
        self.last = {
            "dense": Dense(units, kernel_regularizer=fn.regularizers.OrthogonalRegularizer(0.1), kernel_constraint="max_norm")
        }

    def call(self, x):
        y = x
        for part in self.parts:
            y = part(y)
        return fn.layers.Add()([x, self.last["dense"](y)])


class Switched(Layer):
    """Does another thing with each of its arguments, and with other shapes."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.dense = Dense(units, "tanh")

    def get_config(self):
        return {"units": self.dense.units, "name": self.name}

    def call(self, x, noisy=False, more=None, factor=1.0, training=None):
        y = self.dense(x) * factor
        if more is not None:
            y = y + more["tensors"][0]
        y = fn.layers.Dropout(0.5)(y) if noisy else y
        return fn.layers.GaussianNoise(0.1)(y) if training else y


class Parted(Layer):
    """Several outputs, one of which is an input."""

    def call(self, x):
        half = x.shape[-1] // 2
        return [ops.exp(-(x[..., :half] ** 2)), x, x[..., half:]]


class Masked(Layer):
    """Reads and makes masks: the steps after the first one."""

    def call(self, x):
        column = ops.expand_dims(x.mask, -1) if x.mask is not None else 1.0
        return ops.cumsum(x * column, axis=1)

    def compute_mask(self, *inputs):
        steps = inputs[0].shape[1]
        return [ops.multiply(inputs[0].mask, (np.arange(steps) > 0).astype(float)) if inputs[0].mask is not None else None]


class Within(Layer):
    """A model and a layer of one's own in it, and weights of another layer."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.model = fn.Sequential([Dense(units, "tanh"), Scale(), Dense(units)], seed=3)
        self.inner = Residual(units)
        self.table = Dense(units, use_bias=False)

    def call(self, x):
        y = self.inner(self.model(x)) + self.model(self.inner(x))
        return y + ops.matmul(self.table(x), self.table.weights[0])


class Noisy(Layer):
    """Random numbers, of the model's seed and of its own."""

    def call(self, x):
        batch, width = ops.shape(x)
        return x + fn.random.normal((batch, width), 0.0, 0.1) * fn.random.uniform((width,), seed=7)


class Slope(Layer):
    """A derivative within the call, through other layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.energy = fn.Sequential([Input((4,)), Dense(5, "tanh"), fn.layers.Dropout(0.2), Dense(1)], seed=0)

    def call(self, x):
        return fn.grad(lambda t: ops.sum(self.energy(t) ** 2, axis=-1))(x)


class OwnDense(Dense):
    """A subclass of a layer that there is, with a function of Python that no file holds."""

    def __init__(self, units, function, **kwargs):
        super().__init__(units, **kwargs)
        self.function = function

    def call(self, x):
        return self.function(super().call(x)) + ops.matmul(x, self._weights["kernel"])


CLASSES = {cls.__name__: cls for cls in (Scale, Residual, Switched, Parted, Masked, Within, Slope, Noisy)}


def stack(*layers, width=4, **options):
    return fn.Sequential([Input((width,)), *layers, Dense(1)], seed=0, **options)


def shared():
    """One layer on other arguments and shapes, in a model that is called twice itself."""
    x, z, layer = Input((4,)), Input((3, 4)), Switched(4, name="shared")
    inner_in = Input((4,))
    inner = fn.Model(inner_in, layer(layer(inner_in, True), more={"tensors": [inner_in]}), seed=0)
    y = [
        inner(inner(x)),
        layer(x, factor=0.5, noisy=True, training=False),
        layer(x, more={"tensors": [ops.sin(x)]}),
        ops.mean(layer(z), axis=1),
    ]
    return fn.Model([x, z], Dense(1)(fn.layers.Add()(y)), seed=1)


def outputs():
    x = Input((6,))
    first, same, last = Parted()(Dense(6)(x))
    return fn.Model(x, [Dense(1, name="a")(same), Dense(1, name="b")(ops.concatenate([first, last], -1))], seed=0)


def masked():
    x = Input((5, 2))
    y = fn.layers.Masking()(x)
    return fn.Model(x, Dense(1)(fn.layers.LSTM(3)(Masked(name="own")(y) + Masked()(x))), seed=0)


def with_function():
    return stack(OwnDense(4, lambda y: ops.erf(y) + 1, kernel_regularizer="l2"), fn.layers.Lambda(lambda x: ops.softplus(x) * x))


def unlike_lambdas():
    """One function for several shapes."""
    layer = fn.layers.Lambda(lambda x: ops.sum(ops.square(x), axis=-1, keepdims=True) * np.array([1.0, 2.0]))
    x, z = Input((4,)), Input((3, 4))
    return fn.Model([x, z], Dense(1)(layer(x) + ops.mean(layer(z), axis=1)), seed=0)


def wrapped():
    x = Input((3, 4))
    return fn.Model(x, Dense(1)(ops.mean(fn.layers.TimeDistributed(Plain(4))(x), axis=1)), seed=0)


class Plain(Dense):
    """A subclass that does the same."""


CLASSES["Plain"] = Plain

MODELS = {
    "weights": lambda: stack(Scale()),
    "float64": lambda: stack(Scale(), dtype="float64"),
    "parts": lambda: stack(Residual(4), Residual(4)),
    "frozen": lambda: frozen(stack(Residual(4, trainable=False), Residual(4), Scale())),
    "shared": shared,
    "outputs": outputs,
    "masked": masked,
    "within": lambda: stack(Within(4)),
    "derivative": lambda: stack(Slope()),
    "functions": with_function,
    "lambdas": unlike_lambdas,
    "wrapped": wrapped,
    "random": lambda: stack(Noisy(), Noisy()),
}


def frozen(model):
    """Parts of layers frozen, and a layer of which one part is trained."""
    model.layers[0].parts[0].trainable = True
    model.layers[1].parts[1].trainable = False
    return model


def data_of(model):
    x = [rows(24, *tensor.sample_shape) for tensor in model.inputs]
    for array in x:
        if array.ndim == 3:
            array[::2, 3:] = 0
    y = [rows(24, 1) for _ in model.outputs]
    return (x if len(x) > 1 else x[0]), (y if len(y) > 1 else y[0])


def same_bits(one, other):
    one, other = ([a] if isinstance(a, np.ndarray) else list(a) for a in (one, other))
    assert len(one) == len(other)
    for a, b in zip(one, other):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def steps(model, x, y):
    return [model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0).history["loss"] for _ in range(3)]


def ready(name):
    model = MODELS[name]()
    x, y = data_of(model)
    model.compile(fn.optimizers.Adam(0.01), "mse")
    model.fit(x, y, batch_size=8, verbose=0)
    return model, x, y


@pytest.mark.parametrize("classes", [{}, CLASSES], ids=["without", "with"])
@pytest.mark.parametrize("name", MODELS)
def test_it_predicts_and_trains_alike(name, classes, tmp_path):
    model, x, y = ready(name)
    model.save(tmp_path / "m", include_optimizer=True)
    loaded = fn.load_model(tmp_path / "m", classes)
    loaded.save(tmp_path / "again", include_optimizer=True)
    again = fn.load_model(tmp_path / "again", {} if classes else CLASSES)  # the class comes back of what was saved without it
    small = [a[:5] for a in x] if isinstance(x, list) else x[:5]
    predictions = [model.predict(rows) for rows in (x, small)]
    for other in (loaded, again):
        assert [weight.path for weight in other.weights] == [weight.path for weight in model.weights]
        assert [weight.path for weight in other.trainable_weights] == [weight.path for weight in model.trainable_weights]
        assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers]
        assert json.loads(json.dumps(other.get_config())) == json.loads(json.dumps(model.get_config()))
        for given, expected in zip((x, small), predictions):
            same_bits(other.predict(given), expected)
    for layer, own in zip(loaded.layers if classes else again.layers, model.layers):
        assert type(layer) is type(own) or isinstance(own, (OwnDense, fn.layers.Lambda))
    expected, loss = steps(model, x, y), model.evaluate(x, y)
    for other in (loaded, again):
        assert steps(other, x, y) == expected
        same_bits(other.get_weights(), model.get_weights())
        assert other.evaluate(x, y) == loss


@pytest.mark.parametrize("name", MODELS)
def test_exports_and_copies_are_the_same(name, tmp_path):
    model, x, y = ready(name)
    model.save(tmp_path / "m")
    loaded = fn.load_model(tmp_path / "m")
    copied = copy.deepcopy(loaded)
    assert [type(layer) for layer in copied.layers] == [type(layer) for layer in loaded.layers]
    same_bits(copied.predict(x), model.predict(x))
    texts = []
    for one in (model, loaded):
        one.export(tmp_path / "m.c", name="net")
        texts.append((tmp_path / "m.c").read_text())
    assert texts[0] == texts[1]


# ---- which class --------------------------------------------------------------------------------------------------


def test_registered_classes(tmp_path):
    """By the name of their package; two of one name are two classes."""
    saving = fn.saving

    def make(factor):
        class Times(Layer):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)

            def call(self, x):
                return x * factor

        Times.__qualname__ = f"times_{factor}"
        return Times

    Two, Three, Plain = make(2.0), make(3.0), make(5.0)
    assert saving.register_keras_serializable("tests_two")(Two) is Two
    saving.register_keras_serializable(package="tests_three", name="Thrice")(Three)
    try:
        assert saving.get_registered_name(Two) == "tests_two>Times" and saving.get_registered_name(Plain) == "Times"
        assert saving.get_registered_object("tests_three>Thrice") is Three
        model = fn.Sequential([Input((2,)), Two(), Three(), Plain()], seed=0)
        model.save(tmp_path / "m")
        assert model.predict([[1.0, 2.0]]).tolist() == [[30.0, 60.0]]
        for custom, last in (({}, "TracedLayer"), ({"Times": Plain}, "Times")):
            loaded = fn.load_model(tmp_path / "m", custom)
            assert [type(layer) for layer in loaded.layers[1:2]] == [Three]
            assert type(loaded.layers[2]).__name__ == last
            assert loaded.predict([[1.0, 2.0]]).tolist() == [[30.0, 60.0]]
        with saving.custom_object_scope({"Times": Plain}):
            assert type(fn.load_model(tmp_path / "m").layers[2]) is Plain
        with pytest.raises(ValueError, match="tests_two>Times.* already"):
            saving.register_keras_serializable("tests_two")(make(7.0))
        with pytest.raises(ValueError, match="no get_config"):
            saving.register_keras_serializable()(object)
    finally:
        for name in ("tests_two>Times", "tests_three>Thrice"):
            saving.get_custom_objects().pop(name)


def test_a_class_with_the_name_of_one_that_there_is(tmp_path):
    own = type("Dense", (Dense,), {"call": lambda self, x: 2 * Dense.call(self, x)})
    assert type(copy.deepcopy(stack()).layers[0]) is Dense
    model = fn.Sequential([Input((3,)), own(2)], seed=0)
    model.save(tmp_path / "m")
    x = rows(5, 3)
    for loaded in (fn.load_model(tmp_path / "m"), fn.load_model(tmp_path / "m", {"Dense": own})):
        same_bits(loaded.predict(x), model.predict(x))


# ---- what a file cannot hold -----------------------------------------------------------------------------------------


class Counts(Layer):
    """Does another thing each time."""

    calls = 0

    def call(self, x):
        self.calls += 1
        return x + float(self.calls)


class Reaches(Layer):
    """Computes with weights of another layer."""

    def __init__(self, other, **kwargs):
        super().__init__(**kwargs)
        self.other, self.reach = None, lambda: other

    def call(self, x):
        return ops.matmul(x, self.reach().weights[0])


def counting():
    layer, x = Counts(), Input((2,))
    return fn.Model(x, layer(layer(x)), seed=0)


def reaching():
    x, dense = Input((2,)), Dense(2, name="other")
    return fn.Model(x, Reaches(dense)(dense(x)), seed=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (counting, "class Counts of layer 'counts' is not given.*two calls"),
        (reaching, "class Reaches of layer 'reaches' is not given.*weights of layer 'other', which is no part of it"),
    ],
)
def test_what_cannot_be_told_without_the_class(make, words, tmp_path):
    model = make()
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match=f"(?s){re.escape(str(tmp_path / 'm'))}.*{words}"):
        fn.load_model(tmp_path / "m")


def test_a_layer_without_its_class_is_called_as_it_was(tmp_path):
    model = shared()
    model.save(tmp_path / "m")
    layer = fn.load_model(tmp_path / "m").get_layer("shared")
    assert layer(Input((4,)), noisy=True).shape == (None, 4)
    for arguments, error, words in [
        ((Input((5,)),), ValueError, "custom_objects={'Switched': ...}"),
        ((Input((4,)), True), TypeError, "by name"),
    ]:
        with pytest.raises(error, match=words):
            layer(*arguments)


# ---- functions and classes beside the layers ----------------------------------------------------------------------


class Fill(fn.initializers.Initializer):
    """Holds a function."""

    def __init__(self, function):
        self.function = function

    def sample(self, shape, rng):
        return np.full(shape, self.function())


def test_a_layer_of_fastnet_with_a_function_of_python(tmp_path):
    """Its configuration cannot be written down: it is saved as what it did."""
    model = stack(Dense(3, "tanh", kernel_initializer=Fill(lambda: 0.5)))
    model.compile("adam", "mse")
    x, y = data_of(model)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m", include_optimizer=True)
    loaded = fn.load_model(tmp_path / "m")
    same_bits(loaded.predict(x), model.predict(x))
    assert steps(loaded, x, y) == steps(model, x, y)


class Smooth(fn.regularizers.Regularizer):
    """A function of the weight."""

    own = True

    def __call__(self, x):
        return ops.sum(x**2)


class Positive(fn.constraints.Constraint):
    own = True

    def __call__(self, w):
        return abs(w)

    def values(self, shape):
        return fn.constraints.NonNeg().values(shape)


@pytest.mark.parametrize("options", [{"kernel_regularizer": Smooth()}, {"kernel_constraint": Positive()}])
def test_functions_of_weights_are_loaded_with_and_without_their_classes(options, tmp_path):
    """More of these are in test_saved_penalties.py."""
    model = stack(Dense(3, **options))
    model.save(tmp_path / "m")
    given = fn.load_model(tmp_path / "m", {"Smooth": Smooth, "Positive": Positive}).layers[0]
    for name, thing in options.items():
        assert type(getattr(given, name)) is type(thing)
        assert type(getattr(fn.load_model(tmp_path / "m").layers[0], name)) is not type(thing)


def open_sizes(own):
    x = Input((None, 4))
    y = fn.layers.Lambda(lambda t: ops.softplus(t) * t)(own(x))
    return fn.Model(x, Dense(1)(fn.layers.LSTM(3)(y)), seed=0)


def test_sizes_that_are_left_open(tmp_path):
    """What a layer does is known for all of them where it is the same for two."""
    model = open_sizes(Residual(4))
    model.compile("adam", "mse")
    model.fit(rows(12, 5, 4), rows(12, 1), verbose=0)
    model.save(tmp_path / "m")
    for loaded in (fn.load_model(tmp_path / "m"), fn.load_model(tmp_path / "m", CLASSES)):
        assert loaded.get_config()["layers"] == json.loads(json.dumps(model.get_config()["layers"]))
        for size in (5, 3, 8):
            x = rows(6, size, 4)
            same_bits(loaded.predict(x), model.predict(x))
    model = open_sizes(Mirror())
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match="depends on sizes that the inputs of the model leave open"):
        fn.load_model(tmp_path / "m")


class Steps(fn.Model):
    """A class of models, whose layers are called in its `call`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.own, self.last = Residual(4), Dense(1)

    def call(self, x):
        return self.last(ops.mean(self.own(x), axis=1))


def test_classes_of_models(tmp_path):
    """Also of sizes that are left open: saving leaves the model as it is."""
    for given in ((None, 5, 4), (None, None, 4)):
        model = Steps(seed=0)
        model.build(given)
        model.compile("adam", lambda t, p: ops.mean((t - p) ** 2, axis=-1))
        x, y = rows(12, 5, 4), rows(12, 1)
        model.fit(x, y, verbose=0)
        model.save(tmp_path / "m", include_optimizer=True)
        loaded = fn.load_model(tmp_path / "m")
        assert steps(loaded, x, y) == steps(model, x, y)
        for size in (5, 3) if given[1] is None else (5,):
            same_bits(loaded.predict(x[:, :size]), model.predict(x[:, :size]))


class Mirror(Layer):
    """Depends on the number of steps."""

    def call(self, x):
        return x + ops.flip(x, axis=1)
