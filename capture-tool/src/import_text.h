/* import_text.h - small pieces that parsers of text formats share.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_IMPORT_TEXT_H
#define KDLENS_IMPORT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A place in a text that need not end with NUL. */
struct text {
    const char *at, *end;
};

/* The value of a hexadecimal digit, or -1. */
static inline int text_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static inline bool text_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Steps over these characters when they come next. */
bool text_take(struct text *text, const char *expected);

/* Blanks, tabs, line ends. */
void text_skip_blanks(struct text *text);

/* Two hexadecimal digits. */
bool text_take_byte(struct text *text, uint8_t *byte);

/* Decimal digits, at least one; false, too, for a number of more than 64 bits. */
bool text_take_number(struct text *text, uint64_t *number);

/* A decimal number of seconds, "12.5" or "2.1e-05", as nanoseconds. */
bool text_take_seconds(struct text *text, uint64_t *nanoseconds);

/* The first place of the word, or NULL. */
const char *text_find(struct text text, const char *word);

/* Bytes that grow as they are added; zero is an empty one. */
struct text_bytes {
    uint8_t *bytes;
    size_t size, room;
};

/* False: no memory. */
bool text_bytes_add(struct text_bytes *bytes, uint8_t byte);

#endif
