"""L-BFGS: a quasi-Newton method for the loss of all rows at once."""

from __future__ import annotations

import inspect
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .base import Optimizer, number

__all__ = ["LBFGS"]

#: The loss and its gradient at a point.
Function = Callable[[np.ndarray], tuple[float, np.ndarray]]


class LBFGS(Optimizer):
    """L-BFGS (Liu and Nocedal, 1989) with a line search for the strong Wolfe conditions.

    With s = x_k+1 - x_k and y = g_k+1 - g_k of the last `history_size` steps, the direction is ``d = -H g`` where H is the
    inverse BFGS matrix that begins as ``s.y / y.y`` times the identity (Nocedal and Wright, 2006, algorithm 7.4). The step
    length a satisfies, with f' the derivative along d (algorithms 3.5 and 3.6)::

        f(x + a d) <= f(x) + c1 a f'(x)        and        |f'(x + a d)| <= c2 |f'(x)|

    For data that do not change and networks without randomness. In `fit`, an epoch is one such step over all rows, evaluated
    in batches of `batch_size`; its loss is that after the step. PyTorch's makes up to max_iter steps in one call.

    It takes none of the options of other optimizers (clipping, averages, decay of weights and the like), and trains no weights
    with constraints: a line search compares points on a line, and what a constraint makes of one does not lie there. `fit` refuses
    both, a constraint as well as an attribute set to such an option, and `train_on_batch` and `apply_gradients` refuse the optimizer.

    Parameters
    ----------
    learning_rate : float
        The step length tried first.
    history_size : int
    max_evaluations : int
        Of the loss in one line search.
    tolerance_gradient : float
        The largest element of the gradient at which training stops.
    c1, c2 : float
        Of the Wolfe conditions, 0 < c1 < c2 < 1.
    """

    kernel = None
    full_batch = True
    lazy_form = False

    def __init__(
        self,
        learning_rate: float = 1.0,
        history_size: int = 10,
        max_evaluations: int = 25,
        tolerance_gradient: float = 1e-9,
        c1: float = 1e-4,
        c2: float = 0.9,
        *,
        name: str = "lbfgs",
    ) -> None:
        super().__init__(name=name)
        self._set_learning_rate(number(self, "learning_rate", learning_rate, 1e-300, math.inf))
        self.history_size = int(number(self, "history_size", history_size, 1, math.inf))
        self.max_evaluations = int(number(self, "max_evaluations", max_evaluations, 1, math.inf))
        self.tolerance_gradient = number(self, "tolerance_gradient", tolerance_gradient, 0.0, math.inf)
        self.c1 = number(self, "c1", c1, 1e-300, 1.0)
        self.c2 = number(self, "c2", c2, self.c1, 1.0)
        self.forget()

    #: The weights that the memory is of; None: those of a checkpoint.
    _trained: Sequence[weakref.ref[Any]] | None = None

    def follow(self, weights: Sequence[Any]) -> None:
        """Before steps that train these weights: forgets those that trained others, or these in another order."""
        size = sum(weight.size for weight in weights)
        if self._trained is not None:
            same = [reference() for reference in self._trained] == list(weights)
        else:
            same = all(step.size == size for step in self._steps)
        if not same:
            self.forget()
        self._trained = [weakref.ref(weight) for weight in weights]

    def forget(self) -> None:
        """Begins anew: without the memory of earlier steps."""
        self._steps: list[np.ndarray] = []
        self._changes: list[np.ndarray] = []

    @property
    def memory(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Of earlier steps: the steps, and how the gradient changed by them."""
        return self._steps, self._changes

    @memory.setter
    def memory(self, value: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
        self._steps, self._changes = value

    def values(self) -> dict[str, Any]:
        return {}

    def hyper_parameters(self, n_batches: int) -> np.ndarray:
        """None, as the engine makes no steps; what varies of layers is apart."""
        return np.empty(0)

    def check_training(self, weights: Sequence[Any]) -> None:
        for weight in weights:
            if weight.constraint is not None:
                raise ValueError(
                    f"{type(self).__name__} trains no weights with constraints, as they would break its line search; "
                    f"weight {weight.path!r} has the constraint {weight.constraint!r}: take another optimizer, or no constraint"
                )
        options = inspect.signature(Optimizer.__init__).parameters.values()
        defaults = {one.name: one.default for one in options if one.kind is one.KEYWORD_ONLY and one.name != "name"}
        for name, default in {**defaults, "maximize": False}.items():
            if getattr(self, name, default) != default:
                raise ValueError(
                    f"{type(self).__name__} does nothing by {name}, which is for optimizers that take batches; "
                    f"expected {default!r}, got {getattr(self, name)!r}"
                )

    def get_state(self) -> dict[str, Any]:
        memory = {"steps": self._steps, "changes": self._changes}
        arrays = {f"{name}/{i}": array for name, kept in memory.items() for i, array in enumerate(kept)}
        return {**super().get_state(), "remembered": len(self._steps), **arrays}

    def check_state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        n = int(state["remembered"])
        if not 0 <= n <= self.history_size:
            raise ValueError(f"LBFGS: remembers {self.history_size} steps, not {n}")
        arrays = {f"{name}/{i}": state[f"{name}/{i}"] for name in ("steps", "changes") for i in range(n)}
        if any(array.dtype != np.float64 for array in arrays.values()):
            raise TypeError("LBFGS: the steps must be of float64")
        return {**super().check_state(state), "remembered": n, **arrays}

    def set_state(self, state: Mapping[str, Any]) -> None:
        super().set_state(state)
        self._trained = None
        self._steps = [state[f"steps/{i}"] for i in range(state["remembered"])]
        self._changes = [state[f"changes/{i}"] for i in range(state["remembered"])]

    def slots(self) -> list[tuple[str, float]]:
        return []

    def step(self, x: np.ndarray, function: Function) -> tuple[np.ndarray, float, bool]:
        """One step from a point; who makes it counts it.

        Returns
        -------
        x : ndarray
            The next point; the same one where no step lowers the loss.
        value : float
            The loss there.
        converged : bool
            Whether there is no better point to be found.
        """
        value, gradient = function(x)
        if (
            not (math.isfinite(value) and np.isfinite(gradient).all())
            or np.abs(gradient).max(initial=0.0) <= self.tolerance_gradient
        ):
            return x, value, True
        direction = self._direction(gradient)
        slope = float(direction @ gradient)
        if slope >= 0:  # rounding has spoilt the memory
            self.forget()
            direction, slope = -gradient, -float(gradient @ gradient)
        first = self.learning_rate_at(self.iterations)
        if not self._steps:  # nothing is known of the curvature yet
            first *= min(1.0, 1.0 / np.abs(gradient).sum())
        found = self._search(x, value, slope, direction, first, function)
        if found is None:
            self.forget()
            return x, value, True
        length, next_value, next_gradient = found
        step, change = length * direction, next_gradient - gradient
        if step @ change > 1e-10 * (change @ change):
            self._steps = [*self._steps, step][-self.history_size :]
            self._changes = [*self._changes, change][-self.history_size :]
        return x + step, next_value, False

    def _direction(self, gradient: np.ndarray) -> np.ndarray:
        """The two loops of L-BFGS."""
        q = gradient.copy()
        parts = []
        for s, y in zip(reversed(self._steps), reversed(self._changes)):
            part = float(s @ q) / float(s @ y)
            q -= part * y
            parts.append(part)
        if self._steps:
            q *= float(self._steps[-1] @ self._changes[-1]) / float(self._changes[-1] @ self._changes[-1])
        for s, y, part in zip(self._steps, self._changes, reversed(parts)):
            q += (part - float(y @ q) / float(s @ y)) * s
        return -q

    def _search(
        self, x: np.ndarray, value: float, slope: float, direction: np.ndarray, length: float, function: Function
    ) -> tuple[float, float, np.ndarray] | None:
        """A step length that satisfies the strong Wolfe conditions, with the loss and the gradient there.

        If the evaluations run out, the best length that lowers the loss enough; None if there is none.
        """
        left = self.max_evaluations

        def at(a: float) -> tuple[float, float, float, np.ndarray]:
            v, g = function(x + a * direction)
            return a, v, float(g @ direction), g

        def lowers(point: tuple[float, float, float, np.ndarray]) -> bool:
            return math.isfinite(point[1]) and point[1] <= value + self.c1 * point[0] * slope

        low = (0.0, value, slope, np.empty(0))
        high = None
        while left:  # widen until a minimum is between two lengths
            point, left = at(length), left - 1
            if not lowers(point) or (low[0] > 0 and point[1] >= low[1]):
                high = point
                break
            if abs(point[2]) <= self.c2 * abs(slope):
                return point[0], point[1], point[3]
            if point[2] >= 0:
                low, high = point, low
                break
            low, length = point, 2.0 * length
        while left and high is not None and abs(high[0] - low[0]) > 1e-12 * max(low[0], high[0]):
            point, left = at(_between(low, high)), left - 1
            if not lowers(point) or point[1] >= low[1]:
                high = point
                continue
            if abs(point[2]) <= self.c2 * abs(slope):
                return point[0], point[1], point[3]
            if point[2] * (high[0] - low[0]) >= 0:
                high = low
            low = point
        return (low[0], low[1], low[3]) if low[0] > 0 else None


def _between(low: tuple[Any, ...], high: tuple[Any, ...]) -> float:
    """The minimum of the cubic through two points with their slopes, kept away from both."""
    a, fa, da, b, fb, db = *low[:3], *high[:3]
    middle = 0.5 * (a + b)
    if not (math.isfinite(fb) and math.isfinite(db)):
        return middle
    d1 = da + db - 3.0 * (fa - fb) / (a - b)
    root = d1 * d1 - da * db
    if root < 0:
        return middle
    d2 = math.copysign(math.sqrt(root), b - a)
    divisor = db - da + 2.0 * d2
    if divisor == 0:
        return middle
    length = b - (b - a) * (db + d2 - d1) / divisor
    margin = 0.1 * abs(b - a)
    return min(max(length, min(a, b) + margin), max(a, b) - margin)
