"""What layers outside of fastnet did, damaged in the file: the error names file and entry."""

import json
import re

import numpy as np
import pytest
from test_custom_layers import same_bits

import fastnet as fn

ops, Dense, Input, Layer = fn.ops, fn.layers.Dense, fn.Input, fn.layers.Layer


def damaged_file(path, change):
    """The file with its description changed."""
    tensors, metadata = fn.saving.read_tensors(path)
    description = json.loads(metadata["fastnet"])
    change(description)
    fn.saving.write_tensors(path, tensors, {**metadata, "fastnet": json.dumps(description)})


def step(number, **changes):
    def change(description):
        description["layers"][0]["traced"]["calls"][0]["steps"][number].update(changes)

    return change


def entry(*keys, value):
    def change(description):
        place = description["layers"][0]["traced"]
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def function_argument(number):
    def change(description):
        description["layers"][1]["config"]["arguments"] = [{"tensor": number}]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (function_argument(-1), "fn.ops.exp is tensor -1 of 1"),
        (function_argument(1), "fn.ops.exp is tensor 1 of 1"),
        (function_argument(True), "fn.ops.exp is tensor True of 1"),
        (step(2, inputs=[-1]), "layer 'own', saved as Damaged: step 2: input 0 is of -1"),
        (step(2, inputs=[99]), "step 2: input 0 is of 99"),
        (step(2, inputs=[{"mask": 0}]), "step 2: input 0 is of {'mask': 0}"),
        (step(2, inputs=[{"step": [-1], "output": 0}]), "step 2: input 0 refers to step \\[-1\\]"),
        (step(2, inputs=[{"step": [0, 5], "output": 0}]), "refers to step \\[0, 5\\]"),
        (step(2, inputs=[{"step": [0], "output": -1}]), "'output': -1}, which is not there"),
        (step(2, inputs=[{"step": [], "output": 0}]), "refers to no step"),
        (step(2, inputs=None), "step 2 is none"),
        (step(0, call=-1), "step 0 calls layer -1 of 1"),
        (step(0, call=7), "step 0 calls layer 7 of 1"),
        (step(2, op="nothing"), "there is no operation 'nothing'"),
        (step(2, attributes={"function": "nothing"}), "operation 'elementwise' has no function 'nothing'"),
        (step(2, attributes={"function": 3}), "operation 'elementwise' has no function '3'"),
        (step(2, attributes={"operand_0": "x"}), "no operand_0 'x'"),
        (step(2, owner=[4]), "step 2 is of layer \\[4\\]"),
        (step(2, owner=[-1]), "step 2 is of layer \\[-1\\]"),
        (step(2, weights=["nothing"]), "step 2: layer 'own' has no weight 'nothing'"),
        (step(2, weights=[]), "step 2: zip|step 2"),
        (step(2, like=[0]), "step 2 is to have the random numbers of step \\[0\\]"),
        (entry("weights", 0, "shape", value=[2**60]), "weight 'gain' of layer 'own' has no shape but"),
        (entry("weights", 0, "shape", value=[2**40]), "it describes [0-9]+ numbers|constant|gain has shape"),
        (entry("weights", 0, "engine_shape", value=[7]), "weight 'gain' of layer 'own' has shapes"),
        (entry("calls", 0, "outputs", value=[9]), "output 0 is of 9"),
        (entry("calls", 0, "masks", value=[]), "outputs of no kind"),
        (entry("calls", 0, "signature", value="x"), "was not called on shapes"),
    ],
)  # fmt: skip
def test_damaged_files_name_file_and_entry(change, words, tmp_path):
    class Damaged(Layer):
        def build(self, input_shape):
            self.gain = self.add_weight((input_shape[-1],), "ones", name="gain")
            self.dense = Dense(3)

        def call(self, x):
            return ops.sin(self.dense(x)) * self.gain

    x = Input((3,))
    model = fn.Model(x, ops.exp(Damaged(name="own")(x)), seed=0)
    model.save(tmp_path / "m")
    damaged_file(tmp_path / "m", lambda description: None)
    same_bits(fn.load_model(tmp_path / "m").predict(np.ones((2, 3))), model.predict(np.ones((2, 3))))
    damaged_file(tmp_path / "m", change)
    with pytest.raises(ValueError, match=f"(?s){re.escape(str(tmp_path / 'm'))}.*({words})"):
        fn.load_model(tmp_path / "m")


def test_layers_that_call_others_very_often_are_refused(tmp_path):
    """Forty layers, each of which calls the one within it twice: a million million operations, of a small file."""
    inner = {"class_name": "Dense", "config": {"units": 2, "name": "inner"}}
    for depth in range(40):
        steps = [{"call": 0, "inputs": [0]}, {"call": 0, "inputs": [1]}]
        call = {
            "signature": "[[[2]], [false], [0], {}]",
            "layers": [],
            "steps": steps,
            "outputs": [2],
            "masks": [None],
            "list": False,
        }
        traced = {"weights": [], "parts": [{"name": "inner", "layer": inner}], "calls": [call]}
        inner = {"class_name": "Own", "config": {"name": f"own_{depth}"}, "needs": ["Own"], "traced": traced}
    model = fn.Sequential([Input((2,)), Dense(2)], seed=0)
    model.save(tmp_path / "m")
    damaged_file(tmp_path / "m", lambda description: description.update(layers=[inner]))
    with pytest.raises(ValueError, match="more operations than its size allows"):
        fn.load_model(tmp_path / "m")
