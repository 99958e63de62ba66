"""Losses that are held to values of Keras: what tools/dump_keras_values.py runs there, tests/test_composed_losses.py here."""

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
]


def loss_data(kind, shape, number):
    """Targets, predictions and weights of the rows, of float64."""
    random = np.random.default_rng(number)
    target, prediction = random.normal(size=shape), random.normal(size=shape)
    if kind == "positive":
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
