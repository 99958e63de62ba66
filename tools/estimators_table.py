"""Writes docs/accuracy.md: the estimators on ten tables, beside scikit-learn's networks and gradient boosting.

    python tools/estimators_table.py FOLDER

FOLDER holds adult-train.csv, adult-test.csv, winequality-red.csv and winequality-white.csv of the UCI repository, without headers.
Adult is tested on its own test set; of the others the mean over five parts is taken, each predicted from the other four.
"""

import pathlib
import sys
import warnings

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import fastnet as fn

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "accuracy.md"
ADULT = [
    "age", "workclass", "fnlwgt", "education", "education_num", "marital", "occupation", "relationship", "race", "sex", "capital_gain",
    "capital_loss", "hours", "country", "income",
]  # fmt: skip

TEXT = """# Accuracy on tables

Each estimator with its defaults, `random_state=0`, and the same rows to train and to test with: accuracy of classes, R2 of numbers. The
network of scikit-learn has a `StandardScaler` before it, and for adult a `OneHotEncoder`; gradient boosting is
`HistGradientBoosting` with `categorical_features="from_dtype"`. The last two columns are
fastnet with `n_members=8`, and with `scaling="piecewise"` besides, which frames such as adult have by default. Fastnet takes frames as they are.
The page is written by `tools/estimators_table.py`.

"""


def load_adult(folder):
    """(X, y) to train with, and to test with: frames with text and gaps."""
    for part in ("train", "test"):
        table = pd.read_csv(folder / f"adult-{part}.csv", header=None, names=ADULT, skipinitialspace=True, na_values="?")
        yield table.drop(columns="income"), table["income"].str.startswith(">50K").to_numpy().astype(int)


def tables(folder):
    """(name, whether there are classes, [(X, y to train with, X, y to test with)])."""
    (x, y), test = load_adult(folder)
    yield "adult", True, [(x, y, *test)]
    arrays = []
    for color in ("red", "white"):
        table = np.loadtxt(folder / f"winequality-{color}.csv", delimiter=",")
        arrays += [
            (f"{color} wine, quality as {what}", table[:, :-1], table[:, -1], what == "classes")
            for what in ("classes", "a number")
        ]
    for name in ("breast_cancer", "digits", "iris", "wine"):
        arrays.append((name.replace("_", " "), *getattr(datasets, f"load_{name}")(return_X_y=True), True))
    arrays.append(("diabetes", *datasets.load_diabetes(return_X_y=True), False))
    for name, x, y, classes in arrays:
        folds = (StratifiedKFold if classes else KFold)(5, shuffle=True, random_state=0).split(x, y)
        yield name, classes, [(x[a], y[a], x[b], y[b]) for a, b in folds]


def theirs(classes):
    network = (MLPClassifier if classes else MLPRegressor)(random_state=0)
    text = make_column_selector(dtype_exclude="number")
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), text), remainder=StandardScaler()
    )
    return {"frame": make_pipeline(encoder, network), "array": make_pipeline(StandardScaler(), network)}


def boosting(classes):
    model = (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(
        categorical_features="from_dtype", random_state=0
    )
    return {"frame": model, "array": model}


def ours(classes, **options):
    network = (fn.sklearn.MLPClassifier if classes else fn.sklearn.MLPRegressor)(random_state=0, **options)
    return {"frame": network, "array": network}


COLUMNS = {
    "scikit-learn's network": theirs,
    "gradient boosting": boosting,
    "fastnet": ours,
    "8 members": lambda classes: ours(classes, n_members=8),
    "8 members, piecewise": lambda classes: ours(classes, n_members=8, scaling="piecewise"),
}


def score(make, classes, folds):
    found = []
    for x, y, x_test, y_test in folds:
        estimator = make(classes)["frame" if hasattr(x, "columns") else "array"]
        if isinstance(estimator, HistGradientBoostingClassifier) and hasattr(x, "columns"):  # which takes no text
            kinds = {name: pd.CategoricalDtype(sorted(x[name].dropna().unique())) for name in x.select_dtypes(exclude="number")}
            x, x_test = x.astype(kinds), x_test.astype(kinds)
        found.append(estimator.fit(x, y).score(x_test, y_test))
    return float(np.mean(found))


def compare(columns):
    """A sentence for each column of fastnet."""
    network, boosted, *ours = columns
    return "\n".join(
        f"- {name}: at least scikit-learn's network on {(one >= network).sum()} of {len(one)} tables, within 0.01 of gradient boosting or "
        f"better on {(one >= boosted - 0.01).sum()}"
        for name, one in zip([*COLUMNS][2:], ours)
    )


def main(folder):
    warnings.simplefilter("ignore")
    lines = [f"| table | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    rows = []
    for name, classes, folds in tables(pathlib.Path(folder)):
        scores = [score(make, classes, folds) for make in COLUMNS.values()]
        rows.append(scores)
        lines.append(f"| {name} | {' | '.join(f'{one:.3f}' for one in scores)} |")
        print(lines[-1], flush=True)
    says = compare(np.round(rows, 3).T)
    PAGE.write_text(TEXT + "\n".join(lines) + f"\n\n{says}\n", encoding="utf-8")
    print(says)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
