/* Maximum: y = max(x_0, x_1, ...), elementwise over inputs of one shape. */
#define BEYOND(x, y) ((x) > (y))
#include "extremum.h"

const fn_op FN_SYM(op_maximum) = {
    .entry = {"maximum", NULL, 0},
    .min_inputs = 1,
    .max_inputs = -1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
