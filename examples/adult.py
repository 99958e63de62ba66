"""Census income from a CSV with text and gaps to a saved model, which takes such tables.

    python examples/adult.py FOLDER

The folder holds adult-train.csv and adult-test.csv of the UCI repository, without a header. In ten lines of `main`; beside it
``python -m fastnet train`` does all of this without any.
"""

import pathlib
import sys

import pandas as pd

import fastnet as fn

NAMES = [
    "age", "workclass", "fnlwgt", "education", "education_num", "marital", "occupation", "relationship", "race", "sex", "capital_gain",
    "capital_loss", "hours", "country", "income",
]  # fmt: skip


def main(folder):
    """Returns the accuracy of the saved model on the test data."""
    train, test = (pd.read_csv(pathlib.Path(folder, f"adult-{part}.csv"), header=None, names=NAMES) for part in ("train", "test"))
    y, y_test = (table.pop("income").str.contains(">50K") for table in (train, test))
    encoder = fn.utils.TableEncoder().fit(train)
    hidden = fn.layers.Dropout(0.2)(fn.layers.Dense(64, "relu")(encoder.get_encoded_features()))
    model = fn.Model(list(encoder.get_inputs().values()), fn.layers.Dense(1, "sigmoid")(hidden), seed=0)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(train, y, batch_size=128, epochs=8, validation_split=0.1, verbose=0)
    model.save(path := pathlib.Path(folder, "adult.safetensors"))
    accuracy = fn.saving.load_model(path).evaluate(test, y_test, return_dict=True)["accuracy"]
    print(f"{accuracy:.4f} right of {len(test)}")
    return accuracy


if __name__ == "__main__":
    main(sys.argv[1])
