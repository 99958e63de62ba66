"""What scripts for Keras ask of models and layers beside training: arguments, names and tables."""

import copy
import pickle

import numpy as np
import pytest
from networks import rows

import fastnet as fn
from fastnet import layers

X, Y = rows(12, 4).astype(np.float32), rows(12, 1).astype(np.float32)
SEQUENCES = rows(2, 20).astype(np.float32).reshape(2, 5, 4)


def small():
    model = fn.Sequential([fn.Input((4,)), layers.Dense(3, "relu", name="first"), layers.Dense(1, name="last")], seed=0)
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def test_compile_takes_what_says_how_keras_runs():
    plain, told = small(), small()
    told.compile(
        "sgd", "mse", None, ["mae"], run_eagerly=False, steps_per_execution=4, jit_compile=True, auto_scale_loss=True
    )  # fmt: skip
    for model in (plain, told):
        model.fit(X, Y, epochs=2, verbose=0)
    assert plain.history.history == told.history.history
    assert told.loss == "mse" and told.compiled and not fn.Sequential([layers.Dense(1)]).compiled
    with pytest.raises(ValueError, match="weighted_metrics"):
        told.compile("sgd", "mse", weighted_metrics=["mae"])
    with pytest.raises(ValueError, match="steps_per_execution"):
        told.compile("sgd", "mse", steps_per_execution=0)


def test_names_of_what_evaluate_returns():
    model = small()
    assert model.metrics_names == ["loss", "mae"] == list(model.evaluate(X, Y, return_dict=True))
    with pytest.raises(RuntimeError, match="compiled first"):
        fn.Sequential([fn.Input((4,)), layers.Dense(1)]).metrics_names


def test_a_layer_is_found_by_name_or_place():
    model = small()
    assert model.get_layer("last") is model.get_layer(index=1) is model.get_layer(index=-1)
    for wrong in ({}, {"name": "last", "index": 1}, {"index": 2}):
        with pytest.raises(ValueError, match="get_layer takes|there is no layer 2"):
            model.get_layer(**wrong)


def test_summary_keeps_to_a_length():
    model, texts = small(), []
    model.summary(line_length=40, print_fn=texts.append)
    model.summary(40, [0.3, 0.5, 0.8, 1.0], texts.append)
    model.summary(show_trainable=True, layer_range=["last", "last"], print_fn=texts.append)
    for text in texts[:2]:
        assert max(map(len, text.split("\n"))) <= 40
        assert "".join(text.split()).count("(None,3)") == 1 and "16" not in text[:20]
    assert "Trainable" in texts[2] and "yes" in texts[2] and "first" not in texts[2] and "last" in texts[2]
    with pytest.raises(ValueError, match="layer_range"):
        model.summary(layer_range=["no", "last"])


def test_the_values_of_a_weight_have_the_methods_of_a_variable():
    layer = small().layers[0]
    kernel = layer.kernel
    assert (kernel.name, kernel.path) == ("kernel", "first/kernel")
    numbers = kernel.numpy()
    kernel.assign(np.ones((4, 3)))
    assert (layer.kernel == 1).all() and type(numbers) is np.ndarray and not (numbers == 1).any()
    kernel[0] = 2
    assert layer.kernel[0, 0] == 2
    for made in (kernel + 1, np.exp(kernel), kernel @ kernel.T, pickle.loads(pickle.dumps(kernel)), copy.deepcopy(kernel)):
        assert type(made) is np.ndarray
    with pytest.raises(ValueError, match="a part of a weight"):
        kernel[0].assign([1, 2, 3])
    with pytest.raises(ValueError, match="shape"):
        kernel.assign(np.ones(3))


def test_the_learning_rate_of_a_schedule_is_a_number():
    """Keras's is that of the step that comes next."""
    schedule = fn.schedules.ExponentialDecay(0.1, 10, 0.9)
    model = small()
    model.compile(fn.optimizers.SGD(schedule), "mse")
    model.fit(X, Y, batch_size=4, verbose=0)
    rate = model.optimizer.learning_rate
    assert rate is schedule
    expected = 0.1 * 0.9**0.3
    assert float(rate) == rate.numpy() == float(np.asarray(rate)) == pytest.approx(expected, rel=1e-12)
    assert f"{rate:.4f}" == f"{expected:.4f}"
    assert schedule == fn.schedules.ExponentialDecay(0.1, 10, 0.9) and copy.deepcopy(schedule) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    with pytest.raises(TypeError, match="function of the step"):
        float(fn.schedules.ExponentialDecay(0.1, 10, 0.9))


@pytest.mark.parametrize("cls", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_recurrent_layers_take_what_is_of_other_backends(cls):
    plain, told = cls(3, seed=1), cls(3, seed=1, unroll=True, use_cudnn="auto")
    assert plain.get_config() == told.get_config()
    model = fn.Sequential([fn.Input(batch_shape=(2, 5, 4)), cls(3, stateful=True)], seed=0)
    first, second = model.predict(SEQUENCES), model.predict(SEQUENCES)
    assert not np.array_equal(first, second)
    model.layers[0].reset_state()
    np.testing.assert_array_equal(model.predict(SEQUENCES), first)
    with pytest.raises(ValueError, match="not stateful"):
        plain.reset_state()
    with pytest.raises(TypeError, match="unrol"):
        cls(3, unrol=True)


def test_input_by_the_shape_of_a_batch():
    assert fn.Input(batch_shape=(None, 4)).shape == (None, 4)
    assert fn.Input(batch_shape=(3, 4)).batch_size == 3
    with pytest.raises(ValueError, match="batch_shape"):
        fn.Input((4,), batch_shape=(None, 4))
    with pytest.raises(TypeError, match="shape"):
        fn.Input()


def test_an_embedding_begins_with_given_vectors():
    table = np.arange(12.0).reshape(4, 3)
    layer = layers.Embedding(4, 3, weights=[table], trainable=False)
    model = fn.Sequential([fn.Input((2,)), layer])
    assert model.predict([[1, 2]]).tolist() == [table[[1, 2]].tolist()]
    assert "weights" not in layer.get_config()
    with pytest.raises(ValueError, match="weights must be one array of shape"):
        layers.Embedding(4, 3, weights=[table.T])
