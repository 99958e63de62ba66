/* The engine's elementwise functions of two and three operands, as functions.c has those of one: fnp_NAME_slope_1 is the
 * derivative by b. Each of two equal operands of maximum and minimum has half of the gradient. */

static fnp_real fnp_add_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a + b;
}

static fnp_real fnp_add_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c, (void)y;
    return FNP_R(1.0);
}

static fnp_real fnp_add_slope_1(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c, (void)y;
    return FNP_R(1.0);
}

static fnp_real fnp_subtract_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a - b;
}

static fnp_real fnp_subtract_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c, (void)y;
    return FNP_R(1.0);
}

static fnp_real fnp_subtract_slope_1(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c, (void)y;
    return FNP_R(-1.0);
}

static fnp_real fnp_multiply_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a * b;
}

static fnp_real fnp_multiply_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)c, (void)y;
    return b;
}

static fnp_real fnp_multiply_slope_1(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return a;
}

static fnp_real fnp_divide_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a / b;
}

static fnp_real fnp_divide_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)c, (void)y;
    return FNP_R(1.0) / b;
}

static fnp_real fnp_divide_slope_1(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)c;
    return -y / b;
}

static fnp_real fnp_floor_divide_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return fnp_floor(a / b);
}

static fnp_real fnp_power_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return fnp_raise(a, b);
}

static fnp_real fnp_power_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)c, (void)y;
    return b == 0 ? FNP_R(0.0) : b * fnp_raise(a, b - FNP_R(1.0));
}

static fnp_real fnp_power_slope_1(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)c;
    return a == 0 && b >= 0 ? FNP_R(0.0) : y * fnp_log(a);
}

static fnp_real fnp_arctan2_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return fnp_arctan2(a, b);
}

static fnp_real fnp_arctan2_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)c, (void)y;
    return b / (a * a + b * b);
}

static fnp_real fnp_arctan2_slope_1(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)c, (void)y;
    return -a / (a * a + b * b);
}

/* What is left of a after a whole number of times b, with the sign of b. */
static fnp_real fnp_mod_value(fnp_real a, fnp_real b, fnp_real c)
{
    const fnp_real rest = fnp_fmod(a, b);
    (void)c;
    if (rest == 0)
        return fnp_with_sign(0, b);
    return rest == rest && (rest < 0) != (b < 0) ? rest + b : rest;
}

static fnp_real fnp_mod_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)a, (void)b, (void)c, (void)y;
    return FNP_R(1.0);
}

static fnp_real fnp_mod_slope_1(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)c, (void)y;
    return -fnp_floor(a / b);
}

/* A NaN where one of them is. */
static fnp_real fnp_maximum_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a > b || a != a ? a : b;
}

static fnp_real fnp_maximum_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)c, (void)y;
    return a == b ? FNP_R(0.5) : a > b ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_maximum_slope_1(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)c, (void)y;
    return a == b ? FNP_R(0.5) : a < b ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_minimum_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a < b || a != a ? a : b;
}

static fnp_real fnp_minimum_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)c, (void)y;
    return a == b ? FNP_R(0.5) : a < b ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_minimum_slope_1(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)c, (void)y;
    return a == b ? FNP_R(0.5) : a > b ? FNP_R(1.0) : FNP_R(0.0);
}

/* log(exp(a) + exp(b)) */
static fnp_real fnp_logaddexp_value(fnp_real a, fnp_real b, fnp_real c)
{
    const fnp_real top = a > b ? a : b;
    (void)c;
    if (a == b)
        return a + FNP_R(0.69314718055994531);
    return a - b != a - b ? a + b : top + fnp_log1p(fnp_exp(-fnp_abs(a - b)));
}

static fnp_real fnp_logaddexp_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)c, (void)y;
    return a == b ? FNP_R(0.5) : fnp_sigmoid_of(a - b);
}

static fnp_real fnp_logaddexp_slope_1(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)c, (void)y;
    return a == b ? FNP_R(0.5) : fnp_sigmoid_of(b - a);
}

static fnp_real fnp_equal_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a == b ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_not_equal_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a != b ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_less_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a < b ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_less_equal_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a <= b ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_greater_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a > b ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_greater_equal_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a >= b ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_logical_and_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a != 0 && b != 0 ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_logical_or_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return a != 0 || b != 0 ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_logical_xor_value(fnp_real a, fnp_real b, fnp_real c)
{
    (void)c;
    return (a != 0) != (b != 0) ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_where_value(fnp_real a, fnp_real b, fnp_real c)
{
    return a != 0 ? b : c;
}

static fnp_real fnp_where_slope_1(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return a != 0 ? FNP_R(1.0) : FNP_R(0.0);
}

static fnp_real fnp_where_slope_2(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)b, (void)c, (void)y;
    return a == 0 ? FNP_R(1.0) : FNP_R(0.0);
}

/* a between b and c, the gradient to a alone. */
static fnp_real fnp_clip_value(fnp_real a, fnp_real b, fnp_real c)
{
    return fnp_minimum_value(fnp_maximum_value(a, b, c), c, c);
}

static fnp_real fnp_clip_slope_0(fnp_real a, fnp_real b, fnp_real c, fnp_real y)
{
    (void)y;
    return a >= b && a <= c ? FNP_R(1.0) : FNP_R(0.0);
}
