/* train MODEL NEW: goes on with the training of a model of two inputs and one output, which learns whether they have the same
 * sign, and saves it for Python. */
#include <fastnet.h>
#include <stdio.h>

enum { ROWS = 512, EPOCHS = 20 };
static float x[ROWS][2], y[ROWS];

int main(int argc, char **argv)
{
    for (int i = 0; i < ROWS; i++) { /* points that are spread evenly */
        x[i][0] = (float)(i * 50065 % 65536 - 32768) / 32768;
        x[i][1] = (float)(i * 40503 % 65536 - 32768) / 32768;
        y[i] = x[i][0] * x[i][1] > 0;
    }
    fn_error error;
    fn_model *model;
    if (argc != 3 || fn_model_load(argv[1], &model, &error))
        return printf("%s\n", argc == 3 ? error.message : "usage: train MODEL NEW"), 1;
    const fn_source inputs = {x, FN_FLOAT32, sizeof x[0]}, targets = {y, FN_FLOAT32, sizeof y[0]};
    double losses[EPOCHS];
    const fn_fit fit = {.size = sizeof fit,
                        .n_rows = ROWS,
                        .batch_size = 32,
                        .epochs = EPOCHS,
                        .inputs = &inputs,
                        .targets = &targets,
                        .losses = losses};
    if (fn_model_fit(model, &fit, &error) || fn_model_save(model, argv[2], &error))
        return printf("%s\n", error.message), 1;
    for (int i = 0; i < EPOCHS; i++)
        printf("epoch %d: loss %.9g\n", i + 1, losses[i]);
    fn_model_destroy(model);
}
