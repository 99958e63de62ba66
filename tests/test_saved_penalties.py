"""Regularizers and constraints that are functions of `fastnet.ops`, in files, checkpoints and copies."""

import copy
import pickle

import numpy as np
import pytest
from test_weight_functions import NotNegativeOfArrays, Squares, make_model, not_negative, square, taking

import fastnet as fn

ops = fn.ops
FAR = np.arange(20.0).reshape(4, 5) / 10
X = np.random.default_rng(0).normal(size=(40, 4))


def smooth(w):
    """With an array, an activation and a reduction."""
    return 0.05 * ops.sum(ops.tanh(w[1:] - w[:-1]) ** 2) + 0.01 * ops.mean(ops.abs(w - FAR))


def length(w):
    return w / (1e-3 + ops.norm(w, axis=0, keepdims=True))


def quiet(y):
    return 0.01 * ops.sum(y**2) + 0.02 * ops.sum(ops.abs(y))


FUNCTIONS = {"smooth": smooth, "length": length, "quiet": quiet}


def small(**options):
    arguments = {"kernel_regularizer": smooth, "kernel_constraint": length, "activity_regularizer": quiet}
    layers = [
        fn.layers.Dense(5, "tanh", bias_regularizer=lambda b: ops.sum(b * b), **arguments),
        fn.layers.Dense(2, bias_regularizer=lambda b: 2 * ops.sum(b * b)),  # two of one name
    ]
    return fn.Sequential([fn.Input((4,)), *layers], seed=0, dtype="float64", **options)


def fit(model, optimizer="adam", **options):
    """The bits after some training of a model that is compiled anew, and its losses."""
    if optimizer is not None:
        model.compile(optimizer, "mse")
    history = model.fit(X, X[:, :2], batch_size=8, epochs=2, verbose=0, **options)
    return b"".join(weight.tobytes() for weight in model.get_weights()), history.history["loss"], model.evaluate(X, X[:, :2])


@pytest.mark.parametrize(
    ("cls", "argument", "function"),
    [(*one, square) for one in taking("_regularizer")] + [(*one, not_negative) for one in taking("_constraint")],
)
def test_a_file_holds_what_functions_compute(cls, argument, function, tmp_path):
    """In every layer, without the source and with it: losses, weights and predictions as those of the model that was saved."""
    model, x, y = make_model(cls, **{argument: function})
    model.save(tmp_path / "model.safetensors")
    found = []
    for one in (
        model,
        fn.load_model(tmp_path / "model.safetensors"),
        fn.load_model(tmp_path / "model.safetensors", custom_objects={function.__name__: function}),
    ):
        assert [type(layer) for layer in one.layers] == [type(layer) for layer in model.layers]
        one.compile("adam", "mse")
        losses = [one.train_on_batch(x[:10], y[:10]) for _ in range(2)]
        found.append((losses, [weight.tobytes() for weight in one.get_weights()]))
    assert found[1] == found[0] == found[2]


def test_files_of_files_copies_and_clones(tmp_path):
    model = small()
    model.save(tmp_path / "model.safetensors")
    loaded = fn.load_model(tmp_path / "model.safetensors")
    loaded.save(tmp_path / "again.safetensors")
    given = fn.load_model(tmp_path / "model.safetensors", custom_objects=FUNCTIONS)
    again = fn.load_model(tmp_path / "again.safetensors")
    assert given.layers[0].kernel_regularizer.function is smooth and given.layers[0].kernel_constraint.function is length
    assert loaded.layers[0].kernel_regularizer == again.layers[0].kernel_regularizer != given.layers[0].kernel_regularizer
    with pytest.raises(TypeError, match="smooth was loaded without its source"):
        loaded.layers[0].kernel_regularizer(np.ones((4, 5)))
    clone = fn.models.clone_model(loaded)
    clone.set_weights(model.get_weights())
    clone.seed = model.seed  # that of a clone is another one
    expected = fit(model)
    for one in (loaded, given, again, clone):
        assert fit(one) == expected
    copies = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.deepcopy(loaded)]
    expected = fit(model, None)
    for one in copies[:2]:
        assert fit(one, None) == expected
        assert one.layers[0].kernel_regularizer.function is smooth
        with pytest.raises(TypeError, match="<lambda> was loaded without its source"):  # of which there are two
            one.layers[1].bias_regularizer(np.ones(2))


def test_files_of_keras(tmp_path):
    """There a function is one of Keras's files, by its name, with what it computes beside it."""
    pytest.importorskip("h5py")
    model = small()
    model.save(tmp_path / "model.keras")
    loaded = fn.load_model(tmp_path / "model.keras")
    given = fn.load_model(tmp_path / "model.keras", custom_objects=FUNCTIONS)
    assert given.layers[0].kernel_regularizer.function is smooth and given.layers[0].kernel_constraint.function is length
    expected = fit(model)
    for one in (loaded, given):
        one.seed = model.seed
        assert fit(one) == expected


def test_classes_and_layers_of_ones_own(tmp_path):
    """A class is one again where it is given, and what it computes where it is not; a layer has its weights' functions either way."""

    class Own(fn.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight((4, 5), "glorot_uniform", regularizer=smooth, constraint=length, name="w")

        def call(self, x):
            return x @ self.w

    def make():
        layers = [Own(), fn.layers.Dense(2, kernel_regularizer=Squares(0.1))]
        return fn.Sequential([fn.Input((4,)), *layers], seed=0, dtype="float64")

    model = make()
    model.save(tmp_path / "model.safetensors")
    loaded = [
        fn.load_model(tmp_path / "model.safetensors", custom_objects=one)
        for one in ({}, {"Squares": Squares}, {"Own": Own, "Squares": Squares})
    ]
    expected = fit(model)
    for one in loaded:
        assert fit(one) == expected
    assert loaded[1].layers[1].kernel_regularizer == Squares(0.1)


def test_what_cannot_be_traced(tmp_path):
    """A function of arrays is in no file, and says so; a class of such is known by its name; both go on from a checkpoint."""
    with pytest.raises(
        TypeError, match=r"layer 'dense.*' cannot be saved: the constraint of weight 'dense.*/kernel' cannot be traced"
    ):
        make_model(fn.layers.Dense, kernel_constraint=lambda w: np.maximum(np.asarray(w), 0))[0].save(
            tmp_path / "model.safetensors"
        )

    def train(constraint, epochs, **options):
        model = fn.Sequential([fn.Input((4,)), fn.layers.Dense(2, kernel_constraint=constraint)], seed=0)
        return fit_to(model, tmp_path / "state", epochs, **options)

    for constraint in (lambda w: np.maximum(np.asarray(w), 0), NotNegativeOfArrays()):
        whole = train(constraint, 4)
        train(constraint, 2)
        assert train(constraint, 4, resume_from=tmp_path / "state") == whole
        if callable(constraint) and not isinstance(constraint, fn.constraints.Constraint):
            with pytest.raises(ValueError, match="does not describe its model.*cannot be traced"):
                fn.load_model(tmp_path / "state")
            with pytest.raises(ValueError, match="another model"):
                train(None, 4, resume_from=tmp_path / "state")


def fit_to(model, path, epochs, optimizer="adam", **options):
    """The bits after so many epochs, with checkpoints in between."""
    model.compile(optimizer, "mse", n_threads=options.pop("n_threads", None))
    callbacks = [fn.callbacks.TrainingCheckpoint(path, every_steps=3)]
    model.fit(X, X[:, :2], batch_size=8, epochs=epochs, verbose=0, callbacks=callbacks, **options)
    return b"".join(weight.tobytes() for weight in model.get_weights())


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("around", ["clip", "ema", "accumulation"])
def test_all_of_it_goes_on_from_a_checkpoint(around, n_threads, isa, tmp_path):
    """Functions, a schedule, clipping, averages and threads: interrupted in the middle, also with the model of the file, the same bits."""
    arguments = {
        "clip": {"global_clipnorm": 0.3, "weight_decay": 1e-3},
        "ema": {"use_ema": True, "ema_momentum": 0.8, "clipnorm": 0.2},
        "accumulation": {"gradient_accumulation_steps": 2, "clipvalue": 0.1},
    }[around]

    def optimizer():
        return fn.optimizers.Adam(fn.schedules.CosineDecay(0.05, 18), **arguments)

    whole = fit_to(small(), tmp_path / "whole", 4, optimizer(), n_threads=1)
    fit_to(small(), tmp_path / "state", 2, optimizer(), n_threads=n_threads)
    model = fn.load_model(tmp_path / "state", compile=False)
    for one in (small(), model):
        state = tmp_path / "state"
        going = tmp_path / "going"
        assert fit_to(one, going, 4, optimizer(), n_threads=n_threads, resume_from=state) == whole
