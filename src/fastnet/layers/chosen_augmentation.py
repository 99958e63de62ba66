"""Layers that choose among changes of images at random, in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from .._formulas import ops
from .._graph import SymbolicTensor
from .._types import LayerOptions
from ._arguments import channels_last, checked_seed, number_in, one_of
from ._changing import Changing
from .augmentation import Factor, RandomBrightness, RandomContrast, RandomRotation, RandomTranslation
from .base import Layer
from .color_augmentation import RandomColorDegeneration
from .core import positive_integer
from .geometric_augmentation import RandomShear
from .tone_augmentation import AutoContrast, Equalization, RandomPosterization, RandomSharpness, Solarization

__all__ = ["AugMix", "RandAugment"]


class _Choosing(Changing):
    """Those that have a list of layers."""

    def _gather(
        self,
        value_range: Sequence[float],
        factor: Factor,
        interpolation: str,
        seed: int | None,
        data_format: str | None,
        colors: bool = True,
    ) -> None:
        self.value_range, self.factor = value_range, factor
        self._low, self._high = self._range(value_range)
        strength = self._pair("factor", factor, 0, 1, first=0.0)
        self.interpolation = one_of(self._label, "interpolation", interpolation, ("nearest", "bilinear"))
        self.seed = checked_seed(self._label, seed)
        self.data_format = channels_last(self._label, data_format)
        either = (-strength[1], strength[1]) if strength[0] == 0 else strength
        looks = {"interpolation": interpolation, "seed": seed}
        ranged = {"value_range": value_range, "seed": seed}
        self._choices: list[Layer] = [
            RandomShear(strength, strength, **looks),
            RandomTranslation(either, either, **looks),
            RandomRotation(either, **looks),
            RandomPosterization(max(1, int(8 * strength[1])), **ranged),
            Solarization(strength, strength, **ranged),
            AutoContrast(value_range),
            Equalization(value_range),
        ]
        if colors:
            self._choices += [
                RandomBrightness(either, **ranged),
                RandomColorDegeneration(strength, **ranged),
                RandomContrast(strength, **ranged),
                RandomSharpness(strength, **ranged),
            ]

    def _chosen(self, x: Any, number: Any) -> Any:
        """Images to which that one of the layers was applied whose number was drawn for them, if there is one."""
        y = x
        for i, layer in enumerate(self._choices):
            y = ops.where(ops.equal(number, float(i)), layer(x), y)
        return y


class RandAugment(_Choosing):
    """Images that are changed in `num_ops` ways one after another, in training (Cubuk et al., 2020).

    Each is one of `RandomShear`, `RandomTranslation`, `RandomRotation`, `RandomPosterization`, `Solarization`, `AutoContrast`,
    `Equalization`, `RandomBrightness`, `RandomColorDegeneration`, `RandomContrast` and `RandomSharpness`, drawn for each image; in Keras for each
    batch. All are computed, as in Keras.

    Parameters
    ----------
    value_range : tuple of two float
        Between which pixels are.
    num_ops : int
    factor : float or tuple of two float
        How strong the changes are at most, from 0 to 1.
    interpolation : {"bilinear", "nearest"}
    seed, data_format
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        num_ops: int = 2,
        factor: Factor = 0.5,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.num_ops = positive_integer(self._label, "num_ops", num_ops)
        self._gather(value_range, factor, interpolation, seed, data_format)

    def change(self, x: SymbolicTensor) -> Any:
        for _ in range(self.num_ops):
            x = self._chosen(x, self._drawn(x, 0, len(self._choices), "integer"))
        return x


class AugMix(_Choosing):
    """Images mixed with several chains of changes of them, in training (Hendrycks et al., 2020).

    ``y = clip(m x + (1 - m) sum_i w_i c_i(x), *value_range)``: each c_i is `chain_depth` changes, of which each is one of those of
    `RandAugment` or none, drawn for each image; w are drawn from a Dirichlet distribution, m from a beta distribution, of alpha. All
    changes are computed for each place of each chain: this costs as much as ``num_chains * chain_depth`` steps of `RandAugment`.

    Parameters
    ----------
    value_range : tuple of two float
        Between which pixels are, and are kept.
    num_chains, chain_depth : int
    factor : float or tuple of two float
        How strong the changes are at most, from 0 to 1.
    alpha : float
        Of the distributions; larger ones are nearer to equal shares.
    all_ops : bool
        False: without those of brightness, color, contrast and sharpness.
    interpolation : {"bilinear", "nearest"}
    seed, data_format
        As in `RandomFlip`.
    trainable, name
        As in `Layer`.
    """

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        num_chains: int = 3,
        chain_depth: int = 3,
        factor: Factor = 0.3,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.num_chains = positive_integer(self._label, "num_chains", num_chains)
        self.chain_depth = positive_integer(self._label, "chain_depth", chain_depth)
        self.alpha = number_in(self._label, "alpha", alpha, 1e-3, 1e6)
        self.all_ops = bool(all_ops)
        self._gather(value_range, factor, interpolation, seed, data_format, self.all_ops)

    def _gamma(self, x: SymbolicTensor, n: int) -> Any:
        seed = {} if self.seed is None else {"seed": self.seed}
        return ops.random_gammas(x, [None, 1, 1, 1, n], self.alpha, seed)

    def change(self, x: SymbolicTensor) -> Any:
        shares = self._gamma(x, self.num_chains)
        shares = shares / ops.sum(shares, axis=-1, keepdims=True)
        pair = self._gamma(x, 2)
        kept = pair[..., 0] / ops.sum(pair, axis=-1)
        mixed: Any = 0.0
        for i in range(self.num_chains):
            chain = x
            for _ in range(self.chain_depth):
                chain = self._chosen(chain, self._drawn(x, 0, len(self._choices) + 1, "integer"))
            mixed = mixed + shares[..., i] * chain
        return ops.clip(kept * x + (1.0 - kept) * mixed, self._low, self._high)
