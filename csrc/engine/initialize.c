/* What a description written in C begins with: attributes by name, places of parameters, and their first numbers.
 *
 * Random numbers are those of NumPy, which Python's initializers use: Philox4x64-10 (Salmon et al., 2011) with the key that
 * SeedSequence([seed, number]) makes. SeedSequence is M. E. O'Neill's seed_seq ("Developing a seed_seq alternative", 2015) with
 * hashing in both directions. Numbers are drawn in float64 and then rounded. */
#include "initialize.h"
#include "check.h"
#include "memory.h"
#include "registry.h"

#include <math.h>
#include <stdlib.h>

/* ---- attributes -------------------------------------------------------------------------------------------- */

/* A decimal number at the beginning of `text`, of whatever locale: with at most 15 digits and 22 places, as people write them,
 * the quotient or product of two exact numbers, which is rounded once. Others are left to the C library. */
static double read_number(const char *text, char **end)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *at = text + (*text == '-' || *text == '+'), *digits = at;
    double number = 0;
    int exponent = 0;
    for (bool point = false; (*at >= '0' && *at <= '9') || (*at == '.' && !point); at++) {
        point |= *at == '.';
        if (*at != '.') {
            number = 10 * number + (*at - '0');
            exponent -= point;
        }
    }
    if (at == digits || at - digits > 16)
        return strtod(text, end);
    if (*at == 'e' || *at == 'E') {
        char *after = NULL;
        const long power = strtol(at + 1, &after, 10);
        if (after == at + 1 || power < -100 || power > 100)
            return strtod(text, end);
        exponent += (int)power;
        at = after;
    }
    if (exponent < -22 || exponent > 22 || number >= 1e15)
        return strtod(text, end);
    *end = (char *)at;
    number = exponent < 0 ? number / powers[-exponent] : number * powers[exponent];
    return *text == '-' ? -number : number;
}

/* The value of an attribute as it is written: a number or, for that of an activation, its name. The attribute after it, the
 * activation's parameter, is then the one that it has of itself. */
static bool read_value(const char *text, size_t length, bool activates, double *value)
{
    char copy[64];
    if (length == 0 || length >= sizeof copy)
        return false;
    memcpy(copy, text, length);
    copy[length] = 0;
    const int activation = activates ? fn_registry_find(FN_ACTIVATIONS, copy) : -1;
    char *end = copy + length;
    if (activation >= 0 && fn_registry_entry(FN_ACTIVATIONS, activation)->n_attributes > 0)
        value[1] = fn_registry_entry(FN_ACTIVATIONS, activation)->attributes[0].value;
    *value = activation >= 0 ? activation : read_number(copy, &end);
    return end == copy + length;
}

/* The attribute of this name, of those of one entry or of an optimizer and what is around it. */
static double *find_attribute(const fn_entry *const entries[2], const char *name, size_t length, double *values)
{
    for (int i = 0; i < 2 && entries[i]; values += entries[i++]->n_attributes)
        for (int32_t j = 0; j < entries[i]->n_attributes; j++)
            if (strlen(entries[i]->attributes[j].name) == length && !memcmp(entries[i]->attributes[j].name, name, length))
                return &values[j];
    return NULL;
}

fn_status fn_set_attributes(fn_registry registry, const char *name, const char *text, double *values, fn_error *error)
{
    const fn_entry *entries[2] = {fn_registry_entry(registry, fn_registry_find(registry, name)),
                                  registry == FN_OPTIMIZERS ? fn_registry_entry(FN_UPDATES, 0) : NULL};
    if (!entries[0])
        return fn_fail(error, FN_ERROR_NAME, "unknown entry '%.80s'", name ? name : "");
    int32_t n = 0;
    for (int i = 0; i < 2 && entries[i]; i++)
        for (int32_t j = 0; j < entries[i]->n_attributes; j++)
            values[n++] = entries[i]->attributes[j].value;
    for (const char *at = text ? text : ""; *(at += strspn(at, " "));) {
        const size_t length = strcspn(at, " "), before = strcspn(at, "= ");
        double *value = find_attribute(entries, at, before, values);
        if (!value || before == length)
            return fn_fail(error, FN_ERROR_ATTRIBUTE, "'%s': it has no attribute '%.*s', or none is set to it", name,
                           (int)(length < 80 ? length : 80), at);
        static const char suffix[] = "activation";
        const size_t n_suffix = sizeof suffix - 1;
        const bool activates = value + 1 < values + n && before >= n_suffix && !memcmp(at + before - n_suffix, suffix, n_suffix);
        if (!read_value(at + before + 1, length - before - 1, activates, value))
            return fn_fail(error, FN_ERROR_ATTRIBUTE, "'%s': '%.*s' is neither a number nor an activation", name,
                           (int)(length < 80 ? length : 80), at);
        at += length;
    }
    fn_status status = fn_check_attributes(registry, name, NULL, values, error);
    if (status == FN_OK && entries[1])
        status = fn_check_attributes(FN_UPDATES, entries[1]->name, name, values + entries[0]->n_attributes, error);
    return status;
}

/* ---- parameters -------------------------------------------------------------------------------------------- */

int32_t fn_count_operands(const fn_node_spec *node)
{
    int32_t n = 0;
    for (int32_t j = 0; j < node->n_parameters; j++)
        n += node->parameters[j] < 0;
    return n < node->n_inputs ? n : node->n_inputs;
}

fn_status fn_infer_values(const fn_plan_spec *spec, fn_shape *values, int32_t *n_values, fn_shape *parameters, fn_error *error)
{
    int32_t n = spec->n_inputs;
    for (int32_t i = 0; i < n; i++)
        values[i] = spec->inputs[i].shape;
    for (int32_t i = 0; i < spec->n_parameters; i++)
        parameters[i].rank = -1;
    for (int32_t i = 0; i < n; i++) {
        const int32_t parameter = -1 - spec->inputs[i].target;
        if (parameter >= spec->n_parameters)
            return fn_fail(error, FN_ERROR_GRAPH, "input %d is parameter %d, of %d", i, parameter, spec->n_parameters);
        if (parameter >= 0)
            parameters[parameter] = spec->inputs[i].shape;
    }
    for (int32_t i = 0; i < spec->n_nodes; i++) {
        const fn_node_spec *node = &spec->nodes[i];
        const char *layer = node->layer ? node->layer : "";
        fn_signature signature;
        fn_shape few[4], *inputs = node->n_inputs <= 4 ? few : fn_allocate(sizeof *inputs * (size_t)node->n_inputs);
        if (!inputs)
            return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
        fn_status status = FN_OK;
        for (int32_t j = 0; status == FN_OK && j < node->n_inputs; j++) {
            if (node->inputs[j] < 0 || node->inputs[j] >= n)
                status = fn_fail(error, FN_ERROR_GRAPH, "layer '%s': it reads value %d, of %d", layer, node->inputs[j], n);
            else
                inputs[j] = values[node->inputs[j]];
        }
        if (status == FN_OK)
            status =
                fn_infer(node->op, layer, node->n_inputs - fn_count_operands(node), inputs, node->attributes, &signature, error);
        if (inputs != few)
            fn_release(inputs);
        if (status != FN_OK)
            return status;
        for (int32_t j = 0; j < signature.n_outputs; j++)
            values[n++] = signature.output[j];
        if (signature.n_parameters != node->n_parameters)
            return fn_fail(error, FN_ERROR_GRAPH, "layer '%s': it is given %d parameters, and has %d", layer, node->n_parameters,
                           signature.n_parameters);
        for (int32_t j = 0; j < node->n_parameters; j++) {
            const int32_t number = node->parameters[j];
            if (number < 0 && -1 - number < node->n_inputs) /* a value of nodes */
                continue;
            if (number < 0 || number >= spec->n_parameters)
                return fn_fail(error, FN_ERROR_GRAPH, "layer '%s': it uses parameter %d, of %d", layer, number,
                               spec->n_parameters);
            const fn_shape *shape = &signature.parameter[j];
            if (parameters[number].rank >= 0 && fn_shape_size(&parameters[number]) != fn_shape_size(shape))
                return fn_fail(error, FN_ERROR_SHAPE, "layer '%s': parameter %d is of another size in another layer", layer,
                               number);
            parameters[number] = *shape;
        }
    }
    *n_values = n;
    return FN_OK;
}

/* Elements of an array after which another may begin. */
static int64_t pad_elements(fn_dtype dtype, int64_t n)
{
    const int64_t quantum = FN_ALIGNMENT / (dtype == FN_FLOAT64 ? 8 : 4);
    return (n + quantum - 1) / quantum * quantum;
}

fn_status fn_place_parameters(fn_dtype dtype, int32_t n, fn_parameter_spec *parameters, int64_t *n_elements, fn_error *error)
{
    *n_elements = 0;
    for (int32_t i = 0; i < n; i++) {
        fn_status status = fn_check_shape(&parameters[i].shape, "parameter", error);
        if (status != FN_OK)
            return status;
        parameters[i].offset = *n_elements;
        *n_elements += pad_elements(dtype, fn_shape_size(&parameters[i].shape));
        if (*n_elements >= FN_TOO_MANY)
            return fn_fail(error, FN_ERROR_SHAPE, "the parameters are too large");
    }
    return FN_OK;
}

fn_status fn_lay_out_parameters(const fn_plan_spec *given, fn_parameter_spec *parameters, int64_t *n_elements, fn_error *error)
{
    fn_plan_spec spec;
    fn_status status = fn_read_spec(&spec, given, error);
    if (status != FN_OK)
        return status;
    const size_t most_values = (size_t)spec.n_inputs + (size_t)spec.n_nodes * FN_MAX_OUTPUTS;
    fn_shape *values = fn_allocate(sizeof *values * (most_values + (size_t)spec.n_parameters));
    if (!values)
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    fn_shape *shapes = values + most_values;
    int32_t n_values;
    status = fn_infer_values(&spec, values, &n_values, shapes, error);
    for (int32_t i = 0; status == FN_OK && i < spec.n_parameters; i++)
        if (shapes[i].rank >= 0)
            parameters[i] = (fn_parameter_spec){.shape = shapes[i], .trainable = true, .decays = true, .rate = 1};
    fn_release(values);
    return status == FN_OK ? fn_place_parameters(spec.dtype, spec.n_parameters, parameters, n_elements, error) : status;
}

/* ---- random numbers ---------------------------------------------------------------------------------------- */

typedef struct fn_hash {
    uint32_t constant, factor;
} fn_hash;

static uint32_t hash_word(fn_hash *hash, uint32_t word)
{
    word ^= hash->constant;
    hash->constant *= hash->factor;
    word *= hash->constant;
    return word ^ word >> 16;
}

static uint32_t mix_words(uint32_t x, uint32_t y)
{
    const uint32_t mixed = 0xca01f9ddu * x - 0x4973f715u * y;
    return mixed ^ mixed >> 16;
}

/* NumPy's SeedSequence([seed, number]).generate_state(2, uint64). */
static void make_key(uint64_t seed, uint64_t number, uint64_t key[2])
{
    uint32_t entropy[4] = {0}, pool[4], state[4];
    int n = 0;
    for (int i = 0; i < 2; i++) { /* of each number as many words of 32 bits as it has */
        const uint64_t value = i ? number : seed;
        entropy[n++] = (uint32_t)value;
        if (value >> 32)
            entropy[n++] = (uint32_t)(value >> 32);
    }
    fn_hash hash = {0x43b0d7e5u, 0x931e8875u};
    for (int i = 0; i < 4; i++)
        pool[i] = hash_word(&hash, entropy[i]);
    for (int from = 0; from < 4; from++)
        for (int to = 0; to < 4; to++)
            if (from != to)
                pool[to] = mix_words(pool[to], hash_word(&hash, pool[from]));
    hash = (fn_hash){0x8b51f9ddu, 0x58f38dedu};
    for (int i = 0; i < 4; i++)
        state[i] = hash_word(&hash, pool[i]);
    key[0] = state[0] | (uint64_t)state[1] << 32;
    key[1] = state[2] | (uint64_t)state[3] << 32;
}

static void multiply(uint64_t x, uint64_t y, uint64_t *high, uint64_t *low)
{
    const uint64_t a = x >> 32, b = x & 0xFFFFFFFFu, c = y >> 32, d = y & 0xFFFFFFFFu;
    const uint64_t middle = a * d + (b * d >> 32), other = b * c + (middle & 0xFFFFFFFFu);
    *low = x * y;
    *high = a * c + (middle >> 32) + (other >> 32);
}

/* Philox4x64-10 of a counter below 2^64. */
static void philox64(const uint64_t key[2], uint64_t counter, uint64_t word[4])
{
    uint64_t c0 = counter, c1 = 0, c2 = 0, c3 = 0, k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t high0, low0, high1, low1;
        multiply(0xD2E7470EE14C6C93u, c0, &high0, &low0);
        multiply(0xCA5A826395121157u, c2, &high1, &low1);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B97F4A7C15u;
        k1 += 0xBB67AE8584CAA73Bu;
    }
    word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

static void put_number(fn_dtype dtype, void *values, int64_t i, double number)
{
    if (dtype == FN_FLOAT32)
        ((float *)values)[i] = (float)number;
    else
        ((double *)values)[i] = number;
}

/* Half of the range of the uniform distribution of this name, for a kernel with so many inputs and outputs; 0: unknown. */
static double find_limit(const char *initializer, double fan_in, double fan_out)
{
    const struct {
        const char *name;
        double scale, fan;
    } known[] = {{"glorot_uniform", 1, (fan_in + fan_out) / 2}, {"he_uniform", 2, fan_in}, {"lecun_uniform", 1, fan_in}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (!strcmp(initializer, known[i].name))
            return sqrt(3.0 * (known[i].scale / (known[i].fan > 1 ? known[i].fan : 1)));
    return strcmp(initializer, "random_uniform") ? 0 : 0.05;
}

fn_status fn_initialize(const char *initializer, fn_dtype dtype, const fn_shape *shape, uint64_t seed, uint64_t number,
                        void *values, fn_error *error)
{
    fn_status status = fn_check_shape(shape, "parameter", error);
    if (status != FN_OK)
        return status;
    if (dtype != FN_FLOAT32 && dtype != FN_FLOAT64)
        return fn_fail(error, FN_ERROR_DTYPE, "parameters are of float32 or float64");
    const char *name = initializer ? initializer : "";
    const int64_t n = fn_shape_size(shape), last = fn_shape_last(shape);
    if (!strcmp(name, "zeros") || !strcmp(name, "ones")) {
        for (int64_t i = 0; i < n; i++)
            put_number(dtype, values, i, name[0] == 'o');
        return FN_OK;
    }
    const bool kernel = shape->rank >= 2; /* (window..., inputs, outputs) */
    const double fan_in = kernel ? (double)(n / last) : (double)n;
    const double fan_out = kernel ? (double)(n / shape->size[shape->rank - 2]) : (double)n;
    const double limit = find_limit(name, fan_in, fan_out);
    if (limit == 0)
        return fn_fail(error, FN_ERROR_NAME,
                       "unknown initializer '%.80s'; known: zeros, ones, glorot_uniform, he_uniform, "
                       "lecun_uniform, random_uniform",
                       name);
    uint64_t key[2], word[4];
    make_key(seed, number, key);
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            philox64(key, (uint64_t)(i / 4) + 1, word);
        put_number(dtype, values, i, -limit + (limit - -limit) * ((double)(word[i % 4] >> 11) * 0x1p-53));
    }
    return FN_OK;
}
