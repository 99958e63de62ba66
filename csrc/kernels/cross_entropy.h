/* Cross-entropy of a distribution over classes: what the categorical losses share. */
#ifndef FN_KERNELS_CROSS_ENTROPY_H
#define FN_KERNELS_CROSS_ENTROPY_H

#include "../engine/descriptor.h"
#include "isa.h"

/* Attributes, in the order of both descriptors. */
enum { CE_FROM_LOGITS, CE_LABEL_SMOOTHING, CE_N_ATTRIBUTES };
#define CE_ATTRIBUTES                                                                                                            \
    {                                                                                                                            \
        [CE_FROM_LOGITS] = {"from_logits", 0.0, FN_FLAG},                                                                        \
        [CE_LABEL_SMOOTHING] = {"label_smoothing", 0.0, FN_BELOW_1},                                                             \
    }

/* fn_loss.run; labels: the target of a position is one class number. */
void FN_SYM(cross_entropy)(const fn_loss_arguments *arguments, bool labels);

/* fn_loss.check of the loss called `name`. */
fn_status FN_SYM(cross_entropy_check)(const char *name, const double *attribute, int64_t width, fn_error *error);

#endif
