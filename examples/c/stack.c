/* A network made from nothing, 2 -> 16 tanh -> 1, learns whether two numbers have the same sign. */
#include <fastnet.h>
#include <stdio.h>

enum { ROWS = 512, EPOCHS = 40 };
static float x[ROWS][2], y[ROWS];

int main(void)
{
    for (int i = 0; i < ROWS; i++) { /* points that are spread evenly */
        x[i][0] = (float)(i * 50065 % 65536 - 32768) / 32768;
        x[i][1] = (float)(i * 40503 % 65536 - 32768) / 32768;
        y[i] = x[i][0] * x[i][1] > 0;
    }
    fn_error error;
    fn_model *model;
    const char *layers[] = {"dense units=16 activation=tanh", "dense units=1"};
    const fn_stack stack = {.size = sizeof stack,
                            .seed = 1,
                            .input = {1, {2}},
                            .n_layers = 2,
                            .layers = layers,
                            .loss = "mean_squared_error",
                            .optimizer = "adam learning_rate=0.02"};
    const fn_source inputs = {x, FN_FLOAT32, sizeof x[0]}, targets = {y, FN_FLOAT32, sizeof y[0]};
    double losses[EPOCHS];
    const fn_fit fit = {sizeof fit, ROWS, 32, EPOCHS, false, &inputs, &targets, NULL, losses};
    if (fn_model_create(&stack, &model, &error) || fn_model_fit(model, &fit, &error))
        return printf("%s\n", error.message), 1;
    for (int i = 0; i < EPOCHS; i++)
        printf("epoch %d: loss %.9g\n", i + 1, losses[i]);
    fn_model_destroy(model);
}
