/* A strict reader of JSON for what models in files say. Nothing is allocated: a value is a place in a text that has been checked.
 * Numbers are whole ones, or texts as C and Python write hexadecimal floats, "0x1.8p+1": every bit of them, in any locale. */
#ifndef FN_ENGINE_JSON_H
#define FN_ENGINE_JSON_H

#include "../fastnet.h"

/* A value, from its first byte on. */
typedef struct fn_json {
    const char *at;
} fn_json;

/* What an object or an array still holds. */
typedef struct fn_json_items {
    const char *at;
    bool named;
} fn_json_items;

/* Whether the whole text is one JSON value in UTF-8, nested no deeper than 64, followed by nothing but spaces. */
bool fn_check_json(const char *text, size_t length);
/* One of { [ " t f n 0, by what it begins with; 0 stands for numbers. */
char fn_json_kind(fn_json value);
/* The items of an object or an array; of other values none. */
fn_json_items fn_json_open(fn_json value);
/* The next item, and its key in an object; false after the last one. */
bool fn_json_next(fn_json_items *items, fn_json *key, fn_json *value);
/* How many items there are. */
int64_t fn_json_count(fn_json value);
/* The value of this key; false where there is none, or two of them. */
bool fn_json_find(fn_json object, const char *key, fn_json *value);
/* Bytes that the text of a value takes, quotes included. */
size_t fn_json_length(fn_json value);
/* The text that a string stands for, without a 0 at the end, of which there is no more than fn_json_length; its length, -1 where
 * it is no string or holds a 0. text may be NULL. */
int64_t fn_json_text(fn_json value, char *text);
/* Whether two strings stand for the same text. */
bool fn_json_equal(fn_json a, fn_json b);
/* Whether a string stands for this text. */
bool fn_json_is(fn_json value, const char *text);
/* Whether it stands for these texts one after another. */
bool fn_json_is_joined(fn_json value, const char *const *parts, int n);
/* A whole number in this range; false where it is none. */
bool fn_json_integer(fn_json value, int64_t lowest, int64_t highest, int64_t *number);
/* A whole number from 0 to 2^64 - 1. */
bool fn_json_unsigned(fn_json value, uint64_t *number);
/* A whole or a hexadecimal number; null is NaN. */
bool fn_json_number(fn_json value, double *number);

#endif
