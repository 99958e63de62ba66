/* Convolutions without a matrix of patches: sums of matrix products over what is contiguous in the image.
 *
 *   y[oy][ox][f] = sum over ky, kx, c of  x[oy sy + ky dy - py][ox sx + kx dx - px][c] W[ky][kx][c][f]
 *
 * with zeros for x outside the image; s strides, d dilations, p what is padded at the start. Channels come last, so for
 * one ky the products of a whole row of the window (kx, c) are one segment, contiguous in x and in W; with a dilation or
 * groups each tap is a segment. Pixels of an output row are rows of the product, a constant distance apart.
 *
 * The gradient of x is a sum of the same kind. For one pixel of x the taps are those for which
 *   oy = (iy + py - ky dy) / sy   is whole,
 * the same ones for all pixels a stride apart: these are a phase, and are done together.
 *
 * Rows of the image get their zeros at both ends in a copy of a few rows at a time; where no window reaches over the
 * ends, they are read in place. Rows above and below the image are left out of the sum.
 */
#ifndef FN_KERNELS_CONVOLUTION_H
#define FN_KERNELS_CONVOLUTION_H

#include "activation.h"
#include "isa.h"

/* Of one of the two axes of an image. */
typedef struct convolution_axis {
    int64_t in, out; /* sizes */
    int64_t window, stride, dilation;
    int64_t before; /* what is padded at the start */
} convolution_axis;

typedef struct convolution {
    convolution_axis y, x;
    int64_t channels, filters; /* of x, of y */
    int64_t groups;
} convolution;

/* What is done to a row of the result. NULL pointers and zeros: nothing. */
typedef struct convolution_epilogue {
    const real *bias; /* [filters]. Not together with accumulate. */
    bool relu;
    bool accumulate;
    const fn_activation *activation;
    const double *attribute;           /* of the activation */
    real *kept;                        /* out: the derivative of the activation, of the shape of the result */
    const fn_epilogue *array_epilogue; /* of the array of which the result is a piece; or NULL */
    int64_t first;                     /* number of the first element of that piece */
} convolution_epilogue;

/* Elements of W. */
FN_INLINE int64_t convolution_weights(const convolution *g)
{
    return g->y.window * g->x.window * (g->channels / g->groups) * g->filters;
}

/* y [images][oy][ox][filters] from x [images][iy][ix][channels] and W [ky][kx][channels / groups][filters]. */
void FN_SYM(convolve)(const convolution *g, int64_t images, const real *x, const real *w, const convolution_epilogue *epilogue,
                      real *y, void *workspace);

/* The transposed one: x from y, with W turned [ky][kx][filters / groups][channels]. */
void FN_SYM(convolve_transposed)(const convolution *g, int64_t images, const real *y, const real *turned,
                                 const convolution_epilogue *epilogue, real *x, void *workspace);

/* W turned: rows ky from lo to hi of turned[ky][kx][f][c] = W[ky][window - 1 - kx][c][f], the axis of kx backwards so that
 * the taps of a pixel of x follow each other as the pixels of y do. */
void FN_SYM(flip_kernel)(const convolution *g, const real *w, int64_t lo, int64_t hi, real *turned);

/* The gradient of W, dw = sum over images and pixels of x dy, for rows of output pixels lo to hi, counted through all
 * images; and of that, shares number `share` to `share_end` of `shares`. */
void FN_SYM(convolve_gradient)(const convolution *g, int64_t lo, int64_t hi, int64_t share, int64_t share_end, int64_t shares,
                               const real *x, const real *dy, real *dw, void *workspace);

/* Bytes of workspace for each of these. */
int64_t FN_SYM(convolution_workspace)(const convolution *g);

#endif
