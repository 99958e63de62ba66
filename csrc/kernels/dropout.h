/* What the kinds of dropout share: the check of their attributes, an array of factors that is kept for the backward
 * pass, emission. They differ in how a range of factors comes from random numbers.
 *
 *   y = f x + shift(f)     x, y [rows][width], f [rows][width] or, with `shared`, [rows][channels]
 *   dx = f dy
 *
 * and y = x outside of training. With `shared`, all positions of a row (time steps, pixels) share the f of a channel.
 * Attributes: rate, which may change from step to step; shared; seed, or a negative number for that of the
 * model; like, the number of a node whose f it has, as the derivative of that node does, or -1. Buffer: f. */
#ifndef FN_KERNELS_DROPOUT_H
#define FN_KERNELS_DROPOUT_H

#include "random.h"

enum { RATE, SHARED, SEED, LIKE };
enum { FACTOR };

#define DROPOUT_ATTRIBUTES                                                                                                       \
    {"rate", 0.5, FN_BELOW_1 | FN_VARIES}, {"shared", 0, FN_FLAG}, {"seed", -1, FN_SEED},                                        \
    {                                                                                                                            \
        "like", -1, FN_INTEGER(-1, 0xFFFFFF)                                                                                     \
    }

FN_INLINE random_stream dropout_stream(const fn_node *node, const fn_context *context)
{
    const double like = node->attribute[LIKE];
    return random_stream_numbered(like < 0 ? node->number : (int64_t)like, context, node->attribute[SEED]);
}

FN_INLINE fn_status infer_dropout(fn_inference *inference)
{
    const fn_shape *x = &inference->input[0];
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = *x;
    inference->alias = !inference->training;
    if (inference->training) {
        inference->n_node_buffers = 1;
        inference->buffer_per_row[FACTOR] = inference->attribute[SHARED] ? fn_shape_last(x) : fn_shape_size(x);
    }
    return FN_OK;
}

/* out = in * factor for rows lo to hi; out may be added to. */
FN_INLINE void multiply_by_factors(const fn_node *node, const real *in, real *out, bool accumulate, int64_t lo, int64_t hi)
{
    int64_t width = node->input[0].width, kept = node->buffer[FACTOR].width, repeats = width / kept;
    const real *factor = node->buffer[FACTOR].value;
    if (repeats == 1) { /* as one flat loop */
        kept *= hi - lo;
        width *= hi - lo;
        in += lo * node->input[0].width;
        out += lo * node->input[0].width;
        factor += lo * node->buffer[FACTOR].width;
        lo = 0;
        hi = 1;
    }
    for (int64_t row = lo; row < hi; row++)
        for (int64_t r = 0; r < repeats; r++) {
            const real *restrict x = in + row * width + r * kept, *restrict f = factor + row * kept;
            real *restrict y = out + row * width + r * kept;
            if (accumulate)
                FN_FOR_EACH(j, kept, y[j] = FN_FMA(x[j], f[j], y[j]));
            else
                FN_FOR_EACH(j, kept, y[j] = x[j] * f[j]);
        }
}

/* Rows whose factors are drawn and used while they are in the first-level cache. */
FN_INLINE int64_t rows_at_once(const fn_node *node)
{
    const int64_t rows = 4096 / node->buffer[FACTOR].width;
    return rows > 1 ? rows : 1;
}

/* dx (+)= f dy */
FN_INLINE void dropout_backward_rows(const fn_node *node, int64_t lo, int64_t hi)
{
    multiply_by_factors(node, node->output[0].gradient, node->input[0].gradient, node->input[0].accumulate, lo, hi);
}

/* by_pieces: as of fn_stage_spec; without it `run` knows pieces itself. */
FN_INLINE void emit_dropout_forward(fn_plan *plan, fn_node *node, fn_stage_function run, bool by_pieces)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = node->op->entry.name,
                                   .run = run,
                                   .by_pieces = by_pieces,
                                   .ports = FN_READS_INPUTS | FN_WRITES_OUTPUTS,
                                   .writes = FN_BUFFERS(node->buffer[FACTOR].value_buffer)});
}

FN_INLINE void emit_dropout_backward(fn_plan *plan, fn_node *node, fn_stage_function run)
{
    if (node->input[0].gradient_buffer < 0)
        return;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = node->op->entry.name,
                                   .run = run,
                                   .ports = FN_READS_OUTPUT_GRADIENTS | FN_WRITES_INPUT_GRADIENTS,
                                   .reads = FN_BUFFERS(node->buffer[FACTOR].value_buffer)});
}

/* An element is dropped if its word is below this. */
FN_INLINE uint32_t drop_bound(const fn_node *node)
{
    return (uint32_t)(node->attribute[RATE] * 0x1p32);
}

/* Numbers lo to hi of the factors of a piece: 0 for those dropped, else `kept`. */
FN_INLINE void draw_factors_of_piece(random_stream stream, uint32_t bound, real kept, int64_t lo, int64_t hi, real *factors)
{
    for (int64_t group = lo / RANDOM_GROUP; group * RANDOM_GROUP < hi; group++) {
        const random_span span = span_of_group(group, lo, hi);
        real *factor = factors + group * RANDOM_GROUP;
        uint32_t word[RANDOM_GROUP];
        random_words(stream, group, word);
        if (span.end - span.first == RANDOM_GROUP) {
#pragma omp simd
            for (int32_t i = 0; i < RANDOM_GROUP; i++)
                factor[i] = word[i] < bound ? 0 : kept;
        } else {
            for (int64_t i = span.first; i < span.end; i++)
                factor[i] = word[i] < bound ? 0 : kept;
        }
    }
}

/* Those of rows lo to hi. Each piece of the batch has the random numbers of a step of its own. */
FN_INLINE void draw_factors(const fn_node *node, const fn_context *context, real kept, int64_t lo, int64_t hi)
{
    random_stream stream = dropout_stream(node, context);
    const uint64_t step = stream.step;
    const int64_t rows = fn_piece_rows(context), width = node->buffer[FACTOR].width;
    for (int64_t row = lo, end; row < hi; row = end) {
        const int64_t piece = row / rows, first = piece * rows;
        end = hi < first + rows ? hi : first + rows;
        stream.step = step + (uint64_t)piece;
        draw_factors_of_piece(stream, drop_bound(node), kept, (row - first) * width, (end - first) * width,
                              (real *)node->buffer[FACTOR].value + first * width);
    }
}

#endif
