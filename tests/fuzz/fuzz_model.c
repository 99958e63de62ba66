/* Damaged files of models, read, used and written by the C library: whatever a file says, an fn_status is all that may come of
 * it, and memory in proportion to its length.
 *
 *   fuzz_model --runs 1000000 --seed 7 FILE...   files made of these, such as those of corpus/model, by the seed and the number
 *   fuzz_model --seed 7 --first 4711 FILE...     that one alone: a finding tells its number; --write NAME: its bytes
 *   fuzz_model FILE...                           these as they are
 *
 * Most of what is changed is the text of the header: a number, a name, an item of a list or an object, which leaves it JSON more
 * often than not. The length in front of it is that of the new text, most of the time. The program is this file with main(), or
 * with that of libFuzzer (FASTNET_LIBFUZZER). See docs/fuzzing.md. */
#define _POSIX_C_SOURCE 200112L

#include "../../csrc/fastnet.h"
#define FUZZ_MEGABYTES 64
#include "standalone.h"

#include <unistd.h>

enum {
    ROWS = 3,
    MOST_ELEMENTS = 4096, /* of what is predicted and trained on */
    MOST_FILES = 64,
    BYTES_PER_BYTE = 64,
    BYTES_AT_LEAST = 1 << 17
};

static long long n_loaded, n_predicted, n_trained, n_saved;

/* ---- memory: all that the engine has, and how much at a time --------------------------------------------------------- */

static size_t taken;

static void *count_and_allocate(void *context, size_t bytes, size_t alignment)
{
    (void)context;
    void *memory = NULL;
    taken += bytes;
    return bytes > (size_t)16 << 20 || posix_memalign(&memory, alignment, bytes) ? NULL : memory;
}

static void release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

/* ---- using a model ------------------------------------------------------------------------------------------------- */

static int64_t size_of(const fn_shape *shape)
{
    int64_t size = 1;
    for (int32_t i = 0; shape && i < shape->rank; i++)
        if (shape->size[i] > MOST_ELEMENTS || (size *= shape->size[i]) > MOST_ELEMENTS)
            return -1;
    return shape ? size : -1;
}

/* Rows of a shape, of just so many bytes: zeros, which are labels, too. -1: too many. */
static int64_t make_rows(const fn_shape *shape, size_t element, void **rows)
{
    const int64_t size = size_of(shape);
    *rows = size < 0 ? NULL : calloc(ROWS, (size_t)size * element);
    return *rows ? size : -1;
}

static void use_model(fn_model *model)
{
    void *x[FN_MAX_LOSSES] = {0}, *y[FN_MAX_LOSSES] = {0}, *t[FN_MAX_LOSSES] = {0};
    fn_source inputs[FN_MAX_LOSSES], targets[FN_MAX_LOSSES] = {{0}};
    fn_model_info info = {.size = sizeof info};
    fn_error error;
    fn_model_describe(model, &info);
    const size_t element = info.dtype == FN_FLOAT32 ? 4 : 8;
    bool small = info.n_inputs <= FN_MAX_LOSSES && info.n_outputs <= FN_MAX_LOSSES, trains = info.trains;
    for (int32_t i = 0; small && i < info.n_inputs; i++) {
        const int64_t n = make_rows(fn_model_input(model, i), element, &x[i]);
        small = n >= 0;
        inputs[i] = (fn_source){x[i], info.dtype, n * (int64_t)element};
    }
    for (int32_t i = 0; small && i < info.n_outputs; i++)
        small = make_rows(fn_model_output(model, i), element, &y[i]) >= 0;
    if (small) {
        fn_model_predict(model, ROWS, inputs, y, &error);
        n_predicted++;
    }
    for (int32_t i = 0; trains && i < FN_MAX_LOSSES; i++) {
        fn_shape shape;
        if (fn_model_target(model, i, &shape, &error) != FN_OK)
            continue;
        const int64_t n = make_rows(&shape, element, &t[i]);
        trains = n >= 0;
        targets[i] = (fn_source){t[i], info.dtype, n * (int64_t)element};
    }
    if (small && trains) {
        const fn_fit fit = {
            .size = sizeof fit, .n_rows = ROWS, .batch_size = 2, .epochs = 1, .inputs = inputs, .targets = targets};
        n_trained += fn_model_fit(model, &fit, &error) == FN_OK;
    }
    for (int i = 0; i < FN_MAX_LOSSES; i++) {
        free(x[i]);
        free(y[i]);
        free(t[i]);
    }
}

/* What is written must be read again. */
static void save_model(fn_model *model)
{
    static char path[64];
    fn_error error;
    fn_model *again;
    if (!*path)
        snprintf(path, sizeof path, "/tmp/fuzz_model.%ld", (long)getpid());
    if (fn_model_save(model, path, &error) != FN_OK)
        return;
    if (fn_model_load(path, &again, &error) != FN_OK) {
        fprintf(stderr, "what was saved is not read: %s\n", error.message);
        abort();
    }
    fn_model_destroy(again);
    remove(path);
    n_saved++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned turn;
    static const fn_allocator allocator = {sizeof allocator, NULL, count_and_allocate, release};
    fn_set_allocator(&allocator);
    fn_model *model = NULL;
    fn_error error = {0};
    taken = 0;
    turn++;
    if (turn % 64 == 0)
        fn_fail_allocation(1 + turn / 64 % 40);
    const fn_status status = fn_model_load_bytes(data, size, &model, &error);
    fn_fail_allocation(0);
    if ((status == FN_OK) != (model != NULL) || (status != FN_OK && error.status != status) ||
        taken > BYTES_AT_LEAST + BYTES_PER_BYTE * size) {
        fprintf(stderr, "%s: %s; %zu bytes taken for %zu\n", fn_status_name(status), error.message, taken, size);
        abort();
    }
    if (model) {
        n_loaded++;
        if (turn % 8 == 0)
            use_model(model);
        if (turn % 256 == 0)
            save_model(model);
    }
    fn_model_destroy(model);
    return 0;
}

#ifndef FASTNET_LIBFUZZER

/* ---- damage -------------------------------------------------------------------------------------------------------- */

static size_t pick(size_t n)
{
    return n ? (size_t)(next_random() % n) : 0;
}

typedef struct fn_text {
    size_t n;
    char bytes[FILE_ROOM];
} fn_text;

/* Puts a piece in the place of another. */
static void replace(fn_text *text, size_t at, size_t length, const char *piece, size_t n)
{
    if (text->n - length + n >= FILE_ROOM)
        return;
    memmove(text->bytes + at + n, text->bytes + at + length, text->n - at - length);
    memcpy(text->bytes + at, piece, n);
    text->n = text->n - length + n;
}

/* A place of a kind: of a number, of a quotation mark, of what opens an object or a list. From a random one on, or where the text
 * ends. */
static size_t find_place(const fn_text *text, const char *kind)
{
    size_t at = pick(text->n);
    while (at < text->n && !memchr(kind, text->bytes[at], strlen(kind)))
        at++;
    return at;
}

/* What begins at an opening bracket, to the bracket that closes it; a string to its next quotation mark; digits. */
static size_t measure_item(const fn_text *text, size_t at)
{
    const size_t begin = at;
    int depth = 0;
    if (at == text->n)
        return 0;
    if (text->bytes[at] == '"') {
        for (at++; at < text->n && text->bytes[at] != '"'; at++)
            ;
        return at < text->n ? at + 1 - begin : 0;
    }
    if (!strchr("{[", text->bytes[at])) {
        while (at < text->n && text->bytes[at] >= '0' && text->bytes[at] <= '9')
            at++;
        return at - begin;
    }
    for (; at < text->n; at++) {
        depth += (text->bytes[at] == '{') + (text->bytes[at] == '[') - (text->bytes[at] == '}') - (text->bytes[at] == ']');
        if (depth == 0)
            return at + 1 - begin;
    }
    return 0;
}

static void damage_text(fn_text *text)
{
    static const char *const numbers[] = {"0",
                                          "1",
                                          "2",
                                          "3",
                                          "7",
                                          "-1",
                                          "64",
                                          "255",
                                          "65536",
                                          "2147483647",
                                          "2147483648",
                                          "17592186044416",
                                          "9007199254740993",
                                          "9223372036854775807",
                                          "18446744073709551615",
                                          "99999999999999999999",
                                          "1.5",
                                          "1e3",
                                          "01",
                                          "null",
                                          "true",
                                          "\\\"0x1.8p+1\\\"",
                                          "\\\"0x1p+1024\\\"",
                                          "\\\"inf\\\"",
                                          "[]",
                                          "{}",
                                          "\\\"\\\"",
                                          "\\\"relu\\\""};
    static char piece[FILE_ROOM];
    static const char *const kinds[] = {"0123456789", "\"", "{["};
    const char *kind = kinds[pick(3)];
    const size_t at = find_place(text, kind), length = measure_item(text, at), other = find_place(text, kind);
    const size_t other_length = measure_item(text, other);
    switch (pick(8)) {
    case 0:
    case 1: { /* a number is another */
        const size_t digits = find_place(text, "0123456789");
        const char *number = numbers[pick(sizeof numbers / sizeof numbers[0])];
        replace(text, digits, measure_item(text, digits), number, strlen(number));
        break;
    }
    case 2: /* an item is another of its kind */
    case 3:
        memcpy(piece, text->bytes + other, other_length);
        replace(text, at, length, piece, other_length);
        break;
    case 4: { /* it goes, with the comma after it */
        const size_t comma = at + length < text->n && text->bytes[at + length] == ',';
        replace(text, at, length + comma, "", 0);
        break;
    }
    case 5: /* it is there twice */
        if (length + 1 < FILE_ROOM) {
            memcpy(piece, text->bytes + at, length);
            piece[length] = ',';
            replace(text, at, 0, piece, length + 1);
        }
        break;
    case 6: /* a bit */
        if (text->n)
            text->bytes[pick(text->n)] ^= (char)(1 << pick(8));
        break;
    default: { /* a byte of what JSON is made of */
        const char *signs = "{}[],:\"\\0-.e \x80\xff";
        if (text->n)
            text->bytes[pick(text->n)] = signs[pick(15)];
    }
    }
}

/* A file that is made of another; its length. */
static size_t damage_file(const uint8_t *given, size_t size, uint8_t *made)
{
    static fn_text text;
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | given[i];
    const size_t rest = size - 8 - (size_t)length;
    text.n = (size_t)length;
    memcpy(text.bytes, given + 8, text.n);
    for (size_t n = 1 + pick(pick(4) ? 3 : 12); n > 0; n--)
        damage_text(&text);
    length = pick(50) ? text.n : next_random() >> pick(64);
    for (int i = 0; i < 8; i++)
        made[i] = (uint8_t)(length >> 8 * i);
    memcpy(made + 8, text.bytes, text.n);
    memcpy(made + 8 + text.n, given + size - rest, rest);
    const size_t all = 8 + text.n + rest;
    if (rest && pick(8) == 0)
        made[8 + text.n + pick(rest)] ^= (uint8_t)next_random();
    return pick(50) ? all : pick(all + 1);
}

/* ---- without libFuzzer ---------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    fuzz_options options = {.runs = 1};
    static uint8_t *files[MOST_FILES], made[2 * FILE_ROOM + 8];
    size_t sizes[MOST_FILES];
    int n_files = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (n_files < MOST_FILES && (files[n_files] = read_file(argv[i], &sizes[n_files])))
                n_files++;
        } else if (!take_option(&options, argc, argv, i++)) {
            return fprintf(stderr, "usage: %s [--runs N | --seconds N] [--seed S] [--first N] [--write NAME] FILE...\n", argv[0]),
                   2;
        }
    }
    begin_runs(&options);
    for (int i = 0; i < n_files && !options.any; i++)
        LLVMFuzzerTestOneInput(files[i], sizes[i]);
    for (; options.any && n_files && has_run(&options); run_number++) {
        const size_t which = pick((size_t)n_files), n = damage_file(files[which], sizes[which], made);
        uint8_t *exact = malloc(n + 1);
        if (exact) {
            memcpy(exact + 1, made, n); /* of just that size, and at an odd place */
            if (options.write_to)
                write_file(options.write_to, made, n);
            LLVMFuzzerTestOneInput(exact + 1, n);
        }
        free(exact);
    }
    for (int i = 0; i < n_files; i++)
        free(files[i]);
    printf("%llu files made of %d: %lld loaded, %lld predicted with, %lld trained, %lld saved\n", run_number - options.first,
           n_files, n_loaded, n_predicted, n_trained, n_saved);
    return 0;
}

#endif
