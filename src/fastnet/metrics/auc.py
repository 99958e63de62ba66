"""Areas under curves over all thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .base import Metric, divide, one_of

__all__ = ["AUC"]


class AUC(Metric):
    """Area under the receiver operating characteristic or the precision-recall curve.

    The curve is taken at `num_thresholds` thresholds, evenly spaced from just below 0 to just above 1.
    Predictions with several outputs are taken together. A target is positive from 1 on and negative up to 0, so that -1 and 1
    (`Hinge`) mean what 0 and 1 do; one between counts as both, in parts. Predictions that are equal count as one point of the
    curve, whatever their order. Where all targets are of one class there is nothing to tell apart, and the area is NaN, as in
    scikit-learn; in Keras it is 0.

    Parameters
    ----------
    num_thresholds : int
        At least 2.
    curve : {"ROC", "PR"}
        Receiver operating characteristic, or precision over recall.
    summation_method : {"interpolation", "minoring", "majoring"}
        Trapezoids (for "PR" the interpolation of Davis and Goadrich, 2006, as in Keras), the lower, or the
        upper sum.
    from_logits : bool, optional
        Whether predictions go through a sigmoid first. Default: as the loss says (Keras: False).
    """

    kernel = "auc"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str = "auc",
        *,
        from_logits: bool | None = None,
    ) -> None:
        if num_thresholds < 2:
            raise ValueError(f"num_thresholds must be at least 2, got {num_thresholds}")
        one_of("curve", curve, ("ROC", "PR"))
        one_of("summation_method", summation_method, ("interpolation", "minoring", "majoring"))
        self.num_thresholds = num_thresholds
        self.curve = curve
        self.summation_method = summation_method
        self.from_logits = from_logits
        self.name = name

    def attributes(self) -> dict[str, float]:
        return {"num_thresholds": float(self.num_thresholds), "from_logits": float(bool(self.from_logits))}

    def adapt_to(self, loss: Any, output_shape: Sequence[int]) -> Metric:
        adapted = super().adapt_to(loss, output_shape)
        if self.from_logits is None:
            return adapted._changed(from_logits=bool(getattr(loss, "from_logits", False)))
        return adapted

    def compute(self, accumulators: np.ndarray) -> float:
        positives, negatives = accumulators.reshape(2, -1)
        # Above threshold number i are the buckets from i on.
        true_positives = positives[::-1].cumsum()[::-1]
        false_positives = negatives[::-1].cumsum()[::-1]
        if true_positives[0] == 0 or false_positives[0] == 0:
            return float("nan")
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated_pr_area(true_positives, false_positives)
        recall = divide(true_positives, true_positives[0])
        if self.curve == "ROC":
            x, y = divide(false_positives, false_positives[0]), recall
        else:
            x, y = recall, divide(true_positives, true_positives + false_positives)
        if self.summation_method == "interpolation":
            height = (y[:-1] + y[1:]) / 2
        elif self.summation_method == "minoring":
            height = np.minimum(y[:-1], y[1:])
        else:
            height = np.maximum(y[:-1], y[1:])
        return float(((x[:-1] - x[1:]) * height).sum())


def _interpolated_pr_area(true_positives: np.ndarray, false_positives: np.ndarray) -> float:
    """Area under the precision-recall curve where, between thresholds, true positives T are linear in all
    positives P: from A to B, with slope s = (T_A - T_B) / (P_A - P_B) and intercept c = T_B - s P_B,
    the integral of T / P over dT is s * (T_A - T_B + c * log(P_A / P_B))."""
    positives = true_positives + false_positives
    steps = true_positives[:-1] - true_positives[1:]
    slope = divide(steps, np.maximum(positives[:-1] - positives[1:], 0))
    intercept = true_positives[1:] - slope * positives[1:]
    ratio = divide(positives[:-1], positives[1:], 1.0)
    ratio[ratio == 0] = 1.0
    area = slope * (steps + intercept * np.log(ratio))
    return float(divide(area, true_positives[0]).sum())
