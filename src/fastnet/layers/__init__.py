"""Layers: descriptions of operations, by the names and arguments of Keras 3."""

from .activations import *  # noqa: F403
from .activations import __all__ as _activations
from .base import Layer
from .core import Activation, ActivityRegularization, Dense, Flatten, Input, Reshape
from .merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from .normalization import BatchNormalization, GroupNormalization, LayerNormalization, RMSNormalization
from .regularization import AlphaDropout, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1D, SpatialDropout2D
from .scaling import MinMaxScaling, Normalization, Rescaling, TargetScaling

__all__ = [
    "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "BatchNormalization", "Concatenate", "Dense", "Dropout", "Flatten",
    "GaussianDropout", "GaussianNoise", "GroupNormalization", "Input", "Layer", "LayerNormalization", "Maximum",
    "MinMaxScaling", "Minimum", "Multiply", "Normalization", "RMSNormalization", "Rescaling", "Reshape",
    "SpatialDropout1D", "SpatialDropout2D", "Subtract", "TargetScaling", *_activations,
]  # fmt: skip
