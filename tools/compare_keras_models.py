"""Random small models of Keras, saved and loaded by fastnet: the predictions must agree.

    KERAS_BACKEND=torch python tools/compare_keras_models.py --models 200 --seed 0    # needs Keras 3 and h5py

Prints what fastnet refuses, by message, and every model whose predictions differ; exit status 1 if there is one. Average pooling
with padding "same" is left out: Keras counts the padding on PyTorch.
"""

import argparse
import collections
import os
import re
import sys
import tempfile

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")
TOLERANCE = 2e-4

ACTIVATIONS = ["relu", "tanh", "sigmoid", "elu", "selu", "gelu", "softplus", "softsign", "swish", "mish", "relu6", "hard_sigmoid",
               "hard_silu", "leaky_relu", "exponential", "linear", "softmax", "log_softmax", "celu", "glu", "hard_tanh", "hard_shrink",
               "tanh_shrink", "soft_shrink", "squareplus", "sparse_plus", "threshold", "log_sigmoid", None]  # fmt: skip


class Maker:
    """Makes models from a generator of random numbers."""

    def __init__(self, rng):
        import keras

        self.keras, self.layers, self.rng = keras, keras.layers, rng

    def pick(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def activation(self):
        return ACTIVATIONS[self.rng.integers(len(ACTIVATIONS))] if self.rng.random() < 0.7 else self.pick("relu", "tanh")

    def flag(self, share=0.5):
        return bool(self.rng.random() < share)

    def any_shape(self, x):
        """Layers that take every shape."""
        L, pick = self.layers, self.pick
        return pick(
            lambda: L.Activation(self.activation() or "relu"),
            lambda: L.BatchNormalization(epsilon=pick(1e-3, 1e-2), center=self.flag(0.8), scale=self.flag(0.8)),
            lambda: L.Dense(pick(1, 3, 5), activation=self.activation(), use_bias=self.flag(0.8)),
            lambda: L.Dropout(0.3),
            lambda: L.ELU(pick(1.0, 0.5)),
            lambda: L.GaussianDropout(0.3),
            lambda: L.GaussianNoise(0.1),
            lambda: L.AlphaDropout(0.2),
            lambda: L.SpatialDropout1D(0.2) if len(x.shape) == 3 else L.Dropout(0.2),
            lambda: L.LayerNormalization(epsilon=pick(1e-3, 1e-5), center=self.flag(0.8), scale=self.flag(0.8)),
            lambda: L.LeakyReLU(negative_slope=pick(0.3, 0.1)),
            lambda: L.ReLU(),
            lambda: L.ReLU(max_value=6.0),
            lambda: L.ReLU(negative_slope=0.1),
            lambda: L.PReLU(),
            lambda: L.Softmax(),
            lambda: L.RMSNormalization(),
            lambda: L.UnitNormalization(),
            lambda: L.Rescaling(pick(0.5, 2.0), pick(0.0, -1.0)),
            lambda: L.Rescaling(self.rng.normal(size=x.shape[-1]), list(self.rng.normal(size=x.shape[-1]))),
            lambda: L.Normalization(axis=pick(-1, None)),
            lambda: L.ActivityRegularization(0.1, 0.1),
            lambda: L.Identity(),
            lambda: L.GroupNormalization(pick(1, -1)),
            lambda: L.Normalization(
                mean=list(self.rng.normal(size=x.shape[-1])), variance=list(self.rng.uniform(0.5, 2, x.shape[-1]))
            ),
        )()

    def sequence(self, x):
        L, pick = self.layers, self.pick
        rnn = dict(
            return_sequences=self.flag(0.6),
            go_backwards=self.flag(0.2),
            use_bias=self.flag(0.8),
            activation=pick("tanh", "relu", "sigmoid"),
        )
        units, steps = pick(2, 3, 4), x.shape[1]
        gated = dict(rnn, recurrent_activation=pick("sigmoid", "hard_sigmoid"))
        return pick(
            lambda: L.LSTM(units, **gated),
            lambda: L.GRU(units, reset_after=self.flag(), **gated),
            lambda: L.SimpleRNN(units, **rnn),
            lambda: L.Bidirectional(
                pick(L.LSTM, L.GRU)(units, return_sequences=self.flag()), merge_mode=pick("concat", "sum", "ave", "mul")
            ),
            lambda: L.Conv1D(
                pick(2, 4),
                pick(1, 2, 3),
                padding=pick("same", "causal", "valid") if steps > 3 else "same",
                dilation_rate=pick(1, 1, 2) if steps > 6 else 1,
                activation=self.activation(),
                use_bias=self.flag(0.8),
            ),
            lambda: L.Conv1D(pick(2, 4), 2, strides=2, padding="same"),
            lambda: L.SeparableConv1D(3, 2, depth_multiplier=pick(1, 2), padding="same"),
            lambda: L.DepthwiseConv1D(2, depth_multiplier=pick(1, 2), padding="same", activation=self.activation()),
            lambda: L.Conv1DTranspose(3, pick(2, 3), strides=pick(1, 2), padding=pick("same", "valid")),
            lambda: L.MaxPooling1D(2, padding=pick("same", "valid")),
            lambda: L.AveragePooling1D(2),
            lambda: L.GlobalAveragePooling1D(keepdims=self.flag()),
            lambda: L.GlobalMaxPooling1D(keepdims=self.flag()),
            lambda: L.Flatten(),
            lambda: L.Permute((2, 1)),
            lambda: L.ZeroPadding1D(pick(1, (0, 2))),
            lambda: L.Cropping1D(pick((1, 0), (0, 1))) if steps > 3 else L.Flatten(),
            lambda: L.UpSampling1D(2),
            lambda: L.TimeDistributed(L.Dense(3, activation=self.activation())),
            lambda: L.Masking(0.0),
            lambda: L.Reshape((-1, 1)),
            lambda: L.EinsumDense("abc,cd->abd", output_shape=(None, 3), bias_axes="d"),
        )()

    def image(self, x):
        L, pick = self.layers, self.pick
        padding = "same" if min(x.shape[1:3]) < 4 else pick("same", "valid")
        return pick(
            lambda: L.Conv2D(
                pick(2, 4), pick(1, 2, 3, (1, 3)), padding=padding, activation=self.activation(), use_bias=self.flag(0.8)
            ),
            lambda: L.Conv2D(2, 3, strides=2, padding="same"),
            lambda: L.Conv2D(2, 2, dilation_rate=2, padding="same"),
            lambda: L.Conv2D(2 * x.shape[-1], 2, groups=x.shape[-1], padding="same"),
            lambda: L.DepthwiseConv2D(2, strides=pick(1, 2), depth_multiplier=pick(1, 2), padding=padding),
            lambda: L.SeparableConv2D(3, 2, strides=pick(1, 2), padding=padding),
            lambda: L.SpatialDropout2D(0.2),
            lambda: L.Conv2DTranspose(3, pick(2, 3), strides=pick(1, 2), padding=padding),
            lambda: L.MaxPooling2D(2, strides=pick(None, 1), padding=padding),
            lambda: L.AveragePooling2D(2, padding="valid"),
            lambda: L.GlobalAveragePooling2D(keepdims=self.flag()),
            lambda: L.GlobalMaxPooling2D(keepdims=self.flag()),
            lambda: L.Flatten(),
            lambda: L.ZeroPadding2D(pick(1, (1, 2), ((1, 0), (0, 2)))),
            lambda: L.UpSampling2D(2, interpolation=pick("nearest", "bilinear")),
            lambda: L.Cropping2D(((1, 0), (0, 1))) if min(x.shape[1:3]) > 3 else L.Flatten(),
            lambda: L.Permute((2, 1, 3)),
            lambda: L.Reshape((-1, x.shape[-1])),
            lambda: L.Resizing(5, 4),
            lambda: L.RandomFlip(),
            lambda: L.RandomRotation(0.1),
            lambda: L.CenterCrop(2, 2),
        )()

    def joined(self, x):
        """What needs more than one tensor."""
        L, pick, shape = self.layers, self.pick, x.shape
        kind = pick("residual", "concatenate", "merge", "attention", "twice", "operator", "dot", "scale")
        if kind == "concatenate":
            return L.Concatenate(axis=pick(-1, 1))([x, self.any_of_same_shape(x)])
        if kind == "merge":
            return pick(L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)()([x, self.any_of_same_shape(x)])
        if kind == "operator":
            y = self.any_of_same_shape(x)
            return pick(lambda: x + y, lambda: x - y, lambda: x * y, lambda: self.keras.ops.maximum(x, y))()
        if kind == "scale":
            return pick(lambda: x * 2.0, lambda: x + 1.0, lambda: 1.0 - x, lambda: x / 2.0, lambda: -x)()
        if kind == "dot" and len(shape) == 2:
            return L.Dot(axes=1, normalize=self.flag())([x, self.any_of_same_shape(x)])
        if kind == "attention" and len(shape) == 3:
            how = pick("multi", "grouped", "plain", "additive")
            if how == "plain":
                return L.Attention(use_scale=self.flag())([x, x])
            if how == "additive":
                return L.AdditiveAttention()([x, x])
            if how == "grouped":
                return L.GroupQueryAttention(3, 4, pick(1, 2, 4), use_gate=self.flag())(x, x)
            return L.MultiHeadAttention(2, 3, value_dim=pick(None, 2), use_gate=self.flag(), use_bias=self.flag(0.8))(
                x, x, use_causal_mask=self.flag()
            )
        if kind == "twice":
            same = L.Dense(shape[-1], activation="tanh")
            return same(same(x))
        return L.Add()([x, L.Dense(shape[-1], activation=self.activation())(x)])

    def any_of_same_shape(self, x):
        L = self.layers
        return self.pick(
            lambda: L.Dense(x.shape[-1], activation="tanh")(x),
            lambda: L.Activation("sigmoid")(x),
            lambda: L.BatchNormalization()(x),
        )()

    def step(self, x):
        rank, draw = len(x.shape), self.rng.random()
        if draw < 0.15:
            return self.joined(x)
        if draw < 0.22:
            inside = self.keras.Input(x.shape[1:])
            return self.keras.Model(inside, self.any_shape(inside)(self.any_of_same_shape(inside)))(x)
        if draw < 0.6 and rank == 3:
            return self.sequence(x)(x)
        if draw < 0.6 and rank == 4:
            return self.image(x)(x)
        if draw < 0.35 and rank == 2:
            return self.pick(lambda: self.layers.RepeatVector(3), lambda: self.layers.Reshape((-1, 1)))()(x)
        return self.any_shape(x)(x)

    def model(self):
        """A model, and an input for it."""
        L = self.layers
        kind = self.pick("vector", "sequence", "image", "tokens")
        shape = {"vector": (5,), "sequence": (7, 3), "image": (6, 5, 2), "tokens": (6,)}[kind]
        first = x = self.keras.Input(shape, dtype="int32" if kind == "tokens" else "float32")
        if kind == "tokens":
            x = L.Embedding(9, 4, mask_zero=self.flag(0.4))(x)
        for _ in range(self.rng.integers(1, 6)):
            x = self.step(x)
            if np.prod(x.shape[1:]) > 2000 or len(x.shape) > 4:
                break
        model = self.keras.Model(first, x)
        for variable in model.weights:
            if "count" not in variable.path and "seed" not in variable.path:
                positive = any(word in variable.path for word in ("variance", "gamma"))
                values = self.rng.uniform(0.5, 1.5, variable.shape) if positive else self.rng.normal(0, 0.4, variable.shape)
                variable.assign(values.astype("float32"))
        data = self.rng.integers(0, 9, (4, 6)) if kind == "tokens" else self.rng.normal(size=(4, *shape)).astype("float32")
        if kind == "tokens":
            data[:, 0] = np.maximum(data[:, 0], 1)
        return model, data


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()

    import fastnet as fn

    refused, counts = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "m.keras")
        for number in range(given.first, given.first + given.models):
            try:
                model, x = Maker(np.random.default_rng([given.seed, number])).model()
                want = np.asarray(model.predict(x, verbose=0))
                model.save(path)
            except Exception as error:  # a model that Keras does not make
                counts["not made by Keras"] += 1
                refused[f"(Keras) {str(error)[:60]}"] += 0
                continue
            layers = [f"{type(layer).__name__}" for layer in model.layers]
            try:
                made = fn.saving.from_keras(path)
                got = made.predict(x)
                made.save(f"{folder}/m.safetensors")
                for other in (
                    fn.load_model(f"{folder}/m.safetensors"),
                    fn.saving.from_keras(model),
                    fn.saving.from_keras(path, made),
                ):
                    np.testing.assert_allclose(other.predict(x), got, rtol=1e-6, atol=1e-6)
            except ValueError as error:
                counts["refused"] += 1
                told = str(error).replace(f"{path}: ", "")
                refused[re.sub(r"'[a-z_0-9]+' of Keras", "...", told)[:110]] += 1
                continue
            except Exception as error:
                counts["raised"] += 1
                print(f"{number}: {type(error).__name__}: {error}: {layers}")
                continue
            if x.dtype.kind == "i" and want.shape[:2] == got.shape[:2] == x.shape:
                want, got = want[x != 0], got[x != 0]  # what is computed of padding is nobody's concern
            if want.shape != got.shape or not np.allclose(want, got, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
                counts["different"] += 1
                apart = np.abs(want - got).max() if want.shape == got.shape else (want.shape, got.shape)
                print(f"{number}: differs by {apart}: {layers}")
            else:
                counts["the same"] += 1
    for told, count in refused.most_common():
        if count:
            print(f"{count:4} refused: {told}")
    print(dict(counts))
    return 1 if counts["different"] or counts["raised"] else 0


if __name__ == "__main__":
    sys.exit(main())
