/* Circle loss (Sun et al. 2020), of embeddings of length 1 with the labels of what they are of. Over the other positions j of the
 * batch, with d_ij = max(1 - p_i . p_j, 0), m the margin and g gamma:
 *
 *   P_i = logsumexp over j of label i:      -g max(m + d_ij, 0) (m - d_ij)
 *   N_i = logsumexp over j of other labels:  g max(1 + m - d_ij, 0) (1 - m - d_ij)
 *   loss_i = log(1 + exp(P_i + N_i)), which is 0 where there is no j of one of the two kinds
 *
 * As in Keras the mean is over the positions whose loss is above 0: each is multiplied by positions / those.
 *
 * prediction: [positions][width]; target: [positions], any whole numbers; loss: [positions]. */
#include "../pointwise.h"

enum { GAMMA, MARGIN, REMOVE_DIAGONAL };
static const fn_attribute attributes[] = {
    [GAMMA] = {"gamma", 80, FN_NOT_NEGATIVE},
    [MARGIN] = {"margin", 0.4, FN_ANY},
    [REMOVE_DIAGONAL] = {"remove_diagonal", 1, FN_FLAG}, /* whether j = i is left out */
};

static fn_status group(const double *attribute, const fn_shape *prediction, int64_t *positions, fn_error *error)
{
    (void)attribute, (void)prediction, (void)error;
    *positions = 0;
    return FN_OK;
}

/* The exponent of a pair of positions and its derivative by the distance. */
FN_INLINE pointwise exponent_of_pair(bool alike, real distance, real gamma, real margin)
{
    const real weight = alike ? margin + distance : FN_REAL(1.0) + margin - distance;
    const real rest = alike ? margin - distance : FN_REAL(1.0) - margin - distance;
    if (weight < FN_REAL(0.0))
        return (pointwise){FN_REAL(0.0), FN_REAL(0.0)};
    return alike ? (pointwise){-gamma * weight * rest, gamma * (weight - rest)}
                 : (pointwise){gamma * weight * rest, -gamma * (weight + rest)};
}

FN_INLINE real cosine(const real *restrict a, const real *restrict b, int64_t width)
{
    real sum = FN_REAL(0.0);
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < width; k++)
        sum += a[k] * b[k];
    return sum;
}

/* Sum of exp(x - most) over what was added so far; 0: nothing was. */
typedef struct exponentials {
    real most, sum;
} exponentials;

FN_INLINE void add_exponential(exponentials *all, real x)
{
    if (all->sum == FN_REAL(0.0) || x > all->most) {
        all->sum = all->sum == FN_REAL(0.0) ? FN_REAL(0.0) : all->sum * fn_exp(all->most - x);
        all->most = x;
    }
    all->sum += fn_exp(x - all->most);
}

/* Goes over the pairs of position i; returns P_i + N_i where both are there, and whether they are. */
static bool sum_pairs(const fn_loss_arguments *arguments, int64_t i, exponentials of[2], real *both)
{
    const int64_t width = arguments->width;
    const real *prediction = arguments->prediction, *target = arguments->target;
    const real gamma = (real)arguments->attribute[GAMMA], margin = (real)arguments->attribute[MARGIN];
    of[0] = of[1] = (exponentials){FN_REAL(0.0), FN_REAL(0.0)};
    for (int64_t j = 0; j < arguments->positions; j++) {
        if (j == i && arguments->attribute[REMOVE_DIAGONAL] != 0)
            continue;
        const real apart = FN_REAL(1.0) - cosine(prediction + i * width, prediction + j * width, width);
        const bool alike = target[i] == target[j];
        const real distance = apart < FN_REAL(0.0) ? FN_REAL(0.0) : apart;
        add_exponential(&of[alike], exponent_of_pair(alike, distance, gamma, margin).value);
    }
    if (of[0].sum == FN_REAL(0.0) || of[1].sum == FN_REAL(0.0))
        return false;
    *both = of[0].most + fn_log(of[0].sum) + of[1].most + fn_log(of[1].sum);
    return true;
}

/* Adds the derivative of the loss of position i, of which P_i + N_i is `both`, times a factor to that of all predictions. */
static void add_gradient(const fn_loss_arguments *arguments, int64_t i, const exponentials of[2], real both, real factor)
{
    const int64_t width = arguments->width;
    const real *prediction = arguments->prediction, *target = arguments->target;
    const real gamma = (real)arguments->attribute[GAMMA], margin = (real)arguments->attribute[MARGIN];
    const real *restrict own = prediction + i * width;
    const real small = fn_exp(-FN_ABS(both)), outer = (both < FN_REAL(0.0) ? small : FN_REAL(1.0)) / (FN_REAL(1.0) + small);
    for (int64_t j = 0; j < arguments->positions; j++) {
        if (j == i && arguments->attribute[REMOVE_DIAGONAL] != 0)
            continue;
        const real *other = prediction + j * width;
        const real apart = FN_REAL(1.0) - cosine(own, other, width);
        if (apart < FN_REAL(0.0))
            continue;
        const bool alike = target[i] == target[j];
        const pointwise pair = exponent_of_pair(alike, apart, gamma, margin);
        const real share = fn_exp(pair.value - of[alike].most) / of[alike].sum;
        const real slope = -factor * outer * share * pair.slope * (apart == FN_REAL(0.0) ? FN_REAL(0.5) : FN_REAL(1.0));
        real *of_own = (real *)arguments->gradient + i * width, *of_other = (real *)arguments->gradient + j * width;
        if (i == j) {
            for (int64_t k = 0; k < width; k++)
                of_own[k] += FN_REAL(2.0) * slope * own[k];
            continue;
        }
        real *restrict a = of_own, *restrict b = of_other;
#pragma omp simd
        for (int64_t k = 0; k < width; k++) {
            a[k] = FN_FMA(slope, other[k], a[k]);
            b[k] = FN_FMA(slope, own[k], b[k]);
        }
    }
}

static void run(const fn_loss_arguments *arguments)
{
    const int64_t n = arguments->positions, width = arguments->width;
    const real *scale = arguments->scale;
    real *loss = arguments->loss;
    exponentials of[2];
    real both = FN_REAL(0.0);
    int64_t counted = 0;
    for (int64_t i = 0; i < n; i++) {
        loss[i] = FN_REAL(0.0);
        if (sum_pairs(arguments, i, of, &both))
            loss[i] = (both < FN_REAL(0.0) ? FN_REAL(0.0) : both) + fn_log1p(fn_exp(-FN_ABS(both)));
        counted += !(loss[i] <= FN_REAL(0.0)); /* NaN counts */
    }
    const real factor = counted ? (real)n / (real)counted : FN_REAL(0.0);
    for (int64_t k = 0; arguments->gradient && k < n * width; k++)
        ((real *)arguments->gradient)[k] = FN_REAL(0.0);
    for (int64_t i = 0; i < n; i++) {
        if (loss[i] <= FN_REAL(0.0))
            continue;
        loss[i] *= factor;
        if (arguments->gradient && scale[i] != FN_REAL(0.0) && sum_pairs(arguments, i, of, &both))
            add_gradient(arguments, i, of, both, factor * scale[i]);
    }
}

const fn_loss FN_SYM(loss_circle) = {
    .entry = {"circle", attributes, 3},
    .identities = true,
    .check = FN_SYM(pointwise_check),
    .group = group,
    .run = run,
};
