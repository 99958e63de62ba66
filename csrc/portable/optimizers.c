/* One step of each optimizer, over n parameters; step is 0 for the first. Equations: csrc/kernels/optim. */

static void fnp_update_sgd_plain(fnp_real *parameter, const fnp_real *gradient, fnp_int n, fnp_real learning_rate)
{
    fnp_int i;
    for (i = 0; i < n; i++)
        parameter[i] -= learning_rate * gradient[i];
}
