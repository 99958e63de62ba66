/* Descriptions and calls in which something is wrong that Python never sends: each is refused with a status, before anything is
 * read that is not there. Prints what is wrong; the exit code is 0 if nothing is. */
#include "../../csrc/engine/update.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 4, FEATURES = 3, UNITS = 2, SLAB = 32 };

static _Alignas(FN_ALIGNMENT) float parameters[SLAB], gradients[SLAB], slot[3][SLAB];
static float x[ROWS][FEATURES], y[ROWS][UNITS];
static double hyper[FN_MAX_HYPER], metrics[8], losses[2];

/* A dense layer, trained by Adam; every case changes something of it. */
static fn_input_spec input;
static fn_node_spec node;
static fn_parameter_spec parameter[2];
static fn_output_spec output;
static fn_metric_spec metric;
static fn_scheduled scheduled;
static fn_assignment assignment;
static fn_constraint constraint;
static fn_source inputs, targets;
static double dense[4];
static int32_t read, used[2];

static fn_plan_spec describe(void)
{
    const fn_entry *adam = fn_registry_entry(FN_OPTIMIZERS, fn_registry_find(FN_OPTIMIZERS, "adam"));
    const fn_entry *around = fn_registry_entry(FN_UPDATES, 0);
    for (int i = 0; i < adam->n_attributes + around->n_attributes; i++)
        hyper[i] = i < adam->n_attributes ? adam->attributes[i].value : around->attributes[i - adam->n_attributes].value;
    dense[0] = UNITS, dense[1] = 1, dense[2] = fn_registry_find(FN_ACTIVATIONS, "linear"), dense[3] = 0;
    read = 0, used[0] = 0, used[1] = 1;
    input = (fn_input_spec){.shape = {1, {FEATURES}}};
    node = (fn_node_spec){"dense", "first", 1, &read, 2, used, dense};
    constraint = (fn_constraint){.lowest = 0, .highest = 1, .rate = 1, .reduced = FEATURES, .inner = UNITS};
    parameter[0] = (fn_parameter_spec){.shape = {2, {FEATURES, UNITS}}, .trainable = true, .rate = 1, .constraint = &constraint};
    parameter[1] = (fn_parameter_spec){.shape = {1, {UNITS}}, .offset = 16, .trainable = true, .rate = 1};
    output = (fn_output_spec){.value = 1, .loss = "mean_squared_error", .loss_weight = 1, .layer = "head"};
    metric = (fn_metric_spec){.metric = "mean_squared_error"};
    scheduled = (fn_scheduled){0, 0};
    assignment = (fn_assignment){0, 1};
    inputs = (fn_source){x, FN_FLOAT32, sizeof x[0]};
    targets = (fn_source){y, FN_FLOAT32, sizeof y[0]};
    return (fn_plan_spec){.size = sizeof(fn_plan_spec),
                          .dtype = FN_FLOAT32,
                          .max_rows = ROWS,
                          .training = true,
                          .n_threads = 1,
                          .n_inputs = 1,
                          .inputs = &input,
                          .n_nodes = 1,
                          .nodes = &node,
                          .n_parameters = 2,
                          .parameters = parameter,
                          .n_outputs = 1,
                          .outputs = &output,
                          .n_metrics = 1,
                          .metrics = &metric,
                          .optimizer = "adam",
                          .hyper = hyper,
                          .scheduled = &scheduled,
                          .parameter_slab = parameters,
                          .gradient_slab = gradients,
                          .slots = {slot[0], slot[1]},
                          .assignments = &assignment};
}

typedef struct description_case {
    const char *name;
    fn_status status;
    void (*change)(fn_plan_spec *spec);
} description_case;

#define CASE(name, statement)                                                                                                    \
    static void name(fn_plan_spec *spec)                                                                                         \
    {                                                                                                                            \
        (void)spec;                                                                                                              \
        statement;                                                                                                               \
    }
CASE(nothing, (void)0)
CASE(negative_inputs, spec->n_inputs = -1)
CASE(negative_nodes, spec->n_nodes = -1)
CASE(negative_parameters, spec->n_parameters = -1)
CASE(negative_outputs, spec->n_outputs = INT32_MIN)
CASE(negative_metrics, spec->n_metrics = -1)
CASE(negative_scheduled, spec->n_scheduled = -1)
CASE(negative_assignments, spec->n_assignments = -1)
CASE(too_many_nodes, spec->n_nodes = INT32_MAX)
CASE(no_inputs, spec->inputs = NULL)
CASE(no_nodes, spec->nodes = NULL)
CASE(no_parameters, spec->parameters = NULL)
CASE(no_outputs, spec->outputs = NULL)
CASE(no_metrics, spec->metrics = NULL)
CASE(no_scheduled, (spec->n_scheduled = 1, spec->scheduled = NULL))
CASE(no_assignments, (spec->n_assignments = 1, spec->assignments = NULL))
CASE(assigned_elsewhere, (spec->n_assignments = 1, assignment.parameter = 2))
CASE(assigned_negative, (spec->n_assignments = 1, assignment.parameter = -1))
CASE(assigned_frozen, (spec->n_assignments = 1, parameter[0].trainable = false))
CASE(assigned_unknown, (spec->n_assignments = 1, assignment.value = 2))
CASE(assigned_rows, spec->n_assignments = 1)
CASE(assigned_without_update, (spec->n_assignments = 1, spec->optimizer = NULL))
CASE(no_operation, node.op = NULL)
CASE(no_layer, node.layer = NULL)
CASE(no_attributes, node.attributes = NULL)
CASE(no_values, node.inputs = NULL)
CASE(negative_values, node.n_inputs = -1)
CASE(no_numbers, node.parameters = NULL)
CASE(negative_numbers, node.n_parameters = INT32_MIN)
CASE(no_metric, metric.metric = NULL)
CASE(metric_elsewhere, metric.output = INT32_MAX)
CASE(metric_attributes, metric.metric = "auc")
CASE(metric_of_labels, metric.metric = "sparse_categorical_accuracy")
CASE(loss_attributes, output.loss = "huber")
CASE(output_elsewhere, output.value = INT32_MIN)
CASE(no_hyper, spec->hyper = NULL)
CASE(bad_hyper, hyper[1] = 1)
CASE(bad_update,
     hyper[fn_registry_entry(FN_OPTIMIZERS, fn_registry_find(FN_OPTIMIZERS, "adam"))->n_attributes + FN_MEAN_PERIOD] = 0)
CASE(no_slot, spec->slots[1] = NULL)
CASE(slot_beside, spec->slots[1] = (char *)slot[1] + 4)
CASE(no_third_slot, hyper[4] = 1)
CASE(no_slab, spec->parameter_slab = NULL)
CASE(slab_beside, spec->parameter_slab = (char *)parameters + 4)
CASE(gradients_beside, spec->gradient_slab = (char *)gradients + 4)
CASE(offset_negative, parameter[1].offset = -16)
CASE(offset_beside, parameter[1].offset = 17)
CASE(offset_overflows, parameter[1].offset = INT64_MAX - 63)
CASE(rank_of_parameter, parameter[0].shape.rank = 7)
CASE(size_of_parameter, parameter[0].shape.size[0] = INT64_MAX)
CASE(rate_nan, parameter[0].rate = NAN)
CASE(penalty_negative, parameter[0].l2 = -1)
CASE(constraint_zero, constraint.reduced = 0)
CASE(constraint_large, constraint.inner = INT64_MAX)
CASE(constraint_overflows, (constraint.reduced = (int64_t)1 << 33, constraint.inner = (int64_t)1 << 33))
CASE(constraint_nan, constraint.rate = NAN)
CASE(scheduled_elsewhere, (spec->n_scheduled = 1, scheduled.node = 1))
CASE(scheduled_shape, spec->n_scheduled = 1)
CASE(rank_of_input, input.shape.rank = -1)
CASE(size_of_input, input.shape = ((fn_shape){2, {(int64_t)1 << 40, (int64_t)1 << 40}}))
CASE(rows_overflow, spec->max_rows = INT64_MAX)
CASE(dtype_unknown, spec->dtype = FN_INT32)

#define REFUSED(name, status) {#name, FN_ERROR_##status, name}
static const description_case descriptions[] = {
    {"nothing", FN_OK, nothing},
    REFUSED(negative_inputs, GRAPH),
    REFUSED(negative_nodes, GRAPH),
    REFUSED(negative_parameters, GRAPH),
    REFUSED(negative_outputs, GRAPH),
    REFUSED(negative_metrics, GRAPH),
    REFUSED(negative_scheduled, GRAPH),
    REFUSED(negative_assignments, GRAPH),
    REFUSED(too_many_nodes, GRAPH),
    REFUSED(no_inputs, GRAPH),
    REFUSED(no_nodes, GRAPH),
    REFUSED(no_parameters, GRAPH),
    REFUSED(no_outputs, GRAPH),
    REFUSED(no_metrics, GRAPH),
    REFUSED(no_scheduled, GRAPH),
    REFUSED(no_assignments, GRAPH),
    REFUSED(assigned_elsewhere, GRAPH),
    REFUSED(assigned_negative, GRAPH),
    REFUSED(assigned_frozen, GRAPH),
    REFUSED(assigned_unknown, GRAPH),
    REFUSED(assigned_rows, GRAPH),
    REFUSED(assigned_without_update, GRAPH),
    REFUSED(no_operation, GRAPH),
    REFUSED(no_layer, GRAPH),
    REFUSED(no_attributes, ATTRIBUTE),
    REFUSED(no_values, GRAPH),
    REFUSED(negative_values, GRAPH),
    REFUSED(no_numbers, GRAPH),
    REFUSED(negative_numbers, GRAPH),
    REFUSED(no_metric, NAME),
    REFUSED(metric_elsewhere, GRAPH),
    REFUSED(metric_attributes, ATTRIBUTE),
    REFUSED(metric_of_labels, SHAPE),
    REFUSED(loss_attributes, ATTRIBUTE),
    REFUSED(output_elsewhere, GRAPH),
    REFUSED(no_hyper, ATTRIBUTE),
    REFUSED(bad_hyper, ATTRIBUTE),
    REFUSED(bad_update, ATTRIBUTE),
    REFUSED(no_slot, GRAPH),
    REFUSED(slot_beside, GRAPH),
    REFUSED(no_third_slot, GRAPH),
    REFUSED(no_slab, GRAPH),
    REFUSED(slab_beside, GRAPH),
    REFUSED(gradients_beside, GRAPH),
    REFUSED(offset_negative, GRAPH),
    REFUSED(offset_beside, GRAPH),
    REFUSED(offset_overflows, GRAPH),
    REFUSED(rank_of_parameter, SHAPE),
    REFUSED(size_of_parameter, SHAPE),
    REFUSED(rate_nan, ATTRIBUTE),
    REFUSED(penalty_negative, ATTRIBUTE),
    REFUSED(constraint_zero, SHAPE),
    REFUSED(constraint_large, SHAPE),
    REFUSED(constraint_overflows, SHAPE),
    REFUSED(constraint_nan, ATTRIBUTE),
    REFUSED(scheduled_elsewhere, GRAPH),
    REFUSED(scheduled_shape, ATTRIBUTE),
    REFUSED(rank_of_input, SHAPE),
    REFUSED(size_of_input, SHAPE),
    REFUSED(rows_overflow, MEMORY),
    REFUSED(dtype_unknown, DTYPE),
};

static int failures;

static void expect(const char *what, fn_status got, fn_status expected, const fn_error *error)
{
    if (got == expected && (got == FN_OK || (error->status == got && error->message[0])))
        return;
    printf("%s: %s, expected %s: %s\n", what, fn_status_name(got), fn_status_name(expected), got == FN_OK ? "" : error->message);
    failures++;
}

static void check_descriptions(void)
{
    for (size_t i = 0; i < sizeof descriptions / sizeof descriptions[0]; i++) {
        fn_plan_spec spec = describe();
        fn_plan *plan = NULL;
        fn_error error = {0};
        descriptions[i].change(&spec);
        expect(descriptions[i].name, fn_plan_create(&spec, &plan, &error), descriptions[i].status, &error);
        if ((plan == NULL) != (descriptions[i].status != FN_OK)) {
            printf("%s: the plan is not as the status says\n", descriptions[i].name);
            failures++;
        }
        fn_plan_destroy(plan);
    }
}

static void check_run(const char *what, fn_plan *plan, unsigned phases, int64_t rows, fn_status expected)
{
    fn_error error = {0};
    fn_run run = {.size = sizeof run,
                  .phases = phases,
                  .n_rows = rows,
                  .batch_size = ROWS,
                  .inputs = &inputs,
                  .targets = &targets,
                  .hyper = hyper,
                  .metrics = metrics,
                  .loss_sum = losses};
    expect(what, fn_plan_run(plan, &run, &error), expected, &error);
}

/* What is kept from the forward to the backward pass are also places in arrays: these must be of the same rows. */
static void check_runs(void)
{
    fn_plan_spec spec = describe();
    fn_plan *plan = NULL;
    fn_error error = {0};
    expect("a plan", fn_plan_create(&spec, &plan, &error), FN_OK, &error);
    if (!plan)
        return;
    check_run("backward before any forward", plan, FN_PHASE_BACKWARD, ROWS, FN_ERROR_STATE);
    check_run("forward", plan, FN_PHASE_FORWARD, ROWS - 1, FN_OK);
    check_run("backward of other rows", plan, FN_PHASE_BACKWARD, ROWS, FN_ERROR_STATE);
    check_run("loss between", plan, FN_PHASE_LOSS, ROWS - 1, FN_OK);
    check_run("backward of the same", plan, FN_PHASE_BACKWARD, ROWS - 1, FN_OK);
    check_run("backward again", plan, FN_PHASE_BACKWARD, ROWS - 1, FN_ERROR_STATE);
    check_run("forward of several batches", plan, FN_PHASE_FORWARD, ROWS, FN_OK);
    check_run("a step", plan, FN_PHASE_FORWARD | FN_PHASE_LOSS | FN_PHASE_BACKWARD | FN_PHASE_UPDATE, ROWS, FN_OK);
    check_run("backward after a step", plan, FN_PHASE_BACKWARD, ROWS, FN_ERROR_STATE);
    inputs.data = NULL;
    check_run("no data", plan, FN_PHASE_FORWARD, ROWS, FN_ERROR_STATE);
    inputs = (fn_source){x, (fn_dtype)9, sizeof x[0]};
    check_run("data of no dtype", plan, FN_PHASE_FORWARD, ROWS, FN_ERROR_STATE);
    inputs.dtype = FN_FLOAT32;
    targets.data = NULL;
    check_run("no targets", plan, FN_PHASE_LOSS, ROWS, FN_ERROR_STATE);
    targets.data = y;
    /* How many weights a row has says nothing where there are none. */
    const int64_t per_row[] = {INT64_MAX, 3};
    float bias[UNITS];
    for (int i = 0; i < ROWS * UNITS; i++)
        y[i / UNITS][i % UNITS] = 1;
    const unsigned phases = FN_PHASE_FORWARD | FN_PHASE_LOSS | FN_PHASE_BACKWARD;
    check_run("two rows", plan, phases, 2, FN_OK);
    memcpy(bias, gradients + 16, sizeof bias);
    for (int i = 0; i < 2; i++) {
        check_run("other rows", plan, phases, ROWS, FN_OK);
        fn_run run = {.size = sizeof run,
                      .phases = phases,
                      .n_rows = 2,
                      .batch_size = ROWS,
                      .inputs = &inputs,
                      .targets = &targets,
                      .hyper = hyper,
                      .metrics = metrics,
                      .loss_sum = losses,
                      .weights_per_row = &per_row[i]};
        expect("no weights in rows", fn_plan_run(plan, &run, &error), FN_OK, &error);
        if (bias[0] == 0 || memcmp(bias, gradients + 16, sizeof bias)) {
            printf("no weights in rows: the gradient is %g, expected %g\n", (double)gradients[16], (double)bias[0]);
            failures++;
        }
    }
    /* Numbers that come with a step and are none: taken as the nearest count that there is. */
    const int around = fn_registry_entry(FN_OPTIMIZERS, fn_registry_find(FN_OPTIMIZERS, "adam"))->n_attributes;
    const double odd[] = {NAN, INFINITY, -INFINITY, -1, 1e300};
    for (int i = FN_ACCUMULATION_STEPS; i < FN_UPDATE_HYPER; i++)
        for (int j = 0; j < 5; j++) {
            (void)describe();
            hyper[around + i] = odd[j];
            check_run("an odd number in a step", plan, FN_PHASE_UPDATE, ROWS, FN_OK);
        }
    fn_plan_destroy(plan);
}

/* Names that are not there, and functions that answer without an fn_error. */
static void check_queries(void)
{
    const fn_shape shape = {1, {4}};
    fn_shape target;
    fn_signature signature;
    double start[FN_MAX_SLOTS], numbers[FN_MAX_HYPER] = {NAN, NAN};
    const char *names[FN_MAX_SLOTS];
    const double one = 1;
    struct {
        const char *what;
        int64_t got, expected;
    } answers[] = {
        {"no such operation", fn_infer("no", NULL, 1, &shape, NULL, &signature, NULL), FN_ERROR_NAME},
        {"no name", fn_infer(NULL, NULL, 1, &shape, NULL, &signature, NULL), FN_ERROR_NAME},
        {"no attributes", fn_infer("dense", "d", 1, &shape, NULL, &signature, NULL), FN_ERROR_ATTRIBUTE},
        {"no such loss", fn_infer_target("no", NULL, &shape, &target, NULL), FN_ERROR_NAME},
        {"no such metric", fn_metric_size("no", NULL, &shape), -1},
        {"a metric without attributes", fn_metric_size("auc", NULL, &shape), -1},
        {"a metric out of its range", fn_metric_size("top_k_categorical_accuracy", numbers, &shape), -1},
        {"a metric", fn_metric_size("top_k_categorical_accuracy", &one, &shape), 2},
        {"no such optimizer", fn_optimizer_slots("no", numbers, names, start), -1},
        {"an optimizer out of its range", fn_optimizer_slots("sgd", numbers, names, start), -1},
        {"no entry", fn_check_attributes(FN_OPS, "no", NULL, NULL, NULL), FN_ERROR_NAME},
        {"an entry without attributes", fn_check_attributes(FN_OPS, "add", NULL, NULL, NULL), FN_OK},
        {"no registry", fn_registry_entry((fn_registry)99, 0) != NULL, 0},
        {"names of statuses", !strcmp(fn_status_name((fn_status)99), "UNKNOWN"), 1},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (answers[i].got != answers[i].expected) {
            printf("%s: %lld, expected %lld\n", answers[i].what, (long long)answers[i].got, (long long)answers[i].expected);
            failures++;
        }
}

int main(void)
{
    check_descriptions();
    check_runs();
    check_queries();
    return failures != 0;
}
