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

#include "../../csrc/engine/internal.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    MOST_INPUTS = 3, MOST_OUTPUTS = 3, MOST_METRICS = 2, MOST_NODES = 8, MOST_PARAMETERS = 24, MOST_SCHEDULED = 3,
    MOST_VALUES = MOST_INPUTS + MOST_NODES * FN_MAX_OUTPUTS, MOST_READ = 5, MOST_ATTRIBUTES = 32,
    MOST_ARRAYS = 256, LARGE = 1 << 12, BYTES = 1024
};

/* What one description is made of. */
typedef struct world {
    const uint8_t *next; /* of the bytes */
    size_t left;
    int twists; /* how many more things may be wrong */
    void *arrays[MOST_ARRAYS];
    int n_arrays;

    fn_plan_spec spec;
    fn_input_spec inputs[MOST_INPUTS];
    fn_node_spec nodes[MOST_NODES];
    int32_t read[MOST_NODES][MOST_READ], used[MOST_NODES][FN_MAX_PARAMETERS];
    double attributes[MOST_NODES][MOST_ATTRIBUTES];
    fn_parameter_spec parameters[MOST_PARAMETERS];
    fn_constraint constraints[MOST_PARAMETERS];
    fn_output_spec outputs[MOST_OUTPUTS];
    int32_t masks[MOST_OUTPUTS];
    double loss_attributes[MOST_OUTPUTS][4], metric_attributes[MOST_METRICS][4];
    fn_metric_spec metrics[MOST_METRICS];
    fn_scheduled scheduled[MOST_SCHEDULED];
    double hyper[FN_MAX_HYPER];
    fn_shape shapes[MOST_VALUES];
    int n_values, n_hyper;
    int64_t slab_elements, metric_size, target_width[MOST_OUTPUTS];
    bool with_losses;
} world;

static int64_t n_accepted, n_steps, accepted_ops[128], accepted_losses[32], accepted_metrics[32], accepted_optimizers[64];

/* ---- bytes, numbers, arrays ---------------------------------------------------------------------------- */

static unsigned next_byte(world *w)
{
    if (w->left == 0)
        return 0;
    w->left--;
    return *w->next++;
}

/* From 0 to n - 1. */
static int pick(world *w, int n)
{
    unsigned number = next_byte(w);
    if (n > 256)
        number = number << 8 | next_byte(w);
    return (int)(number % (unsigned)n);
}

/* Once in n times. */
static bool seldom(world *w, int n)
{
    return pick(w, n) == n - 1;
}

/* Whether the twist that this is the place for is made. */
static bool twist(world *w, int n)
{
    if (w->twists == 0 || !seldom(w, n))
        return false;
    w->twists--;
    return true;
}

static double odd_number(world *w)
{
    static const double numbers[] = {NAN, INFINITY, -INFINITY, -1, 0, 0.5, 1, 2, 3, -0.5, 1e300, -1e300, 1e-300, 0x1p31, -0x1p31,
                                     0x1p53, 0x1p63, -0x1p63, 255, 16777216, 1e9, 7, 0x1p20, 65536};
    return numbers[pick(w, (int)(sizeof numbers / sizeof numbers[0]))];
}

static int64_t odd_size(world *w)
{
    static const int64_t sizes[] = {0, -1, INT64_MIN, INT64_MAX, (int64_t)1 << 20, (int64_t)1 << 31, (int64_t)1 << 43,
                                    (int64_t)1 << 62, 3, 1, 1000, -64, 16, 64, (int64_t)1 << 58};
    return sizes[pick(w, (int)(sizeof sizes / sizeof sizes[0]))];
}

static void *array_of(world *w, size_t bytes)
{
    void *array;
    if (w->n_arrays == MOST_ARRAYS || posix_memalign(&array, FN_ALIGNMENT, bytes ? bytes : 1) != 0)
        return NULL;
    memset(array, 0, bytes);
    return w->arrays[w->n_arrays++] = array;
}

/* ---- attributes ------------------------------------------------------------------------------------------ */

/* One that is likely to be right. */
static double usual_value(world *w, const fn_attribute *attribute)
{
    static const double shares[] = {0, 0.5, 0.25, 0.9, 1, 0.1, 0.999, 2, 3, -0.5, 10, 1e-3};
    if (pick(w, 3) == 0)
        return attribute->value;
    if (attribute->kind & FN_IS_WHOLE) {
        const double size = attribute->highest - attribute->lowest;
        const double value = attribute->lowest + pick(w, size < 4 ? (int)size + 1 : 5);
        return value < -1000 ? pick(w, 4) - 1 : attribute->lowest > 1 ? value + pick(w, 40) : value;
    }
    const double value = shares[pick(w, (int)(sizeof shares / sizeof shares[0]))];
    return value < attribute->lowest || value > attribute->highest ? attribute->value : value;
}

static double odd_value(world *w, const fn_attribute *attribute)
{
    switch (pick(w, 6)) {
    case 0:
        return attribute->lowest;
    case 1:
        return attribute->highest;
    case 2:
        return nextafter(attribute->lowest, -INFINITY);
    case 3:
        return nextafter(attribute->highest, INFINITY);
    default:
        return odd_number(w);
    }
}

static void fill_attributes(world *w, const fn_entry *entry, double *values)
{
    for (int i = 0; i < entry->n_attributes; i++)
        values[i] = twist(w, 40) ? odd_value(w, &entry->attributes[i]) : usual_value(w, &entry->attributes[i]);
}

/* What an operation makes of its inputs decides which attributes fit: this gives those that often have to. */
static void fit_attributes(world *w, const fn_entry *entry, const fn_shape *x, double *values)
{
    const int64_t last = fn_shape_last(x);
    int32_t order[FN_MAX_RANK];
    for (int32_t i = 0; i < FN_MAX_RANK; i++)
        order[i] = i;
    for (int32_t i = x->rank - 1; i > 0; i--) {
        const int32_t j = pick(w, i + 1), other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
    for (int i = 0; i < entry->n_attributes; i++) {
        const char *name = entry->attributes[i].name;
        if (x->rank == 2 && (strstr(name, "_height") || !strcmp(name, "top") || !strcmp(name, "bottom")))
            values[i] = strstr(name, "output_padding") ? -1 : strstr(name, "_height") ? 1 : 0;
        else if (!strcmp(name, "rank") && !strcmp(entry->name, "permute"))
            values[i] = x->rank;
        else if (!strncmp(name, "axis_", 5))
            values[i] = order[name[5] - '0'];
        else if (!strcmp(name, "size_0"))
            values[i] = -1;
        else if (!strncmp(name, "size_", 5))
            values[i] = 1;
        else if (!strcmp(name, "groups"))
            values[i] = last % 2 == 0 && pick(w, 2) ? 2 : pick(w, 2) && !strcmp(entry->name, "group_normalization") ? -1 : 1;
        else if (!strcmp(name, "heads"))
            values[i] = last % 2 == 0 && pick(w, 2) ? 2 : 1;
        else if (!strcmp(name, "key_heads"))
            values[i] = pick(w, 2);
        else if (!strcmp(name, "units") || !strcmp(name, "filters"))
            values[i] = pick(w, 4) ? 1 + pick(w, 6) : 1 + pick(w, 40);
        else if (!strcmp(name, "activation") || !strcmp(name, "recurrent_activation"))
            values[i] = pick(w, 17);
        else if (!strcmp(name, "axis"))
            values[i] = pick(w, 2) ? -1 : x->rank - 1;
        else if (!strcmp(name, "stateful"))
            values[i] = pick(w, 4) ? 0 : pick(w, 8);
        else if (!strcmp(name, "masked"))
            values[i] = 0;
        else if (!strcmp(name, "length"))
            values[i] = pick(w, 2) ? 0 : 1 + pick(w, 8);
        else if (!strcmp(name, "input_dim"))
            values[i] = 1 + pick(w, 30);
        else if (strstr(name, "_high") && !strstr(name, "_height") && i > 0 && values[i] < values[i - 1])
            values[i] = values[i - 1];
        else if (!strcmp(name, "high") && values[i] <= values[i - 1])
            values[i] = values[i - 1] + 1;
    }
}

/* ---- the description ----------------------------------------------------------------------------------------- */

static fn_shape random_shape(world *w)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 6, 8, 9, 2, 3, 4, 2, 16, 17, 33};
    fn_shape shape = {.rank = seldom(w, 24) ? pick(w, FN_MAX_RANK + 1) : 1 + pick(w, 3)};
    for (int32_t i = 0; i < shape.rank; i++)
        shape.size[i] = sizes[pick(w, shape.rank > 3 ? 3 : (int)(sizeof sizes / sizeof sizes[0]))];
    if (twist(w, 30))
        shape.size[pick(w, FN_MAX_RANK)] = odd_size(w);
    if (twist(w, 60))
        shape.rank = (int32_t)odd_size(w);
    return shape;
}

static int64_t size_of(const fn_shape *shape)
{
    return shape->rank < 0 || shape->rank > FN_MAX_RANK ? 0 : fn_shape_size(shape);
}

static void add_inputs(world *w)
{
    w->spec.n_inputs = 1 + (pick(w, 3) == 0) + (pick(w, 6) == 0);
    for (int i = 0; i < w->spec.n_inputs; i++) {
        fn_input_spec *input = &w->inputs[i];
        input->shape = w->shapes[w->n_values++] = random_shape(w);
        const int64_t size = size_of(&input->shape);
        if (seldom(w, 8) && size > 0 && size < LARGE) {
            double *numbers = array_of(w, (size_t)size * sizeof *numbers);
            for (int64_t j = 0; numbers && j < size; j++)
                numbers[j] = seldom(w, 30) ? odd_number(w) : 1 + pick(w, 3);
            input->scale = pick(w, 3) ? numbers : NULL;
            input->shift = pick(w, 3) ? numbers : NULL;
        }
    }
}

/* Number of a parameter of this shape: a new one, or one that there is; -1: there is no more room. */
static int32_t add_parameter(world *w, const fn_shape *shape)
{
    const int32_t n = w->spec.n_parameters;
    const int64_t size = size_of(shape), quantum = FN_ALIGNMENT / (w->spec.dtype == FN_FLOAT64 ? 8 : 4);
    if (seldom(w, 6))
        for (int32_t i = 0; i < n; i++)
            if (w->parameters[i].shape.rank == shape->rank &&
                !memcmp(w->parameters[i].shape.size, shape->size, sizeof(int64_t) * (size_t)shape->rank))
                return i;
    if (n == MOST_PARAMETERS || size <= 0 || size > LARGE)
        return -1;
    const int64_t offset = (w->slab_elements + quantum - 1) / quantum * quantum + (seldom(w, 6) ? quantum : 0);
    w->parameters[n] = (fn_parameter_spec){.shape = *shape,
                                           .offset = offset,
                                           .trainable = !seldom(w, 6),
                                           .decays = pick(w, 3) > 0,
                                           .rate = seldom(w, 6) ? 0.5 : 1,
                                           .l1 = seldom(w, 10) ? 0.01 : 0,
                                           .l2 = seldom(w, 10) ? 0.01 : 0};
    w->slab_elements = offset + size;
    if (seldom(w, 8)) {
        fn_constraint *constraint = &w->constraints[n];
        const int axis = shape->rank ? pick(w, shape->rank) : 0;
        *constraint = (fn_constraint){.non_negative = pick(w, 2), .lowest = 0, .highest = 1, .rate = 1, .reduced = 1, .inner = 1};
        if (shape->rank)
            constraint->reduced = shape->size[axis];
        for (int i = axis + 1; i < shape->rank; i++)
            constraint->inner *= shape->size[i];
        if (twist(w, 3))
            constraint->reduced = odd_size(w);
        if (twist(w, 3))
            constraint->inner = odd_size(w);
        if (twist(w, 3))
            constraint->rate = constraint->lowest = odd_number(w);
        w->parameters[n].constraint = constraint;
    }
    if (twist(w, 30))
        w->parameters[n].rate = w->parameters[n].l1 = odd_number(w);
    return w->spec.n_parameters++;
}

/* A value to read: one of the last more often than others; like `shape`, where that is not NULL and one is found. */
static int32_t pick_value(world *w, const fn_shape *shape)
{
    int32_t value = pick(w, 3) ? w->n_values - 1 - pick(w, w->n_values < 3 ? w->n_values : 3) : pick(w, w->n_values);
    for (int i = 0; shape && i < w->n_values; i++) {
        const int32_t other = (value + i) % w->n_values;
        if (!memcmp(&w->shapes[other], shape, sizeof *shape))
            return other;
    }
    return value;
}

/* A vector of the size of the first axis of x: a mask of it. */
static int32_t pick_mask(world *w, const fn_shape *x)
{
    const fn_shape shape = {.rank = 1, .size = {x->size[0]}};
    return pick_value(w, &shape);
}

static void add_node(world *w, const fn_op *const *ops, int n_ops)
{
    fn_node_spec *node = &w->nodes[w->spec.n_nodes];
    int32_t *read = w->read[w->spec.n_nodes], *used = w->used[w->spec.n_nodes];
    double *attributes = w->attributes[w->spec.n_nodes];
    fn_signature signature = {0};
    int number = 0, n_read = 0;
    bool fits = false;
    for (int attempt = 0; attempt < 5 && !fits; attempt++) {
        number = pick(w, n_ops);
        const fn_op *op = ops[number];
        fn_shape shapes[MOST_READ];
        n_read = op->min_inputs + (op->max_inputs < 0 || op->max_inputs > op->min_inputs ? pick(w, 3) : 0);
        n_read = n_read > MOST_READ ? MOST_READ : op->max_inputs >= 0 && n_read > op->max_inputs ? op->max_inputs : n_read;
        for (int i = 0; i < n_read; i++) {
            read[i] = i == 0 ? pick_value(w, NULL) : pick(w, 3) && i + 1 == n_read ? pick_mask(w, shapes) : pick_value(w, shapes);
            shapes[i] = w->shapes[read[i]];
        }
        fill_attributes(w, &op->entry, attributes);
        if (n_read > 0 && size_of(&shapes[0]) > 0 && pick(w, 8))
            fit_attributes(w, &op->entry, shapes, attributes);
        fits = fn_infer(op->entry.name, "fuzzed", n_read, shapes, attributes, &signature, NULL) == FN_OK;
    }
    if (!fits && !twist(w, 3))
        return;
    *node = (fn_node_spec){.op = ops[number]->entry.name, .layer = "fuzzed", .n_inputs = n_read, .inputs = read,
                           .n_parameters = fits ? signature.n_parameters : pick(w, 3), .parameters = used, .attributes = attributes};
    for (int i = 0; i < node->n_parameters; i++) {
        used[i] = fits ? add_parameter(w, &signature.parameter[i]) : 0;
        if (used[i] < 0)
            return;
    }
    for (int i = 0; i < signature.n_outputs; i++)
        if (size_of(&signature.output[i]) > 16 * LARGE && !twist(w, 4))
            return;
    for (int i = 0; i < signature.n_outputs; i++)
        w->shapes[w->n_values++] = signature.output[i];
    if (twist(w, 30))
        read[pick(w, MOST_READ)] = (int32_t)odd_size(w);
    if (twist(w, 30))
        used[pick(w, FN_MAX_PARAMETERS)] = (int32_t)odd_size(w);
    w->spec.n_nodes++;
}

static void add_output(world *w, int i)
{
    fn_output_spec *output = &w->outputs[i];
    const fn_entry *loss = fn_registry_entry(FN_LOSSES, pick(w, fn_registry_size(FN_LOSSES)));
    *output = (fn_output_spec){.value = i == 0 && pick(w, 3) ? w->n_values - 1 : pick_value(w, NULL), .layer = "out", .loss_weight = 1};
    if (twist(w, 20))
        output->value = (int32_t)odd_size(w);
    const fn_shape *shape = output->value >= 0 && output->value < w->n_values ? &w->shapes[output->value] : &w->shapes[0];
    if (!w->with_losses || seldom(w, 6))
        return;
    output->loss = loss->name;
    output->loss_weight = seldom(w, 10) ? odd_number(w) : 1;
    output->loss_attributes = w->loss_attributes[i];
    fill_attributes(w, loss, w->loss_attributes[i]);
    fn_shape target = *shape;
    if (fn_infer_target(loss->name, w->loss_attributes[i], shape, &target, NULL) != FN_OK) {
        loss = fn_registry_entry(FN_LOSSES, fn_registry_find(FN_LOSSES, "mean_squared_error"));
        output->loss = loss->name;
    }
    if (seldom(w, 5)) {
        const fn_shape positions = {.rank = shape->rank > 0 ? shape->rank - 1 : 0,
                                    .size = {shape->size[0], shape->rank > 2 ? shape->size[1] : 0}};
        w->masks[i] = twist(w, 6) ? (int32_t)odd_size(w) : pick_value(w, &positions);
        output->mask = &w->masks[i];
    }
}

static void add_metrics(world *w)
{
    w->spec.n_metrics = pick(w, 3);
    for (int i = 0; i < w->spec.n_metrics; i++) {
        const fn_entry *entry = fn_registry_entry(FN_METRICS, pick(w, fn_registry_size(FN_METRICS)));
        const int32_t output = twist(w, 10) ? (int32_t)odd_size(w) : pick(w, w->spec.n_outputs);
        fill_attributes(w, entry, w->metric_attributes[i]);
        w->metrics[i] = (fn_metric_spec){.metric = entry->name, .attributes = w->metric_attributes[i], .output = output};
        if (output >= 0 && output < w->spec.n_outputs && w->outputs[output].value >= 0 && w->outputs[output].value < w->n_values)
            w->metric_size += fn_metric_size(entry->name, w->metric_attributes[i], &w->shapes[w->outputs[output].value]);
    }
}

static void add_optimizer(world *w, const char *names[FN_MAX_SLOTS])
{
    const int number = pick(w, fn_registry_size(FN_OPTIMIZERS));
    const fn_entry *entry = fn_registry_entry(FN_OPTIMIZERS, number), *around = fn_registry_entry(FN_UPDATES, 0);
    double start[FN_MAX_SLOTS];
    fill_attributes(w, entry, w->hyper);
    fill_attributes(w, around, w->hyper + entry->n_attributes);
    if (pick(w, 4))
        for (int i = 0; i < around->n_attributes; i++)
            w->hyper[entry->n_attributes + i] = around->attributes[i].value;
    for (int i = 0; i < entry->n_attributes + around->n_attributes; i++)
        if (seldom(w, 40))
            w->hyper[i] = NAN; /* not known yet */
    w->spec.optimizer = entry->name;
    w->spec.hyper = w->hyper;
    w->n_hyper = entry->n_attributes + around->n_attributes;
    const int n = fn_optimizer_slots(entry->name, w->hyper, names, start);
    const size_t bytes = (size_t)w->slab_elements * (w->spec.dtype == FN_FLOAT64 ? 8 : 4);
    for (int i = 0; i < n; i++)
        w->spec.slots[i] = array_of(w, bytes);
    if (n > 0 && twist(w, 10))
        w->spec.slots[pick(w, n)] = NULL;
    for (int i = 0; i < w->spec.n_nodes && w->spec.n_scheduled < MOST_SCHEDULED; i++) {
        const fn_entry *op = fn_registry_entry(FN_OPS, fn_registry_find(FN_OPS, w->nodes[i].op));
        for (int j = 0; j < op->n_attributes && w->spec.n_scheduled < MOST_SCHEDULED; j++)
            if ((op->attributes[j].kind & FN_VARIES && pick(w, 2)) || twist(w, 40))
                w->scheduled[w->spec.n_scheduled++] = (fn_scheduled){i, j};
    }
}

/* One thing of the description as a whole. */
static void spoil(world *w)
{
    fn_plan_spec *spec = &w->spec;
    int32_t *counts[] = {&spec->n_inputs, &spec->n_nodes, &spec->n_parameters, &spec->n_outputs, &spec->n_metrics, &spec->n_scheduled};
    const int which = pick(w, 24);
    switch (which) {
    case 0: case 1: case 2: case 3: case 4: case 5:
        *counts[which] = pick(w, 2) ? -1 - pick(w, 3) : INT32_MIN;
        break;
    case 6: spec->inputs = NULL; break;
    case 7: spec->nodes = NULL; break;
    case 8: spec->parameters = NULL; break;
    case 9: spec->outputs = NULL; break;
    case 10: spec->metrics = NULL; break;
    case 11: spec->scheduled = NULL; break;
    case 12: spec->hyper = NULL; break;
    case 13: spec->parameter_slab = NULL; break;
    case 14: spec->gradient_slab = NULL; break;
    case 15: spec->max_rows = odd_size(w); break;
    case 16: spec->dtype = (fn_dtype)(FN_UINT8 + pick(w, 9)); break;
    case 17: spec->n_threads = pick(w, 2) ? -1 : 100000; break;
    case 18: spec->optimizer = pick(w, 2) ? "luck" : ""; break;
    case 19: {
        fn_node_spec *node = &w->nodes[pick(w, MOST_NODES)];
        switch (pick(w, 6)) {
        case 0: node->op = NULL; break;
        case 1: node->layer = NULL; break;
        case 2: node->inputs = NULL; break;
        case 3: node->parameters = NULL; break;
        case 4: node->attributes = NULL; break;
        default: *(pick(w, 2) ? &node->n_inputs : &node->n_parameters) = pick(w, 2) ? -1 : INT32_MIN;
        }
        break;
    }
    case 20: {
        fn_parameter_spec *parameter = &w->parameters[pick(w, MOST_PARAMETERS)];
        /* Such as no array has: others would be a promise about memory that this program does not keep. */
        static const int64_t wrong[] = {-1, INT64_MIN, INT64_MAX, (int64_t)1 << 58, (int64_t)1 << 62, (int64_t)1 << 45, -64};
        *(pick(w, 2) ? &parameter->offset : &parameter->shape.size[pick(w, 3)]) = wrong[pick(w, 7)];
        break;
    }
    case 21: w->outputs[pick(w, MOST_OUTPUTS)].loss_attributes = NULL; break;
    case 22: *(pick(w, 2) ? &w->metrics[0].attributes : &w->metrics[1].attributes) = NULL; break;
    default: *(pick(w, 2) ? &w->metrics[0].metric : &w->outputs[0].loss) = pick(w, 2) ? NULL : "nothing";
    }
}

static void fill_reals(world *w, void *array, int64_t n, fn_dtype dtype, bool labels)
{
    const bool odd = seldom(w, 8);
    const unsigned char first = (unsigned char)next_byte(w);
    for (int64_t i = 0; i < n; i++) {
        const unsigned number = first * 7u + (unsigned)i * 37u;
        double value = labels ? number % 3 : ((double)(number % 101) - 50) / 25;
        if (odd && seldom(w, 4))
            value = odd_number(w);
        const bool small = value >= 0 && value < 256;
        switch (dtype) {
        case FN_FLOAT32: ((float *)array)[i] = (float)value; break;
        case FN_FLOAT64: ((double *)array)[i] = value; break;
        case FN_UINT8: ((uint8_t *)array)[i] = small ? (uint8_t)value : 255; break;
        case FN_INT32: ((int32_t *)array)[i] = small ? (int32_t)value : INT32_MIN; break;
        default: ((int64_t *)array)[i] = small ? (int64_t)value : INT64_MAX;
        }
    }
}

static void describe(world *w)
{
    const fn_op *const *ops = fn_kernels_current(FN_FLOAT32)->ops;
    const int kind = pick(w, 8), n_ops = fn_registry_size(FN_OPS);
    w->twists = kind < 4 ? 0 : kind < 7 ? 1 : 4;
    w->spec = (fn_plan_spec){.dtype = pick(w, 2) ? FN_FLOAT32 : FN_FLOAT64, .max_rows = 1 + (pick(w, 8) ? pick(w, 6) : pick(w, 40)),
                             .training = pick(w, 5) > 0, .input_gradients = pick(w, 4) == 0, .seed = next_byte(w), .n_threads = 1};
    if (seldom(w, 200))
        w->spec.n_threads = pick(w, 4);
    w->with_losses = pick(w, 5) > 0;
    add_inputs(w);
    for (int n = pick(w, MOST_NODES); n >= 0; n--)
        add_node(w, ops, n_ops);
    w->spec.n_outputs = 1 + (pick(w, 4) == 0) + (pick(w, 8) == 0);
    for (int i = 0; i < w->spec.n_outputs; i++)
        add_output(w, i);
    if (w->with_losses)
        add_metrics(w);
    const size_t bytes = (size_t)w->slab_elements * (w->spec.dtype == FN_FLOAT64 ? 8 : 4);
    w->spec.parameter_slab = array_of(w, bytes);
    w->spec.gradient_slab = pick(w, 12) ? array_of(w, bytes) : NULL;
    fill_reals(w, w->spec.parameter_slab, w->slab_elements, w->spec.dtype, false);
    const char *names[FN_MAX_SLOTS];
    if (w->spec.training && pick(w, 6))
        add_optimizer(w, names);
    w->spec.inputs = w->inputs;
    w->spec.nodes = w->nodes;
    w->spec.parameters = w->parameters;
    w->spec.outputs = w->outputs;
    w->spec.metrics = w->metrics;
    w->spec.scheduled = w->scheduled;
    if (w->twists > 0 && pick(w, 2))
        spoil(w);
}

/* ---- running ------------------------------------------------------------------------------------------------ */

static fn_source source_of(world *w, int64_t rows, int64_t width, bool labels)
{
    static const size_t bytes[] = {4, 8, 1, 4, 8};
    const fn_dtype dtype = pick(w, 3) ? FN_FLOAT32 : (fn_dtype)pick(w, 5);
    fn_source source = {.dtype = dtype, .stride = width * (int64_t)bytes[dtype]};
    void *data = array_of(w, (size_t)(rows * source.stride));
    if (data)
        fill_reals(w, data, rows * width, dtype, labels);
    source.data = data;
    return source;
}

/* What a call does: a whole step, a part of it, anything. */
static unsigned pick_parts(world *w, const fn_plan *plan)
{
    static const unsigned usual[] = {FN_RUN_FORWARD | FN_RUN_LOSS | FN_RUN_BACKWARD | FN_RUN_UPDATE, FN_RUN_FORWARD | FN_RUN_FETCH,
                                     FN_RUN_FORWARD | FN_RUN_LOSS, FN_RUN_BACKWARD | FN_RUN_SEED, FN_RUN_UPDATE,
                                     FN_RUN_UPDATE | FN_RUN_FLUSH, FN_RUN_FORWARD | FN_RUN_SEED | FN_RUN_BACKWARD, FN_RUN_BACKWARD,
                                     FN_RUN_FORWARD | FN_RUN_LOSS | FN_RUN_BACKWARD | FN_RUN_FETCH_GRADIENTS};
    const unsigned parts = pick(w, 2) ? usual[0] : seldom(w, 8) ? next_byte(w) : usual[pick(w, 9)];
    return pick(w, 8) ? parts & (plan->parts | (plan->training ? FN_RUN_BACKWARD : 0)) : parts;
}

static void run_once(world *w, fn_plan *plan)
{
    const int64_t rows = 1 + (pick(w, 6) ? pick(w, 8) : pick(w, 60)), most = plan->max_rows < 64 ? plan->max_rows : 64;
    const size_t element = plan->kernels->element;
    fn_source inputs[MOST_INPUTS], targets[MOST_OUTPUTS] = {{0}}, weights[MOST_OUTPUTS] = {{0}};
    int64_t per_row[MOST_OUTPUTS] = {0};
    void *outputs[MOST_OUTPUTS] = {0}, *input_gradients[MOST_INPUTS] = {0};
    const void *seeds[MOST_OUTPUTS] = {0};
    fn_run run = {.parts = pick_parts(w, plan), .n_rows = rows, .batch_size = 1 + pick(w, (int)most), .step = next_byte(w),
                  .inputs = inputs, .targets = targets, .passes = 1};
    if (twist(w, 10))
        run.batch_size = odd_size(w);
    if (twist(w, 20))
        run.n_rows = -pick(w, 3);
    if (seldom(w, 20))
        run.first_row = pick(w, (int)rows + 1) - (w->twists > 0);
    for (int i = 0; i < w->spec.n_inputs; i++) {
        const int64_t width = size_of(&w->inputs[i].shape);
        inputs[i] = source_of(w, rows, width, pick(w, 3) == 0);
        input_gradients[i] = run.parts & FN_RUN_FETCH_GRADIENTS && pick(w, 4) ? array_of(w, (size_t)(rows * width) * element) : NULL;
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
        if (run.parts & FN_RUN_FETCH)
            outputs[i] = pick(w, 8) ? array_of(w, (size_t)(rows * width) * element) : NULL;
        if (run.parts & FN_RUN_SEED && pick(w, 4)) {
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
        run.passes = 1 + pick(w, 3);
        run.ended = array_of(w, (size_t)((run.passes - 1) * (3 + w->spec.n_outputs + plan->metric_size)) * sizeof(double));
        run.shuffles = run.order && pick(w, 2);
    }
    const int64_t columns = w->n_hyper + w->spec.n_scheduled, steps = run.passes * (rows + 1);
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
        case 0: run.inputs = NULL; break;
        case 1: run.targets = NULL; break;
        case 2: inputs[0].data = NULL; break;
        case 3: targets[0].data = NULL; break;
        case 4: inputs[0].dtype = (fn_dtype)(FN_INT64 + 1 + pick(w, 200)); break;
        case 5: run.passes = -pick(w, 9); break;
        default: run.output_gradients = NULL;
        }
    fn_error error;
    if (fn_plan_run(plan, &run, &error) == FN_OK || run.steps_done > 0)
        n_steps += run.steps_done;
}

/* What the plan has made of a description whose twists may have changed the shapes of its values. */
static void take_shapes(const fn_plan *plan, world *w)
{
    for (int i = 0; i < plan->n_values; i++)
        w->shapes[i] = plan->values[i].shape;
    for (int i = 0; i < w->spec.n_outputs; i++) {
        const fn_output_spec *output = &w->outputs[i];
        fn_shape target;
        if (output->loss && fn_infer_target(output->loss, output->loss_attributes, &w->shapes[output->value], &target, NULL) == FN_OK)
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
    fn_plan *plan = NULL;
    fn_error error;
    if (fn_plan_create(&w.spec, &plan, &error) == FN_OK) {
        fn_plan_info info;
        fn_stage_info stage;
        count_plan(plan, &w);
        take_shapes(plan, &w);
        fn_plan_describe(plan, &info);
        for (int i = 0; fn_plan_stage(plan, i, &stage);)
            i++;
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

/* The sanitizers as these programs want them: what is too large is an allocation that fails. */
#define SEEN_BY_SANITIZERS __attribute__((visibility("default"), used))
SEEN_BY_SANITIZERS const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:max_allocation_size_mb=16:abort_on_error=1:handle_abort=0";
}

SEEN_BY_SANITIZERS const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1:abort_on_error=1";
}

#ifndef FASTNET_LIBFUZZER

static unsigned long long seed = 1, run_number;

/* Sanitizers end a process by abort(). */
static void tell_number(int signal_number)
{
    fprintf(stderr, "FOUND with --seed %llu --first %llu\n", seed, run_number);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* SplitMix64 (Steele, Lea and Flood 2014). */
static void make_bytes(unsigned long long number, uint8_t bytes[BYTES])
{
    uint64_t state = seed * 0x9E3779B97F4A7C15u ^ number * 0xD1342543DE82EF95u;
    for (int i = 0; i < BYTES; i += 8) {
        uint64_t z = state += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        memcpy(bytes + i, &z, 8);
    }
}

static void run_file(const char *path)
{
    static uint8_t bytes[1 << 16];
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(2);
    }
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    uint8_t *exact = malloc(n ? n : 1);
    if (exact) {
        memcpy(exact, bytes, n);
        LLVMFuzzerTestOneInput(exact, n);
    }
    free(exact);
}

static void print_counts(fn_registry registry, const int64_t *counts)
{
    for (int i = 0; i < fn_registry_size(registry); i++)
        printf("%s %lld%s", fn_registry_entry(registry, i)->name, (long long)counts[i], i + 1 < fn_registry_size(registry) ? ", " : "\n");
}

int main(int argc, char **argv)
{
    unsigned long long runs = 1, first = 0, n_files = 0, seconds = 0;
    const char *write_to = NULL;
    bool counts = false, any = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--counts")) {
            counts = true;
        } else if (argv[i][0] != '-') {
            run_file(argv[i]);
            n_files++;
        } else {
            any = true;
            i++;
            if (!strcmp(argv[i - 1], "--runs"))
                runs = strtoull(value, NULL, 10);
            else if (!strcmp(argv[i - 1], "--seed"))
                seed = strtoull(value, NULL, 10);
            else if (!strcmp(argv[i - 1], "--first"))
                first = strtoull(value, NULL, 10);
            else if (!strcmp(argv[i - 1], "--seconds"))
                seconds = strtoull(value, NULL, 10);
            else if (!strcmp(argv[i - 1], "--write"))
                write_to = value;
            else
                return fprintf(stderr, "usage: %s [--runs N | --seconds N] [--seed S] [--first N] [--write FILE] [--counts] [FILE...]\n", argv[0]), 2;
        }
    }
    signal(SIGABRT, tell_number);
    const time_t start = time(NULL);
    for (run_number = first; (any || n_files == 0) && (seconds || run_number < first + runs); run_number++) {
        if (seconds && run_number % 64 == 0 && (unsigned long long)(time(NULL) - start) >= seconds)
            break;
        uint8_t bytes[BYTES];
        make_bytes(run_number, bytes);
        if (write_to) {
            FILE *file = fopen(write_to, "wb");
            if (!file || fwrite(bytes, 1, sizeof bytes, file) != sizeof bytes || fclose(file) != 0)
                return perror(write_to), 2;
        }
        LLVMFuzzerTestOneInput(bytes, sizeof bytes);
    }
    printf("%llu descriptions, %llu files: %lld plans accepted, %lld steps run\n", run_number - first, n_files,
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
