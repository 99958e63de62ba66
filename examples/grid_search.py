"""Searches the units, the dropout and the penalty of a network by cross-validation, with scikit-learn, in two processes.

    python examples/grid_search.py [--plot FILE]

A pipeline with `fastnet.sklearn.MLPClassifier` is an estimator like any other: GridSearchCV tries all combinations, and
HalvingRandomSearchCV many on few rows and the best of them on more.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, train_test_split

import fastnet as fn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", metavar="FILE")
    arguments = parser.parse_args()
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x.astype("float32"), y, random_state=0, stratify=y)
    classifier = fn.sklearn.MLPClassifier(learning_rate_init=0.01, max_iter=500, tol=0.005, n_iter_no_change=5, random_state=0)

    grid = {"hidden_layer_sizes": [(4,), (32,), (64,)], "dropout": [0.0, 0.2], "alpha": [1e-4, 1.0]}
    search = GridSearchCV(classifier, grid, cv=3, n_jobs=2).fit(x_train, y_train)
    scores = search.cv_results_["mean_test_score"]
    print(f"{len(scores)} combinations: from {scores.min():.1%} to {scores.max():.1%}, the best with {search.best_params_}")
    print(f"on the test digits: {search.score(x_test, y_test):.1%}")

    space = {"hidden_layer_sizes": [(8,), (16,), (32,), (64,), (128,)], "learning_rate_init": [0.003, 0.01, 0.03, 0.1]}
    halving = HalvingRandomSearchCV(classifier, space, n_candidates=18, min_resources=120, cv=3, random_state=0, n_jobs=2)
    halving.fit(x_train, y_train)
    print(f"halving: {halving.n_candidates_} candidates on {halving.n_resources_} rows, {halving.score(x_test, y_test):.1%}")

    if arguments.plot:
        import matplotlib.pyplot as plt

        order = np.argsort(scores)
        labels = [", ".join(f"{name}={value}" for name, value in search.cv_results_["params"][i].items()) for i in order]
        plt.figure(figsize=(9, 4), layout="constrained")
        plt.barh(labels, scores[order])
        plt.xlim(scores.min() - 0.02, 1)
        plt.xlabel("accuracy in cross-validation")
        plt.savefig(arguments.plot)


if __name__ == "__main__":
    main()
