/* The engine's elementwise functions of one operand: fnp_NAME_value of the operand a, and fnp_NAME_slope_0 of it and of the value
 * y, what dy is multiplied with. All have the parameters of functions of three operands. One without a slope has no gradient.
 *
 * Values at the ends are NumPy's; at points without a derivative it is that of PyTorch: 0 for abs at 0. */

static fnp_real fnp_negative_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return -a;
}

static fnp_real fnp_negative_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c, (void)y;
    return FNP_R(-1.0);
}

static fnp_real fnp_abs_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_abs(a);
}

static fnp_real fnp_abs_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)y;
    return fnp_sign_value(a, b, c);
}

static fnp_real fnp_sign_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return a > 0 ? FNP_R(1.0) : a < 0 ? FNP_R(-1.0) : a == 0 ? FNP_R(0.0) : a;
}

static fnp_real fnp_square_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return a * a;
}

static fnp_real fnp_square_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return a + a;
}

static fnp_real fnp_sqrt_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_sqrt(a);
}

static fnp_real fnp_sqrt_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c;
    return FNP_R(0.5) / y;
}

static fnp_real fnp_rsqrt_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return FNP_R(1.0) / fnp_sqrt(a);
}

static fnp_real fnp_rsqrt_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c;
    return FNP_R(-0.5) * y / a;
}

static fnp_real fnp_reciprocal_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return FNP_R(1.0) / a;
}

static fnp_real fnp_reciprocal_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c;
    return -y * y;
}

static fnp_real fnp_exp_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_exp(a);
}

static fnp_real fnp_exp_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c;
    return y;
}

static fnp_real fnp_expm1_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_expm1(a);
}

static fnp_real fnp_expm1_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c;
    return y + FNP_R(1.0);
}

static fnp_real fnp_log_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_log(a);
}

static fnp_real fnp_log_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return FNP_R(1.0) / a;
}

static fnp_real fnp_log1p_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_log1p(a);
}

static fnp_real fnp_log1p_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return FNP_R(1.0) / (FNP_R(1.0) + a);
}

static fnp_real fnp_log2_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_log2(a);
}

static fnp_real fnp_log2_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return FNP_R(1.4426950408889634) / a;
}

static fnp_real fnp_log10_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_log10(a);
}

static fnp_real fnp_log10_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return FNP_R(0.43429448190325182) / a;
}

static fnp_real fnp_sin_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_sin(a);
}

static fnp_real fnp_sin_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return fnp_cos(a);
}

static fnp_real fnp_cos_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_cos(a);
}

static fnp_real fnp_cos_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return -fnp_sin(a);
}

static fnp_real fnp_tan_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_tan(a);
}

static fnp_real fnp_tan_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c;
    return FNP_R(1.0) + y * y;
}

static fnp_real fnp_arcsin_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_arcsin(a);
}

static fnp_real fnp_arcsin_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return FNP_R(1.0) / fnp_sqrt((FNP_R(1.0) - a) * (FNP_R(1.0) + a));
}

static fnp_real fnp_arccos_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_arccos(a);
}

static fnp_real fnp_arccos_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return FNP_R(-1.0) / fnp_sqrt((FNP_R(1.0) - a) * (FNP_R(1.0) + a));
}

static fnp_real fnp_arctan_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_arctan(a);
}

static fnp_real fnp_arctan_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return FNP_R(1.0) / (FNP_R(1.0) + a * a);
}

static fnp_real fnp_sinh_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_sinh(a);
}

static fnp_real fnp_sinh_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return fnp_cosh(a);
}

static fnp_real fnp_cosh_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_cosh(a);
}

static fnp_real fnp_cosh_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return fnp_sinh(a);
}

static fnp_real fnp_tanh_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_tanh_of(a);
}

static fnp_real fnp_tanh_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c;
    return FNP_R(1.0) - y * y;
}

static fnp_real fnp_arcsinh_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_arcsinh(a);
}

static fnp_real fnp_arcsinh_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return FNP_R(1.0) / fnp_sqrt(FNP_R(1.0) + a * a);
}

static fnp_real fnp_arccosh_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_arccosh(a);
}

static fnp_real fnp_arccosh_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return FNP_R(1.0) / fnp_sqrt((a - FNP_R(1.0)) * (a + FNP_R(1.0)));
}

static fnp_real fnp_arctanh_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_arctanh(a);
}

static fnp_real fnp_arctanh_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return FNP_R(1.0) / ((FNP_R(1.0) - a) * (FNP_R(1.0) + a));
}

static fnp_real fnp_erf_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_erf(a);
}

static fnp_real fnp_erf_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return FNP_R(1.1283791670955126) * fnp_exp(-(a * a));
}

static fnp_real fnp_floor_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_floor(a);
}

static fnp_real fnp_ceil_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_ceil(a);
}

/* Half to even. */
static fnp_real fnp_round_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return fnp_round(a);
}

static fnp_real fnp_stop_gradient_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return a;
}

static fnp_real fnp_isfinite_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return a - a == 0 ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_isnan_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return a != a ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_isinf_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return a == a && a - a != 0 ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_logical_not_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)b, (void)c;
    return a == 0 ? FNP_R(1.0) : FNP_R(0.0);
}
