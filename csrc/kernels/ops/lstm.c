/* LSTM: long short-term memory (Hochreiter and Schmidhuber 1997; with a forget gate, Gers, Schmidhuber and Cummins 2000).
 *
 *   [i f g o] = x W + h' U + b               x [rows][inputs], h' [rows][units]: h of the step before
 *   i, f, o = s(i), s(f), s(o); g = a(g)     s: the recurrent activation, a: the activation
 *   c = f c' + i g
 *   h = o a(c)
 *
 *   do = dh a(c),  dc = dc + dh o a'(c)
 *   di = dc g,  df = dc c',  dg = dc i,  dc' = dc f
 *   dz = [di s'(i)  df s'(f)  dg a'(g)  do s'(o)],  dh' = dz U^T
 *   dU = sum over steps and rows of h'^T dz,  db = sum of dz
 *
 * W [inputs][4 units], U [units][4 units], b [4 units]. The gates are kept as they are; see recurrent.h. */
#include "../math.h"
#include "../recurrent.h"

static const fn_attribute attributes[] = {RECURRENT_ATTRIBUTE_LIST};

enum { FORWARD_BLOCK, BACKWARD_BLOCK };

static int pack(const fn_node *node, bool training, packed_matrix list[MOST_BLOCKS])
{
    const int64_t units = units_of(node), columns = 4 * units;
    list[FORWARD_BLOCK] = (packed_matrix){.parameter = 1, .row = columns, .column = 1, .n = columns, .k = units};
    list[BACKWARD_BLOCK] = (packed_matrix){.parameter = 1, .row = 1, .column = columns, .n = training ? units : 0, .k = columns};
    return 2;
}

static void open_standard(int64_t n, real *z)
{
    FN_FOR_EACH(j, n, z[j] = fn_sigmoid(z[j]));
}

FN_INLINE void move_cell(int64_t j, int64_t units, real *z, const real *before, real *c)
{
    const real g = fn_tanh(z[2 * units + j]);
    z[2 * units + j] = g;
    c[j] = FN_FMA(z[units + j], before[j], z[j] * g);
}

static void move_cells(int64_t n, int64_t units, real *restrict z, const real *restrict before, real *restrict c)
{
    FN_FOR_EACH(j, n, move_cell(j, units, z, before, c));
}

static void show_cells(int64_t n, const real *restrict o, const real *restrict c, real *restrict h)
{
    FN_FOR_EACH(j, n, h[j] = o[j] * fn_tanh(c[j]));
}

/* n units of one row: z from sums to gates, c and h. In loops of one function each: in one loop they would wait for each other,
 * as no more vectors than two or three are on their way at a time. */
static void forward_standard(int64_t n, int64_t units, real *z, const real *before, real *c, real *h)
{
    open_standard(n, z);
    open_standard(n, z + units);
    open_standard(n, z + 3 * units);
    move_cells(n, units, z, before, c);
    show_cells(n, z + 3 * units, c, h);
}

static void forward_general(const fn_node *node, int64_t n, int64_t units, real *restrict z, const real *restrict before,
                            real *restrict c, real *restrict h)
{
    for (int gate = 0; gate < 4; gate++)
        activate(node, gate == 2 ? ACTIVATION : RECURRENT_ACTIVATION, z + gate * units, n);
    FN_FOR_EACH(j, n, h[j] = c[j] = FN_FMA(z[units + j], before[j], z[j] * z[2 * units + j]));
    activate(node, ACTIVATION, h, n);
    FN_FOR_EACH(j, n, h[j] *= z[3 * units + j]);
}

static void forward_step(const recurrent_step *step)
{
    const int64_t units = step->units, width = 4 * units;
    const block_product product = {
        .block = FORWARD_BLOCK, .a = step->h, .a_row = units, .c = step->gates, .c_row = width, .accumulate = true};
    FN_SYM(recurrent_multiply)(step, &product);
    const bool standard = is_standard(step->node);
    for (int64_t r = 0; r < step->rows; r++) {
        real *z = step->gates + r * width, *c = step->after[1] + r * units, *h = step->after[0] + r * units;
        for (int gate = 0; gate < 4; gate++)
            keep_sums(step, (r * 4 + gate) * units);
        if (standard)
            forward_standard(step->n, units, z, step->state[1] + r * units, c, h);
        else
            forward_general(step->node, step->n, units, z, step->state[1] + r * units, c, h);
    }
}

FN_INLINE void backward_unit(int64_t j, int64_t units, real *z, const real *before, const real *c, real *dh, real *dc)
{
    const real one = 1, tangent = fn_tanh(c[j]);
    const real i = z[j], f = z[units + j], g = z[2 * units + j], o = z[3 * units + j];
    const real cell = FN_FMA(dh[j] * o, FN_FMA(-tangent, tangent, one), dc[j]);
    z[j] = cell * g * (i * (one - i));
    z[units + j] = cell * before[j] * (f * (one - f));
    z[2 * units + j] = cell * i * FN_FMA(-g, g, one);
    z[3 * units + j] = dh[j] * tangent * (o * (one - o));
    dc[j] = cell * f;
    dh[j] = 0;
}

/* n units of one row: z from gates to gradients of the sums. dh becomes 0: all of it goes by way of the product. */
static void backward_standard(int64_t n, int64_t units, real *restrict z, const real *restrict before, const real *restrict c,
                              real *restrict dh, real *restrict dc)
{
    FN_FOR_EACH(j, n, backward_unit(j, units, z, before, c, dh, dc));
}

/* The same for any activations. pre: the sums, or NULL; spare: [4 * units]. */
static void backward_general(const fn_node *node, int64_t n, int64_t units, real *restrict z, const real *restrict pre,
                             const real *restrict before, const real *restrict c, real *restrict dh, real *restrict dc,
                             real *restrict spare)
{
    real *tangent = spare, *slope = spare + units, *cell = spare + 2 * units;
    memcpy(tangent, c, (size_t)n * sizeof *c);
    activate(node, ACTIVATION, tangent, n);
    FN_FOR_EACH(j, n, slope[j] = dh[j] * z[3 * units + j]);
    differentiate(node, ACTIVATION, slope, tangent, c, slope, n);
    FN_FOR_EACH(j, n, cell[j] = dc[j] + slope[j]);
    const real *sum[4];
    for (int gate = 0; gate < 4; gate++)
        sum[gate] = pre ? pre + gate * units : NULL;
    /* The gates are read before they are written over. */
    FN_FOR_EACH(j, n, dc[j] = cell[j] * z[units + j]);
    FN_FOR_EACH(j, n, slope[j] = cell[j] * z[2 * units + j]);
    FN_FOR_EACH(j, n, tangent[j] *= dh[j]);
    FN_FOR_EACH(j, n, dh[j] = cell[j] * z[j]);
    differentiate(node, RECURRENT_ACTIVATION, slope, z, sum[0], z, n);
    FN_FOR_EACH(j, n, slope[j] = cell[j] * before[j]);
    differentiate(node, RECURRENT_ACTIVATION, slope, z + units, sum[1], z + units, n);
    differentiate(node, ACTIVATION, dh, z + 2 * units, sum[2], z + 2 * units, n);
    differentiate(node, RECURRENT_ACTIVATION, tangent, z + 3 * units, sum[3], z + 3 * units, n);
    memset(dh, 0, (size_t)n * sizeof *dh);
}

static void differentiate_step(const recurrent_step *step)
{
    const int64_t units = step->units, width = 4 * units;
    const bool standard = is_standard(step->node);
    for (int64_t r = 0; r < step->rows; r++) {
        real *z = step->gates + r * width, *dh = step->gradient[0] + r * units, *dc = step->gradient[1] + r * units;
        const real *before = step->state[1] + r * units, *c = step->after[1] + r * units;
        if (is_masked(step, r))
            clear_gates(step, 4, r);
        else if (standard)
            backward_standard(step->n, units, z, before, c, dh, dc);
        else
            backward_general(step->node, step->n, units, z, step->pre ? step->pre + r * width : NULL, before, c, dh, dc,
                             step->spare);
    }
}

static void multiply_back(const recurrent_step *step)
{
    const int64_t units = step->units, width = 4 * units;
    const block_product product = {.block = BACKWARD_BLOCK,
                                   .a = step->all_gates,
                                   .a_row = width,
                                   .c = step->product,
                                   .c_row = units,
                                   .accumulate = step->adds_product};
    FN_SYM(recurrent_multiply)(step, &product);
}

static void kernel_gradient(const fn_node *node, const gradient_tile *tile)
{
    const int64_t units = units_of(node);
    FN_SYM(recurrent_kernel_gradient)(node, tile, tile->h, units, tile->gates, 4 * units, tile->lo, tile->hi);
}

static void bias_gradient(const fn_node *node, const gradient_tile *tile)
{
    FN_SYM(recurrent_sum_columns)(node, tile, tile->gates, 4 * units_of(node), 0, 1, tile->lo, tile->hi);
}

static const recurrent_cell cell = {
    .label = {"lstm pack", "lstm forward", "lstm backward", "lstm backward parameters", "lstm states"},
    .states = 2,
    .gates = 4,
    .columns = 4,
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

const fn_op FN_SYM(op_lstm) = {
    .entry = {"lstm", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 4,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = FN_SYM(recurrent_backward),
    .update = FN_SYM(recurrent_update),
};
