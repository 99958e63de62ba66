/* Gathers the rows of a batch, and mixes them where asked to.
 *
 * Each row has a partner, the one `distance` further down the batch, and one share for the batch is drawn from the
 * distribution Beta(alpha, alpha).
 *
 * Mixup (Zhang et al. 2018, "mixup: beyond empirical risk minimization"):
 *
 *   x = share x + (1 - share) x',   y = share y + (1 - share) y'
 *
 * and the weights of the rows likewise.
 *
 * CutMix (Yun et al. 2019): images [height][width][channels] have the pixels of the partner instead, in a rectangle of
 * their own form and, on average, of the fraction 1 - lambda of their area, somewhere in the image, the same for the batch.
 * Targets, weights and inputs that are no images are mixed as before. Where both are asked for, either has half of the batches.
 *
 * Everything that is drawn is a function of the seed and the step.
 */
#include "gather.h"
#include "rng.h"

#include <math.h>
#include <string.h>

/* A number between 0 and 1, both excluded. */
static double to_unit(uint32_t word)
{
    return ((double)word + 0.5) / 4294967296.0;
}

enum { ATTEMPTS = 256 };

/* Jöhnk's method (1964): of two powers of uniform numbers whose sum is at most 1, the fraction of the first. */
void fn_draw_mix(fn_context *context)
{
    const fn_run *run = context->run;
    const uint64_t stream = (uint64_t)FN_STREAM_MIXUP << 56;
    uint32_t word[4];
    fn_philox(context->seed, stream, context->step, word);
    fn_mix mix = {.lambda = 0.5, /* what a large alpha tends to, where no pair is taken */
                  .partner_offset =
                      1 + (int64_t)(((uint64_t)word[0] * (uint64_t)(context->rows > 1 ? context->rows - 1 : 1)) >> 32),
                  .cut = run->cutmix > 0 && !(run->mixup > 0 && to_unit(word[1]) < 0.5)};
    const double power = 1 / (mix.cut ? run->cutmix : run->mixup);
    for (uint64_t attempt = 0; attempt < ATTEMPTS; attempt++) {
        fn_philox(context->seed, stream | (attempt + 1), context->step, word);
        double first = pow(to_unit(word[0]), power), second = pow(to_unit(word[1]), power);
        if (first + second <= 1 && first + second > 0) {
            mix.lambda = first / (first + second);
            break;
        }
    }
    mix.side = sqrt(1 - mix.lambda);
    fn_philox(context->seed, stream | (ATTEMPTS + 1), context->step, word);
    for (int i = 0; i < 4; i++)
        mix.number[i] = to_unit(word[i]);
    context->mix = mix;
}

/* The pixels from first to end of an axis: `side` of it, rounded to whole pixels up as often as leaves the mean as it is,
 * at one of the places where that fits. up, at: numbers between 0 and 1. */
static void cut_axis(int64_t size, double side, double up, double at, int64_t *first, int64_t *end)
{
    const int64_t pixels = (int64_t)(side * (double)size + up);
    *first = (int64_t)(at * (double)(size - pixels + 1));
    *end = *first + pixels;
}

/* Copies the rectangle from another image. */
static void cut(const fn_kernels *kernels, const fn_mix *mix, const fn_shape *shape, void *image, const void *other)
{
    int64_t top, bottom, left, right;
    cut_axis(shape->size[0], mix->side, mix->number[0], mix->number[1], &top, &bottom);
    cut_axis(shape->size[1], mix->side, mix->number[2], mix->number[3], &left, &right);
    const size_t pixel = (size_t)shape->size[2] * kernels->element, line = (size_t)shape->size[1] * pixel;
    for (int64_t h = top; h < bottom && left < right; h++) {
        const size_t start = (size_t)h * line + (size_t)left * pixel;
        memcpy((char *)image + start, (const char *)other + start, (size_t)(right - left) * pixel);
    }
}

void fn_gather_rows(const fn_kernels *kernels, const fn_context *context, void *rows, const fn_shape *shape,
                    const fn_source *source, const double *scale, const double *shift, bool input, int64_t lo, int64_t hi)
{
    const fn_run *run = context->run;
    const fn_mix *mix = &context->mix;
    const int64_t width = fn_shape_size(shape);
    kernels->gather(rows, width, source, run->order, context->first_row, lo, hi, scale, shift);
    if (!(run->mixup > 0 || run->cutmix > 0))
        return;
    for (int64_t i = lo; i < hi; i++) {
        void *row = (char *)rows + (size_t)(i * width) * kernels->element;
        int64_t partner = context->first_row + (i + mix->partner_offset) % context->rows;
        kernels->gather(context->workspace, width, source, run->order, partner, 0, 1, scale, shift);
        if (mix->cut && input && shape->rank == 3)
            cut(kernels, mix, shape, row, context->workspace);
        else
            kernels->scale_add(row, context->workspace, width, mix->lambda, 1 - mix->lambda);
    }
}
