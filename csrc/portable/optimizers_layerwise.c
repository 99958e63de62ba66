/* As in optimizers.c: those that look at parameters as a whole. They write to the gradient. decay: of the weights, which these
 * apply themselves. */

static fnp_real fnp_norm(const fnp_real *x, fnp_int n)
{
    fnp_real sum = 0;
    fnp_int i;
    for (i = 0; i < n; i++)
        sum += x[i] * x[i];
    return fnp_sqrt(sum);
}

static void fnp_update_lamb(fnp_real *parameter, fnp_real *gradient, fnp_real *momentum_slot, fnp_real *velocity_slot, fnp_int n,
                            fnp_real learning_rate, fnp_real one_minus_beta_1, fnp_real one_minus_beta_2, fnp_real log_beta_1,
                            fnp_real log_beta_2, fnp_real epsilon, fnp_real decay, uint32_t step)
{
    const fnp_real correction_1 = fnp_correction(log_beta_1, step), correction_2 = fnp_correction(log_beta_2, step);
    fnp_real size, length;
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real g = gradient[i], m = fnp_follow(momentum_slot + i, g, one_minus_beta_1) / correction_1;
        const fnp_real v = fnp_follow(velocity_slot + i, g * g, one_minus_beta_2) / correction_2;
        gradient[i] = m / (fnp_sqrt(v) + epsilon) + decay * parameter[i];
    }
    size = fnp_norm(parameter, n);
    length = fnp_norm(gradient, n);
    fnp_add_scaled(gradient, parameter, n, -learning_rate * (size > 0 && length > 0 ? size / length : 1));
}

static void fnp_update_lars(fnp_real *parameter, const fnp_real *gradient, fnp_real *momentum_slot, fnp_int n,
                            fnp_real learning_rate, fnp_real momentum, fnp_real eta, fnp_real epsilon, fnp_int nesterov,
                            fnp_real decay)
{
    const fnp_real size = fnp_norm(parameter, n), length = fnp_norm(gradient, n);
    const fnp_real rate = learning_rate * (size > 0 && length > 0 ? eta * size / (length + decay * size + epsilon) : 1);
    fnp_int i;
    for (i = 0; i < n; i++) {
        const fnp_real step = rate * (gradient[i] + decay * parameter[i]);
        momentum_slot[i] = momentum * momentum_slot[i] + step;
        parameter[i] -= nesterov ? momentum * momentum_slot[i] + step : momentum_slot[i];
    }
}

/* A direction of Adafactor over the gradient of matrices [rows][columns]: r [rows], c [columns] of each, sums [columns] scratch.
 */
static void fnp_factor_matrices(fnp_real *gradient, fnp_real *r, fnp_real *c, fnp_real *sums, fnp_int matrices, fnp_int rows,
                                fnp_int columns, fnp_real epsilon, fnp_real beta)
{
    for (; matrices > 0; matrices--, gradient += rows * columns, r += rows, c += columns) {
        fnp_real total = 0;
        fnp_int i, j;
        fnp_zero(sums, columns);
        for (i = 0; i < rows; i++) {
            fnp_real row = 0;
            for (j = 0; j < columns; j++) {
                const fnp_real u = gradient[i * columns + j] * gradient[i * columns + j] + epsilon;
                row += u;
                sums[j] += u;
            }
            r[i] = beta * r[i] + (1 - beta) * (row / (fnp_real)columns);
            total += r[i];
        }
        for (j = 0; j < columns; j++) {
            c[j] = beta * c[j] + (1 - beta) * (sums[j] / (fnp_real)rows);
            sums[j] = 1 / fnp_sqrt(c[j]);
        }
        for (i = 0; i < rows; i++) {
            const fnp_real scale = 1 / fnp_sqrt(r[i] / (total / (fnp_real)rows));
            for (j = 0; j < columns; j++)
                gradient[i * columns + j] *= scale * sums[j];
        }
    }
}

/* matrices: 0 for a vector, whose second moment is in rows_slot. */
static void fnp_update_adafactor(fnp_real *parameter, fnp_real *gradient, fnp_real *rows_slot, fnp_real *columns_slot,
                                 fnp_real *scratch, fnp_int n, fnp_int matrices, fnp_int rows, fnp_int columns,
                                 fnp_real learning_rate, fnp_real beta_2_decay, fnp_real epsilon_1, fnp_real epsilon_2,
                                 fnp_real clip_threshold, fnp_int relative_step, uint32_t step)
{
    const fnp_real t = (fnp_real)step + 1, beta = -fnp_expm1(beta_2_decay * fnp_log(t)), root = fnp_sqrt((fnp_real)n);
    const fnp_real rate = relative_step && 1 < learning_rate * fnp_sqrt(t) ? 1 / fnp_sqrt(t) : learning_rate;
    fnp_real size, clip;
    fnp_int i;
    for (i = 0; i < n && matrices == 0; i++) {
        rows_slot[i] = beta * rows_slot[i] + (1 - beta) * (gradient[i] * gradient[i] + epsilon_1);
        gradient[i] /= fnp_sqrt(rows_slot[i]);
    }
    fnp_factor_matrices(gradient, rows_slot, columns_slot, scratch, matrices, rows, columns, epsilon_1, beta);
    size = fnp_norm(parameter, n) / root;
    clip = fnp_norm(gradient, n) / root / clip_threshold;
    fnp_add_scaled(gradient, parameter, n, -rate * (size > epsilon_2 ? size : epsilon_2) / (clip > 1 ? clip : 1));
}

/* z = p z + q x y, or q x y^T: x [rows][inner], y [inner][columns] or [columns][inner], z [rows][columns] */
static void fnp_multiply_matrices(const fnp_real *x, const fnp_real *y, fnp_real *z, fnp_int rows, fnp_int inner, fnp_int columns,
                                  fnp_int transposed, fnp_real p, fnp_real q)
{
    const fnp_int along = transposed ? 1 : columns, across = transposed ? inner : 1;
    fnp_int i, j, k;
    for (i = 0; i < rows; i++, x += inner)
        for (j = 0; j < columns; j++) {
            fnp_real sum = 0;
            for (k = 0; k < inner; k++)
                sum += x[k] * y[j * across + k * along];
            *z = p * *z + q * sum;
            z++;
        }
}

/* The orthogonal factor of matrix u [rows][columns], about, by `ns_steps` steps of X = a X + (b A + c A A) X, A = X X^T, times
 * length. scratch: rows columns + 2 min(rows, columns)^2 */
static void fnp_make_orthogonal(fnp_real *u, fnp_real *scratch, fnp_int rows, fnp_int columns, fnp_int ns_steps, fnp_real a,
                                fnp_real b, fnp_real c, fnp_real length)
{
    const fnp_int less = rows < columns ? rows : columns, more = rows < columns ? columns : rows;
    const fnp_int of_row = rows > columns ? 1 : columns, of_column = rows > columns ? columns : 1;
    const fnp_real scale = 1 / (fnp_norm(u, rows * columns) + FNP_R(1e-7));
    fnp_real *x = scratch, *square = x + rows * columns, *sum = square + less * less;
    fnp_int i, j, step;
    for (i = 0; i < less; i++)
        for (j = 0; j < more; j++)
            x[i * more + j] = scale * u[i * of_row + j * of_column];
    for (step = 0; step < ns_steps; step++) {
        fnp_zero(square, less * less);
        fnp_multiply_matrices(x, x, square, less, more, less, 1, 0, 1);
        fnp_copy(square, sum, less * less);
        fnp_multiply_matrices(square, square, sum, less, less, less, 0, b, c);
        fnp_copy(x, u, rows * columns);
        fnp_multiply_matrices(sum, u, x, less, less, more, 0, a, 1);
    }
    for (i = 0; i < less; i++)
        for (j = 0; j < more; j++)
            u[i * of_row + j * of_column] = length * x[i * more + j];
}

/* matrices: 1 for a matrix, 0 for all else, which follows Adam. */
static void fnp_update_muon(fnp_real *parameter, fnp_real *gradient, fnp_real *momentum_slot, fnp_real *velocity_slot,
                            fnp_real *scratch, fnp_int n, fnp_int matrices, fnp_int rows, fnp_int columns, fnp_real learning_rate,
                            fnp_real momentum, fnp_int nesterov, fnp_int ns_steps, fnp_real muon_a, fnp_real muon_b,
                            fnp_real muon_c, fnp_real one_minus_adam_beta_1, fnp_real one_minus_adam_beta_2,
                            fnp_real log_adam_beta_1, fnp_real log_adam_beta_2, fnp_real epsilon, fnp_real adam_lr_ratio,
                            fnp_real rms_rate, fnp_real adam_decay, fnp_real decay, uint32_t step)
{
    const fnp_int more = rows < columns ? columns : rows;
    fnp_int i;
    if (matrices == 1) {
        for (i = 0; i < n; i++) {
            momentum_slot[i] = momentum * momentum_slot[i] + gradient[i];
            gradient[i] = nesterov ? gradient[i] + momentum * momentum_slot[i] : momentum_slot[i];
        }
        fnp_make_orthogonal(gradient, scratch, rows, columns, ns_steps, muon_a, muon_b, muon_c,
                            rms_rate > 0 ? rms_rate * fnp_sqrt((fnp_real)more) : 1);
    } else {
        const fnp_real ratio =
            adam_lr_ratio * fnp_sqrt(fnp_correction(log_adam_beta_2, step)) / fnp_correction(log_adam_beta_1, step);
        decay = adam_decay;
        for (i = 0; i < n; i++) {
            const fnp_real g = gradient[i], m = fnp_follow(momentum_slot + i, g, one_minus_adam_beta_1);
            const fnp_real v = fnp_follow(velocity_slot + i, g * g, one_minus_adam_beta_2);
            gradient[i] = ratio * m / (fnp_sqrt(v) + epsilon);
        }
    }
    for (i = 0; i < n; i++)
        parameter[i] -= learning_rate * (decay * parameter[i] + gradient[i]);
}
