/* As in optimizers.c: those with rates of their own for each parameter and no momentum of Adam's kind, and those of two
 * sequences. */

static void fnp_update_adagrad(fnp_real *parameter, const fnp_real *gradient, fnp_real *squares_slot, fnp_int n,
                               fnp_real learning_rate, fnp_real lr_decay, fnp_real epsilon, fnp_int pytorch, uint32_t step)
{
    const fnp_real rate = learning_rate / (1 + (fnp_real)step * lr_decay);
    const fnp_real inside = pytorch ? 0 : epsilon, outside = pytorch ? epsilon : 0;
    fnp_int i;
    for (i = 0; i < n; i++) {
        squares_slot[i] += gradient[i] * gradient[i];
        parameter[i] -= rate * gradient[i] / (fnp_sqrt(squares_slot[i] + inside) + outside);
    }
}

static void fnp_update_adadelta(fnp_real *parameter, const fnp_real *gradient, fnp_real *accumulated_grad_slot,
                                fnp_real *accumulated_delta_var_slot, fnp_int n, fnp_real learning_rate, fnp_real rho,
                                fnp_real one_minus_rho, fnp_real epsilon)
{
    fnp_real *s = accumulated_grad_slot, *d = accumulated_delta_var_slot;
    fnp_int i;
    for (i = 0; i < n; i++) {
        fnp_real delta;
        s[i] = rho * s[i] + one_minus_rho * (gradient[i] * gradient[i]);
        delta = fnp_sqrt((d[i] + epsilon) / (s[i] + epsilon)) * gradient[i];
        d[i] = rho * d[i] + one_minus_rho * (delta * delta);
        parameter[i] -= learning_rate * delta;
    }
}

/* average_gradient_slot, momentum_slot: NULL but where it is centered, and has a momentum */
static void fnp_update_rmsprop(fnp_real *parameter, const fnp_real *gradient, fnp_real *velocity_slot,
                               fnp_real *average_gradient_slot, fnp_real *momentum_slot, fnp_int n, fnp_real learning_rate,
                               fnp_real rho, fnp_real one_minus_rho, fnp_real momentum, fnp_real epsilon, fnp_int pytorch)
{
    const fnp_real inside = pytorch ? 0 : epsilon, outside = pytorch ? epsilon : 0;
    const fnp_real rate_in = pytorch ? 1 : learning_rate, rate_out = pytorch ? learning_rate : 1;
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real g = gradient[i];
        fnp_real variance = rho * velocity_slot[i] + one_minus_rho * (g * g), step;
        velocity_slot[i] = variance;
        if (average_gradient_slot) {
            const fnp_real a = rho * average_gradient_slot[i] + one_minus_rho * g;
            average_gradient_slot[i] = a;
            variance -= a * a;
            variance = variance < 0 ? 0 : variance;
        }
        step = rate_in * g / (fnp_sqrt(variance + inside) + outside);
        if (momentum_slot) {
            step += momentum * momentum_slot[i];
            momentum_slot[i] = step;
        }
        parameter[i] -= rate_out * step;
    }
}

/* A step size at 0 has not begun. */
static void fnp_update_rprop(fnp_real *parameter, const fnp_real *gradient, fnp_real *step_size_slot,
                             fnp_real *previous_gradient_slot, fnp_int n, fnp_real learning_rate, fnp_real eta_minus,
                             fnp_real eta_plus, fnp_real step_min, fnp_real step_max)
{
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real agreement = gradient[i] * previous_gradient_slot[i];
        const fnp_real factor = agreement > 0 ? eta_plus : agreement < 0 ? eta_minus : 1;
        const fnp_real size = factor * (step_size_slot[i] == 0 ? learning_rate : step_size_slot[i]);
        step_size_slot[i] = fnp_bounded(size, step_min, step_max);
        previous_gradient_slot[i] = agreement < 0 ? 0 : gradient[i];
        parameter[i] -= step_size_slot[i] * fnp_sign(previous_gradient_slot[i]);
    }
}

/* x^p for x >= 0 */
static fnp_real fnp_ftrl_power(fnp_real x, fnp_real p)
{
    return p == FNP_R(0.5) ? fnp_sqrt(x) : fnp_pow(x, p);
}

static void fnp_update_ftrl(fnp_real *parameter, const fnp_real *gradient, fnp_real *squares_slot, fnp_real *linear_slot,
                            fnp_int n, fnp_real learning_rate, fnp_real learning_rate_power, fnp_real l1_regularization_strength,
                            fnp_real l2_regularization_strength, fnp_real l2_shrinkage_regularization_strength, fnp_real beta)
{
    const fnp_real l1 = l1_regularization_strength, inverse = 1 / learning_rate;
    const fnp_real ridge = 2 * l2_regularization_strength + beta * inverse;
    fnp_int i;
    if (learning_rate == 0)
        return;
    for (i = 0; i < n; i++) {
        const fnp_real g = gradient[i], before = fnp_ftrl_power(squares_slot[i], -learning_rate_power);
        fnp_real now, denominator;
        squares_slot[i] += g * g;
        now = fnp_ftrl_power(squares_slot[i], -learning_rate_power);
        linear_slot[i] += (2 * l2_shrinkage_regularization_strength - (now - before) * inverse) * parameter[i] + g;
        denominator = now * inverse + ridge;
        if (denominator != 0)
            parameter[i] = (fnp_bounded(linear_slot[i], -l1, l1) - linear_slot[i]) / denominator;
    }
}

/* 1^q + ... + n^q: csrc/kernels/optim/schedule_free.h. */
static fnp_real fnp_sum_of_powers(fnp_real n, fnp_real q)
{
    const fnp_real a = 20, low = fnp_pow(a, q), high = fnp_pow(n, q), third = q * (q - 1) * (q - 2) / 720;
    const fnp_real fifth = third / 42 * (q - 3) * (q - 4);
    fnp_real sum = 0;
    fnp_int k;
    if (q == 0)
        return n;
    for (k = 1; k < 20 && (fnp_real)k <= n; k++)
        sum += fnp_pow((fnp_real)k, q);
    if (n < 20)
        return sum;
    sum += (high * n - low * a) / (q + 1) + (high + low) / 2 + q / 12 * (high / n - low / a);
    sum -= third * (high / (n * n * n) - low / (a * a * a));
    return sum + fifth * (high / fnp_power(n, 5) - low / fnp_power(a, 5));
}

/* c_t, the share of step t in the average */
static fnp_real fnp_average_weight(fnp_real t, fnp_real warmup_steps, fnp_real r, fnp_real power)
{
    const fnp_real n = t < warmup_steps ? t : warmup_steps;
    fnp_real sum = n > 0 ? fnp_sum_of_powers(n, r + power) / fnp_pow(warmup_steps, power) : 0;
    if (t > n)
        sum += fnp_sum_of_powers(t, r) - fnp_sum_of_powers(n, r);
    return fnp_pow(t, r) * (t < warmup_steps ? fnp_pow(t / warmup_steps, power) : 1) / sum;
}

/* The sequences after z has moved by -descent. */
static void fnp_move_sequences(fnp_real *y, fnp_real *x, fnp_real *ahead, fnp_real descent, fnp_real c, fnp_real beta,
                               fnp_real rest)
{
    const fnp_real z = *y + (*ahead - descent);
    *x += c * (z - *x);
    *y = *x + rest * (z - *x);
    *ahead = beta * (z - *x);
}

static void fnp_update_schedule_free_sgd(fnp_real *parameter, const fnp_real *gradient, fnp_real *x_slot,
                                         fnp_real *z_minus_y_slot, fnp_int n, fnp_real learning_rate, fnp_real momentum,
                                         fnp_real one_minus_momentum, fnp_real warmup_steps, fnp_real r, fnp_real weight_lr_power,
                                         uint32_t step)
{
    const fnp_real t = (fnp_real)step + 1, c = fnp_average_weight(t, warmup_steps, r, weight_lr_power);
    const fnp_real rate = learning_rate * (t < warmup_steps ? t / warmup_steps : 1);
    fnp_int i;
    for (i = 0; i < n; i++)
        fnp_move_sequences(parameter + i, x_slot + i, z_minus_y_slot + i, rate * gradient[i], c, momentum, one_minus_momentum);
}

static void fnp_update_schedule_free_adamw(fnp_real *parameter, const fnp_real *gradient, fnp_real *x_slot,
                                           fnp_real *z_minus_y_slot, fnp_real *velocity_slot, fnp_int n, fnp_real learning_rate,
                                           fnp_real beta_1, fnp_real one_minus_beta_1, fnp_real one_minus_beta_2,
                                           fnp_real log_beta_2, fnp_real epsilon, fnp_real warmup_steps, fnp_real r,
                                           fnp_real weight_lr_power, uint32_t step)
{
    const fnp_real t = (fnp_real)step + 1, c = fnp_average_weight(t, warmup_steps, r, weight_lr_power);
    const fnp_real root = fnp_sqrt(fnp_correction(log_beta_2, step));
    const fnp_real rate = learning_rate * (t < warmup_steps ? t / warmup_steps : 1) * root;
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real g = gradient[i], v = fnp_follow(velocity_slot + i, g * g, one_minus_beta_2);
        fnp_move_sequences(parameter + i, x_slot + i, z_minus_y_slot + i, rate * g / (fnp_sqrt(v) + epsilon * root), c, beta_1,
                           one_minus_beta_1);
    }
}
