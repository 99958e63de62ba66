"""Tunes a network on the census income data in a minute with Optuna, which ends trials that are not worth going on with.

    python examples/optuna_adult.py FOLDER

The folder holds adult-train.csv and adult-test.csv of the UCI repository, without a header.
"""

import pathlib
import sys
import warnings

import optuna
import pandas as pd
from sklearn.model_selection import train_test_split

import fastnet as fn

NAMES = [
    "age", "workclass", "fnlwgt", "education", "education_num", "marital", "occupation", "relationship", "race", "sex", "capital_gain",
    "capital_loss", "hours", "country", "income",
]  # fmt: skip


def load(path):
    """The rows as a frame, with text and gaps, and whether the income is above 50,000."""
    table = pd.read_csv(path, header=None, names=NAMES, skipinitialspace=True, na_values="?")
    return table.drop(columns="income"), table["income"].str.startswith(">50K").astype(int)


def main(folder, seconds=60, trials=None):
    """Returns the accuracies on the test data of the best trial and of the defaults, and the finished trials and all."""
    (x, y), (x_test, y_test) = (load(pathlib.Path(folder, f"adult-{part}.csv")) for part in ("train", "test"))
    parts = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)

    def make(**options):
        return fn.sklearn.MLPClassifier(early_stopping=True, n_iter_no_change=4, max_iter=40, random_state=0, **options)

    def objective(trial):
        estimator = make(
            hidden_layer_sizes=[trial.suggest_int("units", 16, 128, log=True)] * trial.suggest_int("layers", 1, 2),
            learning_rate_init=trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
            alpha=trial.suggest_float("alpha", 1e-4, 1.0, log=True),
            scaling=trial.suggest_categorical("scaling", ["standard", "robust", "piecewise"]),
        )
        pruning = fn.callbacks.OptunaPruning(trial, "val_score")
        estimator.fit(parts[0], parts[2], validation_data=(parts[1], parts[3]), callbacks=[pruning])
        return estimator.best_validation_score_

    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2)
    study = optuna.create_study(direction="maximize", pruner=pruner, sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, timeout=seconds, n_trials=trials)
    best = dict(study.best_params)
    best["hidden_layer_sizes"] = [best.pop("units")] * best.pop("layers")
    best["learning_rate_init"] = best.pop("learning_rate")
    found = make(**best).fit(x, y).score(x_test, y_test)
    complete = sum(trial.state.name == "COMPLETE" for trial in study.trials)
    print(f"{len(study.trials)} trials, {complete} to their ends; best: {study.best_params}")
    return found, make().fit(x, y).score(x_test, y_test), complete, len(study.trials)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print("accuracy on the test data: {:.2%}, with defaults {:.2%}".format(*main(sys.argv[1])[:2]))
