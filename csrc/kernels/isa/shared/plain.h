/* Operations on vectors of 128 bits without masks of lanes, in C. */
typedef int64_t lane_mask; /* the number of lanes */

FN_INLINE vector broadcast(const real *p)
{
#if FN_BITS == 32
    return (vector){*p, *p, *p, *p};
#else
    return (vector){*p, *p};
#endif
}

FN_INLINE vector relu_vector(vector x)
{
    return (vector)((vector_bits)x & ~(vector_bits)(x < 0));
}

FN_INLINE lane_mask mask_lanes(int64_t count)
{
    return count;
}

FN_INLINE vector load_masked(const real *p, lane_mask count)
{
    if (count >= FN_LANES)
        return load(p);
    vector x = {0};
    for (int64_t i = 0; i < FN_LANES; i++)
        if (i < count)
            x[i] = p[i];
    return x;
}

FN_INLINE void store_masked(real *p, vector x, lane_mask count)
{
    for (int64_t i = 0; i < FN_LANES; i++)
        if (i < count)
            p[i] = x[i];
}

FN_INLINE vector load_padded(const real *p, lane_mask count)
{
    (void)count;
    return load(p);
}

FN_INLINE vector load_pieces(const real *p, int64_t step)
{
    (void)step;
    return load(p);
}

FN_INLINE void store_bytes(uint8_t *p, vector_bits x)
{
    for (int64_t i = 0; i < FN_LANES; i++)
        p[i] = (uint8_t)x[i];
}

FN_INLINE vector_bits load_bytes(const uint8_t *p)
{
    vector_bits x = {0};
    for (int64_t i = 0; i < FN_LANES; i++)
        x[i] = p[i];
    return x;
}
