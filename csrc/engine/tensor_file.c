/* Files of tensors, see tensor_file.h. What is allocated is in proportion to the length of the file. */
#if defined(__unix__) || defined(__APPLE__)
#define IS_POSIX
#define _POSIX_C_SOURCE 200809L
#define _XOPEN_SOURCE 700 /* realpath */
#endif
#include "descriptor.h"
#include "memory.h"
#include "tensor_file.h"

#include <errno.h>
#include <stdlib.h>

#ifdef IS_POSIX
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

/* A longer header is none, as in the safetensors package. */
enum { LONGEST_HEADER = 100000000, MOST_AXES = 64 };

/* Of the name of a file that is being written: ".", a process, ".", a number and ".new". */
enum { MOST_OF_SUFFIX = 64 };

/* ---- the table ------------------------------------------------------------------------------------------------- */

static fn_status refuse(fn_error *error, const char *what)
{
    return fn_fail(error, FN_ERROR_FILE, "this is not a whole safetensors file: %s", what);
}

static uint32_t hash_texts(const char *const *parts, int n)
{
    uint32_t hash = 2166136261u; /* Fowler, Noll, Vo */
    for (int i = 0; i < n; i++)
        for (const char *at = parts[i]; *at; at++)
            hash = (hash ^ (unsigned char)*at) * 16777619u;
    return hash;
}

static int compare_places(const void *a, const void *b)
{
    const fn_tensor *x = a, *y = b;
    return x->begin != y->begin ? (x->begin < y->begin ? -1 : 1) : (x->end > y->end) - (x->end < y->end);
}

static int compare_hashes(const void *a, const void *b)
{
    const fn_tensor *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

/* Bits of an element; 0: there is no such type. */
static int bits_of(const char *kind)
{
    static const struct {
        char name[8];
        int bits;
    } known[] = {{"F32", 32}, {"F64", 64}, {"BOOL", 8}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6},
                 {"U8", 8},   {"I8", 8},   {"I16", 16}, {"U16", 16}, {"F16", 16},    {"BF16", 16},
                 {"I32", 32}, {"U32", 32}, {"C64", 64}, {"I64", 64}, {"U64", 64}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (!strncmp(kind, known[i].name, sizeof known[i].name))
            return known[i].bits;
    return !strcmp(kind, "F8_E5M2") || !strcmp(kind, "F8_E4M3") || !strcmp(kind, "F8_E8M0") ? 8 : 0;
}

/* What an entry of the header says. `text` is memory for its name. */
static bool read_tensor(fn_tensor *tensor, fn_json name, fn_json entry, char *text, uint64_t data_size)
{
    fn_json kind, shape, offsets, key, value;
    const int64_t length = fn_json_text(name, text);
    if (length < 0 || !fn_json_find(entry, "dtype", &kind) || !fn_json_find(entry, "shape", &shape) ||
        !fn_json_find(entry, "data_offsets", &offsets) || fn_json_length(kind) > sizeof tensor->kind ||
        fn_json_text(kind, tensor->kind) < 0 || fn_json_kind(shape) != '[' || fn_json_kind(offsets) != '[' ||
        fn_json_count(offsets) != 2)
        return false;
    tensor->name = name;
    tensor->entry = entry;
    text[length] = 0;
    tensor->hash = hash_texts((const char *const *)&text, 1);
    uint64_t *const places[2] = {&tensor->begin, &tensor->end};
    fn_json_items items = fn_json_open(offsets);
    for (int i = 0; fn_json_next(&items, &key, &value); i++)
        if (!fn_json_unsigned(value, places[i]))
            return false;
    tensor->n = 1;
    int axes = 0;
    int64_t size, bits;
    bool empty = false;
    items = fn_json_open(shape);
    for (; fn_json_next(&items, &key, &value); axes++) {
        if (axes == MOST_AXES || !fn_json_integer(value, 0, INT64_MAX, &size))
            return false;
        empty |= size == 0;
        if (size > 0 && __builtin_mul_overflow(tensor->n, size, &tensor->n))
            return false;
    }
    tensor->n = empty ? 0 : tensor->n;
    const int element = bits_of(tensor->kind);
    return element && !__builtin_mul_overflow(tensor->n, (int64_t)element, &bits) && tensor->begin <= tensor->end &&
           tensor->end <= data_size && (uint64_t)bits == 8 * (tensor->end - tensor->begin);
}

static fn_status check_places(fn_tensor_file *file, uint64_t data_size, fn_error *error)
{
    uint64_t end = 0;
    qsort(file->tensors, (size_t)file->n_tensors, sizeof *file->tensors, compare_places);
    for (int64_t i = 0; i < file->n_tensors; i++) {
        if (file->tensors[i].begin != end)
            return refuse(error, "there is a gap between its tensors, or they overlap");
        end = file->tensors[i].end;
    }
    if (end != data_size)
        return refuse(error, "it is shorter or longer than its tensors");
    qsort(file->tensors, (size_t)file->n_tensors, sizeof *file->tensors, compare_hashes);
    for (int64_t i = 0; i < file->n_tensors; i++)
        for (int64_t j = i + 1; j < file->n_tensors && file->tensors[j].hash == file->tensors[i].hash; j++)
            if (fn_json_equal(file->tensors[i].name, file->tensors[j].name))
                return refuse(error, "two of its tensors have one name");
    return FN_OK;
}

static bool is_metadata(fn_json name)
{
    return fn_json_equal(name, (fn_json){"\"__metadata__\""});
}

fn_status fn_read_tensor_table(fn_tensor_file *file, fn_error *error)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0 && file->size >= 8; i--)
        length = length << 8 | (unsigned char)file->bytes[i];
    if (file->size < 8 || length > file->size - 8 || length > LONGEST_HEADER)
        return refuse(error, "it is shorter than its header");
    const char *text = file->bytes + 8;
    if (length == 0 || *text != '{' || !fn_check_json(text, (size_t)length))
        return refuse(error, "its header is no JSON object");
    const fn_json header = {text};
    const uint64_t data_size = file->size - 8 - length;
    file->data = file->bytes + 8 + length;
    char *name_text = fn_allocate((size_t)length);
    file->tensors = fn_allocate(sizeof *file->tensors * (size_t)(fn_json_count(header) + 1));
    if (!name_text || !file->tensors) {
        fn_release(name_text);
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    }
    fn_json_items items = fn_json_open(header);
    fn_json name, value;
    fn_status status = FN_OK;
    while (status == FN_OK && fn_json_next(&items, &name, &value)) {
        if (!is_metadata(name)) {
            if (!read_tensor(&file->tensors[file->n_tensors++], name, value, name_text, data_size))
                status = refuse(error, "an entry of its header is none, or not within the file");
        } else if (file->metadata.at || fn_json_kind(value) != '{')
            status = refuse(error, "its metadata are no object, or there twice");
        else
            file->metadata = value;
    }
    fn_release(name_text);
    return status == FN_OK ? check_places(file, data_size, error) : status;
}

fn_tensor *fn_find_tensor(const fn_tensor_file *file, const char *const *parts, int n)
{
    const uint32_t hash = hash_texts(parts, n);
    int64_t low = 0, high = file->n_tensors;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (file->tensors[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < file->n_tensors && file->tensors[low].hash == hash; low++)
        if (fn_json_is_joined(file->tensors[low].name, parts, n))
            return &file->tensors[low];
    return NULL;
}

void fn_copy_numbers_of_file(void *to, const void *from, int64_t n, size_t element)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (int64_t i = 0; i < n; i++)
        for (size_t j = 0; j < element; j++)
            ((char *)to)[(size_t)i * element + j] = ((const char *)from)[(size_t)(i + 1) * element - 1 - j];
#else
    memcpy(to, from, (size_t)n * element);
#endif
}

/* ---- files -------------------------------------------------------------------------------------------------- */

fn_status fn_read_file(const char *path, char **bytes, size_t *size, fn_error *error)
{
    FILE *file = fopen(path, "rb");
    *bytes = NULL;
    if (!file)
        return fn_fail(error, FN_ERROR_FILE, "%.200s cannot be opened: %s", path, strerror(errno));
    /* What is no file, such as a folder, cannot be read or has no end. */
    const bool readable = getc(file) != EOF || !ferror(file);
    const long end = readable && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    fn_status status = FN_OK;
    if (end < 0 || fseek(file, 0, SEEK_SET) != 0)
        status = fn_fail(error, FN_ERROR_FILE, "%.200s cannot be read", path);
    else if (!(*bytes = fn_allocate((size_t)end + 1)))
        status = fn_fail(error, FN_ERROR_MEMORY, "%.200s: out of memory", path);
    else if (fread(*bytes, 1, (size_t)end, file) != (size_t)end)
        status = fn_fail(error, FN_ERROR_FILE, "%.200s cannot be read to its end", path);
    *size = status == FN_OK ? (size_t)end : 0;
    fclose(file);
    return status;
}

static fn_status refuse_place(const char *place, const char *why, fn_error *error)
{
    return fn_fail(error, FN_ERROR_FILE, "%.200s cannot be written: %s", place, why);
}

/* Makes room for the path of what is written beside a place. */
static fn_status take_place(fn_new_file *file, const char *place, fn_error *error)
{
    *file = (fn_new_file){.place = fn_allocate(strlen(place) + 1), .path = fn_allocate(strlen(place) + MOST_OF_SUFFIX)};
    if (!file->place || !file->path) {
        fn_release(file->place);
        fn_release(file->path);
        return fn_fail(error, FN_ERROR_MEMORY, "out of memory");
    }
    strcpy(file->place, place);
    return FN_OK;
}

#ifdef IS_POSIX
/* A file of this process and thread alone, of the mode of the one that it is to replace. */
static void create_beside(fn_new_file *file, const struct stat *old)
{
    static atomic_uint count;
    int number;
    do
        sprintf(file->path, "%s.%ld.%u.new", file->place, (long)getpid(), atomic_fetch_add(&count, 1u));
    while ((number = open(file->path, O_WRONLY | O_CREAT | O_EXCL, old ? 0600 : 0666)) < 0 && errno == EEXIST);
    file->file = number < 0 ? NULL : fdopen(number, "wb");
    if (number >= 0 && !file->file)
        close(number);
    if (file->file && old)
        fchmod(number, old->st_mode & 07777);
}

static fn_status open_beside(fn_new_file *file, const char *given, fn_error *error)
{
    struct stat old;
    const bool exists = stat(given, &old) == 0;
    if (exists && !S_ISREG(old.st_mode))
        return refuse_place(given, "it is a folder, a device, a pipe or a socket, and no file that could be replaced", error);
    if (exists && (!(old.st_mode & 0222) || access(given, W_OK) != 0))
        return refuse_place(given, "it is read-only", error);
    char *real = exists ? realpath(given, NULL) : NULL; /* what links lead to */
    const fn_status status = take_place(file, real ? real : given, error);
    free(real);
    if (status == FN_OK)
        create_beside(file, exists ? &old : NULL);
    return status;
}
#else
static fn_status open_beside(fn_new_file *file, const char *given, fn_error *error)
{
    const fn_status status = take_place(file, given, error);
    if (status == FN_OK)
        file->file = fopen(strcat(strcpy(file->path, file->place), ".new"), "wb");
    return status;
}
#endif

static void release_paths(fn_new_file *file)
{
    fn_release(file->path);
    fn_release(file->place);
}

fn_status fn_begin_file(fn_new_file *file, const char *place, fn_error *error)
{
    fn_status status = open_beside(file, place, error);
    if (status == FN_OK && !file->file) {
        status = refuse_place(place, strerror(errno), error);
        release_paths(file);
    }
    return status;
}

void fn_write_bytes(fn_new_file *file, const void *bytes, size_t n)
{
    file->failed |= n > 0 && fwrite(bytes, 1, n, file->file) != n;
}

fn_status fn_end_file(fn_new_file *file, fn_error *error)
{
    bool failed = file->failed || fflush(file->file) != 0;
#ifdef IS_POSIX
    failed = failed || fsync(fileno(file->file)) != 0;
#endif
    failed = fclose(file->file) != 0 || failed;
#ifdef _WIN32
    if (!failed)
        remove(file->place); /* rename does not replace */
#endif
    failed = failed || rename(file->path, file->place) != 0;
    fn_status status = FN_OK;
    if (failed) {
        status = refuse_place(file->place, strerror(errno), error);
        remove(file->path);
    }
    release_paths(file);
    return status;
}
