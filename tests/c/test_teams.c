/* Trains a network that may be divided among shards with one thread, and with five of which the plan chooses by measurement: one,
 * two with shards, or all. Each has to be tried, and the numbers are to be the same. A machine with two processors would not try
 * all, so this looks into the plan. With FASTNET_QUICK in the environment it takes fewer rows, for processors that are emulated.
 * Prints what is wrong; the exit code is 0 if nothing is. */
#include "../../csrc/engine/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES = 48, FIRST = 128, SECOND = 96, ROWS = 1280, BATCH = 64, THREADS = 5, SIZE = 20480 };

static _Alignas(FN_ALIGNMENT) float parameters[SIZE], gradients[SIZE];
static float x[ROWS][FEATURES], y[ROWS][SECOND];
static int64_t rows = ROWS, batch = BATCH, passes = 40;

static float number(int64_t i)
{
    return (float)((i * 2654435761u) % 1000) / 1000 - 0.5f;
}

static fn_plan *make_plan(int n_threads, const double *hyper)
{
    static const int32_t inputs[2] = {0, 1}, given[2][2] = {{0, 1}, {2, 3}};
    static const double dense[2][4] = {{FIRST, 1, 1, 0}, {SECOND, 1, 0, 0}};
    const fn_input_spec input = {.shape = {1, {FEATURES}}};
    const fn_node_spec nodes[2] = {{"dense", "first", 1, &inputs[0], 2, given[0], dense[0]},
                                   {"dense", "second", 1, &inputs[1], 2, given[1], dense[1]}};
    fn_parameter_spec kinds[4] = {
        {.shape = {2, {FEATURES, FIRST}}}, {.shape = {1, {FIRST}}}, {.shape = {2, {FIRST, SECOND}}}, {.shape = {1, {SECOND}}}};
    int64_t offset = 0;
    for (int i = 0; i < 4; i++) {
        kinds[i].offset = offset;
        kinds[i].trainable = true;
        kinds[i].rate = 1;
        offset += fn_shape_size(&kinds[i].shape);
    }
    const fn_output_spec output = {.value = 2, .loss = "mean_squared_error", .loss_weight = 1, .layer = "output"};
    const fn_plan_spec spec = {.size = sizeof spec,
                               .dtype = FN_FLOAT32,
                               .max_rows = batch,
                               .training = true,
                               .n_threads = n_threads,
                               .n_inputs = 1,
                               .n_nodes = 2,
                               .n_parameters = 4,
                               .n_outputs = 1,
                               .inputs = &input,
                               .nodes = nodes,
                               .parameters = kinds,
                               .outputs = &output,
                               .optimizer = "sgd",
                               .hyper = hyper,
                               .parameter_slab = parameters,
                               .gradient_slab = gradients};
    fn_plan *plan;
    fn_error error;
    if (fn_plan_create(&spec, &plan, &error) != FN_OK) {
        printf("%s\n", error.message);
        exit(1);
    }
    return plan;
}

/* Trains until the trial is over, and then for as many passes in all; returns whether all kinds of teams have been tried. */
static bool train(fn_plan *plan, const double *hyper)
{
    const fn_source source = {x, FN_FLOAT32, sizeof x[0]}, target = {y, FN_FLOAT32, sizeof y[0]};
    bool tried = false;
    for (int pass = 0; pass < passes; pass++) {
        double loss[2] = {0};
        fn_run run = {.size = sizeof run,
                      .phases = FN_PHASE_FORWARD | FN_PHASE_LOSS | FN_PHASE_BACKWARD | FN_PHASE_UPDATE,
                      .n_rows = rows,
                      .batch_size = batch,
                      .inputs = &source,
                      .targets = &target,
                      .step = (uint64_t)(pass * rows / batch),
                      .hyper = hyper,
                      .loss_sum = loss};
        fn_error error;
        if (fn_plan_run(plan, &run, &error) != FN_OK) {
            printf("%s\n", error.message);
            exit(1);
        }
        for (int i = 0; i < plan->n_autotunes; i++)
            tried |= plan->autotunes[i].best[0] > 0 && plan->autotunes[i].best[1] > 0 && plan->autotunes[i].best[2] > 0;
    }
    return tried;
}

int main(void)
{
    if (getenv("FASTNET_QUICK")) {
        rows = 320;
        batch = 16;
        passes = 4;
    }
    const fn_entry *sgd = fn_registry_entry(FN_OPTIMIZERS, fn_registry_find(FN_OPTIMIZERS, "sgd"));
    double hyper[FN_MAX_HYPER];
    for (int i = 0; i < sgd->n_attributes; i++)
        hyper[i] = sgd->attributes[i].value;
    for (int i = 0; i < FN_UPDATE_HYPER; i++)
        hyper[sgd->n_attributes + i] = fn_update_entry.attributes[i].value;
    for (int64_t i = 0; i < ROWS * FEATURES; i++)
        x[i / FEATURES][i % FEATURES] = number(i);
    for (int64_t i = 0; i < ROWS * SECOND; i++)
        y[i / SECOND][i % SECOND] = number(3 * i);

    static float results[2][SIZE];
    int failures = 0;
    for (int chosen = 0; chosen < 2; chosen++) {
        for (int64_t i = 0; i < SIZE; i++)
            parameters[i] = number(7 * i) / 5;
        fn_plan *plan = make_plan(chosen ? THREADS : 1, hyper);
        plan->fixed_threads = !chosen;
        if (train(plan, hyper) != chosen || (plan->n_plans > 0) != chosen || (plan->peer_steps > 0) != chosen) {
            printf("%d threads: not as it should be: shards %d, %lld steps\n", plan->max_threads, plan->n_plans > 0,
                   (long long)plan->peer_steps);
            failures++;
        }
        memcpy(results[chosen], parameters, sizeof parameters);
        fn_plan_destroy(plan);
    }
    if (memcmp(results[0], results[1], sizeof results[0]) != 0) {
        printf("other numbers with several threads\n");
        failures++;
    }
    return failures != 0;
}
