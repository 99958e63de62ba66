"""Runs the classes of tests/step_cases.py with Keras; writes tests/traces/steps_keras.json, for tests/test_own_steps.py.

KERAS_BACKEND=torch python tools/dump_keras_steps.py
"""

import json
import pathlib
import sys

import keras

TESTS = pathlib.Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import step_cases  # noqa: E402

traces = {}
for name, case in step_cases.CASES.items():
    logs, models = case(keras, None)
    traces[name] = {
        "logs": {key: [float(value) for value in values] for key, values in logs.items()},
        "weights": [[weight.tolist() for weight in model.get_weights()] for model in models],
    }
path = TESTS / "traces" / "steps_keras.json"
path.write_text(json.dumps({"keras": keras.__version__, "cases": traces}) + "\n")
