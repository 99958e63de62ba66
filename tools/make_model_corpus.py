"""Writes the models that tests/fuzz/fuzz_model.c damages to tests/fuzz/corpus/model: small ones that hold what a file may hold.

python tools/make_model_corpus.py
"""

import pathlib

import numpy as np

import fastnet as fn
from fastnet import layers

FOLDER = pathlib.Path(__file__).parents[1] / "tests" / "fuzz" / "corpus" / "model"


def dense():
    """Scaling of features, a learning rate that follows a schedule, clipping."""
    scaling = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 0.5])
    model = fn.Sequential([fn.Input((3,)), scaling, layers.Dense(4, "tanh"), layers.Dense(1)], seed=1)
    model.compile(fn.optimizers.Adam(fn.schedules.CosineDecay(0.01, 100), weight_decay=0.01, clipnorm=1.0), "mse")
    return model


def image():
    """A penalty, a constraint, statistics, random numbers."""
    constraint = fn.constraints.MaxNorm(2.0)
    model = fn.Sequential(
        [
            fn.Input((4, 4, 1)),
            layers.Conv2D(2, 3, activation="relu", kernel_constraint=constraint, kernel_regularizer=fn.regularizers.L2(0.1)),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ],
        seed=2,
    )
    model.compile(fn.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    return model


def sequence():
    """A mask, two outputs of which one has no loss."""
    tokens = fn.Input((3,))
    states = layers.LSTM(2, return_sequences=True)(layers.Embedding(5, 2, mask_zero=True)(tokens))
    model = fn.Model(tokens, [layers.Dense(2)(states), layers.GlobalMaxPooling1D()(states)], seed=3)
    model.compile("rmsprop", [fn.losses.SparseCategoricalCrossentropy(from_logits=True), None])
    return model


def double():
    """In float64, not compiled."""
    stack = [fn.Input((2, 2)), layers.LayerNormalization(), layers.Dense(2, "gelu")]
    return fn.Sequential(stack, seed=4, dtype="float64")


MODELS = [dense, image, sequence, double]


def data_for(model):
    """Rows to train on: zeros, which are classes and tokens, too."""
    x = np.zeros((4, *model.inputs[0].sample_shape), "float32")
    model._compiled.resolve(model.outputs, model.output_names)
    y = [None if shape is None else np.zeros((4, *shape), "float32") for shape in model._compiled.target_shapes]
    return x, y if len(y) > 1 else y[0]


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for make in MODELS:
        model = make()
        if model._compiled is not None:
            model.fit(*data_for(model), epochs=1, verbose=0)
        model.save(FOLDER / make.__name__, include_optimizer=model._compiled is not None)


if __name__ == "__main__":
    main()
