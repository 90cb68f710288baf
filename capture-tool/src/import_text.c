/* import_text.c - what parsers of text formats share. See import_text.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "import_text.h"

#include <stdlib.h>
#include <string.h>

#define NANOSECOND_DIGITS 9

bool text_take(struct text *text, const char *expected)
{
    size_t size = strlen(expected);

    if ((size_t)(text->end - text->at) < size || memcmp(text->at, expected, size) != 0)
        return false;
    text->at += size;
    return true;
}

void text_skip_blanks(struct text *text)
{
    while (text->at < text->end &&
           (*text->at == ' ' || *text->at == '\t' || *text->at == '\r' || *text->at == '\n'))
        text->at++;
}

bool text_take_byte(struct text *text, uint8_t *byte)
{
    int high, low;

    if (text->end - text->at < 2)
        return false;
    high = text_hex_digit(text->at[0]);
    low = text_hex_digit(text->at[1]);
    if (high < 0 || low < 0)
        return false;
    *byte = (uint8_t)(high << 4 | low);
    text->at += 2;
    return true;
}

bool text_take_number(struct text *text, uint64_t *number)
{
    const char *start = text->at;

    *number = 0;
    while (text->at < text->end && text_is_digit(*text->at)) {
        unsigned digit = (unsigned)(*text->at - '0');

        if (*number > (UINT64_MAX - digit) / 10)
            return false;
        *number = *number * 10 + digit;
        text->at++;
    }
    return text->at > start;
}

const char *text_find(struct text text, const char *word)
{
    size_t size = strlen(word);

    for (; (size_t)(text.end - text.at) >= size; text.at++)
        if (memcmp(text.at, word, size) == 0)
            return text.at;
    return NULL;
}

/* digits * 10^exponent, rounded; false when it does not fit. */
static bool scale(uint64_t digits, int exponent, uint64_t *value)
{
    for (; exponent < -1 && digits > 0; exponent++)
        digits /= 10;
    if (exponent < 0)
        digits = (digits + 5) / 10;
    for (; exponent > 0 && digits > 0; exponent--) {
        if (digits > UINT64_MAX / 10)
            return false;
        digits *= 10;
    }
    *value = digits;
    return true;
}

/* e-05: false when there is something that is no exponent. */
static bool take_exponent(struct text *text, int *exponent)
{
    bool negative;
    uint64_t number;

    if (!text_take(text, "e") && !text_take(text, "E"))
        return true;
    negative = text_take(text, "-");
    if (!negative)
        text_take(text, "+");
    if (!text_take_number(text, &number) || number > 100)
        return false;
    *exponent += negative ? -(int)number : (int)number;
    return true;
}

bool text_take_seconds(struct text *text, uint64_t *time)
{
    uint64_t digits = 0;
    int exponent = NANOSECOND_DIGITS;
    bool any = false, point = false;

    for (; text->at < text->end; text->at++) {
        if (*text->at == '.' && !point) {
            point = true;
            continue;
        }
        if (!text_is_digit(*text->at))
            break;
        any = true;
        if (digits > (UINT64_MAX - 9) / 10) {
            exponent += point ? 0 : 1; /* more digits than count */
            continue;
        }
        digits = digits * 10 + (unsigned)(*text->at - '0');
        exponent -= point ? 1 : 0;
    }
    return any && take_exponent(text, &exponent) && scale(digits, exponent, time);
}

bool text_bytes_add(struct text_bytes *bytes, uint8_t byte)
{
    if (bytes->size == bytes->room) {
        size_t room = bytes->room ? 2 * bytes->room : 4096;
        uint8_t *grown = realloc(bytes->bytes, room);

        if (!grown)
            return false;
        bytes->bytes = grown;
        bytes->room = room;
    }
    bytes->bytes[bytes->size++] = byte;
    return true;
}
