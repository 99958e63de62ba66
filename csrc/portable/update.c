/* What surrounds every optimizer, in the order of csrc/engine/update.c: penalties, clipping, decay; after it averages and
 * constraints. */

/* Whether one of n numbers is not finite. */
static int fnp_overflows(const fnp_real *x, fnp_int n)
{
    const fnp_real *end = x + n;
    fnp_real sum = 0;
    while (x != end)
        sum += 0 * *x++;
    return sum != 0; /* NaN */
}

/* total += l1 |w| + l2 w^2, and its derivative to the gradient */
static void fnp_penalize(const fnp_real *parameter, fnp_real *gradient, fnp_real *total, fnp_int n, fnp_real l1, fnp_real l2)
{
    fnp_real absolute = 0, square = 0;
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real w = parameter[i], sign = fnp_sign(w);
        absolute += w * sign;
        square += w * w;
        gradient[i] += l1 * sign + 2 * l2 * w;
    }
    *total += l1 * absolute + l2 * square;
}

/* What makes the loss larger goes the other way. */
static void fnp_negate(fnp_real *gradient, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        gradient[i] = -gradient[i];
}

static void fnp_clip_values(fnp_real *gradient, fnp_int n, fnp_real clipvalue)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        gradient[i] = fnp_bounded(gradient[i], -clipvalue, clipvalue);
}

/* Of the whole of x, so that its norm is at most `bound`. */
static void fnp_clip_norm(fnp_real *gradient, fnp_int n, fnp_real bound)
{
    fnp_real norm = 0;
    fnp_int i;
    for (i = 0; i < n; i++)
        norm += gradient[i] * gradient[i];
    norm = fnp_sqrt(norm);
    for (i = 0; i < n && norm > bound; i++)
        gradient[i] *= bound / norm;
}

/* Coupled weight decay */
static void fnp_decay_coupled(const fnp_real *parameter, fnp_real *gradient, fnp_int n, fnp_real weight_decay)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        gradient[i] += weight_decay * parameter[i];
}

/* Decoupled weight decay */
static void fnp_decay(fnp_real *parameter, fnp_int n, fnp_real learning_rate, fnp_real weight_decay)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        parameter[i] -= learning_rate * weight_decay * parameter[i];
}

/* Of `period` batches, step % period of them before this one: their sum, and at the last their mean over the gradient. */
static void fnp_accumulate(fnp_real *gradient, fnp_real *accumulator_slot, fnp_int n, uint32_t step, uint32_t period)
{
    const uint32_t before = step % period;
    fnp_int i;
    for (i = 0; i < n; i++) {
        accumulator_slot[i] = before ? accumulator_slot[i] + gradient[i] : gradient[i];
        if (before + 1 == period)
            gradient[i] = accumulator_slot[i] / (fnp_real)period;
    }
}

/* average += share (x - average); as (1 - share) average + share x, which is exact for share 1 */
static void fnp_move_average(const fnp_real *x, fnp_real *average, fnp_int n, fnp_real share)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        average[i] = (1 - share) * average[i] + share * x[i];
}

/* An exponential moving average, which begins with the first step; the weights become it every overwrite-th one, 0: never. */
static void fnp_follow_average(fnp_real *parameter, fnp_real *average_slot, fnp_int n, fnp_real one_minus_ema_momentum,
                               uint32_t ema_overwrite_frequency, uint32_t step)
{
    fnp_move_average(parameter, average_slot, n, step == 0 ? 1 : one_minus_ema_momentum);
    if (ema_overwrite_frequency && (step + 1) % ema_overwrite_frequency == 0)
        fnp_copy(average_slot, parameter, n);
}

/* Lookahead: every k-th step the slow weights go towards the others, which become them. */
static void fnp_look_ahead(fnp_real *parameter, fnp_real *slow_slot, fnp_int n, uint32_t lookahead_steps,
                           fnp_real lookahead_alpha, uint32_t step)
{
    if ((step + 1) % lookahead_steps != 0)
        return;
    fnp_move_average(parameter, slow_slot, n, lookahead_alpha);
    fnp_copy(slow_slot, parameter, n);
}

/* w = w where w >= 0, else 0 */
static void fnp_constrain_sign(fnp_real *parameter, fnp_int n)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        if (parameter[i] < 0)
            parameter[i] = 0;
}

/* w [outer][reduced][inner]: the norm n of each line along `reduced` becomes rate min(max(n, lowest), highest) + (1 - rate) n. */
static void fnp_constrain_norms(fnp_real *parameter, fnp_int outer, fnp_int reduced, fnp_int inner, fnp_real lowest,
                                fnp_real highest, fnp_real rate)
{
    fnp_int o, r, i;
    for (o = 0; o < outer; o++, parameter += reduced * inner)
        for (i = 0; i < inner; i++) {
            fnp_real *w = parameter + i, norm = 0, factor;
            for (r = 0; r < reduced; r++)
                norm += w[r * inner] * w[r * inner];
            norm = fnp_sqrt(norm);
            factor = (rate * fnp_bounded(norm, lowest, highest) + (1 - rate) * norm) / (FNP_R(1e-7) + norm);
            for (r = 0; r < reduced; r++)
                w[r * inner] *= factor;
        }
}
