"""What a teacher would see in the curves of a training, in words, with figures and advice.

>>> from fastnet import History
>>> history = History()
>>> for epoch in range(8):
...     history.append(epoch, {"loss": 1 / (epoch + 1), "val_loss": 0.5 + 0.1 * abs(epoch - 2)})
>>> for finding in history.diagnose():
...     print(finding)
overfitting: the validation loss was least after epoch 3, 0.5, and has risen to 1 since (epoch 8), while the training
loss fell from 0.333 to 0.125. Try: EarlyStopping(restore_best_weights=True), more data, Dropout, L2 or weight decay, a
smaller network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ._faults import faults_of_outputs
from ._model_data import inputs_of

if TYPE_CHECKING:
    from ._network import Network

__all__ = ["Finding", "Findings", "diagnose"]


class Finding(NamedTuple):
    """One thing that was seen.

    Attributes
    ----------
    kind : str
        "learning rate too large", "learning rate too small", "overfitting", "underfitting", "plateau", "dead units", "output that is
        always the same", "loss that does not fit the output" or "targets too large".
    seen : str
        What was seen, with the figures.
    advice : str
        What to try.
    """

    kind: str
    seen: str
    advice: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.seen}. Try: {self.advice}."


class Findings(list):
    """A list of findings that prints as text."""

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "nothing to find fault with"


class Curves(Protocol):
    """What is asked of a `History`, which has `diagnose` itself."""

    epoch: list[int]
    quantities: dict[str, list[Any]]
    diverged: str | None


class _Curves:
    """The numbers of a history that the rules look at."""

    def __init__(self, history: Curves) -> None:
        self.history = history
        self.epochs = [epoch + 1 for epoch in history.epoch]
        self.loss = self.of("loss")
        self.diverged = history.diverged
        finite = self.loss[np.isfinite(self.loss)]
        self.first = float(finite[0]) if len(finite) else 0.0
        self.last = float(finite[-1]) if len(finite) else 0.0
        self.fall = self.first - float(finite.min()) if len(finite) else 0.0

    def of(self, name: str) -> np.ndarray:
        """A quantity as an array, NaN where an epoch has none."""
        values = self.history.quantities.get(name, [])
        return np.array([value if isinstance(value, (int, float)) else np.nan for value in values], float)

    def rate(self) -> str:
        """The last learning rate, to end a message with."""
        rates = self.of("learning_rate")
        known = len(rates) and np.isfinite(rates[-1])
        return f"; the learning rate is {rates[-1]:.3g}" if known else ""

    def share_of_best(self) -> float | None:
        """How good the training metrics are, of 1, where one of them is an accuracy or the like."""
        known = ("accuracy", "acc", "auc", "r2", "f1", "precision", "recall")
        names = [name for name in self.history.quantities if any(part in name for part in known)]
        last = [self.of(name)[-1] for name in names if not name.startswith("val_") and self.epochs]
        finite = [value for value in last if np.isfinite(value)]
        return max(finite) if finite else None

    def has_learnt(self) -> bool:
        """Whether much was learnt: by the metrics, if there is one that can say, else by how far the loss fell."""
        score = self.share_of_best()
        return self.fall >= 0.5 * self.first if score is None else score >= 0.8

    def is_flat(self, part: float = 0.02) -> bool:
        """Whether the loss has got nowhere in the last third of the epochs, five at least.

        Its best there is hardly better than its best before: by less than that part of what it fell in all and of its
        level.
        """
        n = max(5, len(self.loss) // 3)
        if len(self.loss) < n + 3 or not np.isfinite(self.loss).all():
            return False
        gain = self.loss[:-n].min() - self.loss[-n:].min()
        return bool(gain <= part * self.fall and gain <= part * abs(self.last)) or self.fall == 0


_SMALLER_RATE = "a learning rate 3 to 10 times smaller (fn.tuning.find_learning_rate), a warm-up, global_clipnorm=1"


def _too_large(curves: _Curves) -> Finding | None:
    kind = "learning rate too large"
    if curves.diverged:
        return Finding(kind, f"training diverged: {curves.diverged}{curves.rate()}", _SMALLER_RATE)
    loss = curves.loss
    if len(loss) and not np.isfinite(loss[-1]):
        return Finding(kind, f"the loss of epoch {curves.epochs[-1]} is {loss[-1]}{curves.rate()}", _SMALLER_RATE)
    if len(loss) < 3 or not np.isfinite(loss).all():
        return None
    if loss[-1] > 1.5 * abs(loss[0]) and loss[-1] > loss[0]:
        return Finding(
            kind,
            f"the loss rose from {loss[0]:.3g} (epoch {curves.epochs[0]}) to {loss[-1]:.3g} (epoch "
            f"{curves.epochs[-1]}){curves.rate()}",
            _SMALLER_RATE,
        )
    if curves.is_flat(0.2) and loss[0] > 30 * loss[-1] > 0 and not curves.has_learnt():
        seen = (
            f"the loss of the first epoch is {loss[0]:.3g}: the first steps threw the weights far off, and it has "
            f"stayed at {loss[-1]:.3g} since{curves.rate()}"
        )
        return Finding(kind, seen, _SMALLER_RATE)
    if len(loss) < 6:
        return None
    # Up and down by steps that are large beside all that was gained.
    steps = np.diff(loss[len(loss) // 4 :])
    rises = steps[steps > 0]
    if len(rises) < 2 or len(rises) < 0.25 * len(steps):
        return None
    spread = float(loss.max() - loss.min())
    size = float(rises.mean())
    if size < 0.06 * spread or size < 0.02 * abs(float(np.median(loss))):
        return None
    seen = (
        f"the training loss goes up and down: it rose in {len(rises)} of the last {len(steps)} epochs, by "
        f"{size:.3g} on average, while it ranges from {loss.min():.3g} to {loss.max():.3g}"
    )
    seen += curves.rate()
    return Finding(
        kind,
        seen,
        "a learning rate 3 to 10 times smaller, a schedule that lowers it (fn.schedules.CosineDecay, "
        "ReduceLROnPlateau), a larger batch_size",
    )


def _too_small(curves: _Curves) -> Finding | None:
    loss = curves.loss
    if len(loss) < 5 or not np.isfinite(loss).all() or loss[-1] < 0 or curves.fall <= 0 or _overfitting(curves):
        return None
    steps = np.diff(loss)
    middle = len(loss) // 2
    early, late = loss[0] - loss[middle], loss[middle] - loss[-1]
    monotone = (steps < 0).mean() >= 0.9
    if not monotone or late * middle < 0.6 * early * (len(loss) - 1 - middle) or loss[-1] < 0.6 * loss[0]:
        return None
    return Finding(
        "learning rate too small",
        f"the training loss falls slowly and steadily, from {loss[0]:.4g} to {loss[-1]:.4g} in {len(loss)} "
        f"epochs, {late / (len(loss) - 1 - middle) / loss[-1]:.2%} in each of the last ones, and no slower "
        f"than at first{curves.rate()}",
        "a learning rate 3 to 10 times larger (fn.tuning.find_learning_rate), Adam in place of SGD, "
        "features scaled to mean 0 and variance 1",
    )


def _overfitting(curves: _Curves) -> Finding | None:
    validation = curves.of("val_loss")
    seen = np.flatnonzero(np.isfinite(validation))
    if len(seen) < 5 or not np.isfinite(curves.loss).all():
        return None
    values = validation[seen]
    best = int(values.argmin())
    tail = values[-max(2, len(values) // 5) :]
    rise = float(np.median(tail) - values[best])
    at, end = int(seen[best]), int(seen[-1])
    fall = float(curves.loss[at] - curves.loss[end])
    # Much of its own level, or of what training has gained meanwhile and no mere noise.
    steps = np.abs(np.diff(values[max(best - 1, 0) :]))
    much = rise >= 0.08 * abs(values[best]) or (rise >= 0.25 * fall and rise >= 3 * float(np.median(steps)))
    if len(values) - 1 - best < 3 or not much or not fall > 0.05 * curves.loss[at]:
        return None
    return Finding(
        "overfitting",
        f"the validation loss was least after epoch {curves.epochs[at]}, {values[best]:.3g}, and has risen "
        f"to {values[-1]:.3g} since (epoch {curves.epochs[end]}), while the training loss fell from "
        f"{curves.loss[at]:.3g} to {curves.loss[end]:.3g}",
        "EarlyStopping(restore_best_weights=True), more data, Dropout, L2 or weight decay, a smaller network",
    )


def _stuck(curves: _Curves) -> Finding | None:
    """Underfitting where little was learnt, a plateau where something was."""
    if not curves.is_flat() or curves.last < 0:
        return None
    loss, score = curves.loss, curves.share_of_best()
    tail = max(5, len(loss) // 3)
    since = f"the training loss has stayed at {loss[-1]:.3g} for {tail} epochs (epoch 1: {loss[0]:.3g})"
    norms = curves.of("gradient_norm")
    if len(norms) and np.isfinite(norms[-1]):
        since += f", with a gradient of norm {norms[-1]:.2g}"
    if score is not None:
        since += f"; the best training metric is {score:.3g}"
    validation = curves.of("val_loss")
    if len(validation) and np.isfinite(validation[-1]):
        since += f"; the validation loss is {validation[-1]:.3g}"
    if not curves.has_learnt():
        return Finding(
            "underfitting",
            since,
            "a larger network, more or better scaled features, less regularization, "
            "another learning rate or optimizer, other initial weights",
        )
    if (score is not None and score >= 0.95) or loss[-1] <= 0.1 * loss[0]:
        return None
    return Finding(
        "plateau",
        since,
        "a lower learning rate from here on (ReduceLROnPlateau, fn.schedules), or to "
        "stop: this may be all that there is to learn",
    )


_LIVING_UNITS = (
    "a smaller learning rate, leaky_relu, elu or gelu in place of relu, he_normal initial weights, features scaled to "
    "mean 0 and variance 1"
)


def _dead_units(model: Network, x: Any) -> list[Finding]:
    """Units of rectifiers that give 0 for every row."""
    tensors, layers = [], []
    for call in dict.fromkeys(operation.call for operation in model._graph.operations):
        layer = call.layer
        function = getattr(layer, "activation", None) or getattr(layer, "activation_function", lambda: None)()
        if getattr(function, "kernel", None) in ("relu", "relu6"):
            tensors.append(call.outputs[0])
            layers.append(layer)
    if not tensors:
        return []
    probe = model._with_outputs(tensors)
    inputs = inputs_of(model, x, True)
    alive = [np.zeros(tensor.sample_shape[-1], bool) for tensor in tensors]
    n, chunk = len(inputs[0]), 1024
    for start in range(0, n, chunk):
        rows = [array[start : start + chunk] for array in inputs]
        outputs = probe.predict(rows if len(rows) > 1 else rows[0])
        for found, output in zip(alive, outputs if isinstance(outputs, list) else [outputs]):
            found |= (output > 0).reshape(-1, len(found)).any(axis=0)
    findings = []
    for layer, found in zip(layers, alive):
        dead = int((~found).sum())
        if dead >= 0.1 * len(found):
            seen = f"{dead} of the {len(found)} units of layer {layer.path!r} are 0 for all of {n} rows, and no gradient "
            findings.append(Finding("dead units", seen + "reaches them", _LIVING_UNITS))
    return findings


_RULES: tuple[Callable[[_Curves], Finding | None], ...] = (_too_large, _too_small, _overfitting, _stuck)


def diagnose(history: Curves, model: Network | None = None, x: Any = None) -> Findings:
    """What there is to say about a training.

    Parameters
    ----------
    history : History
        Some five epochs are needed to see anything but divergence.
    model : Model, optional
        Also looks for outputs that do not fit their losses.
    x : array_like, optional
        Training data. With both, units of relu layers that are never active are looked for.

    Returns
    -------
    Findings
        A list of `Finding`, empty where nothing is wrong.
    """
    curves = _Curves(history)
    findings = Findings(filter(None, (rule(curves) for rule in _RULES)))
    if findings and findings[0].kind == "learning rate too large":  # all else follows from that
        del findings[1:]
    faults = list(getattr(history, "faults", []))
    if model is not None and model._compiled is not None and model._compiled.resolved:
        faults += faults_of_outputs(model.outputs, model.output_names, model._compiled.losses)
    if faults:  # what the curves show follows from these
        findings = Findings(Finding(*fault) for fault in faults)
    if model is not None and x is not None:
        findings.extend(_dead_units(model, x))
    return findings
