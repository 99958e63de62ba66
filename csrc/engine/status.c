/* Statuses and error messages. */
#include "descriptor.h"

#include <stdio.h>
#include <string.h>

const char *fn_status_name(fn_status status)
{
    static const char *const names[] = {
#define FN_STATUS(name, exception, text) #name,
#include "../fastnet/status.def"
#undef FN_STATUS
    };
    return (unsigned)status < FN_STATUS_COUNT ? names[status] : "UNKNOWN";
}

const char *fn_status_exception(fn_status status)
{
    static const char *const exceptions[] = {
#define FN_STATUS(name, exception, text) #exception,
#include "../fastnet/status.def"
#undef FN_STATUS
    };
    return (unsigned)status < FN_STATUS_COUNT ? exceptions[status] : "RuntimeError";
}

const char *fn_status_text(fn_status status)
{
    static const char *const texts[] = {
#define FN_STATUS(name, exception, text) text,
#include "../fastnet/status.def"
#undef FN_STATUS
    };
    return (unsigned)status < FN_STATUS_COUNT ? texts[status] : "unknown status";
}

fn_status fn_fail(fn_error *error, fn_status status, const char *format, ...)
{
    if (error) {
        error->status = status;
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return status;
}

fn_status fn_read_sized(void *own, size_t size, size_t least, const void *given, const char *name, fn_error *error)
{
    size_t known;
    memcpy(&known, given, sizeof known);
    if (known < least)
        return fn_fail(error, FN_ERROR_SIZE, "%s.size is %llu, expected sizeof(%s), which is %llu", name,
                       (unsigned long long)known, name, (unsigned long long)size);
    if (known < size)
        memset((char *)own + known, 0, size - known);
    memcpy(own, given, known < size ? known : size);
    return FN_OK;
}

bool fn_fill_sized(void *given, size_t least, const void *own, size_t size)
{
    size_t known;
    memcpy(&known, given, sizeof known);
    if (known < least)
        return false;
    const size_t rest = (known < size ? known : size) - sizeof known;
    memcpy((char *)given + sizeof known, (const char *)own + sizeof known, rest);
    return true;
}

const char *fn_shape_text(const fn_shape *shape, char text[FN_SHAPE_TEXT])
{
    size_t length = 1;
    text[0] = '(';
    for (int32_t i = 0; i < shape->rank; i++)
        length += (size_t)snprintf(text + length, FN_SHAPE_TEXT - length, i ? ", %lld" : "%lld", (long long)shape->size[i]);
    snprintf(text + length, FN_SHAPE_TEXT - length, shape->rank == 1 ? ",)" : ")");
    return text;
}
