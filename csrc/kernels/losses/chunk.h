/* Loops in whole vectors: the last elements of an array are copied to a chunk that is filled up, so that
 * there is no scalar remainder, which for the short arrays of small networks would be most of the work. */
#ifndef FN_LOSSES_CHUNK_H
#define FN_LOSSES_CHUNK_H

#include "../isa.h"

/* The FN_LANES elements at x, of which n exist: x itself, or a copy in `spare` filled up with `fill`. */
FN_INLINE const real *whole_chunk(const real *x, int64_t n, real fill, real spare[FN_LANES])
{
    if (n >= FN_LANES)
        return x;
    for (int64_t l = 0; l < FN_LANES; l++)
        spare[l] = fill;
    for (int64_t l = 0; l < n; l++)
        spare[l] = x[l];
    return spare;
}

#endif
