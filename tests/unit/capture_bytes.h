/* capture_bytes.h - capture files written by hand, for the tests of lib/capture.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Blocks are written from the format's description here, without the library's encoders.
 */
#ifndef KDLENS_TESTS_UNIT_CAPTURE_BYTES_H
#define KDLENS_TESTS_UNIT_CAPTURE_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t data[4096];
    size_t size;
    bool big; /* byte order of what is added by number */
    size_t block;
};

static inline void add(struct bytes *bytes, const void *data, size_t size)
{
    if (size > sizeof bytes->data - bytes->size)
        abort();
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

/* Two hex digits a byte; blanks between bytes. */
static inline void add_hex(struct bytes *bytes, const char *text)
{
    for (; *text; text++) {
        char digits[3] = {text[0], text[0] == ' ' ? '\0' : text[1], '\0'};
        uint8_t byte;

        if (*text == ' ')
            continue;
        byte = (uint8_t)strtoul(digits, NULL, 16);
        add(bytes, &byte, 1);
        text++;
    }
}

static inline void add_number(struct bytes *bytes, size_t size, uint64_t value)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * (bytes->big ? size - 1 - i : i));

        add(bytes, &byte, 1);
    }
}

static inline void add_padding(struct bytes *bytes)
{
    while ((bytes->size - bytes->block) % 4)
        add(bytes, "", 1);
}

static inline void set_number(struct bytes *bytes, size_t at, size_t size, uint64_t value)
{
    size_t end = bytes->size;

    bytes->size = at;
    add_number(bytes, size, value);
    bytes->size = end;
}

static inline void begin_block(struct bytes *bytes, uint32_t type)
{
    bytes->block = bytes->size;
    add_number(bytes, 4, type);
    add_number(bytes, 4, 0);
}

static inline void end_block(struct bytes *bytes)
{
    uint64_t size;

    add_padding(bytes);
    size = bytes->size - bytes->block + 4;
    set_number(bytes, bytes->block + 4, 4, size);
    add_number(bytes, 4, size);
}

static inline void add_option(struct bytes *bytes, uint16_t code, const void *value, size_t size)
{
    add_number(bytes, 2, code);
    add_number(bytes, 2, size);
    add(bytes, value, size);
    add_padding(bytes);
}

static inline void add_number_option(struct bytes *bytes, uint16_t code, size_t size,
                                     uint64_t value)
{
    add_number(bytes, 2, code);
    add_number(bytes, 2, size);
    add_number(bytes, size, value);
    add_padding(bytes);
}

static inline void add_section(struct bytes *bytes)
{
    begin_block(bytes, 0x0a0d0d0a);
    add_number(bytes, 4, 0x1a2b3c4d);
    add_number(bytes, 2, 1);
    add_number(bytes, 2, 0);
    add_number(bytes, 8, UINT64_MAX);
    end_block(bytes);
}

/* Without if_tsresol when `resolution` is 6. */
static inline void add_interface(struct bytes *bytes, uint16_t linktype, uint8_t resolution)
{
    begin_block(bytes, 1);
    add_number(bytes, 2, linktype);
    add_number(bytes, 2, 0);
    add_number(bytes, 4, 0);
    if (resolution != 6) {
        add_number_option(bytes, 9, 1, resolution);
        add_option(bytes, 0, "", 0);
    }
    end_block(bytes);
}

static inline void begin_packet(struct bytes *bytes, uint32_t interface, uint64_t time,
                                const char *data)
{
    begin_block(bytes, 6);
    add_number(bytes, 4, interface);
    add_number(bytes, 4, time >> 32);
    add_number(bytes, 4, time & UINT32_MAX);
    add_number(bytes, 4, strlen(data));
    add_number(bytes, 4, strlen(data));
    add(bytes, data, strlen(data));
    add_padding(bytes);
}

static inline void add_packet(struct bytes *bytes, uint32_t interface, uint64_t time,
                              const char *data)
{
    begin_packet(bytes, interface, time, data);
    end_block(bytes);
}

static inline void add_pcap_header(struct bytes *bytes, uint32_t magic, uint32_t linktype)
{
    add_number(bytes, 4, magic);
    add_number(bytes, 2, 2);
    add_number(bytes, 2, 4);
    add_number(bytes, 8, 0);
    add_number(bytes, 4, 65535);
    add_number(bytes, 4, linktype);
}

static inline void add_pcap_record(struct bytes *bytes, uint32_t seconds, uint32_t fraction,
                                   const char *data)
{
    add_number(bytes, 4, seconds);
    add_number(bytes, 4, fraction);
    add_number(bytes, 4, strlen(data));
    add_number(bytes, 4, strlen(data) + 1);
    add(bytes, data, strlen(data));
}

#endif
