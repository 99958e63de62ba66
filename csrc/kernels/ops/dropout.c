/* Dropout (Srivastava et al. 2014), inverted: in training
 *
 *   y = x m / (1 - rate),  m = 1 with probability 1 - rate, else 0
 *   dx = dy m / (1 - rate)
 *
 * and y = x otherwise. With `shared`, all positions of a row (time steps, pixels) share the m of a channel (Tompson et
 * al. 2015).
 *
 * Extra: the factors m / (1 - rate). Attributes: rate in [0, 1), shared. */
#include "../random.h"

enum { RATE, SHARED };
enum { FACTOR };

static const fn_attribute attributes[] = {{"rate", 0.5}, {"shared", 0}};

static fn_status infer(fn_inference *inference)
{
    double rate = inference->attribute[RATE];
    if (!(rate >= 0 && rate < 1))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': rate must be in [0, 1), got %g",
                       inference->layer, rate);
    const fn_shape *x = &inference->input[0];
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = *x;
    inference->alias = !inference->training;
    if (inference->training) {
        inference->n_extras = 1;
        inference->extra_per_row[FACTOR] = inference->attribute[SHARED] ? fn_shape_last(x) : fn_shape_size(x);
    }
    return FN_OK;
}

/* out = in * factor for rows lo to hi; out may be added to. */
static void multiply(const fn_node *node, const real *in, real *out, bool accumulate, int64_t lo, int64_t hi)
{
    int64_t width = node->input[0].width, kept = node->extra[FACTOR].width, repeats = width / kept;
    const real *factor = node->extra[FACTOR].value;
    for (int64_t row = lo; row < hi; row++)
        for (int64_t r = 0; r < repeats; r++) {
            const real *restrict x = in + row * width + r * kept, *restrict f = factor + row * kept;
            real *restrict y = out + row * width + r * kept;
            if (accumulate) {
#pragma omp simd
                for (int64_t j = 0; j < kept; j++)
                    y[j] = FN_FMA(x[j], f[j], y[j]);
            } else {
#pragma omp simd
                for (int64_t j = 0; j < kept; j++)
                    y[j] = x[j] * f[j];
            }
        }
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    enum { CHUNK = 256 };
    double rate = node->attribute[RATE];
    const real scale = (real)(1 / (1 - rate));
    /* An element is dropped if its word is below this; a rate that rounds to all words leaves one. */
    const uint32_t bound = (uint32_t)(rate * 4294967296.0);
    real *factor = node->extra[FACTOR].value;
    int64_t end = hi * node->extra[FACTOR].width;
    for (int64_t first = lo * node->extra[FACTOR].width; first < end; first += CHUNK) {
        int64_t n = end - first < CHUNK ? end - first : CHUNK;
        uint32_t word[CHUNK];
        fill_random_words(node, context, first, first + n, word);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            factor[first + i] = word[i] < bound ? 0 : scale;
    }
    multiply(node, node->input[0].value, node->output[0].value, false, lo, hi);
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    multiply(node, node->output[0].gradient, node->input[0].gradient, node->input[0].accumulate, lo, hi);
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, node, "dropout", forward_rows, FN_BY_ROWS, 0);
    fn_reads(plan, node->input[0].value_buffer);
    fn_writes(plan, node->extra[FACTOR].value_buffer);
    fn_writes(plan, node->output[0].value_buffer);
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, node, "dropout backward", backward_rows, FN_BY_ROWS, 0);
    fn_reads(plan, node->extra[FACTOR].value_buffer);
    fn_reads(plan, node->output[0].gradient_buffer);
    fn_writes(plan, node->input[0].gradient_buffer);
}

const fn_op FN_SYM(op_dropout) = {
    .entry = {"dropout", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
