/* Losses. Each writes the loss of a position and adds scale times its derivative to the gradient of the prediction.
 * prediction, target, gradient [positions][width]; scale, losses [positions]. Equations: csrc/kernels/losses. */

/* What a position counts in the total loss: factor times its weight; weight: NULL, or [positions]. */
static void fnp_scale_of_loss(const fnp_real *weight, fnp_real *scale, fnp_int positions, fnp_real factor)
{
    fnp_int p;
    for (p = 0; p < positions; p++)
        scale[p] = weight ? factor * weight[p] : factor;
}

/* Where an output has a mask: the mean is over the positions that count. */
static void fnp_mask_scale(const fnp_real *mask, fnp_real *scale, fnp_int positions)
{
    fnp_int p;
    fnp_real counted = 0;
    for (p = 0; p < positions; p++)
        counted += mask[p];
    for (p = 0; p < positions; p++)
        scale[p] = mask[p] > 0 ? scale[p] * (fnp_real)positions / counted : 0;
}

static void fnp_add_loss(const fnp_real *losses, const fnp_real *scale, fnp_real *total, fnp_int positions)
{
    fnp_int p;
    for (p = 0; p < positions; p++)
        *total += scale[p] == 0 ? 0 : scale[p] * losses[p];
}

/* mean (p - t)^2 */
static void fnp_mean_squared_error(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale, fnp_real *losses,
                                   fnp_real *gradient, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++) {
        const fnp_real share = 1 / (fnp_real)width, factor = 2 * scale[p] * share;
        fnp_real sum = 0;
        for (j = 0; j < width; j++) {
            const fnp_real error = *prediction++ - *target++;
            sum += error * error;
            *gradient++ += factor * error;
        }
        losses[p] = sum * share;
    }
}

/* mean |p - t| */
static void fnp_mean_absolute_error(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale, fnp_real *losses,
                                    fnp_real *gradient, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++) {
        const fnp_real share = 1 / (fnp_real)width, factor = scale[p] * share;
        fnp_real sum = 0;
        for (j = 0; j < width; j++) {
            const fnp_real error = *prediction++ - *target++, sign = fnp_sign(error);
            sum += error * sign;
            *gradient++ += factor * sign;
        }
        losses[p] = sum * share;
    }
}

/* mean e^2 / 2 where |e| <= delta, else delta |e| - delta^2 / 2 */
static void fnp_huber(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale, fnp_real *losses,
                      fnp_real *gradient, fnp_int positions, fnp_int width, fnp_real delta)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++) {
        const fnp_real share = 1 / (fnp_real)width, factor = scale[p] * share;
        fnp_real sum = 0;
        for (j = 0; j < width; j++) {
            const fnp_real error = *prediction++ - *target++, slope = fnp_bounded(error, -delta, delta);
            sum += slope * (error - FNP_R(0.5) * slope);
            *gradient++ += factor * slope;
        }
        losses[p] = sum * share;
    }
}

/* mean log cosh e; where e is small |e| + log1p(exp(-2 |e|)) - log 2 would cancel */
static void fnp_log_cosh(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale, fnp_real *losses,
                         fnp_real *gradient, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++) {
        const fnp_real share = 1 / (fnp_real)width, factor = scale[p] * share;
        fnp_real sum = 0;
        for (j = 0; j < width; j++) {
            const fnp_real error = *prediction++ - *target++, size = fnp_abs(error), slope = fnp_tanh_of(error);
            if (size < FNP_R(0.5))
                sum -= FNP_R(0.5) * fnp_log1p(-slope * slope);
            else
                sum += size - FNP_R(0.69314718055994530942) + fnp_log1p(fnp_exp(-2 * size));
            *gradient++ += factor * slope;
        }
        losses[p] = sum * share;
    }
}

/* mean max(0, 1 - t p), t of -1 and 1, or 0 for -1; at 0 half of the derivative */
static void fnp_hinge(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale, fnp_real *losses,
                      fnp_real *gradient, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++) {
        const fnp_real share = 1 / (fnp_real)width, factor = scale[p] * share;
        fnp_real sum = 0;
        for (j = 0; j < width; j++, prediction++, target++, gradient++) {
            const fnp_real t = *target == 0 ? -1 : *target, margin = 1 - t * *prediction;
            if (margin < 0)
                continue;
            sum += margin;
            *gradient -= factor * (margin == 0 ? t / 2 : t);
        }
        losses[p] = sum * share;
    }
}

/* mean p - t log(p + 1e-7) */
static void fnp_poisson(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale, fnp_real *losses,
                        fnp_real *gradient, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++) {
        const fnp_real share = 1 / (fnp_real)width, factor = scale[p] * share;
        fnp_real sum = 0;
        for (j = 0; j < width; j++, prediction++, target++) {
            const fnp_real rate = *prediction + FNP_R(1e-7);
            sum += *prediction - *target * fnp_log(rate);
            *gradient++ += factor * (1 - *target / rate);
        }
        losses[p] = sum * share;
    }
}

/* sum t log(t / p), both clipped to [1e-7, 1]; where p is outside it has no gradient */
static void fnp_kl_divergence(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale, fnp_real *losses,
                              fnp_real *gradient, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++) {
        fnp_real sum = 0;
        for (j = 0; j < width; j++, prediction++, gradient++) {
            const fnp_real t = fnp_bounded(*target++, FNP_R(1e-7), 1), q = fnp_bounded(*prediction, FNP_R(1e-7), 1);
            sum += t * fnp_log(t / q);
            if (q == *prediction || q != q)
                *gradient -= scale[p] * t / q;
        }
        losses[p] = sum;
    }
}

/* 1 - 2 I / S over `group` positions, I = sum t p, S = sum t + sum p + 1e-7 */
static void fnp_dice(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale, fnp_real *losses,
                     fnp_real *gradient, fnp_int positions, fnp_int width, fnp_int group)
{
    const fnp_int n = group * width;
    fnp_int p, i;
    for (p = 0; p < positions; p += group, prediction += n, target += n, gradient += n) {
        fnp_real common = 0, both = FNP_R(1e-7), factor = 0, ratio;
        for (i = 0; i < n; i++) {
            common += target[i] * prediction[i];
            both += target[i] + prediction[i];
        }
        ratio = common / both;
        for (i = p; i < p + group; i++) {
            losses[i] = 1 - 2 * ratio;
            factor += scale[i];
        }
        for (i = 0; i < n; i++)
            gradient[i] += 2 * factor * (ratio - target[i]) / both;
    }
}

/* A pair of positions at a distance: what the Circle loss sums exp of, and its derivative by the distance. */
static fnp_real fnp_circle_of_pair(fnp_int alike, fnp_real distance, fnp_real gamma, fnp_real margin, fnp_real *slope)
{
    const fnp_real weight = alike ? margin + distance : 1 + margin - distance;
    const fnp_real rest = alike ? margin - distance : 1 - margin - distance;
    *slope = weight < 0 ? 0 : alike ? gamma * (weight - rest) : -gamma * (weight + rest);
    return weight < 0 ? 0 : alike ? -gamma * weight * rest : gamma * weight * rest;
}

/* 1 - a . b */
static fnp_real fnp_apart(const fnp_real *a, const fnp_real *b, fnp_int width)
{
    fnp_real sum = 0;
    fnp_int k;
    for (k = 0; k < width; k++)
        sum += a[k] * b[k];
    return 1 - sum;
}

/* Sums exp over the pairs of position i, of other labels and of its own, each as sum exp(most); whether there are both. */
static fnp_int fnp_circle_of_position(const fnp_real *prediction, const fnp_int *target, fnp_int i, fnp_int positions,
                                      fnp_int width, fnp_real gamma, fnp_real margin, fnp_int remove_diagonal, fnp_real most[2],
                                      fnp_real sum[2], fnp_real *both)
{
    fnp_int j;
    most[0] = most[1] = sum[0] = sum[1] = 0;
    for (j = 0; j < positions; j++) {
        const fnp_int alike = target[i] == target[j];
        const fnp_real apart = fnp_apart(prediction + i * width, prediction + j * width, width);
        fnp_real slope;
        const fnp_real x = fnp_circle_of_pair(alike, apart < 0 ? 0 : apart, gamma, margin, &slope);
        if (j == i && remove_diagonal)
            continue;
        if (sum[alike] == 0 || x > most[alike]) {
            sum[alike] = sum[alike] == 0 ? 0 : sum[alike] * fnp_exp(most[alike] - x);
            most[alike] = x;
        }
        sum[alike] += fnp_exp(x - most[alike]);
    }
    if (sum[0] == 0 || sum[1] == 0)
        return 0;
    *both = most[0] + fnp_log(sum[0]) + most[1] + fnp_log(sum[1]);
    return 1;
}

/* target [positions]: any whole numbers. log(1 + exp(P + N)), see csrc/kernels/losses/circle.c; the mean is over those above 0.
 */
static void fnp_circle(const fnp_real *prediction, const fnp_int *target, const fnp_real *scale, fnp_real *losses,
                       fnp_real *gradient, fnp_int positions, fnp_int width, fnp_real gamma, fnp_real margin,
                       fnp_int remove_diagonal)
{
    fnp_int i, j, k, counted = 0;
    fnp_real most[2], sum[2], both, factor;
    for (i = 0; i < positions; i++) {
        losses[i] = 0;
        if (fnp_circle_of_position(prediction, target, i, positions, width, gamma, margin, remove_diagonal, most, sum, &both))
            losses[i] = (both < 0 ? 0 : both) + fnp_log1p(fnp_exp(-fnp_abs(both)));
        counted += !(losses[i] <= 0);
    }
    factor = counted ? (fnp_real)positions / (fnp_real)counted : 0;
    for (i = 0; i < positions; i++) {
        fnp_real small, outer;
        if (losses[i] <= 0)
            continue;
        losses[i] *= factor;
        fnp_circle_of_position(prediction, target, i, positions, width, gamma, margin, remove_diagonal, most, sum, &both);
        small = fnp_exp(-fnp_abs(both));
        outer = scale[i] * factor * (both < 0 ? small : 1) / (1 + small);
        for (j = 0; j < positions; j++) {
            const fnp_int alike = target[i] == target[j];
            const fnp_real apart = fnp_apart(prediction + i * width, prediction + j * width, width);
            fnp_real slope, x;
            if ((j == i && remove_diagonal) || apart < 0)
                continue;
            x = fnp_circle_of_pair(alike, apart, gamma, margin, &slope);
            slope *= -outer * fnp_exp(x - most[alike]) / sum[alike] * (apart == 0 ? FNP_R(0.5) : 1);
            for (k = 0; k < width; k++) {
                gradient[i * width + k] += slope * prediction[j * width + k];
                gradient[j * width + k] += slope * prediction[i * width + k];
            }
        }
    }
}

/* Over the elements of each group of positions: 1 - c / (c + alpha sum t (1 - p) + beta sum (1 - t) p + 1e-7), c = sum t p. */
static void fnp_tversky(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale, fnp_real *losses,
                        fnp_real *gradient, fnp_int positions, fnp_int width, fnp_int group, fnp_real alpha, fnp_real beta)
{
    const fnp_int n = group * width;
    fnp_int p, i;
    for (p = 0; p < positions; p += group, prediction += n, target += n, gradient += n) {
        fnp_real common = 0, all = FNP_R(1e-7), factor = 0, ratio;
        for (i = 0; i < n; i++) {
            common += target[i] * prediction[i];
            all += alpha * target[i] * (1 - prediction[i]) + beta * (1 - target[i]) * prediction[i];
        }
        all += common;
        ratio = common / all;
        for (i = p; i < p + group; i++) {
            losses[i] = 1 - ratio;
            factor += scale[i];
        }
        for (i = 0; i < n; i++)
            gradient[i] -= factor * (target[i] - ratio * ((1 - alpha) * target[i] + beta * (1 - target[i]))) / all;
    }
}
