/* Plans that make several pieces of a batch at once (fn_plan_spec.pieces): which can, and what of them is made piece by piece.
 *
 *   stages of a node:  dx    sum   add             dx: of all rows
 *   become             dx    sum_0 add_0  sum_1 add_1  ...  sums of pieces
 *
 * A stage that treats rows by themselves is run for all of them. Those that add up rows, as for gradients of parameters, are run
 * for one piece after another, each of which has an array of its own for the gradient; then these are added up. Arrays that
 * several of these stages of a node share, such as sums on the way, are used by one piece at a time. */
#include "plan.h"

enum {
    MOST_ADDED = 8,    /* pieces that have arrays of their own */
    BLOCK_BYTES = 4096 /* of each array at a time, so that sums on the way stay in the first-level cache */
};

/* ---- which plans ---------------------------------------------------------------------------------------------- */

/* Whether a parameter is that of one node at most: gradients of several are not added up piece by piece. */
static bool is_used_once(const fn_plan_spec *spec, int32_t parameter)
{
    int32_t uses = 0;
    for (int32_t i = 0; i < spec->n_nodes; i++)
        for (int32_t j = 0; j < spec->nodes[i].n_parameters; j++)
            uses += spec->nodes[i].parameters[j] == parameter;
    return uses <= 1;
}

/* Whether a node, whose operation keeps pieces, does with its parameters. */
static bool divides_parameters(const fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    const fn_node *node = &plan->nodes[i];
    if (node->op->flags & FN_SUMS_PIECES)
        return true;
    for (int32_t j = 0; j < node->n_parameters; j++)
        if (node->op->update && !spec->parameters[spec->nodes[i].parameters[j]].trainable)
            return false; /* a state */
    return node->n_parameters == 0 || (spec->pieces <= MOST_ADDED && !plan->runs[i]);
}

static bool keeps_pieces(const fn_plan *plan, const fn_plan_spec *spec, int32_t i)
{
    const fn_node *node = &plan->nodes[i];
    if (!(node->op->flags & FN_KEEPS_PIECES) || node->batchless || node->deferred)
        return false;
    for (int32_t j = 0; j < node->n_parameters; j++)
        if (spec->nodes[i].parameters[j] < 0)
            return false;
    return divides_parameters(plan, spec, i);
}

int32_t fn_count_pieces(const fn_plan *plan, const fn_plan_spec *spec)
{
    if (spec->pieces <= 1 || !spec->training)
        return 1;
    for (int32_t i = 0; i < spec->n_nodes; i++)
        if (!keeps_pieces(plan, spec, i))
            return 1;
    for (int32_t i = 0; i < spec->n_inputs; i++)
        if (spec->inputs[i].target < 0)
            return 1;
    for (int32_t i = 0; i < spec->n_parameters; i++)
        if (!is_used_once(spec, i))
            return 1;
    return spec->pieces;
}

/* ---- sums ----------------------------------------------------------------------------------------------------- */

/* Closure of the stage that adds up the gradients of the parameters of a node. */
typedef struct piece_sums {
    const fn_plan *plan;
    int32_t n;
    int64_t size[FN_MAX_PARAMETERS]; /* in bytes */
    int buffer[FN_MAX_PARAMETERS][MOST_ADDED];
} piece_sums;

static int64_t count_blocks(int64_t bytes)
{
    return (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

/* The first array += the others, up to the end, in the order of their numbers as fn_plan_spec.pieces says. */
static void add_arrays(const fn_kernels *kernels, char *const *array, int32_t n, int64_t bytes)
{
    if (n == 1)
        return;
    const int32_t left = (n + 1) / 2;
    add_arrays(kernels, array, left, bytes);
    add_arrays(kernels, array + left, n - left, bytes);
    kernels->add(array[0], array[left], bytes / (int64_t)kernels->element);
}

/* Blocks lo to hi of all parameters. */
static void sum_pieces(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const piece_sums *sums = node->closure;
    const fn_plan *plan = sums->plan;
    for (int32_t j = 0; j < sums->n; j++) {
        const int64_t blocks = count_blocks(sums->size[j]);
        for (int64_t block = lo < 0 ? 0 : lo; block < hi && block < blocks; block++) {
            const int64_t first = block * BLOCK_BYTES, left = sums->size[j] - first;
            char *array[MOST_ADDED];
            for (int32_t piece = 0; piece < context->pieces; piece++)
                array[piece] = (char *)plan->buffers[sums->buffer[j][piece]].data + first;
            add_arrays(plan->kernels, array, plan->pieces, left < BLOCK_BYTES ? left : BLOCK_BYTES);
        }
        lo -= blocks;
        hi -= blocks;
    }
}

static void emit_sums(fn_plan *plan, const fn_node *node, const fn_piece *pieces)
{
    fn_node *own = fn_plan_allocate(plan, sizeof *own);
    piece_sums *sums = fn_plan_allocate(plan, sizeof *sums);
    int *buffers = fn_plan_allocate(plan, sizeof *buffers * FN_MAX_PARAMETERS * MOST_ADDED), n = 0;
    if (plan->failed)
        return;
    sums->plan = plan;
    int64_t blocks = 0;
    for (int32_t j = 0; j < node->n_parameters; j++) {
        if (pieces[0].gradient[j] < 0)
            continue;
        for (int32_t piece = 0; piece < plan->pieces; piece++)
            sums->buffer[sums->n][piece] = buffers[n++] = pieces[piece].gradient[j];
        sums->size[sums->n] = fn_shape_size(&node->parameter[j].shape) * (int64_t)plan->kernels->element;
        blocks += count_blocks(sums->size[sums->n++]);
    }
    if (blocks == 0)
        return;
    own->layer = node->layer;
    own->closure = sums;
    fn_emit(plan, &(fn_stage_spec){.node = own,
                                   .label = "sums of pieces",
                                   .run = sum_pieces,
                                   .split = FN_BY_ITEMS,
                                   .items = blocks,
                                   .reads = {buffers, n},
                                   .writes = {buffers, n}});
}

/* ---- stages of pieces ------------------------------------------------------------------------------------------ */

static int find_parameter(const fn_node *node, int buffer)
{
    for (int32_t j = 0; j < node->n_parameters; j++)
        if (buffer >= 0 && node->parameter[j].gradient_buffer == buffer)
            return j;
    return -1;
}

static bool is_by_pieces(const fn_node *node, const fn_stage *stage, const fn_access *accesses, int32_t n)
{
    bool found = stage->by_pieces;
    for (int32_t i = 0; i < n; i++)
        found |= accesses[i].write && find_parameter(node, accesses[i].buffer) >= 0;
    return found;
}

/* Of each piece, with arrays for its gradients; those of the first are the parameters' own. */
static fn_piece *make_pieces(fn_plan *plan, const fn_node *node)
{
    fn_piece *pieces = fn_plan_allocate(plan, sizeof *pieces * (size_t)plan->pieces);
    for (int32_t i = 0; pieces && i < plan->pieces; i++) {
        pieces[i].number = i;
        for (int32_t j = 0; j < node->n_parameters; j++) {
            const int own = node->parameter[j].gradient_buffer;
            const bool apart = own >= 0 && i > 0 && plan->emitting == FN_PHASE_BACKWARD;
            pieces[i].gradient[j] = apart ? fn_add_buffer(plan, 0, fn_shape_size(&node->parameter[j].shape), NULL) : own;
        }
    }
    return pieces;
}

/* Rows of a piece are not those that a thread has in other stages: of all arrays it may touch everything. */
static void append_piece(fn_plan *plan, const fn_node *node, const fn_taken_stages *taken, int32_t number, const fn_piece *piece)
{
    int32_t n;
    const fn_access *given = fn_find_accesses(taken, number, &n);
    fn_access *accesses = fn_plan_allocate(plan, sizeof *accesses * (size_t)(n + 1));
    if (!accesses)
        return;
    for (int32_t i = 0; i < n; i++) {
        const int parameter = find_parameter(node, given[i].buffer);
        accesses[i] = given[i];
        accesses[i].all = true;
        accesses[i].buffer = parameter < 0 ? given[i].buffer : piece->gradient[parameter];
    }
    fn_stage stage = taken->stages[number];
    stage.piece = piece;
    stage.flops_per_row /= plan->pieces;
    fn_append_stage(plan, &stage, accesses, n);
}

void fn_divide_stages(fn_plan *plan, const fn_node *node, int32_t first_stage, int32_t first_access)
{
    if (plan->pieces == 1 || plan->failed || node->op->flags & FN_SUMS_PIECES)
        return;
    const fn_taken_stages taken = fn_take_stages(plan, first_stage, first_access);
    const fn_piece *const pieces = make_pieces(plan, node);
    bool any = false;
    for (int32_t i = 0, end; i < taken.n && !plan->failed; i = end) {
        for (end = i; end < taken.n; end++) {
            int32_t n;
            const fn_access *accesses = fn_find_accesses(&taken, end, &n);
            if (!is_by_pieces(node, &taken.stages[end], accesses, n))
                break;
        }
        any |= end > i;
        for (int32_t piece = 0; piece < plan->pieces; piece++)
            for (int32_t j = i; j < end; j++)
                append_piece(plan, node, &taken, j, &pieces[piece]);
        if (end == i) {
            int32_t n;
            const fn_access *accesses = fn_find_accesses(&taken, end, &n);
            fn_append_stage(plan, &taken.stages[end++], accesses, n);
        }
    }
    if (any && plan->emitting == FN_PHASE_BACKWARD && !plan->failed)
        emit_sums(plan, node, pieces);
}

/* Begins an array of so many elements for each row at the rows of a piece. */
static void move_array(const fn_plan *plan, void **array, int buffer, int64_t row)
{
    if (buffer < 0 || !*array || plan->buffers[buffer].fixed > 0)
        return;
    *array = (char *)*array + row * plan->buffers[buffer].per_row * (int64_t)plan->kernels->element;
}

static void move_port(const fn_plan *plan, fn_port *port, int64_t row)
{
    move_array(plan, &port->value, port->value_buffer, row);
    move_array(plan, &port->gradient, port->gradient_buffer, row);
}

void fn_view_piece(const fn_plan *plan, const fn_stage *stage, int64_t rows, fn_piece_view *view)
{
    const fn_node *node = stage->node;
    const int64_t row = stage->piece->number * rows;
    view->node = *node;
    view->node.input = view->input;
    for (int32_t j = 0; j < node->n_inputs; j++) {
        view->input[j] = node->input[j];
        move_port(plan, &view->input[j], row);
    }
    for (int32_t j = 0; j < node->n_outputs; j++)
        move_port(plan, &view->node.output[j], row);
    for (int32_t j = 0; j < node->n_node_buffers; j++)
        move_port(plan, &view->node.buffer[j], row);
    for (int32_t j = 0; j < node->n_parameters; j++) {
        fn_port *parameter = &view->node.parameter[j];
        const int gradient = stage->piece->gradient[j];
        parameter->active_rows = NULL; /* an array of a piece is not that which they are about */
        parameter->gradient = gradient < 0 ? NULL : plan->buffers[gradient].data;
    }
}
