/* The table of all kernels of one instruction set and precision. The lists are generated from the file
 * names of ops/, losses/, metrics/, optim/ and activations/. */
#include "activation.h"
#include "function.h"
#include "registry.h" /* generated */
#include "vector_ops.h"

#define DECLARE_OP(name) extern const fn_op FN_SYM(op_##name);
#define DECLARE_LOSS(name) extern const fn_loss FN_SYM(loss_##name);
#define DECLARE_METRIC(name) extern const fn_metric FN_SYM(metric_##name);
#define DECLARE_OPTIMIZER(name) extern const fn_optimizer FN_SYM(optimizer_##name);
#define DECLARE_ACTIVATION(name) extern const fn_activation FN_SYM(activation_##name);
FN_OP_LIST(DECLARE_OP)
FN_LOSS_LIST(DECLARE_LOSS)
FN_METRIC_LIST(DECLARE_METRIC)
FN_OPTIMIZER_LIST(DECLARE_OPTIMIZER)
FN_ACTIVATION_LIST(DECLARE_ACTIVATION)

#define OP(name) &FN_SYM(op_##name),
#define LOSS(name) &FN_SYM(loss_##name),
#define METRIC(name) &FN_SYM(metric_##name),
#define OPTIMIZER(name) &FN_SYM(optimizer_##name),
#define ACTIVATION(name) &FN_SYM(activation_##name),
static const fn_op *const ops[] = {FN_OP_LIST(OP) NULL};
static const fn_loss *const losses[] = {FN_LOSS_LIST(LOSS) NULL};
static const fn_metric *const metrics[] = {FN_METRIC_LIST(METRIC) NULL};
static const fn_optimizer *const optimizers[] = {FN_OPTIMIZER_LIST(OPTIMIZER) NULL};
const fn_activation *const FN_SYM(activations)[] = {FN_ACTIVATION_LIST(ACTIVATION) NULL};

/* The number of FN_TARGET. */
#define ISA_NUMBER(upper, name) ISA_NUMBER_##name = FN_ISA_##upper,
enum { FN_ISA_LIST(ISA_NUMBER) };
#define ISA_OF2(target) (fn_isa) ISA_NUMBER_##target
#define ISA_OF(target) ISA_OF2(target)

#define TABLE_NAME(target, bits) FN_PASTE(fn_kernels, target, bits)

extern const fn_kernels TABLE_NAME(FN_TARGET, FN_BITS);
const fn_kernels TABLE_NAME(FN_TARGET, FN_BITS) = {
    .isa = ISA_OF(FN_TARGET),
    .dtype = FN_BITS == 32 ? FN_FLOAT32 : FN_FLOAT64,
    .element = sizeof(real),
    .ops = ops,
    .losses = losses,
    .metrics = metrics,
    .optimizers = optimizers,
    .activations = (const fn_entry *const *)FN_SYM(activations),
    .functions = (const fn_entry *const *)FN_SYM(functions),
    .gather = FN_SYM(gather),
    .loss_scale = FN_SYM(loss_scale),
    .loss_sum = FN_SYM(loss_sum),
    .find_bad_label = FN_SYM(find_bad_label),
    .mask = FN_SYM(mask),
    .add = FN_SYM(add),
    .penalize = FN_SYM(penalize),
    .sum_squares = FN_SYM(sum_squares),
    .all_finite = FN_SYM(all_finite),
    .clip = FN_SYM(clip),
    .scale_add = FN_SYM(scale_add),
    .sum_lines = FN_SYM(sum_lines),
    .constrain = FN_SYM(constrain),
    .multiply_adds = FN_SYM(multiply_adds),
};
