/* Batch normalisation (Ioffe and Szegedy 2015), over all positions of a batch, for each channel of the last axis.
 *
 * In training, with x, y [positions][channels] and N positions:
 *
 *   mean = sum x / N,  variance = sum (x - mean)^2 / N,  r = 1 / sqrt(variance + epsilon)
 *   y = (x - mean) r gamma + beta
 *   dbeta = sum dy,  dgamma = sum dy (x - mean) r
 *   dx = gamma r (dy - dbeta / N - (x - mean) r dgamma / N)
 *
 * and with the update  moving = momentum moving + (1 - momentum) (mean, variance). The variance is the biased one there
 * too, as in Keras 3; PyTorch's moving variance is N / (N - 1) times that.
 *
 * In inference, and in training where `frozen`, mean and variance are the moving ones and constants:
 *   dx = gamma r dy
 *
 * Where `synchronized`, in plans that are replicas, each with a piece p of the batch, N_p positions and loss L_p: N, mean and
 * variance are those of all pieces, and as the loss of the batch is sum_p N_p L_p / N, the gradients of L_p by the parameters and
 * by x are dbeta_p = sum dy,  dgamma_p = sum dy (x - mean) r dx = gamma r (dy - b / N_p - (x - mean) r g / N_p),  b = sum_p N_p
 * dbeta_p / N,  g = sum_p N_p dgamma_p / N They exchange N_p, mean_p and sum (x - mean_p)^2, and dbeta_p and dgamma_p, in
 * float64, and each combines those of all in the order of their numbers.
 *
 * Parameters [channels]: gamma with scale, beta with center, moving mean, moving variance.
 * Buffers: STATISTICS [3][channels]: mean, r, variance; SUMS [chunks][2][channels], of the forward and of the backward
 * pass.
 *
 * Positions are cut into chunks of a fixed size, those of each row by themselves where rows are long. Mean and squared
 * deviations of each chunk come from one pass over it, if it lies in one row when the node before has just made it and it is in
 * cache: sums of x - s and of its square, where s is the mean of the first FEW of its n positions. As n (s - mean)^2 is at most
 * the squared deviations divided by FEW, no more than a factor of n / FEW + 1 is lost to rounding. All threads combine them, in
 * order and by the formula of Chan, Golub and LeVeque (1979), rather than wait for one that does. So no bit depends on the number
 * of threads.
 */
#include "../normalization.h"
#include "../replicas.h"

enum { MOMENTUM, EPSILON, CENTER, SCALE, FROZEN, SYNCHRONIZED };
enum { STATISTICS, FORWARD_SUMS, BACKWARD_SUMS };

/* Positions in a chunk, and in a row that has chunks of its own. */
enum { CHUNK = 128, LONG_ROW = 32 };

/* Positions whose mean is near enough to that of a chunk, and columns of which these means are on the stack. */
enum { FEW = 8, NEAR_COLUMNS = 8 * STRIP };

static const fn_attribute attributes[] = {
    {"momentum", 0.99, FN_FRACTION}, {"epsilon", 1e-3, FN_NOT_NEGATIVE}, {"center", 1, FN_FLAG}, {"scale", 1, FN_FLAG},
    {"frozen", 0, FN_FLAG},          {"synchronized", 0, FN_FLAG},
};

static const fn_port *gamma_port(const fn_node *node)
{
    return gamma_of(node, node->attribute[SCALE]);
}

static const fn_port *beta_port(const fn_node *node)
{
    return beta_of(node, node->attribute[SCALE], node->attribute[CENTER]);
}

static const fn_port *moving_mean(const fn_node *node)
{
    return &node->parameter[node->n_parameters - 2];
}

static const fn_port *moving_variance(const fn_node *node)
{
    return &node->parameter[node->n_parameters - 1];
}

static int64_t channels_of(const fn_node *node)
{
    return fn_shape_last(&node->input[0].shape);
}

/* Positions in one row of the batch. */
static int64_t inner_of(const fn_node *node)
{
    return node->input[0].width / channels_of(node);
}

/* Of one row of the batch; 0: chunks are of several rows. */
static int64_t chunks_of_row(int64_t inner)
{
    return inner < LONG_ROW ? 0 : (inner + CHUNK - 1) / CHUNK;
}

static int64_t count_chunks(const fn_node *node, int64_t rows)
{
    const int64_t inner = inner_of(node), chunks = chunks_of_row(inner);
    return chunks ? rows * chunks : (rows * inner + CHUNK - 1) / CHUNK;
}

/* Positions of a chunk. */
typedef struct chunk {
    int64_t number, first, n;
} chunk;

static chunk find_chunk(const fn_node *node, int64_t rows, int64_t number)
{
    const int64_t inner = inner_of(node), chunks = chunks_of_row(inner);
    const int64_t row = chunks ? number / chunks : 0, first = (chunks ? number % chunks : number) * CHUNK;
    const int64_t left = (chunks ? inner : rows * inner) - first;
    return (chunk){number, row * inner + first, left < CHUNK ? left : CHUNK};
}

static bool uses_batch(const fn_node *node, const fn_plan *plan)
{
    return fn_plan_training(plan) && !node->attribute[FROZEN];
}

/* Without a batch all replicas compute the same. */
static bool is_synchronized(const fn_node *node, const fn_plan *plan)
{
    return uses_batch(node, plan) && node->attribute[SYNCHRONIZED] && fn_plan_replicas(plan) > 1 && !node->batchless;
}

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    fn_status status = infer_normalization(inference, 2 + (attribute[CENTER] != 0) + (attribute[SCALE] != 0));
    if (status != FN_OK || !inference->training)
        return status;
    const int64_t channels = fn_shape_last(&inference->input[0]), width = fn_shape_size(&inference->input[0]);
    const int64_t chunks = chunks_of_row(width / channels);
    inference->n_node_buffers = 3;
    inference->buffer_fixed[STATISTICS] = 3 * channels;
    for (int i = FORWARD_SUMS; i <= BACKWARD_SUMS; i++) { /* 2 channels for each chunk, and for one begun */
        inference->buffer_per_row[i] = chunks ? chunks * 2 * channels : (2 * width + CHUNK - 1) / CHUNK;
        inference->buffer_fixed[i] = 2 * channels;
    }
    return FN_OK;
}

/* ---- statistics ---------------------------------------------------------------------------------- */

/* Strips `strip` to `strip_end` of the channels of a chunk. */
typedef struct place {
    int64_t chunk, n, channel, columns, offset;
} place;

static place find_place(const fn_node *node, chunk k, int64_t strip, int64_t strip_end)
{
    const int64_t channels = channels_of(node), channel = strip * STRIP, end = strip_end * STRIP;
    return (place){k.number, k.n, channel, (channels < end ? channels : end) - channel, k.first * channels + channel};
}

/* Those of items from *item to `hi` of a stage over chunks and strips that are of one chunk; *item becomes the next one. n 0:
 * there are none. */
static place find_items(const fn_node *node, const fn_context *context, int64_t *item, int64_t hi)
{
    const int64_t strips = count_strips(channels_of(node)), number = *item / strips, strip = *item % strips;
    const int64_t end = hi - number * strips < strips ? hi - number * strips : strips;
    *item = number * strips + end;
    if (number >= count_chunks(node, context->rows))
        return (place){0};
    return find_place(node, find_chunk(node, context->rows, number), strip, end);
}

/* Operations that it takes to sum a row of the batch. */
static double sum_flops(const fn_node *node)
{
    return (double)(DEVIATION_FLOPS * node->input[0].width);
}

/* Mean and squared deviations. */
static void sum_place(const fn_node *node, place p)
{
    const int64_t channels = channels_of(node);
    const real *x = (const real *)node->input[0].value + p.offset;
    real *mean = (real *)node->buffer[FORWARD_SUMS].value + p.chunk * 2 * channels + p.channel;
    real *squares = mean + channels;
    const int64_t few = p.n < FEW ? p.n : FEW;
    const real share_of_few = (real)(1.0 / (double)few), share = (real)(1.0 / (double)p.n);
    real near[NEAR_COLUMNS], sum[NEAR_COLUMNS];
    for (int64_t j = 0; j < p.columns; j += NEAR_COLUMNS) {
        const int64_t columns = p.columns - j < NEAR_COLUMNS ? p.columns - j : NEAR_COLUMNS;
        sum_columns(SUM_VALUES, x + j, x + j, channels, few, columns, x + j, NULL, near, near);
        FN_FOR_EACH(i, columns, near[i] *= share_of_few);
        sum_columns(SUM_DEVIATIONS, x + j, x + j, channels, p.n, columns, near, NULL, sum, squares + j);
        for (int64_t i = 0; i < columns; i++) {
            const real mine = squares[j + i] - sum[i] * (share * sum[i]);
            mean[j + i] = near[i] + share * sum[i];
            squares[j + i] = mine < 0 ? 0 : mine;
        }
    }
}

static void sum_chunks(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    for (int64_t item = lo; item < hi;) {
        const place p = find_items(node, context, &item, hi);
        if (p.n == 0)
            break;
        sum_place(node, p);
    }
}

/* The chunks that n elements of x from number `first` on complete. */
static void observe(const fn_node *node, int64_t first, int64_t n)
{
    const int64_t channels = channels_of(node), inner = inner_of(node), strips = count_strips(channels);
    const int64_t start = first / channels, end = (first + n) / channels;
    int64_t number = start / inner * chunks_of_row(inner) + start % inner / CHUNK;
    for (;;) {
        const chunk next = find_chunk(node, 0, number++);
        if (next.first + next.n > end)
            return;
        sum_place(node, find_place(node, next, 0, strips));
    }
}

static bool offer_epilogue(const fn_plan *plan, const fn_node *node, fn_epilogue_kind kind, fn_epilogue *epilogue)
{
    if (kind != FN_EPILOGUE_OBSERVATION || !uses_batch(node, plan) || !chunks_of_row(inner_of(node)))
        return false;
    epilogue->run = observe;
    epilogue->writes = node->buffer[FORWARD_SUMS].value_buffer;
    epilogue->flops_per_row = sum_flops(node);
    return true;
}

/* statistics[3][channels] of the batch, from those of the chunks. */
static void combine_chunks(const fn_node *node, const fn_context *context, real *restrict statistics)
{
    const int64_t channels = channels_of(node), positions = context->rows * inner_of(node);
    const int64_t chunks = count_chunks(node, context->rows);
    const real *sums = node->buffer[FORWARD_SUMS].value;
    real *restrict mean = statistics, *restrict r = mean + channels, *restrict variance = r + channels;
    memset(statistics, 0, (size_t)(3 * channels) * sizeof *statistics);
    for (int64_t k = 0; k < chunks; k++) {
        const real *restrict of_chunk = sums + k * 2 * channels;
        const real share = (real)((double)find_chunk(node, context->rows, k).n / (double)positions);
        FN_FOR_EACH(j, channels, mean[j] = FN_FMA(share, of_chunk[j], mean[j]));
    }
    for (int64_t k = 0; k < chunks; k++) {
        const real *restrict of_chunk = sums + k * 2 * channels, *restrict squares = of_chunk + channels;
        const real n = (real)find_chunk(node, context->rows, k).n;
        FN_FOR_EACH(j, channels, variance[j] += FN_FMA(n * (of_chunk[j] - mean[j]), of_chunk[j] - mean[j], squares[j]));
    }
    const real epsilon = (real)node->attribute[EPSILON];
    FN_FOR_EACH(j, channels, variance[j] /= (real)positions);
    FN_FOR_EACH(j, channels, r[j] = FN_REAL(1.0) / FN_SQRT(variance[j] + epsilon));
}

/* Of a range of strips: tells the other replicas the statistics of this one, from those of the chunks. */
static void tell_statistics(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const replica_sums *replicas = node->closure;
    const int64_t channels = channels_of(node), end = hi * STRIP < channels ? hi * STRIP : channels;
    const int64_t chunks = count_chunks(node, context->rows);
    const real *sums = node->buffer[FORWARD_SUMS].value;
    double *told = fn_exchanged(context, &replicas->forward, context->run->replica);
    double *restrict mean = told + 1, *restrict squares = mean + channels;
    const double positions = (double)(context->rows * inner_of(node));
    if (lo == 0)
        told[0] = positions;
    for (int64_t j = lo * STRIP; j < end; j++)
        mean[j] = squares[j] = 0;
    for (int64_t k = 0; k < chunks; k++) {
        const double share = (double)find_chunk(node, context->rows, k).n / positions;
        for (int64_t j = lo * STRIP; j < end; j++)
            mean[j] += share * (double)sums[k * 2 * channels + j];
    }
    for (int64_t k = 0; k < chunks; k++) {
        const double n = (double)find_chunk(node, context->rows, k).n;
        for (int64_t j = lo * STRIP; j < end; j++) {
            const double off = (double)sums[k * 2 * channels + j] - mean[j];
            squares[j] += (double)sums[(k * 2 + 1) * channels + j] + n * off * off;
        }
    }
}

/* The same of the moving statistics. */
static void take_moving(const fn_node *node, real *restrict statistics)
{
    const int64_t channels = channels_of(node);
    const real *restrict moving = moving_variance(node)->value;
    real *restrict r = statistics + channels, *restrict variance = r + channels;
    const real epsilon = (real)node->attribute[EPSILON];
    memcpy(statistics, moving_mean(node)->value, (size_t)channels * sizeof *statistics);
    memcpy(variance, moving, (size_t)channels * sizeof *variance);
    FN_FOR_EACH(j, channels, r[j] = FN_REAL(1.0) / FN_SQRT(variance[j] + epsilon));
}

/* ---- forward ------------------------------------------------------------------------------------- */

/* Scratch of a thread: three vectors of statistics and four tables of the columns of a wide row. */
static int64_t workspace_of(const fn_node *node)
{
    const int64_t channels = channels_of(node);
    return (3 * channels + 4 * wide_columns(channels)) * (int64_t)sizeof(real);
}

/* y of rows lo to hi, with the statistics at the start of the workspace. */
static void normalize_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t channels = channels_of(node), columns = wide_columns(channels), width = node->input[0].width;
    const real *statistics = context->workspace;
    real *mean = (real *)context->workspace + 3 * channels, *a = mean + columns, *b = a + columns;
    for (int64_t j = 0; j < channels; j++) {
        mean[j] = statistics[j];
        a[j] = statistics[channels + j] * element_or(gamma_port(node), j, 1);
        b[j] = element_or(beta_port(node), j, 0);
    }
    spread(mean, channels, columns);
    spread(a, channels, columns);
    spread(b, channels, columns);
    const fn_epilogue *epilogue = node->output[0].value_epilogue;
    const int64_t n = (hi - lo) * inner_of(node), step = epilogue ? positions_at_a_time(channels) : n;
    for (int64_t i = 0; i < n; i += step) {
        const int64_t first = lo * width + i * channels, count = n - i < step ? n - i : step;
        rescale((const real *)node->input[0].value + first, (real *)node->output[0].value + first, channels, count, mean, a, b);
        fn_run_epilogue(epilogue, first, count * channels);
    }
}

/* Whoever has the first row keeps the statistics for the backward pass. */
static void keep_statistics(const fn_node *node, const fn_context *context, int64_t lo)
{
    if (lo == 0 && node->n_node_buffers)
        memcpy(node->buffer[STATISTICS].value, context->workspace, (size_t)(3 * channels_of(node)) * sizeof(real));
}

static void forward_batch(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    combine_chunks(node, context, context->workspace);
    keep_statistics(node, context, lo);
    normalize_rows(node, context, lo, hi);
}

static void forward_synchronized(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    combine_statistics(node->closure, context, channels_of(node), node->attribute[EPSILON], context->workspace);
    keep_statistics(node, context, lo);
    normalize_rows(node, context, lo, hi);
}

static void forward_moving(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    take_moving(node, context->workspace);
    keep_statistics(node, context, lo);
    normalize_rows(node, context, lo, hi);
}

static int64_t count_items(const fn_plan *plan, const fn_node *node)
{
    return count_chunks(node, fn_plan_rows(plan)) * count_strips(channels_of(node));
}

/* A stage in which each strip of the channels tells the other replicas what chunks have summed. */
static void emit_exchange(fn_plan *plan, fn_node *node, fn_stage_function run, int sums, fn_exchange *exchange)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "batch_normalization exchange",
                                   .run = run,
                                   .split = FN_BY_ITEMS,
                                   .items = count_strips(channels_of(node)),
                                   .reads = FN_BUFFERS(node->buffer[sums].value_buffer),
                                   .exchange = exchange});
}

static void forward(fn_plan *plan, fn_node *node)
{
    const bool batch = uses_batch(node, plan), synchronized = is_synchronized(node, plan);
    if (batch && !node->host)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "batch_normalization sums",
                                       .run = sum_chunks,
                                       .split = FN_BY_ITEMS,
                                       .items = count_items(plan, node),
                                       .ports = FN_READS_INPUTS,
                                       .writes = FN_BUFFERS(node->buffer[FORWARD_SUMS].value_buffer),
                                       .flops_per_row = sum_flops(node)});
    if (synchronized) {
        const int64_t channels = channels_of(node);
        replica_sums *replicas = node->closure = fn_plan_allocate(plan, sizeof *replicas);
        if (!replicas)
            return;
        *replicas = (replica_sums){fn_plan_replicas(plan), {.width = 1 + 2 * channels}, {.width = 2 * channels}};
        emit_exchange(plan, node, tell_statistics, FORWARD_SUMS, &replicas->forward);
    }
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "batch_normalization forward",
                      .run = synchronized ? forward_synchronized
                             : batch      ? forward_batch
                                          : forward_moving,
                      .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                      .reads_all = FN_BUFFERS(batch ? node->buffer[FORWARD_SUMS].value_buffer : moving_mean(node)->value_buffer,
                                              batch ? -1 : moving_variance(node)->value_buffer, value_buffer_of(gamma_port(node)),
                                              value_buffer_of(beta_port(node))),
                      .writes = FN_BUFFERS(node->n_node_buffers ? node->buffer[STATISTICS].value_buffer : -1),
                      .epilogue = {node->output[0].value_epilogue},
                      .flops_per_row = (double)(RESCALE_FLOPS * node->input[0].width),
                      .workspace = workspace_of(node),
                  });
}

/* ---- backward ------------------------------------------------------------------------------------ */

/* dbeta and dgamma of chunks. */
static void sum_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const int64_t channels = channels_of(node);
    const real *mean = node->buffer[STATISTICS].value;
    for (int64_t item = lo; item < hi;) {
        const place p = find_items(node, context, &item, hi);
        if (p.n == 0)
            break;
        real *sums = (real *)node->buffer[BACKWARD_SUMS].value + p.chunk * 2 * channels + p.channel;
        sum_columns(SUM_GRADIENTS, (const real *)node->input[0].value + p.offset,
                    (const real *)node->output[0].gradient + p.offset, channels, p.n, p.columns, mean + p.channel,
                    mean + channels + p.channel, sums, sums + channels);
    }
}

/* Adds up the chunks: sums[2][channels], dbeta and dgamma; whoever has the first row also stores them. */
static void combine_gradients(const fn_node *node, const fn_context *context, int64_t lo, real *restrict sums)
{
    const int64_t channels = channels_of(node), n = count_chunks(node, context->rows);
    memcpy(sums, node->buffer[BACKWARD_SUMS].value, (size_t)(2 * channels) * sizeof *sums);
    for (int64_t k = 1; k < n; k++) {
        const real *restrict of_chunk = (const real *)node->buffer[BACKWARD_SUMS].value + k * 2 * channels;
        FN_FOR_EACH(j, 2 * channels, sums[j] += of_chunk[j]);
    }
    if (lo == 0) {
        put_gradient(beta_port(node), 0, sums, channels);
        put_gradient(gamma_port(node), 0, sums + channels, channels);
    }
}

/* dx of rows lo to hi, from sums[2][channels]; NULL where the statistics are constants. */
static void differentiate_rows(const fn_node *node, const fn_context *context, const real *sums, int64_t lo, int64_t hi)
{
    const int64_t channels = channels_of(node), columns = wide_columns(channels), width = node->input[0].width;
    const real share = (real)(1.0 / (double)(context->rows * inner_of(node)));
    const real *statistics = node->buffer[STATISTICS].value, *r = statistics + channels;
    real *mean = (real *)context->workspace + 3 * channels, *a = mean + columns, *b = a + columns, *c = b + columns;
    for (int64_t j = 0; j < channels; j++) {
        mean[j] = statistics[j];
        a[j] = r[j] * element_or(gamma_port(node), j, 1);
        b[j] = sums ? a[j] * (share * sums[j]) : 0;
        c[j] = sums ? a[j] * r[j] * (share * sums[channels + j]) : 0;
    }
    spread(mean, channels, columns);
    spread(a, channels, columns);
    spread(b, channels, columns);
    spread(c, channels, columns);
    const fn_epilogue *epilogue = node->input[0].gradient_epilogue;
    const int64_t n = (hi - lo) * inner_of(node), step = epilogue ? positions_at_a_time(channels) : n;
    for (int64_t i = 0; i < n; i += step) {
        const int64_t first = lo * width + i * channels, count = n - i < step ? n - i : step;
        rescale_gradient((const real *)node->input[0].value + first, (const real *)node->output[0].gradient + first,
                         (real *)node->input[0].gradient + first, channels, count, mean, a, b, c, node->input[0].accumulate);
        fn_run_epilogue(epilogue, first, count * channels);
    }
}

/* Of a range of strips: tells the other replicas dbeta and dgamma of this one, from those of the chunks. */
static void tell_gradients(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const replica_sums *replicas = node->closure;
    const int64_t channels = channels_of(node), end = hi * STRIP < channels ? hi * STRIP : channels;
    const int64_t chunks = count_chunks(node, context->rows);
    const real *sums = node->buffer[BACKWARD_SUMS].value;
    double *restrict told = fn_exchanged(context, &replicas->backward, context->run->replica);
    for (int64_t j = lo * STRIP; j < end; j++)
        told[j] = told[channels + j] = 0;
    for (int64_t k = 0; k < chunks; k++)
        for (int64_t j = lo * STRIP; j < end; j++) {
            told[j] += (double)sums[k * 2 * channels + j];
            told[channels + j] += (double)sums[(k * 2 + 1) * channels + j];
        }
}

static bool needs_input_gradient(const fn_node *node)
{
    return node->input[0].gradient_buffer >= 0;
}

static void backward_batch(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    combine_gradients(node, context, lo, context->workspace);
    if (needs_input_gradient(node))
        differentiate_rows(node, context, context->workspace, lo, hi);
}

static void backward_synchronized(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    if (lo == 0)
        combine_gradients(node, context, lo, context->workspace);
    combine_gradient_sums(node->closure, context, context->workspace);
    differentiate_rows(node, context, context->workspace, lo, hi);
}

static void backward_constant(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    if (is_trained(gamma_port(node)) || is_trained(beta_port(node)))
        combine_gradients(node, context, lo, context->workspace);
    if (needs_input_gradient(node))
        differentiate_rows(node, context, NULL, lo, hi);
}

static void backward(fn_plan *plan, fn_node *node)
{
    const bool batch = uses_batch(node, plan);
    const bool sums = batch || is_trained(gamma_port(node)) || is_trained(beta_port(node));
    const bool synchronized = is_synchronized(node, plan) && needs_input_gradient(node);
    if (sums)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "batch_normalization gradients",
                                       .run = sum_gradients,
                                       .split = FN_BY_ITEMS,
                                       .items = count_items(plan, node),
                                       .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS,
                                       .reads = FN_BUFFERS(node->buffer[STATISTICS].value_buffer),
                                       .writes = FN_BUFFERS(node->buffer[BACKWARD_SUMS].value_buffer),
                                       .flops_per_row = (double)(GRADIENT_FLOPS * node->input[0].width)});
    if (synchronized) {
        replica_sums *replicas = node->closure;
        emit_exchange(plan, node, tell_gradients, BACKWARD_SUMS, &replicas->backward);
    }
    fn_emit(plan, &(fn_stage_spec){
                      .node = node,
                      .label = "batch_normalization backward",
                      .run = synchronized ? backward_synchronized
                             : batch      ? backward_batch
                                          : backward_constant,
                      .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                      .reads_all = FN_BUFFERS(sums ? node->buffer[BACKWARD_SUMS].value_buffer : -1,
                                              node->buffer[STATISTICS].value_buffer, value_buffer_of(gamma_port(node))),
                      .writes = FN_BUFFERS(gradient_buffer_of(gamma_port(node)), gradient_buffer_of(beta_port(node))),
                      .epilogue = {node->input[0].gradient_epilogue},
                      .flops_per_row = needs_input_gradient(node) ? (double)(RESCALE_GRADIENT_FLOPS * node->input[0].width) : 0,
                      .workspace = workspace_of(node),
                  });
}

/* ---- update -------------------------------------------------------------------------------------- */

static void move_statistics(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context, (void)lo, (void)hi;
    const int64_t channels = channels_of(node);
    const real momentum = (real)node->attribute[MOMENTUM], rest = (real)(1 - node->attribute[MOMENTUM]);
    const real *restrict statistics = node->buffer[STATISTICS].value;
    real *restrict mean = moving_mean(node)->value, *restrict variance = moving_variance(node)->value;
    for (int64_t j = 0; j < channels; j++) {
        mean[j] = momentum * mean[j] + rest * statistics[j];
        variance[j] = momentum * variance[j] + rest * statistics[2 * channels + j];
    }
}

static void update(fn_plan *plan, fn_node *node)
{
    if (!uses_batch(node, plan))
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "batch_normalization update",
                                   .run = move_statistics,
                                   .split = FN_SERIAL,
                                   .reads = FN_BUFFERS(node->buffer[STATISTICS].value_buffer),
                                   .writes = FN_BUFFERS(moving_mean(node)->value_buffer, moving_variance(node)->value_buffer)});
}

const fn_op FN_SYM(op_batch_normalization) = {
    .entry = {"batch_normalization", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_RUNS_VALUE_EPILOGUE | FN_RUNS_GRADIENT_EPILOGUES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .offer_epilogue = offer_epilogue,
    .update = update,
};
