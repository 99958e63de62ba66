/* take: the elements of a table at indices; see indexing.h.
 *
 *   y[.., i, ..] = x[.., index[i], ..]                 y [rows][shape], NaN where the index is out of range
 *   dx[.., k, ..] = sum of dy[.., i, ..] over the i with index[i] = k, in the order of the elements
 *
 * Indices have no gradient. Attributes: axis; along; zero: 0 in place of NaN; parameter: which of table and indices is one, whose
 * shape follows (rank, size_0, ...). Inputs: the table, the indices, without the one that is a parameter. */
#include "../indexing.h"
#include "../math.h"
#include "../sparse_rows.h"

enum { AXIS, ALONG, ZERO, PARAMETER, RANK, SIZE };
enum { NO_PARAMETER, TABLE_IS_PARAMETER, INDICES_ARE_PARAMETER, PARAMETER_CHOICES };

/* Columns of a table that one item of the sums covers: a cache line. */
#define COLUMNS (FN_ALIGNMENT / (int64_t)sizeof(real))

static fn_shape parameter_shape(const double *attribute)
{
    fn_shape shape = {.rank = (int32_t)attribute[RANK]};
    for (int32_t i = 0; i < shape.rank; i++)
        shape.size[i] = (int64_t)attribute[SIZE + i];
    return shape;
}

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    const int kind = (int)attribute[PARAMETER], wanted = kind == NO_PARAMETER ? 2 : 1;
    char a[FN_SHAPE_TEXT], b[FN_SHAPE_TEXT];
    if (inference->n_inputs != wanted)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': take got %d inputs, expected %d", inference->layer,
                       inference->n_inputs, wanted);
    const fn_shape parameter = parameter_shape(attribute);
    const fn_shape *table = kind == TABLE_IS_PARAMETER ? &parameter : &inference->input[0];
    const fn_shape *indices = kind == INDICES_ARE_PARAMETER ? &parameter : &inference->input[wanted - 1];
    fn_signature *signature = &inference->signature;
    signature->n_outputs = 1;
    if (!elements_shape(&signature->output[0], table, indices, (int32_t)attribute[AXIS], attribute[ALONG] != 0))
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': indices of shape %s do not fit axis %d of shape %s",
                       inference->layer, fn_shape_text(indices, a), (int)attribute[AXIS], fn_shape_text(table, b));
    if (table->size[(int)attribute[AXIS]] > MOST_INDICES)
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': axis %d of shape %s is longer than %d, the indices there are", inference->layer,
                       (int)attribute[AXIS], fn_shape_text(table, b), MOST_INDICES);
    if (kind != NO_PARAMETER) {
        signature->n_parameters = 1;
        signature->parameter[0] = parameter;
    }
    signature->keeps_numbers = kind == INDICES_ARE_PARAMETER;
    return FN_OK;
}

static fn_port *table_of(fn_node *node)
{
    return node->attribute[PARAMETER] == TABLE_IS_PARAMETER ? &node->parameter[0] : &node->input[0];
}

static fn_port *indices_of(fn_node *node)
{
    return node->attribute[PARAMETER] == INDICES_ARE_PARAMETER ? &node->parameter[0] : &node->input[node->n_inputs - 1];
}

/* Stages do not write to the node. */
static const fn_port *const_table_of(const fn_node *node)
{
    return table_of((fn_node *)node);
}

static const real *indices_values(const fn_node *node)
{
    return indices_of((fn_node *)node)->value;
}

/* ---- forward ------------------------------------------------------------------------------------------------- */

static void take_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, void *closure)
{
    (void)closure;
    const real outside = node->attribute[ZERO] != 0 ? FN_REAL(0.0) : FN_NAN;
    const indexing *x = node->closure;
    const indexing_run r = indexing_run_of(l, run, indices_values(node));
    const real *table = (const real *)const_table_of(node)->value + r.first;
    real *y = (real *)node->output[0].value + run->at;
    if (r.index_step == 0) { /* one index for all of the run */
        const int64_t place = place_of(*r.index, x->n);
        const real *from = table + (place < 0 ? 0 : place) * x->stride;
        if (place >= 0 && r.table_step == 1)
            memcpy(y, from, (size_t)run->n * sizeof *y);
        else
            for (int64_t i = 0; i < run->n; i++)
                y[i] = place < 0 ? outside : from[i * r.table_step];
        return;
    }
    for (int64_t i = 0; i < run->n; i++) {
        const int64_t place = place_of(r.index[i * r.index_step], x->n);
        y[i] = place < 0 ? outside : table[i * r.table_step + place * x->stride];
    }
}

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const indexing *x = node->closure;
    for_each_run(node, &x->layout, lo, hi, take_run, NULL);
}

static void forward(fn_plan *plan, fn_node *node)
{
    indexing *x = fn_plan_allocate(plan, sizeof *x);
    if (!x)
        return;
    const int kind = (int)node->attribute[PARAMETER];
    fill_indexing(x, &node->output[0].shape, &table_of(node)->shape, kind == TABLE_IS_PARAMETER, &indices_of(node)->shape,
                  kind == INDICES_ARE_PARAMETER, (int32_t)node->attribute[AXIS], node->attribute[ALONG] != 0);
    node->closure = x;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "take",
                                   .run = run_forward,
                                   .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_WRITES_OUTPUTS});
}

/* ---- backward ------------------------------------------------------------------------------------------------- */

/* Adds the gradients of a run to those of the table. */
static void add_run(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, void *closure)
{
    const indexing *x = node->closure;
    const indexing_run r = indexing_run_of(l, run, indices_values(node));
    const real *restrict dy = (const real *)node->output[0].gradient + run->at;
    real *restrict dx = (real *)closure + r.first;
    if (r.index_step == 0 && r.table_step == 1) {
        const int64_t place = place_of(*r.index, x->n);
        if (place >= 0)
            FN_FOR_EACH(i, run->n, dx[place * x->stride + i] += dy[i]);
        return;
    }
    for (int64_t i = 0; i < run->n; i++) {
        const int64_t place = place_of(r.index[i * r.index_step], x->n);
        if (place >= 0)
            dx[i * r.table_step + place * x->stride] += dy[i];
    }
}

static void run_backward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context;
    const indexing *x = node->closure;
    for (int32_t i = 0; i < node->n_inputs; i++) {
        const fn_port *port = &node->input[i];
        if (port->gradient_buffer >= 0 && !port->accumulate)
            memset((real *)port->gradient + lo * port->width, 0, (size_t)((hi - lo) * port->width) * sizeof(real));
    }
    if (node->attribute[PARAMETER] != TABLE_IS_PARAMETER && node->input[0].gradient_buffer >= 0)
        for_each_run(node, &x->layout, lo, hi, add_run, node->input[0].gradient);
}

/* Of a table that is a parameter, a block of columns of one of its outer indices: all rows of the batch. With one outer index
 * the table has been cleared, and whoever has the first block marks the rows. */
static void sum_columns(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const indexing *x = node->closure;
    const fn_port *table = &node->parameter[0], *indices = &node->input[0];
    const int64_t inner = x->stride, blocks = (inner + COLUMNS - 1) / COLUMNS, outer = table->width / (x->n * inner);
    for (int64_t item = lo; item < hi; item++) {
        const int64_t first = item % blocks * COLUMNS, n = inner - first < COLUMNS ? inner - first : COLUMNS;
        real *restrict dw = (real *)table->gradient + item / blocks * x->n * inner + first;
        uint8_t *active = item == 0 ? table->active_rows : NULL;
        for (int64_t k = 0; k < x->n && outer > 1 && !table->accumulate; k++)
            memset(dw + k * inner, 0, (size_t)n * sizeof *dw);
        if (active && outer > 1)
            memset(active, 1, (size_t)table->shape.size[0]);
        for (int64_t row = 0; row < context->rows; row++) {
            const real *index = (const real *)indices->value + row * indices->width;
            const real *restrict dy =
                (const real *)node->output[0].gradient + (row * outer + item / blocks) * indices->width * inner + first;
            for (int64_t i = 0; i < indices->width; i++, dy += inner) {
                const int64_t place = place_of(index[i], x->n);
                if (place < 0)
                    continue;
                FN_FOR_EACH(j, n, dw[place * inner + j] += dy[j]);
                if (active && outer == 1)
                    active[place * inner / (table->width / table->shape.size[0])] = 1;
            }
        }
    }
}

/* The same where tables are repeated along axes. */
static void sum_rows(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)lo, (void)hi;
    const indexing *x = node->closure;
    const fn_port *table = &node->parameter[0];
    if (!table->accumulate)
        memset(table->gradient, 0, (size_t)table->width * sizeof(real));
    if (table->active_rows)
        memset(table->active_rows, 1, (size_t)table->shape.size[0]);
    for_each_run(node, &x->layout, 0, context->rows, add_run, table->gradient);
}

static void backward(fn_plan *plan, fn_node *node)
{
    const fn_port *table = table_of(node);
    const unsigned ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_READS_OUTPUT_GRADIENTS;
    bool inputs = false;
    for (int32_t i = 0; i < node->n_inputs; i++)
        inputs |= node->input[i].gradient_buffer >= 0;
    if (node->attribute[PARAMETER] == TABLE_IS_PARAMETER && table->gradient_buffer >= 0) {
        const bool along = node->attribute[ALONG] != 0;
        const indexing *x = node->closure;
        if (!along && !table->accumulate && table->width == x->n * x->stride)
            fn_emit(plan, &(fn_stage_spec){.node = node,
                                           .label = "take clear",
                                           .run = clear_rows,
                                           .split = FN_BY_ITEMS,
                                           .items = table->shape.size[0],
                                           .ports = FN_WRITES_PARAMETER_GRADIENTS});
        fn_emit(plan,
                &(fn_stage_spec){.node = node,
                                 .label = "take backward parameters",
                                 .run = along ? sum_rows : sum_columns,
                                 .split = along ? FN_SERIAL : FN_BY_ITEMS,
                                 .items = along ? 0 : table->width / (x->n * x->stride) * ((x->stride + COLUMNS - 1) / COLUMNS),
                                 .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS | FN_WRITES_PARAMETER_GRADIENTS,
                                 .flops_per_row = (double)node->output[0].width});
    }
    if (node->attribute[PARAMETER] == INDICES_ARE_PARAMETER)
        clear_gradient_of_indices(plan, node, "take indices");
    if (inputs)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "take backward",
                                       .run = run_backward,
                                       .ports = ports | FN_WRITES_INPUT_GRADIENTS,
                                       .reads = FN_BUFFERS(fn_accumulated(&node->input[0])),
                                       .flops_per_row = (double)node->output[0].width});
}

static const fn_attribute attributes[] = {{"axis", 0, FN_INTEGER(0, FN_MAX_RANK - 1)},
                                          {"along", 0, FN_FLAG},
                                          {"zero", 0, FN_FLAG},
                                          {"parameter", NO_PARAMETER, FN_ONE_OF(PARAMETER_CHOICES, "none table indices")},
                                          {"rank", 0, FN_INTEGER(0, FN_MAX_RANK)},
                                          FN_SIZE_ATTRIBUTES};

const fn_op FN_SYM(op_take) = {
    .entry = {"take", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 2,
    .flags = FN_HAS_SPARSE_GRADIENT | FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
