/* Takes one of two arrays at each position, or one array and a number, as a mask says:
 *
 *   y[p] = m[p] > 0 ? a[p] : b[p]        m [positions], a, b, y [positions][width]
 *   da[p] = dy[p] where m[p] > 0, else 0;  db[p] = dy[p] where it is not
 *
 * Inputs: m, a, b; or m, a, where `value` stands for b. Positions are the first axes, those of m. No gradient passes the mask. */
#include "../math.h"
#include "merge.h"

enum { MASK, FIRST, SECOND };
static const fn_attribute attributes[] = {{"value", 0, FN_ANY}};

static fn_status infer(fn_inference *inference)
{
    const fn_shape *mask = &inference->input[MASK], *a = &inference->input[FIRST];
    char text[FN_SHAPE_TEXT], other[FN_SHAPE_TEXT];
    fn_shape positions = *a;
    positions.rank = mask->rank;
    if (mask->rank > a->rank || !fn_shapes_agree(mask, &positions, -1))
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': a mask of shape %s does not fit an array of shape %s",
                       inference->layer, fn_shape_text(mask, text), fn_shape_text(a, other));
    const fn_shape *b = &inference->input[inference->n_inputs - 1]; /* `a` itself where there is none */
    if (!fn_shapes_agree(a, b, -1))
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': the shapes %s and %s must be the same", inference->layer,
                       fn_shape_text(a, text), fn_shape_text(b, other));
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = *a;
    inference->signature.keeps_numbers = inference->n_inputs > SECOND || inference->attribute[0] == 0;
    return FN_OK;
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t inner = node->input[MASK].width, width = node->output[0].width / inner;
    const real *mask = node->input[MASK].value, *a = node->input[FIRST].value, value = (real)node->attribute[0];
    const real *b = node->n_inputs > SECOND ? node->input[SECOND].value : NULL;
    real *restrict y = node->output[0].value;
    for (int64_t p = lo * inner; p < hi * inner; p++) {
        real *restrict row = y + p * width;
        const real *taken = mask[p] > 0 ? a : b;
        if (taken)
            memcpy(row, taken + p * width, (size_t)width * sizeof *row);
        else
            FN_FOR_EACH(j, width, row[j] = value);
    }
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t inner = node->input[MASK].width, width = node->output[0].width / inner;
    const real *mask = node->input[MASK].value, *dy = node->output[0].gradient;
    for (int i = FIRST; i < node->n_inputs; i++) {
        real *restrict dx = node->input[i].gradient;
        for (int64_t p = lo * inner; dx && p < hi * inner; p++) {
            real *restrict row = dx + p * width;
            const bool taken = (mask[p] > 0) == (i == FIRST);
            if (taken && node->input[i].accumulate)
                FN_FOR_EACH(j, width, row[j] += dy[p * width + j]);
            else if (taken)
                memcpy(row, dy + p * width, (size_t)width * sizeof *row);
            else if (!node->input[i].accumulate)
                memset(row, 0, (size_t)width * sizeof *row);
        }
    }
}

/* The gradient of the mask. */
static void clear_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const int64_t inner = node->input[MASK].width;
    memset((real *)node->input[MASK].gradient + lo * inner, 0, (size_t)((hi - lo) * inner) * sizeof(real));
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan,
            &(fn_stage_spec){.node = node, .label = "select", .run = forward_rows, .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS});
}

static void backward(fn_plan *plan, fn_node *node)
{
    const bool two = node->n_inputs > SECOND;
    const fn_port *mask = &node->input[MASK], *first = &node->input[FIRST], *second = &node->input[two ? SECOND : FIRST];
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "select backward",
                      .run = backward_rows,
                      .ports = FN_READS_OUTPUT_GRADIENTS,
                      .reads = FN_BUFFERS(mask->value_buffer, fn_accumulated(first), two ? fn_accumulated(second) : -1),
                      .writes = FN_BUFFERS(first->gradient_buffer, two ? second->gradient_buffer : -1),
                  });
    if (mask->gradient_buffer < 0 || mask->accumulate)
        return;
    fn_emit(plan,
            &(fn_stage_spec){
                .node = node, .label = "select backward mask", .run = clear_rows, .writes = FN_BUFFERS(mask->gradient_buffer)});
}

const fn_op FN_SYM(op_select) = {
    .entry = {"select", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 2,
    .max_inputs = 3,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
