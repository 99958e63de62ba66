/* The simple recurrent layer (Elman 1990).
 *
 *   z = x W + h' U + b,  h = a(z)            x [rows][inputs], h' [rows][units]: h of the step before
 *   dz = dh a'(z),  dh' = dz U^T
 *   dU = sum over steps and rows of h'^T dz,  db = sum of dz
 *
 * W [inputs][units], U [units][units], b [units]. See recurrent.h; the recurrent activation is not used. */
#include "../math.h"
#include "../recurrent.h"

static const fn_attribute attributes[] = {RECURRENT_ATTRIBUTE_LIST};

enum { FORWARD_BLOCK, BACKWARD_BLOCK };

static int pack(const fn_node *node, bool training, packed_matrix list[MOST_BLOCKS])
{
    const int64_t units = units_of(node);
    list[FORWARD_BLOCK] = (packed_matrix){.parameter = 1, .row = units, .column = 1, .n = units, .k = units};
    list[BACKWARD_BLOCK] = (packed_matrix){.parameter = 1, .row = 1, .column = units, .n = training ? units : 0, .k = units};
    return 2;
}

static void forward_step(const recurrent_step *step)
{
    const int64_t units = step->units;
    const block_product product = {
        .block = FORWARD_BLOCK, .a = step->h, .a_row = units, .c = step->gates, .c_row = units, .accumulate = true};
    FN_SYM(recurrent_multiply)(step, &product);
    /* Whole rows are one long one. */
    const int64_t rows = step->n == units ? 1 : step->rows, n = step->n == units ? step->rows * units : step->n;
    for (int64_t r = 0; r < rows; r++) {
        real *z = step->gates + r * units;
        if (step->pre)
            memcpy(step->pre + r * units, z, (size_t)n * sizeof *z);
        activate(step->node, ACTIVATION, z, n);
        memcpy(step->after[0] + r * units, z, (size_t)n * sizeof *z);
    }
}

static void differentiate_step(const recurrent_step *step)
{
    const int64_t units = step->units;
    for (int64_t r = 0; r < step->rows; r++) {
        real *z = step->gates + r * units, *dh = step->gradient[0] + r * units;
        if (is_masked(step, r)) {
            memset(z, 0, (size_t)step->n * sizeof *z);
            continue;
        }
        differentiate(step->node, ACTIVATION, dh, z, step->pre ? step->pre + r * units : NULL, z, step->n);
        memset(dh, 0, (size_t)step->n * sizeof *dh); /* all of it goes by way of the product */
    }
}

static void multiply_back(const recurrent_step *step)
{
    const int64_t units = step->units;
    const block_product product = {.block = BACKWARD_BLOCK,
                                   .a = step->all_gates,
                                   .a_row = units,
                                   .c = step->product,
                                   .c_row = units,
                                   .accumulate = step->adds_product};
    FN_SYM(recurrent_multiply)(step, &product);
}

static void kernel_gradient(const fn_node *node, const gradient_tile *tile)
{
    const int64_t units = units_of(node);
    FN_SYM(recurrent_kernel_gradient)(node, tile, tile->h, units, tile->gates, units, tile->lo, tile->hi);
}

static void bias_gradient(const fn_node *node, const gradient_tile *tile)
{
    FN_SYM(recurrent_sum_columns)(node, tile, tile->gates, units_of(node), 0, 1, tile->lo, tile->hi);
}

static const recurrent_cell cell = {
    .label = {"simple_rnn pack", "simple_rnn forward", "simple_rnn backward", "simple_rnn backward parameters",
              "simple_rnn states"},
    .states = 1,
    .gates = 1,
    .columns = 1,
    .bias_rows = 1,
    .pack = pack,
    .forward = forward_step,
    .differentiate = differentiate_step,
    .multiply_back = multiply_back,
    .divides_units = true,
    .kernel_gradient = kernel_gradient,
    .bias_gradient = bias_gradient,
};

static fn_status infer(fn_inference *inference)
{
    return FN_SYM(recurrent_infer)(inference, &cell);
}

static void forward(fn_plan *plan, fn_node *node)
{
    FN_SYM(recurrent_forward)(plan, node, &cell);
}

const fn_op FN_SYM(op_simple_rnn) = {
    .entry = {"simple_rnn", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 3,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = FN_SYM(recurrent_backward),
    .update = FN_SYM(recurrent_update),
};
