/* GRU: gated recurrent unit (Cho et al. 2014).
 *
 *   z = s(x Wz + bz + h' Uz + bz'),  r = s(x Wr + br + h' Ur + br')      s: the recurrent activation, a: the activation
 *   g = a(x Wg + bg + r (h' Ug + bg'))                                   reset_after; else
 *   g = a(x Wg + bg + (r h') Ug),  without bz' and br'
 *   h = z h' + (1 - z) g                                                 h': h of the step before
 *
 *   dg = dh (1 - z) a'(g),  dz = dh (h' - g) s'(z),  dh' = dh z + [dz dr] [Uz Ur]^T + what comes through g:
 *   reset_after:  dr = dg (h' Ug + bg') s'(r),  dq = dg r,    dh' += dq Ug^T,  dUg = sum of h'^T dq
 *   else:         dr = (dg Ug^T) h' s'(r),                    dh' += (dg Ug^T) r,  dUg = sum of (r h')^T dg
 *
 * W [inputs][3 units], U [units][3 units] in the order z, r, g; b [3 units] or, reset_after, [2][3 units], of which the second
 * row is that of the recurrent products. Of each row 4 units numbers are kept: z, r, g and either h' Ug + bg' or r h';
 * backwards dz, dr, dg and, reset_after, dq. See recurrent.h. */
#include "../math.h"
#include "../recurrent.h"

enum { RESET_AFTER = RECURRENT_ATTRIBUTES };

static const fn_attribute attributes[] = {RECURRENT_ATTRIBUTE_LIST, {"reset_after", 1, FN_FLAG}};

/* Uz and Ur, and Ug, forwards and transposed. */
enum { GATES_BLOCK, CANDIDATE_BLOCK, GATES_BACK, CANDIDATE_BACK };

static bool resets_after(const fn_node *node)
{
    return node->attribute[RESET_AFTER] != 0;
}

static int pack(const fn_node *node, bool training, packed_matrix list[MOST_BLOCKS])
{
    const int64_t units = units_of(node), columns = 3 * units, back = training ? units : 0;
    list[GATES_BLOCK] = (packed_matrix){.parameter = 1, .row = columns, .column = 1, .n = 2 * units, .k = units};
    list[CANDIDATE_BLOCK] =
        (packed_matrix){.parameter = 1, .offset = 2 * units, .row = columns, .column = 1, .n = units, .k = units};
    list[GATES_BACK] = (packed_matrix){.parameter = 1, .row = 1, .column = columns, .n = back, .k = 2 * units};
    list[CANDIDATE_BACK] =
        (packed_matrix){.parameter = 1, .offset = 2 * units, .row = 1, .column = columns, .n = back, .k = units};
    return 4;
}

/* ---- forward ------------------------------------------------------------------------------------- */

/* n gates from their sums and their biases. */
static void open_standard(int64_t n, real *restrict z, const real *restrict bias)
{
    FN_FOR_EACH(j, n, z[j] = fn_sigmoid(z[j] + bias[j]));
}

FN_INLINE void finish_unit(int64_t j, int64_t units, real *z, const real *before, real *h)
{
    const real candidate = fn_tanh(FN_FMA(z[units + j], z[3 * units + j], z[2 * units + j]));
    z[2 * units + j] = candidate;
    h[j] = FN_FMA(z[j], before[j] - candidate, candidate);
}

static void finish_standard(int64_t n, int64_t units, real *restrict z, const real *restrict before, real *restrict h)
{
    FN_FOR_EACH(j, n, finish_unit(j, units, z, before, h));
}

/* n units of one row with reset_after: gates from sums, h. In loops of one function each: in one loop they would wait for each
 * other, as no more vectors than two or three are on their way at a time. */
static void forward_standard(int64_t n, int64_t units, real *z, const real *bias, const real *before, real *h)
{
    open_standard(n, z, bias);
    open_standard(n, z + units, bias + units);
    finish_standard(n, units, z, before, h);
}

static void mix(int64_t n, int64_t units, const real *restrict z, const real *restrict before, real *restrict h)
{
    FN_FOR_EACH(j, n, h[j] = FN_FMA(z[j], before[j] - z[2 * units + j], z[2 * units + j]));
}

/* The gates z and r of a row from their sums, to which `bias` is added where there is one. */
static void open_gates(const recurrent_step *step, int64_t row, const real *restrict bias)
{
    const int64_t units = step->units;
    for (int64_t gate = 0; gate < 2; gate++) {
        const int64_t at = (row * 4 + gate) * units;
        real *restrict z = step->gates + at;
        if (bias)
            FN_FOR_EACH(j, step->n, z[j] += bias[gate * units + j]);
        keep_sums(step, at);
        activate(step->node, RECURRENT_ACTIVATION, z, step->n);
    }
}

/* g of a row from its sum, and h. */
static void finish_row(const recurrent_step *step, int64_t row)
{
    const int64_t units = step->units;
    real *z = step->gates + row * 4 * units;
    keep_sums(step, (row * 4 + 2) * units);
    activate(step->node, ACTIVATION, z + 2 * units, step->n);
    mix(step->n, units, z, step->state[0] + row * units, step->after[0] + row * units);
}

static void add_product(int64_t n, int64_t units, real *restrict z)
{
    FN_FOR_EACH(j, n, z[2 * units + j] = FN_FMA(z[units + j], z[3 * units + j], z[2 * units + j]));
}

static void reset_after_step(const recurrent_step *step)
{
    const fn_node *node = step->node;
    const int64_t units = step->units, width = 4 * units;
    const real *bias = node->attribute[USE_BIAS] ? bias_of(node) + 3 * units : NULL, *own = bias ? bias + step->unit : NULL;
    const block_product candidate = {.block = CANDIDATE_BLOCK,
                                     .a = step->h,
                                     .a_row = units,
                                     .c = step->gates + 3 * units,
                                     .c_row = width,
                                     .bias = bias ? bias + 2 * units : NULL};
    FN_SYM(recurrent_multiply)(step, &candidate);
    const bool standard = is_standard(node) && bias;
    for (int64_t r = 0; r < step->rows; r++) {
        real *z = step->gates + r * width;
        if (standard) {
            forward_standard(step->n, units, z, own, step->state[0] + r * units, step->after[0] + r * units);
        } else {
            open_gates(step, r, own);
            add_product(step->n, units, z);
            finish_row(step, r);
        }
    }
}

static void reset_before_step(const recurrent_step *step)
{
    const int64_t units = step->units, width = 4 * units;
    for (int64_t r = 0; r < step->rows; r++) {
        real *restrict z = step->gates + r * width;
        const real *restrict h = step->h + r * units;
        open_gates(step, r, NULL);
        FN_FOR_EACH(j, units, z[3 * units + j] = z[units + j] * h[j]);
    }
    const block_product candidate = {.block = CANDIDATE_BLOCK,
                                     .a = step->gates + 3 * units,
                                     .a_row = width,
                                     .c = step->gates + 2 * units,
                                     .c_row = width,
                                     .accumulate = true};
    FN_SYM(recurrent_multiply)(step, &candidate);
    for (int64_t r = 0; r < step->rows; r++)
        finish_row(step, r);
}

static void forward_step(const recurrent_step *step)
{
    const int64_t units = step->units;
    const block_product gates = {
        .block = GATES_BLOCK, .a = step->h, .a_row = units, .c = step->gates, .c_row = 4 * units, .accumulate = true};
    FN_SYM(recurrent_multiply)(step, &gates);
    if (resets_after(step->node))
        reset_after_step(step);
    else
        reset_before_step(step);
}

/* ---- backward ------------------------------------------------------------------------------------ */

FN_INLINE void backward_unit(int64_t j, int64_t units, real *z, const real *before, real *dh)
{
    const real one = 1, update = z[j], reset = z[units + j], candidate = z[2 * units + j], given = dh[j];
    const real dg = given * (one - update) * FN_FMA(-candidate, candidate, one);
    z[j] = given * (before[j] - candidate) * (update * (one - update));
    z[units + j] = dg * z[3 * units + j] * (reset * (one - reset));
    z[2 * units + j] = dg;
    z[3 * units + j] = dg * reset;
    dh[j] = given * update;
}

/* n units of one row with reset_after: z from gates to gradients of the sums, dh to the part of it that passes z. */
static void backward_standard(int64_t n, int64_t units, real *restrict z, const real *restrict before, real *restrict dh)
{
    FN_FOR_EACH(j, n, backward_unit(j, units, z, before, dh));
}

/* dg and dz of a row, for any activations; dh to the part of it that passes z. */
static void differentiate_outer(const recurrent_step *step, int64_t row)
{
    const int64_t units = step->units, n = step->n;
    real *restrict z = step->gates + row * 4 * units, *restrict dh = step->gradient[0] + row * units;
    const real *restrict before = step->state[0] + row * units, *pre = step->pre ? step->pre + row * 4 * units : NULL;
    real *restrict dg = step->spare, *restrict dz = step->spare + units;
    FN_FOR_EACH(j, n, dg[j] = dh[j] * (1 - z[j]));
    FN_FOR_EACH(j, n, dz[j] = dh[j] * (before[j] - z[2 * units + j]));
    FN_FOR_EACH(j, n, dh[j] *= z[j]);
    differentiate(step->node, ACTIVATION, dg, z + 2 * units, pre ? pre + 2 * units : NULL, z + 2 * units, n);
    differentiate(step->node, RECURRENT_ACTIVATION, dz, z, pre, z, n);
}

/* dr of a row from the gradient dq of what r multiplies, q. */
static void differentiate_reset(const recurrent_step *step, int64_t row, const real *restrict dq, const real *restrict q)
{
    const int64_t units = step->units;
    real *z = step->gates + row * 4 * units, *restrict dr = step->spare;
    const real *pre = step->pre ? step->pre + row * 4 * units : NULL;
    FN_FOR_EACH(j, step->n, dr[j] = dq[j] * q[j]);
    differentiate(step->node, RECURRENT_ACTIVATION, dr, z + units, pre ? pre + units : NULL, z + units, step->n);
}

static void differentiate_reset_after(const recurrent_step *step)
{
    const int64_t units = step->units, n = step->n, width = 4 * units;
    const bool standard = is_standard(step->node);
    for (int64_t r = 0; r < step->rows; r++) {
        real *restrict z = step->gates + r * width;
        if (is_masked(step, r)) {
            clear_gates(step, 4, r);
        } else if (standard) {
            backward_standard(n, units, z, step->state[0] + r * units, step->gradient[0] + r * units);
        } else {
            differentiate_outer(step, r);
            real *restrict reset = step->spare + 2 * units;
            memcpy(reset, z + units, (size_t)n * sizeof *reset);
            differentiate_reset(step, r, z + 2 * units, z + 3 * units);
            FN_FOR_EACH(j, n, z[3 * units + j] = z[2 * units + j] * reset[j]);
        }
    }
}

/* The gradient of r h' is a product already. */
static void differentiate_reset_before(const recurrent_step *step)
{
    const int64_t units = step->units, width = 4 * units;
    for (int64_t r = 0; r < step->rows; r++)
        if (is_masked(step, r))
            clear_gates(step, 4, r);
        else
            differentiate_outer(step, r);
    const block_product candidate = {
        .block = CANDIDATE_BACK, .a = step->gates + 2 * units, .a_row = width, .c = step->product, .c_row = units};
    FN_SYM(recurrent_multiply)(step, &candidate);
    for (int64_t r = 0; r < step->rows; r++) {
        real *restrict through = step->product + r * units, *restrict reset = step->spare + 2 * units;
        if (is_masked(step, r))
            continue;
        memcpy(reset, step->gates + r * width + units, (size_t)units * sizeof *reset);
        differentiate_reset(step, r, through, step->h + r * units);
        FN_FOR_EACH(j, units, through[j] *= reset[j]);
    }
}

static void multiply_back(const recurrent_step *step)
{
    const int64_t units = step->units, width = 4 * units;
    const block_product candidate = {.block = CANDIDATE_BACK,
                                     .a = step->all_gates + 3 * units,
                                     .a_row = width,
                                     .c = step->product,
                                     .c_row = units,
                                     .accumulate = step->adds_product};
    if (resets_after(step->node))
        FN_SYM(recurrent_multiply)(step, &candidate);
    const block_product gates = {
        .block = GATES_BACK, .a = step->all_gates, .a_row = width, .c = step->product, .c_row = units, .accumulate = true};
    FN_SYM(recurrent_multiply)(step, &gates);
}

/* ---- parameters ---------------------------------------------------------------------------------- */

/* The first column of a part from which on gates and columns differ; its end where they do not. */
static int64_t find_middle(int64_t units, const gradient_tile *tile)
{
    const int64_t middle = 2 * units;
    return tile->lo > middle ? tile->lo : tile->hi < middle ? tile->hi : middle;
}

static void kernel_gradient(const fn_node *node, const gradient_tile *tile)
{
    const int64_t units = units_of(node), width = 4 * units, middle = find_middle(units, tile);
    if (tile->lo < middle)
        FN_SYM(recurrent_kernel_gradient)(node, tile, tile->h, units, tile->gates, width, tile->lo, middle);
    if (middle == tile->hi)
        return;
    if (resets_after(node))
        FN_SYM(recurrent_kernel_gradient)(node, tile, tile->h, units, tile->gates + units, width, middle, tile->hi);
    else
        FN_SYM(recurrent_kernel_gradient)(node, tile, tile->gates + 3 * units, width, tile->gates, width, middle, tile->hi);
}

static void bias_gradient(const fn_node *node, const gradient_tile *tile)
{
    const int64_t units = units_of(node), width = 4 * units, middle = find_middle(units, tile);
    if (!resets_after(node)) {
        FN_SYM(recurrent_sum_columns)(node, tile, tile->gates, width, 0, 1, tile->lo, tile->hi);
        return;
    }
    /* Of the second row, dq takes the place of dg. */
    FN_SYM(recurrent_sum_columns)(node, tile, tile->gates, width, 0, 2, tile->lo, middle);
    FN_SYM(recurrent_sum_columns)(node, tile, tile->gates, width, 0, 1, middle, tile->hi);
    FN_SYM(recurrent_sum_columns)(node, tile, tile->gates + units, width, 1, 1, middle, tile->hi);
}

#define GRU_CELL                                                                                                                 \
    .label = {"gru pack", "gru forward", "gru backward", "gru backward parameters", "gru states"}, .states = 1, .gates = 4,      \
    .columns = 3, .pack = pack, .forward = forward_step, .multiply_back = multiply_back, .kernel_gradient = kernel_gradient,     \
    .bias_gradient = bias_gradient

static const recurrent_cell reset_after_cell = {
    GRU_CELL,
    .bias_rows = 2,
    .differentiate = differentiate_reset_after,
    .divides_units = true,
};

/* Its candidates wait for r of all units. */
static const recurrent_cell reset_before_cell = {
    GRU_CELL,
    .bias_rows = 1,
    .differentiate = differentiate_reset_before,
    .keeps_product = true,
};

static const recurrent_cell *choose_cell(const double *attribute)
{
    return attribute[RESET_AFTER] ? &reset_after_cell : &reset_before_cell;
}

static fn_status infer(fn_inference *inference)
{
    return FN_SYM(recurrent_infer)(inference, choose_cell(inference->attribute));
}

static void forward(fn_plan *plan, fn_node *node)
{
    FN_SYM(recurrent_forward)(plan, node, choose_cell(node->attribute));
}

const fn_op FN_SYM(op_gru) = {
    .entry = {"gru", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 3,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = FN_SYM(recurrent_backward),
    .update = FN_SYM(recurrent_update),
};
