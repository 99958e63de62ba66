"""What a case is."""

from dataclasses import dataclass, field

import numpy as np
from plans import Graph

from fastnet import _core


def inputs_of(shape):
    """How many numbers a sum over a kernel of this shape has: all axes but the last."""
    return np.prod(shape[:-1]) if len(shape) > 2 else shape[0]


@dataclass(frozen=True)
class OpCase:
    """An operation on inputs of these shapes (of one sample)."""

    op: str
    shapes: tuple
    attributes: dict = field(default_factory=dict)

    def graph(self):
        """A model of this operation alone, with random parameters; its inputs are outputs too."""
        graph = Graph()
        inputs = [graph.input(shape) for shape in self.shapes]
        _, parameter_shapes = _core.infer(self.op, "case", self.shapes, self.attributes)
        random = np.random.default_rng(7)
        parameters = [graph.parameter(random.normal(size=shape) / np.sqrt(inputs_of(shape))) for shape in parameter_shapes]
        made = graph.node(self.op, inputs, parameters, **self.attributes)
        for value in [*(made if isinstance(made, list) else [made]), *inputs]:
            graph.output(value)
        return graph


def arrays(shapes, n_rows, dtype, seed=0):
    """Numbers between -4 and 4, no two of which are equal and none of which is at or near a whole number."""
    random = np.random.default_rng([seed, n_rows])
    total = sum(n_rows * int(np.prod(shape)) for shape in shapes)
    numbers = (random.permutation(total) + 0.5) / total * 8 - 4
    whole = np.round(numbers)
    numbers = np.where(np.abs(numbers - whole) < 1e-3, whole + 1e-3 * (1 + numbers - whole), numbers)
    ends = np.cumsum([n_rows * int(np.prod(shape)) for shape in shapes])[:-1]
    return [part.reshape(n_rows, *shape).astype(dtype) for part, shape in zip(np.split(numbers, ends), shapes)]
