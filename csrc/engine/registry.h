/* Entries of the registries, and checks of what is given for them. */
#ifndef FN_ENGINE_REGISTRY_H
#define FN_ENGINE_REGISTRY_H

#include "descriptor.h"

/* fn_check_attributes of an entry at hand; kind, name: "layer" and its name, for messages. open: those that vary may be NaN, for
 * not known yet. */
fn_status fn_check_entry(const fn_entry *entry, const char *kind, const char *name, const double *attributes, bool open,
                         fn_error *error);
/* That of an optimizer and of the entry "update". */
fn_status fn_check_hyper(const fn_optimizer *optimizer, const double *hyper, fn_error *error);
/* ERROR_SHAPE unless every axis has at least one element and the number of all of them is sane. */
fn_status fn_check_shape(const fn_shape *shape, const char *what, fn_error *error);

/* Whether a loss takes predictions of this shape with these attributes, and fn_loss_arguments.group; 0: the whole batch. */
fn_status fn_check_loss(const fn_loss *loss, const double *attributes, const fn_shape *prediction, int64_t *group,
                        fn_error *error);

/* Whether a metric can do with such targets of predictions of this width. labels: they have been checked to be class labels. */
fn_status fn_check_metric_target(const fn_metric *metric, int64_t width, int64_t target_width, bool labels, fn_error *error);

/* The table in use. */
const fn_kernels *fn_kernels_current(fn_dtype dtype);

#endif
