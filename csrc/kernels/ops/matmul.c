/* matmul: products of the matrices that are the last two axes of a and b.
 *
 *   y = a' b'                  a' [m][k] is a or its transpose, b' [k][n] likewise, y [rows][...][m][n]
 *   da' = dy b'^T,  db' = a'^T dy
 *
 * The axes before the matrices are aligned at their last and repeated where they are 1, or missing; a gradient is then the sum
 * over them, and over the rows where an operand is a parameter.
 *
 * Attributes: transpose_0, transpose_1; parameter (1 or 2: which of the two is no input but a parameter, of shape rank,
 * size_axis; 0: none). The last column_axes of a parameter, together, are the columns of its matrices, and the row_axes before
 * them the rows. Buffer: of a parameter, the sums over each group of rows. */
#include "../broadcast.h"
#include "../gemm.h"
#include "../math.h"

enum { TRANSPOSE, PARAMETER = 2, ROW_AXES, COLUMN_AXES, RANK, SIZE };

static const fn_attribute attributes[] = {
    {"transpose_0", 0, FN_FLAG},
    {"transpose_1", 0, FN_FLAG},
    {"parameter", 0, FN_INTEGER(0, 2)},
    {"row_axes", 1, FN_INTEGER(0, FN_MAX_RANK)},
    {"column_axes", 1, FN_INTEGER(0, FN_MAX_RANK)},
    {"rank", 2, FN_INTEGER(0, FN_MAX_RANK)},
    FN_SIZE_ATTRIBUTES,
};

/* ---- shapes ------------------------------------------------------------------------------------------------- */

static fn_shape parameter_shape(const double *attribute)
{
    fn_shape shape = {.rank = (int32_t)attribute[RANK]};
    for (int32_t i = 0; i < shape.rank; i++)
        shape.size[i] = (int64_t)attribute[SIZE + i];
    return shape;
}

/* With one axis for the rows, and one for the columns. */
static fn_shape parameter_matrices(const double *attribute)
{
    const fn_shape given = parameter_shape(attribute);
    const int32_t rows = given.rank - (int32_t)attribute[COLUMN_AXES] - (int32_t)attribute[ROW_AXES];
    fn_shape shape = {.rank = rows + 2};
    for (int32_t i = 0; i < shape.rank; i++)
        shape.size[i] = i < rows ? given.size[i] : 1;
    for (int32_t i = rows; i < given.rank; i++) {
        int64_t *size = &shape.size[i < given.rank - (int32_t)attribute[COLUMN_AXES] ? rows : rows + 1];
        *size = fn_multiply(*size, given.size[i]);
    }
    return shape;
}

/* What an operand is: a parameter, or input number *input. */
static bool is_parameter(const double *attribute, int operand, int *input)
{
    const int parameter = (int)attribute[PARAMETER];
    *input = parameter ? 0 : operand;
    return parameter == operand + 1;
}

/* The axes before the matrices. */
static fn_shape axes_before(const fn_shape *x)
{
    fn_shape shape = *x;
    shape.rank -= 2;
    return shape;
}

/* Axis 0 or 1 of the matrices as they are multiplied. */
static int64_t matrix_size(const fn_shape *x, bool transposed, int axis)
{
    return x->size[x->rank - 2 + (transposed ? 1 - axis : axis)];
}

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    char text[2][FN_SHAPE_TEXT];
    fn_shape x[2];
    if (inference->n_inputs != (attribute[PARAMETER] != 0 ? 1 : 2))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': matmul of %d inputs, expected %d", inference->layer,
                       (int)inference->n_inputs, attribute[PARAMETER] != 0 ? 1 : 2);
    if (attribute[PARAMETER] != 0 && (attribute[ROW_AXES] + attribute[COLUMN_AXES] > attribute[RANK] ||
                                      attribute[RANK] - attribute[ROW_AXES] - attribute[COLUMN_AXES] + 2 > FN_MAX_RANK))
        return fn_fail(inference->error, FN_ERROR_ATTRIBUTE, "layer '%s': matmul with %g and %g axes of a parameter of rank %g",
                       inference->layer, attribute[ROW_AXES], attribute[COLUMN_AXES], attribute[RANK]);
    for (int operand = 0, input; operand < 2; operand++)
        x[operand] = is_parameter(attribute, operand, &input) ? parameter_matrices(attribute) : inference->input[input];
    if (x[0].rank < 2 || x[1].rank < 2 ||
        matrix_size(&x[0], attribute[TRANSPOSE] != 0, 1) != matrix_size(&x[1], attribute[TRANSPOSE + 1] != 0, 0))
        return fn_fail(
            inference->error, FN_ERROR_SHAPE,
            "layer '%s': matmul of shapes %s%s and %s%s, expected matrices, as many columns in the first as rows in the "
            "second",
            inference->layer, fn_shape_text(&x[0], text[0]), attribute[TRANSPOSE] != 0 ? " transposed" : "",
            fn_shape_text(&x[1], text[1]), attribute[TRANSPOSE + 1] != 0 ? " transposed" : "");
    fn_shape y = axes_before(&x[0]);
    const fn_shape other = axes_before(&x[1]);
    if (!broadcast_shapes(&y, &other))
        return fn_fail(inference->error, FN_ERROR_SHAPE,
                       "layer '%s': matmul of shapes %s and %s, whose axes before the matrices do not broadcast",
                       inference->layer, fn_shape_text(&x[0], text[0]), fn_shape_text(&x[1], text[1]));
    y.size[y.rank++] = matrix_size(&x[0], attribute[TRANSPOSE] != 0, 0);
    y.size[y.rank++] = matrix_size(&x[1], attribute[TRANSPOSE + 1] != 0, 1);
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = y;
    if (attribute[PARAMETER] != 0) {
        inference->signature.n_parameters = 1;
        inference->signature.parameter[0] = parameter_shape(attribute);
        inference->n_node_buffers = inference->training ? 1 : 0;
        inference->buffer_fixed[0] = fn_multiply(FN_ROW_GROUPS, fn_shape_size(&inference->signature.parameter[0]));
    }
    return FN_OK;
}

/* ---- matrices ----------------------------------------------------------------------------------------------- */

/* What stages of a node share. stride: from matrix to matrix along an axis, 0 where they are repeated. */
typedef struct products {
    int64_t m, n, k;
    bool transposed[2], repeated[2];
    int32_t rank;
    int64_t size[FN_MAX_RANK], stride[2][FN_MAX_RANK];
} products;

static const fn_port *operand_port(const fn_node *node, int operand)
{
    int input;
    return is_parameter(node->attribute, operand, &input) ? &node->parameter[0] : &node->input[input];
}

static void fill_products(products *p, const fn_node *node)
{
    const fn_shape *y = &node->output[0].shape;
    fn_shape x[2];
    for (int operand = 0, input; operand < 2; operand++)
        x[operand] = is_parameter(node->attribute, operand, &input) ? parameter_matrices(node->attribute)
                                                                    : operand_port(node, operand)->shape;
    p->m = y->size[y->rank - 2];
    p->n = y->size[y->rank - 1];
    p->rank = y->rank - 2;
    memcpy(p->size, y->size, (size_t)p->rank * sizeof *p->size);
    for (int operand = 0; operand < 2; operand++) {
        p->transposed[operand] = node->attribute[TRANSPOSE + operand] != 0;
        const fn_shape *shape = &x[operand];
        int64_t stride = shape->size[shape->rank - 1] * shape->size[shape->rank - 2];
        for (int32_t axis = y->rank - 3, own = shape->rank - 3; axis >= 0; axis--, own--) {
            const int64_t size = own < 0 ? 1 : shape->size[own];
            p->stride[operand][axis] = size == 1 ? 0 : stride;
            p->repeated[operand] |= size != y->size[axis];
            stride *= size;
        }
    }
    p->k = matrix_size(&x[0], p->transposed[0], 1);
    /* All matrices of a by the same one of b: one matrix with more rows. */
    bool same = !p->transposed[0] && !p->repeated[0];
    for (int32_t axis = 0; axis < p->rank; axis++)
        same = same && p->stride[1][axis] == 0;
    if (same) {
        for (int32_t axis = 0; axis < p->rank; axis++)
            p->m *= p->size[axis];
        p->rank = 0;
        p->repeated[1] = false;
    }
}

/* The matrix of an operand as it is multiplied. */
static gemm_matrix matrix_of(const products *p, int operand, const real *data)
{
    const int64_t rows = operand == 0 ? p->m : p->k, columns = operand == 0 ? p->k : p->n;
    return p->transposed[operand] ? (gemm_matrix){data, 1, rows} : (gemm_matrix){data, columns, 1};
}

static gemm_matrix transpose(gemm_matrix x)
{
    return (gemm_matrix){x.data, x.column, x.row};
}

/* The matrix of y that is being computed, from which the place of the others follows. */
typedef struct place {
    int64_t index[FN_MAX_RANK], at[2], y;
} place;

static bool next_place(const products *p, place *place)
{
    place->y += p->m * p->n;
    for (int32_t axis = p->rank - 1; axis >= 0; axis--) {
        const bool more = ++place->index[axis] < p->size[axis];
        for (int operand = 0; operand < 2; operand++)
            place->at[operand] += more ? p->stride[operand][axis] : -p->stride[operand][axis] * (p->size[axis] - 1);
        if (more)
            return true;
        place->index[axis] = 0;
    }
    return false;
}

static const real *row_of(const fn_node *node, int operand, int64_t row)
{
    int input;
    const bool parameter = is_parameter(node->attribute, operand, &input);
    const fn_port *port = operand_port(node, operand);
    return (const real *)port->value + (parameter ? 0 : row * port->width);
}

static void multiply(gemm_arguments *product, void *workspace)
{
    product->c_row = product->n;
    product->by_dots = gemm_suits_dots(product->n, product->k);
    FN_SYM(gemm)(product, workspace);
}

static int64_t workspace_size(const products *p)
{
    int64_t most = 0;
    const int64_t sizes[][3] = {
        {p->m, p->n, p->k}, {p->m, p->k, p->n}, {p->k, p->m, p->n}, {p->k, p->n, p->m}, {p->n, p->k, p->m}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int64_t bytes = FN_SYM(gemm_workspace)(sizes[i][0], sizes[i][1], sizes[i][2]);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static double product_flops(const fn_node *node)
{
    const products *p = node->closure;
    return 2.0 * (double)node->output[0].width * (double)p->k;
}

/* ---- forward ------------------------------------------------------------------------------------------------ */

static void run_forward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const products *p = node->closure;
    for (int64_t row = lo; row < hi; row++) {
        const real *a = row_of(node, 0, row), *b = row_of(node, 1, row);
        real *y = (real *)node->output[0].value + row * node->output[0].width;
        place place = {.y = 0};
        do {
            gemm_arguments product = {.m = p->m,
                                      .n = p->n,
                                      .k = p->k,
                                      .a = matrix_of(p, 0, a + place.at[0]),
                                      .b = matrix_of(p, 1, b + place.at[1]),
                                      .c = y + place.y};
            multiply(&product, context->workspace);
        } while (next_place(p, &place));
    }
}

static void forward(fn_plan *plan, fn_node *node)
{
    products *p = fn_plan_allocate(plan, sizeof *p);
    if (!p)
        return;
    fill_products(p, node);
    node->closure = p;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "matmul forward",
                                   .run = run_forward,
                                   .costly = true,
                                   .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_WRITES_OUTPUTS,
                                   .flops_per_row = product_flops(node),
                                   .workspace = workspace_size(p)});
}

/* ---- backward ----------------------------------------------------------------------------------------------- */

/* dx (+)= the gradient of one matrix of an operand, from the other operand's and that of y. */
static void differentiate(const products *p, int operand, gemm_matrix other, const real *dy, real *dx, bool accumulate,
                          void *workspace)
{
    const gemm_matrix d = {dy, p->n, 1};
    gemm_arguments product = {.c = dx, .accumulate = accumulate};
    if (operand == 0) {
        product.m = p->m, product.n = p->k, product.k = p->n;
        product.a = d, product.b = transpose(other);
    } else {
        product.m = p->k, product.n = p->n, product.k = p->m;
        product.a = transpose(other), product.b = d;
    }
    if (p->transposed[operand]) {
        const gemm_matrix a = product.a;
        const int64_t m = product.m;
        product.a = transpose(product.b), product.b = transpose(a);
        product.m = product.n, product.n = m;
    }
    multiply(&product, workspace);
}

/* Of all matrices of a row. accumulate: something is there already, which is added to. */
static void differentiate_row(const fn_node *node, const fn_context *context, int operand, int64_t row, real *dx, bool accumulate)
{
    const products *p = node->closure;
    const real *other = row_of(node, 1 - operand, row);
    const real *dy = (const real *)node->output[0].gradient + row * node->output[0].width;
    place place = {.y = 0};
    if (p->repeated[operand] && !accumulate) {
        memset(dx, 0, (size_t)operand_port(node, operand)->width * sizeof *dx);
        accumulate = true;
    }
    do {
        differentiate(p, operand, matrix_of(p, 1 - operand, other + place.at[1 - operand]), dy + place.y, dx + place.at[operand],
                      accumulate, context->workspace);
    } while (next_place(p, &place));
}

static void run_backward(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    for (int operand = 0, input; operand < 2; operand++) {
        const fn_port *port = operand_port(node, operand);
        if (is_parameter(node->attribute, operand, &input) || port->gradient_buffer < 0)
            continue;
        for (int64_t row = lo; row < hi; row++)
            differentiate_row(node, context, operand, row, (real *)port->gradient + row * port->width, port->accumulate);
    }
}

/* Sums over the rows of a group. */
static void sum_group(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    const fn_port *port = &node->parameter[0];
    real *sums = (real *)node->buffer[0].value + context->group * port->width;
    if (context->group_begins)
        memset(sums, 0, (size_t)port->width * sizeof *sums);
    for (int64_t row = lo; row < hi; row++)
        differentiate_row(node, context, (int)node->attribute[PARAMETER] - 1, row, sums, true);
}

static void add_groups(const fn_node *node, const fn_context *context, int64_t lo, int64_t hi)
{
    (void)context, (void)lo, (void)hi;
    const fn_port *port = &node->parameter[0];
    real *dw = port->gradient;
    const real *sums = node->buffer[0].value;
    if (!port->accumulate)
        memset(dw, 0, (size_t)port->width * sizeof *dw);
    for (int group = 0; group < FN_ROW_GROUPS; group++, sums += port->width)
        FN_FOR_EACH(i, port->width, dw[i] += sums[i]);
}

static void backward(fn_plan *plan, fn_node *node)
{
    const products *p = node->closure;
    int n = 0;
    for (int32_t i = 0; i < node->n_inputs; i++)
        n += node->input[i].gradient_buffer >= 0;
    if (!p) /* out of memory, of which the plan has taken note */
        return;
    if (n > 0)
        fn_emit(plan, &(fn_stage_spec){.node = node,
                                       .label = "matmul backward",
                                       .run = run_backward,
                                       .ports = FN_READS_INPUTS | FN_READS_PARAMETERS | FN_READS_OUTPUT_GRADIENTS |
                                                FN_WRITES_INPUT_GRADIENTS,
                                       .reads = FN_BUFFERS(fn_accumulated(&node->input[0]),
                                                           node->n_inputs > 1 ? fn_accumulated(&node->input[1]) : -1),
                                       .flops_per_row = n * product_flops(node),
                                       .workspace = workspace_size(p)});
    if (node->n_parameters == 0 || node->parameter[0].gradient_buffer < 0)
        return;
    const int sums = node->buffer[0].value_buffer;
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "matmul backward parameters",
                                   .run = sum_group,
                                   .split = FN_BY_GROUPS,
                                   .by_pieces = true,
                                   .ports = FN_READS_INPUTS | FN_READS_OUTPUT_GRADIENTS,
                                   .writes = FN_BUFFERS(sums),
                                   .flops_per_row = product_flops(node),
                                   .workspace = workspace_size(p)});
    fn_emit(plan, &(fn_stage_spec){.node = node,
                                   .label = "matmul sum",
                                   .run = add_groups,
                                   .split = FN_SERIAL,
                                   .ports = FN_WRITES_PARAMETER_GRADIENTS,
                                   .reads = FN_BUFFERS(sums)});
}

const fn_op FN_SYM(op_matmul) = {
    .entry = {"matmul", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 2,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
    .forward = forward,
    .backward = backward,
};
