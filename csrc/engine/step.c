/* What surrounds the operations in a step: inputs, losses, metrics, copies for the caller, updates. */
#include "gather.h"
#include "plan.h"
#include "step.h"

#include <math.h>
#include <string.h>

/* Extras of an output's node; the last where another output has written the gradient of the same value. */
enum { TARGET, WEIGHT, SCALE, LOSS, GRADIENT };

/* ---- inputs ------------------------------------------------------------------------------ */

static void gather_input(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_input *input = node->closure;
    const fn_source *source = input->target ? &context->run->targets[input->target - 1] : &context->run->inputs[input->index];
    fn_gather_rows(input->kernels, context, node->output[0].value, &node->output[0].shape, source, input->scale, input->shift,
                   true, lo, hi);
}

void fn_emit_input(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "gather",
                                   .run = gather_input,
                                   .ports = FN_WRITES_OUTPUTS,
                                   .workspace = node->output[0].width * (int64_t)plan->kernels->element});
}

/* ---- copies between the plan and the caller -------------------------------------------------- */

/* Rows of a batch lie in the caller's array at the batch's position. */
static char *caller_rows(const fn_context *context, const fn_port *port, size_t element, const void *array, int64_t lo)
{
    return (char *)array + (size_t)((context->first_row + lo) * port->width) * element;
}

static void fetch_output(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_output *output = node->closure;
    const fn_port *port = &node->output[0];
    void *array = context->run->outputs[output->index];
    if (!array)
        return;
    size_t element = output->kernels->element;
    memcpy(caller_rows(context, port, element, array, lo), (char *)port->value + (size_t)(lo * port->width) * element,
           (size_t)((hi - lo) * port->width) * element);
}

void fn_emit_fetch(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){
                      .node = node, .label = "fetch", .run = fetch_output, .reads = FN_BUFFERS(node->output[0].value_buffer)});
}

static void read_output_gradient(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_output *output = node->closure;
    const fn_port *port = &node->output[0];
    const void *const *arrays = context->run->output_gradients;
    const void *array = arrays ? arrays[output->index] : NULL;
    size_t element = output->kernels->element;
    char *gradient = (char *)port->gradient + (size_t)(lo * port->width) * element;
    size_t n = (size_t)((hi - lo) * port->width);
    if (output->accumulate && array)
        output->kernels->add(gradient, caller_rows(context, port, element, array, lo), (int64_t)n);
    else if (array)
        memcpy(gradient, caller_rows(context, port, element, array, lo), n * element);
    else if (!output->accumulate)
        memset(gradient, 0, n * element);
}

void fn_emit_output_gradient(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "output gradient",
                                   .run = read_output_gradient,
                                   .writes = FN_BUFFERS(node->output[0].gradient_buffer)});
}

static void fetch_gradient(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_input *input = node->closure;
    const fn_port *port = &node->output[0];
    void *array = context->run->input_gradients[input->index];
    if (!array)
        return;
    size_t element = input->kernels->element, bytes = (size_t)((hi - lo) * port->width) * element;
    char *rows = caller_rows(context, port, element, array, lo);
    if (port->gradient)
        memcpy(rows, (char *)port->gradient + (size_t)(lo * port->width) * element, bytes);
    else /* no output depends on this input */
        memset(rows, 0, bytes);
}

void fn_emit_fetch_gradient(fn_plan *plan, fn_node *node)
{
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "fetch gradient",
                                   .run = fetch_gradient,
                                   .reads = FN_BUFFERS(node->output[0].gradient_buffer)});
}

/* ---- losses ------------------------------------------------------------------------------- */

static const fn_source *weights_of(const fn_context *context, const fn_output *output)
{
    const fn_source *weights = context->run->weights;
    return weights && weights[output->index].data ? &weights[output->index] : NULL;
}

/* How many weights a row has: one, or one for each so many positions. */
static int64_t weights_per_row(const fn_context *context, const fn_output *output)
{
    const int64_t *given = weights_of(context, output) ? context->run->weights_per_row : NULL;
    return given && given[output->index] > 1 ? given[output->index] : 1;
}

static void *row_of(const fn_output *output, const void *array, int64_t row, int64_t width)
{
    return array ? (char *)array + (size_t)(row * width) * output->kernels->element : NULL;
}

/* Where an output has a mask, its factor for the positions that count, so that their mean is taken in place of that of all. */
static double mask_factor(const fn_node *node, const fn_context *context)
{
    const fn_output *output = node->closure;
    double counted = output->kernels->loss_sum(node->input[0].value, NULL, output->inner, context->rows);
    return counted > 0 ? (double)(context->rows * output->inner) / counted : 0;
}

/* Masks numbers of rows lo to hi, one for each position. */
static void mask_positions(const fn_node *node, void *numbers, double factor, int64_t lo, int64_t hi)
{
    const fn_output *output = node->closure;
    output->kernels->mask(row_of(output, numbers, lo, output->inner), row_of(output, node->input[0].value, lo, output->inner),
                          (hi - lo) * output->inner, factor);
}

/* Whether the target is gathered for the loss or for metrics: a formula has it as an input. */
static bool reads_target(const fn_output *output)
{
    return output->loss || output->judged;
}

/* The loss of a formula is there, and its derivative by itself is 1. */
static void copy_loss(const fn_output *output, const fn_loss_arguments *arguments)
{
    const size_t bytes = (size_t)arguments->positions * output->kernels->element;
    memcpy(arguments->loss, arguments->prediction, bytes);
    if (arguments->gradient)
        memcpy(arguments->gradient, arguments->scale, bytes);
}

/* Rows that the loss is a mean over, for its gradient. */
static int64_t mean_rows(const fn_context *context)
{
    return context->run->mean_rows > 0 ? context->run->mean_rows : fn_piece_rows(context);
}

static void run_loss(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_output *output = node->closure;
    const fn_kernels *kernels = output->kernels;
    const fn_port *port = &node->output[output->formula];
    const fn_run *run = context->run;
    const int64_t inner = output->positions;
    const int64_t weighted = weights_per_row(context, output);
    const fn_shape target = {.rank = 1, .size = {node->buffer[TARGET].width}}, of_row = {.rank = 1, .size = {weighted}};
    if (reads_target(output))
        fn_gather_rows(kernels, context, node->buffer[TARGET].value, &target, &run->targets[output->index], NULL, NULL, false, lo,
                       hi);
    const fn_source *weights = weights_of(context, output);
    if (weights)
        fn_gather_rows(kernels, context, node->buffer[WEIGHT].value, &of_row, weights, NULL, NULL, false, lo, hi);
    kernels->loss_scale(node->buffer[SCALE].value, weights ? node->buffer[WEIGHT].value : NULL,
                        output->loss_weight / (double)(mean_rows(context) * inner), inner / weighted, lo * weighted,
                        hi * weighted);
    const double factor = node->n_inputs ? mask_factor(node, context) : 1;
    if (node->n_inputs)
        mask_positions(node, node->buffer[SCALE].value, factor, lo, hi);
    void *gradient = row_of(output, port->gradient, lo, port->width);
    fn_loss_arguments arguments = {
        .prediction = row_of(output, port->value, lo, port->width),
        .target = row_of(output, node->buffer[TARGET].value, lo, node->buffer[TARGET].width),
        .scale = row_of(output, node->buffer[SCALE].value, lo, inner),
        .loss = row_of(output, node->buffer[LOSS].value, lo, inner),
        .gradient = output->accumulate ? row_of(output, node->buffer[GRADIENT].value, lo, port->width) : gradient,
        .positions = (hi - lo) * inner,
        .width = output->width,
        .target_width = output->target_width,
        .group = output->group ? output->group : (hi - lo) * inner,
        .attribute = output->loss_attribute,
    };
    if (output->labels && reads_target(output) &&
        kernels->find_bad_label(arguments.target, (hi - lo) * output->inner, output->width) >= 0) {
        atomic_store_explicit(&context->shared->bad_labels, 1, memory_order_relaxed);
        atomic_store_explicit(&context->team->bad_labels, 1, memory_order_relaxed);
        return;
    }
    if (output->loss)
        output->loss->run(&arguments);
    else
        copy_loss(output, &arguments);
    if (output->accumulate)
        kernels->add(gradient, arguments.gradient, (hi - lo) * port->width);
    if (node->n_inputs)
        mask_positions(node, node->buffer[LOSS].value, factor, lo, hi);
}

/* A loss of all rows together. */
static void run_loss_of_batch(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)lo, (void)hi;
    run_loss(node, context, 0, context->rows);
}

void fn_emit_loss(fn_plan *plan, fn_node *node)
{
    const fn_output *output = node->closure;
    const bool whole = output->loss && !output->group; /* a loss of the batch */
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = output->loss ? output->loss->entry.name : "loss of formula",
                                   .run = whole ? run_loss_of_batch : run_loss,
                                   .split = whole ? FN_SERIAL : FN_BY_ROWS,
                                   .ports = FN_WRITES_BUFFERS,
                                   .reads = FN_BUFFERS(fn_loss_port(node)->value_buffer),
                                   .reads_all = FN_BUFFERS(node->n_inputs ? node->input[0].value_buffer : -1),
                                   .writes = FN_BUFFERS(fn_loss_port(node)->gradient_buffer),
                                   .workspace = node->buffer[TARGET].width * (int64_t)plan->kernels->element});
}

/* Closure of the stage that sums the losses. */
typedef struct loss_total {
    const fn_plan *plan;
    const fn_node *outputs;
    int n_outputs;
} loss_total;

/* What operations add to the loss. */
static double total_terms(const fn_plan *plan, int64_t rows)
{
    double sum = 0;
    for (int32_t i = 0; i < plan->n_terms; i++) {
        const fn_loss_term *term = &plan->terms[i];
        int64_t n = term->per_row ? rows : 1;
        sum += plan->kernels->loss_sum(term->node->buffer[term->buffer].value, NULL, 1, n) / (double)n;
    }
    return sum;
}

/* One of the numbers of a plan. */
static double number_at(const fn_kernels *kernels, const void *numbers, int64_t i)
{
    return kernels->dtype == FN_FLOAT32 ? (double)((const float *)numbers)[i] : ((const double *)numbers)[i];
}

/* Says which label of a batch is out of range, the first of the first output that has one. */
static void note_bad_label(const loss_total *total, const fn_context *context)
{
    fn_bad_label *found = &context->shared->bad_label;
    for (int i = 0; i < total->n_outputs && !found->output; i++) {
        const fn_node *node = &total->outputs[i];
        const fn_output *output = node->closure;
        if (!output->labels || !reads_target(output))
            continue;
        const void *labels = node->buffer[TARGET].value;
        const int64_t position = output->kernels->find_bad_label(labels, context->rows * output->inner, output->width);
        if (position < 0)
            continue;
        const int64_t row = context->first_row + position / output->inner;
        *found = (fn_bad_label){.output = node->layer,
                                .row = context->run->order ? context->run->order[row] : row,
                                .step = context->step,
                                .label = number_at(output->kernels, labels, position),
                                .n_classes = output->width};
    }
}

/* The losses of so many rows of the batch from `first`; whether they are finite. */
static bool total_rows(const loss_total *total, const fn_context *context, int64_t first, int64_t rows, double *loss)
{
    loss[0] = 0;
    for (int i = 0; i < total->n_outputs; i++) {
        const fn_node *output_node = &total->outputs[i];
        const fn_output *output = output_node->closure;
        loss[1 + i] = 0;
        if (!fn_has_loss(output))
            continue;
        const int64_t weighted = weights_per_row(context, output);
        const void *weights =
            weights_of(context, output) ? row_of(output, output_node->buffer[WEIGHT].value, first, weighted) : NULL;
        double sum = output->kernels->loss_sum(row_of(output, output_node->buffer[LOSS].value, first, output->positions), weights,
                                               output->positions / weighted, rows * weighted);
        loss[1 + i] = sum / (double)(rows * output->positions);
        loss[0] += output->loss_weight * loss[1 + i];
    }
    loss[0] += context->shared->penalty + total_terms(total->plan, rows);
    return isfinite(loss[0]);
}

/* The losses of several pieces, added to what the caller wants of each. */
static void total_pieces(const loss_total *total, const fn_context *context)
{
    const int64_t rows = fn_piece_rows(context);
    const fn_run *run = context->run;
    double *loss = context->shared->loss;
    for (int64_t piece = 0; piece < context->pieces; piece++) {
        if (!total_rows(total, context, piece * rows, rows, loss))
            context->shared->diverged = 1;
        for (int i = 0; i <= total->n_outputs && run->loss_sum; i++)
            run->loss_sum[piece * run->piece_stride + i] += loss[i] * (double)rows;
    }
}

static void total_losses(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)lo, (void)hi;
    const loss_total *total = node->closure;
    context->shared->loss[0] = 0;
    if (atomic_load_explicit(&context->shared->bad_labels, memory_order_relaxed)) {
        note_bad_label(total, context);
        context->shared->diverged = 1;
        return;
    }
    context->shared->diverged = 0;
    if (context->pieces > 1)
        total_pieces(total, context);
    else
        context->shared->diverged = !total_rows(total, context, 0, context->rows, context->shared->loss);
}

void fn_emit_loss_total(fn_plan *plan, fn_node *outputs, int n_outputs)
{
    fn_node *node = fn_plan_allocate(plan, sizeof *node);
    loss_total *total = fn_plan_allocate(plan, sizeof *total);
    int *reads = fn_plan_allocate(plan, sizeof *reads * (size_t)(3 * n_outputs + plan->n_terms + 1)), n = 0;
    if (!node || !total || !reads)
        return;
    *total = (loss_total){plan, outputs, n_outputs};
    node->closure = total;
    node->layer = "total";
    plan->verdict = fn_add_buffer(plan, 0, 0, plan);
    for (int i = 0; i < n_outputs; i++) {
        const fn_output *output = outputs[i].closure;
        if (fn_has_loss(output)) {
            reads[n++] = outputs[i].buffer[LOSS].value_buffer;
            reads[n++] = outputs[i].buffer[WEIGHT].value_buffer;
            if (output->labels) /* to tell which is out of range */
                reads[n++] = outputs[i].buffer[TARGET].value_buffer;
        }
    }
    for (int32_t i = 0; i < plan->n_terms; i++)
        reads[n++] = plan->terms[i].node->buffer[plan->terms[i].buffer].value_buffer;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "loss",
                                   .run = total_losses,
                                   .split = FN_SERIAL,
                                   .reads = {reads, n},
                                   .writes = FN_BUFFERS(plan->verdict)});
}

/* ---- metrics ------------------------------------------------------------------------------- */

/* The first position from `from` to `end` that counts, or the first that does not. */
static int64_t find_position(const fn_metric_state *state, int64_t from, int64_t end, bool counted)
{
    const fn_output *output = state->output->closure;
    if (!state->masked)
        return counted ? from : end;
    while (from < end) {
        const void *mask = row_of(output, state->output->input[0].value, from, 1);
        if ((output->kernels->loss_sum(mask, NULL, 1, 1) > 0) == counted)
            break;
        from++;
    }
    return from;
}

/* Positions `first` to `last` of the batch; those that count and lie together are taken together. */
static void judge_positions(const fn_metric_state *state, const fn_node *node, int64_t first, int64_t last, double *accumulator)
{
    const fn_output *output = state->output->closure;
    for (int64_t end; (first = find_position(state, first, last, true)) < last; first = end) {
        end = find_position(state, first, last, false);
        fn_metric_arguments arguments = {
            .prediction = row_of(output, node->output[0].value, first, state->width),
            .target = state->formula ? NULL : row_of(output, state->output->buffer[TARGET].value, first, output->target_width),
            .positions = end - first,
            .width = state->width,
            .target_width = output->target_width,
            .attribute = state->attribute,
            .accumulator = accumulator,
        };
        state->metric->update(&arguments);
    }
}

static void update_metric(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)lo, (void)hi;
    const fn_metric_state *state = node->closure;
    const fn_run *run = context->run;
    if (context->shared->bad_label.output || (context->shared->diverged && (run->phases & FN_PHASE_UPDATE)))
        return;
    const int64_t positions = fn_piece_rows(context) * state->inner;
    for (int64_t piece = 0; piece < context->pieces; piece++)
        judge_positions(state, node, piece * positions, (piece + 1) * positions,
                        run->metrics + piece * run->piece_stride + state->offset);
}

void fn_emit_metric(fn_plan *plan, fn_metric_state *metric, fn_node *node)
{
    node->closure = metric;
    node->layer = "metric";
    const fn_node *output = metric->output;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = metric->metric->entry.name,
                                   .run = update_metric,
                                   .split = FN_SERIAL,
                                   .reads = FN_BUFFERS(node->output[0].value_buffer,
                                                       metric->formula ? -1 : output->buffer[TARGET].value_buffer,
                                                       metric->masked ? output->input[0].value_buffer : -1)});
}
