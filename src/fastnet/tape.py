"""`GradientTape` of TensorFlow, for the `train_step` of a class of models."""

from __future__ import annotations

from typing import Any

from ._booleans import ChecksBooleans
from ._step_context import MOMENTS, STEP

__all__ = ["GradientTape"]


class GradientTape(ChecksBooleans):
    """TensorFlow's way to name a loss and what is trained by it, within the method `train_step` of a class of models.

    `train_step` is called once, with symbolic tensors: what the tape says of gradients, and the optimizer of updates, becomes a part of the
    plans, and an epoch runs in the engine. ``import fastnet as keras`` and ``keras.GradientTape`` in place of ``tf.GradientTape`` is all that a
    script changes.

    Parameters
    ----------
    persistent : bool
        Whether `gradient` may be called several times.
    watch_accessed_variables : bool
        Accepted as TensorFlow does.

    Raises
    ------
    RuntimeError
        Outside of a `train_step`: there are `fastnet.gradients` and `fastnet.grad`, and `Model.forward` and `backward` for a loop.

    Examples
    --------
    >>> import fastnet as fn, numpy as np
    >>> class Custom(fn.Model):
    ...     def train_step(self, data):
    ...         x, y = data
    ...         with fn.GradientTape() as tape:
    ...             loss = self.compute_loss(y=y, y_pred=self(x, training=True))
    ...         gradients = tape.gradient(loss, self.trainable_variables)
    ...         self.optimizer.apply(gradients, self.trainable_variables)
    ...         return {"loss": loss}
    >>> x = fn.Input((3,))
    >>> model = Custom(x, fn.layers.Dense(1)(x), seed=0)
    >>> model.compile("adam", "mse")
    >>> history = model.fit(np.ones((64, 3)), np.ones((64, 1)), epochs=2, verbose=0)
    >>> list(history.history)[0]
    'loss'
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self.persistent = bool(persistent)
        self.span: tuple[int, int | None] | None = None
        self._used = False

    def __enter__(self) -> GradientTape:
        if STEP.get() is None:
            raise RuntimeError(
                "GradientTape works in the method train_step of a class of models, which is traced; elsewhere there are fastnet.gradients and "
                "fastnet.grad, and model.forward, model.backward and model.apply_gradients for a loop of one's own"
            )
        self.span = next(MOMENTS), None
        return self

    def __exit__(self, *error: Any) -> None:
        assert self.span is not None
        self.span = self.span[0], next(MOMENTS)

    def watch(self, tensor: Any) -> None:
        """Accepted as TensorFlow does: all is watched."""

    def gradient(self, target: Any, sources: Any, output_gradients: Any = None, unconnected_gradients: Any = None) -> Any:
        """The derivative of a loss by weights, for an optimizer; or of tensors by tensors, as operations: `fastnet.gradients`.

        Parameters
        ----------
        target : tensor, or a list of them
            Of a tensor with rows all numbers are added up.
        sources : Weight or SymbolicTensor, or a list of them
        output_gradients : tensor, optional
            Of derivatives by tensors: what the numbers of the target are multiplied with.
        unconnected_gradients
            Accepted as TensorFlow does.

        Returns
        -------
        gradient, or a list of them
            Those by weights are for ``optimizer.apply(gradients, weights)`` and ``optimizer.apply_gradients(zip(gradients, weights))``, and cannot
            be computed with.
        """
        trace = STEP.get()
        if trace is None or self.span is None:
            raise RuntimeError("GradientTape.gradient: the tape was not recorded in the train_step that is being traced")
        if self._used and not self.persistent:
            raise RuntimeError("GradientTape.gradient can be called once, unless the tape is made with persistent=True")
        self._used = True
        return trace.differentiate(target, sources, output_gradients, self.span)
