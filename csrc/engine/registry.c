/* Queries of the registries. Every table has the same entries, so the current one answers. */
#include "processor.h"
#include "registry.h"
#include "update.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int fn_registry_size(fn_registry registry)
{
    int size = 0;
    while (fn_registry_entry(registry, size))
        size++;
    return size;
}

const fn_entry *fn_registry_entry(fn_registry registry, int index)
{
    const fn_kernels *kernels = fn_kernels_current(FN_FLOAT32);
    /* Descriptors begin with their entry. */
    const void *const *list;
    if (registry == FN_UPDATES)
        return index == 0 ? &fn_update_entry : NULL;
    switch (registry) {
    case FN_OPS:
        list = (const void *const *)kernels->ops;
        break;
    case FN_LOSSES:
        list = (const void *const *)kernels->losses;
        break;
    case FN_METRICS:
        list = (const void *const *)kernels->metrics;
        break;
    case FN_OPTIMIZERS:
        list = (const void *const *)kernels->optimizers;
        break;
    case FN_ACTIVATIONS:
        list = (const void *const *)kernels->activations;
        break;
    case FN_FUNCTIONS:
        list = (const void *const *)kernels->functions;
        break;
    default:
        return NULL;
    }
    for (int i = 0; list[i]; i++)
        if (i == index)
            return (const fn_entry *)list[i];
    return NULL;
}

int fn_registry_find(fn_registry registry, const char *name)
{
    const fn_entry *entry;
    for (int i = 0; name && (entry = fn_registry_entry(registry, i)); i++)
        if (!strcmp(entry->name, name))
            return i;
    return -1;
}

bool fn_op_penalizes(const char *op)
{
    const int index = fn_registry_find(FN_OPS, op);
    return index >= 0 && fn_kernels_current(FN_FLOAT32)->ops[index]->flags & FN_PENALIZES;
}

/* ---- attributes ---------------------------------------------------------------------------- */

enum { RANGE_TEXT = 100 };

/* What an attribute must be, in words. */
static const char *describe_range(const fn_attribute *attribute, char text[RANGE_TEXT])
{
    const double lowest = attribute->lowest, highest = attribute->highest;
    const char *kind = attribute->kind & FN_IS_INTEGER ? "a whole number" : "a number";
    if ((attribute->kind & FN_IS_INTEGER) && lowest == 0 && highest == 1)
        snprintf(text, RANGE_TEXT, "0 or 1");
    else if (lowest == 0 && highest < 1)
        snprintf(text, RANGE_TEXT, "in [0, 1)");
    else if (lowest == -DBL_MAX && highest == DBL_MAX)
        snprintf(text, RANGE_TEXT, "a finite number");
    else if (lowest == DBL_MIN && highest == DBL_MAX)
        snprintf(text, RANGE_TEXT, "a positive number");
    else if (highest == DBL_MAX)
        snprintf(text, RANGE_TEXT, "a finite number of at least %.16g", lowest);
    else if (lowest == -DBL_MAX)
        snprintf(text, RANGE_TEXT, "a finite number of at most %.16g", highest);
    else
        snprintf(text, RANGE_TEXT, "%s from %.16g to %.16g", kind, lowest, highest);
    return text;
}

static bool is_in_range(const fn_attribute *attribute, double value, bool open)
{
    if (open && (attribute->kind & FN_VARIES) && isnan(value))
        return true;
    return value >= attribute->lowest && value <= attribute->highest &&
           (!(attribute->kind & FN_IS_INTEGER) || value == floor(value));
}

fn_status fn_check_entry(const fn_entry *entry, const char *kind, const char *name, const double *attributes, bool open,
                         fn_error *error)
{
    char text[RANGE_TEXT];
    if (entry->n_attributes > 0 && !attributes)
        return fn_fail(error, FN_ERROR_ATTRIBUTE, "%s '%s': its attributes are missing", kind, name);
    for (int32_t i = 0; i < entry->n_attributes; i++)
        if (!is_in_range(&entry->attributes[i], attributes[i], open))
            return fn_fail(error, FN_ERROR_ATTRIBUTE, "%s '%s': %s must be %s, got %.16g", kind, name, entry->attributes[i].name,
                           describe_range(&entry->attributes[i], text), attributes[i]);
    return FN_OK;
}

fn_status fn_check_attributes(fn_registry registry, const char *name, const char *layer, const double *attributes,
                              fn_error *error)
{
    static const char *const kinds[FN_REGISTRY_COUNT] = {"operation",  "loss",      "metric",  "optimizer",
                                                         "activation", "optimizer", "function"};
    const fn_entry *entry = fn_registry_entry(registry, fn_registry_find(registry, name));
    if (!entry)
        return fn_fail(error, FN_ERROR_NAME, "unknown entry '%s'", name ? name : "");
    return fn_check_entry(entry, layer ? "layer" : kinds[registry], layer ? layer : entry->name, attributes,
                          registry == FN_OPTIMIZERS || registry == FN_UPDATES, error);
}

fn_status fn_check_hyper(const fn_optimizer *optimizer, const double *hyper, fn_error *error)
{
    const char *name = optimizer->entry.name;
    fn_status status = fn_check_entry(&optimizer->entry, "optimizer", name, hyper, true, error);
    return status != FN_OK
               ? status
               : fn_check_entry(&fn_update_entry, "optimizer", name, hyper + optimizer->entry.n_attributes, true, error);
}

int fn_optimizer_slots(const char *optimizer, const double *attributes, const char *names[FN_MAX_SLOTS],
                       double start[FN_MAX_SLOTS])
{
    int index = fn_registry_find(FN_OPTIMIZERS, optimizer);
    if (index < 0)
        return -1;
    const fn_optimizer *descriptor = fn_kernels_current(FN_FLOAT32)->optimizers[index];
    if (fn_check_hyper(descriptor, attributes, NULL) != FN_OK)
        return -1;
    int n = descriptor->slots(attributes, names, start);
    const double *around = attributes + descriptor->entry.n_attributes;
    struct {
        const char *name;
        double start;
        bool wanted;
    } slots[] = {{"accumulator", 0, around[FN_ACCUMULATION_STEPS] > 1},
                 {"average", NAN, !(around[FN_EMA_MOMENTUM] <= 0)},
                 {"slow", NAN, around[FN_LOOKAHEAD_STEPS] > 0},
                 {"mean", NAN, around[FN_MEAN_START] >= 0}};
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++)
        if (slots[i].wanted) {
            names[n] = slots[i].name;
            start[n++] = slots[i].start;
        }
    return n;
}

int64_t fn_metric_size(const char *metric, const double *attributes, const fn_shape *prediction)
{
    int index = fn_registry_find(FN_METRICS, metric);
    if (index < 0)
        return -1;
    const fn_metric *descriptor = fn_kernels_current(FN_FLOAT32)->metrics[index];
    if (fn_check_entry(&descriptor->entry, "metric", metric, attributes, false, NULL) != FN_OK ||
        fn_check_shape(prediction, metric, NULL) != FN_OK)
        return -1;
    return descriptor->size(attributes, fn_shape_last(prediction));
}

fn_status fn_check_metric_target(const fn_metric *metric, int64_t width, int64_t target_width, bool labels, fn_error *error)
{
    const fn_metric_target refused = labels ? FN_TARGET_NUMBERS : FN_TARGET_LABEL;
    if (metric->target == FN_TARGET_NOT_READ || (metric->target != refused && target_width == (labels ? 1 : width)))
        return FN_OK;
    return fn_fail(error, FN_ERROR_SHAPE, "metric '%s' needs %s for each prediction of %lld numbers, got %lld",
                   metric->entry.name,
                   metric->target == FN_TARGET_LABEL     ? "one class label"
                   : metric->target == FN_TARGET_NUMBERS ? "as many numbers"
                                                         : "as many numbers or one class label",
                   (long long)width, (long long)target_width);
}

/* Fails for the first of n labels that is no class number. */
static fn_status check_labels(const fn_kernels *kernels, const char *what, const void *labels, int64_t n, int64_t n_classes,
                              fn_error *error)
{
    const int64_t i = kernels->find_bad_label(labels, n, n_classes);
    if (i < 0)
        return FN_OK;
    const double label = kernels->dtype == FN_FLOAT32 ? (double)((const float *)labels)[i] : ((const double *)labels)[i];
    return fn_fail(error, FN_ERROR_LABEL, "%s: label %g at position %lld is not a class number from 0 to %lld", what, label,
                   (long long)i, (long long)n_classes - 1);
}

fn_status fn_check_shape(const fn_shape *shape, const char *what, fn_error *error)
{
    if (shape->rank < 0 || shape->rank > FN_MAX_RANK)
        return fn_fail(error, FN_ERROR_SHAPE, "%s: rank %d is not between 0 and %d", what, shape->rank, FN_MAX_RANK);
    int64_t elements = 1;
    for (int32_t i = 0; i < shape->rank; i++) {
        if (shape->size[i] <= 0)
            return fn_fail(error, FN_ERROR_SHAPE, "%s: axis %d has size %lld, expected at least 1", what, i,
                           (long long)shape->size[i]);
        elements = fn_multiply(elements, shape->size[i]);
        if (elements >= FN_TOO_MANY)
            return fn_fail(error, FN_ERROR_SHAPE, "%s: the shape is too large", what);
    }
    return FN_OK;
}

fn_status fn_infer(const char *op, const char *layer, int n_inputs, const fn_shape *inputs, const double *attributes,
                   fn_signature *signature, fn_error *error)
{
    int index = fn_registry_find(FN_OPS, op);
    layer = layer ? layer : "";
    if (index < 0)
        return fn_fail(error, FN_ERROR_NAME, "layer '%s': unknown operation '%s'", layer, op ? op : "");
    const fn_op *descriptor = fn_kernels_current(FN_FLOAT32)->ops[index];
    if (n_inputs < descriptor->min_inputs || (descriptor->max_inputs >= 0 && n_inputs > descriptor->max_inputs))
        return fn_fail(error, FN_ERROR_SHAPE, "layer '%s': got %d inputs, expected %s%d", layer, n_inputs,
                       descriptor->max_inputs == descriptor->min_inputs ? "" : "at least ", descriptor->min_inputs);
    fn_inference inference = {
        .layer = layer, .n_inputs = n_inputs, .input = inputs, .attribute = attributes, .training = true, .error = error};
    fn_status status = FN_OK;
    for (int i = 0; status == FN_OK && i < n_inputs; i++)
        status = fn_check_shape(&inputs[i], layer, error);
    if (status == FN_OK)
        status = fn_check_entry(&descriptor->entry, "layer", layer, attributes, false, error);
    if (status == FN_OK)
        status = descriptor->infer(&inference);
    for (int i = 0; status == FN_OK && i < inference.signature.n_outputs; i++)
        status = fn_check_shape(&inference.signature.output[i], layer, error);
    for (int i = 0; status == FN_OK && i < inference.signature.n_parameters; i++)
        status = fn_check_shape(&inference.signature.parameter[i], layer, error);
    inference.signature.keeps_numbers |= inference.alias;
    if (status == FN_OK)
        *signature = inference.signature;
    return status;
}

fn_status fn_check_loss(const fn_loss *loss, const double *attributes, const fn_shape *prediction, int64_t *group,
                        fn_error *error)
{
    *group = 1;
    fn_status status = fn_check_entry(&loss->entry, "loss", loss->entry.name, attributes, false, error);
    if (status == FN_OK)
        status = fn_check_shape(prediction, loss->entry.name, error);
    if (status == FN_OK)
        status = loss->check(attributes, fn_shape_last(prediction), error);
    if (status == FN_OK && loss->group)
        status = loss->group(attributes, prediction, group, error);
    return status;
}

fn_status fn_infer_target(const char *loss, const double *attributes, const fn_shape *prediction, fn_shape *target,
                          fn_error *error)
{
    int index = fn_registry_find(FN_LOSSES, loss);
    if (index < 0)
        return fn_fail(error, FN_ERROR_NAME, "unknown loss '%s'", loss);
    const fn_loss *descriptor = fn_kernels_current(FN_FLOAT32)->losses[index];
    int64_t group;
    fn_status status = fn_check_loss(descriptor, attributes, prediction, &group, error);
    if (status != FN_OK)
        return status;
    *target = *prediction;
    if ((descriptor->labels || descriptor->identities) && target->rank > 0)
        target->rank--; /* one number in place of the last axis */
    return FN_OK;
}

fn_status fn_compute_loss(const char *loss, const double *attributes, fn_dtype dtype, int64_t rows, const fn_shape *shape,
                          const void *prediction, const void *target, const void *scale, void *losses, void *gradient,
                          fn_error *error)
{
    int index = fn_registry_find(FN_LOSSES, loss);
    if (index < 0)
        return fn_fail(error, FN_ERROR_NAME, "unknown loss '%s'", loss);
    const fn_kernels *kernels = fn_kernels_current(dtype);
    if (!kernels)
        return fn_fail(error, FN_ERROR_DTYPE, "losses are computed in float32 or float64");
    const fn_loss *descriptor = kernels->losses[index];
    int64_t group;
    fn_status status = fn_check_loss(descriptor, attributes, shape, &group, error);
    const int64_t width = fn_shape_last(shape), positions = status == FN_OK ? rows * (fn_shape_size(shape) / width) : 0;
    if (status == FN_OK && descriptor->labels)
        status = check_labels(kernels, loss, target, positions, width, error);
    if (status != FN_OK)
        return status;
    fn_loss_arguments arguments = {.prediction = prediction,
                                   .target = target,
                                   .scale = scale,
                                   .loss = losses,
                                   .gradient = gradient,
                                   .positions = positions,
                                   .width = width,
                                   .target_width = descriptor->labels || descriptor->identities ? 1 : width,
                                   .group = group ? group : positions,
                                   .attribute = attributes};
    const fn_arithmetic host = fn_set_arithmetic();
    descriptor->run(&arguments);
    fn_restore_arithmetic(&host);
    return FN_OK;
}

fn_status fn_compute_metric(const char *metric, const double *attributes, fn_dtype dtype, int64_t positions, int64_t width,
                            int64_t target_width, const void *prediction, const void *target, double *accumulator,
                            fn_error *error)
{
    int index = fn_registry_find(FN_METRICS, metric);
    if (index < 0)
        return fn_fail(error, FN_ERROR_NAME, "unknown metric '%s'", metric);
    const fn_kernels *kernels = fn_kernels_current(dtype);
    if (!kernels)
        return fn_fail(error, FN_ERROR_DTYPE, "metrics are computed from float32 or float64");
    const fn_metric *descriptor = kernels->metrics[index];
    /* Of a prediction of one number, one number may be either. */
    const bool labels = target_width == 1 && (width > 1 || descriptor->target == FN_TARGET_LABEL);
    fn_status status = fn_check_entry(&descriptor->entry, "metric", metric, attributes, false, error);
    if (status == FN_OK)
        status = fn_check_metric_target(descriptor, width, target_width, labels, error);
    if (status == FN_OK && labels)
        status = check_labels(kernels, metric, target, positions, width, error);
    if (status != FN_OK)
        return status;
    fn_metric_arguments arguments = {.prediction = prediction,
                                     .target = target,
                                     .positions = positions,
                                     .width = width,
                                     .target_width = target_width,
                                     .attribute = attributes,
                                     .accumulator = accumulator};
    const fn_arithmetic host = fn_set_arithmetic();
    descriptor->update(&arguments);
    fn_restore_arithmetic(&host);
    return FN_OK;
}
