/* Cross-entropies; as in losses.c. A target t is smoothed: (1 - label_smoothing) t + label_smoothing / classes. */

/* The least and the largest probability that is told from 0 and 1. */
#define FNP_LOWEST FNP_R(1e-7)

#define FNP_HIGHEST (1 - FNP_LOWEST)

/* The logarithm of p clipped. */
static fnp_real fnp_clipped_log(fnp_real p)
{
    return p > FNP_HIGHEST ? FNP_R(-1.0000000500000033e-7) : fnp_log(p < FNP_LOWEST ? FNP_LOWEST : p);
}

/* a / p, or 0 where p is clipped. */
static fnp_real fnp_clipped_quotient(fnp_real a, fnp_real p)
{
    return p < FNP_LOWEST || p > FNP_HIGHEST ? 0 : a / p;
}

/* mean max(z, 0) - z t + log1p(exp(-|z|)) of logits z; of probabilities -mean t log p + (1 - t) log(1 - p), p clipped. Its
 * derivative by z is sigmoid(z) - t. */
static void fnp_binary_crossentropy(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale, fnp_real *losses,
                                    fnp_real *gradient, fnp_int positions, fnp_int width, fnp_int from_logits,
                                    fnp_real label_smoothing)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++) {
        const fnp_real share = 1 / (fnp_real)width, factor = scale[p] * share;
        fnp_real sum = 0;
        for (j = 0; j < width; j++) {
            const fnp_real x = *prediction++;
            const fnp_real t = (1 - label_smoothing) * *target++ + FNP_R(0.5) * label_smoothing;
            fnp_real slope;
            if (from_logits) {
                const fnp_real tail = fnp_exp(-fnp_abs(x));
                sum += (x < 0 ? 0 : x) - x * t + fnp_log1p(tail);
                slope = (x < 0 ? tail : 1) / (1 + tail) - t;
            } else {
                sum -= t * fnp_clipped_log(x) + (1 - t) * fnp_clipped_log(1 - x);
                slope = fnp_clipped_quotient(fnp_clipped_quotient(x - t, x), 1 - x);
            }
            *gradient++ += factor * slope;
        }
        losses[p] = sum * share;
    }
}

/* Of one position, whose target is on * target + off, or, where target is NULL, on at the label and off beside it.
 * Logits: sum t (log(sum exp(z - max z)) - (z - max z)), slope (sum t) softmax(z) - t.
 * Probabilities: q = p / sum p, -sum t log q, slope (m - t / q) / sum p, m: the sum of the t whose q is not clipped. */
static fnp_real fnp_cross_entropy(const fnp_real *x, const fnp_real *target, fnp_real *gradient, fnp_int width, fnp_int label,
                                  fnp_real scale, fnp_int from_logits, fnp_real label_smoothing)
{
    const fnp_real on = 1 - label_smoothing, off = label_smoothing / (fnp_real)width;
    const fnp_real top = from_logits ? fnp_largest(x, width) : 0;
    fnp_real sum = 0, mass = 0, loss = 0;
    fnp_int j;
    for (j = 0; j < width; j++)
        sum += from_logits ? fnp_exp(x[j] - top) : x[j];
    for (j = 0; j < width; j++) {
        const fnp_real t = off + (target ? on * target[j] : j == label ? on : 0);
        if (t == 0) /* a term that is 0 even where its logarithm is infinite */
            continue;
        if (from_logits) {
            mass += t;
            loss -= t * (x[j] - top);
        } else {
            const fnp_real q = x[j] / sum;
            mass += q < FNP_LOWEST || q > FNP_HIGHEST ? 0 : t;
            loss -= t * fnp_clipped_log(q);
        }
    }
    if (from_logits)
        loss += mass * fnp_log(sum);
    for (j = 0; j < width; j++) {
        const fnp_real t = off + (target ? on * target[j] : j == label ? on : 0);
        if (from_logits)
            gradient[j] += scale * (mass / sum * fnp_exp(x[j] - top) - t);
        else
            gradient[j] += scale * (mass - fnp_clipped_quotient(t, x[j] / sum)) / sum;
    }
    return loss;
}

/* target: distributions over the classes. */
static void fnp_categorical_crossentropy(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale,
                                         fnp_real *losses, fnp_real *gradient, fnp_int positions, fnp_int width,
                                         fnp_int from_logits, fnp_real label_smoothing)
{
    for (; positions > 0; positions--, prediction += width, target += width, gradient += width)
        *losses++ = fnp_cross_entropy(prediction, target, gradient, width, 0, *scale++, from_logits, label_smoothing);
}

/* target [positions]: numbers of classes. A label that is none makes the loss NaN, and with it the step one that changes nothing.
 */
static void fnp_sparse_categorical_crossentropy(const fnp_real *prediction, const fnp_int *target, const fnp_real *scale,
                                                fnp_real *losses, fnp_real *gradient, fnp_int positions, fnp_int width,
                                                fnp_int from_logits, fnp_real label_smoothing)
{
    for (; positions > 0; positions--, prediction += width, gradient += width, target++) {
        const fnp_real loss = fnp_cross_entropy(prediction, 0, gradient, width, *target, *scale++, from_logits, label_smoothing);
        *losses++ = *target < 0 || *target >= width ? FNP_NAN : loss;
    }
}
