"""Layers: descriptions of operations, by the names and arguments of Keras 3."""

from collections.abc import Mapping
from typing import Any

from .. import _config
from ._registry import LAYERS
from .activations import *
from .activations import __all__ as _activations
from .attention import *
from .attention import __all__ as _attention
from .augmentation import *
from .augmentation import __all__ as _augmentation
from .base import Layer
from .bidirectional import Bidirectional
from .chosen_augmentation import *
from .chosen_augmentation import __all__ as _chosen
from .color_augmentation import *
from .color_augmentation import __all__ as _colors
from .convolution import *
from .convolution import Convolution1D as Convolution1D
from .convolution import Convolution2D as Convolution2D
from .convolution import SeparableConvolution1D as SeparableConvolution1D
from .convolution import SeparableConvolution2D as SeparableConvolution2D
from .convolution import __all__ as _convolution
from .convolution_transpose import *
from .convolution_transpose import Convolution1DTranspose as Convolution1DTranspose
from .convolution_transpose import Convolution2DTranspose as Convolution2DTranspose
from .convolution_transpose import __all__ as _transposed
from .core import Activation, ActivityRegularization, Dense, Flatten, Input, Reshape
from .embedding import Embedding, Masking
from .encoding import *
from .encoding import __all__ as _encoding
from .formulas import *
from .formulas import __all__ as _formulas
from .functional import Lambda
from .geometric_augmentation import *
from .geometric_augmentation import __all__ as _geometric
from .hashing import HashedCrossing, Hashing
from .lookup import IntegerLookup, StringLookup
from .merging import *
from .merging import __all__ as _merging
from .normalization import BatchNormalization, GroupNormalization, LayerNormalization, RMSNormalization
from .pooling import *
from .pooling import AvgPool1D as AvgPool1D
from .pooling import AvgPool2D as AvgPool2D
from .pooling import GlobalAvgPool1D as GlobalAvgPool1D
from .pooling import GlobalAvgPool2D as GlobalAvgPool2D
from .pooling import GlobalMaxPool1D as GlobalMaxPool1D
from .pooling import GlobalMaxPool2D as GlobalMaxPool2D
from .pooling import MaxPool1D as MaxPool1D
from .pooling import MaxPool2D as MaxPool2D
from .pooling import __all__ as _pooling
from .positions import *
from .positions import __all__ as _positions
from .recurrent import *
from .recurrent import __all__ as _recurrent
from .recurrent_cells import *
from .recurrent_cells import __all__ as _cells
from .recurrent_convolution import *
from .recurrent_convolution import __all__ as _convolving
from .regularization import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from .reshaping import *
from .reshaping import __all__ as _reshaping
from .resizing import *
from .resizing import __all__ as _resizing
from .scaling import MinMaxScaling, Normalization, Rescaling, TargetScaling
from .text import TextVectorization
from .tone_augmentation import *
from .tone_augmentation import __all__ as _tones
from .transformer import TransformerBlock
from .volume_pooling import *
from .volume_pooling import AvgPool3D as AvgPool3D
from .volume_pooling import GlobalAvgPool3D as GlobalAvgPool3D
from .volume_pooling import GlobalMaxPool3D as GlobalMaxPool3D
from .volume_pooling import MaxPool3D as MaxPool3D
from .volume_pooling import __all__ as _volume_pooling
from .volumes import Conv3D, Conv3DTranspose
from .volumes import Convolution3D as Convolution3D
from .volumes import Convolution3DTranspose as Convolution3DTranspose
from .wrappers import TimeDistributed, Wrapper

__all__ = [
    "Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Bidirectional", "Dense", "Dropout", "Embedding", "Flatten",
    "GaussianDropout", "GaussianNoise", "GroupNormalization", "HashedCrossing", "Hashing", "Input", "IntegerLookup", "Lambda", "Layer", "LayerNormalization", "Masking",
    "MinMaxScaling", "Normalization", "RMSNormalization", "Rescaling", "Reshape",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "StringLookup", "TargetScaling", "TextVectorization", *_activations, *_attention, *_convolution, *_transposed, *_pooling,
    *_augmentation, *_colors, *_tones, *_geometric, *_chosen, *_reshaping,
    "TransformerBlock", *_positions,
    "TimeDistributed", "Wrapper", *_recurrent, *_cells, *_encoding, *_merging, *_formulas, *_resizing, *_volume_pooling, "Conv3D", "Conv3DTranspose", *_convolving,
]  # fmt: skip

LAYERS.update((name, globals()[name]) for name in __all__ if isinstance(globals()[name], type))


def serialize(layer: Layer) -> dict[str, Any]:
    """The layer as a dictionary that JSON can hold, for `deserialize`."""
    return _config.to_plain(_config.serialize(layer))


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> Layer:
    """The layer that `serialize` described, of a class of this module or one in `custom_objects`.

    Raises
    ------
    ValueError
        If there is no such class.
    """
    return _config.deserialize(config, {**LAYERS, **(custom_objects or {})}, "layer")
