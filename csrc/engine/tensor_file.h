/* Files of tensors (safetensors): 8 bytes with the length of the header, the header as JSON, the numbers. */
#ifndef FN_ENGINE_TENSOR_FILE_H
#define FN_ENGINE_TENSOR_FILE_H

#include "json.h"

#include <stdio.h>

typedef struct fn_tensor {
    fn_json name, entry;
    char kind[12]; /* "F32" */
    uint32_t hash; /* of the name */
    int64_t n;     /* elements */
    uint64_t begin, end;
    bool is_parameter; /* of a model: each is one at most */
} fn_tensor;

typedef struct fn_tensor_file {
    char *bytes; /* of the whole file */
    size_t size;
    char *data; /* where the numbers begin */
    fn_json metadata;
    fn_tensor *tensors; /* by hash */
    int64_t n_tensors;
} fn_tensor_file;

/* Makes the table of a file whose bytes are there, after all that its header says has been looked at: the tensors fill the rest
 * of it without gaps. FN_ERROR_FILE where it is not whole, FN_ERROR_MEMORY. */
fn_status fn_read_tensor_table(fn_tensor_file *file, fn_error *error);
/* The tensor whose name is these texts one after another, or NULL. */
fn_tensor *fn_find_tensor(const fn_tensor_file *file, const char *const *parts, int n);
/* Copies n numbers of `element` bytes that are in the order of files, least byte first, or back. */
void fn_copy_numbers_of_file(void *to, const void *from, int64_t n, size_t element);

/* A file that is being written beside its place. Where there is one already, links to it are followed, and its mode stays. */
typedef struct fn_new_file {
    FILE *file;
    char *path; /* of what is written; renamed at the end */
    char *place;
    bool failed;
} fn_new_file;

/* FN_ERROR_FILE where there is no such folder, and where something is there that is no file, such as a device, or read-only. */
fn_status fn_begin_file(fn_new_file *file, const char *place, fn_error *error);
void fn_write_bytes(fn_new_file *file, const void *bytes, size_t n);
/* Puts it in its place if all has been written, else removes it. */
fn_status fn_end_file(fn_new_file *file, fn_error *error);
/* Reads a whole file to memory of its own. */
fn_status fn_read_file(const char *path, char **bytes, size_t *size, fn_error *error);

#endif
