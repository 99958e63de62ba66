/* Convolutions by minimal filtering; see winograd.h for the equations and winograd_transform.h for the transforms. */
#include "winograd.h"

#include "gemm.h"
#include "transpose.h"
#include "winograd_transform.h"

enum {
    BLOCK_BYTES = 768 * 1024, /* of V and Z of the tiles that are computed together */
    LEAST_TILES = 28,
    MOST_TILES = 128,
    SUM_BYTES = 4 * 1024 * 1024, /* of the sums of a gradient, which are made for some channels after others */
    SUM_TILES = 16,              /* at least, of which a gradient is summed by itself */
    CHAIN_TILES = 256,           /* at least, of a gradient, in one chain, as the errors of longer ones would be larger */
    KERNEL_ROWS = 16,            /* channels of the source, of which the kernel is transformed together */
    PAD = 64 / (int)sizeof(real) /* between the points, as distances that are powers of two fall on few sets of the caches */
};

/* ---- the transforms of each method ------------------------------------------------------------------- */

typedef struct winograd_transforms {
    winograd_axis y, x;
    /* n vectors of numbers, at pixel[...] of each. */
    void (*input)(const real *const *pixel, int64_t n, real *v, int64_t step);
    void (*gradient)(const real *const *pixel, int64_t n, real *out, int64_t step);
    void (*kernel)(const real *const *tap, int64_t n, real *u, int64_t step);
    void (*output)(const real *z, int64_t step, int64_t n, const convolution_epilogue *epilogue, const real *bias,
                   real *const *pixel);
    void (*taps)(const real *z, int64_t step, int64_t n, bool add, real *w, int64_t tap_step);
} winograd_transforms;

#if FN_BITS == 32
FN_INLINE void write_outputs(const winograd_axis y, const winograd_axis x, const real *z, int64_t step, int64_t n,
                             const convolution_epilogue *epilogue, const real *bias, real *const *pixel)
{
    for (int64_t j = 0; j < n * FN_LANES; j += FN_LANES) {
        vector out[MOST_TAPS * MOST_TAPS];
        interpolate_tile(y, x, OUTPUT_MATRIX, y.outputs, x.outputs, z + j, step, out);
        const vector start = bias ? load(bias + j) : (vector){0};
        UNROLL
        for (int i = 0; i < y.outputs * x.outputs; i++)
            if (pixel[i]) {
                vector value = out[i] + (epilogue->accumulate ? load(pixel[i] + j) : start);
                store(pixel[i] + j, epilogue->relu ? relu_vector(value) : value);
            }
    }
}

#define DEFINE_TRANSFORMS(name, ay, ax, my, mx, ry, rx)                                                                          \
    static const winograd_axis y_##name = {ay, my, ry}, x_##name = {ax, mx, rx};                                                 \
    static void input_##name(const real *const *pixel, int64_t n, real *v, int64_t step)                                         \
    {                                                                                                                            \
        for (int64_t j = 0; j < n * FN_LANES; j += FN_LANES)                                                                     \
            evaluate_tile(y_##name, x_##name, INPUT_MATRIX, ay, ax, pixel, j, v + j, step);                                      \
    }                                                                                                                            \
    static void gradient_##name(const real *const *pixel, int64_t n, real *out, int64_t step)                                    \
    {                                                                                                                            \
        for (int64_t j = 0; j < n * FN_LANES; j += FN_LANES)                                                                     \
            evaluate_tile(y_##name, x_##name, OUTPUT_MATRIX, my, mx, pixel, j, out + j, step);                                   \
    }                                                                                                                            \
    static void kernel_##name(const real *const *tap, int64_t n, real *u, int64_t step)                                          \
    {                                                                                                                            \
        for (int64_t j = 0; j < n * FN_LANES; j += FN_LANES)                                                                     \
            evaluate_tile(y_##name, x_##name, TAP_MATRIX, ry, rx, tap, j, u + j, step);                                          \
    }                                                                                                                            \
    static void output_##name(const real *z, int64_t step, int64_t n, const convolution_epilogue *epilogue, const real *bias,    \
                              real *const *pixel)                                                                                \
    {                                                                                                                            \
        write_outputs(y_##name, x_##name, z, step, n, epilogue, bias, pixel);                                                    \
    }                                                                                                                            \
    static void taps_##name(const real *z, int64_t step, int64_t n, bool add, real *w, int64_t tap_step)                         \
    {                                                                                                                            \
        for (int64_t j = 0; j < n * FN_LANES; j += FN_LANES) {                                                                   \
            vector out[MOST_TAPS * MOST_TAPS];                                                                                   \
            interpolate_tile(y_##name, x_##name, TAP_MATRIX, ry, rx, z + j, step, out);                                          \
            UNROLL                                                                                                               \
            for (int i = 0; i < ry * rx; i++)                                                                                    \
                store(w + i * tap_step + j, add ? load(w + i * tap_step + j) + out[i] : out[i]);                                 \
        }                                                                                                                        \
    }

DEFINE_TRANSFORMS(2x2, 4, 4, 2, 2, 3, 3)
DEFINE_TRANSFORMS(4x4, 6, 6, 4, 4, 3, 3)
DEFINE_TRANSFORMS(4_3, 1, 6, 1, 4, 1, 3)
DEFINE_TRANSFORMS(4_5, 1, 8, 1, 4, 1, 5)

#define TRANSFORMS(name, ay, ax, my, mx, ry, rx)                                                                                 \
    {{ay, my, ry}, {ax, mx, rx}, input_##name, gradient_##name, kernel_##name, output_##name, taps_##name}
static const winograd_transforms transforms[WINOGRAD_METHODS] = {
    [WINOGRAD_2X2_3X3] = TRANSFORMS(2x2, 4, 4, 2, 2, 3, 3),
    [WINOGRAD_4X4_3X3] = TRANSFORMS(4x4, 6, 6, 4, 4, 3, 3),
    [WINOGRAD_4_3] = TRANSFORMS(4_3, 1, 6, 1, 4, 1, 3),
    [WINOGRAD_4_5] = TRANSFORMS(4_5, 1, 8, 1, 4, 1, 5),
};
#else
static const winograd_transforms transforms[WINOGRAD_METHODS]; /* nothing is computed so: see choose_winograd */
#endif

/* ---- where the tiles are ------------------------------------------------------------------------------- */

/* A convolution as seen from what is computed, the target, of pixels of the source. */
typedef struct tiling {
    const winograd_transforms *t;
    int points;
    int64_t source_height, source_width, source_channels;
    int64_t target_height, target_width, target_channels;
    int64_t before_y, before_x;          /* pixels of padding */
    int64_t tiles_y, tiles_x, per_image; /* tiles */
    const real *zeros;                   /* a pixel outside */
} tiling;

static tiling make_tiling(const convolution *g, winograd_method method, bool transposed)
{
    tiling x = {
        .t = &transforms[method],
        .source_height = transposed ? g->y.out : g->y.in,
        .source_width = transposed ? g->x.out : g->x.in,
        .source_channels = transposed ? g->filters : g->channels,
        .target_height = transposed ? g->y.in : g->y.out,
        .target_width = transposed ? g->x.in : g->x.out,
        .target_channels = transposed ? g->channels : g->filters,
        .before_y = transposed ? g->y.window - 1 - g->y.before : g->y.before,
        .before_x = transposed ? g->x.window - 1 - g->x.before : g->x.before,
    };
    x.points = x.t->y.points * x.t->x.points;
    x.tiles_y = divide_up(x.target_height, x.t->y.outputs);
    x.tiles_x = divide_up(x.target_width, x.t->x.outputs);
    x.per_image = x.tiles_y * x.tiles_x;
    return x;
}

/* The pixels of a tile of rows x columns from pixel (y, x) of an image; those outside are `outside`. */
static void find_pixels(const real *image, int64_t height, int64_t width, int64_t channels, int64_t y, int64_t x, int rows,
                        int columns, const real *outside, const real **pixel)
{
    for (int i = 0; i < rows; i++) {
        const bool inside = y + i >= 0 && y + i < height;
        const real *row = image + ((y + i) * width + x) * channels;
        for (int j = 0; j < columns; j++)
            *pixel++ = inside && x + j >= 0 && x + j < width ? row + j * channels : outside;
    }
}

/* Number `tile` of all images. */
static void find_source_pixels(const tiling *x, const real *source, int64_t tile, const real **pixel)
{
    const int64_t image = tile / x->per_image, ty = tile % x->per_image / x->tiles_x, tx = tile % x->tiles_x;
    find_pixels(source + image * x->source_height * x->source_width * x->source_channels, x->source_height, x->source_width,
                x->source_channels, ty * x->t->y.outputs - x->before_y, tx * x->t->x.outputs - x->before_x, x->t->y.points,
                x->t->x.points, x->zeros, pixel);
}

static void find_target_pixels(const tiling *x, const real *target, int64_t tile, const real *outside, const real **pixel)
{
    const int64_t image = tile / x->per_image, ty = tile % x->per_image / x->tiles_x, tx = tile % x->tiles_x;
    find_pixels(target + image * x->target_height * x->target_width * x->target_channels, x->target_height, x->target_width,
                x->target_channels, ty * x->t->y.outputs, tx * x->t->x.outputs, x->t->y.outputs, x->t->x.outputs, outside, pixel);
}

/* ---- workspaces -------------------------------------------------------------------------------------------- */

/* Elements from U of one point to that of the next. */
static int64_t kernel_step(const tiling *x)
{
    return FN_SYM(gemm_packed_size)(x->target_channels, x->source_channels) + PAD;
}

/* Tiles that are computed together, and where what belongs to them is. */
typedef struct block {
    int64_t tiles;
    int64_t v_step, z_step, sum_step; /* from point to point */
    real *v, *z, *sums;
    int64_t channels; /* of the source, of which sums are made at a time */
    void *workspace;  /* of the products */
    int64_t bytes;
} block;

static block make_block(tiling *x, winograd_pass pass, char *workspace)
{
    const int64_t channels = x->source_channels + x->target_channels;
    const int64_t fitting = BLOCK_BYTES / (x->points * channels * (int64_t)sizeof(real));
    block b = {.tiles = least(most(fitting, LEAST_TILES), MOST_TILES)};
    b.v_step = b.tiles * x->source_channels + PAD;
    b.z_step = b.tiles * x->target_channels + PAD;
    int64_t at = align(channels * (int64_t)sizeof(real));
    if (workspace)
        memset(workspace, 0, (size_t)at);
    x->zeros = (const real *)workspace;
    b.v = (real *)(workspace + at);
    at += align(x->points * b.v_step * (int64_t)sizeof(real));
    b.z = (real *)(workspace + at);
    at += align(x->points * b.z_step * (int64_t)sizeof(real));
    if (pass == WINOGRAD_KERNEL_GRADIENT) {
        const int64_t of_channel = x->points * x->target_channels * (int64_t)sizeof(real);
        b.channels = least(most(SUM_BYTES / of_channel / FN_LANES, 1) * FN_LANES, x->source_channels);
        b.sum_step = b.channels * x->target_channels + PAD;
        b.sums = (real *)(workspace + at);
        at += align(x->points * b.sum_step * (int64_t)sizeof(real));
    }
    b.workspace = workspace + at;
    b.bytes = at + (pass == WINOGRAD_KERNEL_GRADIENT ? FN_SYM(gemm_workspace)(b.channels, x->target_channels, b.tiles)
                                                     : FN_SYM(gemm_workspace)(b.tiles, x->target_channels, x->source_channels));
    return b;
}

int64_t FN_SYM(winograd_products)(const convolution *g, winograd_method method, bool transposed)
{
    const tiling x = make_tiling(g, method, transposed);
    return x.per_image * x.points * x.source_channels * x.target_channels;
}

int64_t FN_SYM(winograd_kernel_size)(const convolution *g, winograd_method method, bool transposed)
{
    const tiling x = make_tiling(g, method, transposed);
    return x.points * kernel_step(&x);
}

int64_t FN_SYM(winograd_workspace)(const convolution *g, winograd_method method, winograd_pass pass)
{
    tiling x = make_tiling(g, method, pass == WINOGRAD_INPUT_GRADIENT);
    if (pass == WINOGRAD_KERNEL)
        return x.t->y.taps * x.t->x.taps * KERNEL_ROWS * most(g->channels, g->filters) * (int64_t)sizeof(real);
    return make_block(&x, pass, NULL).bytes;
}

/* ---- the kernel ------------------------------------------------------------------------------------------ */

int64_t FN_SYM(winograd_kernel_items)(const convolution *g, bool transposed)
{
    return divide_up(transposed ? g->filters : g->channels, KERNEL_ROWS);
}

void FN_SYM(winograd_transform_kernel)(const convolution *g, winograd_method method, bool transposed, const real *w, int64_t lo,
                                       int64_t hi, real *u, void *workspace)
{
    const tiling x = make_tiling(g, method, transposed);
    const int taps = x.t->y.taps * x.t->x.taps;
    const int64_t from = x.source_channels, to = x.target_channels, panel = FN_SYM(gemm_panel)(), step = kernel_step(&x);
    for (int64_t item = lo; item < hi; item++) {
        /* Rows of the source's channels in each tap. */
        const int64_t first = item * KERNEL_ROWS, rows = least(from - first, KERNEL_ROWS);
        const real *taps_of[MOST_TAPS * MOST_TAPS], *tap[MOST_TAPS * MOST_TAPS];
        for (int i = 0; i < taps; i++) {
            taps_of[i] = w + (i * from + first) * to;
            if (transposed) { /* and rotated */
                real *turned = (real *)workspace + i * KERNEL_ROWS * to;
                transpose(w + (taps - 1 - i) * from * to + first, from, to, rows, turned, to, to);
                taps_of[i] = turned;
            }
        }
        for (int64_t j = 0; j < to; j += panel)
            for (int64_t row = 0; row < rows; row++) {
                for (int i = 0; i < taps; i++)
                    tap[i] = taps_of[i] + row * to + j;
                x.t->kernel(tap, least(to - j, panel) / FN_LANES, u + j * from + (first + row) * panel, step);
            }
    }
}

/* ---- output and gradient of the input -------------------------------------------------------------------- */

/* What follows for rows of pixels `row` to `end`, counted through all images. */
static void finish_rows(const tiling *x, const convolution_epilogue *epilogue, real *target, int64_t row, int64_t end)
{
    const int64_t width = x->target_width * x->target_channels;
    for (int64_t n; row < end; row += n) {
        n = least(end, (row / x->target_height + 1) * x->target_height) - row;
        real *out = target + row * width;
        if (epilogue->activation)
            activate_in_place(epilogue->activation, out, epilogue->kept ? epilogue->kept + row * width : NULL, n * width,
                              epilogue->attribute);
        fn_run_epilogue(epilogue->array_epilogue, epilogue->first + row * width, n * width);
    }
}

/* Rows of pixels that are complete when so many tiles are. */
static int64_t count_complete(const tiling *x, int64_t tiles)
{
    const int64_t rows = tiles / x->tiles_x;
    return rows / x->tiles_y * x->target_height + least(rows % x->tiles_y * x->t->y.outputs, x->target_height);
}

void FN_SYM(winograd_convolve)(const convolution *g, winograd_method method, bool transposed, int64_t images, const real *source,
                               const real *u, const convolution_epilogue *epilogue, real *target, void *workspace)
{
    tiling x = make_tiling(g, method, transposed);
    const block b = make_block(&x, transposed ? WINOGRAD_INPUT_GRADIENT : WINOGRAD_OUTPUT, workspace);
    const int64_t from = x.source_channels, to = x.target_channels, tiles = images * x.per_image, step = kernel_step(&x);
    const real *pixel[MOST_POINTS * MOST_POINTS];
    int64_t finished = 0;
    for (int64_t tile = 0; tile < tiles; tile += b.tiles) {
        const int64_t n = least(tiles - tile, b.tiles);
        for (int64_t i = 0; i < n; i++) {
            find_source_pixels(&x, source, tile + i, pixel);
            x.t->input(pixel, from / FN_LANES, b.v + i * from, b.v_step);
        }
        for (int i = 0; i < x.points; i++) {
            const gemm_arguments product = {
                .m = n,
                .n = to,
                .k = from,
                .a = {b.v + i * b.v_step, from, 1},
                .packed_b = u + i * step,
                .c = b.z + i * b.z_step,
                .c_row = to,
            };
            FN_SYM(gemm)(&product, b.workspace);
        }
        for (int64_t i = 0; i < n; i++) {
            find_target_pixels(&x, target, tile + i, NULL, pixel);
            x.t->output(b.z + i * to, b.z_step, to / FN_LANES, epilogue, epilogue->bias, (real *const *)pixel);
        }
        const int64_t complete = count_complete(&x, tile + n);
        finish_rows(&x, epilogue, target, finished, complete);
        finished = complete;
    }
}

/* ---- gradient of the kernel ------------------------------------------------------------------------------- */

int64_t FN_SYM(winograd_tile_rows)(const convolution *g, winograd_method method)
{
    return make_tiling(g, method, false).tiles_y;
}

int64_t FN_SYM(winograd_least_rows)(const convolution *g, winograd_method method)
{
    return divide_up(SUM_TILES, make_tiling(g, method, false).tiles_x);
}

/* The sums of `channels` channels from the first one at `source`, of tiles lo to hi. */
static void sum_products(const tiling *x, const block *b, int64_t channels, int64_t lo, int64_t hi, const real *source,
                         const real *dy)
{
    const int64_t to = x->target_channels;
    const real *pixel[MOST_POINTS * MOST_POINTS];
    for (int64_t tile = lo; tile < hi; tile += b->tiles) {
        const int64_t n = least(hi - tile, b->tiles);
        for (int64_t i = 0; i < n; i++) {
            find_source_pixels(x, source, tile + i, pixel);
            x->t->input(pixel, channels / FN_LANES, b->v + i * channels, b->v_step);
            find_target_pixels(x, dy, tile + i, x->zeros, pixel);
            x->t->gradient(pixel, to / FN_LANES, b->z + i * to, b->z_step);
        }
        for (int i = 0; i < x->points; i++) {
            const gemm_arguments product = {
                .m = channels,
                .n = to,
                .k = n,
                .a = {b->v + i * b->v_step, 1, channels},
                .b = {b->z + i * b->z_step, to, 1},
                .c = b->sums + i * b->sum_step,
                .c_row = to,
                .accumulate = tile > lo,
            };
            FN_SYM(gemm)(&product, b->workspace);
        }
    }
    if (lo == hi)
        memset(b->sums, 0, (size_t)(x->points * b->sum_step) * sizeof(real));
}

void FN_SYM(winograd_gradient)(const convolution *g, winograd_method method, int64_t lo, int64_t hi, int64_t share,
                               int64_t share_end, int64_t shares, const real *source, const real *dy, real *dw, void *workspace)
{
    tiling x = make_tiling(g, method, false);
    const block b = make_block(&x, WINOGRAD_KERNEL_GRADIENT, workspace);
    const int64_t vectors = x.source_channels / FN_LANES, to = x.target_channels;
    const int64_t end = vectors * share_end / shares * FN_LANES, chain = divide_up(CHAIN_TILES, b.tiles) * b.tiles;
    lo *= x.tiles_x;
    hi *= x.tiles_x;
    for (int64_t c = vectors * share / shares * FN_LANES, n; c < end; c += n) {
        n = least(end - c, b.channels);
        int64_t tile = lo;
        do { /* also once for no tiles at all, that dw be written */
            sum_products(&x, &b, n, tile, least(tile + chain, hi), source + c, dy);
            x.t->taps(b.sums, b.sum_step, n * to / FN_LANES, tile > lo, dw + c * to, x.source_channels * to);
            tile += chain;
        } while (tile < hi);
    }
}

/* ---- the choice -------------------------------------------------------------------------------------------- */

enum {
    LEAST_CHANNELS = 16,
    MOST_CHANNELS_4X4 = 1024, /* up to which errors stay below 1e-5 of the largest output, see docs/speed.md */
    MOST_CHANNELS = 4096
};

/* Multiplications of an image for a channel and a filter: by the direct method, which leaves out rows outside the image. */
static int64_t count_direct(const convolution *g, const tiling *x)
{
    int64_t rows = 0;
    for (int64_t ky = 0; ky < g->y.window; ky++)
        rows += most(x->target_height - (ky < x->before_y ? x->before_y - ky : 0) -
                         most(x->target_height - x->before_y + ky - x->source_height, 0),
                     0);
    return rows * x->target_width * g->x.window;
}

static bool pays(const convolution *g, winograd_method method, winograd_pass pass, bool training)
{
    const tiling x = make_tiling(g, method, pass == WINOGRAD_INPUT_GRADIENT);
    const int64_t direct = count_direct(g, &x), filtered = x.per_image * x.points;
    /* The transforms of images take a quarter to a half of the time. That of the kernel is no matter where it is done for a
     * batch. */
    return 5 * direct >= 8 * filtered && (training || direct - filtered >= 10 * x.points);
}

winograd_method FN_SYM(choose_winograd)(const convolution *g, winograd_pass pass, bool training)
{
    const bool plain = g->groups == 1 && g->y.stride == 1 && g->x.stride == 1 && g->y.dilation == 1 && g->x.dilation == 1;
    if (FN_BITS != 32 || !plain || g->channels % FN_LANES || g->filters % FN_LANES || g->channels < LEAST_CHANNELS ||
        g->filters < LEAST_CHANNELS || g->channels > MOST_CHANNELS || g->filters > MOST_CHANNELS)
        return WINOGRAD_NONE;
    winograd_method method = WINOGRAD_NONE;
    const int64_t terms = pass == WINOGRAD_INPUT_GRADIENT ? g->filters : g->channels;
    if (g->y.window == 3 && g->x.window == 3)
        method = terms > MOST_CHANNELS_4X4 ? WINOGRAD_2X2_3X3 : WINOGRAD_4X4_3X3;
    else if (g->y.window == 1 && terms <= MOST_CHANNELS_4X4)
        method = g->x.window == 3 ? WINOGRAD_4_3 : g->x.window == 5 ? WINOGRAD_4_5 : WINOGRAD_NONE;
    return method && pays(g, method, pass, training) ? method : WINOGRAD_NONE;
}
