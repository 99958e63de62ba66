/* Reshape: the same elements under another shape. An alias: output and input are one array.
 *
 * Attributes: the rank, then the sizes; one size may be -1 and is found from the others. */
#include "../../engine/descriptor.h"
#include "../isa.h"

enum { RANK, SIZE_0 };

static const fn_attribute attributes[] = {
    {"rank", 1, FN_INTEGER(0, FN_MAX_RANK)},     {"size_0", -1, FN_INTEGER(-1, FN_INT32_MAX)},
    {"size_1", 1, FN_INTEGER(-1, FN_INT32_MAX)}, {"size_2", 1, FN_INTEGER(-1, FN_INT32_MAX)},
    {"size_3", 1, FN_INTEGER(-1, FN_INT32_MAX)}, {"size_4", 1, FN_INTEGER(-1, FN_INT32_MAX)},
    {"size_5", 1, FN_INTEGER(-1, FN_INT32_MAX)},
};

static fn_status infer(fn_inference *inference)
{
    const double *attribute = inference->attribute;
    char got[FN_SHAPE_TEXT], asked[FN_SHAPE_TEXT];
    fn_shape shape = {.rank = (int32_t)attribute[RANK]};
    int64_t elements = fn_shape_size(&inference->input[0]), known = 1, unknown = -1;
    for (int32_t i = 0; i < shape.rank; i++) {
        shape.size[i] = (int64_t)attribute[SIZE_0 + i];
        if (shape.size[i] == -1 && unknown < 0)
            unknown = i;
        else if (shape.size[i] > 0 && shape.size[i] <= elements)
            known *= shape.size[i];
        else
            known = 0; /* fits nothing */
        if (known > elements)
            known = 0;
    }
    fn_shape wanted = shape;
    if (unknown >= 0 && known > 0)
        shape.size[unknown] = elements / known;
    if (known == 0 || fn_shape_size(&shape) != elements)
        return fn_fail(inference->error, FN_ERROR_SHAPE, "layer '%s': cannot reshape %s into %s", inference->layer,
                       fn_shape_text(&inference->input[0], got), fn_shape_text(&wanted, asked));
    inference->alias = true;
    inference->signature.n_outputs = 1;
    inference->signature.output[0] = shape;
    return FN_OK;
}

const fn_op FN_SYM(op_reshape) = {
    .entry = {"reshape", attributes, sizeof attributes / sizeof attributes[0]},
    .min_inputs = 1,
    .max_inputs = 1,
    .flags = FN_KEEPS_PIECES,
    .infer = infer,
};
