/* Random numbers: functions of (seed, stream, step, element), the very ones of the engine. */

/* The standard normal deviate of a word: the quantile of (word + 1/2) / 2^32, by M. J. Wichura's algorithm AS 241 (Applied
 * Statistics 37, 1988) without its case of tails beyond 2^-36. Relative error about 1e-7 in float32 (PPND7) and 1e-15 in float64
 * (PPND16). */
static fnp_real fnp_normal_of_word(uint32_t word)
{
    /* To the nearer end of (0, 1), exact where that is small, and to the middle. */
    const fnp_real p = ((fnp_real)(word >> 31 ? ~word : word) + FNP_R(0.5)) * FNP_R(0x1p-32);
    const fnp_real q = ((fnp_real)(int32_t)(word ^ 0x80000000u) + FNP_R(0.5)) * FNP_R(0x1p-32);
    fnp_real r = FNP_R(0.180625) - q * q, up, down;
    if (r >= 0) {
#if FNP_BITS == 32
        up = FNP_R(5.9109374720e+01);
        down = FNP_R(6.7187563600e+01);
        up = up * r + FNP_R(1.5929113202e+02);
        down = down * r + FNP_R(7.8757757664e+01);
        up = up * r + FNP_R(5.0434271938e+01);
        down = down * r + FNP_R(1.7895169469e+01);
        up = up * r + FNP_R(3.3871327179e+00);
        down = down * r + FNP_R(1.0);
#else
        up = FNP_R(2.5090809287301226727e+3);
        down = FNP_R(5.2264952788528545610e+3);
        up = up * r + FNP_R(3.3430575583588128105e+4);
        down = down * r + FNP_R(2.8729085735721942674e+4);
        up = up * r + FNP_R(6.7265770927008700853e+4);
        down = down * r + FNP_R(3.9307895800092710610e+4);
        up = up * r + FNP_R(4.5921953931549871457e+4);
        down = down * r + FNP_R(2.1213794301586595867e+4);
        up = up * r + FNP_R(1.3731693765509461125e+4);
        down = down * r + FNP_R(5.3941960214247511077e+3);
        up = up * r + FNP_R(1.9715909503065514427e+3);
        down = down * r + FNP_R(6.8718700749205790830e+2);
        up = up * r + FNP_R(1.3314166789178437745e+2);
        down = down * r + FNP_R(4.2313330701600911252e+1);
        up = up * r + FNP_R(3.3871328727963666080e+0);
        down = down * r + FNP_R(1.0);
#endif
        return q * up / down;
    }
    r = fnp_sqrt(-fnp_log(p)) - FNP_R(1.6);
#if FNP_BITS == 32
    up = FNP_R(1.7023821103e-01);
    down = FNP_R(1.2021132975e-01);
    up = up * r + FNP_R(1.3067284816e+00);
    down = down * r + FNP_R(7.3700164250e-01);
    up = up * r + FNP_R(2.7568153900e+00);
    down = down * r + FNP_R(1.0);
    up = up * r + FNP_R(1.4234372777e+00);
#else
    up = FNP_R(7.74545014278341407640e-4);
    down = FNP_R(1.05075007164441684324e-9);
    up = up * r + FNP_R(2.27238449892691845833e-2);
    down = down * r + FNP_R(5.47593808499534494600e-4);
    up = up * r + FNP_R(2.41780725177450611770e-1);
    down = down * r + FNP_R(1.51986665636164571966e-2);
    up = up * r + FNP_R(1.27045825245236838258e+0);
    down = down * r + FNP_R(1.48103976427480074590e-1);
    up = up * r + FNP_R(3.64784832476320460504e+0);
    down = down * r + FNP_R(6.89767334985100004550e-1);
    up = up * r + FNP_R(5.76949722146069140550e+0);
    down = down * r + FNP_R(1.67638483018380384940e+0);
    up = up * r + FNP_R(4.63033784615654529590e+0);
    down = down * r + FNP_R(2.05319162663775882187e+0);
    up = up * r + FNP_R(1.42343711074968357734e+0);
    down = down * r + FNP_R(1.0);
#endif
    return (q < 0 ? -up : up) / down;
}

/* Philox4x32-10 (J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the
 * four words of a block of a stream, as the engine numbers them.
 *
 * key: the seed. stream: what the numbers are for, 2 for dropout, in the upper 8 bits, and the number of the node in the others.
 * word[w] belongs to the element fnp_random_element(block, w) of the array, rows of the batch included. */
static void fnp_random_words(uint64_t key, uint32_t stream, uint64_t step, fnp_int block, uint32_t *word)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)step, c1 = (uint32_t)(step >> 32), c2 = (uint32_t)block, c3 = stream;
    int round;
    for (round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    word[0] = c0;
    word[1] = c1;
    word[2] = c2;
    word[3] = c3;
}

/* The element to which a word of a block belongs: 64 elements share 16 blocks. */
static fnp_int fnp_random_element(fnp_int block, fnp_int w)
{
    return block / 16 * 64 + w * 16 + block % 16;
}

/* The word of one element; those of many are made with a quarter of the work by blocks. */
static uint32_t fnp_random_word(uint64_t key, uint32_t stream, uint64_t step, fnp_int element)
{
    uint32_t word[4];
    fnp_random_words(key, stream, step, element / 64 * 16 + element % 16, word);
    return word[element % 64 / 16];
}
