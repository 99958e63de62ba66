/* Checks csrc/kernels/gemm.h against its definition, bit by bit: one chain of multiply-adds for each
 * element. Compiled once for each instruction set and precision, with the object of gemm.c that is shipped. Prints what
 * differs; the exit code is 0 if nothing does.
 *
 * Matrices have no element more than their strides demand, so that a sanitizer sees reads beyond;
 * elements between rows are NaN, which would show in C; C and the workspace are fenced.
 * With FASTNET_QUICK in the environment: small products alone, for processors that are emulated. */
#include "../../csrc/kernels/gemm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FENCE = 64 };
#define FENCE_VALUE FN_REAL(-12345.0)

static int failures;
static bool quick;
static uint64_t state = 1;

static int64_t random_below(int64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)n);
}

static real random_real(void)
{
    return (real)(random_below(2001) - 1000) / (real)512;
}

typedef enum layout { ROWS, COLUMNS, GENERAL } layout;

typedef struct test_case {
    int64_t m, n, k, gap;
    layout a, b;
    bool packed, accumulate, bias, relu, finish, special, by_dots;
} test_case;

static bool same(real x, real y)
{
    return (isnan(x) && isnan(y)) || memcmp(&x, &y, sizeof x) == 0;
}

static void *allocate(int64_t bytes)
{
    void *const p = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (!p)
        abort();
    return p;
}

static real *allocate_aligned(int64_t bytes)
{
    const int64_t whole = (bytes / FN_ALIGNMENT + 1) * FN_ALIGNMENT;
    real *const p = aligned_alloc(FN_ALIGNMENT, (size_t)whole);
    if (!p)
        abort();
    return p;
}

/* A random matrix. *owner is to be freed. */
static gemm_matrix make_matrix(int64_t rows, int64_t columns, layout layout, int64_t gap, bool special, real **owner)
{
    gemm_matrix matrix = {NULL, columns + gap, 1};
    if (layout == COLUMNS)
        matrix = (gemm_matrix){NULL, 1, rows + gap};
    else if (layout == GENERAL)
        matrix = (gemm_matrix){NULL, 3, 3 * rows + gap};
    const bool empty = rows == 0 || columns == 0;
    const int64_t size = empty ? 0 : (rows - 1) * matrix.row + (columns - 1) * matrix.column + 1;
    real *const data = allocate(size * (int64_t)sizeof(real));
    for (int64_t i = 0; i < size; i++)
        data[i] = (real)NAN;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            data[i * matrix.row + j * matrix.column] = random_real();
    if (special)
        for (int i = 0; i < 3 && !empty; i++) {
            const real values[] = {(real)NAN, (real)INFINITY, (real)-0.0};
            data[random_below(rows) * matrix.row + random_below(columns) * matrix.column] = values[i];
        }
    matrix.data = *owner = data;
    return matrix;
}

/* Counts in `other` how often each element is finished, and checks that c points at what it should. */
static real *expected_c;

static void finish_block(const gemm_epilogue *epilogue, real *c, int64_t c_row, int64_t i, int64_t j, int64_t m, int64_t n)
{
    if (c != expected_c + i * c_row + j) {
        printf("finish: wrong pointer at %" PRId64 ", %" PRId64 "\n", i, j);
        failures++;
    }
    for (int64_t r = 0; r < m; r++)
        for (int64_t q = 0; q < n; q++) {
            epilogue->other[(i + r) * epilogue->other_row + j + q] += 1;
            c[r * c_row + q] = c[r * c_row + q] * 2 + 1;
        }
}

static void check_fence(const real *fence, const char *what)
{
    for (int i = 0; i < FENCE; i++)
        if (fence[i] != FENCE_VALUE) {
            printf("%s: written beyond\n", what);
            failures++;
            return;
        }
}

static void set_fence(real *fence)
{
    for (int i = 0; i < FENCE; i++)
        fence[i] = FENCE_VALUE;
}

/* One chain of multiply-adds, from `start`. */
static real sum_in_order(const real *a, int64_t a_step, const real *b, int64_t b_step, int64_t k, real start)
{
    for (int64_t p = 0; p < k; p++)
        start = FN_FMA(a[p * a_step], b[p * b_step], start);
    return start;
}

/* Adds x[width / 2], ... to x[0], ... until x[0] is the sum. */
static real halve(real *x, int width)
{
    for (width /= 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            x[i] += x[i + width];
    return x[0];
}

/* With by_dots: partial sums, added in each 128 bits of a vector, then those. */
static real sum_of_partials(const real *a, const real *b, int64_t k, real start)
{
    enum { PIECE = 128 / FN_BITS, PIECES = FN_LANES / PIECE };
    real part[FN_LANES] = {0}, piece[PIECES];
    for (int64_t p = 0; p < k; p++)
        part[p % FN_LANES] = FN_FMA(a[p], b[p], part[p % FN_LANES]);
    for (int g = 0; g < PIECES; g++)
        piece[g] = halve(part + g * PIECE, PIECE);
    return start + halve(piece, PIECES);
}

static void run(const test_case *t)
{
    const int64_t m = t->m, n = t->n, k = t->k, c_row = n + t->gap, before = failures;
    if (quick && m * n * k > 1 << 14)
        return;
    real *a_owner, *b_owner;
    const gemm_matrix a = make_matrix(m, k, t->a, t->gap, t->special, &a_owner);
    const gemm_matrix b = make_matrix(k, n, t->b, t->gap, t->special, &b_owner);
    const int64_t c_size = m > 0 ? (m - 1) * c_row + n : 0;
    real *const c_owner = allocate((c_size + 2 * FENCE) * (int64_t)sizeof(real)), *const c = c_owner + FENCE;
    real *const original = allocate(c_size * (int64_t)sizeof(real));
    real *const bias = allocate(n * (int64_t)sizeof(real));
    real *const count = allocate(m * n * (int64_t)sizeof(real));
    for (int64_t j = 0; j < n; j++)
        bias[j] = random_real();
    for (int64_t i = 0; i < c_size; i++)
        original[i] = c[i] = random_real();
    for (int64_t i = 0; i < m * n; i++)
        count[i] = 0;
    set_fence(c_owner);
    set_fence(c + c_size);

    const int64_t bytes = FN_SYM(gemm_workspace)(m, n, k);
    const int64_t packed_size = FN_SYM(gemm_packed_size)(n, k);
    real *const workspace = allocate_aligned(bytes + FENCE * (int64_t)sizeof(real));
    real *const fence = workspace + bytes / (int64_t)sizeof(real);
    set_fence(fence);
    real *const packed = allocate_aligned((packed_size + FENCE) * (int64_t)sizeof(real));
    set_fence(packed + packed_size);
    if (t->packed) {
        const int64_t panel = FN_SYM(gemm_panel)(), panels = (n + panel - 1) / panel, half = panels / 2;
        FN_SYM(gemm_pack_b)(b, n, k, half, panels, packed);
        FN_SYM(gemm_pack_b)(b, n, k, 0, half, packed);
        for (int64_t p = 0; p < panels * panel * k; p++) {
            const int64_t row = p / panel % k, column = p / (panel * k) * panel + p % panel;
            if (!same(packed[p], column < n ? b.data[row * b.row + column * b.column] : 0)) {
                printf("gemm_pack_b: wrong at %" PRId64 "\n", p);
                failures++;
                break;
            }
        }
    }

    expected_c = c;
    const gemm_arguments arguments = {
        .m = m,
        .n = n,
        .k = k,
        .a = a,
        .b = b,
        .packed_b = t->packed ? packed : NULL,
        .c = c,
        .c_row = c_row,
        .accumulate = t->accumulate,
        .by_dots = t->by_dots,
        .epilogue.bias = t->bias ? bias : NULL,
        .epilogue.relu = t->relu,
        .epilogue.finish = t->finish ? finish_block : NULL,
        .epilogue.other = count,
        .epilogue.other_row = n,
    };
    FN_SYM(gemm)(&arguments, workspace);

    check_fence(c_owner, "C");
    check_fence(c + c_size, "C");
    check_fence(fence, "workspace");
    check_fence(packed + packed_size, "packed B");
    for (int64_t i = 0; i < m && failures == before; i++)
        for (int64_t j = 0; j < c_row && i * c_row + j < c_size; j++) {
            const real found = c[i * c_row + j];
            real expected = original[i * c_row + j];
            if (j < n) {
                real sum = t->accumulate ? expected : t->bias ? bias[j] : 0;
                const real *const a_row = a.data + i * a.row, *const b_column = b.data + j * b.column;
                if (t->by_dots && !t->packed && a.column == 1 && b.row == 1)
                    sum = sum_of_partials(a_row, b_column, k, sum);
                else
                    sum = sum_in_order(a_row, a.column, b_column, b.row, k, sum);
                if (t->relu)
                    sum = sum < 0 ? 0 : sum;
                expected = t->finish ? sum * 2 + 1 : sum;
                if (t->finish && count[i * n + j] != 1) {
                    printf("finish: %g times at %" PRId64 ", %" PRId64 "\n", (double)count[i * n + j], i, j);
                    failures++;
                }
            }
            if (!same(found, expected)) {
                printf("C[%" PRId64 "][%" PRId64 "] is %.17g, not %.17g\n", i, j, (double)found, (double)expected);
                failures++;
                break;
            }
        }
    if (failures != before)
        printf("in m %" PRId64 " n %" PRId64 " k %" PRId64 " gap %" PRId64
               " a %d b %d packed %d accumulate %d bias %d relu %d finish %d special %d by_dots %d\n",
               m, n, k, t->gap, t->a, t->b, t->packed, t->accumulate, t->bias, t->relu, t->finish, t->special, t->by_dots);
    free(a_owner);
    free(b_owner);
    free(c_owner);
    free(original);
    free(bias);
    free(count);
    free(workspace);
    free(packed);
}

/* Everything but the size is random. */
static void run_random(int64_t m, int64_t n, int64_t k)
{
    test_case t = {.m = m, .n = n, .k = k};
    t.gap = random_below(2) ? 0 : random_below(20);
    t.a = (layout)(random_below(7) % 3);
    t.b = (layout)(random_below(7) % 3);
    t.packed = random_below(3) == 0;
    t.accumulate = random_below(3) == 0;
    t.bias = !t.accumulate && random_below(2);
    t.relu = random_below(3) == 0;
    t.finish = random_below(3) == 0;
    t.special = random_below(4) == 0;
    t.by_dots = random_below(2);
    run(&t);
}

static void check_workspace_grows(void)
{
    for (int i = 0; i < 10000; i++) {
        const int64_t limit = i % 2 ? 40 : 3000;
        const int64_t m = random_below(limit), n = random_below(limit), k = random_below(limit);
        const int64_t small = FN_SYM(gemm_workspace)(m, n, k);
        const int64_t large = FN_SYM(gemm_workspace)(m + random_below(limit), n + random_below(limit), k + random_below(limit));
        if (small < 0 || small > large) {
            printf("gemm_workspace(%" PRId64 ", %" PRId64 ", %" PRId64 ") is %" PRId64 ", but %" PRId64 " for a larger product\n",
                   m, n, k, small, large);
            failures++;
        }
    }
}

int main(void)
{
    quick = getenv("FASTNET_QUICK") != NULL;
    check_workspace_grows();
    /* Every small size, in every combination of layouts. */
    for (int64_t m = 0; m <= 18; m++)
        for (int64_t n = 0; n <= 36; n++)
            run_random(m, n, random_below(40));
    for (int i = 0; i < 27; i++)
        for (int64_t size = 0; size < 20; size++) {
            const test_case t = {
                .m = 3 + size * 5,
                .n = size % 3 ? size : 3 * size,
                .k = 2 * size,
                .a = (layout)(i % 3),
                .b = (layout)(i / 3 % 3),
                .accumulate = i / 9 == 1,
                .relu = i / 9 == 2,
            };
            run(&t);
        }
    for (int i = 0; i < 1500 && failures < 20; i++)
        run_random(random_below(100), random_below(150), random_below(100));
    /* Vectors, and sizes of several blocks in one direction or in all. */
    for (int i = 0; i < 40 && failures < 20; i++) {
        run_random(1, random_below(i % 4 ? 1000 : 10000), random_below(1000));
        run_random(random_below(1000), 1, random_below(1000));
        run_random(1, random_below(10), random_below(300));
        run_random(random_below(10), 1, random_below(300));
        run_random(random_below(6), random_below(3000), random_below(200));
        run_random(1 + random_below(4), 30 + random_below(200), random_below(100));
        run_random(random_below(3000), random_below(6), random_below(200));
        run_random(random_below(20), random_below(20), random_below(5000));
        run_random(300 + random_below(300), 200 + random_below(200), random_below(40));
    }
    /* Few terms: C is written row by row, some rows at a time, or one of a C that is larger than the caches. */
    for (int i = 0; i < 300 && failures < 20; i++) {
        run_random(random_below(i % 3 ? 40 : 600), 1 + random_below(i % 4 ? 100 : 1500), 1 + random_below(8));
        run_random(1 + random_below(12), 1 + random_below(12), 1 + random_below(i % 2 ? 8 : 80));
        run_random(1 + random_below(200), 1, 1 + random_below(8));
    }
    for (int i = 0; i < 6 && failures < 20; i++)
        run_random(1500, 1500 + random_below(20), 1 + random_below(3));
    /* Rows of B that lie half a page or a whole one apart; those of a part of a matrix, too. */
    for (int i = 0; i < 24 && failures < 20; i++) {
        const int64_t row = (i % 2 ? 4096 : 2048) / (int64_t)sizeof(real), n = i % 3 ? row : 15 + random_below(60);
        const test_case t = {.m = 5 + random_below(40),
                             .n = n,
                             .gap = row - n,
                             .k = 20 + random_below(50),
                             .accumulate = i % 4 == 1,
                             .bias = i % 4 == 2};
        run(&t);
    }
    /* A is packed for few columns where its own are far apart. */
    for (int i = 0; i < 27 && failures < 20; i++)
        run_random(500 + random_below(200), 30 + random_below(150), 120 + random_below(60));
    /* C is larger than the caches and k is small. */
    for (int i = 0; i < 18 && failures < 20; i++)
        run_random(500 + random_below(200), 1050 + random_below(500), 12 + random_below(56));
    run_random(16, 32801, 17);
    run_random(5, 120001, 30);
    for (int i = 0; i < 3 && failures < 20; i++) {
        run_random(50, 2500 + random_below(100), 300 + random_below(300));
        run_random(1000 + random_below(200), 40 + random_below(300), 700 + random_below(100));
        run_random(300, 300 + random_below(300), 1000 + random_below(100));
    }
    printf("%s\n", failures ? "FAILED" : "ok");
    return failures != 0;
}
