/* Random numbers that depend on no other value: y [rows][width] of one distribution, new ones in each step, in training and
 * outside of it. Nothing of x is used but how many rows it has; dx = 0.
 *
 *   uniform            y = a + (b - a) u,  u in (0, 1), below b
 *   normal             y = a + b z,  z standard normal
 *   truncated_normal   the same with z between -2 and 2
 *   integer            y = a + k, k a whole number from 0 to b - a - 1
 *
 * Attributes: distribution; a, b; seed, or a negative number for that of the model; fixed: the numbers are a function of `seed`
 * and `counter` alone, the same in each step and each node; shared: all rows have the same numbers; the shape of a sample.
 *
 * u has 23 bits in float32 and 32 in float64. There is no fused multiply-add: all instruction sets draw the same bits. */
#define FN_WITHOUT_FMA
#include "../random.h"

#include <string.h>

enum { DISTRIBUTION, A, B, SEED, FIXED, COUNTER, SHARED, RANK, SIZE_0 };
enum { UNIFORM, NORMAL, TRUNCATED_NORMAL, INTEGER };

static const fn_attribute attributes[] = {
    {"distribution", NORMAL, FN_ONE_OF(4, "uniform normal truncated_normal integer")},
    {"a", 0, FN_ANY},
    {"b", 1, FN_ANY},
    {"seed", -1, FN_SEED},
    {"fixed", 0, FN_FLAG},
    {"counter", 0, FN_INTEGER(0, 0x1p53 - 1)},
    {"shared", 0, FN_FLAG},
    {"rank", 1, FN_INTEGER(0, FN_MAX_RANK)},
    FN_SIZE_ATTRIBUTES,
};

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    fn_shape *y = &inference->signature.output[0];
    inference->signature.n_outputs = 1;
    y->rank = (int32_t)attribute[RANK];
    for (int32_t i = 0; i < y->rank; i++)
        y->size[i] = (int64_t)attribute[SIZE_0 + i];
    if (attribute[DISTRIBUTION] == INTEGER && !(attribute[B] > attribute[A] && attribute[B] - attribute[A] <= 0x1p32))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE,
                       "layer '%s': expected a range of 1 to 2^32 whole numbers, got those from %g to below %g", inference->layer,
                       attribute[A], attribute[B]);
    return FN_OK;
}

static random_stream stream_of(const fn_node *node, const fn_context *context, bool training)
{
    random_stream stream = random_stream_of(node, context, node->attribute[SEED]);
    if (node->attribute[FIXED]) {
        stream.high = (uint64_t)FN_STREAM_FIXED << 56;
        stream.step = (uint64_t)node->attribute[COUNTER];
    } else if (!training) {
        stream.high ^= (uint64_t)(FN_STREAM_DROPOUT ^ FN_STREAM_PREDICTED) << 56;
    }
    return stream;
}

static void draw_uniforms(const fn_node *node, const uint32_t word[RANDOM_GROUP], real y[RANDOM_GROUP])
{
    const real a = (real)node->attribute[A], b = (real)node->attribute[B];
#if FN_BITS == 32
    const real below = b > a ? nextafterf(b, a) : a;
#else
    const real below = b > a ? nextafter(b, a) : a;
#endif
#pragma omp simd
    for (int32_t i = 0; i < RANDOM_GROUP; i++) {
#if FN_BITS == 32
        const real u = ((real)(int32_t)(word[i] >> 9) + FN_REAL(0.5)) * FN_REAL(0x1p-23);
#else
        const real u = ((real)(int32_t)(word[i] ^ 0x80000000u) + (0x1p31 + 0.5)) * 0x1p-32;
#endif
        const real drawn = a + u * (b - a);
        y[i] = drawn < below ? drawn : below;
    }
}

static void draw_normals(const fn_node *node, const uint32_t word[RANDOM_GROUP], real y[RANDOM_GROUP])
{
    /* Of the 2^32 words those between the quantiles of -2 and 2. */
    const bool truncated = node->attribute[DISTRIBUTION] == TRUNCATED_NORMAL;
    const uint32_t first = truncated ? 97711073u : 0;
    const uint64_t n = truncated ? ((uint64_t)1 << 32) - 2 * 97711073u : (uint64_t)1 << 32;
    const real a = (real)node->attribute[A], b = (real)node->attribute[B];
#pragma omp simd
    for (int32_t i = 0; i < RANDOM_GROUP; i++)
        y[i] = a + b * normal_of_word(first + (uint32_t)(word[i] * n >> 32));
}

static void draw_integers(const fn_node *node, const uint32_t word[RANDOM_GROUP], real y[RANDOM_GROUP])
{
    const uint64_t n = (uint64_t)(node->attribute[B] - node->attribute[A]);
    for (int32_t i = 0; i < RANDOM_GROUP; i++)
        y[i] = (real)(node->attribute[A] + (double)(word[i] * n >> 32));
}

/* Elements start to end, counted through the rows, into y. */
static void draw(const fn_node *node, random_stream stream, int64_t start, int64_t end, real *y)
{
    for (int64_t group = start / RANDOM_GROUP; group * RANDOM_GROUP < end; group++) {
        const random_span span = span_of_group(group, start, end);
        uint32_t word[RANDOM_GROUP];
        real drawn[RANDOM_GROUP];
        random_words(stream, group, word);
        switch ((int)node->attribute[DISTRIBUTION]) {
        case UNIFORM:
            draw_uniforms(node, word, drawn);
            break;
        case INTEGER:
            draw_integers(node, word, drawn);
            break;
        default:
            draw_normals(node, word, drawn);
        }
        memcpy(y + group * RANDOM_GROUP + span.first - start, drawn + span.first, (size_t)(span.end - span.first) * sizeof *y);
    }
}

static void draw_rows(const fn_node *node, random_stream stream, int64_t lo, int64_t hi)
{
    const int64_t width = node->output[0].width;
    real *y = (real *)node->output[0].value + lo * width;
    if (!node->attribute[SHARED]) {
        draw(node, stream, lo * width, hi * width, y);
        return;
    }
    if (lo < hi)
        draw(node, stream, 0, width, y);
    for (int64_t row = 1; row < hi - lo; row++)
        memcpy(y + row * width, y, (size_t)width * sizeof *y);
}

static void train_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    draw_rows(node, stream_of(node, context, true), lo, hi);
}

static void predict_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    draw_rows(node, stream_of(node, context, false), lo, hi);
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "random",
                                   .run = fn_plan_training(plan) ? train_rows : predict_rows,
                                   .by_pieces = true,
                                   .ports = FN_WRITES_OUTPUTS});
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t width = node->input[0].width;
    memset((real *)node->input[0].gradient + lo * width, 0, (size_t)((hi - lo) * width) * sizeof(real));
}

static void backward(fn_plan *plan, fn_node *node)
{
    if (node->input[0].gradient_buffer >= 0 && !node->input[0].accumulate)
        fn_emit(plan, &(fn_stage_spec){
                          .node = node, .label = "random backward", .run = backward_rows, .ports = FN_WRITES_INPUT_GRADIENTS});
}

const fn_op FN_SYM(op_random) = {
    .entry = {"random", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
