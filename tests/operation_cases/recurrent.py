"""Recurrent layers: sequences of one step and more, odd units, masks, states, dropout, all kinds of output."""

from fastnet import _core
from operation_cases.base import OpCase

STANDARD = {"activation": _core.activation_index("tanh"), "recurrent_activation": _core.activation_index("sigmoid")}
#: Derivatives at the input, and of an activation with an attribute of its own.
OTHERS = {"activation": _core.activation_index("gelu"), "recurrent_activation": _core.activation_index("hard_sigmoid")}
GATED = {"activation": _core.activation_index("elu"), "recurrent_activation": _core.activation_index("silu"), "alpha": 0.3}


def recurrent_cases(op, n_states, **more):
    """`width` is that of the units, then of the features."""

    def cases(width):
        wide = {**STANDARD, "units": width, **more}
        state = ((width,),) * n_states
        yield OpCase(op, ((3, 2),), {**wide, "return_sequences": 1})
        yield OpCase(op, ((1, width),), {**STANDARD, **more, "units": 3})
        yield OpCase(op, ((4, 3), (4,), *state), {**wide, "masked": 1, "return_sequences": 1, "return_state": 1})
        yield OpCase(
            op,
            ((3, width), *(((5,),) * n_states)),
            {**OTHERS, **more, "units": 5, "use_bias": 0, "go_backwards": 1, "return_state": 1},
        )
        yield OpCase(op, ((3, 4),), {**wide, "dropout": 0.3, "recurrent_dropout": 0.4, "go_backwards": 2,
                                     "return_sequences": 1})  # fmt: skip
        yield OpCase(op, ((2, 3), (2,)), {**GATED, **more, "units": 2, "masked": 1, "recurrent_dropout": 0.2, "seed": 3})
        yield OpCase(op, ((3, 2), (3,)), {**wide, "masked": 1, "zero_output_for_mask": 1, "return_sequences": 1})

    return cases


def gru_cases(width):
    yield from recurrent_cases("gru", 1)(width)
    yield from recurrent_cases("gru", 1, reset_after=0)(width)


OPS = {"gru": gru_cases, "lstm": recurrent_cases("lstm", 2), "simple_rnn": recurrent_cases("simple_rnn", 1)}
