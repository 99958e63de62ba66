/* Gathers the rows of a batch, and mixes them where asked to.
 *
 * Mixup (Zhang et al. 2018, "mixup: beyond empirical risk minimization"): with one share for the batch, drawn from the
 * distribution Beta(alpha, alpha), and a partner for each row, the one `distance` further down the batch,
 *
 *   x = share x + (1 - share) x',   y = share y + (1 - share) y'
 *
 * and the weights of the rows likewise. Share and distance are functions of the seed and the step.
 */
#include "internal.h"
#include "rng.h"

#include <math.h>

/* A number between 0 and 1, both excluded. */
static double to_unit(uint32_t word)
{
    return ((double)word + 0.5) / 4294967296.0;
}

/* Jöhnk's method (1964): of two powers of uniform numbers whose sum is at most 1, the part that the first has. */
void fn_draw_mixup(fn_context *context)
{
    const uint64_t stream = (uint64_t)FN_STREAM_MIXUP << 56;
    const double power = 1 / context->run->mixup;
    uint32_t word[4];
    context->mixup_share = 0.5; /* what a large alpha tends to, where no pair is taken */
    for (uint64_t attempt = 0; attempt < 256; attempt++) {
        fn_philox(context->seed, stream | (attempt + 1), context->step, word);
        double first = pow(to_unit(word[0]), power), second = pow(to_unit(word[1]), power);
        if (first + second <= 1 && first + second > 0) {
            context->mixup_share = first / (first + second);
            break;
        }
    }
    fn_philox(context->seed, stream, context->step, word);
    context->mixup_distance = 1 + (int64_t)(((uint64_t)word[0] * (uint64_t)(context->rows > 1 ? context->rows - 1 : 1)) >> 32);
}

void fn_gather_rows(const fn_kernels *kernels, const fn_context *context, void *rows, int64_t width,
                    const fn_source *source, const double *scale, const double *shift, int64_t lo, int64_t hi)
{
    const fn_run *run = context->run;
    kernels->gather(rows, width, source, run->order, context->first_row, lo, hi, scale, shift);
    if (!(run->mixup > 0))
        return;
    for (int64_t i = lo; i < hi; i++) {
        int64_t partner = context->first_row + (i + context->mixup_distance) % context->rows;
        kernels->gather(context->workspace, width, source, run->order, partner, 0, 1, scale, shift);
        kernels->scale_add((char *)rows + (size_t)(i * width) * kernels->element, context->workspace, width,
                           context->mixup_share, 1 - context->mixup_share);
    }
}
