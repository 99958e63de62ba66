/* Rows of a batch from the arrays of the caller. */
#ifndef FN_ENGINE_GATHER_H
#define FN_ENGINE_GATHER_H

#include "descriptor.h"

/* At the start of a step, each thread for itself: how its rows are mixed (gather.c). */
void fn_draw_mix(fn_context *context);
/* Rows lo to hi of the batch, of this shape, from a source of the caller into `rows`, mixed with others where the run says
 * so. input: they are an input of the model, which may be images to be cut. */
void fn_gather_rows(const fn_kernels *kernels, const fn_context *context, void *rows, const fn_shape *shape,
                    const fn_source *source, const double *scale, const double *shift, bool input, int64_t lo, int64_t hi);

#endif
