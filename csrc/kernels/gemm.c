/* Matrix products by blocks; see gemm.h for what is computed and gemm_kernel.h for how a tile is.
 *
 *   for each block of rows of C            m_block rows: their part of A stays in the L2 cache
 *     for each block of k                  k_block: a tile's parts of A and B stay in the L1 cache
 *       pack that block of A               (or read A in place)
 *       for each column of tiles           pack that panel of B (or read B in place)
 *         for each tile                    the micro-kernel
 *       finish columns that are complete   (after the last block of k)
 *
 * Where C is narrow, C^T = B^T A^T is computed instead, a few columns at a time, and transposed.
 */
#include "gemm.h"

#include "gemm_kernel.h"
#include "gemm_pack.h"

#ifndef KC
#define KC 1536
#define MC 36
#endif
enum {
    BLOCK_K = KC / (int)sizeof(real),
    BLOCK_ROWS = TILE_ROWS * MC,
    PANEL_COLUMNS = TILE_VECTORS * FN_LANES,
    WIDEST_TILE = LOW_TILE_VECTORS * FN_LANES,
    PANEL_ROWS = (TILE_ROWS + FN_LANES - 1) / FN_LANES * FN_LANES, /* of a packed A */
    SWAP_COLUMNS = 256, /* of C^T at a time */
    FINISH_BYTES = 1 << 17
};

static const tile_kernel kernels[TILE_ROWS + 1][2] = {
#define ROW(rows) {tile_##rows##x1, tile_##rows##x2}
    {0, 0}, ROW(1), ROW(2), ROW(3), ROW(4),
#if FN_VECTOR_BYTES == 32
    ROW(5), ROW(6),
#elif FN_VECTOR_BYTES == 64 || defined(__aarch64__)
    ROW(5), ROW(6), ROW(7), ROW(8), ROW(9), ROW(10), ROW(11), ROW(12),
#endif
#if FN_VECTOR_BYTES == 64
    ROW(13), ROW(14),
#endif
#undef ROW
};

static const tile_kernel low_kernels[LOW_TILE_ROWS + 1] = {
    0, tile_1x4, tile_2x4,
#if FN_VECTOR_BYTES == 64 || defined(__aarch64__)
    tile_3x4, tile_4x4, tile_5x4, tile_6x4,
#endif
};

static const real zeros[WIDEST_TILE];

FN_INLINE int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* The size of the parts when `size` is divided into as few and as equal ones as `limit` allows. */
FN_INLINE int64_t balance(int64_t size, int64_t limit)
{
    return size <= limit ? size : divide_up(size, divide_up(size, limit));
}

/* Vectors in the next column of tiles, of `columns` that are left. */
FN_INLINE int choose_vectors(int64_t rows, int64_t columns, bool packed)
{
    if (packed)
        return columns > FN_LANES ? 2 : 1;
    const int64_t vectors = divide_up(columns, FN_LANES);
    /* An odd vector goes first, so that the last tile can move its last vector to the left. */
    return vectors & 1 ? 1 : vectors >= LOW_TILE_VECTORS && rows <= LOW_TILE_ROWS ? LOW_TILE_VECTORS : 2;
}

/* A block of C as the product of blocks of A and B. */
typedef struct block {
    int64_t m, n, k;
    gemm_matrix a, b;
    real *packed_a;    /* room for the rows of A, in panels of PANEL_ROWS, or NULL: read in place */
    bool packed_b;     /* b: panels of PANEL_COLUMNS columns, b.column elements apart */
    real *panel[2];    /* room for panels of B, or NULL: read in place */
    const real *start; /* what the sums start from: rows start_row apart; columns 1, or 0 for zeros */
    int64_t start_row, start_column;
    real *c;
    int64_t c_row;
    bool relu;
} block;

/* A column of tiles: `columns` columns of C from j. */
typedef struct span {
    int64_t j, columns;
    int vectors;
} span;

FN_INLINE span next_span(const block *x, int64_t j)
{
    const int vectors = choose_vectors(x->m, x->n - j, x->packed_b);
    return (span){j, least(vectors * FN_LANES, x->n - j), vectors};
}

/* Packs rows p to p_end of the columns of B that a span needs. */
static void pack_span(const block *x, const span *s, int64_t p, int64_t p_end, real *panel)
{
    const int64_t width = s->vectors * FN_LANES;
    const real *b = x->b.data + p * x->b.row + s->j * x->b.column;
    pack_panel((gemm_matrix){b, x->b.row, x->b.column}, p_end - p, s->columns, panel + p * width, width);
}

static void multiply_span(const block *x, const span *s, const span *next, const real *panel, real *next_panel)
{
    tile_column column = {
        .k = x->k,
        .a_row = x->packed_a ? 1 : x->a.row,
        .a_column = x->packed_a ? PANEL_ROWS : x->a.column,
        .b_row = panel ? s->vectors * FN_LANES : x->b.row,
        .last = s->columns - FN_LANES,
        .mask = mask_lanes(least(s->columns, FN_LANES)),
        .start_row = x->start_row,
        .c_row = x->c_row,
        .relu = x->relu,
    };
    const real *a = x->a.data, *start = x->start + s->j * x->start_column;
    const real *b = x->packed_b ? x->b.data + s->j / PANEL_COLUMNS * x->b.column : panel ? panel : x->b.data + s->j;
    const real *next_b = next->columns ? x->packed_b ? x->b.data + next->j / PANEL_COLUMNS * x->b.column : x->b.data + next->j * x->b.column : b;
    column.b_ahead_step = !next->columns ? 0 : x->packed_b ? PANEL_COLUMNS : !panel ? 0 : x->b.column == 1 ? x->b.row : x->b.column;
    const int64_t next_row = !next->columns ? 0 : x->packed_b ? PANEL_COLUMNS : panel ? x->b.row : 0;
    real *c = x->c + s->j, *packed_a = x->packed_a;
    const int64_t all_tiles = divide_up(x->m, TILE_ROWS), fed = next_panel ? divide_up(x->k, all_tiles) : FEEDX;
    int64_t tiles = all_tiles, p = 0;
    for (int64_t i = 0; i < x->m; tiles--) {
        const int64_t rows = divide_up(x->m - i, tiles);
        const tile_kernel kernel = s->vectors > 2 ? low_kernels[rows] : kernels[rows][s->vectors - 1];
        column.c_ahead = tiles > 1 ? c + rows * x->c_row : x->c + next->j;
        column.b_ahead = next_b + p * next_row;
        if (packed_a) {
            if (s->j == 0)
                pack_panel((gemm_matrix){x->a.data + i * x->a.row, x->a.column, x->a.row}, x->k, rows, packed_a, PANEL_ROWS);
            a = packed_a;
            packed_a += PANEL_ROWS * x->k;
        }
        kernel(&column, a, b, start, c);
        const int64_t p_end = least(x->k, p + fed);
        if (next_panel && p < p_end)
            pack_span(x, next, p, p_end, next_panel);
        p = p_end;
        a += rows * x->a.row;
        start += rows * x->start_row;
        c += rows * x->c_row;
        i += rows;
    }
}

static void multiply(const gemm_arguments *x, real *workspace)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
#ifndef PB
#define PB (x->b.row * 4 >= 2048 && x->m > 3 * TILE_ROWS && x->k > 128)
#endif
#ifndef PA
#define PA (x->n > 8 * PANEL_COLUMNS && x->k > 256)
#endif
    const bool direct_b = x->packed_b || (x->b.column == 1 && (FN_VECTOR_BYTES > 16 || x->n >= FN_LANES) && !(PB));
    const bool packed_a = PA;
    const int64_t k_block = balance(x->k, BLOCK_K), m_block = packed_a ? balance(x->m, BLOCK_ROWS) : x->m;

    block part = {.packed_b = x->packed_b, .n = x->n, .c_row = x->c_row};
    if (!direct_b) {
        part.panel[0] = workspace;
        part.panel[1] = workspace + WIDEST_TILE * k_block;
        workspace += 2 * WIDEST_TILE * k_block;
    }
    if (packed_a)
        part.packed_a = workspace;
    for (int64_t i = 0; i < x->m; i += m_block) {
        part.m = least(x->m - i, m_block);
        part.c = x->c + i * x->c_row;
        int64_t p = 0;
        do {
            part.k = least(x->k - p, k_block);
            part.a = (gemm_matrix){x->a.data + i * x->a.row + p * x->a.column, x->a.row, x->a.column};
            if (x->packed_b)
                part.b = (gemm_matrix){x->packed_b + p * PANEL_COLUMNS, PANEL_COLUMNS, PANEL_COLUMNS * x->k};
            else
                part.b = (gemm_matrix){x->b.data + p * x->b.row, x->b.row, x->b.column};
            part.start = p || x->accumulate ? part.c : epilogue->bias ? epilogue->bias : zeros;
            part.start_row = p || x->accumulate ? x->c_row : 0;
            part.start_column = part.start != zeros;
            const bool complete = p + part.k == x->k;
            part.relu = complete && epilogue->relu;

            span s = next_span(&part, 0);
            if (part.panel[0])
                pack_span(&part, &s, 0, part.k, part.panel[0]);
            int64_t finished = 0;
            for (int number = 0; s.columns; number++) {
                const span next = next_span(&part, s.j + s.columns);
                real *const next_panel = next.columns ? part.panel[~number & 1] : NULL;
                multiply_span(&part, &s, &next, part.panel[number & 1], next_panel);
                if (complete && epilogue->finish &&
                    (next.columns == 0 || (next.j - finished) * part.m * (int64_t)sizeof(real) >= FINISH_BYTES)) {
                    epilogue->finish(epilogue, part.c + finished, x->c_row, i, finished, part.m, next.j - finished);
                    finished = next.j;
                }
                s = next;
            }
            p += part.k;
        } while (p < x->k);
    }
}

/* C^T = B^T A^T, SWAP_COLUMNS columns of C^T at a time, which are then transposed into C. */
static void multiply_swapped(const gemm_arguments *x, real *workspace)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    real *const transposed = workspace;
    workspace += SWAP_COLUMNS * x->n;
    for (int64_t i = 0; i < x->m; i += SWAP_COLUMNS) {
        const int64_t rows = least(x->m - i, SWAP_COLUMNS);
        real *const c = x->c + i * x->c_row;
        gemm_arguments y = {
            .m = x->n,
            .n = rows,
            .k = x->k,
            .a = {x->b.data, x->b.column, x->b.row},
            .b = {x->a.data + i * x->a.row, x->a.column, x->a.row},
            .c = transposed,
            .c_row = rows,
            .accumulate = x->accumulate || epilogue->bias,
            .epilogue.relu = epilogue->relu,
        };
        const bool in_place = x->n == 1 && x->c_row == 1;
        if (in_place)
            y.c = c;
        else if (x->accumulate)
            transpose(c, x->c_row, rows, x->n, transposed, rows, rows);
        if (epilogue->bias)
            for (int64_t j = 0; j < x->n; j++)
                for (int64_t r = 0; r < rows; r++)
                    y.c[j * rows + r] = epilogue->bias[j];
        multiply(&y, workspace);
        if (!in_place)
            transpose(transposed, rows, x->n, rows, c, x->c_row, x->n);
        if (epilogue->finish)
            epilogue->finish(epilogue, c, x->c_row, i, 0, rows, x->n);
    }
}

void FN_SYM(gemm)(const gemm_arguments *arguments, void *workspace)
{
    const gemm_arguments *const x = arguments;
    if (x->m <= 0 || x->n <= 0)
        return;
    if (!x->packed_b && x->n <= 4 && x->m > x->n)
        multiply_swapped(x, workspace);
    else
        multiply(x, workspace);
}

int64_t FN_SYM(gemm_workspace)(int64_t m, int64_t n, int64_t k)
{
    const int64_t k_block = least(k, BLOCK_K), larger = m > n ? m : n;
    const int64_t a = (least(larger, BLOCK_ROWS) + PANEL_ROWS * 2) * 2 * k_block;
    const int64_t b = 2 * WIDEST_TILE * k_block;
    const int64_t swapped = SWAP_COLUMNS * least(n, 4);
    return (a + b + swapped) * (int64_t)sizeof(real);
}

int64_t FN_SYM(gemm_panel)(void)
{
    return PANEL_COLUMNS;
}

int64_t FN_SYM(gemm_packed_size)(int64_t n, int64_t k)
{
    return divide_up(n, PANEL_COLUMNS) * PANEL_COLUMNS * k;
}

void FN_SYM(gemm_pack_b)(gemm_matrix b, int64_t n, int64_t k, int64_t lo, int64_t hi, real *packed)
{
    for (int64_t panel = lo; panel < hi; panel++) {
        const int64_t j = panel * PANEL_COLUMNS, columns = least(n - j, PANEL_COLUMNS);
        real *const out = packed + j * k;
        pack_panel((gemm_matrix){b.data + j * b.column, b.row, b.column}, k, columns, out, PANEL_COLUMNS);
        for (int64_t p = 0; columns < PANEL_COLUMNS && p < k; p++)
            for (int64_t q = columns; q < PANEL_COLUMNS; q++)
                out[p * PANEL_COLUMNS + q] = 0;
    }
}
