/* Random descriptions of plans, made and run: whatever a description or a call says, an fn_status is all that may come of it.
 *
 * A description is a function of some bytes. Most of what they say is sensible, so that a good part of the descriptions is
 * accepted and run; some have a twist, or several: a number out of its range, a missing table, a value that is not there.
 * Every array handed over is a block of just the size that the header asks for, so that the address sanitizer sees a step
 * beyond it.
 *
 *   fuzz_plan --runs 1000000 --seed 7      bytes that are a function of the seed and the number of the run
 *   fuzz_plan --seed 7 --first 4711        that one alone: a finding tells its number; --write FILE: its bytes
 *   fuzz_plan FILE...                      the bytes of these files, such as those of corpus/plan
 *
 * The program is this file with main(), or with that of libFuzzer (FASTNET_LIBFUZZER). See docs/fuzzing.md. */
#define _POSIX_C_SOURCE 200112L

#include "world.h"
#define FUZZ_MEGABYTES 16
#include "standalone.h"

static int64_t n_accepted, n_steps, accepted_ops[128], accepted_losses[32], accepted_metrics[32], accepted_optimizers[64];

/* ---- running ------------------------------------------------------------------------------------------------ */

static fn_source source_of(world *w, int64_t rows, int64_t width, bool labels)
{
    static const size_t bytes[] = {4, 8, 1, 4, 8};
    const fn_dtype dtype = pick(w, 3) ? FN_FLOAT32 : (fn_dtype)pick(w, 5);
    fn_source source = {.dtype = dtype, .stride = width * (int64_t)bytes[dtype]};
    char *data = array_of(w, (size_t)(rows * source.stride));
    if (data)
        fill_reals(w, data, rows * width, dtype, labels);
    w->from_end = true;
    const int way = pick(w, 10);
    w->from_end = false;
    if (way == 0) /* all rows are one */
        source.stride = 0;
    else if (way == 1 && data) { /* from the last to the first */
        data += (rows - 1) * source.stride;
        source.stride = -source.stride;
    } else if (way == 2 && data && rows > 1) { /* parts of wider rows: every other one, of the last no more than is used */
        char *apart = array_of(w, (size_t)((2 * rows - 1) * source.stride));
        for (int64_t i = 0; apart && i < rows; i++)
            memcpy(apart + 2 * i * source.stride, data + i * source.stride, (size_t)source.stride);
        data = apart;
        source.stride *= 2;
    }
    source.data = data;
    return source;
}

/* What a call does: a whole step, a part of it, anything. */
static unsigned pick_phases(world *w, const fn_plan *plan)
{
    static const unsigned usual[] = {FN_PHASE_FORWARD | FN_PHASE_LOSS | FN_PHASE_BACKWARD | FN_PHASE_UPDATE,
                                     FN_PHASE_FORWARD | FN_PHASE_FETCH,
                                     FN_PHASE_FORWARD | FN_PHASE_LOSS,
                                     FN_PHASE_BACKWARD | FN_PHASE_OUTPUT_GRADIENT,
                                     FN_PHASE_UPDATE,
                                     FN_PHASE_UPDATE | FN_PHASE_FLUSH,
                                     FN_PHASE_FORWARD | FN_PHASE_OUTPUT_GRADIENT | FN_PHASE_BACKWARD,
                                     FN_PHASE_BACKWARD,
                                     FN_PHASE_FORWARD | FN_PHASE_LOSS | FN_PHASE_BACKWARD | FN_PHASE_FETCH_GRADIENTS};
    const unsigned parts = pick(w, 2) ? usual[0] : seldom(w, 8) ? next_byte(w) : usual[pick(w, 9)];
    return pick(w, 8) ? parts & (plan->phases | (plan->training ? FN_PHASE_BACKWARD : 0)) : parts;
}

static void run_once(world *w, fn_plan *plan)
{
    const int64_t rows = 1 + (pick(w, 6) ? pick(w, 8) : pick(w, 60)), most = plan->max_rows < 64 ? plan->max_rows : 64;
    const size_t element = plan->kernels->element;
    fn_source inputs[MOST_INPUTS], targets[MOST_OUTPUTS] = {{0}}, weights[MOST_OUTPUTS] = {{0}};
    int64_t per_row[MOST_OUTPUTS] = {0};
    void *outputs[MOST_OUTPUTS] = {0}, *input_gradients[MOST_INPUTS] = {0};
    const void *seeds[MOST_OUTPUTS] = {0};
    fn_run run = {.size = sizeof run,
                  .phases = pick_phases(w, plan),
                  .n_rows = rows,
                  .batch_size = 1 + pick(w, (int)most),
                  .step = next_byte(w),
                  .inputs = inputs,
                  .targets = targets,
                  .epochs = 1};
    if (twist(w, 10))
        run.batch_size = odd_size(w);
    if (twist(w, 20))
        run.n_rows = -pick(w, 3);
    if (seldom(w, 20))
        run.first_row = pick(w, (int)rows + 1) - (w->twists > 0);
    for (int i = 0; i < w->spec.n_inputs; i++) {
        const int64_t width = size_of(&w->inputs[i].shape);
        inputs[i] = source_of(w, rows, width, pick(w, 3) == 0);
        input_gradients[i] =
            run.phases & FN_PHASE_FETCH_GRADIENTS && pick(w, 4) ? array_of(w, (size_t)(rows * width) * element) : NULL;
    }
    for (int i = 0; i < w->spec.n_outputs; i++) {
        const int64_t width = size_of(&w->shapes[w->outputs[i].value]);
        if (w->outputs[i].loss) {
            targets[i] = source_of(w, rows, w->target_width[i], pick(w, 2));
            if (seldom(w, 4)) {
                const fn_shape *shape = &w->shapes[w->outputs[i].value];
                const int64_t positions = width / (shape->rank ? shape->size[shape->rank - 1] : 1);
                per_row[i] = pick(w, 2) ? positions : pick(w, 4);
                if (twist(w, 20))
                    per_row[i] = odd_size(w);
                const bool fits = per_row[i] > 0 && positions % per_row[i] == 0; /* others are refused, and not read */
                weights[i] = source_of(w, rows, fits ? per_row[i] : 1, false);
            }
        }
        if (run.phases & FN_PHASE_FETCH)
            outputs[i] = pick(w, 8) ? array_of(w, (size_t)(rows * width) * element) : NULL;
        if (run.phases & FN_PHASE_OUTPUT_GRADIENT && pick(w, 4)) {
            void *seed = array_of(w, (size_t)(rows * width) * element);
            if (seed)
                fill_reals(w, seed, rows * width, plan->kernels->dtype, false);
            seeds[i] = seed;
        }
    }
    run.weights = pick(w, 3) ? weights : NULL;
    run.weights_per_row = pick(w, 4) ? per_row : NULL;
    run.outputs = outputs;
    run.input_gradients = input_gradients;
    run.output_gradients = seeds;
    if (seldom(w, 12))
        run.mixup = pick(w, 2) ? 0.5 : odd_number(w);
    if (seldom(w, 12))
        run.cutmix = pick(w, 2) ? 0.5 : odd_number(w);
    if (seldom(w, 3)) {
        run.order = array_of(w, (size_t)rows * sizeof *run.order);
        for (int64_t i = 0; run.order && i < rows; i++)
            run.order[i] = pick(w, (int)rows);
    }
    double losses[1 + MOST_OUTPUTS] = {0};
    run.loss_sum = pick(w, 6) ? losses : NULL;
    run.metrics = plan->n_metrics && pick(w, 12) ? array_of(w, (size_t)plan->metric_size * sizeof(double)) : NULL;
    if (seldom(w, 6) && run.loss_sum) {
        run.epochs = 1 + pick(w, 3);
        run.epoch_results =
            array_of(w, (size_t)((run.epochs - 1) * (3 + w->spec.n_outputs + plan->metric_size)) * sizeof(double));
        run.shuffles = run.order && pick(w, 2);
    }
    const int64_t columns = w->n_hyper + w->spec.n_scheduled, steps = run.epochs * (rows + 1);
    const bool varies = seldom(w, 4);
    double *hyper = array_of(w, (size_t)(columns * (varies ? steps : 1)) * sizeof *hyper);
    for (int64_t step = 0; hyper && step < (varies ? steps : 1); step++)
        for (int64_t i = 0; i < columns; i++)
            hyper[step * columns + i] = seldom(w, 60) ? odd_number(w) : i < w->n_hyper ? w->hyper[i] : 0.25;
    run.hyper = seldom(w, 30) ? NULL : hyper;
    run.hyper_stride = varies ? columns : 0;
    if (seldom(w, 20))
        run.stage_seconds = array_of(w, (size_t)plan->n_stages * sizeof(double));
    if (twist(w, 10))
        switch (pick(w, 7)) {
        case 0:
            run.inputs = NULL;
            break;
        case 1:
            run.targets = NULL;
            break;
        case 2:
            inputs[0].data = NULL;
            break;
        case 3:
            targets[0].data = NULL;
            break;
        case 4:
            inputs[0].dtype = (fn_dtype)(FN_INT64 + 1 + pick(w, 200));
            break;
        case 5:
            run.epochs = -pick(w, 9);
            break;
        default:
            run.output_gradients = NULL;
        }
    w->from_end = true;
    if (seldom(w, 10))
        run.seconds = pick(w, 2) ? 1e-9 : odd_number(w);
    if (seldom(w, 4)) {
        run.shuffle_seed = next_byte(w);
        run.shuffle_number = pick(w, 2) ? next_byte(w) : UINT64_MAX;
    }
    if (plan->exchange_numbers > 0) {
        run.replica = pick(w, plan->replicas + twist(w, 10));
        run.exchange = seldom(w, 10) ? NULL : array_of(w, (size_t)plan->exchange_numbers * sizeof *run.exchange);
        for (int64_t i = 0; run.exchange && i < plan->exchange_numbers; i++)
            run.exchange[i] = seldom(w, 60) ? odd_number(w) : (double)(i % 7);
    }
    run.part = twist(w, 10) ? pick(w, 9) - 4 : 0;
    w->from_end = false;
    fn_error error;
    do {
        if (fn_plan_run(plan, &run, &error) != FN_OK && run.steps_done == 0)
            break;
        n_steps += run.steps_done;
    } while (plan->part_due > 0 && (run.part = plan->part_due) > 0);
}

/* ---- what there is beside plans ------------------------------------------------------------------------------ */

/* A loss or a metric on arrays. */
static void compute_once(world *w)
{
    const bool metric = pick(w, 2);
    const fn_registry registry = metric ? FN_METRICS : FN_LOSSES;
    const fn_entry *entry = fn_registry_entry(registry, pick(w, fn_registry_size(registry)));
    const char *name = twist(w, 20) ? "nothing" : entry->name;
    const fn_dtype dtype = twist(w, 20) ? (fn_dtype)(FN_UINT8 + pick(w, 8)) : pick(w, 2) ? FN_FLOAT32 : FN_FLOAT64;
    const fn_shape shape = {.rank = 1, .size = {1 + pick(w, pick(w, 4) ? 5 : 40)}};
    const int64_t positions = pick(w, 20), width = shape.size[0], target_width = pick(w, 2) ? width : 1;
    const size_t element = dtype == FN_FLOAT32 ? 4 : 8;
    double attributes[MOST_ATTRIBUTES];
    fill_attributes(w, entry, attributes);
    void *prediction = array_of(w, (size_t)(positions * width) * element);
    fn_error error;
    if (metric) {
        const int64_t size = fn_metric_size(name, attributes, &shape);
        void *target = array_of(w, (size_t)(positions * target_width) * element);
        double *sums = size > 4 * LARGE ? NULL : array_of(w, (size_t)(size < 0 ? 0 : size) * sizeof *sums);
        if (!prediction || !target || !sums)
            return;
        fill_reals(w, prediction, positions * width, dtype, false);
        fill_reals(w, target, positions * target_width, dtype, pick(w, 2));
        fn_compute_metric(name, attributes, dtype, positions, width, target_width, prediction, target, sums, &error);
        return;
    }
    fn_shape wanted = shape;
    const bool known = fn_infer_target(name, attributes, &shape, &wanted, &error) == FN_OK;
    void *target = array_of(w, (size_t)(positions * (known ? size_of(&wanted) : width)) * element);
    void *scale = array_of(w, (size_t)positions * element), *losses = array_of(w, (size_t)positions * element);
    void *gradient = pick(w, 3) ? array_of(w, (size_t)(positions * width) * element) : NULL;
    if (!prediction || !target || !scale || !losses)
        return;
    fill_reals(w, prediction, positions * width, dtype, false);
    fill_reals(w, target, positions * (known ? size_of(&wanted) : width), dtype, pick(w, 2));
    fill_reals(w, scale, positions, dtype, false);
    fn_compute_loss(name, attributes, dtype, positions, &shape, prediction, target, scale, losses, gradient, &error);
}

/* The checks of data, and an order. */
static void check_once(world *w)
{
    const int64_t rows = 1 + pick(w, 20), width = 1 + pick(w, 40);
    const fn_source source = source_of(w, rows, width, pick(w, 2));
    int64_t row = -1;
    double label;
    if (source.data) {
        fn_check_finite(&source, rows, width, &row);
        fn_check_labels(&source, rows, width, odd_size(w), &row, &label);
    }
    const int64_t n = pick(w, 8) ? pick(w, 100) : pick(w, 1 << 14);
    int64_t *order = array_of(w, (size_t)n * sizeof *order);
    if (order)
        fn_shuffle(next_byte(w), pick(w, 2) ? next_byte(w) : UINT64_MAX, n, order);
}

/* Questions about what there is, and about what there is not. */
static void ask_once(world *w)
{
    static const char *const texts[] = {NULL, "", "nothing", "dense", "adam", "update", "mean_squared_error", "auc"};
    const fn_registry registry = pick(w, 4) ? (fn_registry)pick(w, FN_REGISTRY_COUNT) : (fn_registry)odd_size(w);
    const int index = pick(w, 4) ? pick(w, 64) : (int)odd_size(w);
    const char *text = texts[pick(w, sizeof texts / sizeof texts[0])], *names[FN_MAX_SLOTS];
    const fn_entry *entry = fn_registry_entry(registry, index);
    fn_registry_find(registry, text);
    fn_registry_size(registry);
    fn_isa_name((fn_isa)index);
    fn_isa_available((fn_isa)index);
    fn_status_name((fn_status)index);
    fn_status_exception((fn_status)index);
    fn_status_text((fn_status)index);
    double attributes[FN_MAX_HYPER], start[FN_MAX_SLOTS];
    for (int i = 0; i < FN_MAX_HYPER; i++)
        attributes[i] = odd_number(w);
    if (entry && pick(w, 2))
        fill_attributes(w, entry, attributes);
    fn_shape shape = {.rank = 1 + pick(w, 3), .size = {odd_size(w), odd_size(w), odd_size(w)}};
    fn_signature signature;
    fn_error error;
    const char *name = entry && pick(w, 4) ? entry->name : text;
    fn_check_attributes(registry, name, text, pick(w, 8) ? attributes : NULL, pick(w, 4) ? &error : NULL);
    fn_optimizer_slots(name, attributes, names, start);
    fn_metric_size(name, attributes, &shape);
    fn_infer_target(name, attributes, &shape, &shape, &error);
    fn_infer(name, text, pick(w, 2), &shape, attributes, &signature, pick(w, 4) ? &error : NULL);
}

/* What the plan has made of a description whose twists may have changed the shapes of its values. */
static void take_shapes(const fn_plan *plan, world *w)
{
    for (int i = 0; i < plan->n_values; i++)
        w->shapes[i] = plan->values[i].shape;
    for (int i = 0; i < w->spec.n_outputs; i++) {
        const fn_output_spec *output = &w->outputs[i];
        fn_shape target;
        if (output->loss &&
            fn_infer_target(output->loss, output->loss_attributes, &w->shapes[output->value], &target, NULL) == FN_OK)
            w->target_width[i] = fn_shape_size(&target);
    }
}

static void count_plan(const fn_plan *plan, const world *w)
{
    n_accepted++;
    for (int i = 0; i < w->spec.n_nodes; i++)
        accepted_ops[fn_registry_find(FN_OPS, w->nodes[i].op)]++;
    for (int i = 0; i < w->spec.n_outputs; i++)
        if (w->outputs[i].loss)
            accepted_losses[fn_registry_find(FN_LOSSES, w->outputs[i].loss)]++;
    for (int i = 0; i < w->spec.n_metrics; i++)
        accepted_metrics[fn_registry_find(FN_METRICS, w->metrics[i].metric)]++;
    if (plan->updates)
        accepted_optimizers[fn_registry_find(FN_OPTIMIZERS, w->spec.optimizer)]++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static world w; /* large, and all of it is set anew */
    memset(&w, 0, sizeof w);
    w.next = data;
    w.left = size;
    describe(&w);
    w.from_end = true;
    if (seldom(&w, 4))
        compute_once(&w);
    if (seldom(&w, 8))
        check_once(&w);
    if (seldom(&w, 8))
        ask_once(&w);
    const bool fails = seldom(&w, 40);
    fn_fail_allocation(fails ? 1 + pick(&w, 100) : 0);
    w.from_end = false;
    fn_plan *plan = NULL;
    fn_error error;
    const fn_status made = fn_plan_create(&w.spec, &plan, &error);
    fn_fail_allocation(0);
    if (made != FN_OK && plan)
        abort(); /* a plan that failed is none */
    if (made == FN_OK) {
        fn_plan_info info = {.size = sizeof info};
        fn_stage_info stage = {.size = sizeof stage};
        count_plan(plan, &w);
        take_shapes(plan, &w);
        fn_plan_describe(plan, &info);
        for (int i = 0; fn_plan_stage(plan, i, &stage);)
            i++;
        fn_plan_stage(plan, -1, &stage);
        if (plan->metric_size < 4 * LARGE)
            for (int n = 1 + pick(&w, 4); n > 0; n--)
                run_once(&w, plan);
        fn_plan_destroy(plan);
    }
    for (int i = 0; i < w.n_arrays; i++)
        free(w.arrays[i]);
    return 0;
}

/* ---- without libFuzzer ------------------------------------------------------------------------------------------ */

#ifndef FASTNET_LIBFUZZER

static void run_file(const char *path)
{
    size_t n;
    uint8_t *bytes = read_file(path, &n);
    if (bytes)
        LLVMFuzzerTestOneInput(bytes, n);
    free(bytes);
}

static void print_counts(fn_registry registry, const int64_t *counts)
{
    for (int i = 0; i < fn_registry_size(registry); i++)
        printf("%s %lld%s", fn_registry_entry(registry, i)->name, (long long)counts[i],
               i + 1 < fn_registry_size(registry) ? ", " : "\n");
}

int main(int argc, char **argv)
{
    fuzz_options options = {.runs = 1};
    unsigned long long n_files = 0;
    bool counts = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--counts")) {
            counts = true;
        } else if (argv[i][0] != '-') {
            run_file(argv[i]);
            n_files++;
        } else if (!take_option(&options, argc, argv, i++)) {
            return fprintf(stderr,
                           "usage: %s [--runs N | --seconds N] [--seed S] [--first N] [--write FILE] [--counts] [FILE...]\n",
                           argv[0]),
                   2;
        }
    }
    begin_runs(&options);
    for (; (options.any || n_files == 0) && has_run(&options); run_number++) {
        uint8_t bytes[BYTES];
        for (int i = 0; i < BYTES; i += 8) {
            const uint64_t word = next_random();
            memcpy(bytes + i, &word, 8);
        }
        if (options.write_to)
            write_file(options.write_to, bytes, sizeof bytes);
        LLVMFuzzerTestOneInput(bytes, sizeof bytes);
    }
    printf("%llu descriptions, %llu files: %lld plans accepted, %lld steps run\n", run_number - options.first, n_files,
           (long long)n_accepted, (long long)n_steps);
    if (counts) {
        print_counts(FN_OPS, accepted_ops);
        print_counts(FN_LOSSES, accepted_losses);
        print_counts(FN_METRICS, accepted_metrics);
        print_counts(FN_OPTIMIZERS, accepted_optimizers);
    }
    return 0;
}
#endif
