/* Losses. Each writes the loss of a position and adds scale times its derivative to the gradient of the prediction.
 * prediction, target, gradient [positions][width]; scale, losses [positions]. */

/* What a position counts in the total loss: factor times the weight of its row; weight: NULL, or [rows]. */
static void fnp_scale_of_loss(const fnp_real *weight, fnp_real *scale, fnp_int rows, fnp_int inner, fnp_real factor)
{
    fnp_int r, i;
    for (r = 0; r < rows; r++)
        for (i = 0; i < inner; i++)
            scale[r * inner + i] = weight ? factor * weight[r] : factor;
}

/* Where an output has a mask: the mean is over the positions that count. */
static void fnp_mask_scale(const fnp_real *mask, fnp_real *scale, fnp_int positions)
{
    fnp_int p;
    fnp_real counted = 0;
    for (p = 0; p < positions; p++)
        counted += mask[p];
    for (p = 0; p < positions; p++)
        scale[p] = mask[p] > 0 ? scale[p] * (fnp_real)positions / counted : 0;
}

static void fnp_add_loss(const fnp_real *losses, const fnp_real *scale, fnp_real *total, fnp_int positions)
{
    fnp_int p;
    for (p = 0; p < positions; p++)
        *total += scale[p] == 0 ? 0 : scale[p] * losses[p];
}

/* mean (p - t)^2 */
static void fnp_mean_squared_error(const fnp_real *prediction, const fnp_real *target, const fnp_real *scale, fnp_real *losses,
                                   fnp_real *gradient, fnp_int positions, fnp_int width)
{
    fnp_int p, j;
    for (p = 0; p < positions; p++) {
        fnp_real sum = 0;
        for (j = 0; j < width; j++) {
            const fnp_real error = *prediction++ - *target++;
            sum += error * error;
            *gradient++ += 2 * scale[p] * error / (fnp_real)width;
        }
        losses[p] = sum / (fnp_real)width;
    }
}
