/* A window that slides over an image, [height][width][channels]; a series is an image of height 1. What is beyond the image
 * counts as absent: `top` and `left` pixels before it, and behind it whatever windows reach.
 *
 * Of a convolution, `filters` and `groups` say what is in the output; pooling has as many channels there as in its input. */
typedef struct fnp_window {
    fnp_int height, width, channels;
    fnp_int out_height, out_width, filters;
    fnp_int window_height, window_width;
    fnp_int stride_height, stride_width;
    fnp_int dilation_height, dilation_width;
    fnp_int top, left;
    fnp_int groups;
} fnp_window;

/* The first tap of a window that is not before the image: its taps are at start, start + dilation, ... */
static fnp_int fnp_first_tap(fnp_int start, fnp_int dilation, fnp_int taps)
{
    fnp_int tap = 0;
    for (; start < 0 && tap < taps; start += dilation)
        tap++;
    return tap;
}

/* Behind the last tap that is inside the image of `size` pixels; not before the first one. */
static fnp_int fnp_end_tap(fnp_int start, fnp_int dilation, fnp_int taps, fnp_int size, fnp_int first)
{
    while (taps > first && start + (taps - 1) * dilation >= size)
        taps--;
    return taps;
}
