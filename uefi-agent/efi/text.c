/* text.c - UCS-2 and UTF-8 back and forth, and comparing names.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "text.h"

#define REPLACEMENT 0xFFFDu

size_t kda_text_length16(const uint16_t *text, size_t limit)
{
    size_t length = 0;

    while (length < limit && text[length])
        length++;
    return length;
}

/* The character at *index, which moves on. */
static uint32_t next16(const uint16_t *text, size_t units, size_t *index)
{
    uint32_t first = text[(*index)++], second;

    if (first < 0xD800 || first > 0xDFFF)
        return first;
    if (first >= 0xDC00 || *index == units)
        return REPLACEMENT;
    second = text[*index];
    if (second < 0xDC00 || second > 0xDFFF)
        return REPLACEMENT;
    (*index)++;
    return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
}

/* Into out, which has four bytes; how many it is. */
static size_t put_utf8(uint32_t character, char *out)
{
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        out[0] = (char)(0xC0 | character >> 6);
        out[1] = (char)(0x80 | (character & 0x3F));
        return 2;
    }
    if (character < 0x10000) {
        out[0] = (char)(0xE0 | character >> 12);
        out[1] = (char)(0x80 | (character >> 6 & 0x3F));
        out[2] = (char)(0x80 | (character & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | character >> 18);
    out[1] = (char)(0x80 | (character >> 12 & 0x3F));
    out[2] = (char)(0x80 | (character >> 6 & 0x3F));
    out[3] = (char)(0x80 | (character & 0x3F));
    return 4;
}

size_t kda_text_to_utf8(const uint16_t *text, size_t units, char *out, size_t room)
{
    size_t used = 0, index = 0;

    if (!room)
        return 0;
    while (index < units) {
        char bytes[4];
        size_t size = put_utf8(next16(text, units, &index), bytes);

        if (size > room - 1 - used)
            break;
        for (size_t i = 0; i < size; i++)
            out[used++] = bytes[i];
    }
    out[used] = 0;
    return used;
}

/* How many bytes a character has that begins with lead, 0: none begins so; *bits: what lead holds
 * of it, *lowest: below it the form would be longer than needed. */
static size_t lead_of(uint8_t lead, uint32_t *bits, uint32_t *lowest)
{
    *bits = lead;
    *lowest = 0;
    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF) {
        *bits = lead & 0x1F;
        *lowest = 0x80;
        return 2;
    }
    if (lead >= 0xE0 && lead <= 0xEF) {
        *bits = lead & 0x0F;
        *lowest = 0x800;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *bits = lead & 0x07;
        *lowest = 0x10000;
        return 4;
    }
    return 0;
}

static uint32_t next8(const char *text, size_t size, size_t *index)
{
    uint32_t character, lowest;
    size_t count = lead_of((uint8_t)text[(*index)++], &character, &lowest);

    if (!count)
        return REPLACEMENT;
    for (size_t i = 1; i < count; i++) {
        uint8_t byte = *index < size ? (uint8_t)text[*index] : 0;

        if ((byte & 0xC0) != 0x80)
            return REPLACEMENT;
        character = character << 6 | (byte & 0x3Fu);
        (*index)++;
    }
    if (character < lowest || character > 0x10FFFF || (character >= 0xD800 && character <= 0xDFFF))
        return REPLACEMENT;
    return character;
}

size_t kda_text_to_utf16(const char *text, size_t size, uint16_t *out, size_t room)
{
    size_t used = 0, index = 0;

    if (!room)
        return 0;
    while (index < size) {
        uint32_t character = next8(text, size, &index);
        size_t units = character < 0x10000 ? 1 : 2;

        if (units > room - 1 - used)
            break;
        if (units == 1) {
            out[used++] = (uint16_t)character;
        } else {
            out[used++] = (uint16_t)(0xD800 + ((character - 0x10000) >> 10));
            out[used++] = (uint16_t)(0xDC00 + ((character - 0x10000) & 0x3FF));
        }
    }
    out[used] = 0;
    return used;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool kda_text_same(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

bool kda_text_matches(const char *pattern, size_t pattern_size, const char *name)
{
    size_t at = 0, star = SIZE_MAX;
    const char *retry = name; /* where the last * is to have matched up to */

    while (*name) {
        if (at < pattern_size && pattern[at] == '*') {
            star = at++;
            retry = name;
        } else if (at < pattern_size &&
                   (pattern[at] == '?' || lower(pattern[at]) == lower(*name))) {
            at++;
            name++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (at < pattern_size && pattern[at] == '*')
        at++;
    return at == pattern_size;
}
