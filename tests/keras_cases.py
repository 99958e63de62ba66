"""Losses, metrics and layers that are held to values of Keras: what tools/dump_keras_values.py runs there, and test_composed_losses.py,
test_composed_metrics.py and test_composed_layers.py here."""

import numpy as np

#: Class, arguments, what targets and predictions are, shape.
LOSSES = [
    ("MeanSquaredError", {}, "numbers", (6, 4)),
    ("MeanAbsoluteError", {}, "numbers", (6, 3, 4)),
    ("MeanAbsolutePercentageError", {}, "numbers", (6, 4)),
    ("MeanAbsolutePercentageError", {}, "numbers", (6, 3, 4)),
    ("MeanSquaredLogarithmicError", {}, "positive", (6, 4)),
    ("MeanSquaredLogarithmicError", {}, "numbers", (6, 3, 4)),
    ("CosineSimilarity", {}, "numbers", (6, 4)),
    ("CosineSimilarity", {"axis": 1}, "numbers", (6, 3, 4)),
    ("Huber", {"delta": 0.7}, "numbers", (6, 4)),
    ("LogCosh", {}, "numbers", (6, 3, 4)),
    ("Hinge", {}, "signs", (6, 4)),
    ("SquaredHinge", {}, "signs", (6, 4)),
    ("SquaredHinge", {}, "decision logits", (6, 1)),
    ("CategoricalHinge", {}, "one-hot logits", (6, 4)),
    ("CategoricalHinge", {}, "one-hot logits", (6, 3, 4)),
    ("KLDivergence", {}, "distributions", (6, 4)),
    ("Poisson", {}, "positive", (6, 4)),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, "decisions", (6, 4)),
    ("BinaryCrossentropy", {"from_logits": True}, "decision logits", (6, 4)),
    ("BinaryFocalCrossentropy", {}, "decisions", (6, 4)),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5}, "decisions", (6, 3, 4)),
    ("BinaryFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "decision logits", (6, 1)),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "one-hot", (6, 4)),
    ("CategoricalCrossentropy", {"from_logits": True}, "one-hot logits", (6, 3, 4)),
    ("CategoricalFocalCrossentropy", {}, "one-hot", (6, 4)),
    ("CategoricalFocalCrossentropy", {"alpha": [0.1, 0.2, 0.3, 0.4], "gamma": 3.0}, "one-hot", (6, 3, 4)),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "one-hot logits", (6, 4)),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "label logits", (6, 3, 4)),
    ("SparseCategoricalCrossentropy", {}, "labels", (6, 4)),
    ("CategoricalGeneralizedCrossEntropy", {}, "labels", (6, 4)),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.8}, "labels", (6, 3, 4)),
    ("Dice", {"axis": [1, 2]}, "decisions", (6, 3, 4)),
    ("Tversky", {"alpha": 0.3, "beta": 0.8}, "decisions", (6, 4)),
    ("Tversky", {"alpha": 0.7, "beta": 0.2, "axis": [1, 2]}, "decisions", (6, 3, 4)),
    ("Circle", {"gamma": 3.0, "margin": 0.25}, "identities", (7, 4)),
    ("Circle", {"gamma": 2.0, "remove_diagonal": False}, "identities", (7, 4)),
    ("Circle", {}, "identities", (7, 4)),
]


def loss_data(kind, shape, number):
    """Targets, predictions and weights of the rows, of float64."""
    random = np.random.default_rng(number)
    target, prediction = random.normal(size=shape), random.normal(size=shape)
    if kind == "identities":
        target = np.array([70, 3, 70, 12, 3, 70, 5])
        prediction /= np.linalg.norm(prediction, axis=-1, keepdims=True)
    elif kind == "positive":
        target, prediction = np.abs(target), np.abs(prediction) + 0.1
    elif kind == "signs":
        target = np.sign(target)
    elif kind in ("decisions", "one-hot", "labels", "distributions") or kind.endswith("logits"):
        classes = random.integers(0, shape[-1], shape[:-1])
        target = {"d": (target > 0) * 1.0, "o": np.eye(shape[-1])[classes], "l": classes.astype(float)}[kind[0]]
        if not kind.endswith("logits"):
            prediction = random.uniform(0.05, 0.95, shape)
        if kind == "distributions":
            target, prediction = (
                random.dirichlet(np.ones(shape[-1]), shape[:-1]),
                random.dirichlet(np.ones(shape[-1]), shape[:-1]),
            )
    return target, prediction, random.uniform(0, 2, shape[0])


#: Class, arguments, what targets and predictions are, shape.
METRICS = [
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, "decisions", (8, 4)),
    ("BinaryCrossentropy", {"from_logits": True}, "decision logits", (8, 1)),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, "one-hot logits", (8, 4)),
    ("CategoricalHinge", {}, "one-hot logits", (8, 4)),
    ("ConcordanceCorrelation", {}, "numbers", (8, 6)),
    ("CosineSimilarity", {}, "numbers", (8, 4)),
    ("FBetaScore", {"average": "macro", "beta": 2.0, "threshold": 0.5}, "decisions", (8, 4)),
    ("FBetaScore", {"average": "weighted", "beta": 0.5, "threshold": 0.5}, "one-hot", (8, 4)),
    ("FalseNegatives", {}, "decisions", (8, 4)),
    ("FalsePositives", {"thresholds": [0.3, 0.6]}, "decisions", (8, 4)),
    ("Hinge", {}, "signs", (8, 4)),
    ("KLDivergence", {}, "distributions", (8, 4)),
    ("LogCoshError", {}, "numbers", (8, 4)),
    ("MeanAbsolutePercentageError", {}, "numbers", (8, 4)),
    ("MeanSquaredLogarithmicError", {}, "positive", (8, 4)),
    ("PearsonCorrelation", {}, "numbers", (8, 6)),
    ("Poisson", {}, "positive", (8, 4)),
    ("PrecisionAtRecall", {"recall": 0.6}, "decisions", (8, 4)),
    ("RecallAtPrecision", {"precision": 0.55}, "decisions", (8, 4)),
    ("SensitivityAtSpecificity", {"specificity": 0.5, "num_thresholds": 30}, "decisions", (8, 4)),
    ("SparseCategoricalCrossentropy", {}, "labels", (8, 4)),
    ("SpecificityAtSensitivity", {"sensitivity": 0.7}, "decisions", (8, 4)),
    ("SquaredHinge", {}, "signs", (8, 4)),
    ("TrueNegatives", {"thresholds": 0.4}, "decisions", (8, 4)),
    ("TruePositives", {"thresholds": [0.1, 0.5, 0.9]}, "decisions", (8, 1)),
    ("BinaryIoU", {}, "decisions", (8, 4)),
    ("BinaryIoU", {"target_class_ids": [1], "threshold": 0.3}, "decisions", (8, 1)),
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 2], "sparse_y_pred": False}, "labels", (8, 4)),
    ("MeanIoU", {"num_classes": 4, "sparse_y_pred": False, "ignore_class": 1}, "labels", (8, 3, 4)),
    ("OneHotIoU", {"num_classes": 4, "target_class_ids": [1, 3]}, "one-hot", (8, 4)),
    ("OneHotMeanIoU", {"num_classes": 4}, "one-hot", (8, 3, 4)),
    ("R2Score", {}, "numbers", (8, 4)),
    ("RootMeanSquaredError", {}, "numbers", (8, 4)),
    ("Precision", {"thresholds": 0.4}, "decisions", (8, 4)),
    ("Recall", {}, "decisions", (8, 4)),
    ("AUC", {"num_thresholds": 50, "curve": "PR"}, "decisions", (8, 4)),
]


#: Class, arguments, shapes of the inputs with the batch, options of the call.
LAYERS = [
    ("Identity", {}, [(3, 4)], {}),
    ("UnitNormalization", {}, [(3, 4, 5)], {}),
    ("UnitNormalization", {"axis": [1, 2]}, [(3, 4, 5)], {}),
    ("PReLU", {}, [(3, 4, 5)], {}),
    ("PReLU", {"shared_axes": [1, 2]}, [(3, 4, 5, 2)], {}),
    ("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.3}, [(3, 20)], {}),
    ("ReLU", {"negative_slope": 0.3}, [(3, 20)], {}),
    ("ReLU", {"max_value": 0.7}, [(3, 20)], {}),
    ("Softmax", {"axis": 1}, [(3, 4, 5)], {}),
    ("Dot", {"axes": -1}, [(3, 5), (3, 5)], {}),
    ("Dot", {"axes": [2, 1]}, [(3, 4, 5), (3, 5, 2)], {}),
    ("Dot", {"axes": 2, "normalize": True}, [(3, 4, 5), (3, 6, 5)], {}),
    ("Dot", {"axes": [1, 2]}, [(3, 4), (3, 5, 4)], {}),
    ("AdditiveAttention", {}, [(3, 4, 5), (3, 6, 5)], {}),
    ("AdditiveAttention", {"use_scale": False}, [(3, 4, 5), (3, 6, 2), (3, 6, 5)], {"use_causal_mask": True}),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": [None, 6], "bias_axes": "d"}, [(3, 4, 5)], {}),
    ("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 6, "activation": "tanh"}, [(3, 4, 2, 5)], {}),
    ("EinsumDense", {"equation": "ab...,bc->ac...", "output_shape": 6, "bias_axes": "c"}, [(3, 4, 2)], {}),
    ("EinsumDense", {"equation": "abc,cde->abde", "output_shape": [4, 2, 3], "bias_axes": "be"}, [(3, 4, 5)], {}),
    ("Conv3D", {"filters": 3, "kernel_size": 2}, [(2, 4, 5, 6, 2)], {}),
    (
        "Conv3D",
        {"filters": 3, "kernel_size": [3, 2, 3], "padding": "same", "strides": 2, "activation": "tanh"},
        [(2, 5, 6, 7, 2)],
        {},
    ),
    ("Conv3D", {"filters": 4, "kernel_size": [2, 3, 2], "groups": 2, "use_bias": False}, [(2, 4, 5, 4, 6)], {}),
    ("Conv3D", {"filters": 2, "kernel_size": [2, 2, 3], "dilation_rate": [1, 2, 2], "padding": "same"}, [(2, 3, 5, 6, 2)], {}),
    ("Conv3DTranspose", {"filters": 3, "kernel_size": 2}, [(2, 3, 2, 4, 2)], {}),
    ("Conv3DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, [(2, 2, 3, 2, 2)], {}),
    ("Conv3DTranspose", {"filters": 2, "kernel_size": [3, 2, 1], "strides": [1, 3, 2]}, [(2, 2, 3, 2, 2)], {}),
    ("MaxPooling3D", {}, [(2, 4, 5, 6, 3)], {}),
    ("MaxPooling3D", {"pool_size": [2, 3, 2], "strides": 1, "padding": "same"}, [(2, 4, 5, 6, 3)], {}),
    ("AveragePooling3D", {"pool_size": [2, 1, 3]}, [(2, 4, 5, 6, 3)], {}),
    ("GlobalMaxPooling3D", {}, [(2, 3, 4, 2, 3)], {}),
    ("GlobalAveragePooling3D", {"keepdims": True}, [(2, 3, 4, 2, 3)], {}),
    ("AdaptiveAveragePooling1D", {"output_size": 3}, [(2, 7, 3)], {}),
    ("AdaptiveAveragePooling2D", {"output_size": [3, 2]}, [(2, 7, 6, 3)], {}),
    ("AdaptiveAveragePooling3D", {"output_size": 2}, [(2, 3, 5, 4, 2)], {}),
    ("AdaptiveMaxPooling1D", {"output_size": 4}, [(2, 7, 3)], {}),
    ("AdaptiveMaxPooling2D", {"output_size": [1, 4]}, [(2, 7, 6, 3)], {}),
    ("AdaptiveMaxPooling3D", {"output_size": 2}, [(2, 3, 5, 4, 2)], {}),
    ("ZeroPadding3D", {}, [(2, 2, 3, 4, 2)], {}),
    ("ZeroPadding3D", {"padding": [[1, 0], [0, 2], [1, 1]]}, [(2, 2, 3, 4, 2)], {}),
    ("Cropping3D", {"cropping": [[1, 0], [0, 2], [1, 1]]}, [(2, 3, 5, 4, 2)], {}),
    ("UpSampling3D", {"size": [1, 2, 3]}, [(2, 2, 3, 2, 2)], {}),
    ("Resizing", {"height": 5, "width": 3}, [(2, 3, 7, 2)], {}),
    ("Resizing", {"height": 3, "width": 4, "antialias": True}, [(2, 7, 9, 2)], {}),
    ("Resizing", {"height": 3, "width": 4, "crop_to_aspect_ratio": True}, [(2, 7, 5, 2)], {}),
    ("Resizing", {"height": 6, "width": 4, "pad_to_aspect_ratio": True, "fill_value": 0.5}, [(2, 7, 9, 2)], {}),
    ("CenterCrop", {"height": 3, "width": 4}, [(2, 7, 9, 2)], {}),
    ("CenterCrop", {"height": 6, "width": 5}, [(2, 4, 9, 2)], {}),
    ("SpatialDropout3D", {"rate": 0.0}, [(2, 3, 2, 2, 4)], {}),
    ("RNN", {"cell": ["LSTMCell", {"units": 4}]}, [(3, 5, 2)], {}),
    ("RNN", {"cell": ["GRUCell", {"units": 4, "reset_after": False}], "return_sequences": True}, [(3, 5, 2)], {}),
    ("RNN", {"cell": ["GRUCell", {"units": 4}], "return_state": True, "go_backwards": True}, [(3, 5, 2)], {}),
    (
        "RNN",
        {"cell": ["SimpleRNNCell", {"units": 4, "activation": "sigmoid"}], "return_sequences": True, "go_backwards": True},
        [(3, 5, 2)],
        {},
    ),
    (
        "RNN",
        {
            "cell": ["StackedRNNCells", {"cells": [["LSTMCell", {"units": 4}], ["SimpleRNNCell", {"units": 3}]]}],
            "go_backwards": True,
        },
        [(3, 5, 2)],
        {},
    ),
    (
        "RNN",
        {
            "cell": ["StackedRNNCells", {"cells": [["GRUCell", {"units": 2}], ["GRUCell", {"units": 3}]]}],
            "return_sequences": True,
        },
        [(3, 5, 2)],
        {},
    ),
    ("TimeDistributed", {"layer": ["Conv2D", {"filters": 3, "kernel_size": 2}]}, [(2, 3, 4, 4, 2)], {}),
    ("TimeDistributed", {"layer": ["LSTM", {"units": 3}]}, [(2, 3, 4, 2)], {}),
    ("ConvLSTM1D", {"filters": 3, "kernel_size": 2, "strides": 2, "return_sequences": True}, [(2, 3, 7, 2)], {}),
    ("ConvLSTM2D", {"filters": 2, "kernel_size": [2, 3], "padding": "same", "go_backwards": True}, [(2, 3, 4, 5, 2)], {}),
    (
        "ConvLSTM2D",
        {"filters": 2, "kernel_size": 2, "dilation_rate": 2, "use_bias": False, "activation": "relu"},
        [(2, 3, 4, 5, 2)],
        {},
    ),
    ("ConvLSTM3D", {"filters": 2, "kernel_size": 2, "padding": "same", "return_state": True}, [(2, 2, 3, 2, 3, 2)], {}),
]


def layer_of(layers, name, arguments, **more):
    """A layer of a module, with those that are its arguments, which are [class, arguments]."""

    def fill(value):
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict):
            return layer_of(layers, *value, **more)
        return [fill(item) for item in value] if isinstance(value, list) else value

    return getattr(layers, name)(**{key: fill(value) for key, value in arguments.items()}, **more)


def layer_data(shapes, output_shapes, weight_shapes, number):
    """Inputs, weights and gradients of the outputs, of float64."""
    random = np.random.default_rng(1000 + number)
    return [[random.normal(size=shape) for shape in given] for given in (shapes, weight_shapes, output_shapes)]
