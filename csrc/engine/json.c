/* A strict reader of JSON, see json.h: a text is checked once from end to end, and then walked through without looking for
 * errors. */
#include "json.h"

#include <math.h>
#include <string.h>

enum { MOST_NESTED = 64 };

static const char *skip_spaces(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* ---- checking: each function returns where the value ends, or NULL ---------------------------------------------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int32_t read_unit(const char *at)
{
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* After "\u": four digits, or twice as many of a pair of surrogates. */
static const char *check_escaped_unit(const char *at, const char *end)
{
    const int32_t unit = end - at >= 4 ? read_unit(at) : -1;
    if (unit < 0xD800 || unit > 0xDFFF)
        return unit < 0 ? NULL : at + 4;
    const int32_t low = unit < 0xDC00 && end - at >= 10 && at[4] == '\\' && at[5] == 'u' ? read_unit(at + 6) : -1;
    return low >= 0xDC00 && low <= 0xDFFF ? at + 10 : NULL;
}

/* One character of UTF-8 that is not ASCII. */
static const char *check_character(const char *at, const char *end)
{
    const unsigned char first = (unsigned char)*at;
    const int n = first >= 0xC2 && first <= 0xDF   ? 1
                  : first >= 0xE0 && first <= 0xEF ? 2
                  : first >= 0xF0 && first <= 0xF4 ? 3
                                                   : 0;
    if (n == 0 || end - at <= n)
        return NULL;
    for (int i = 1; i <= n; i++)
        if (((unsigned char)at[i] & 0xC0) != 0x80)
            return NULL;
    const unsigned char second = (unsigned char)at[1]; /* too long, surrogates, beyond the last character */
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
        (first == 0xF4 && second > 0x8F))
        return NULL;
    return at + n + 1;
}

static const char *check_string(const char *at, const char *end)
{
    for (at++; at && at < end && *at != '"';) {
        if ((unsigned char)*at < ' ')
            return NULL;
        if ((unsigned char)*at >= 0x80)
            at = check_character(at, end);
        else if (*at != '\\')
            at++;
        else if (end - at < 2)
            return NULL;
        else if (at[1] == 'u')
            at = check_escaped_unit(at + 2, end);
        else
            at = strchr("\"\\/bfnrt", at[1]) && at[1] ? at + 2 : NULL;
    }
    return at && at < end ? at + 1 : NULL;
}

static const char *check_digits(const char *at, const char *end)
{
    const char *first = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at > first ? at : NULL;
}

static const char *check_number(const char *at, const char *end)
{
    at += *at == '-';
    const char *first = at;
    if (!(at = check_digits(at, end)) || (*first == '0' && at > first + 1))
        return NULL;
    if (at < end && *at == '.' && !(at = check_digits(at + 1, end)))
        return NULL;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at = check_digits(at + (at < end && (*at == '-' || *at == '+')), end);
    }
    return at;
}

static const char *check_word(const char *at, const char *end, const char *word)
{
    const size_t n = strlen(word);
    return (size_t)(end - at) >= n && !memcmp(at, word, n) ? at + n : NULL;
}

static const char *check_value(const char *at, const char *end, int depth)
{
    if (at == end)
        return NULL;
    if (*at == '"')
        return check_string(at, end);
    if (*at == 't' || *at == 'f' || *at == 'n')
        return check_word(at, end, *at == 't' ? "true" : *at == 'f' ? "false" : "null");
    if (*at != '{' && *at != '[')
        return check_number(at, end);
    if (depth == MOST_NESTED)
        return NULL;
    const bool named = *at == '{';
    const char close = named ? '}' : ']';
    at = skip_spaces(at + 1, end);
    if (at < end && *at == close)
        return at + 1;
    for (;;) {
        if (named) {
            if (at == end || *at != '"' || !(at = check_string(at, end)))
                return NULL;
            at = skip_spaces(at, end);
            if (at == end || *at != ':')
                return NULL;
            at = skip_spaces(at + 1, end);
        }
        if (!(at = check_value(at, end, depth + 1)))
            return NULL;
        at = skip_spaces(at, end);
        if (at == end || (*at != ',' && *at != close))
            return NULL;
        if (*at++ == close)
            return at;
        at = skip_spaces(at, end);
    }
}

bool fn_check_json(const char *text, size_t length)
{
    const char *end = text + length, *at = check_value(skip_spaces(text, end), end, 0);
    return at && skip_spaces(at, end) == end;
}

/* ---- walking through what has been checked --------------------------------------------------------------------- */

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \n\r\t");
}

char fn_json_kind(fn_json value)
{
    return *value.at == '-' || (*value.at >= '0' && *value.at <= '9') ? '0' : *value.at;
}

size_t fn_json_length(fn_json value)
{
    const char *at = value.at;
    int depth = 0;
    do {
        if (*at == '"')
            for (at++; *at != '"'; at++)
                at += *at == '\\';
        else if (*at == '{' || *at == '[')
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        else if (depth == 0)
            return strcspn(at, ",]} \n\r\t");
        at++;
    } while (depth > 0);
    return (size_t)(at - value.at);
}

fn_json_items fn_json_open(fn_json value)
{
    const char kind = fn_json_kind(value);
    const char *at = kind == '{' || kind == '[' ? skip_space(value.at + 1) : NULL;
    return (fn_json_items){at && *at != '}' && *at != ']' ? at : NULL, kind == '{'};
}

bool fn_json_next(fn_json_items *items, fn_json *key, fn_json *value)
{
    const char *at = items->at;
    if (!at)
        return false;
    if (items->named) {
        *key = (fn_json){at};
        at = skip_space(skip_space(at + fn_json_length(*key)) + 1);
    }
    *value = (fn_json){at};
    at = skip_space(at + fn_json_length(*value));
    items->at = *at == ',' ? skip_space(at + 1) : NULL;
    return true;
}

int64_t fn_json_count(fn_json value)
{
    fn_json_items items = fn_json_open(value);
    fn_json name, item;
    int64_t n = 0;
    while (fn_json_next(&items, &name, &item))
        n++;
    return n;
}

/* ---- strings: a cursor that gives byte after byte of what a string stands for -------------------------------------- */

typedef struct fn_decoder {
    const char *at;
    unsigned char pending[4];
    int n_pending;
} fn_decoder;

/* The next byte, -1 at the end. */
static int next_byte(fn_decoder *decoder)
{
    if (decoder->n_pending > 0)
        return decoder->pending[--decoder->n_pending];
    const char *at = decoder->at;
    if (*at == '"')
        return -1;
    decoder->at = at + 1 + (*at == '\\');
    if (*at != '\\')
        return (unsigned char)*at;
    if (at[1] != 'u') {
        static const char names[] = "bfnrt", meant[] = "\b\f\n\r\t";
        const char *found = strchr(names, at[1]);
        return found ? meant[found - names] : at[1];
    }
    uint32_t code = (uint32_t)read_unit(at + 2);
    decoder->at += 4;
    if (code >= 0xD800 && code <= 0xDFFF) {
        code = 0x10000 + ((code - 0xD800) << 10) + ((uint32_t)read_unit(at + 8) - 0xDC00);
        decoder->at += 6;
    }
    if (code < 0x80)
        return (int)code;
    const int n = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    for (int i = 0; i < n; i++, code >>= 6)
        decoder->pending[decoder->n_pending++] = (unsigned char)(0x80 | (code & 0x3F));
    return (int)((n == 1 ? 0xC0 : n == 2 ? 0xE0 : 0xF0) | code);
}

int64_t fn_json_text(fn_json value, char *text)
{
    if (*value.at != '"')
        return -1;
    fn_decoder decoder = {.at = value.at + 1};
    int64_t n = 0;
    for (int byte; (byte = next_byte(&decoder)) >= 0; n++) {
        if (byte == 0)
            return -1;
        if (text)
            text[n] = (char)byte;
    }
    return n;
}

bool fn_json_equal(fn_json a, fn_json b)
{
    if (*a.at != '"' || *b.at != '"')
        return false;
    fn_decoder first = {.at = a.at + 1}, second = {.at = b.at + 1};
    for (;;) {
        const int byte = next_byte(&first);
        if (byte != next_byte(&second))
            return false;
        if (byte < 0)
            return true;
    }
}

bool fn_json_is_joined(fn_json value, const char *const *parts, int n)
{
    if (*value.at != '"')
        return false;
    fn_decoder decoder = {.at = value.at + 1};
    for (int i = 0; i < n; i++)
        for (const char *at = parts[i]; *at; at++)
            if (next_byte(&decoder) != (unsigned char)*at)
                return false;
    return next_byte(&decoder) < 0;
}

bool fn_json_is(fn_json value, const char *text)
{
    return fn_json_is_joined(value, &text, 1);
}

bool fn_json_find(fn_json object, const char *key, fn_json *value)
{
    fn_json_items items = fn_json_open(object);
    fn_json name, item;
    int n = 0;
    while (items.named && fn_json_next(&items, &name, &item))
        if (fn_json_is(name, key)) {
            *value = item;
            n++;
        }
    return n == 1;
}

/* ---- numbers --------------------------------------------------------------------------------------------------- */

bool fn_json_unsigned(fn_json value, uint64_t *number)
{
    *number = 0;
    const char *at = value.at;
    for (; *at >= '0' && *at <= '9'; at++) {
        const unsigned digit = (unsigned)(*at - '0');
        if (*number > (UINT64_MAX - digit) / 10)
            return false;
        *number = 10 * *number + digit;
    }
    return at > value.at && !strchr(".eE", *at);
}

bool fn_json_integer(fn_json value, int64_t lowest, int64_t highest, int64_t *number)
{
    const bool negative = *value.at == '-';
    uint64_t size;
    if (!fn_json_unsigned((fn_json){value.at + negative}, &size) || size > INT64_MAX)
        return false;
    *number = negative ? -(int64_t)size : (int64_t)size;
    return *number >= lowest && *number <= highest;
}

/* As float.hex of Python writes it: sign, 0x, 0 or 1, a point and at most 13 digits, p, a sign and the exponent. */
static bool read_hexadecimal(const char *at, double *number)
{
    const bool negative = *at == '-';
    at += negative;
    if (!strncmp(at, "inf\"", 4)) {
        *number = negative ? -INFINITY : INFINITY;
        return true;
    }
    if (at[0] != '0' || at[1] != 'x' || (at[2] != '0' && at[2] != '1'))
        return false;
    uint64_t digits = (uint64_t)(at[2] - '0');
    int places = 0, exponent = 0, n = 0;
    at += 3;
    for (at += *at == '.'; hex_digit(*at) >= 0 && places < 13; at++, places++)
        digits = digits << 4 | (uint64_t)hex_digit(*at);
    if (*at++ != 'p')
        return false;
    const bool small = *at == '-';
    for (at += small || *at == '+'; *at >= '0' && *at <= '9' && n < 4; at++, n++)
        exponent = 10 * exponent + (*at - '0');
    *number = ldexp(negative ? -(double)digits : (double)digits, (small ? -exponent : exponent) - 4 * places);
    return n > 0 && *at == '"' && isfinite(*number);
}

bool fn_json_number(fn_json value, double *number)
{
    int64_t whole;
    if (*value.at == '"')
        return read_hexadecimal(value.at + 1, number);
    if (*value.at == 'n') {
        *number = NAN;
        return true;
    }
    const int64_t most = (int64_t)1 << 53;
    const bool good = fn_json_integer(value, -most, most, &whole);
    *number = good ? (double)whole : 0;
    return good;
}
