/* kdnet_key.c - reads and writes KDNET keys and the lines of key-log files.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "analysis/kdnet_key.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KEY_PARTS   4
#define PART_DIGITS 13 /* of 2^64-1 in base 36 */
#define BASE        36

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The value of a base-36 digit, or -1. */
static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'Z')
        return c - 'A' + 10;
    return -1;
}

static void store_part(uint8_t *key, unsigned part, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        key[part * 8 + i] = (uint8_t)(value >> (8 * i));
}

static enum kdnet_key_status ok(struct kdnet_key_error *error, enum kdnet_key_status status)
{
    if (error) {
        error->status = status;
        error->part = 0;
        error->text[0] = '\0';
    }
    return status;
}

#ifdef __GNUC__
__attribute__((format(printf, 4, 5)))
#endif
static enum kdnet_key_status
fail(struct kdnet_key_error *error, enum kdnet_key_status status, unsigned part, const char *format,
     ...)
{
    if (error) {
        va_list arguments;

        error->status = status;
        error->part = part;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return status;
}

/* How much of a text a message quotes: not so much that the advice behind it is cut off. */
static int quoted(size_t length)
{
    return length < 40 ? (int)length : 40;
}

static enum kdnet_key_status bad_character(struct kdnet_key_error *error, unsigned part, char c)
{
    char name[8];

    if (is_blank(c))
        snprintf(name, sizeof name, "a blank");
    else if (c > ' ' && c <= '~')
        snprintf(name, sizeof name, "'%c'", c);
    else
        snprintf(name, sizeof name, "0x%02x", (unsigned)(unsigned char)c);
    return fail(error, KDNET_KEY_CHARACTER, part,
                "part %u of the key has %s in it: only digits 0-9 and letters a-z may stand there",
                part, name);
}

/* Adds the digits to `value`, which starts as 0. */
static enum kdnet_key_status parse_part(const char *digits, size_t count, unsigned part,
                                        uint64_t *value, struct kdnet_key_error *error)
{
    for (size_t i = 0; i < count; i++) {
        if (digit_value(digits[i]) < 0)
            return bad_character(error, part, digits[i]);
    }
    if (count == 0)
        return fail(error, KDNET_KEY_EMPTY, part,
                    "part %u of the key is empty: write its digits, or 0 if it is zero", part);
    if (count > PART_DIGITS)
        return fail(error, KDNET_KEY_LENGTH, part,
                    "part %u of the key has %u characters: at most 13 may stand there; look for a "
                    "missing dot",
                    part, (unsigned)count);
    for (size_t i = 0; i < count; i++) {
        uint64_t digit = (uint64_t)digit_value(digits[i]);

        if (*value > (UINT64_MAX - digit) / BASE)
            return fail(error, KDNET_KEY_RANGE, part,
                        "part %u of the key is above 3w5e11264sgsf (2^64-1): compare it with the "
                        "key of the target",
                        part);
        *value = *value * BASE + digit;
    }
    return KDNET_KEY_OK;
}

enum kdnet_key_status kdnet_key_parse(const char *text, size_t length, uint8_t key[KDNET_KEY_SIZE],
                                      struct kdnet_key_error *error)
{
    uint8_t parsed[KDNET_KEY_SIZE];
    unsigned parts = 0;
    size_t start = 0;

    if (length == 0)
        return fail(error, KDNET_KEY_PARTS, 0, "the key is empty: write its four parts, a.b.c.d");
    for (size_t at = 0; at <= length; at++) {
        enum kdnet_key_status status;
        uint64_t value = 0;

        if (at < length && text[at] != '.')
            continue;
        parts++;
        status = parse_part(text + start, at - start, parts, &value, error);
        if (status != KDNET_KEY_OK)
            return status;
        if (parts <= KEY_PARTS)
            store_part(parsed, parts - 1, value);
        start = at + 1;
    }
    if (parts != KEY_PARTS)
        return fail(error, KDNET_KEY_PARTS, 0,
                    "the key has %u part%s, not four: write all of it, a.b.c.d", parts,
                    parts == 1 ? "" : "s");
    memcpy(key, parsed, sizeof parsed);
    return ok(error, KDNET_KEY_OK);
}

bool kdnet_key_parse_lenient(const char *text, size_t length, uint8_t key[KDNET_KEY_SIZE])
{
    size_t at = 0;

    memset(key, 0, KDNET_KEY_SIZE);
    for (unsigned part = 0; part < KEY_PARTS; part++) {
        uint64_t value = 0;

        while (at < length && is_blank(text[at]))
            at++;
        for (; at < length && digit_value(text[at]) >= 0; at++) {
            uint64_t digit = (uint64_t)digit_value(text[at]);

            value = value > (UINT64_MAX - digit) / BASE ? UINT64_MAX : value * BASE + digit;
        }
        store_part(key, part, value);
        if (at >= length || text[at] != '.')
            break;
        at++;
    }
    return length > 0;
}

void kdnet_key_format(const uint8_t key[KDNET_KEY_SIZE], char text[KDNET_KEY_TEXT_SIZE])
{
    char *out = text;

    for (unsigned part = 0; part < KEY_PARTS; part++) {
        char reversed[PART_DIGITS];
        size_t count = 0;
        uint64_t value = 0;

        for (unsigned i = 8; i-- > 0;)
            value = value << 8 | key[part * 8 + i];
        do {
            reversed[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[value % BASE];
            value /= BASE;
        } while (value);
        while (count)
            *out++ = reversed[--count];
        *out++ = part + 1 < KEY_PARTS ? '.' : '\0';
    }
}

/* Decimal without sign or leading zeros. */
static bool parse_decimal(const char *text, size_t length, unsigned limit, unsigned *value)
{
    if (length == 0 || length > 5 || (text[0] == '0' && length > 1))
        return false;
    *value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *value = *value * 10 + (unsigned)(text[i] - '0');
    }
    return *value <= limit;
}

static size_t until(const char *text, size_t from, size_t length, char stop)
{
    while (from < length && text[from] != stop)
        from++;
    return from;
}

static bool parse_ipv4(const char *text, size_t length, uint8_t *address)
{
    size_t at = 0;

    for (unsigned i = 0; i < 4; i++) {
        size_t end = until(text, at, length, '.');
        unsigned value;

        if ((end < length) != (i < 3) || !parse_decimal(text + at, end - at, 255, &value))
            return false;
        address[i] = (uint8_t)value;
        at = end + 1;
    }
    return true;
}

static bool parse_hex16(const char *text, size_t length, uint8_t *out)
{
    unsigned value = 0;

    if (length == 0 || length > 4)
        return false;
    for (size_t i = 0; i < length; i++) {
        int digit = digit_value(text[i]);

        if (digit < 0 || digit > 15)
            return false;
        value = value << 4 | (unsigned)digit;
    }
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return true;
}

static bool parse_ipv6(const char *text, size_t length, uint8_t address[16])
{
    uint8_t bytes[16];
    size_t used = 0, at = 0, gap = SIZE_MAX; /* bytes before the "::" */

    memset(address, 0, 16);
    if (length >= 2 && text[0] == ':' && text[1] == ':') {
        gap = 0;
        at = 2;
    }
    while (at < length) {
        size_t end = until(text, at, length, ':');

        if (until(text, at, end, '.') < end) { /* the last four bytes as IPv4 */
            if (end < length || used > 12 || !parse_ipv4(text + at, end - at, bytes + used))
                return false;
            used += 4;
            break;
        }
        if (used > 14 || !parse_hex16(text + at, end - at, bytes + used))
            return false;
        used += 2;
        if (end == length)
            break;
        at = end + 1;
        if (at == length)
            return false;
        if (text[at] == ':') {
            if (gap != SIZE_MAX)
                return false;
            gap = used;
            at++;
        }
    }
    if (gap == SIZE_MAX ? used != 16 : used > 14)
        return false;
    if (gap == SIZE_MAX)
        gap = used;
    memcpy(address, bytes, gap);
    memcpy(address + 16 - (used - gap), bytes + gap, used - gap);
    return true;
}

static bool parse_address(const char *text, size_t length, struct kdnet_endpoint *endpoint)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    memset(endpoint->address, 0, sizeof endpoint->address);
    endpoint->address_size = 0;
    if (length == 1 && text[0] == '*')
        return true;
    if (until(text, 0, length, ':') == length) {
        endpoint->address_size = 4;
        return parse_ipv4(text, length, endpoint->address);
    }
    endpoint->address_size = 16;
    if (!parse_ipv6(text, until(text, 0, length, '%'), endpoint->address))
        return false;
    if (memcmp(endpoint->address, mapped, sizeof mapped) == 0) {
        memmove(endpoint->address, endpoint->address + 12, 4);
        memset(endpoint->address + 4, 0, 12);
        endpoint->address_size = 4;
    }
    return true;
}

/* The place of a text's ADDRESS and PORT. */
struct endpoint_text {
    size_t address, address_length;
    size_t port; /* where PORT begins; 0: none is given */
};

/* Two colons or more without brackets are an IPv6 address, which then has no port. */
static bool split_endpoint(const char *text, size_t length, struct endpoint_text *split)
{
    size_t colon = until(text, 0, length, ':');

    *split = (struct endpoint_text){.address_length = length};
    if (length && text[0] == '[') {
        size_t close = until(text, 0, length, ']');

        if (close == length || (close + 1 < length && text[close + 1] != ':'))
            return false;
        split->address = 1;
        split->address_length = close - 1;
        split->port = close + 1 < length ? close + 2 : 0;
    } else if (colon < length && until(text, colon + 1, length, ':') == length) {
        split->address_length = colon;
        split->port = colon + 1;
    }
    return true;
}

enum kdnet_key_status kdnet_endpoint_parse(const char *text, size_t length,
                                           struct kdnet_endpoint *endpoint,
                                           struct kdnet_key_error *error)
{
    struct kdnet_endpoint parsed = {.port = 0};
    struct endpoint_text split;
    unsigned port = 0;

    if (!split_endpoint(text, length, &split) ||
        !parse_address(text + split.address, split.address_length, &parsed))
        return fail(error, KDNET_KEY_ADDRESS, 0,
                    "\"%.*s\" is no address: write 192.168.1.2, fe80::1, [fe80::1]:50000 or *; "
                    "names are not looked up",
                    quoted(length), text);
    if (split.port && !(length - split.port == 1 && text[split.port] == '*')) {
        size_t digits = length - split.port;

        if (!parse_decimal(text + split.port, digits, UINT16_MAX, &port) || port == 0)
            return fail(error, KDNET_KEY_PORT, 0,
                        "\"%.*s\" is no port: write a number from 1 to 65535, or *", quoted(digits),
                        text + split.port);
    }
    parsed.port = (uint16_t)port;
    *endpoint = parsed;
    return ok(error, KDNET_KEY_OK);
}

struct field {
    const char *text;
    size_t length;
};

/* Splits a line at blanks, up to a comment. Returns the number of fields; the first two are stored.
 */
static unsigned split_line(const char *line, size_t length, struct field fields[2])
{
    unsigned count = 0;
    size_t at = 0;

    for (;;) {
        size_t start;

        while (at < length && is_blank(line[at]))
            at++;
        if (at == length || line[at] == '#')
            return count;
        start = at;
        while (at < length && !is_blank(line[at]))
            at++;
        if (count < 2)
            fields[count] = (struct field){line + start, at - start};
        count++;
    }
}

enum kdnet_key_status kdnet_keylog_parse(const char *line, size_t length,
                                         struct kdnet_key_entry *entry,
                                         struct kdnet_key_error *error)
{
    struct kdnet_key_entry parsed = {.endpoint = {.port = 0}};
    struct field fields[2];
    enum kdnet_key_status status;
    unsigned count;

    /* Windows editors begin a file with a byte order mark, and some redirections write UTF-16. */
    if (length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
        line += 3;
        length -= 3;
    }
    if (length && memchr(line, '\0', length))
        return fail(error, KDNET_KEY_LINE, 0, "the file is no plain text: save it as UTF-8");
    count = split_line(line, length, fields);
    if (count == 0)
        return ok(error, KDNET_KEY_BLANK);
    if (count > 2)
        return fail(error, KDNET_KEY_LINE, 0,
                    "the line has %u fields: write KEY, ADDRESS KEY or ADDRESS:PORT KEY", count);
    if (count == 2) {
        status = kdnet_endpoint_parse(fields[0].text, fields[0].length, &parsed.endpoint, error);
        if (status != KDNET_KEY_OK)
            return status;
    }
    status = kdnet_key_parse(fields[count - 1].text, fields[count - 1].length, parsed.key, error);
    if (status == KDNET_KEY_OK)
        *entry = parsed;
    return status;
}
