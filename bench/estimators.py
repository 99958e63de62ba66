"""Estimators of fastnet and of scikit-learn with the same arithmetic: CPU time of fit, one thread each.

    python -m bench.estimators [--rounds 5]

Same first weights, solver, batch size and epochs; both are fitted in turn, and of each the least time counts. The last columns are
fastnet in float32, of which scikit-learn has no faster form than its own, and the largest difference of the weights in float64.
"""

import argparse
import time
import warnings

import numpy as np
import threadpoolctl
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.neural_network import MLPClassifier, MLPRegressor

import fastnet as fn

EPOCHS = 20


def cases():
    """(name, X, y, whether they are classes, arguments)."""
    digits = load_digits(return_X_y=True)
    yield "digits, 1,797 x 64, defaults", *digits, True, {}
    yield "digits, (64, 64), batches of 32", *digits, True, {"hidden_layer_sizes": (64, 64), "batch_size": 32}
    yield "digits, sgd, tanh", *digits, True, {"solver": "sgd", "activation": "tanh", "learning_rate_init": 0.01}
    small = make_classification(500, 20, random_state=0)
    yield "500 x 20, two classes", *small, True, {}
    table = make_classification(10_000, 30, n_informative=10, n_classes=4, random_state=0)
    yield "10,000 x 30, four classes", *table, True, {}
    x, y = make_regression(10_000, 30, random_state=0)
    yield "10,000 x 30, a number", x, y / y.std(), False, {}
    yield "the same, (32,), batches of 32", x, y / y.std(), False, {"hidden_layer_sizes": (32,), "batch_size": 32}
    x, y = make_regression(20_000, 100, random_state=0)
    yield "20,000 x 100, a number, (100, 100)", x, y / y.std(), False, {"hidden_layer_sizes": (100, 100)}


def seconds(estimator, x, y):
    start = time.process_time()
    estimator.fit(x, y)
    return time.process_time() - start


def compare(x, y, classes, options, rounds):
    """Least CPU seconds of scikit-learn, fastnet, and fastnet in float32; largest difference of the weights."""
    common = dict(max_iter=EPOCHS, n_iter_no_change=EPOCHS, early_stopping=False, shuffle=False, random_state=0, **options)
    theirs = (MLPClassifier if classes else MLPRegressor)(**common)
    plain = dict(scaling=None, n_threads=1) if classes else dict(scaling=None, target_scaling=False, n_threads=1)
    ours, single = ((fn.sklearn.MLPClassifier if classes else fn.sklearn.MLPRegressor)(**common, **plain) for _ in range(2))
    x = (x - x.mean(axis=0)) / np.where(x.std(axis=0), x.std(axis=0), 1)
    runs = [(theirs, x), (ours, x), (single, x.astype(np.float32))]
    least = [np.inf] * 3
    for _ in range(rounds):
        for i, (estimator, data) in enumerate(runs):
            least[i] = min(least[i], seconds(estimator, data, y))
    difference = max(np.abs(a - b).max() for a, b in zip(ours.coefs_, theirs.coefs_))
    return *least, difference


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    print(f"{EPOCHS} epochs, CPU milliseconds, {fn.current_isa()}\n")
    print("| network and data | scikit-learn | fastnet, float64 | ratio | fastnet, float32 | ratio | difference |")
    print("|---|---|---|---|---|---|---|")
    with threadpoolctl.threadpool_limits(1):
        for name, x, y, classes, options in cases():
            theirs, ours, single, difference = compare(x, y, classes, options, rounds)
            figures = f"{1e3 * theirs:.0f} | {1e3 * ours:.0f} | {theirs / ours:.1f} | {1e3 * single:.0f} | {theirs / single:.1f}"
            print(f"| {name} | {figures} | {difference:.0e} |", flush=True)


if __name__ == "__main__":
    main()
