/* Matrix products by blocks; see gemm.h for what is computed and gemm_kernel.h for how a tile is.
 *
 *   for each block of columns of C
 *     for each block of k                  the part of B is packed while the first block of rows is computed
 *       for each block of rows of C        its part of A, packed or read in place, stays in the L2 cache
 *         for each span of columns         as wide as a tile; its part of B stays in the L1 or L2 cache
 *           for each tile of the span      the micro-kernel, which prefetches for the next tile
 *             pack a share of B for the next span
 *           finish the spans that are complete
 *
 * Where that is cheaper, C^T = B^T A^T is computed instead, and transposed: if C is narrow, so that the
 * lanes of a vector would be idle, or if B would have to be transposed and is larger than A and C.
 */
#include "gemm.h"

#include "gemm_chains.h"
#include "gemm_direct.h"
#include "gemm_dots.h"
#include "gemm_few.h"
#include "gemm_kernel.h"
#include "gemm_pack.h"
#include "gemm_row.h"
#include "gemm_strip.h"

enum {
    WIDEST_SPAN = LOW_TILE_VECTORS * FN_LANES,

    /* Blocks: about 0.4 MB of A for the L2 cache; 4 MB of B, that A need not be packed often. */
    BLOCK_K = 2048 / (int)sizeof(real),
    BLOCK_ROWS = FN_BLOCK_ROWS,
    BLOCK_COLUMNS = 2048,
    SIZE_IN_PLACE = 524288 / (int)sizeof(real), /* elements of A that are read in place, by rows */
    LOW_BLOCK_K = 256 / (int)sizeof(real),      /* where C is low: B is read once, by rows that should be long */

    PACK_WIDTH = 2 * PANEL_COLUMNS, /* columns of B for which it may pay to pack A */
    FEW_ROWS = 16,

    FINISH_SIZE = 32768, /* elements of C that wait to be finished */
    SWAP_SIZE = 65536    /* elements of C^T at a time */
};

_Static_assert(BLOCK_ROWS % TILE_ROWS == 0, "a block of A is whole tiles");

/* A block of C as the product of blocks of A and B. */
typedef struct block {
    int64_t m, n, k;
    gemm_matrix a, b;
    int64_t height;     /* rows of all of C, with few of which tiles may be wide */
    bool b_packed;      /* by the caller: b is panels of PANEL_COLUMNS columns, b.column elements apart */
    bool fill_panels;   /* B has yet to be packed */
    real *packed_a;     /* room for A in panels of PANEL_ROWS rows; NULL: read in place */
    bool fill_a;        /* A has yet to be packed */
    real *panels;       /* room for B in one panel for each span; NULL: read in place */
    int64_t panel_step; /* from column to column of panels; 0: two panels take turns */
    const real *start;  /* what the sums start from: rows start_row apart, columns 1, or 0 for zeros */
    int64_t start_row, start_column;
    real *c;
    int64_t c_row;
    bool relu;
} block;

/* The columns of C from j that the tiles of one column of tiles compute. */
typedef struct span {
    int64_t number, j, columns;
    int vectors;
} span;

static span find_span(const block *x, int64_t number, int64_t j)
{
    const int width = choose_width(x->n - j, x->height, x->b_packed);
    return (span){number, j, least(width * FN_LANES, x->n - j), width};
}

FN_INLINE real *find_panel(const block *x, const span *s)
{
    return x->panels + (x->panel_step ? s->j * x->panel_step : s->number % 2 * WIDEST_SPAN * x->k);
}

/* Where a span's part of B is read: row 0, and the distance between rows. */
static gemm_matrix find_b(const block *x, const span *s)
{
    if (x->b_packed)
        return (gemm_matrix){x->b.data + s->j / PANEL_COLUMNS * x->b.column, PANEL_COLUMNS, 1};
    if (x->panels)
        return (gemm_matrix){find_panel(x, s), s->vectors * FN_LANES, 1};
    return (gemm_matrix){x->b.data + s->j, x->b.row, 1};
}

/* Packs rows p to p_end of a span's part of B. */
static void pack_span(const block *x, const span *s, int64_t p, int64_t p_end)
{
    const int64_t width = s->vectors * FN_LANES;
    const gemm_matrix sub = {x->b.data + p * x->b.row + s->j * x->b.column, x->b.row, x->b.column};
    pack_panel(sub, p_end - p, s->columns, find_panel(x, s) + p * width, width);
}

/* Rows of a tile of column `tile` of tiles: they are as equal as possible, some have one row more than others. */
FN_INLINE int64_t rows_of_tile(const block *x, int64_t tiles, int64_t tile)
{
    const int64_t fewest = tiles > 1 ? x->m / tiles : x->m;
    return fewest + (tile < x->m - fewest * tiles);
}

/* Of a transposed A a panel is a few elements of each of many rows, which are far apart: all panels are packed together,
 * FEW_ROWS rows at a time. */
static void pack_all_of_a(const block *x)
{
    const int64_t tiles = divide_up(x->m, TILE_ROWS);
    for (int64_t p = 0; p < x->k; p += FEW_ROWS)
        for (int64_t tile = 0, i = 0; tile < tiles; i += rows_of_tile(x, tiles, tile++)) {
            const real *const a = x->a.data + i + p * x->a.column;
            /* Of each line of the rows that come next, once. A short A has just been made and is in cache. */
            if (x->k > 8 * FEW_ROWS && i % CACHE_LINE < TILE_ROWS && p + 2 * FEW_ROWS <= x->k)
                for (int64_t r = FEW_ROWS; r < 2 * FEW_ROWS; r++)
                    __builtin_prefetch(a + r * x->a.column);
            pack_panel((gemm_matrix){a, x->a.column, 1}, least(x->k - p, FEW_ROWS), least(x->m - i, PANEL_ROWS),
                       x->packed_a + (tile * x->k + p) * PANEL_ROWS, PANEL_ROWS);
        }
}

/* The tiles of a span, and what the next span needs. */
static void multiply_span(const block *x, const span *s, const span *next)
{
    const gemm_matrix b = find_b(x, s);
    const bool fill = x->fill_panels && next->columns > 0;
    tile_column column = {
        .k = x->k,
        .a_row = x->packed_a ? 1 : x->a.row,
        .a_column = x->packed_a ? PANEL_ROWS : x->a.column,
        .b_row = b.row,
        .last = s->columns - FN_LANES,
        .mask = mask_lanes(least(s->columns, FN_LANES)),
        .start_row = x->start_row,
        .c_row = x->c_row,
        .relu = x->relu,
    };
    /* What is prefetched of the next span while a tile is computed: what will be packed after it, or
     * a share of what will be read. */
    gemm_matrix ahead = b;
    if (fill)
        ahead = (gemm_matrix){x->b.data + next->j * x->b.column, x->b.row, x->b.column};
    else if (next->columns > 0)
        ahead = find_b(x, next);
    const bool by_rows = ahead.column == 1;
    column.b_ahead_row = by_rows ? ahead.row : ahead.column;

    const real *a = x->a.data, *start = x->start + s->j * x->start_column;
    real *c = x->c + s->j, *packed_a = x->packed_a;
    const int64_t tiles = divide_up(x->m, TILE_ROWS);
    int64_t share = x->k, p = 0;
    if (tiles > 1 && next->columns > 0)
        share = divide_up(divide_up(x->k, tiles), CACHE_LINE) * CACHE_LINE;
    const int64_t rows_ahead = by_rows ? share : PANEL_COLUMNS;
    column.two_rows_ahead = rows_ahead * PREFETCH_STEPS > x->k;
    const bool packed = packed_a && (x->b_packed || x->panels) && s->vectors == TILE_VECTORS;
    for (int64_t tile = 0, i = 0; tile < tiles; tile++) {
        const int64_t rows = rows_of_tile(x, tiles, tile);
        const tile_kernel kernel = choose_kernel(rows, s->vectors, packed);
        column.c_ahead = tile + 1 < tiles ? c + rows * x->c_row : x->c + next->j;
        column.c_ahead_last = column.c_ahead + rows * x->c_row;
        column.b_ahead = ahead.data + p * ahead.row;
        column.b_ahead_last = column.b_ahead + (rows_ahead - 1) * column.b_ahead_row;
        if (packed_a) {
            if (s->number == 0 && x->fill_a)
                /* More rows than the tile has are quicker to transpose than an odd number. */
                pack_panel((gemm_matrix){a, x->a.column, x->a.row}, x->k, least(x->m - i, PANEL_ROWS), packed_a, PANEL_ROWS);
            kernel(&column, packed_a, b.data, start, c);
            packed_a += PANEL_ROWS * x->k;
        } else {
            kernel(&column, a, b.data, start, c);
        }
        const int64_t p_end = least(x->k, p + share);
        if (fill)
            pack_span(x, next, p, p_end);
        p = p_end;
        a += rows * x->a.row;
        start += rows * x->start_row;
        c += rows * x->c_row;
        i += rows;
    }
}

/* finish: the epilogue if the block is complete, else NULL; i, j: where the block is in C. */
static void multiply_block(const block *x, const gemm_epilogue *finish, int64_t i, int64_t j)
{
    int64_t finished = 0;
    span s = find_span(x, 0, 0);
    if (x->fill_panels)
        pack_span(x, &s, 0, x->k);
    while (s.columns > 0) {
        const span next = find_span(x, s.number + 1, s.j + s.columns);
        multiply_span(x, &s, &next);
        if (finish && (next.columns == 0 || (next.j - finished) * x->m >= FINISH_SIZE)) {
            finish->finish(finish, x->c + finished, x->c_row, i, j + finished, x->m, next.j - finished);
            finished = next.j;
        }
        s = next;
    }
}

/* Reading A in place is as good, unless it is read many times and its rows are long or its columns far apart; columns that are
 * very far apart fall on few sets of the caches. */
FN_INLINE bool pays_to_pack_a(int64_t n, int64_t k, int64_t a_column)
{
    if (a_column * (int64_t)sizeof(real) >= 2048 && n > PACK_WIDTH && k > 128)
        return true;
    return n > 8 * PANEL_COLUMNS && (k > FN_LONG_ROW || a_column * (int64_t)sizeof(real) >= 1024);
}

FN_INLINE bool should_pack_b(const gemm_arguments *x)
{
    if (x->packed_b)
        return false;
    if (x->b.column != 1 || (!FN_HAS_LANE_MASKS && x->n < FN_LANES))
        return true;
    if (reads_b_too_slowly(x))
        return true;
    /* Rows far apart fall on few sets of the caches; of the second level, too, where B is large and they are pages apart. */
    const int64_t bytes = x->b.row * (int64_t)sizeof(real);
    const int64_t rows = bytes % 4096 == 0 && x->b.row * x->k >= LARGE_SIZE ? TILE_ROWS : 3 * TILE_ROWS;
    return bytes >= 2048 && x->m > rows && x->k > 128;
}

static void set_start(block *sub, const gemm_arguments *x, bool first, int64_t j)
{
    const real *const bias = x->epilogue.bias;
    const bool from_c = !first || x->accumulate;
    sub->start = from_c ? sub->c : bias ? bias + j : zeros;
    sub->start_row = from_c ? x->c_row : 0;
    sub->start_column = from_c || bias ? 1 : 0;
}

static void multiply(const gemm_arguments *x, real *workspace)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    const bool pack_a = pays_to_pack_a(x->n, x->k, x->a.column), pack_b = should_pack_b(x);
    const bool low = x->m <= LOW_TILE_ROWS && !x->packed_b;
    const int64_t k_block = balance(x->k, low ? LOW_BLOCK_K : BLOCK_K);
    const int64_t in_place =
        x->a.column == 1 ? divide_up(SIZE_IN_PLACE / (k_block > 0 ? k_block : 1), TILE_ROWS) * TILE_ROWS : x->m;
    const int64_t m_block = balance(x->m, pack_a ? BLOCK_ROWS : in_place);
    const bool keep_panels = pack_b && m_block < x->m;
    const int64_t n_panels = divide_up(balance(x->n, BLOCK_COLUMNS), PANEL_COLUMNS);
    const int64_t n_block = k_block < x->k || keep_panels ? n_panels * PANEL_COLUMNS : x->n;

    block sub = {.height = x->m, .b_packed = x->packed_b, .c_row = x->c_row};
    sub.packed_a = pack_a ? workspace : NULL;
    sub.panels = pack_b ? workspace + (pack_a ? divide_up(m_block, TILE_ROWS) * PANEL_ROWS : 0) * k_block : NULL;
    for (int64_t j = 0; j < x->n; j += n_block) {
        sub.n = least(x->n - j, n_block);
        int64_t p = 0;
        do {
            sub.k = least(x->k - p, k_block);
            sub.panel_step = keep_panels ? sub.k : 0;
            if (x->packed_b)
                sub.b = (gemm_matrix){x->packed_b + j * x->k + p * PANEL_COLUMNS, PANEL_COLUMNS, PANEL_COLUMNS * x->k};
            else
                sub.b = (gemm_matrix){x->b.data + p * x->b.row + j * x->b.column, x->b.row, x->b.column};
            const bool complete = p + sub.k == x->k;
            sub.relu = complete && epilogue->relu;
            for (int64_t i = 0; i < x->m; i += m_block) {
                sub.m = least(x->m - i, m_block);
                sub.fill_panels = pack_b && !(keep_panels && i > 0);
                sub.a = (gemm_matrix){x->a.data + i * x->a.row + p * x->a.column, x->a.row, x->a.column};
                sub.c = x->c + i * x->c_row + j;
                set_start(&sub, x, p == 0, j);
                sub.fill_a = sub.a.row != 1;
                if (pack_a && !sub.fill_a)
                    pack_all_of_a(&sub);
                multiply_block(&sub, complete && epilogue->finish ? epilogue : NULL, i, j);
            }
            p += sub.k;
        } while (p < x->k);
    }
}

/* Of a B that stays in the second-level cache, transposing it for each of two strips of rows costs less than to pack it. */
static bool suits_strips(const gemm_arguments *x)
{
    const int64_t rows = MANY_REGISTERS && x->n * x->k <= LARGE_SIZE / 4 ? 2 * STRIP_ROWS : STRIP_ROWS;
    return !x->packed_b && x->b.row == 1 && x->b.column != 1 && x->m <= rows && x->n >= FN_LANES && x->k >= PIECE;
}

static void multiply_strips(const gemm_arguments *x)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    strip_pair pair = {
        .k = x->k,
        .a = x->a,
        .b = x->b.data,
        .b_column = x->b.column,
        .start = x->accumulate    ? x->c
                 : epilogue->bias ? epilogue->bias
                                  : zeros,
        .start_row = x->accumulate ? x->c_row : 0,
        .c = x->c,
        .c_row = x->c_row,
        .relu = epilogue->relu,
    };
    const real *start = pair.start;
    const int64_t start_step = start == zeros ? 0 : FN_LANES, most = balance(x->m, STRIP_ROWS);
    real *c = x->c;
    for (int64_t left = x->n; left > 0;) {
        /* One first where their number is odd, that the last two may overlap. */
        const int strips = divide_up(left, FN_LANES) % 2 ? 1 : 2;
        pair.second = least(left, 2 * FN_LANES) - FN_LANES;
        pair.a.data = x->a.data;
        pair.start = start;
        pair.c = c;
        strip_kernels[most][strips](&pair);
        if (most < x->m) {
            pair.a.data += most * x->a.row;
            pair.start += most * pair.start_row;
            pair.c += most * x->c_row;
            strip_kernels[x->m - most][strips](&pair);
        }
        pair.b += strips * FN_LANES * x->b.column;
        start += strips * start_step;
        c += strips * FN_LANES;
        left -= strips * FN_LANES;
    }
    if (epilogue->finish)
        epilogue->finish(epilogue, x->c, x->c_row, 0, 0, x->m, x->n);
}

static void multiply_as_is(const gemm_arguments *x, real *workspace)
{
    if (suits_sweep(x))
        multiply_sweep(x);
    else if (suits_strips(x))
        multiply_strips(x);
    else
        multiply(x, workspace);
}

/* Columns of C^T to compute at a time; 0: C^T should not be computed. */
static int64_t choose_swap(const gemm_arguments *x)
{
    if (x->packed_b)
        return 0;
    /* Costs in multiply-adds of vectors, half of one for an element that is transposed. */
    const int64_t direct = x->m * divide_up(x->n, FN_LANES) * x->k + (x->b.column != 1 ? x->n * x->k / 2 : 0);
    const int64_t swapped = x->n * divide_up(x->m, FN_LANES) * x->k + (x->a.row != 1 ? x->m * x->k / 2 : 0) +
                            x->m * x->n / (x->accumulate ? 1 : 2) + 200;
    if (swapped >= direct)
        return 0;
    const int64_t columns = SWAP_SIZE / x->n / PANEL_COLUMNS * PANEL_COLUMNS;
    return columns >= x->m ? x->m : columns >= 4 * PANEL_COLUMNS ? columns : 0;
}

/* By C^T = B^T A^T, `columns` columns of it at a time, transposed into C when complete. */
static void multiply_swapped(const gemm_arguments *x, int64_t columns, real *workspace)
{
    const gemm_epilogue *const epilogue = &x->epilogue;
    real *const transposed = workspace;
    workspace += divide_up(x->n * columns, FN_LANES) * FN_LANES;
    for (int64_t i = 0; i < x->m; i += columns) {
        const int64_t rows = least(x->m - i, columns);
        const bool in_place = x->n == 1 && x->c_row == 1;
        real *const c = x->c + i * x->c_row;
        const gemm_arguments sub = {
            .m = x->n,
            .n = rows,
            .k = x->k,
            .a = {x->b.data, x->b.column, x->b.row},
            .b = {x->a.data + i * x->a.row, x->a.column, x->a.row},
            .c = in_place ? c : transposed,
            .c_row = rows,
            .accumulate = x->accumulate || epilogue->bias,
            .epilogue.relu = epilogue->relu,
        };
        if (x->accumulate && !in_place)
            transpose(c, x->c_row, rows, x->n, transposed, rows, rows);
        if (epilogue->bias)
            for (int64_t j = 0; j < x->n; j++)
                for (int64_t r = 0; r < rows; r++)
                    sub.c[j * rows + r] = epilogue->bias[j];
        multiply_as_is(&sub, workspace);
        if (!in_place)
            transpose(transposed, rows, x->n, rows, c, x->c_row, x->n);
        if (epilogue->finish)
            epilogue->finish(epilogue, c, x->c_row, i, 0, rows, x->n);
    }
}

void FN_SYM(gemm)(const gemm_arguments *arguments, void *workspace)
{
    if (arguments->m <= 0 || arguments->n <= 0)
        return;
    if (suits_dots(arguments)) {
        multiply_dots(arguments);
        return;
    }
    if (suits_chains(arguments)) {
        multiply_chains(arguments);
        return;
    }
    if (suits_column_sweep(arguments)) {
        multiply_column_sweep(arguments, workspace);
        return;
    }
    if (has_few_terms(arguments)) {
        multiply_few(arguments, workspace);
        return;
    }
    if (multiply_direct(arguments, workspace))
        return;
    const int64_t columns = choose_swap(arguments);
    if (columns > 0)
        multiply_swapped(arguments, columns, workspace);
    else
        multiply_as_is(arguments, workspace);
}

int64_t FN_SYM(gemm_workspace)(int64_t m, int64_t n, int64_t k)
{
    /* As multiply() needs it, also for C^T, and C^T itself. */
    const int64_t size = m > n ? m : n, k_block = least(k, BLOCK_K);
    const bool may_pack_a = size > PACK_WIDTH;
    const int64_t rows = may_pack_a ? divide_up(least(size, BLOCK_ROWS), TILE_ROWS) * PANEL_ROWS : 0;
    const int64_t all_columns = divide_up(least(size, BLOCK_COLUMNS), FN_LANES) * FN_LANES;
    const int64_t kept = size > BLOCK_ROWS ? all_columns * k_block : 0;
    const int64_t turns = 2 * WIDEST_SPAN * k_block, panels = kept > turns ? kept : turns;
    const int64_t swapped = divide_up(least(m * n, SWAP_SIZE), FN_LANES) * FN_LANES;
    const int64_t blocks = rows * k_block + panels + swapped, direct = direct_workspace(size, k);
    return (blocks > direct ? blocks : direct) * (int64_t)sizeof(real);
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
