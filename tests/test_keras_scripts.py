"""Scripts in the public interface of Keras run with nothing changed but `import keras`, and learn as they do under Keras.

tools/record_keras_curves.py has run those of tests/keras_scripts under Keras 3.15, with four seeds each. The numbers are others here, as
random numbers are, so that curves are compared with the range of those: each number of the mean of two seeds lies within it, widened on
both sides by twice its width, a tenth of the number, and what a table says where steps are few or follow chance.
"""

import json

import numpy as np
import pytest
import record_keras_curves
import round_trips

RECORDED = json.loads(record_keras_curves.TRACE.read_text())["curves"]
SCRIPTS = {path.stem: path for path in record_keras_curves.SCRIPTS}

#: More room: the distance of two means from each other, the steps of an episode.
MORE = {"adversarial_network": 0.15, "actor_critic": 0.6}

#: Those that do not run, and what stops them.
STOPPED: dict[str, str] = {}


def test_all_scripts_are_recorded():
    assert set(RECORDED) == set(SCRIPTS) and len(SCRIPTS) >= 16 and len(STOPPED) <= 2


def within(numbers, recorded, more):
    lowest, highest = np.min(recorded, axis=0), np.max(recorded, axis=0)
    room = 2 * (highest - lowest) + 0.1 * np.mean(recorded, axis=0) + more
    return (numbers >= lowest - room) & (numbers <= highest + room)


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in STOPPED])
@pytest.mark.filterwarnings("default")
def test_a_script_learns_as_under_keras(name, capsys):
    runs = [record_keras_curves.run(SCRIPTS[name], "fastnet", seed) for seed in (0, 1)]
    curve = np.mean([names["curve"] for names in runs], axis=0)
    recorded = RECORDED[name]
    fits = within(curve, recorded["curves"], MORE.get(name, 0.01))
    assert fits.all(), f"{curve.round(4).tolist()} is not within {recorded['curves']} at {np.flatnonzero(~fits).tolist()}"
    result = np.mean([names["result"] for names in runs])
    assert within(result, recorded["results"], MORE.get(name, 0.03)), f"{result} is not within {recorded['results']}"
    if name == "collaborative_filtering":  # made again without its class, its layers are in the order of their calls
        round_trips.made.clear()


def test_another_curve_is_not_within():
    """The comparison can fail: at half of the learning rate, or twice of it, curves are others."""
    source = SCRIPTS["schedules_and_callbacks"]
    for factor in (0.3, 3.0):
        text = source.read_text().replace("learning_rate=0.1,", f"learning_rate={0.1 * factor},").replace("np.allclose", "zip")
        names = {"__name__": "changed"}
        exec(compile(text.replace("import keras\n", "import fastnet as keras\n"), "changed", "exec"), names)
        recorded = np.array(RECORDED["schedules_and_callbacks"]["curves"])
        assert not within(np.array(names["curve"])[:8], recorded[:, :8], 0.01).all()
