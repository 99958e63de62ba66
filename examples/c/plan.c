/* A network made from nothing, 2 -> 16 tanh -> 1, learns whether two numbers have the same sign. */
#include <fastnet.h>
#include <stdio.h>

enum { ROWS = 512, BATCH = 32, EPOCHS = 40, SEED = 1 };
static _Alignas(FN_ALIGNMENT) float slab[4][256]; /* parameters, gradients, and the two slots of Adam */

int main(void)
{
    static float x[ROWS][2], y[ROWS];
    for (int i = 0; i < ROWS; i++) { /* points that are spread evenly */
        x[i][0] = (float)(i * 50065 % 65536 - 32768) / 32768, x[i][1] = (float)(i * 40503 % 65536 - 32768) / 32768;
        y[i] = x[i][0] * x[i][1] > 0;
    }
    fn_error error = {0};
    fn_plan *plan;
    int64_t order[ROWS], n;
    double dense[2][FN_MAX_HYPER], hyper[FN_MAX_HYPER];
    const int32_t value[] = {0, 1}, parameter[] = {0, 1, 2, 3};
    fn_parameter_spec parameters[4] = {0};
    fn_node_spec nodes[] = {{"dense", "hidden", 1, value, 2, parameter, dense[0]},
                            {"dense", "score", 1, value + 1, 2, parameter + 2, dense[1]}};
    fn_plan_spec spec = {.size = sizeof spec,
                         .dtype = FN_FLOAT32,
                         .max_rows = BATCH,
                         .training = true,
                         .seed = SEED,
                         .n_inputs = 1,
                         .n_nodes = 2,
                         .n_parameters = 4,
                         .n_outputs = 1,
                         .inputs = &(fn_input_spec){.shape = {1, {2}}},
                         .nodes = nodes,
                         .parameters = parameters,
                         .outputs = &(fn_output_spec){.value = 2, .loss = "mean_squared_error", .loss_weight = 1},
                         .optimizer = "adam",
                         .hyper = hyper,
                         .parameter_slab = slab[0],
                         .gradient_slab = slab[1],
                         .slots = {slab[2], slab[3]}};
    bool failed = fn_set_attributes(FN_OPS, "dense", "units=16 activation=tanh", dense[0], &error) ||
                  fn_set_attributes(FN_OPS, "dense", "units=1", dense[1], &error) ||
                  fn_set_attributes(FN_OPTIMIZERS, "adam", "learning_rate=0.02", hyper, &error) ||
                  fn_lay_out_parameters(&spec, parameters, &n, &error) || n > 256;
    for (uint64_t i = 0; !failed && i < 4; i++)
        failed = fn_initialize(i % 2 ? "zeros" : "glorot_uniform", spec.dtype, &parameters[i].shape, SEED, i,
                               slab[0] + parameters[i].offset, &error);
    failed = failed || fn_plan_create(&spec, &plan, &error);
    double loss[2];
    fn_run run = {.size = sizeof run,
                  .phases = FN_PHASE_FORWARD | FN_PHASE_LOSS | FN_PHASE_BACKWARD | FN_PHASE_UPDATE,
                  .n_rows = ROWS,
                  .batch_size = BATCH,
                  .order = order,
                  .inputs = &(fn_source){x, FN_FLOAT32, sizeof x[0]},
                  .targets = &(fn_source){y, FN_FLOAT32, sizeof y[0]},
                  .hyper = hyper,
                  .loss_sum = loss};
    for (uint64_t epoch = 0; !failed && epoch < EPOCHS; epoch++, run.step += ROWS / BATCH) {
        fn_shuffle(SEED, epoch, ROWS, order);
        loss[0] = loss[1] = 0;
        failed = fn_plan_run(plan, &run, &error);
        printf("epoch %d: loss %.9g\n", (int)epoch + 1, loss[0] / ROWS);
    }
    return failed ? printf("%s\n", error.message) : 0;
}
