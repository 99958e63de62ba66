/* Operations on vectors whose intrinsics have the same names for every width: VECTOR_OP(name) is the one of this width. */
FN_INLINE vector broadcast(const real *p)
{
    return VECTOR_OP(set1)(*p);
}

FN_INLINE vector multiply_add(vector a, vector b, vector c)
{
    return VECTOR_OP(fmadd)(a, b, c);
}

/* The second operand of max is what it returns for NaN. */
FN_INLINE vector relu_vector(vector x)
{
    return VECTOR_OP(max)(VECTOR_OP(setzero)(), x);
}

FN_INLINE vector interleave_low(vector a, vector b)
{
    return VECTOR_OP(unpacklo)(a, b);
}

FN_INLINE vector interleave_high(vector a, vector b)
{
    return VECTOR_OP(unpackhi)(a, b);
}
