/* One step of each optimizer that works element by element, over n parameters; step is 0 for the first. Equations:
 * csrc/kernels/optim. one_minus_h is 1 - h, log_h is log(h), of hyper-parameters h. 1 - beta^t is -expm1(t log beta). */

/* -1, 0 or 1; NaN stays NaN. */
static fnp_real fnp_sign(fnp_real x)
{
    return x > 0 ? 1 : x < 0 ? -1 : x;
}

/* 1 - beta^t, t = step + 1 */
static fnp_real fnp_correction(fnp_real log_beta, uint32_t step)
{
    return -fnp_expm1(((fnp_real)step + 1) * log_beta);
}

/* m = m + (1 - beta) (x - m) for each x */
static fnp_real fnp_follow(fnp_real *m, fnp_real x, fnp_real rate)
{
    *m += rate * (x - *m);
    return *m;
}

static void fnp_update_sgd_plain(fnp_real *parameter, const fnp_real *gradient, fnp_int n, fnp_real learning_rate)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        parameter[i] -= learning_rate * gradient[i];
}

static void fnp_update_sgd(fnp_real *parameter, const fnp_real *gradient, fnp_real *momentum_slot, fnp_int n,
                           fnp_real learning_rate, fnp_real momentum, fnp_real one_minus_dampening, fnp_int nesterov,
                           fnp_int pytorch, uint32_t step)
{
    const fnp_real share = step == 0 ? 1 : one_minus_dampening;
    const fnp_real a = pytorch ? share : -learning_rate * share;
    const fnp_real b = (pytorch ? -learning_rate : 1) * (nesterov ? momentum : 1), c = nesterov ? -learning_rate : 0;
    fnp_int i;
    for (i = 0; i < n; i++) {
        momentum_slot[i] = momentum * momentum_slot[i] + a * gradient[i];
        parameter[i] += b * momentum_slot[i] + c * gradient[i];
    }
}

/* velocity_hat_slot: NULL but for amsgrad */
static void fnp_update_adam(fnp_real *parameter, const fnp_real *gradient, fnp_real *momentum_slot, fnp_real *velocity_slot,
                            fnp_real *velocity_hat_slot, fnp_int n, fnp_real learning_rate, fnp_real one_minus_beta_1,
                            fnp_real one_minus_beta_2, fnp_real log_beta_1, fnp_real log_beta_2, fnp_real epsilon,
                            fnp_int pytorch, uint32_t step)
{
    const fnp_real root = fnp_sqrt(fnp_correction(log_beta_2, step));
    const fnp_real alpha = learning_rate * root / fnp_correction(log_beta_1, step), least = pytorch ? epsilon * root : epsilon;
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real g = gradient[i], m = fnp_follow(momentum_slot + i, g, one_minus_beta_1);
        fnp_real v = fnp_follow(velocity_slot + i, g * g, one_minus_beta_2);
        if (velocity_hat_slot) {
            if (velocity_hat_slot[i] > v)
                v = velocity_hat_slot[i];
            velocity_hat_slot[i] = v;
        }
        parameter[i] -= alpha * m / (fnp_sqrt(v) + least);
    }
}

static void fnp_update_adamax(fnp_real *parameter, const fnp_real *gradient, fnp_real *momentum_slot, fnp_real *norm_slot,
                              fnp_int n, fnp_real learning_rate, fnp_real one_minus_beta_1, fnp_real log_beta_1, fnp_real beta_2,
                              fnp_real epsilon, fnp_int pytorch, uint32_t step)
{
    const fnp_real alpha = learning_rate / fnp_correction(log_beta_1, step);
    const fnp_real inside = pytorch ? epsilon : 0, outside = pytorch ? 0 : epsilon;
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real m = fnp_follow(momentum_slot + i, gradient[i], one_minus_beta_1);
        const fnp_real before = beta_2 * norm_slot[i], now = fnp_abs(gradient[i]) + inside;
        norm_slot[i] = before > now ? before : now;
        parameter[i] -= alpha * m / (norm_slot[i] + outside);
    }
}

/* P_t = mu_1 ... mu_t of the schedule of momenta mu_t = beta_1 (1 - 0.96^(t psi) / 2): csrc/kernels/optim/nadam.c. */
static fnp_real fnp_product_of_momenta(fnp_real t, fnp_real log_beta_1, fnp_real log_q)
{
    fnp_real total = t * log_beta_1, power = 1;
    fnp_int j;
    for (j = 1; total > -40; j++) {
        const fnp_real x = (fnp_real)j * log_q;
        fnp_real sum;
        power *= FNP_R(0.5);
        sum = x == 0 ? t : fnp_exp(x) * fnp_expm1(x * t) / fnp_expm1(x);
        total -= power / (fnp_real)j * sum;
        if (power * sum < FNP_R(1e-17))
            return fnp_exp(total);
    }
    return 0;
}

static void fnp_update_nadam(fnp_real *parameter, const fnp_real *gradient, fnp_real *momentum_slot, fnp_real *velocity_slot,
                             fnp_int n, fnp_real learning_rate, fnp_real beta_1, fnp_real one_minus_beta_1,
                             fnp_real one_minus_beta_2, fnp_real log_beta_1, fnp_real log_beta_2, fnp_real epsilon,
                             fnp_real momentum_decay, uint32_t step)
{
    const fnp_real log_q = momentum_decay * FNP_R(-0.040821994520255129), t = (fnp_real)step + 1;
    const fnp_real now = beta_1 * (1 - FNP_R(0.5) * fnp_exp(t * log_q));
    const fnp_real next = beta_1 * (1 - FNP_R(0.5) * fnp_exp((t + 1) * log_q));
    const fnp_real product = fnp_product_of_momenta(t, log_beta_1, log_q), root = fnp_sqrt(fnp_correction(log_beta_2, step));
    const fnp_real of_m = learning_rate * root * next / (1 - product * next);
    const fnp_real of_g = learning_rate * root * (1 - now) / (1 - product);
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real g = gradient[i], m = fnp_follow(momentum_slot + i, g, one_minus_beta_1);
        const fnp_real v = fnp_follow(velocity_slot + i, g * g, one_minus_beta_2);
        parameter[i] -= (of_m * m + of_g * g) / (fnp_sqrt(v) + epsilon * root);
    }
}

/* The rectification of the variance (Liu et al. 2020), 0 while there is none. rho = 2 / (1 - beta) - 1 - 2 t beta^t / (1 -
 * beta^t) is t (1 - L(t h)) + L(h) with h = -log(beta) / 2 and Langevin's L(y) = coth y - 1 / y, which does not cancel where t h
 * is small. */
static fnp_real fnp_rectification(fnp_real log_beta, fnp_real one_minus_beta, fnp_real t)
{
    const fnp_real limit = 2 / one_minus_beta - 1;
    fnp_real rho;
#if FNP_BITS == 32
    const fnp_real h = FNP_R(-0.5) * log_beta, y = t * h;
    if (y < FNP_R(0.5)) {
        const fnp_real q = y * y, l = y * (FNP_R(1.0) / 3 - q * (FNP_R(1.0) / 45 - q * (FNP_R(2.0) / 945 - q / 4725)));
        rho = t * (1 - l) + h / 3;
    } else
#endif
        rho = limit - 2 * t / fnp_expm1(-t * log_beta);
    return rho > 5 ? fnp_sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)) : 0;
}

static void fnp_update_radam(fnp_real *parameter, const fnp_real *gradient, fnp_real *momentum_slot, fnp_real *velocity_slot,
                             fnp_int n, fnp_real learning_rate, fnp_real one_minus_beta_1, fnp_real one_minus_beta_2,
                             fnp_real log_beta_1, fnp_real log_beta_2, fnp_real epsilon, uint32_t step)
{
    const fnp_real r = fnp_rectification(log_beta_2, one_minus_beta_2, (fnp_real)step + 1);
    fnp_real alpha = learning_rate / fnp_correction(log_beta_1, step);
    fnp_int i;
    if (r > 0)
        alpha *= r * fnp_sqrt(fnp_correction(log_beta_2, step));
    for (i = 0; i < n; i++) {
        const fnp_real g = gradient[i], m = fnp_follow(momentum_slot + i, g, one_minus_beta_1);
        const fnp_real v = fnp_follow(velocity_slot + i, g * g, one_minus_beta_2);
        parameter[i] -= r > 0 ? alpha * m / (fnp_sqrt(v) + epsilon) : alpha * m;
    }
}

/* variance_hat_slot: NULL but for amsgrad */
static void fnp_update_adabelief(fnp_real *parameter, const fnp_real *gradient, fnp_real *momentum_slot, fnp_real *variance_slot,
                                 fnp_real *variance_hat_slot, fnp_int n, fnp_real learning_rate, fnp_real one_minus_beta_1,
                                 fnp_real beta_2, fnp_real one_minus_beta_2, fnp_real log_beta_1, fnp_real log_beta_2,
                                 fnp_real epsilon, fnp_int rectify, uint32_t step)
{
    const fnp_real r = rectify ? fnp_rectification(log_beta_2, one_minus_beta_2, (fnp_real)step + 1) : 1;
    const fnp_real root = fnp_sqrt(fnp_correction(log_beta_2, step)), least = rectify ? epsilon : epsilon * root;
    fnp_real alpha = learning_rate / fnp_correction(log_beta_1, step);
    fnp_int i;
    if (r > 0)
        alpha *= r * root;
    for (i = 0; i < n; i++) {
        const fnp_real g = gradient[i], m = fnp_follow(momentum_slot + i, g, one_minus_beta_1), surprise = g - m;
        fnp_real v = beta_2 * variance_slot[i] + (one_minus_beta_2 * (surprise * surprise) + epsilon);
        variance_slot[i] = v;
        if (variance_hat_slot) {
            if (variance_hat_slot[i] > v)
                v = variance_hat_slot[i];
            variance_hat_slot[i] = v;
        }
        parameter[i] -= r > 0 ? alpha * m / (fnp_sqrt(v) + least) : alpha * m;
    }
}

static void fnp_update_yogi(fnp_real *parameter, const fnp_real *gradient, fnp_real *momentum_slot, fnp_real *velocity_slot,
                            fnp_int n, fnp_real learning_rate, fnp_real one_minus_beta_1, fnp_real one_minus_beta_2,
                            fnp_real log_beta_1, fnp_real log_beta_2, fnp_real epsilon, uint32_t step)
{
    const fnp_real alpha = learning_rate * fnp_sqrt(fnp_correction(log_beta_2, step)) / fnp_correction(log_beta_1, step);
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real g = gradient[i], m = fnp_follow(momentum_slot + i, g, one_minus_beta_1), square = g * g;
        velocity_slot[i] -= one_minus_beta_2 * fnp_sign(velocity_slot[i] - square) * square;
        parameter[i] -= alpha * m / (fnp_sqrt(velocity_slot[i]) + epsilon);
    }
}

/* A difference of gradients is 0 where there was none before, which infinity says. */
static void fnp_update_adan(fnp_real *parameter, const fnp_real *gradient, fnp_real *momentum_slot, fnp_real *difference_slot,
                            fnp_real *velocity_slot, fnp_real *previous_gradient_slot, fnp_int n, fnp_real learning_rate,
                            fnp_real one_minus_beta_1, fnp_real one_minus_beta_2, fnp_real one_minus_beta_3, fnp_real log_beta_1,
                            fnp_real log_beta_2, fnp_real log_beta_3, fnp_real beta_2, fnp_real epsilon, uint32_t step)
{
    const fnp_real root = fnp_sqrt(fnp_correction(log_beta_3, step)), rate = learning_rate * root;
    const fnp_real of_m = rate / fnp_correction(log_beta_1, step), of_v = rate * beta_2 / fnp_correction(log_beta_2, step);
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real g = gradient[i], change = g - previous_gradient_slot[i];
        const fnp_real difference = previous_gradient_slot[i] > FNP_MAX ? 0 : change, ahead = g + beta_2 * difference;
        const fnp_real m = fnp_follow(momentum_slot + i, g, one_minus_beta_1);
        const fnp_real v = fnp_follow(difference_slot + i, difference, one_minus_beta_2);
        const fnp_real u = fnp_follow(velocity_slot + i, ahead * ahead, one_minus_beta_3);
        parameter[i] -= (of_m * m + of_v * v) / (fnp_sqrt(u) + epsilon * root);
        previous_gradient_slot[i] = g;
    }
}

static void fnp_update_lion(fnp_real *parameter, const fnp_real *gradient, fnp_real *momentum_slot, fnp_int n,
                            fnp_real learning_rate, fnp_real beta_1, fnp_real beta_2, fnp_real one_minus_beta_1,
                            fnp_real one_minus_beta_2)
{
    fnp_int i;
    for (i = 0; i < n; i++) {
        parameter[i] -= learning_rate * fnp_sign(beta_1 * momentum_slot[i] + one_minus_beta_1 * gradient[i]);
        momentum_slot[i] = beta_2 * momentum_slot[i] + one_minus_beta_2 * gradient[i];
    }
}
