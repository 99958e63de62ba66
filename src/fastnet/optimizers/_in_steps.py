"""What optimizers are told in a `train_step`."""

from __future__ import annotations

from typing import Any

from .._step_context import STEP

__all__ = ["InSteps"]


class InSteps:
    """The part of an optimizer that is told of updates."""

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """In `train_step` of a class of models: says that the weights are updated by these gradients.

        Parameters
        ----------
        grads : list
            What `GradientTape.gradient` gave.
        trainable_variables : list of Weight, optional
            Default: those of the gradients.

        Raises
        ------
        RuntimeError
            Elsewhere: `Model.apply_gradients` makes the step of a loop of one's own.
        """
        trace = STEP.get()
        if trace is None:
            raise RuntimeError(
                f"{type(self).__name__}.apply works in the method train_step of a class of models, which is traced; elsewhere it is "
                "model.apply_gradients(), after model.forward(x) and model.backward(dy)"
            )
        trace.apply(self, grads, trainable_variables)

    def apply_gradients(self, grads_and_vars: Any) -> None:
        """As `apply`, of pairs of gradients and weights."""
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [weight for _, weight in pairs])
