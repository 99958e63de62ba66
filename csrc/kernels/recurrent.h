/* What the recurrent layers share: the loop over the steps of a sequence and back, states, masks, dropout, outputs.
 *
 *   s_t = step(x_t W + b, s_(t-1))            x [rows][steps][inputs], W [inputs][input_gates * units]
 *
 * s_t are the states of a cell, [rows][units] each; the first is its output h_t. A cell file gives the step, its derivative
 * and the gradients of its recurrent kernel U [units][...]. Rows of the batch are independent of each other: a thread takes
 * its rows through all steps, forwards and backwards, without a barrier. Products have only so many rows as a thread has,
 * so W, U and their transposes are packed once for all steps.
 *
 * Where the batch has few rows and U is large, the time goes into reading U, once for each step. Then threads divide the units:
 * each computes the same units at every step, from its part of U, which is in its second-level cache, and they wait for each
 * other once a step.
 *
 * Inputs: x; with `masked` the mask [steps], above 0 where a step counts, else the states stay what they are, and with
 * zero_output_for_mask the output of the step is 0; then, or not, the states to begin with [units] (else 0, or with `stateful`,
 * its batch size, those where the last batch ended).
 * Outputs: h of all steps or of the last; with return_state the last states. go_backwards: from the last step of x to the
 * first; h of all steps in that order, or (2) in that of x.
 * Parameters: W, U, the bias with use_bias; with `stateful` the states [batch size][units], which no gradient reaches.
 *
 * dropout multiplies x and recurrent_dropout h_(t-1), where it enters products, by factors [rows][inputs + units] that are
 * the same for all steps: 0, or 1 / (1 - rate).
 *
 * Kept from the forward to the backward pass, in one buffer, by step first and then by row, so that the rows of a thread lie
 * together and the gradients of W and U are one product over all steps and rows:
 *
 *   gates   [steps][rows][gates * units]    what the cell needs of its gates; over it, backwards, the gradients of the sums
 *   pre     [steps][rows][gates * units]    the sums, if an activation's derivative is taken at its input
 *   state   [steps + 1][rows][units]        each of the states, the first of which is the initial one
 *   x       [steps][rows][inputs]           in the order of the steps, with dropout
 *   dropped [steps][rows][units]            h_(t-1) with dropout, if there is recurrent dropout
 *   factor  [rows][inputs + units]          of dropout
 *
 * In a plan that does not train, a thread has the gates of one step and two of each state in its workspace; where units are
 * divided, gates, states and x are kept as above. */
#ifndef FN_KERNELS_RECURRENT_H
#define FN_KERNELS_RECURRENT_H

#include "fused_activation.h"
#include "gemm.h"
#include "random.h"

#include <string.h>

enum {
    UNITS,
    USE_BIAS,
    ACTIVATION,
    ALPHA,
    RECURRENT_ACTIVATION,
    RECURRENT_ALPHA,
    RETURN_SEQUENCES,
    RETURN_STATE,
    GO_BACKWARDS,
    MASKED,
    STATEFUL,
    DROPOUT,
    RECURRENT_DROPOUT,
    SEED,
    ZERO_MASKED,
    RECURRENT_ATTRIBUTES
};
enum { SAVED_STATES, PACKED };

#define RECURRENT_ATTRIBUTE_LIST                                                                                                 \
    {"units", 1, FN_INTEGER(1, 1 << 16)}, {"use_bias", 1, FN_FLAG}, FN_ACTIVATION_ATTRIBUTES("activation", "alpha"),             \
        FN_ACTIVATION_ATTRIBUTES("recurrent_activation", "recurrent_alpha"), {"return_sequences", 0, FN_FLAG},                   \
        {"return_state", 0, FN_FLAG}, {"go_backwards", 0, FN_INTEGER(0, 2)}, {"masked", 0, FN_FLAG},                             \
        {"stateful", 0, FN_INTEGER(0, FN_INT32_MAX)}, {"dropout", 0, FN_BELOW_1}, {"recurrent_dropout", 0, FN_BELOW_1},          \
        {"seed", -1, FN_SEED},                                                                                                   \
    {                                                                                                                            \
        "zero_output_for_mask", 0, FN_FLAG                                                                                       \
    }

enum { MOST_STATES = 2, FIRST_BLOCK = 2, MOST_BLOCKS = 4, MOST_PACKED = FIRST_BLOCK + MOST_BLOCKS };
enum { PACK, FORWARD, BACKWARD, PARAMETERS, KEEP_STATES, RECURRENT_LABELS }; /* labels of stages */

/* A matrix B [k][n] that is packed at the start of a batch, a part of parameter number `parameter`; n 0: not needed. */
typedef struct packed_matrix {
    int parameter;
    int64_t offset, row, column;
    int64_t n, k;
} packed_matrix;

/* One step of some rows, and of some of the units. Arrays are [rows][units] or, gates and pre, [rows][gates][units]; pointers are
 * to what is the thread's in the first row, of all the units if not stated otherwise. */
typedef struct recurrent_step {
    const fn_node *node;
    void *workspace; /* for products */
    int64_t rows, units;
    int64_t unit, n;          /* number of the first unit that is the thread's, and how many are */
    real *gates, *pre;        /* pre may be NULL */
    real *state[MOST_STATES]; /* states before the step */
    real *after[MOST_STATES]; /* states after it */
    const real *h;            /* of all units: h before the step as products see it */
    const real *all_gates;    /* of all units: gates */
    /* Backwards: gradients of the states after the step, to be replaced by those before it. What comes to that of h by way of
     * products is added to it, or is `product` where that is an array of its own. */
    real *gradient[MOST_STATES], *product;
    bool adds_product; /* product is gradient[0] */
    real *spare;       /* [gates * units], of one row */
    const real *mask;  /* of the first row; of the others mask_row further on each; NULL: none */
    int64_t mask_row;
} recurrent_step;

/* Of the gradients of U and the bias columns lo to hi, and what some of the positions add to them. */
typedef struct gradient_tile {
    void *workspace;
    const real *h;     /* [positions][units]: as products saw it */
    const real *gates; /* [positions][gates * units]: gradients of the sums */
    int64_t positions;
    bool first; /* the others are added to it */
    int64_t lo, hi;
} gradient_tile;

/* A kind of recurrent layer. */
typedef struct recurrent_cell {
    const char *label[RECURRENT_LABELS];
    int32_t states, gates;
    int32_t columns; /* of W and U, in units: the first gates */
    int32_t bias_rows;
    /* Lists U as it is multiplied with; its parts have the numbers from FIRST_BLOCK on. */
    int (*pack)(const fn_node *node, bool training, packed_matrix list[MOST_BLOCKS]);
    /* The gates hold x W + b. Of rows that are masked anything may be made. */
    void (*forward)(const recurrent_step *step);
    /* gates: from what forward left to the gradients of the sums, 0 in rows that are masked. */
    void (*differentiate)(const recurrent_step *step);
    /* product, from the gates that differentiate left in all units. */
    void (*multiply_back)(const recurrent_step *step);
    bool keeps_product; /* differentiate has written to product, which so is an array of its own */
    bool divides_units; /* some of the units can be computed without the others of the same step */
    void (*kernel_gradient)(const fn_node *node, const gradient_tile *tile);
    void (*bias_gradient)(const fn_node *node, const gradient_tile *tile);
} recurrent_cell;

/* ---- for cells ----------------------------------------------------------------------------------- */

FN_INLINE int64_t steps_of(const fn_node *node)
{
    return node->input[0].shape.size[0];
}

FN_INLINE int64_t inputs_of(const fn_node *node)
{
    return node->input[0].shape.size[1];
}

FN_INLINE int64_t units_of(const fn_node *node)
{
    return (int64_t)node->attribute[UNITS];
}

/* Elements n of sums to gates; which: ACTIVATION or RECURRENT_ACTIVATION. */
FN_INLINE void activate(const fn_node *node, int which, real *gate, int64_t n)
{
    activation_of(node->attribute + which)->forward(gate, gate, n, node->attribute + which + 1);
}

/* gate: from the gradient of n gates to that of their sums. */
FN_INLINE void differentiate(const fn_node *node, int which, const real *dy, const real *gate, const real *sum, real *dz,
                             int64_t n)
{
    const fn_activation *activation = activation_of(node->attribute + which);
    activation->backward(dy, activation->from_input ? sum : gate, dz, n, node->attribute + which + 1);
}

/* Whether the two activations are tanh and sigmoid, whose loops are written out. */
FN_INLINE bool is_standard(const fn_node *node)
{
    return node->attribute[ACTIVATION] == FN_ACTIVATION_tanh && node->attribute[RECURRENT_ACTIVATION] == FN_ACTIVATION_sigmoid;
}

FN_INLINE bool is_masked(const recurrent_step *step, int64_t row)
{
    return step->mask && !(step->mask[row * step->mask_row] > 0);
}

/* The sums of a gate of a row, which are at `at`, to `pre`, if they are needed. */
FN_INLINE void keep_sums(const recurrent_step *step, int64_t at)
{
    if (step->pre)
        memcpy(step->pre + at, step->gates + at, (size_t)step->n * sizeof(real));
}

FN_INLINE void clear_gates(const recurrent_step *step, int gates, int64_t row)
{
    for (int gate = 0; gate < gates; gate++)
        memset(step->gates + (row * gates + gate) * step->units, 0, (size_t)step->n * sizeof(real));
}

/* C (+)= A B with part number `block` of U: rows of C lie c_row apart, those of A a_row. Of each group of `units` columns those
 * that are the thread's; c points at the first of them. */
typedef struct block_product {
    int block;
    const real *a;
    int64_t a_row;
    real *c;
    int64_t c_row;
    bool accumulate;
    const real *bias;
} block_product;
void FN_SYM(recurrent_multiply)(const recurrent_step *step, const block_product *product);

FN_INLINE const real *bias_of(const fn_node *node)
{
    return node->attribute[USE_BIAS] ? node->parameter[2].value : NULL;
}

/* Columns lo to hi of `rows` rows, from `row` on, of the bias's gradient: of each the sum of dz[position][j], positions lie
 * `step` apart. */
void FN_SYM(recurrent_sum_columns)(const fn_node *node, const gradient_tile *tile, const real *dz, int64_t step, int64_t row,
                                   int64_t rows, int64_t lo, int64_t hi);

/* Columns lo to hi of dU, the sum of h[position]^T dz[position][j]; positions lie h_step and dz_step apart. */
void FN_SYM(recurrent_kernel_gradient)(const fn_node *node, const gradient_tile *tile, const real *h, int64_t h_step,
                                       const real *dz, int64_t dz_step, int64_t lo, int64_t hi);

/* infer, forward, backward and update of the operation of a cell. */
fn_status FN_SYM(recurrent_infer)(fn_inference *inference, const recurrent_cell *cell);
void FN_SYM(recurrent_forward)(fn_plan *plan, fn_node *node, const recurrent_cell *cell);
void FN_SYM(recurrent_backward)(fn_plan *plan, fn_node *node);
void FN_SYM(recurrent_update)(fn_plan *plan, fn_node *node);

#endif
