/* Convolutions by rows of pixels; see convolution.h for what is computed and convolution_kernel.h for how a tile is. */
#include "convolution.h"

#include "convolution_kernel.h"
#include "convolution_window.h"

enum {
    CHUNK_BYTES = 36 * 1024,      /* of the image, and of the gradient, from which a gradient of weights is summed */
    CACHED_BYTES = 512 * 1024,    /* of images and results, beyond which the next rows are prefetched */
    MANY_PRODUCTS = 64,           /* for each number of the result; with less, lines come in faster than they are used */
    MAX_SEGMENTS = 256,           /* rows of pixels in such a chunk */
    BLOCK_PIXELS = 8 * TILE_ROWS, /* of an output row: all their outputs are computed while they are in cache */
    BLOCK_WEIGHTS = 8 * TILE_ROWS /* rows of the gradient of weights: what threads divide */
};

/* What will be needed next: of the images that are read and of the results, or of images and gradients. */
typedef struct rows_ahead {
    ahead_stream stream[STREAMS];
    const real *from[STREAMS], *end[STREAMS];
    int64_t elements[STREAMS];
} rows_ahead;

/* So that it is all prefetched by so many tiles of so many segments. */
static void look_ahead(rows_ahead *ahead, int64_t tiles, int64_t segments)
{
    const int64_t chunks = most(tiles * segments, 1) * CACHE_LINE_BYTES;
    for (int i = 0; i < STREAMS; i++) {
        const int64_t elements = most(least(ahead->elements[i], ahead->end[i] - ahead->from[i]), 0);
        const int64_t bytes = elements * (int64_t)sizeof(real);
        const char *from = (const char *)ahead->from[i];
        ahead->stream[i] = (ahead_stream){from, from + bytes, divide_up(bytes, chunks)};
    }
}

/* One target row, from the source rows at `rows`, the first of which is number `first`. */
static void compute_row(const correlation *c, segment_product *x, int64_t t, const real *rows, int64_t first, const real *w,
                        const convolution_epilogue *epilogue, rows_ahead *ahead, real *target)
{
    const int64_t groups = c->g->groups, from = c->source_channels / groups, to = c->target_channels / groups;
    x->a_row = c->x.advance * c->source_channels;
    x->c_row = c->x.step * c->target_channels;
    for (int64_t px = 0; px < least(c->x.step, c->x.target); px++) {
        const int64_t pixels = divide_up(c->x.target - px, c->x.step);
        int64_t s, y;
        x->segments = find_segments(c, t, px, &s, &y);
        x->a_offset = c->a_offset + s;
        x->b_offset = c->b_offset + s;
        if (ahead)
            look_ahead(ahead, groups * count_tiles(pixels, to), x->segments);
        for (int64_t p = 0; p < pixels; p += BLOCK_PIXELS)
            for (int64_t group = 0; group < groups; group++) {
                real *out = target + (p * c->x.step + px) * c->target_channels + group * to;
                const segment_matrix segment = {
                    .m = least(pixels - p, BLOCK_PIXELS),
                    .n = to,
                    .a = rows + (y - first) * c->window.row + p * x->a_row + group * from,
                    .b = w + group * to,
                    .start = epilogue->accumulate ? out
                             : epilogue->bias     ? epilogue->bias + group * to
                                                  : NULL,
                    .start_row = epilogue->accumulate ? x->c_row : 0,
                    .c = out,
                };
                multiply_segments(x, &segment);
            }
    }
}

/* Windows of one pixel: every pixel is by itself. */
static bool is_pointwise(const convolution *g)
{
    const convolution_axis *y = &g->y, *x = &g->x;
    return y->window == 1 && x->window == 1 && y->stride == 1 && x->stride == 1 && y->in == y->out && x->in == x->out;
}

static void correlate(const convolution *given, bool transposed, int64_t images, const real *source, const real *w,
                      const convolution_epilogue *epilogue, real *target, void *workspace)
{
    convolution flat = *given;
    bool may_split = true;
    if (is_pointwise(given)) { /* all pixels of an image, or of small images, are one row */
        const int64_t pixels = given->y.in * given->x.in;
        may_split = pixels >= BLOCK_PIXELS; /* how many images there are must not show in the result */
        const int64_t merged = may_split ? 1 : images;
        flat.y.in = flat.y.out = 1;
        flat.x.in = flat.x.out = merged * pixels;
        images /= merged;
    }
    const convolution *g = &flat;
    correlation c = make_correlation(g, transposed, 1, workspace);
    c.whole_rows = g->groups == 1 && g->x.dilation == 1 && (!transposed || g->x.stride == 1);
    c.turned = transposed;
    list_segments(&c, c.source_channels / g->groups * c.target_channels);
    clear_rows(&c.window, c.buffer_rows, c.buffer);
    const int64_t source_size = c.y.source * c.x.source * c.source_channels, width = c.x.target * c.target_channels;
    rows_ahead ahead = {
        .end = {source + images * source_size, target + images * c.y.target * width},
        .elements = {divide_up(source_size, c.y.target), width},
    };
    const int64_t products = (g->channels / g->groups) * g->y.window * g->x.window;
    const bool is_large =
        products >= MANY_PRODUCTS && images * (source_size + c.y.target * width) * (int64_t)sizeof(real) > CACHED_BYTES;
    segment_product x = {
        .k = (c.whole_rows ? g->x.window : 1) * (c.source_channels / g->groups),
        .a_column = 1,
        .b_row = c.target_channels,
        .may_split = may_split,
        .relu = epilogue->relu,
        .ahead = is_large ? ahead.stream : NULL,
    };
    for (int64_t image = 0; image < images; image++)
        for (int64_t t = 0; t < c.y.target; t += c.chunk) {
            const int64_t t_end = least(t + c.chunk, c.y.target);
            int64_t first;
            const real *rows = find_source_rows(&c, source + image * source_size, t, t_end, &first);
            for (int64_t row = t; row < t_end; row++) {
                const int64_t offset = (image * c.y.target + row) * width;
                if (is_large) {
                    const int64_t next = (image * c.y.target + row + c.chunk) * source_size / c.y.target;
                    ahead.from[0] = source + least(next, images * source_size);
                    ahead.from[1] = target + offset + width;
                }
                compute_row(&c, &x, row, rows, first, w, epilogue, is_large ? &ahead : NULL, target + offset);
                if (epilogue->activation)
                    activate_in_place(epilogue->activation, target + offset, epilogue->kept ? epilogue->kept + offset : NULL,
                                      width, epilogue->attribute);
                fn_run_epilogue(epilogue->array_epilogue, epilogue->first + offset, width);
            }
        }
}

void FN_SYM(convolve)(const convolution *g, int64_t images, const real *x, const real *w, const convolution_epilogue *epilogue,
                      real *y, void *workspace)
{
    correlate(g, false, images, x, w, epilogue, y, workspace);
}

void FN_SYM(convolve_transposed)(const convolution *g, int64_t images, const real *y, const real *turned,
                                 const convolution_epilogue *epilogue, real *x, void *workspace)
{
    correlate(g, true, images, y, turned, epilogue, x, workspace);
}

void FN_SYM(flip_kernel)(const convolution *g, const real *w, int64_t lo, int64_t hi, real *turned)
{
    const int64_t from = g->channels / g->groups, to = g->filters / g->groups, width = g->x.window;
    for (int64_t ky = lo; ky < hi; ky++)
        for (int64_t kx = 0; kx < width; kx++) {
            const real *in = w + (ky * width + kx) * from * g->filters;
            real *out = turned + (ky * width + width - 1 - kx) * to * g->channels;
            for (int64_t group = 0; group < g->groups; group++)
                for (int64_t c = 0; c < from; c++)
                    for (int64_t f = 0; f < to; f++)
                        out[f * g->channels + group * from + c] = in[c * g->filters + group * to + f];
        }
}

/* ---- the gradient of the weights ----------------------------------------------------------------------- */

/* A block of dW: rows of one tap, or of one row of taps, of one group. */
typedef struct weight_block {
    int64_t ky, kx, group, row, rows;
} weight_block;

/* How the rows of dW are divided into blocks. */
typedef struct weight_division {
    int64_t runs;     /* in a row of the window: 1, or one for each tap */
    int64_t run_rows; /* rows of dW in a run */
    int64_t per_run;  /* blocks */
    int64_t blocks;   /* in all */
} weight_division;

static weight_division divide_weights(const convolution *g)
{
    const bool whole_rows = g->groups == 1 && g->x.dilation == 1;
    weight_division d = {.runs = whole_rows ? 1 : g->x.window,
                         .run_rows = (whole_rows ? g->x.window : 1) * (g->channels / g->groups)};
    d.per_run = divide_up(d.run_rows, BLOCK_WEIGHTS);
    d.blocks = g->y.window * d.runs * g->groups * d.per_run;
    return d;
}

/* Those of one row of the window follow each other. */
static weight_block find_block(const convolution *g, const weight_division *d, int64_t number)
{
    weight_block block;
    const int64_t run = number % d->per_run;
    number /= d->per_run;
    block.group = number % g->groups;
    number /= g->groups;
    block.kx = number % d->runs;
    block.ky = number / d->runs;
    block.row = d->run_rows * run / d->per_run;
    block.rows = d->run_rows * (run + 1) / d->per_run - block.row;
    return block;
}

/* Rows of output pixels that are summed at a time: of one image, or of whole images. */
typedef struct pixel_chunk {
    int64_t image, images; /* the first, and how many */
    int64_t row, row_end;  /* of each */
} pixel_chunk;

/* How large they may be. */
typedef struct chunk_limits {
    window window;
    int64_t rows;   /* of one image */
    int64_t images; /* if not all rows of an image: 1 */
    int64_t bytes;  /* of the buffer */
} chunk_limits;

/* Rows of the image that a chunk out of so many output rows needs. */
static int64_t count_chunk_rows(const convolution *g, const chunk_limits *limits, int64_t rows)
{
    const direction y = make_direction(&g->y, false);
    if (limits->images > 1)
        return most(1, least(limits->images, divide_up(rows, g->y.out))) * g->y.in;
    return count_sources(&y, limits->rows);
}

static chunk_limits limit_chunks(const convolution *g)
{
    const direction y = make_direction(&g->y, false), x = make_direction(&g->x, false);
    int64_t left, right;
    find_sources(&x, 0, x.target, &left, &right);
    chunk_limits limits = {.window = make_window(g->x.in, g->channels, -left, right - (g->x.in - 1), 1)};
    const int64_t in_row = limits.window.row * (int64_t)sizeof(real);
    const int64_t out_row = g->x.out * g->filters * (int64_t)sizeof(real);
    limits.rows = least(g->y.out, MAX_SEGMENTS);
    while (limits.rows > 1 && (count_sources(&y, limits.rows) * in_row > CHUNK_BYTES || limits.rows * out_row > CHUNK_BYTES))
        limits.rows = divide_up(limits.rows, 2);
    limits.images = 1;
    if (limits.rows == g->y.out) {
        const int64_t in_image = g->y.in * in_row, out_image = g->y.out * out_row;
        limits.images =
            most(1, least(MAX_SEGMENTS / g->y.out, least(CHUNK_BYTES / most(in_image, 1), CHUNK_BYTES / most(out_image, 1))));
    }
    limits.bytes = copies(&limits.window) ? align(count_chunk_rows(g, &limits, limits.images * g->y.out) * in_row) : 0;
    return limits;
}

/* The next chunk of output rows `at` to `hi`. */
static pixel_chunk next_chunk(const convolution *g, const chunk_limits *limits, int64_t at, int64_t hi)
{
    const int64_t height = g->y.out;
    pixel_chunk chunk = {.image = at / height, .images = 1, .row = at % height};
    chunk.row_end = least(chunk.row + limits->rows, height);
    if (chunk.row == 0 && chunk.row_end == height)
        chunk.images = most(1, least(limits->images, (hi - at) / height));
    chunk.row_end = least(chunk.row_end, chunk.row + (hi - at));
    return chunk;
}

/* Adds the products of a chunk to blocks `block` to `block_end`. */
static void add_chunk(const convolution *g, const chunk_limits *limits, const pixel_chunk *chunk, int64_t number,
                      int64_t number_end, const real *x, const real *dy, bool start, rows_ahead *ahead, real *dw, real *buffer)
{
    const weight_division division = divide_weights(g);
    const window *w = &limits->window;
    const direction y = make_direction(&g->y, false);
    const int64_t channels = g->channels / g->groups, filters = g->filters / g->groups;
    int64_t first, last;
    find_sources(&y, chunk->row, chunk->row_end, &first, &last);
    first = least(most(first, 0), g->y.in);
    last = most(least(last, g->y.in - 1), first - 1);
    const int64_t buffer_image = (last + 1 - first) * w->row, image = g->y.in * g->x.in * g->channels;
    const int64_t image_step = copies(w) ? buffer_image : image;
    const real *rows = find_rows(w, x + chunk->image * image, first, last + 1, buffer);
    for (int64_t n = 1; copies(w) && n < chunk->images; n++)
        find_rows(w, x + (chunk->image + n) * image, first, last + 1, buffer + n * buffer_image);
    const real *gradient = dy + (chunk->image * g->y.out + chunk->row) * g->x.out * g->filters;

    int64_t a_offset[MAX_SEGMENTS], b_offset[MAX_SEGMENTS], ky = -1;
    segment_product product = {
        .k = g->x.out,
        .a_offset = a_offset,
        .b_offset = b_offset,
        .a_row = 1,
        .a_column = g->x.stride * g->channels,
        .b_row = g->filters,
        .c_row = g->filters,
        .may_split = true,
        .ahead = ahead ? ahead->stream : NULL,
    };
    for (; number < number_end; number++) {
        const weight_block block = find_block(g, &division, number);
        if (block.ky != ky) {
            ky = block.ky;
            product.segments = 0;
            for (int64_t n = 0; n < chunk->images; n++)
                for (int64_t r = chunk->row; r < chunk->row_end; r++) {
                    const int64_t source = r * g->y.stride + ky * g->y.dilation - g->y.before;
                    if (source < 0 || source >= g->y.in)
                        continue;
                    a_offset[product.segments] = n * image_step + (source - first) * w->row;
                    b_offset[product.segments] = (n * g->y.out + r - chunk->row) * g->x.out * g->filters;
                    product.segments++;
                }
        }
        if (ahead) {
            look_ahead(ahead, (number_end - number) * count_tiles(block.rows, filters), product.segments);
            ahead = NULL;
        }
        const int64_t column = block.kx * g->x.dilation - g->x.before + w->left;
        real *out = dw + ((ky * g->x.window + block.kx) * channels + block.row) * g->filters + block.group * filters;
        const segment_matrix segment = {
            .m = block.rows,
            .n = filters,
            .a = rows + column * g->channels + block.group * channels + block.row,
            .b = gradient + block.group * filters,
            .start = start ? NULL : out,
            .start_row = g->filters,
            .c = out,
        };
        multiply_segments(&product, &segment);
    }
}

void FN_SYM(convolve_gradient)(const convolution *g, int64_t lo, int64_t hi, int64_t share, int64_t share_end, int64_t shares,
                               const real *x, const real *dy, real *dw, void *workspace)
{
    const chunk_limits limits = limit_chunks(g);
    const int64_t blocks = divide_weights(g).blocks;
    clear_rows(&limits.window, count_chunk_rows(g, &limits, hi - lo), workspace);
    const int64_t image = g->y.in * g->x.in * g->channels, width = g->x.out * g->filters;
    const bool is_large = (hi - lo) * (image / g->y.out + width) * (int64_t)sizeof(real) > CACHED_BYTES;
    bool start = true;
    do { /* also once for no rows at all, that dw be written */
        const pixel_chunk chunk = next_chunk(g, &limits, lo, hi);
        const int64_t rows = chunk.images * (chunk.row_end - chunk.row);
        rows_ahead ahead = {
            .from = {x + (lo + rows) * image / g->y.out, dy + (lo + rows) * width},
            .end = {x + hi * image / g->y.out, dy + hi * width},
            .elements = {rows * image / g->y.out, rows * width},
        };
        add_chunk(g, &limits, &chunk, blocks * share / shares, blocks * share_end / shares, x, dy, start,
                  is_large ? &ahead : NULL, dw, workspace);
        start = false;
        lo += rows;
    } while (lo < hi);
}

int64_t FN_SYM(convolution_workspace)(const convolution *g)
{
    return most(limit_chunks(g).bytes, most(make_correlation(g, false, 1, NULL).bytes, make_correlation(g, true, 1, NULL).bytes));
}
