/* Constraints on parameters: what the engine applies to a parameter after each update.
 *
 *   norms          n = sqrt(sum w^2) over the reduced axes,  w = w d / (1e-7 + n),
 *                  d = rate min(max(n, lowest), highest) + (1 - rate) n                (as in Keras 3)
 *   non_negative   w = w where w >= 0, else 0
 *
 * w [outer][reduced][inner]: a line is one outer and one inner index. Lines that lie side by side are worked on
 * together. Norms are summed in double, in the order of the elements.
 */
#include "vector_ops.h"

enum { LINES = 4 * FN_LANES };

static void constrain_norms(real *restrict w, int64_t stride, const fn_constraint *constraint, int64_t n)
{
    double factor[LINES] = {0};
    for (int64_t i = 0; i < constraint->reduced; i++)
        for (int64_t j = 0; j < n; j++)
            factor[j] += (double)w[i * stride + j] * (double)w[i * stride + j];
    for (int64_t j = 0; j < n; j++) {
        const double norm = sqrt(factor[j]);
        const double clipped = norm < constraint->lowest    ? constraint->lowest
                               : norm > constraint->highest ? constraint->highest
                                                            : norm;
        factor[j] = (constraint->rate * clipped + (1 - constraint->rate) * norm) / (1e-7 + norm);
    }
    for (int64_t i = 0; i < constraint->reduced; i++)
        for (int64_t j = 0; j < n; j++)
            w[i * stride + j] = (real)((double)w[i * stride + j] * factor[j]);
}

/* Lines lo to hi of a parameter. */
void FN_SYM(constrain)(void *parameter, const fn_constraint *constraint, int64_t lo, int64_t hi)
{
    const int64_t inner = constraint->inner, reduced = constraint->reduced;
    while (lo < hi) {
        const int64_t column = lo % inner, left = inner - column < hi - lo ? inner - column : hi - lo;
        const int64_t n = left < LINES ? left : LINES;
        real *w = (real *)parameter + lo / inner * reduced * inner + column;
        if (constraint->non_negative) {
            for (int64_t i = 0; i < reduced; i++)
                for (int64_t j = 0; j < n; j++)
                    w[i * inner + j] = w[i * inner + j] < 0 ? 0 : w[i * inner + j];
        } else {
            constrain_norms(w, inner, constraint, n);
        }
        lo += n;
    }
}
