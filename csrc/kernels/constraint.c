/* Constraints on parameters: what the engine applies to a parameter after each update.
 *
 *   norms          n = sqrt(sum w^2) over the reduced axes,  w = w d / (1e-7 + n),
 *                  d = rate min(max(n, lowest), highest) + (1 - rate) n                (as in Keras 3)
 *   non_negative   w = w where w >= 0, else 0
 *
 * w [outer][reduced][inner]: a line is one outer and one inner index. Lines that lie side by side are worked on
 * together. Norms are summed in double, in the order of the elements, over each tile of a line and then over these.
 */
#include "vector_ops.h"

enum { CHUNK = 4 * FN_LANES };

/* How many lines from `line` to `hi` are worked on together. */
static int64_t lines_at_once(int64_t inner, int64_t line, int64_t hi)
{
    const int64_t left = inner - line % inner < hi - line ? inner - line % inner : hi - line;
    return left < CHUNK ? left : CHUNK;
}

/* The first element of a line. */
static int64_t start_of_line(const fn_constraint *constraint, int64_t line)
{
    return line / constraint->inner * constraint->reduced * constraint->inner + line % constraint->inner;
}

/* n: CHUNK, as a constant, or less. */
FN_INLINE void sum_lines_of_chunk(const real *w, const fn_lines *lines, const int64_t n, double *restrict squares)
{
    const int64_t inner = lines->constraint.inner, period = lines->run * lines->n_tiles;
    double all[CHUNK] = {0};
    for (int64_t first = 0; first < period; first += lines->run) { /* a tile */
        double sum[CHUNK] = {0};
        for (int64_t start = first; start < lines->constraint.reduced; start += period)
            for (int64_t i = start; i < start + lines->run; i++)
#pragma omp simd
                for (int64_t j = 0; j < n; j++)
                    sum[j] += (double)w[i * inner + j] * (double)w[i * inner + j];
        for (int64_t j = 0; j < n; j++)
            all[j] += sum[j];
    }
    memcpy(squares, all, sizeof *squares * (size_t)n);
}

static void sum_chunk(const real *w, const fn_lines *lines, int64_t n, double *squares)
{
    if (n == CHUNK)
        sum_lines_of_chunk(w, lines, CHUNK, squares);
    else
        sum_lines_of_chunk(w, lines, n, squares);
}

/* Multiplies lines by factors; n: as above. */
FN_INLINE void multiply_lines(real *restrict w, const fn_constraint *constraint, const int64_t n, const double *restrict factor)
{
    for (int64_t i = 0; i < constraint->reduced; i++)
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            w[i * constraint->inner + j] = (real)((double)w[i * constraint->inner + j] * factor[j]);
}

static void scale_chunk(real *restrict w, const fn_constraint *constraint, int64_t n, const double *squares)
{
    double factor[CHUNK];
    for (int64_t j = 0; j < n; j++) {
        const double norm = sqrt(squares[j]);
        const double clipped = norm < constraint->lowest    ? constraint->lowest
                               : norm > constraint->highest ? constraint->highest
                                                            : norm;
        factor[j] = (constraint->rate * clipped + (1 - constraint->rate) * norm) / (1e-7 + norm);
    }
    if (n == CHUNK)
        multiply_lines(w, constraint, CHUNK, factor);
    else
        multiply_lines(w, constraint, n, factor);
}

static void clear_negative(real *restrict w, const fn_constraint *constraint, int64_t n)
{
    for (int64_t i = 0; i < constraint->reduced; i++)
        for (int64_t j = 0; j < n; j++)
            w[i * constraint->inner + j] = w[i * constraint->inner + j] < 0 ? 0 : w[i * constraint->inner + j];
}

/* Squared norms of lines lo to hi into squares[lo] to squares[hi - 1]. */
void FN_SYM(sum_lines)(const void *parameter, const fn_lines *lines, int64_t lo, int64_t hi, double *squares)
{
    for (int64_t n; lo < hi; lo += n) {
        n = lines_at_once(lines->constraint.inner, lo, hi);
        sum_chunk((const real *)parameter + start_of_line(&lines->constraint, lo), lines, n, squares + lo);
    }
}

/* Lines lo to hi of a parameter. squares: their squared norms, from number 0 on; NULL: to be found, where they are wanted. */
void FN_SYM(constrain)(void *parameter, const fn_lines *lines, int64_t lo, int64_t hi, const double *squares)
{
    const fn_constraint *constraint = &lines->constraint;
    for (int64_t n; lo < hi; lo += n) {
        n = lines_at_once(constraint->inner, lo, hi);
        real *w = (real *)parameter + start_of_line(constraint, lo);
        double found[CHUNK];
        if (constraint->non_negative) {
            clear_negative(w, constraint, n);
            continue;
        }
        if (!squares)
            sum_chunk(w, lines, n, found);
        scale_chunk(w, constraint, n, squares ? squares + lo : found);
    }
}
