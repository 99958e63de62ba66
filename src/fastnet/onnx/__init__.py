"""ONNX: models as graphs of its operators, written by `fastnet.saving.to_onnx` and read by `fastnet.saving.from_onnx`."""
