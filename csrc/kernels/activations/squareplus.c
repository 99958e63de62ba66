/* squareplus (Barron 2021): y = (x + r) / 2, r = sqrt(x^2 + b); b >= 0
 *
 * Where x < 0 this sum would cancel, so that y = (b / 2) / (r - x). Where x^2 would overflow, r = |x|.
 * y (y - x) = b / 4 gives r = y + (b / 4) / y, so that y' = y / r = y^2 / (y^2 + b / 4).
 */
#include "elementwise.h"

#define LARGE FN_REAL(0x1p60)
/* With b = 0 this is relu: its derivative at 0 is 0, not 0 / 0. */
#define SMALL FN_REAL(0x1p-120)

FN_INLINE real activate(real x, real b)
{
    const real size = FN_ABS(x), root = size < LARGE ? FN_SQRT(FN_FMA(x, x, b)) : size;
    return x < FN_REAL(0.0) ? FN_REAL(0.5) * b / (size + root) : FN_REAL(0.5) * x + FN_REAL(0.5) * root;
}

FN_INLINE real differentiate(real y, real b)
{
    const real bounded = y > LARGE ? LARGE : y, square = bounded * bounded;
    return square / (square + FN_FMA(FN_REAL(0.25), b, SMALL));
}

static const fn_attribute attributes[] = {{"b", 4.0, FN_NOT_NEGATIVE}};

ACTIVATION_FROM_OUTPUT(squareplus, attributes, 1)
