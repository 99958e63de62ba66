/* Recurrent layers, one row after another and one step after another: simple_rnn, lstm, gru.
 *
 * A cell makes of x W + b, which is in its gates, and of the states before the step those after it; both may be in one place.
 * h: that of the states before as products see it, with dropout or without. Equations: csrc/kernels/ops. */

typedef void (*fnp_activation)(const fnp_real *x, fnp_real *y, fnp_int n);

/* Of an activation: dy = dy f'. */
typedef void (*fnp_slope)(const fnp_real *saved, fnp_real *dy, fnp_int n);

/* sums: of the gates before their activations, where a derivative is a function of these; or NULL. */
typedef void (*fnp_cell)(const fnp_real *h, const fnp_real *kernel, const fnp_real *bias, fnp_real *gates, fnp_real *sums,
                         const fnp_real *state, fnp_real *after, fnp_int units, fnp_activation activation,
                         fnp_activation recurrent_activation);

/* What is differentiated: gradient [states][units], of the states after the step, becomes that of the states before it, but for
 * what passes the product with h, to which the result is added in dh. dz: the gradients of the sums. saved, recurrent_saved:
 * gates or sums, of which the derivatives of the activations are functions. spare [2][units]. */
typedef struct fnp_cell_step {
    const fnp_real *h, *kernel, *gates, *saved, *recurrent_saved, *state, *after;
    fnp_real *gradient, *dh, *dz, *dkernel, *dbias, *spare;
    fnp_int units;
    fnp_activation activation;
    fnp_slope slope, recurrent_slope;
} fnp_cell_step;

typedef void (*fnp_cell_backward)(const fnp_cell_step *step);

/* h = a(x W + b + h U) */
static void fnp_simple_rnn(const fnp_real *h, const fnp_real *kernel, const fnp_real *bias, fnp_real *gates, fnp_real *sums,
                           const fnp_real *state, fnp_real *after, fnp_int units, fnp_activation activation,
                           fnp_activation recurrent_activation)
{
    (void)bias;
    (void)state;
    (void)recurrent_activation;
    fnp_multiply_add(h, kernel, gates, units, units, units);
    if (sums)
        fnp_copy(gates, sums, units);
    activation(gates, gates, units);
    fnp_copy(gates, after, units);
}

static void fnp_simple_rnn_backward(const fnp_cell_step *s)
{
    const fnp_int units = s->units;
    fnp_copy(s->gradient, s->dz, units);
    s->slope(s->saved, s->dz, units);
    fnp_zero(s->gradient, units);
    fnp_multiply_add_backward(s->h, s->kernel, s->dz, s->dh, s->dkernel, units, units, units);
}

/* Gates i, f, g, o: c = f c + i g, h = o a(c) */
static void fnp_lstm(const fnp_real *h, const fnp_real *kernel, const fnp_real *bias, fnp_real *gates, fnp_real *sums,
                     const fnp_real *state, fnp_real *after, fnp_int units, fnp_activation activation,
                     fnp_activation recurrent_activation)
{
    const fnp_real *f = gates + units, *g = f + units, *o = g + units;
    const fnp_real *before = state + units;
    fnp_real *c = after + units;
    fnp_int j;
    (void)bias;
    fnp_multiply_add(h, kernel, gates, units, 4 * units, 4 * units);
    if (sums)
        fnp_copy(gates, sums, 4 * units);
    recurrent_activation(gates, gates, 2 * units);
    activation(g, gates + 2 * units, units);
    recurrent_activation(o, gates + 3 * units, units);
    for (j = 0; j < units; j++)
        c[j] = f[j] * before[j] + gates[j] * g[j];
    activation(c, after, units);
    for (j = 0; j < units; j++)
        after[j] *= o[j];
}

static void fnp_lstm_backward(const fnp_cell_step *s)
{
    const fnp_int units = s->units;
    const fnp_real *i = s->gates, *f = i + units, *g = f + units, *o = g + units;
    const fnp_real *before = s->state + units, *c = s->after + units;
    fnp_real *dh = s->gradient, *dc = dh + units, *tangent = s->spare, *cell = tangent + units, *dz = s->dz;
    fnp_int j;
    s->activation(c, tangent, units);
    for (j = 0; j < units; j++)
        cell[j] = dh[j] * o[j];
    s->slope(s->saved == s->gates ? tangent : c, cell, units);
    for (j = 0; j < units; j++) {
        const fnp_real d = cell[j] + dc[j];
        dz[j] = d * g[j];
        dz[units + j] = d * before[j];
        dz[2 * units + j] = d * i[j];
        dz[3 * units + j] = dh[j] * tangent[j];
        dc[j] = d * f[j];
        dh[j] = 0;
    }
    s->recurrent_slope(s->recurrent_saved, dz, 2 * units);
    s->slope(s->saved + 2 * units, dz + 2 * units, units);
    s->recurrent_slope(s->recurrent_saved + 3 * units, dz + 3 * units, units);
    fnp_multiply_add_backward(s->h, s->kernel, dz, s->dh, s->dkernel, units, 4 * units, 4 * units);
}

/* Gates z, r, g: h = z h + (1 - z) g; the fourth is what enters the sum of g by way of r: h U + b here, r h below. */
static void fnp_gru(const fnp_real *h, const fnp_real *kernel, const fnp_real *bias, fnp_real *gates, fnp_real *sums,
                    const fnp_real *state, fnp_real *after, fnp_int units, fnp_activation activation,
                    fnp_activation recurrent_activation)
{
    const fnp_real *r = gates + units, *q = gates + 3 * units;
    fnp_real *g = gates + 2 * units;
    fnp_int j;
    fnp_zero(gates + 3 * units, units);
    if (bias) {
        fnp_add_to(bias, gates, 2 * units);
        fnp_copy(bias + 2 * units, gates + 3 * units, units);
    }
    fnp_multiply_add(h, kernel, gates, units, 2 * units, 3 * units);
    fnp_multiply_add(h, kernel + 2 * units, gates + 3 * units, units, units, 3 * units);
    if (sums)
        fnp_copy(gates, sums, 2 * units);
    recurrent_activation(gates, gates, 2 * units);
    for (j = 0; j < units; j++)
        g[j] += r[j] * q[j];
    if (sums)
        fnp_copy(g, sums + 2 * units, units);
    activation(g, g, units);
    for (j = 0; j < units; j++)
        after[j] = gates[j] * (state[j] - g[j]) + g[j];
}

/* The gradients of the sums of g and, but for its activation, of z; and of the states before. */
static void fnp_gru_begin_backward(const fnp_cell_step *s, fnp_real *dg)
{
    const fnp_int units = s->units;
    const fnp_real *z = s->gates, *g = z + 2 * units;
    fnp_real *dh = s->gradient;
    fnp_int j;
    for (j = 0; j < units; j++) {
        s->dz[j] = dh[j] * (s->state[j] - g[j]);
        dg[j] = dh[j] * (FNP_R(1.0) - z[j]);
        dh[j] *= z[j];
    }
    s->slope(s->saved + 2 * units, dg, units);
}

static void fnp_gru_backward(const fnp_cell_step *s)
{
    const fnp_int units = s->units;
    const fnp_real *r = s->gates + units, *q = s->gates + 3 * units;
    fnp_real *dz = s->dz, *dr = dz + units, *dq = dr + units, *dg = s->spare;
    fnp_int j;
    fnp_gru_begin_backward(s, dg);
    for (j = 0; j < units; j++) {
        dr[j] = dg[j] * q[j];
        dq[j] = dg[j] * r[j];
    }
    s->recurrent_slope(s->recurrent_saved, dz, 2 * units);
    fnp_multiply_add_backward(s->h, s->kernel, dz, s->dh, s->dkernel, units, 3 * units, 3 * units);
    if (s->dbias)
        fnp_add_to(dz, s->dbias, 3 * units);
    fnp_copy(dg, dq, units); /* as the product with x sees it */
}

/* With the gate r before the product. */
static void fnp_gru_reset_before(const fnp_real *h, const fnp_real *kernel, const fnp_real *bias, fnp_real *gates, fnp_real *sums,
                                 const fnp_real *state, fnp_real *after, fnp_int units, fnp_activation activation,
                                 fnp_activation recurrent_activation)
{
    const fnp_real *r = gates + units;
    fnp_real *g = gates + 2 * units, *q = g + units;
    fnp_int j;
    (void)bias;
    fnp_multiply_add(h, kernel, gates, units, 2 * units, 3 * units);
    if (sums)
        fnp_copy(gates, sums, 2 * units);
    recurrent_activation(gates, gates, 2 * units);
    for (j = 0; j < units; j++)
        q[j] = r[j] * h[j];
    fnp_multiply_add(q, kernel + 2 * units, g, units, units, 3 * units);
    if (sums)
        fnp_copy(g, sums + 2 * units, units);
    activation(g, g, units);
    for (j = 0; j < units; j++)
        after[j] = gates[j] * (state[j] - g[j]) + g[j];
}

static void fnp_gru_reset_before_backward(const fnp_cell_step *s)
{
    const fnp_int units = s->units;
    const fnp_real *r = s->gates + units, *q = s->gates + 3 * units;
    fnp_real *dz = s->dz, *dr = dz + units, *dg = dr + units, *dq = s->spare;
    fnp_int j;
    fnp_gru_begin_backward(s, dg);
    fnp_zero(dq, units);
    fnp_multiply_add_backward(q, s->kernel + 2 * units, dg, dq, s->dkernel ? s->dkernel + 2 * units : 0, units, units, 3 * units);
    for (j = 0; j < units; j++) {
        dr[j] = dq[j] * s->h[j];
        s->dh[j] += dq[j] * r[j];
    }
    s->recurrent_slope(s->recurrent_saved, dz, 2 * units);
    fnp_multiply_add_backward(s->h, s->kernel, dz, s->dh, s->dkernel, units, 2 * units, 3 * units);
}

/* Rows of an array, each of n numbers, into those of another one; from NULL: zeros. */
static void fnp_put_rows(const fnp_real *x, fnp_real *y, fnp_int rows, fnp_int n, fnp_int x_first, fnp_int x_step,
                         fnp_int y_first, fnp_int y_step)
{
    for (y += y_first; rows > 0; rows--, y += y_step) {
        if (x)
            fnp_copy(x + x_first, y, n);
        else
            fnp_zero(y, n);
        if (x)
            x += x_step;
    }
}

static void fnp_add_rows(const fnp_real *x, fnp_real *y, fnp_int rows, fnp_int n, fnp_int x_first, fnp_int x_step,
                         fnp_int y_first, fnp_int y_step)
{
    for (x += x_first, y += y_first; rows > 0; rows--, x += x_step, y += y_step)
        fnp_add_to(x, y, n);
}

/* All steps of all rows.
 *
 * x [rows][steps][width]; mask [rows][steps], above 0 where a step counts, or NULL; kernel W [width][columns], recurrent_kernel U
 * [units][columns], bias [columns], of gru followed by that of the recurrent product, or NULL; factor [rows][width + units], of
 * dropout, with seen [width + units], or both NULL. y [rows][steps][units] or NULL: h of each step.
 *
 * states [rows][..][state_size]: before the first step, at the end of a row after the last; state_step is how far those after a
 * step are from those before it, 0 or state_size. gates and sums (or NULL) of a step are gate_step further on than those of the
 * step before it, 0 or a cell's gates. backwards: from the last step to the first, 2: also with y in the order of x. */
static void fnp_recurrent(const fnp_real *x, const fnp_real *mask, const fnp_real *kernel, const fnp_real *recurrent_kernel,
                          const fnp_real *bias, const fnp_real *factor, fnp_real *seen, fnp_real *gates, fnp_real *sums,
                          fnp_real *states, fnp_real *y, fnp_cell cell, fnp_activation activation,
                          fnp_activation recurrent_activation, fnp_int rows, fnp_int steps, fnp_int width, fnp_int units,
                          fnp_int columns, fnp_int gate_step, fnp_int state_step, fnp_int state_size, fnp_int backwards,
                          fnp_int zero_masked)
{
    fnp_int t, j;
    for (; rows > 0; rows--) {
        for (t = 0; t < steps; t++) {
            const fnp_int place = backwards ? steps - 1 - t : t;
            const fnp_real *in = x + place * width, *h = states;
            const fnp_int counts = !mask || mask[place] > 0;
            if (counts) {
                if (factor) {
                    for (j = 0; j < width; j++)
                        seen[j] = in[j] * factor[j];
                    for (j = 0; j < units; j++)
                        seen[width + j] = h[j] * factor[width + j];
                    in = seen;
                    h = seen + width;
                }
                fnp_dense(in, kernel, bias, gates, 1, width, columns);
                cell(h, recurrent_kernel, bias ? bias + columns : 0, gates, sums, states, states + state_step, units, activation,
                     recurrent_activation);
            } else if (state_step) {
                fnp_copy(states, states + state_step, state_size);
            }
            states += state_step;
            gates += gate_step;
            if (sums)
                sums += gate_step;
            if (y) {
                fnp_real *out = y + (backwards == 2 ? place : t) * units;
                if (counts || !zero_masked)
                    fnp_copy(states, out, units);
                else
                    fnp_zero(out, units);
            }
        }
        states += state_size;
        x += steps * width;
        if (mask)
            mask += steps;
        if (factor)
            factor += width + units;
        if (y)
            y += steps * units;
    }
}

/* From gates and states as they were kept of each step; saved, recurrent_saved: gates, or sums where the derivative of the
 * activation is a function of these. gradient [rows][state_size]: from those of the last states to those
 * of the first. dy: of h of each step, dx, dkernel, drecurrent and dbias may be NULL; dbias of gru has two rows of columns. work:
 * [8 units + 2 width]. */
static void fnp_recurrent_backward(const fnp_real *x, const fnp_real *mask, const fnp_real *kernel,
                                   const fnp_real *recurrent_kernel, const fnp_real *factor, const fnp_real *gates,
                                   const fnp_real *saved, const fnp_real *recurrent_saved, const fnp_real *states,
                                   const fnp_real *dy, fnp_real *gradient, fnp_real *dx, fnp_real *dkernel, fnp_real *drecurrent,
                                   fnp_real *dbias, fnp_real *work, fnp_cell_backward cell, fnp_activation activation,
                                   fnp_slope slope, fnp_slope recurrent_slope, fnp_int rows, fnp_int steps, fnp_int width,
                                   fnp_int units, fnp_int columns, fnp_int gate_step, fnp_int state_size, fnp_int backwards,
                                   fnp_int zero_masked, fnp_int bias_rows)
{
    fnp_real *seen = work + 7 * units, *dseen = seen + units + width;
    fnp_cell_step s;
    fnp_int row, t, j;
    s.kernel = recurrent_kernel;
    s.dz = work;
    s.spare = work + 4 * units;
    s.dh = work + 6 * units;
    s.dkernel = drecurrent;
    s.dbias = dbias && bias_rows > 1 ? dbias + columns : 0;
    s.units = units;
    s.activation = activation;
    s.slope = slope;
    s.recurrent_slope = recurrent_slope;
    s.gradient = gradient;
    for (row = 0; row < rows; row++, s.gradient += state_size) {
        for (t = steps - 1; t >= 0; t--) {
            const fnp_int place = backwards ? steps - 1 - t : t, step = row * steps + t;
            const fnp_int counts = !mask || mask[row * steps + place] > 0;
            const fnp_real *in = x + (row * steps + place) * width, *f = factor ? factor + row * (width + units) : 0;
            fnp_real *d = dx ? dx + (row * steps + place) * width : 0;
            if (dy && (counts || !zero_masked))
                fnp_add_to(dy + (row * steps + (backwards == 2 ? place : t)) * units, s.gradient, units);
            if (!counts)
                continue;
            s.gates = gates + step * gate_step;
            s.saved = saved + step * gate_step;
            s.recurrent_saved = recurrent_saved + step * gate_step;
            s.state = states + (step + row) * state_size;
            s.after = s.state + state_size;
            s.h = s.state;
            if (f) {
                for (j = 0; j < width; j++)
                    seen[j] = in[j] * f[j];
                for (j = 0; j < units; j++)
                    seen[width + j] = s.h[j] * f[width + j];
                in = seen;
                s.h = seen + width;
                fnp_zero(dseen, width);
            }
            fnp_zero(s.dh, units);
            cell(&s);
            for (j = 0; j < units; j++)
                s.gradient[j] += f ? s.dh[j] * f[width + j] : s.dh[j];
            fnp_dense_backward(in, kernel, s.dz, d && f ? dseen : d, dkernel, dbias, 1, width, columns);
            for (j = 0; d && f && j < width; j++)
                d[j] += dseen[j] * f[j];
        }
    }
}
