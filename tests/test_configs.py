"""Everything described by arguments can be written down and made again: get_config, from_config, get, repr."""

import json

import numpy as np
import pytest
from networks import rows

import fastnet as fn
from fastnet import (
    _config,
    _core,
    _sparse_rows,
    activations,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
)
from fastnet.layers._changing import Changing

#: kind -> (module, base class, function that finds by name, table of names)
KINDS = {
    "initializer": (initializers, initializers.Initializer, initializers.INITIALIZERS),
    "constraint": (constraints, constraints.Constraint, constraints.CONSTRAINTS),
    "layer": (layers, layers.Layer, None),
    "loss": (losses, losses.Loss, losses.LOSSES),
    "metric": (metrics, metrics.Metric, metrics.METRICS),
    "optimizer": (optimizers, optimizers.Optimizer, optimizers.OPTIMIZERS),
    "regularizer": (regularizers, regularizers.Regularizer, regularizers.REGULARIZERS),
}
#: What cannot be left out.
REQUIRED = {
    **{
        cls: {"factor": 0.25}
        for cls in (layers.RandomColorDegeneration, layers.RandomHue, layers.RandomSaturation, layers.RandomSharpness)
    },
    layers.RandomCrop: {"height": 1, "width": 2},
    layers.RandomPosterization: {"factor": 4},
    layers.CategoryEncoding: {"num_tokens": 4},
    layers.Discretization: {"bin_boundaries": [0.0, 1.0]},
    layers.HashedCrossing: {"num_bins": 5},
    layers.Hashing: {"num_bins": 5},
    layers.IntegerLookup: {"vocabulary": [-1, 1, 2]},
    layers.Pipeline: {"layers": [layers.Dense(3)]},
    layers.StringLookup: {"vocabulary": ["[UNK]", "a", "b"]},
    layers.TextVectorization: {"vocabulary": ["", "[UNK]", "a", "b"]},
    metrics.IoU: {"num_classes": 3, "target_class_ids": [0]},
    metrics.MeanIoU: {"num_classes": 3},
    metrics.OneHotIoU: {"num_classes": 3, "target_class_ids": [0]},
    metrics.OneHotMeanIoU: {"num_classes": 3},
    metrics.PrecisionAtRecall: {"recall": 0.5},
    metrics.RecallAtPrecision: {"precision": 0.5},
    metrics.SensitivityAtSpecificity: {"specificity": 0.5},
    metrics.SpecificityAtSensitivity: {"sensitivity": 0.5},
    layers.AdaptiveAveragePooling1D: {"output_size": 2},
    layers.AdaptiveAveragePooling2D: {"output_size": (2, 2)},
    layers.AdaptiveAveragePooling3D: {"output_size": (2, 1, 2)},
    layers.AdaptiveMaxPooling1D: {"output_size": 2},
    layers.AdaptiveMaxPooling2D: {"output_size": (1, 2)},
    layers.AdaptiveMaxPooling3D: {"output_size": (1, 2, 2)},
    layers.AveragePooling3D: {"pool_size": (1, 2, 1)},
    layers.CenterCrop: {"height": 1, "width": 2},
    layers.Conv3D: {"filters": 3, "kernel_size": (1, 2, 1)},
    layers.Conv3DTranspose: {"filters": 3, "kernel_size": (1, 2, 1)},
    layers.ConvLSTM1D: {"filters": 3, "kernel_size": 2},
    layers.ConvLSTM2D: {"filters": 3, "kernel_size": (2, 1)},
    layers.ConvLSTM3D: {"filters": 3, "kernel_size": (2, 1, 1)},
    layers.Dot: {"axes": -1},
    layers.GRUCell: {"units": 3},
    layers.LSTMCell: {"units": 3},
    layers.RNN: {"cell": layers.GRUCell(3)},
    layers.SimpleRNNCell: {"units": 3},
    layers.StackedRNNCells: {"cells": [layers.GRUCell(3)]},
    layers.EinsumDense: {"equation": "ab,bc->ac", "output_shape": (3,)},
    layers.Resizing: {"height": 4, "width": 5},
    layers.ReversibleEmbedding: {"input_dim": 7, "output_dim": 3},
    layers.SpatialDropout3D: {"rate": 0.5},
    layers.Activation: {"activation": "relu"},
    layers.AlphaDropout: {"rate": 0.5},
    layers.AveragePooling1D: {"pool_size": 3},
    layers.AveragePooling2D: {"pool_size": (1, 2)},
    layers.Conv1D: {"filters": 3, "kernel_size": 2},
    layers.Conv1DTranspose: {"filters": 3, "kernel_size": 2},
    layers.Conv2D: {"filters": 3, "kernel_size": (2, 1)},
    layers.Conv2DTranspose: {"filters": 3, "kernel_size": (2, 1)},
    layers.Bidirectional: {"layer": layers.GRU(3)},
    layers.Dense: {"units": 3},
    layers.DepthwiseConv1D: {"kernel_size": 2},
    layers.DepthwiseConv2D: {"kernel_size": (2, 1)},
    layers.Dropout: {"rate": 0.5},
    layers.Embedding: {"input_dim": 7, "output_dim": 3},
    layers.GRU: {"units": 3},
    layers.GaussianDropout: {"rate": 0.5},
    layers.GaussianNoise: {"stddev": 0.5},
    layers.GroupNormalization: {"groups": 3},
    layers.GroupQueryAttention: {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
    layers.MultiHeadAttention: {"num_heads": 2, "key_dim": 3},
    layers.Permute: {"dims": (1,)},
    layers.RandomBrightness: {"factor": 0.25},
    layers.RandomContrast: {"factor": 0.25},
    layers.RandomRotation: {"factor": 0.25},
    layers.RandomTranslation: {"height_factor": 0.25, "width_factor": 0.5},
    layers.RandomZoom: {"height_factor": 0.25},
    layers.RepeatVector: {"n": 2},
    layers.MinMaxScaling: {"data_min": -2.0, "data_max": 3.0},
    layers.Normalization: {"mean": 0.5, "variance": 2.0},
    layers.PositionEmbedding: {"sequence_length": 5},
    layers.Rescaling: {"scale": 0.5},
    layers.SeparableConv1D: {"filters": 3, "kernel_size": 2},
    layers.SeparableConv2D: {"filters": 3, "kernel_size": (2, 1)},
    layers.LSTM: {"units": 3},
    layers.SimpleRNN: {"units": 3},
    layers.SpatialDropout1D: {"rate": 0.5},
    layers.SpatialDropout2D: {"rate": 0.5},
    layers.TokenAndPositionEmbedding: {"vocabulary_size": 6, "sequence_length": 6, "embedding_dim": 4},
    layers.TransformerBlock: {"intermediate_dim": 5, "num_heads": 2},
    layers.TimeDistributed: {"layer": layers.Dense(3)},
    layers.TargetScaling: {"mean": 0.5, "variance": 2.0},
    layers.Reshape: {"target_shape": (2, -1)},
}
#: Values other than the defaults, where they are not numbers, or not any number will do.
OTHERS = {
    "alpha_constraint": constraints.NonNeg(),
    "alpha_initializer": initializers.Constant(0.5),
    "alpha_regularizer": regularizers.L2(0.5),
    "activity_regularizer": regularizers.L2(0.5),
    "activation": activations.ActivationFunction("leaky_relu", 0.1),
    "attention_axes": 1,
    "average": "weighted",
    "axis": 2,
    "dtype": "float64",
    "encoding": "latin-1",
    "mask_token": "",
    "max_tokens": 6,
    "mask_value": 7,
    "oov_token": "?",
    "output_sequence_length": 4,
    "split": "character",
    "standardize": "lower",
    "beta_constraint": constraints.NonNeg(),
    "beta_initializer": initializers.RandomNormal(seed=1),
    "beta_regularizer": regularizers.L1(0.5),
    "bias_constraint": constraints.MaxNorm(3.0),
    "bias_initializer": initializers.Constant([1.0, 2.0, 3.0]),
    "bias_regularizer": regularizers.L1(0.5),
    "class_aggregation": None,
    "curve": "PR",
    "embeddings_constraint": constraints.NonNeg(),
    "embeddings_initializer": initializers.RandomNormal(seed=1),
    "embeddings_regularizer": regularizers.L2(0.5),
    "depthwise_constraint": constraints.MaxNorm(1.0, axis=1),
    "depthwise_initializer": initializers.VarianceScaling(3.0, "fan_out", "uniform", seed=4),
    "depthwise_regularizer": regularizers.L1L2(0.5, 0.25),
    "distribution": "untruncated_normal",
    "data_format": "channels_last",
    "etas": (0.25, 1.5),
    "exclude_layers": ("dense", "head$"),
    "exclude_from_weight_decay": ("bias", "scale"),
    "flash_attention": True,
    "feature_axis": 2,
    "feature_range": (-1.0, 1.0),
    "fill_mode": "wrap",
    "gamma_constraint": constraints.MinMaxNorm(0.5, 1.5, 0.75),
    "gamma_initializer": initializers.RandomNormal(seed=1),
    "gamma_regularizer": regularizers.L2(0.5),
    "groups": 2,
    "input_axes": (0,),
    "input_dim": 9,
    "initializer": initializers.RandomNormal(seed=1),
    "interpolation": "nearest",
    "kernel_constraint": constraints.MaxNorm(1.0, axis=1),
    "kernel_initializer": initializers.VarianceScaling(3.0, "fan_out", "uniform", seed=4),
    "kernel_regularizer": regularizers.L1L2(0.5, 0.25),
    "learning_rate_multipliers": {"dense": 0.5, "dense_1/kernel": 2.0},
    "mode": "fan_avg",
    "moving_mean_initializer": initializers.RandomNormal(seed=1),
    "moving_variance_initializer": initializers.Constant(2.0),
    "name": "mine",
    "noise_shape": (None, 1, 6),
    "output_axes": (1, 2),
    "output_dim": 5,
    "output_shape": (2, 5),
    "padding": "same",
    "pointwise_constraint": constraints.MaxNorm(2.0, axis=1),
    "pointwise_initializer": initializers.VarianceScaling(2.0, "fan_in", "uniform", seed=5),
    "pointwise_regularizer": regularizers.L2(0.25),
    "reduction": "sum",
    "recurrent_activation": activations.ActivationFunction("elu", 0.5),
    "recurrent_constraint": constraints.MaxNorm(0.5),
    "recurrent_initializer": initializers.RandomNormal(seed=1),
    "recurrent_regularizer": regularizers.L2(0.5),
    "seed": 7,
    "sequence_axis": -2,
    "sliding_window": 2,
    "step_sizes": (1e-5, 10.0),
    "summation_method": "majoring",
    "target_shape": (3, 1),
    "threshold": 0.25,
    "value_dim": 5,
}
NUMBERS_OR_NONE = {"clipnorm", "clipvalue", "ema_overwrite_frequency", "global_clipnorm", "gradient_accumulation_steps",
                   "lookahead_steps", "swa_start"}  # fmt: skip


def classes_of(kind):
    module, base, _ = KINDS[kind]
    found = [getattr(module, name) for name in module.__all__]
    # A Lambda is written down as what its function did when it was called: tests/test_mathematics.py.
    return [
        cls
        for cls in found
        if isinstance(cls, type)
        and issubclass(cls, base)
        and cls not in (base, layers.Lambda, layers.Wrapper, metrics.MeanMetricWrapper)
    ]


def is_attention(cls):
    return cls.__module__ == layers.MultiHeadAttention.__module__ or cls is layers.AdditiveAttention


def is_merge(cls):
    """Whether it is called on two tensors of a shape."""
    return cls is layers.HashedCrossing or cls.__module__ == layers.Add.__module__ or is_attention(cls)


#: Beside those of attention and those named 1D.
OF_SEQUENCES = {layers.PositionEmbedding, layers.RotaryEmbedding, layers.SinePositionEncoding, layers.TransformerBlock}
OF_TOKENS = {
    layers.HashedCrossing,
    layers.IntegerLookup,
    layers.Embedding,
    layers.ReversibleEmbedding,
    layers.TokenAndPositionEmbedding,
}


def is_recurrent(cls):
    return cls.__module__ in (layers.LSTM.__module__, layers.Bidirectional.__module__)


def input_for(cls, changed):
    """An input that the layer takes with this argument changed."""
    if cls is layers.HashedCrossing or cls is layers.TextVectorization:
        return fn.Input((1,), dtype="string" if cls is layers.TextVectorization else None)
    if cls is layers.StringLookup:
        return fn.Input((6,), dtype="string")
    if cls in CONVOLVING:
        return fn.Input((3, 4, 3, 3, 6)[: CONVOLVING.index(cls) + 2] + (6,))
    if cls in CELLS or cls is layers.StackedRNNCells:
        return fn.Input((6,))
    if is_recurrent(cls) or cls is layers.RNN or cls in (layers.Masking, layers.TimeDistributed):
        return fn.Input((3, 6), batch_size=4)
    if "3D" in cls.__name__:
        return fn.Input((4, 3, 3, 6))
    if "2D" in cls.__name__ or cls in (layers.CenterCrop, layers.Resizing):
        return fn.Input((2, 3, 6))
    if cls in OF_SEQUENCES:
        return fn.Input((3, 6))
    if issubclass(cls, Changing):
        return fn.Input((4, 5, 3))
    if cls.__module__ == layers.RandomFlip.__module__:
        return fn.Input((2, 3, 6))
    if "1D" in cls.__name__ or is_attention(cls) or changed in ("axis", "dims", "noise_shape"):
        return fn.Input((3, 6))
    return fn.Input((3,) if changed == "target_shape" else (6,))


def called(layer, tensor):
    """The output of a layer on an input."""
    cls = type(layer)
    if cls in CELLS:
        return layer(tensor, [tensor[:, : layer.units]] * len(layer.states))[0]
    if cls is layers.StackedRNNCells:
        states = [[tensor[:, : cell.units]] * len(cell.states) for cell in layer.cells]
        return layer(tensor, states)[0]
    return layer([tensor, tensor] if is_merge(cls) else tensor)


def samples_for(cls, shape):
    """Four samples that the layer takes."""
    random = np.random.default_rng(0)
    if cls in (layers.StringLookup, layers.TextVectorization):
        return random.choice(["a", "b", "c", "A, b c!"], (4, *shape))
    return random.integers(0, 5, (4, *shape)) if cls in OF_TOKENS else random.normal(size=(4, *shape))


CLASSES = [(kind, cls) for kind in KINDS for cls in classes_of(kind)]
everything = pytest.mark.parametrize("kind, cls", CLASSES, ids=[f"{kind} {cls.__name__}" for kind, cls in CLASSES])


CELLS = (layers.GRUCell, layers.LSTMCell, layers.SimpleRNNCell)
CONVOLVING = (layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)

LOOKUPS = (layers.IntegerLookup, layers.StringLookup, layers.TextVectorization)

#: Arguments that take one value so far.
ONE_VALUE = {
    (layers.Attention, "score_mode"),
    (layers.Resizing, "fill_mode"),
    (losses.SparseCategoricalCrossentropy, "ignore_class"),
    *((cls, "class_id") for cls in metrics.METRICS.values() if "At" in cls.__name__),
    *(
        (cls, "sparse")
        for cls in (layers.CategoryEncoding, layers.Discretization, layers.Hashing, layers.HashedCrossing, *LOOKUPS)
    ),
    *((cls, name) for cls in LOOKUPS for name in ("idf_weights", "pad_to_max_tokens")),  # they need others: tests/test_lookup.py
    (layers.IntegerLookup, "vocabulary_dtype"),
    (layers.IntegerLookup, "salt"),
    (layers.StringLookup, "invert"),  # what comes out is text, and no output of a model
    (layers.TextVectorization, "ragged"),
    (layers.TextVectorization, "output_mode"),  # with others than indices "" is no token
    (layers.Discretization, "num_bins"),
    *((cls, "stateful") for cls in (layers.RNN, *CONVOLVING)),
    *((cls, "axis") for cls in losses.LOSSES.values() if cls.__name__.endswith("Crossentropy")),
}


#: Where the name of the argument alone does not tell.
OTHERS_OF = {
    **{(getattr(layers, f"Adaptive{kind}Pooling2D"), "output_size"): (1, 3) for kind in ("Average", "Max")},
    **{(getattr(layers, f"Adaptive{kind}Pooling3D"), "output_size"): (1, 3, 1) for kind in ("Average", "Max")},
    **{(cls, "target_class_ids"): [1] for cls in (metrics.BinaryIoU, metrics.IoU, metrics.OneHotIoU)},
    (layers.CategoryEncoding, "output_mode"): "count",
    (layers.HashedCrossing, "output_mode"): "one_hot",
    (layers.IntegerLookup, "mask_token"): 3,
    (layers.IntegerLookup, "oov_method"): "farmhash",
    (layers.IntegerLookup, "oov_token"): -2,
    (layers.IntegerLookup, "vocabulary"): [-1, 3, 1],
    (layers.StringLookup, "vocabulary"): ["[UNK]", "b", "a"],
    (layers.TextVectorization, "ngrams"): [1, 2],
    (layers.TextVectorization, "vocabulary"): ["", "[UNK]", "b", "a"],
    **{(cls, "output_mode"): "count" for cls in (layers.Hashing, *LOOKUPS[:2])},
    **{(cls, "salt"): [1, 2] for cls in (layers.Hashing, layers.StringLookup)},
    (layers.Discretization, "bin_boundaries"): [0.5, 1.5, 2.5],
    (layers.Discretization, "output_mode"): "one_hot",
    (layers.Pipeline, "layers"): [layers.Dense(2), layers.Dense(4)],
    (layers.RNN, "cell"): layers.LSTMCell(2),
    (layers.StackedRNNCells, "cells"): [layers.LSTMCell(2), layers.GRUCell(3)],
    (layers.AveragePooling3D, "pool_size"): (2, 1, 1),
    (layers.AveragePooling3D, "strides"): (2, 1, 1),
    (layers.CenterCrop, "height"): 2,
    (layers.CenterCrop, "width"): 3,
    (layers.Cropping3D, "cropping"): ((1, 0), (0, 2), (1, 0)),
    (layers.Dot, "axes"): (1, 1),
    (layers.EinsumDense, "bias_axes"): "c",
    (layers.EinsumDense, "equation"): "...b,bc->...c",
    (layers.EinsumDense, "output_shape"): (4,),
    (layers.MaxPooling3D, "pool_size"): (1, 2, 1),
    (layers.MaxPooling3D, "strides"): (1, 1, 1),
    (layers.PReLU, "shared_axes"): [1],
    (layers.Resizing, "fill_mode"): "constant",
    (layers.Resizing, "interpolation"): "bicubic",
    (layers.Softmax, "axis"): 1,
    (layers.UnitNormalization, "axis"): 1,
    (layers.UpSampling3D, "size"): (1, 3, 1),
    (layers.ZeroPadding3D, "padding"): ((1, 0), (0, 2), (1, 1)),
    (layers.AveragePooling1D, "pool_size"): 2,
    (layers.AveragePooling1D, "strides"): 1,
    (layers.AveragePooling2D, "pool_size"): (2, 1),
    (layers.AveragePooling2D, "strides"): (2, 1),
    (layers.MaxPooling1D, "pool_size"): 3,
    (layers.MaxPooling1D, "strides"): 1,
    (layers.MaxPooling2D, "pool_size"): (1, 2),
    (layers.MaxPooling2D, "strides"): (1, 3),
    (layers.GroupQueryAttention, "bias_initializer"): initializers.Constant(0.5),
    (layers.MultiHeadAttention, "bias_initializer"): initializers.Constant(0.5),
    (layers.Cropping1D, "cropping"): (0, 2),
    (layers.Cropping2D, "cropping"): ((1, 0), (0, 2)),
    (layers.Permute, "dims"): (2, 1),
    (layers.RandomBrightness, "factor"): (-0.5, 0.25),
    (layers.RandomContrast, "factor"): (0.5, 0.25),
    (layers.RandomErasing, "scale"): (0.25, 0.5),
    (layers.RandomFlip, "mode"): "vertical",
    (layers.RandomRotation, "factor"): (-0.5, 0.25),
    (layers.RepeatVector, "n"): 3,
    (layers.UpSampling2D, "interpolation"): "bilinear",
    (layers.UpSampling2D, "size"): (1, 3),
    (layers.ZeroPadding1D, "padding"): (0, 2),
    (layers.ZeroPadding2D, "padding"): ((1, 0), (0, 2)),
    (layers.TransformerBlock, "bias_initializer"): initializers.Constant(0.5),
    (layers.TransformerBlock, "num_heads"): 3,
    (regularizers.OrthogonalRegularizer, "mode"): "columns",
    (layers.Bidirectional, "backward_layer"): layers.LSTM(3, go_backwards=True),
    (layers.Bidirectional, "layer"): layers.LSTM(4, return_sequences=True),
    (layers.Bidirectional, "merge_mode"): "ave",
    (layers.TimeDistributed, "layer"): layers.Dense(4, "tanh"),
    **{
        (cls, "bias_initializer"): initializers.Constant(0.5)
        for cls in (layers.GRU, layers.LSTM, layers.SimpleRNN, *CELLS, *CONVOLVING)
    },
}
_WINDOW_1D = {"filters": 6, "kernel_size": 1, "strides": 2, "dilation_rate": 2, "groups": 3}
_WINDOW_2D = {"filters": 6, "kernel_size": (1, 2), "strides": (2, 1), "dilation_rate": (1, 2), "groups": 3}
_WINDOW_3D = {"filters": 6, "kernel_size": (1, 2, 2), "strides": (2, 1, 1), "dilation_rate": (1, 2, 1), "groups": 3}
for cls, others in {
    layers.Conv1D: _WINDOW_1D,
    layers.Conv1DTranspose: {**_WINDOW_1D, "output_padding": 0},
    layers.Conv2D: _WINDOW_2D,
    layers.Conv2DTranspose: {**_WINDOW_2D, "output_padding": (0, 0)},
    layers.Conv3D: _WINDOW_3D,
    layers.ConvLSTM1D: _WINDOW_1D,
    layers.ConvLSTM2D: _WINDOW_2D,
    layers.ConvLSTM3D: _WINDOW_3D,
    layers.Conv3DTranspose: {**_WINDOW_3D, "output_padding": (0, 0, 0)},
    layers.DepthwiseConv1D: {**_WINDOW_1D, "bias_initializer": initializers.Constant(2.0)},
    layers.DepthwiseConv2D: {**_WINDOW_2D, "bias_initializer": initializers.Constant(2.0)},
    layers.SeparableConv1D: _WINDOW_1D,
    layers.SeparableConv2D: _WINDOW_2D,
}.items():
    OTHERS_OF.update({(cls, name): value for name, value in others.items()})


def other_value(cls, name, default):
    """A value of an argument that is not its default."""
    if (cls, name) in OTHERS_OF:
        return OTHERS_OF[cls, name]
    if name in OTHERS:
        return OTHERS[name]
    if name in NUMBERS_OR_NONE:
        return 4
    if isinstance(REQUIRED.get(cls, {}).get(name), int):
        return REQUIRED[cls][name] + 2
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 2
    if isinstance(default, float):
        return default / 2 or 0.125
    return 0.125  # where None or nothing is the default


def variants(cls):
    """(arguments, name of the one changed or None)"""
    required = REQUIRED.get(cls, {})
    yield {key: unused(value) for key, value in required.items()}, None
    for name, default in cls._arguments().items():
        if (name == "lazy" and not cls.lazy_form) or (cls, name) in ONE_VALUE:
            continue
        arguments = {**required, name: other_value(cls, name, default)}
        yield {key: unused(value) for key, value in arguments.items()}, name


def unused(value):
    """A layer that is an argument must not have been a part of another one."""
    if isinstance(value, list):
        return [unused(item) for item in value]
    return type(value).from_config(value.get_config()) if isinstance(value, layers.Layer) else value


@everything
def test_what_was_written_down_is_made_again(kind, cls):
    for arguments, changed in variants(cls):
        original = cls(**arguments)
        config = original.get_config()
        assert set(config) == set(cls._arguments())
        read = json.loads(json.dumps(config))
        again = cls.from_config(read)
        assert type(again) is cls and again.get_config() == config, changed
        if kind != "layer":  # two layers of the same arguments are two layers
            assert again == original and hash(again) == hash(original), changed
        if changed is not None:
            assert config[changed] == _config.to_plain(arguments[changed]), changed
            default = cls(**REQUIRED.get(cls, {}))
            assert default.get_config() != config, changed
            assert kind == "layer" or default != original, changed
            assert f"{changed}=" in repr(original), changed


@everything
def test_defaults_are_left_out_of_the_representation(kind, cls):
    required = REQUIRED.get(cls, {})
    given = ", ".join(f"{name}={value!r}" if name == "equation" else f"{name}={value}" for name, value in required.items())
    assert repr(cls(**required)) == f"{cls.__name__}({given})"


@everything
def test_by_name_and_by_configuration(kind, cls):
    module, base, table = KINDS[kind]
    if table is None:
        return
    default = cls(**REQUIRED.get(cls, {}))
    if cls not in REQUIRED:
        assert module.get(cls.__name__) == module.get(cls) == default
    assert module.get(default) is default
    assert module.get(json.loads(json.dumps(_config.serialize(default)))) == default
    assert cls in table.values()
    with pytest.raises(ValueError, match=f"unknown {kind}"):
        module.get(f"no_{cls.__name__}_at_all_zzz")


@pytest.mark.parametrize("kind", [kind for kind, (_, _, table) in KINDS.items() if table])
def test_a_misspelt_name_is_answered_with_the_nearest(kind):
    module, _, table = KINDS[kind]
    for name in table:
        if len(name) < 5:
            continue
        misspelt = name[:-2] + name[-1] + name[-2] if name[-1] != name[-2] else name + "x"
        with pytest.raises(ValueError, match=f"unknown {kind} {misspelt!r}; did you mean '") as caught:
            module.get(misspelt)
        assert all(known in str(caught.value) for known in table)
    for wrong in (3.5, object(), [], print if kind not in ("loss", "metric", "initializer", "constraint", "regularizer") else 1):
        with pytest.raises(TypeError):
            module.get(wrong)
    with pytest.raises(ValueError, match="class_name"):
        module.get({"name": "x"})


@pytest.mark.parametrize("cls", classes_of("layer"), ids=lambda cls: cls.__name__)
def test_a_layer_made_again_computes_the_same(cls):
    for arguments, changed in variants(cls):
        original = cls(**arguments)
        again = cls.from_config(json.loads(json.dumps(original.get_config())))
        outputs = []
        for layer in (original, again):
            tensor = input_for(cls, changed)
            x = samples_for(cls, tensor.sample_shape)
            model = fn.Model(tensor, called(layer, tensor), seed=3, dtype="float64")
            outputs.append(model.predict(x))
        assert np.array_equal(*outputs), changed


@pytest.mark.parametrize("activation", [*activations.ACTIVATIONS, activations.ActivationFunction("elu", 0.5)], ids=str)
def test_activations_can_be_written_down(activation):
    function = activations.get(activation)
    layer = layers.Dense(3, activation)
    config = json.loads(json.dumps(layer.get_config()))
    assert layers.Dense.from_config(config).activation == function
    assert activations.get(json.loads(json.dumps(_config.serialize(function)))) == function
    assert activations.get(function) is function


def test_every_operation_of_the_engine_is_reached_by_a_layer_or_a_function():
    reached = set()
    for cls in classes_of("layer"):
        for arguments, changed in variants(cls):
            tensor = input_for(cls, changed)
            layer = cls(**arguments)
            output = called(layer, tensor)
            reached |= {operation.op for operation in fn.Model(tensor, output)._graph.operations}
    reached |= {fn.layers.Dense(2, name)(fn.Input((3,))).operation.op for name in activations.ACTIVATIONS}
    angles = regularizers.OrthogonalRegularizer()
    reached.add(fn.layers.Dense(2, kernel_regularizer=angles)(fn.Input((3,))).operation.op)
    masked = fn.layers.Masking()(fn.Input((4, 3)))
    reached.add(fn.layers.GlobalAveragePooling1D()(masked).operation.op)
    reached.add(fn.layers.Multiply()([masked, masked]).operation.op)
    x, ops = fn.Input((3, 3)), fn.ops
    formulas = [2 * x, ops.max(x, axis=1), x @ x, x[:, 1:], ops.einsum("bij,kj->bik", x, np.eye(3)), ops.cumsum(x, axis=1)]
    formulas += [ops.argsort(x), ops.take(x, [0, 2], axis=1), fn.gradients(ops.take(x, [0, 2], axis=1), x)]
    formulas.append(fn.layers.Lambda(lambda x: x + fn.random.normal(ops.shape(x)))(x))
    reached |= {operation.op for operation in fn.Model(x, formulas)._graph.operations}
    of_sparse_rows = {"inputs": [((9,), None, None)], "nodes": [("dense", "dense", [0], [0, 1], {"units": 2})]}
    reached |= {op for op, *_ in _sparse_rows.in_pairs(of_sparse_rows, [2])["nodes"]}
    assert reached == set(_core.registry("ops"))


def test_two_layers_of_the_same_arguments_are_two_layers():
    a, b = layers.Dense(3), layers.Dense(3)
    assert a != b and a.get_config() == b.get_config() and len({a, b}) == 2


def test_the_name_a_layer_was_given_is_part_of_its_configuration():
    model = fn.Sequential([fn.Input((4,)), layers.Dense(3), layers.Dense(3)])
    assert [layer.get_config()["name"] for layer in model.layers] == ["dense", "dense_1"]
    model.layers[0].trainable = False
    assert model.layers[0].get_config()["trainable"] is False


def test_a_configuration_is_of_plain_numbers():
    """NumPy's numbers are taken, and written down as Python's."""
    layer = layers.Dense(np.int64(3), kernel_initializer=initializers.RandomNormal(stddev=np.float32(0.5)))
    optimizer = optimizers.SGD(np.float32(0.25), momentum=np.float64(0.5), nesterov=np.bool_(True))
    config = json.loads(json.dumps([layer.get_config(), optimizer.get_config()]))
    assert config[0]["units"] == 3 and config[0]["kernel_initializer"]["config"]["stddev"] == 0.5
    assert (config[1]["learning_rate"], config[1]["momentum"], config[1]["nesterov"]) == (0.25, 0.5, True)


@pytest.mark.parametrize("cls", classes_of("optimizer"), ids=lambda cls: cls.__name__)
def test_an_optimizer_made_again_trains_the_same(cls):
    x, y = rows(12, 4), rows(12, 1)
    weights = []
    for optimizer in (cls(), cls.from_config(json.loads(json.dumps(cls().get_config()))), cls.__name__):
        model = fn.Sequential([fn.Input((4,)), layers.Dense(3, "tanh"), layers.Dense(1)], seed=0, dtype="float64")
        before = model.get_weights()
        model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=5, epochs=2, verbose=0)
        weights.append([weight.tobytes() for weight in model.get_weights()])
        assert weights[-1] != [weight.tobytes() for weight in before]
    assert weights[0] == weights[1] == weights[2]
