/* Convolutions with fewer multiplications, by minimal filtering (Winograd; Lavin and Gray 2016, arXiv:1509.09308).
 *
 * An output is computed by tiles of m x m pixels, each from a tile of a x a pixels of the image, a = m + r - 1 for a window of r
 * x r:
 *
 *   y = A^T [ (G w G^T) * (B^T x B) ] A       with * number by number, and for all channels c and filters f
 *
 *   V[i][tile][c] = B^T x B        the transformed image         i: a a of them
 *   U[i][c][f]    = G w G^T        the transformed kernel
 *   Z[i]          = V[i] U[i]      a a products of matrices, of a a / (m m) multiplications for an output, channel and filter
 *   y             = A^T Z A          in place of r r
 *
 * Everything is linear, so that the gradients follow from the same three matrices: that of x is a convolution of dy with the
 * kernel rotated; that of w is
 *
 *   dw = G^T [ sum over tiles of (B^T x B) (A dy A^T) ] G
 *
 * The rows of A^T and G are powers of points 0, +-p, +-q, ... and infinity, those of B^T coefficients of polynomials that are
 * zero at all points but one. Points that are not whole numbers keep the numbers of a larger tile alike in size, and so its
 * errors small: 0, 3/4, 3/2 have a third of those of the usual 0, 1, 2 (docs/speed.md). All factors of B and A are exact in
 * float32.
 *
 * Series are images of height 1, whose tiles are 1 x m. Sums over channels, and over tiles, are single chains (gemm.h), so that
 * no bit depends on how the tiles are divided.
 */
#ifndef FN_KERNELS_WINOGRAD_H
#define FN_KERNELS_WINOGRAD_H

#include "convolution.h"

/* For a convolution: the sizes of its tiles. Number 0: the direct method. */
typedef enum winograd_method {
    WINOGRAD_NONE,
    WINOGRAD_2X2_3X3,
    WINOGRAD_4X4_3X3,
    WINOGRAD_4_3,
    WINOGRAD_4_5,
    WINOGRAD_METHODS
} winograd_method;

/* What is computed; the last one is for winograd_workspace alone. */
typedef enum winograd_pass { WINOGRAD_OUTPUT, WINOGRAD_INPUT_GRADIENT, WINOGRAD_KERNEL_GRADIENT, WINOGRAD_KERNEL } winograd_pass;

/* The one that is fastest for a pass of this convolution, and exact enough: by its shape alone, and by whether the kernel is
 * transformed for a whole batch (training) or maybe for a single image. */
winograd_method FN_SYM(choose_winograd)(const convolution *g, winograd_pass pass, bool training);

/* Multiplications for an image, but for those of the transforms. */
int64_t FN_SYM(winograd_products)(const convolution *g, winograd_method method, bool transposed);

/* Elements of U, and bytes of workspace for each of the following. */
int64_t FN_SYM(winograd_kernel_size)(const convolution *g, winograd_method method, bool transposed);
int64_t FN_SYM(winograd_workspace)(const convolution *g, winograd_method method, winograd_pass pass);

/* U from W; transposed: for the gradient of x. Items lo to hi of winograd_kernel_items. */
int64_t FN_SYM(winograd_kernel_items)(const convolution *g, bool transposed);
void FN_SYM(winograd_transform_kernel)(const convolution *g, winograd_method method, bool transposed, const real *w, int64_t lo,
                                       int64_t hi, real *u, void *workspace);

/* As convolve, or transposed as convolve_transposed, of U. */
void FN_SYM(winograd_convolve)(const convolution *g, winograd_method method, bool transposed, int64_t images, const real *x,
                               const real *u, const convolution_epilogue *epilogue, real *y, void *workspace);

/* As convolve_gradient, for rows of tiles lo to hi; winograd_tile_rows: in an image; winograd_least_rows: with fewer the products
 * are all loads and stores of sums. */
int64_t FN_SYM(winograd_tile_rows)(const convolution *g, winograd_method method);
int64_t FN_SYM(winograd_least_rows)(const convolution *g, winograd_method method);
void FN_SYM(winograd_gradient)(const convolution *g, winograd_method method, int64_t lo, int64_t hi, int64_t share,
                               int64_t share_end, int64_t shares, const real *x, const real *dy, real *dw, void *workspace);

#endif
