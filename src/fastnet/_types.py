"""What arguments may be, for editors and type checkers; when a program runs, constructors check their arguments themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from ._config import Configurable

__all__ = [
    "ActivationLike",
    "CommonOptions",
    "ConstraintLike",
    "DecayOptions",
    "InitializerLike",
    "LayerOptions",
    "LayerwiseOptions",
    "LossLike",
    "OldLayerOptions",
    "OldOptimizerOptions",
    "OptimizerLike",
    "OptimizerOptions",
    "PyTorchDecayOptions",
    "PyTorchOptions",
    "RegularizerLike",
    "Scheduled",
]

#: A number, or what says it for each step: a schedule or a function ``step -> float``.
Scheduled = float | Callable[..., Any]

#: A name, a class or a function, an object or its configuration.
Description = str | Callable[..., Any] | Configurable | Mapping[str, Any]
ActivationLike = Description
InitializerLike = Description
RegularizerLike = Description
ConstraintLike = Description
OptimizerLike = Description
#: One for all outputs, or one for each of them, by order or by name.
LossLike = Description | Sequence[Any]


class OldLayerOptions(TypedDict, total=False):
    """Spellings of older scripts, by which a first layer says the shape of the input; and the dtype, which is that of the model."""

    input_shape: Sequence[int | None]
    batch_input_shape: Sequence[int | None]
    input_dim: int
    input_length: int | None
    dtype: Any


class LayerOptions(OldLayerOptions, total=False):
    """What the constructors of all layers take by name, beside their own arguments."""

    trainable: bool
    name: str | None


class RecurrentOptions(LayerOptions, total=False):
    """What recurrent layers take besides, which changes nothing here."""

    unroll: bool
    use_cudnn: str | bool


class EmbeddingOptions(LayerOptions, total=False):
    """What embeddings take besides."""

    weights: Any


class OldOptimizerOptions(TypedDict, total=False):
    """Spellings of older scripts: of the learning rate, and of its decay by ``1 / (1 + decay * step)``."""

    lr: float
    decay: float


class CommonOptions(TypedDict, total=False):
    """What the constructors of all optimizers take by name, beside their own arguments."""

    clipnorm: Scheduled | None
    clipvalue: Scheduled | None
    global_clipnorm: Scheduled | None
    use_ema: bool
    ema_momentum: Scheduled
    ema_overwrite_frequency: int | None
    gradient_accumulation_steps: int | None
    lookahead_steps: int | None
    lookahead_alpha: Scheduled
    swa_start: int | None
    swa_period: int
    learning_rate_multipliers: Mapping[str, float] | None
    lazy: bool


class LayerwiseOptions(CommonOptions, OldOptimizerOptions, total=False):
    """The same, of those with Keras's arguments."""


class OptimizerOptions(LayerwiseOptions, total=False):
    """The same, of most of them: those that have no such argument of their own."""

    exclude_from_weight_decay: Sequence[str]


class DecayOptions(OptimizerOptions, total=False):
    """What those take that have neither a name nor weight decay among their own arguments."""

    name: str | None
    weight_decay: Scheduled | None


class PyTorchOptions(CommonOptions, total=False):
    """What those with PyTorch's arguments take beside their own, of which lr is one."""

    name: str | None
    exclude_from_weight_decay: Sequence[str]
    maximize: bool


class PyTorchDecayOptions(PyTorchOptions, total=False):
    """The same of one that has no weight decay among its own."""

    weight_decay: Scheduled | None
