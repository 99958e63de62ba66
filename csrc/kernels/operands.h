/* Operands of an elementwise node: what they are, where they lie, and how they are given to its function, run of elements by run.
 */
#ifndef FN_KERNELS_OPERANDS_H
#define FN_KERNELS_OPERANDS_H

#include "broadcast.h"
#include "chain.h"
#include "function.h"
#include "math.h"

enum {
    FUNCTION,
    OPERAND,
    SCALAR = OPERAND + FN_MAX_OPERANDS,
    RANK = SCALAR + FN_MAX_OPERANDS,
    PARAMETER_ATTRIBUTES = 1 + FN_MAX_RANK
};
enum { NONE = -2, NUMBER, INPUT, PARAMETER = FN_MAX_OPERANDS, MOST_PARAMETERS = 2 };
enum { BLOCK = 512 };

static inline const fn_function *function_of(const double *attribute)
{
    return FN_SYM(functions)[(int)attribute[FUNCTION]];
}

static inline int kind_of(const fn_node *node, int k)
{
    return (int)node->attribute[OPERAND + k];
}

static inline const fn_port *port_of(const fn_node *node, int kind)
{
    return kind < INPUT ? NULL : kind < PARAMETER ? &node->input[kind] : &node->parameter[kind - PARAMETER];
}

/* How a function, or a derivative, is given its operands along a run. */
typedef struct reading {
    unsigned needs;  /* operands, and VALUE: find_needs */
    unsigned same;   /* those of them of which it is given one number */
    bool in_blocks;  /* others are the same along a run, too, and are repeated BLOCK times, */
    bool in_scratch; /* which is to be done for each run */
} reading;

/* What stages of a node share. */
typedef struct shared {
    broadcast_layout layout;
    reading slope[FN_MAX_OPERANDS], value;
    const real *numbers[FN_MAX_OPERANDS]; /* an operand that is a number, BLOCK times */
    /* Of joined nodes, see fn_op.joins: */
    unsigned same;            /* operands of the chains that are one number along a run */
    fn_chain whole;           /* the value of the second */
    fn_chain by[CHAIN_C + 1]; /* what the gradients of the chains' operands are */
} shared;

static inline const shared *shared_of(const fn_node *node)
{
    return node->closure;
}

static inline void fill_layout(broadcast_layout *l, const fn_node *node)
{
    const fn_shape *shape = &node->output[0].shape;
    for (int k = 0; k < function_of(node->attribute)->n_operands; k++) {
        const fn_port *port = port_of(node, kind_of(node, k));
        broadcast_add(l, shape, port ? &port->shape : NULL, kind_of(node, k) >= PARAMETER);
    }
    broadcast_finish(l, shape);
}

/* An operand that is a number; the largest ones stand for infinity. */
static inline real number_of(const fn_node *node, int k)
{
    const double number = node->attribute[SCALAR + k];
    return fabs(number) >= DBL_MAX ? (real)copysign(INFINITY, number) : (real)number;
}

enum { VALUE = 1 << FN_MAX_OPERANDS, OPERANDS = VALUE - 1 };

/* Which operands (1 << k), and whether the value, the derivative by operand k needs: letters of its expression that are names. */
static inline unsigned find_needs(const fn_function *function, int k)
{
    static const char names[] = "abcy";
    unsigned needs = 0;
    const char *text = function->slope[k] ? function->derivative[k] : "";
    for (bool within = false; *text; text++) {
        const bool part = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') || (*text >= '0' && *text <= '9') ||
                          *text == '_' || *text == '.';
        const char next = text[1];
        const bool ends = !((next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') || (next >= '0' && next <= '9') ||
                            next == '_' || next == '.');
        const char *name = part && !within && ends ? strchr(names, *text) : NULL;
        needs |= name ? 1u << (name - names) : 0;
        within = part;
    }
    return needs;
}

/* After fill_layout. needs: find_needs */
static inline reading find_reading(const fn_node *node, const broadcast_layout *l, unsigned needs)
{
    reading r = {.needs = needs};
    bool taken = !function_of(node->attribute)->takes_same;
    for (int k = 0; k < l->n_arrays; k++) {
        if (!(needs >> k & 1) || (kind_of(node, k) != NUMBER && !is_repeated_along_runs(l, k)))
            continue;
        r.in_blocks |= taken;
        r.in_scratch |= taken && kind_of(node, k) != NUMBER;
        r.same |= taken ? 0 : 1u << k;
        taken = true;
    }
    return r;
}

/* Where an operand begins. */
static inline const real *operand_of(const fn_node *node, int k)
{
    const fn_port *port = port_of(node, kind_of(node, k));
    return port ? port->value : shared_of(node)->numbers[k];
}

/* The operands of n elements of a run from number `first` of it on: in place, repeated in `scratch`, or one number. */
static inline void load_operands(const fn_node *node, const broadcast_layout *l, const broadcast_run *run, reading r,
                                 int64_t first, int64_t n, real scratch[][BLOCK], const real *x[FN_MAX_OPERANDS])
{
    for (int k = 0; k < FN_MAX_OPERANDS; k++) {
        x[k] = scratch[k];
        if (k >= l->n_arrays || !(r.needs >> k & 1))
            continue;
        const real *from = operand_of(node, k) + run->start[k];
        if (kind_of(node, k) == NUMBER || r.same >> k & 1)
            x[k] = from;
        else if (!is_repeated_along_runs(l, k))
            x[k] = from + first;
        else if (first == 0) /* no block is longer than the first */
            for (int64_t i = 0; i < n; i++)
                scratch[k][i] = *from;
    }
}

/* Rows that are a run each, or all of them one, of which a function may be given the operands in place. */
typedef struct whole_runs {
    int64_t count, n; /* so many runs of n elements, */
    const real *x[FN_MAX_OPERANDS];
    int64_t step[FN_MAX_OPERANDS]; /* and how far it is from one to the next */
} whole_runs;

/* false: rows lo to hi are no such runs. spare: as long as a run; stands for operands that are not needed. */
static inline bool find_whole_runs(const fn_node *node, const broadcast_layout *l, reading r, int64_t lo, int64_t hi,
                                   const real *spare, whole_runs *runs)
{
    runs->count = l->flat ? 1 : hi - lo;
    runs->n = l->flat ? (hi - lo) * l->width : l->width;
    if (l->rank > 1 || r.in_scratch || (r.in_blocks && runs->n > BLOCK))
        return false;
    for (int k = 0; k < FN_MAX_OPERANDS; k++) {
        const bool needed = k < l->n_arrays && r.needs >> k & 1;
        runs->step[k] = needed ? l->array[k].row_stride : 0;
        runs->x[k] = needed ? operand_of(node, k) + lo * runs->step[k] : spare;
    }
    return true;
}

static inline void go_on(whole_runs *runs)
{
    for (int k = 0; k < FN_MAX_OPERANDS; k++)
        runs->x[k] += runs->step[k];
}

#endif
