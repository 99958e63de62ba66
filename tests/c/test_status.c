/* Produces every status of csrc/fastnet/status.def through the public interface and checks code and message.
 * Prints what is wrong; the exit code is 0 if nothing is. */
#include "../../csrc/fastnet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures;
static bool produced[FN_STATUS_COUNT];

/* The call gave `status`; its message, if any, contains `text`. */
static void expect(fn_status status, fn_status given, const fn_error *error, const char *text)
{
    produced[status] = true;
    if (given == status && (!text || (error->status == status && strstr(error->message, text))))
        return;
    printf("expected %s with '%s', got %s: %s\n", fn_status_name(status), text ? text : "", fn_status_name(given),
           error ? error->message : "");
    failures++;
}

/* x [2] -> dense [1] -> mean squared error, trained by SGD. */
static const double dense_attributes[] = {1, 0, 0, 0};
static const int32_t numbers[] = {0, 1};
static const fn_input_spec input = {.shape = {1, {2}}};
static const fn_parameter_spec parameter = {.shape = {2, {2, 1}}, .offset = 0, .trainable = true, .rate = 1};
static const fn_output_spec output = {.value = 1, .loss = "mean_squared_error", .loss_weight = 1, .layer = "head"};
static const fn_node_spec node = {.op = "dense",
                                  .layer = "first",
                                  .n_inputs = 1,
                                  .inputs = numbers,
                                  .n_parameters = 1,
                                  .parameters = numbers,
                                  .attributes = dense_attributes};
static double hyper[FN_MAX_HYPER]; /* the defaults */
static _Alignas(FN_ALIGNMENT) float parameters[FN_ALIGNMENT], gradients[FN_ALIGNMENT];

static void set_defaults(void)
{
    const fn_entry *const entries[] = {fn_registry_entry(FN_OPTIMIZERS, fn_registry_find(FN_OPTIMIZERS, "sgd")),
                                       fn_registry_entry(FN_UPDATES, 0)};
    int n = 0;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < entries[i]->n_attributes; j++)
            hyper[n++] = entries[i]->attributes[j].value;
}

static fn_plan_spec make_spec(void)
{
    return (fn_plan_spec){.size = sizeof(fn_plan_spec),
                          .dtype = FN_FLOAT32,
                          .max_rows = 4,
                          .training = true,
                          .n_threads = 1,
                          .n_inputs = 1,
                          .n_nodes = 1,
                          .n_parameters = 1,
                          .n_outputs = 1,
                          .inputs = &input,
                          .nodes = &node,
                          .parameters = &parameter,
                          .outputs = &output,
                          .optimizer = "sgd",
                          .hyper = hyper,
                          .parameter_slab = parameters,
                          .gradient_slab = gradients};
}

static void expect_create(fn_status status, const fn_plan_spec *spec, const char *text)
{
    fn_plan *plan = (fn_plan *)spec;
    fn_error error = {0};
    expect(status, fn_plan_create(spec, &plan, &error), &error, text);
    if (status != FN_OK && plan) {
        printf("%s: a plan was made all the same\n", text);
        failures++;
    }
    if (status == FN_OK)
        fn_plan_destroy(plan);
}

static void check_descriptions(void)
{
    fn_plan_spec spec = make_spec();
    expect_create(FN_OK, &spec, NULL);
    spec.max_rows = INT64_C(1) << 60;
    expect_create(FN_ERROR_MEMORY, &spec, "rows");
    spec = make_spec();
    spec.dtype = FN_UINT8;
    expect_create(FN_ERROR_DTYPE, &spec, "float32");
    spec = make_spec();
    spec.max_rows = 0;
    expect_create(FN_ERROR_SHAPE, &spec, "got 0");
    spec = make_spec();
    spec.n_threads = 1 << 30;
    expect_create(FN_ERROR_ATTRIBUTE, &spec, "n_threads");
    spec = make_spec();
    fn_node_spec other = node;
    spec.nodes = &other;
    fn_parameter_spec elsewhere = parameter;
    elsewhere.values = parameters;
    spec.parameters = &elsewhere;
    expect_create(FN_ERROR_GRAPH, &spec, "do not train");
    spec.parameters = &parameter;
    other.op = "convolute";
    expect_create(FN_ERROR_NAME, &spec, "'first'");
    other = node;
    other.inputs = numbers + 1;
    expect_create(FN_ERROR_GRAPH, &spec, "'first'");
}

static void check_runs(void)
{
    fn_plan_spec spec = make_spec();
    fn_plan *plan;
    fn_error error = {0};
    if (fn_plan_create(&spec, &plan, &error) != FN_OK) {
        printf("%s\n", error.message);
        failures++;
        return;
    }
    const float x[4] = {1, 2, 3, NAN}, y[2] = {1, 2};
    const fn_source inputs = {x, FN_FLOAT32, 2 * sizeof *x}, targets = {y, FN_FLOAT32, sizeof *y};
    fn_run run = {.size = sizeof run,
                  .phases = FN_PHASE_FORWARD | FN_PHASE_LOSS | FN_PHASE_BACKWARD | FN_PHASE_UPDATE,
                  .n_rows = 2,
                  .batch_size = 1,
                  .inputs = &inputs,
                  .targets = &targets,
                  .hyper = hyper,
                  .step = 100};
    expect(FN_ERROR_DIVERGED, fn_plan_run(plan, &run, &error), &error, "step 101");
    if (run.steps_done != 1 || run.next_row != 1) {
        printf("diverged: %lld steps, next row %lld\n", (long long)run.steps_done, (long long)run.next_row);
        failures++;
    }
    run.inputs = NULL;
    expect(FN_ERROR_STATE, fn_plan_run(plan, &run, &error), &error, "missing");
    fn_plan_destroy(plan);

    int64_t row = -1;
    double label = 0;
    expect(FN_ERROR_DATA, fn_check_finite(&inputs, 2, 2, &row), NULL, NULL);
    failures += row != 1;
    expect(FN_ERROR_LABEL, fn_check_labels(&targets, 2, 1, 2, &row, &label), NULL, NULL);
    failures += row != 1 || label != 2;
}

/* Structs of callers that set no size, or know more fields than this version. */
static void check_versions(void)
{
    fn_error error = {0};
    fn_plan_spec spec = make_spec();
    spec.size = 0;
    expect_create(FN_ERROR_SIZE, &spec, "fn_plan_spec.size is 0, expected sizeof(fn_plan_spec)");
    int64_t n_elements;
    fn_parameter_spec laid_out = parameter;
    expect(FN_ERROR_SIZE, fn_lay_out_parameters(&spec, &laid_out, &n_elements, &error), &error, "fn_plan_spec.size");
    fn_model *model;
    expect(FN_ERROR_SIZE, fn_model_create(&(fn_stack){.n_layers = 1}, &model, &error), &error, "fn_stack.size is 0");

    struct {
        fn_plan_spec known;
        int64_t more[2];
    } newer = {.known = make_spec(), .more = {1, 2}};
    newer.known.size = sizeof newer;
    fn_plan *plan = NULL;
    expect(FN_OK, fn_plan_create(&newer.known, &plan, &error), &error, NULL);
    if (!plan)
        return;
    fn_plan_info info = {.n_stages = -1};
    fn_stage_info stage = {.label = NULL};
    fn_plan_describe(plan, &info);
    failures += info.n_stages != -1 || fn_plan_stage(plan, 0, &stage) || stage.label;
    info.size = sizeof info, stage.size = sizeof stage;
    fn_plan_describe(plan, &info);
    failures += info.n_stages < 1 || info.size != sizeof info || !fn_plan_stage(plan, 0, &stage) || !stage.label;

    const float x[2] = {1, 2};
    float y = NAN;
    void *outputs[] = {&y};
    const fn_source inputs = {x, FN_FLOAT32, sizeof x};
    struct {
        fn_run known;
        int64_t more[2];
    } run = {
        .known = {
            .phases = FN_PHASE_FORWARD | FN_PHASE_FETCH, .n_rows = 1, .batch_size = 1, .inputs = &inputs, .outputs = outputs}};
    expect(FN_ERROR_SIZE, fn_plan_run(plan, &run.known, &error), &error, "fn_run.size is 0");
    run.known.size = sizeof run;
    expect(FN_OK, fn_plan_run(plan, &run.known, &error), &error, NULL);
    failures += isnan(y) || run.known.steps_done != 1;
    fn_plan_destroy(plan);
}

int main(void)
{
    fn_error error = {0};
    expect(FN_ERROR_ISA, fn_isa_select("abacus", &error), &error, "'abacus'");
    fn_model *model;
    expect(FN_ERROR_FILE, fn_model_load("/no/such/file", &model, &error), &error, "/no/such/file cannot be opened");
    set_defaults();
    check_descriptions();
    check_runs();
    check_versions();
    for (int i = 0; i < FN_STATUS_COUNT; i++)
        if (!produced[i]) {
            printf("no test for %s\n", fn_status_name((fn_status)i));
            failures++;
        }
    return failures != 0;
}
