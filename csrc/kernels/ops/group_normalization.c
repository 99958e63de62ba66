/* Group normalisation (Wu and He 2018): of each row, over all its positions and the channels of a group.
 *
 * x, y [rows][positions][channels]; a group is channels / groups channels one after another, with n numbers in each row:
 *
 *   m = sum x / n,  r = 1 / sqrt(sum (x - m)^2 / n + epsilon)      of each row and group
 *   y = (x - m) r gamma + beta
 *
 *   h = (x - m) r,  g = dy gamma
 *   dx = r (g - mean of g - h mean of (g h))                       means over the row and group
 *   dbeta = sum dy,  dgamma = sum dy h                             over rows and positions
 *
 * The sums over the positions of a row, channel by channel, are all that the means over groups need: those of dy and
 * dy h are the row's part of dbeta and dgamma too. With as many groups as channels it is instance normalisation
 * (Ulyanov et al. 2016): groups = -1.
 *
 * Parameters [channels]: gamma with scale, beta with center.
 * Buffers: SAVED_STATISTICS m and r [rows][2][channels]; ROW_SUMS [rows][2][channels], parts of dgamma and dbeta.
 */
#include "../normalization.h"

enum { GROUPS, EPSILON, CENTER, SCALE };
enum { SAVED_STATISTICS, ROW_SUMS };

static const fn_attribute attributes[] = {
    {"groups", 32, FN_INTEGER(-1, FN_INT32_MAX)},
    {"epsilon", 1e-3, FN_NOT_NEGATIVE},
    {"center", 1, FN_FLAG},
    {"scale", 1, FN_FLAG},
};

static const fn_port *gamma_port(const fn_node *node)
{
    return gamma_of(node, node->attribute[SCALE]);
}

static const fn_port *beta_port(const fn_node *node)
{
    return beta_of(node, node->attribute[SCALE], node->attribute[CENTER]);
}

static int64_t channels_of(const fn_node *node)
{
    return fn_shape_last(&node->input[0].shape);
}

/* Channels in a group. */
static int64_t group_of(const fn_node *node)
{
    const double groups = node->attribute[GROUPS];
    return groups < 0 ? 1 : channels_of(node) / (int64_t)groups;
}

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    fn_status status = infer_normalization(inference, (attribute[CENTER] != 0) + (attribute[SCALE] != 0));
    if (status != FN_OK)
        return status;
    const double groups = attribute[GROUPS];
    const int64_t channels = fn_shape_last(&inference->input[0]);
    if (groups != -1 && !(groups >= 1 && groups <= (double)channels && channels % (int64_t)groups == 0))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE,
                       "layer '%s': groups must divide the number of channels, %lld, or be -1; got %g", inference->layer,
                       (long long)channels, groups);
    if (inference->training) {
        inference->n_node_buffers = 2;
        inference->buffer_per_row[SAVED_STATISTICS] = inference->buffer_per_row[ROW_SUMS] = 2 * channels;
    }
    return FN_OK;
}

/* Sums over the n positions of a row, for all channels; see sum_kind. */
FN_INLINE void sum_positions(sum_kind kind, const real *x, const real *dy, int64_t channels, int64_t n, const real *mean,
                             const real *factor, real *sum, real *other)
{
    if (n == 1) { /* a vector: nothing to sum */
        for (int64_t j = 0; j < channels; j++) {
            const real deviation = kind == SUM_VALUES ? 0 : x[j] - mean[j];
            sum[j] = kind == SUM_VALUES ? x[j] : kind == SUM_SQUARES ? deviation * deviation : dy[j];
            if (kind == SUM_GRADIENTS)
                other[j] = dy[j] * (deviation * factor[j]);
        }
        return;
    }
    if (kind == SUM_GRADIENTS)
        sum_columns(SUM_GRADIENTS, x, dy, channels, n, channels, mean, factor, sum, other);
    else if (kind == SUM_SQUARES)
        sum_columns(SUM_SQUARES, x, x, channels, n, channels, mean, NULL, sum, sum);
    else
        sum_columns(SUM_VALUES, x, x, channels, n, channels, x, NULL, sum, sum);
}

/* Each number of a group becomes the sum over the group times factor. */
static void sum_groups(real *x, int64_t channels, int64_t group, real factor)
{
    for (int64_t first = 0; first < channels; first += group) {
        const real sum = factor * fn_sum(x + first, group);
        for (int64_t j = first; j < first + group; j++)
            x[j] = sum;
    }
}

/* Scratch of a thread: six tables, of the columns of a wide row. */
static int64_t workspace_of(const fn_node *node)
{
    return 6 * wide_columns(channels_of(node)) * (int64_t)sizeof(real);
}

static void forward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t width = node->input[0].width, channels = channels_of(node), n = width / channels;
    const int64_t columns = wide_columns(channels), group = group_of(node);
    const real share = (real)(1.0 / (double)(n * group)), epsilon = (real)node->attribute[EPSILON];
    real *mean = context->workspace, *r = mean + columns, *a = r + columns, *b = a + columns;
    for (int64_t row = lo; row < hi; row++) {
        const real *x = (const real *)node->input[0].value + row * width;
        sum_positions(SUM_VALUES, x, NULL, channels, n, NULL, NULL, mean, NULL);
        sum_groups(mean, channels, group, share);
        sum_positions(SUM_SQUARES, x, NULL, channels, n, mean, NULL, r, NULL);
        sum_groups(r, channels, group, share);
        for (int64_t j = 0; j < channels; j++) {
            r[j] = FN_REAL(1.0) / FN_SQRT(r[j] + epsilon);
            a[j] = r[j] * element_or(gamma_port(node), j, 1);
            b[j] = element_or(beta_port(node), j, 0);
        }
        if (node->n_node_buffers) {
            real *kept = (real *)node->buffer[SAVED_STATISTICS].value + row * 2 * channels;
            memcpy(kept, mean, (size_t)channels * sizeof *kept);
            memcpy(kept + channels, r, (size_t)channels * sizeof *kept);
        }
        spread(mean, channels, columns);
        spread(a, channels, columns);
        spread(b, channels, columns);
        rescale(x, (real *)node->output[0].value + row * width, channels, n, mean, a, b);
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "group_normalization forward",
                      .run = forward_rows,
                      .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                      .reads_all = FN_BUFFERS(value_buffer_of(gamma_port(node)), value_buffer_of(beta_port(node))),
                      .writes = FN_BUFFERS(node->n_node_buffers ? node->buffer[SAVED_STATISTICS].value_buffer : -1),
                      .flops_per_row = (double)((VALUE_FLOPS + SQUARE_FLOPS + RESCALE_FLOPS) * node->input[0].width),
                      .workspace = workspace_of(node),
                  });
}

static void backward_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t width = node->input[0].width, channels = channels_of(node), n = width / channels;
    const int64_t columns = wide_columns(channels), group = group_of(node);
    const real share = (real)(1.0 / (double)(n * group));
    real *mean = context->workspace, *a = mean + columns, *b = a + columns, *c = b + columns;
    for (int64_t row = lo; row < hi; row++) {
        const real *x = (const real *)node->input[0].value + row * width;
        const real *dy = (const real *)node->output[0].gradient + row * width;
        const real *kept = (const real *)node->buffer[SAVED_STATISTICS].value + row * 2 * channels, *r = kept + channels;
        real *dgamma = (real *)node->buffer[ROW_SUMS].value + row * 2 * channels, *dbeta = dgamma + channels;
        sum_positions(SUM_GRADIENTS, x, dy, channels, n, kept, r, dbeta, dgamma);
        if (node->input[0].gradient_buffer < 0)
            continue;
        for (int64_t j = 0; j < channels; j++) {
            const real gamma = element_or(gamma_port(node), j, 1);
            mean[j] = kept[j];
            a[j] = gamma * r[j];
            b[j] = gamma * dbeta[j];
            c[j] = gamma * dgamma[j];
        }
        sum_groups(b, channels, group, share);
        sum_groups(c, channels, group, share);
        for (int64_t j = 0; j < channels; j++) {
            b[j] *= r[j];
            c[j] *= r[j] * r[j];
        }
        spread(mean, channels, columns);
        spread(a, channels, columns);
        spread(b, channels, columns);
        spread(c, channels, columns);
        rescale_gradient(x, dy, (real *)node->input[0].gradient + row * width, channels, n, mean, a, b, c,
                         node->input[0].accumulate);
    }
}

static void reduce(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    reduce_row_sums(node, context, node->buffer[ROW_SUMS].value, gamma_port(node), beta_port(node), lo, hi);
}

static void backward(fn_plan *plan, fn_node *node)
{
    const int flops = GRADIENT_FLOPS + (node->input[0].gradient_buffer >= 0 ? RESCALE_GRADIENT_FLOPS : 0);
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "group_normalization backward",
                      .run = backward_rows,
                      .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                      .reads = FN_BUFFERS(node->buffer[SAVED_STATISTICS].value_buffer),
                      .reads_all = FN_BUFFERS(value_buffer_of(gamma_port(node))),
                      .writes = FN_BUFFERS(node->buffer[ROW_SUMS].value_buffer),
                      .flops_per_row = (double)(flops * node->input[0].width),
                      .workspace = workspace_of(node),
                  });
    emit_reduction(plan, node, reduce, node->buffer[ROW_SUMS].value_buffer, gamma_port(node), beta_port(node));
}

const fn_op FN_SYM(op_group_normalization) = {
    .entry = {"group_normalization", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
