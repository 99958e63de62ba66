/* The making of random descriptions, for fuzz_plan.c. */
#define _POSIX_C_SOURCE 200112L

#include "world.h"

/* ---- bytes, numbers, arrays ---------------------------------------------------------------------------- */

unsigned next_byte(world *w)
{
    if (w->left == 0)
        return 0;
    w->left--;
    return w->from_end ? w->next[w->left] : *w->next++;
}

int pick(world *w, int n)
{
    unsigned number = next_byte(w);
    if (n > 256)
        number = number << 8 | next_byte(w);
    return (int)(number % (unsigned)n);
}

bool seldom(world *w, int n)
{
    return pick(w, n) == n - 1;
}

bool twist(world *w, int n)
{
    if (w->twists == 0 || !seldom(w, n))
        return false;
    w->twists--;
    return true;
}

double odd_number(world *w)
{
    static const double numbers[] = {NAN,    INFINITY, -INFINITY, -1,       0,      0.5,    1,       2,
                                     3,      -0.5,     1e300,     -1e300,   1e-300, 0x1p31, -0x1p31, 0x1p53,
                                     0x1p63, -0x1p63,  255,       16777216, 1e9,    7,      0x1p20,  65536};
    return numbers[pick(w, (int)(sizeof numbers / sizeof numbers[0]))];
}

int64_t odd_size(world *w)
{
    static const int64_t sizes[] = {
        0,    -1,  INT64_MIN, INT64_MAX, (int64_t)1 << 20, (int64_t)1 << 31, (int64_t)1 << 43, (int64_t)1 << 62, 3, 1,
        1000, -64, 16,        64,        (int64_t)1 << 58};
    return sizes[pick(w, (int)(sizeof sizes / sizeof sizes[0]))];
}

void *array_of(world *w, size_t bytes)
{
    void *array;
    if (w->n_arrays == MOST_ARRAYS || posix_memalign(&array, FN_ALIGNMENT, bytes ? bytes : 1) != 0)
        return NULL;
    memset(array, 0, bytes);
    return w->arrays[w->n_arrays++] = array;
}

void fill_reals(world *w, void *array, int64_t n, fn_dtype dtype, bool labels)
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
        case FN_FLOAT32:
            ((float *)array)[i] = (float)value;
            break;
        case FN_FLOAT64:
            ((double *)array)[i] = value;
            break;
        case FN_UINT8:
            ((uint8_t *)array)[i] = small ? (uint8_t)value : 255;
            break;
        case FN_INT32:
            ((int32_t *)array)[i] = small ? (int32_t)value : INT32_MIN;
            break;
        default:
            ((int64_t *)array)[i] = small ? (int64_t)value : INT64_MAX;
        }
    }
}

/* ---- attributes ------------------------------------------------------------------------------------------ */

/* One that is likely to be right. */
static double usual_value(world *w, const fn_attribute *attribute)
{
    static const double shares[] = {0, 0.5, 0.25, 0.9, 1, 0.1, 0.999, 2, 3, -0.5, 10, 1e-3};
    if (pick(w, 3) == 0)
        return attribute->value;
    if (attribute->kind & FN_IS_INTEGER) {
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

void fill_attributes(world *w, const fn_entry *entry, double *values)
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
            values[i] = strcmp(entry->name, "strided_copy") ? -1 : 1 + pick(w, 3);
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
            values[i] = pick(w, fn_registry_size(FN_ACTIVATIONS));
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

int64_t size_of(const fn_shape *shape)
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

/* One of as many elements, mostly: their number in two factors, a vector of them, or the axes the other way round. */
static fn_shape other_shape(world *w, const fn_shape *shape)
{
    const int64_t size = size_of(shape), factor = 1 + pick(w, 8);
    fn_shape other = {.rank = 1, .size = {size}};
    switch (pick(w, 3)) {
    case 0:
        if (size % factor == 0)
            other = (fn_shape){.rank = 2, .size = {size / factor, factor}};
        break;
    case 1:
        other.rank = shape->rank;
        for (int32_t i = 0; i < shape->rank; i++)
            other.size[i] = shape->size[shape->rank - 1 - i];
        break;
    default:
        break;
    }
    if (twist(w, 6))
        other.size[pick(w, FN_MAX_RANK)] = odd_size(w);
    if (twist(w, 12))
        other.rank = (int32_t)odd_size(w);
    return other;
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
    w->from_end = true;
    if (seldom(w, 3))
        w->parameters[n].update_shape = other_shape(w, shape);
    w->from_end = false;
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
    *node = (fn_node_spec){.op = ops[number]->entry.name,
                           .layer = "fuzzed",
                           .n_inputs = n_read,
                           .inputs = read,
                           .n_parameters = fits ? signature.n_parameters : pick(w, 3),
                           .parameters = used,
                           .attributes = attributes};
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
    *output =
        (fn_output_spec){.value = i == 0 && pick(w, 3) ? w->n_values - 1 : pick_value(w, NULL), .layer = "out", .loss_weight = 1};
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
        if (output < 0 || output >= w->spec.n_outputs)
            continue;
        int32_t value = w->outputs[output].value;
        if (strcmp(entry->name, "sums") == 0 ? pick(w, 4) != 0 : twist(w, 30)) {
            value = w->metric_formulas[i] = twist(w, 10) ? (int32_t)odd_size(w) : pick(w, w->n_values);
            w->metrics[i].formula = &w->metric_formulas[i];
        }
        if (value >= 0 && value < w->n_values)
            w->metric_size += fn_metric_size(entry->name, w->metric_attributes[i], &w->shapes[value]);
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

/* Elements of the slab at which a step is cut, seldom some beyond it or in no order. */
static void add_cuts(world *w)
{
    w->spec.n_cuts = 1 + pick(w, 3);
    int64_t *cuts = array_of(w, (size_t)w->spec.n_cuts * sizeof *cuts), end = w->slab_elements;
    for (int32_t i = 0; i < w->spec.n_cuts; i++)
        cuts[i] = end = twist(w, 20) ? pick(w, 99) - 9 : end * pick(w, 256) / 256;
    w->spec.cuts = cuts;
}

/* Numbers of parameters that are not those of the slab, as of an average; a plan that trains may have none. */
static void add_values(world *w)
{
    if (w->spec.training && !twist(w, 10))
        return;
    for (int i = 0; i < w->spec.n_parameters; i++) {
        fn_parameter_spec *parameter = &w->parameters[i];
        const int64_t size = size_of(&parameter->shape);
        if (pick(w, 2) == 0 || size <= 0)
            continue;
        char *values = array_of(w, (size_t)(size + 1) * sizeof(double));
        const bool moved = twist(w, 10); /* to where it is not aligned */
        if (!moved)
            values = array_of(w, (size_t)size * (w->spec.dtype == FN_FLOAT64 ? 8 : 4));
        if (values && !moved)
            fill_reals(w, values, size, w->spec.dtype, false);
        parameter->values = values && moved ? values + sizeof(double) : values;
    }
}

/* One thing of the description as a whole. */
static void spoil(world *w)
{
    fn_plan_spec *spec = &w->spec;
    int32_t *counts[] = {&spec->n_inputs,  &spec->n_nodes,   &spec->n_parameters,
                         &spec->n_outputs, &spec->n_metrics, &spec->n_scheduled};
    const int which = pick(w, 25);
    switch (which) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        *counts[which] = pick(w, 2) ? -1 - pick(w, 3) : INT32_MIN;
        break;
    case 6:
        spec->inputs = NULL;
        break;
    case 7:
        spec->nodes = NULL;
        break;
    case 8:
        spec->parameters = NULL;
        break;
    case 9:
        spec->outputs = NULL;
        break;
    case 10:
        spec->metrics = NULL;
        break;
    case 11:
        spec->scheduled = NULL;
        break;
    case 12:
        spec->hyper = NULL;
        break;
    case 13:
        spec->parameter_slab = NULL;
        break;
    case 14:
        spec->gradient_slab = NULL;
        break;
    case 15:
        spec->max_rows = odd_size(w);
        break;
    case 16:
        spec->dtype = (fn_dtype)(FN_UINT8 + pick(w, 9));
        break;
    case 17:
        spec->n_threads = pick(w, 2) ? -1 : 100000;
        break;
    case 18:
        spec->optimizer = pick(w, 2) ? "luck" : "";
        break;
    case 19: {
        fn_node_spec *node = &w->nodes[pick(w, MOST_NODES)];
        switch (pick(w, 6)) {
        case 0:
            node->op = NULL;
            break;
        case 1:
            node->layer = NULL;
            break;
        case 2:
            node->inputs = NULL;
            break;
        case 3:
            node->parameters = NULL;
            break;
        case 4:
            node->attributes = NULL;
            break;
        default:
            *(pick(w, 2) ? &node->n_inputs : &node->n_parameters) = pick(w, 2) ? -1 : INT32_MIN;
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
    case 21:
        w->outputs[pick(w, MOST_OUTPUTS)].loss_attributes = NULL;
        break;
    case 22:
        *(pick(w, 2) ? &w->metrics[0].attributes : &w->metrics[1].attributes) = NULL;
        break;
    case 23: /* of values with a batch, or that there are not */
        spec->n_assignments = pick(w, 4) ? 1 + pick(w, 2) : -1;
        for (int i = 0; i < 2; i++)
            w->assignments[i] = (fn_assignment){pick(w, MOST_PARAMETERS + 2) - 1, pick(w, 40) - 1};
        spec->assignments = pick(w, 4) ? w->assignments : NULL;
        break;
    default:
        *(pick(w, 2) ? &w->metrics[0].metric : &w->outputs[0].loss) = pick(w, 2) ? NULL : "nothing";
    }
}

void describe(world *w)
{
    static const char *const the_best[] = {NULL, NULL, NULL, ""};
    enum { N_BEST = sizeof the_best / sizeof the_best[0] };
    w->from_end = true;
    const int choice = pick(w, N_BEST + FN_ISA_COUNT + 1); /* the last one is unknown */
    const char *isa = choice < N_BEST ? the_best[choice] : fn_isa_name((fn_isa)(choice - N_BEST));
    w->from_end = false;
    if (fn_isa_select(isa, NULL) != FN_OK)
        fn_isa_select(NULL, NULL);
    const fn_op *const *ops = fn_kernels_current(FN_FLOAT32)->ops;
    const int kind = pick(w, 8), n_ops = fn_registry_size(FN_OPS);
    w->twists = kind < 4 ? 0 : kind < 7 ? 1 : 4;
    w->spec = (fn_plan_spec){.size = sizeof(fn_plan_spec),
                             .dtype = pick(w, 2) ? FN_FLOAT32 : FN_FLOAT64,
                             .max_rows = 1 + (pick(w, 8) ? pick(w, 6) : pick(w, 40)),
                             .training = pick(w, 5) > 0,
                             .input_gradients = pick(w, 4) == 0,
                             .seed = next_byte(w),
                             .n_threads = 1};
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
    w->from_end = true;
    add_values(w);
    if (seldom(w, 4))
        w->spec.replicas = twist(w, 10) ? -pick(w, 3) : 1 + pick(w, 4);
    if (w->spec.training && w->spec.replicas == 0 && seldom(w, 4))
        add_cuts(w);
    w->from_end = false;
    w->spec.inputs = w->inputs;
    w->spec.nodes = w->nodes;
    w->spec.parameters = w->parameters;
    w->spec.outputs = w->outputs;
    w->spec.metrics = w->metrics;
    w->spec.scheduled = w->scheduled;
    if (w->twists > 0 && pick(w, 2))
        spoil(w);
}
