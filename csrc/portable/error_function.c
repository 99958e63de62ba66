/* The error function and its complement, as math.c has the others. */

/* erf(x) for |x| <= 1. */
static fnp_real fnp_erf_near(fnp_real x)
{
    const fnp_real w = x * x;
#if FNP_BITS == 32
    fnp_real p = FNP_R(7.84241129e-05);
    p = p * w - FNP_R(0.000800679321);
    p = p * w + FNP_R(0.00518796267);
    p = p * w - FNP_R(0.0268536434);
    p = p * w + FNP_R(0.112835824);
    p = p * w - FNP_R(0.37612626);
    p = p * w + FNP_R(0.128379166);
#else
    fnp_real p = FNP_R(6.6848326991453587e-11);
    p = p * w - FNP_R(1.1830590653623139e-09);
    p = p * w + FNP_R(1.478654841868106e-08);
    p = p * w - FNP_R(1.6370638290933871e-07);
    p = p * w + FNP_R(1.646308709483387e-06);
    p = p * w - FNP_R(1.4925738504204218e-05);
    p = p * w + FNP_R(0.00012055337777810952);
    p = p * w - FNP_R(0.00085483271896066241);
    p = p * w + FNP_R(0.0052239776290956578);
    p = p * w - FNP_R(0.026866170645619539);
    p = p * w + FNP_R(0.11283791670958743);
    p = p * w - FNP_R(0.37612638903183876);
    p = p * w + FNP_R(0.12837916709551259);
#endif
    return x + x * p;
}

/* erfc(a) for a >= 3/4: (a + 2) exp(a^2) erfc(a) is a polynomial in q = (a - 2) / (a + 2). What the square of a loses is made
 * good: it is known exactly by two halves of the bits of a, and an error of the exponent is a relative one of the power. */
static fnp_real fnp_erfc_far(fnp_real a)
{
    const fnp_real scale = FNP_R(1.0) / (a + FNP_R(2.0)), q = FNP_R(1.0) - FNP_R(4.0) * scale, square = a * a;
#if FNP_BITS == 32
    const fnp_real zero = FNP_R(11.0), high = fnp_from_word(fnp_to_word(a) & ~(fnp_word)0xfff), low = a - high;
#else
    const fnp_real zero = FNP_R(28.0), high = fnp_from_word(fnp_to_word(a) & ~(fnp_word)0x7ffffff), low = a - high;
#endif
    fnp_real p;
    if (a > zero)
        return 0;
#if FNP_BITS == 32
    p = FNP_R(0.000308636663);
    p = p * q - FNP_R(0.000784344098);
    p = p * q - FNP_R(0.000887395232);
    p = p * q + FNP_R(0.00314155873);
    p = p * q + FNP_R(0.00647201156);
    p = p * q - FNP_R(0.0215139799);
    p = p * q - FNP_R(0.0364407077);
    p = p * q + FNP_R(0.279471815);
    p = p * q - FNP_R(0.68716073);
    p = p * q + FNP_R(1.02158272);
#else
    p = FNP_R(2.8639587071774999e-08);
    p = p * q - FNP_R(8.828002240905743e-08);
    p = p * q - FNP_R(1.3864956958187864e-07);
    p = p * q + FNP_R(7.5741112985101122e-07);
    p = p * q - FNP_R(5.4630215452465776e-07);
    p = p * q - FNP_R(4.936045152948492e-07);
    p = p * q - FNP_R(4.1949949485223355e-08);
    p = p * q - FNP_R(1.8221739714386956e-07);
    p = p * q + FNP_R(1.8354293838143898e-06);
    p = p * q + FNP_R(3.7686979934975614e-06);
    p = p * q - FNP_R(1.1100185118196262e-06);
    p = p * q - FNP_R(1.615483213841236e-05);
    p = p * q - FNP_R(2.1693102477916524e-05);
    p = p * q + FNP_R(3.4153921315872927e-05);
    p = p * q + FNP_R(0.00014446971622804694);
    p = p * q + FNP_R(3.437100364856287e-05);
    p = p * q - FNP_R(0.00066307338027594834);
    p = p * q - FNP_R(0.00083729604114628512);
    p = p * q + FNP_R(0.0030906120512850009);
    p = p * q + FNP_R(0.0064791850671764841);
    p = p * q - FNP_R(0.021510661889224146);
    p = p * q - FNP_R(0.036442231506872147);
    p = p * q + FNP_R(0.27947209255605082);
    p = p * q - FNP_R(0.68716068441381062);
    p = p * q + FNP_R(1.021582705242023);
#endif
    p *= scale * (FNP_R(1.0) - ((high * high - square) + low * (high + a)));
    return fnp_exp(-square) * p;
}

/* erf(x). */
static fnp_real fnp_erf(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return erff(x);
#else
    return erf(x);
#endif
#else
#if FNP_BITS == 32
    /* 1 - exp(a p): what is taken from 1 needs no small relative error. Beyond 4 the result is 1. */
    fnp_real a = fnp_abs(x), y;
    if (a < FNP_R(1.0))
        return fnp_erf_near(x);
    if (a > FNP_R(4.0))
        a = FNP_R(4.0);
    y = FNP_R(0.000216217421);
    y = y * a - FNP_R(0.00323222065);
    y = y * a + FNP_R(0.0229419246);
    y = y * a - FNP_R(0.105338037);
    y = y * a - FNP_R(0.635663867);
    y = y * a - FNP_R(1.12852955);
    y = FNP_R(1.0) - fnp_exp(a * y);
#else
    const fnp_real a = fnp_abs(x);
    fnp_real y;
    if (a < FNP_R(1.0))
        return fnp_erf_near(x);
    y = FNP_R(1.0) - fnp_erfc_far(a);
#endif
    return x < 0 ? -y : y;
#endif
}

/* erfc(x) = 1 - erf(x), with a small relative error where it is small. */
static fnp_real fnp_erfc(fnp_real x)
{
#if FNP_LIBM
#if FNP_BITS == 32
    return erfcf(x);
#else
    return erfc(x);
#endif
#else
    const fnp_real a = fnp_abs(x);
    if (a < FNP_R(0.75))
        return FNP_R(1.0) - fnp_erf_near(x);
    return x < 0 ? FNP_R(2.0) - fnp_erfc_far(a) : fnp_erfc_far(x);
#endif
}
