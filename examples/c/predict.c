/* predict MODEL < NUMBERS: what a model that Python saved makes of each row of numbers. */
#include <fastnet.h>
#include <stdio.h>
#include <stdlib.h>

static long size_of(const fn_shape *shape)
{
    long size = 1;
    for (int i = 0; i < shape->rank; i++)
        size *= (long)shape->size[i];
    return size;
}

int main(int argc, char **argv)
{
    fn_error error;
    fn_model *model;
    if (argc != 2 || fn_model_load(argv[1], &model, &error))
        return printf("%s\n", argc == 2 ? error.message : "usage: predict MODEL < NUMBERS"), 1;
    const long width = size_of(fn_model_input(model, 0)), n = size_of(fn_model_output(model, 0));
    float *x = malloc((size_t)width * sizeof *x), *y = malloc((size_t)n * sizeof *y);
    for (long i = 0; scanf("%f", &x[i]) == 1; i = (i + 1) % width)
        if (i == width - 1 && !fn_model_predict(model, 1, &(fn_source){x, FN_FLOAT32, 0}, (void *[]){y}, &error))
            for (long j = 0; j < n; j++)
                printf("%.9g%c", y[j], j == n - 1 ? '\n' : ' ');
}
