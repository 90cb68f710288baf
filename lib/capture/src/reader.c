/* reader.c - blocks and records from a stream. See reader.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * States:
 *   START     nothing was read; the first bytes tell the format
 *   PCAPNG    before a block
 *   PCAP_NEW  the header was read; section and interface are made up of it, one a call
 *   PCAP      before a record
 *   DONE      end or failure
 */
#include "capture/reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "block.h"
#include "bytes.h"
#include "file.h"
#include "parse.h"
#include "source.h"

#define PCAP_MICROSECONDS 0xa1b2c3d4u
#define PCAP_NANOSECONDS  0xa1b23c4du
#define PCAP_MODIFIED     0xa1b2cd34u /* a patched libpcap of 1999: longer record headers */
#define PCAP_HEAD         24
#define PCAP_RECORD_HEAD  16
#define PCAP_MAJOR        2
#define MAGIC_SIZE        4
#define FIRST_ROOM        65536

enum state { START, PCAPNG, PCAP_NEW, PCAP, DONE };

struct cap_reader {
    enum state state;
    bool pcapng;
    bool others;
    bool big_endian;
    bool section_given;             /* PCAP_NEW */
    uint32_t fraction;              /* pcap: nanoseconds of one unit of a time's second part */
    struct cap_interface interface; /* pcap */
    uint64_t offset;                /* of the block that is read or comes next */
    uint8_t *buffer;
    size_t room;
    struct cap_failure failure;
    struct cap_file file;
    struct cap_source source;
    struct cap_parser parser;
};

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static bool
fail(struct cap_reader *reader, enum cap_failure_kind kind, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    vsnprintf(reader->failure.text, sizeof reader->failure.text, format, values);
    va_end(values);
    reader->failure.kind = kind;
    reader->failure.offset = reader->offset;
    reader->state = DONE;
    return false;
}

/* The stream gave less than asked for, in the middle of `what`. */
static bool fail_short(struct cap_reader *reader, const char *what)
{
    if (reader->source.failure != CAP_FAILURE_NONE)
        return fail(reader, reader->source.failure, "%s", reader->source.text);
    return fail(reader, CAP_FAILURE_TRUNCATED, "the file ends in the middle of %s", what);
}

/* Reads until `size` bytes are in the buffer, of which `have` are there already. Memory grows with
 * what really comes, not with what a length promises. */
static bool need(struct cap_reader *reader, size_t have, size_t size, const char *what)
{
    while (have < size) {
        size_t step;

        if (have == reader->room) {
            uint8_t *larger = realloc(reader->buffer, 2 * reader->room);

            if (!larger)
                return fail(reader, CAP_FAILURE_MEMORY, "there is not enough memory");
            reader->buffer = larger;
            reader->room *= 2;
        }
        step = (size < reader->room ? size : reader->room) - have;
        if (cap_source_read(&reader->source, reader->buffer + have, step) != step)
            return fail_short(reader, what);
        have += step;
    }
    return true;
}

/* The next `size` bytes, with which a block or record begins. At the end of the file: false. */
static bool begin(struct cap_reader *reader, size_t size, const char *what)
{
    size_t got = cap_source_read(&reader->source, reader->buffer, size);

    if (got == size)
        return true;
    if (got || reader->source.failure != CAP_FAILURE_NONE)
        return fail_short(reader, what);
    reader->state = DONE;
    return false;
}

/* --- pcapng */

static bool byte_order(struct cap_reader *reader)
{
    const uint8_t *magic = reader->buffer + BLOCK_HEAD;

    if (cap_get32(magic, true) != BYTE_ORDER_MAGIC && cap_get32(magic, false) != BYTE_ORDER_MAGIC)
        return fail(reader, CAP_FAILURE_CORRUPT, "the section header has no byte-order magic");
    reader->big_endian = cap_get32(magic, true) == BYTE_ORDER_MAGIC;
    return true;
}

/* The block whose head is in the buffer, up to its end. */
static bool read_block(struct cap_reader *reader, struct cap_item *item)
{
    size_t have = BLOCK_HEAD;
    uint32_t size, again;

    /* The type of a section header reads the same in both byte orders. */
    if (cap_get32(reader->buffer, false) == CAP_BLOCK_SECTION) {
        if (!need(reader, have, have + 4, "a block") || !byte_order(reader))
            return false;
        have += 4;
    }
    size = cap_get32(reader->buffer + 4, reader->big_endian);
    if (size < BLOCK_MIN || size % 4)
        return fail(reader, CAP_FAILURE_CORRUPT, "a block says it is %" PRIu32 " bytes long", size);
    if (size > CAP_BLOCK_MAX)
        return fail(reader, CAP_FAILURE_LIMIT,
                    "a block says it is %" PRIu32 " bytes long; more than %u are not read", size,
                    CAP_BLOCK_MAX);
    if (!need(reader, have, size, "a block"))
        return false;
    again = cap_get32(reader->buffer + size - BLOCK_TAIL, reader->big_endian);
    if (again != size)
        return fail(reader, CAP_FAILURE_CORRUPT,
                    "a block says it is %" PRIu32 " bytes long at its start and %" PRIu32
                    " at its end",
                    size, again);
    *item = (struct cap_item){
        .offset = reader->offset,
        .type = cap_get32(reader->buffer, reader->big_endian),
        .block = {reader->buffer, size},
        .big_endian = reader->big_endian,
    };
    return true;
}

static bool next_block(struct cap_reader *reader, struct cap_item *item)
{
    char text[sizeof reader->failure.text];
    enum cap_failure_kind kind;

    do {
        bool first = reader->offset == 0; /* its first bytes are there already */

        if (first ? !need(reader, MAGIC_SIZE, BLOCK_HEAD, "a block")
                  : !begin(reader, BLOCK_HEAD, "a block"))
            return false;
        if (!read_block(reader, item))
            return false;
        kind = cap_parse_block(&reader->parser, item, text, sizeof text);
        if (kind != CAP_FAILURE_NONE)
            return fail(reader, kind, "%s", text);
        reader->offset += item->block.size;
    } while (item->kind == CAP_ITEM_OTHER && !reader->others);
    return true;
}

/* --- pcap */

static bool start_pcap(struct cap_reader *reader)
{
    const uint8_t *head;
    bool big = reader->big_endian;

    if (!need(reader, MAGIC_SIZE, PCAP_HEAD, "the file header"))
        return false;
    head = reader->buffer;
    if (cap_get16(head + 4, big) != PCAP_MAJOR)
        return fail(reader, CAP_FAILURE_FORMAT, "this is pcap version %u.%u; only 2 is known",
                    cap_get16(head + 4, big), cap_get16(head + 6, big));
    reader->fraction = cap_get32(head, big) == PCAP_NANOSECONDS ? 1 : 1000;
    reader->interface = (struct cap_interface){
        .linktype = (uint16_t)cap_get32(head + 20, big), /* above it: length of a checksum */
        .snaplen = cap_get32(head + 16, big),
        .resolution = reader->fraction == 1 ? RESOLUTION_NANOSECONDS : RESOLUTION_DEFAULT,
    };
    reader->state = PCAP_NEW;
    return true;
}

static bool next_made_up(struct cap_reader *reader, struct cap_item *item)
{
    *item = (struct cap_item){.big_endian = reader->big_endian};
    if (!reader->section_given) {
        item->kind = CAP_ITEM_SECTION;
        item->section = (struct cap_section){.comments = {NULL, 0}};
        reader->section_given = true;
        return true;
    }
    item->kind = CAP_ITEM_INTERFACE;
    item->interface = reader->interface;
    reader->state = PCAP;
    reader->offset = PCAP_HEAD;
    return true;
}

static bool next_record(struct cap_reader *reader, struct cap_item *item)
{
    bool big = reader->big_endian;
    uint64_t time;
    uint32_t captured;

    if (!begin(reader, PCAP_RECORD_HEAD, "a packet"))
        return false;
    captured = cap_get32(reader->buffer + 8, big);
    if (captured > CAP_BLOCK_MAX - PCAP_RECORD_HEAD)
        return fail(reader, CAP_FAILURE_CORRUPT, "a packet says it has %" PRIu32 " bytes",
                    captured);
    if (!need(reader, PCAP_RECORD_HEAD, PCAP_RECORD_HEAD + (size_t)captured, "a packet"))
        return false;
    time = (uint64_t)cap_get32(reader->buffer, big) * 1000000000u;
    time += (uint64_t)cap_get32(reader->buffer + 4, big) * reader->fraction;
    *item = (struct cap_item){
        .kind = CAP_ITEM_PACKET,
        .offset = reader->offset,
        .big_endian = big,
        .linktype = reader->interface.linktype,
    };
    item->packet = (struct cap_packet){
        .time = time,
        .data = {reader->buffer + PCAP_RECORD_HEAD, captured},
        .original_size = cap_get32(reader->buffer + 12, big),
    };
    reader->offset += PCAP_RECORD_HEAD + (uint64_t)captured;
    return true;
}

/* --- both */

static bool start(struct cap_reader *reader)
{
    const uint8_t *magic;

    if (!begin(reader, MAGIC_SIZE, "the file header"))
        return reader->failure.kind == CAP_FAILURE_NONE
                   ? fail(reader, CAP_FAILURE_FORMAT, "the file is empty")
                   : false;
    magic = reader->buffer;
    reader->pcapng = cap_get32(magic, false) == CAP_BLOCK_SECTION;
    if (reader->pcapng) {
        reader->state = PCAPNG;
        return true;
    }
    for (int big = 0; big < 2; big++) {
        reader->big_endian = big;
        switch (cap_get32(magic, big)) {
        case PCAP_MICROSECONDS:
        case PCAP_NANOSECONDS:
            return start_pcap(reader);
        case PCAP_MODIFIED:
            return fail(reader, CAP_FAILURE_FORMAT,
                        "this is \"modified\" pcap; editcap turns it into pcapng");
        }
    }
    return fail(reader, CAP_FAILURE_FORMAT,
                "this is neither pcapng nor pcap: it begins with %02x %02x %02x %02x", magic[0],
                magic[1], magic[2], magic[3]);
}

bool cap_reader_next(struct cap_reader *reader, struct cap_item *item)
{
    if (reader->state == START && !start(reader))
        return false;
    switch (reader->state) {
    case PCAPNG:
        return next_block(reader, item);
    case PCAP_NEW:
        return next_made_up(reader, item);
    case PCAP:
        return next_record(reader, item);
    default:
        return false;
    }
}

static ptrdiff_t read_file(void *context, void *buffer, size_t size, char *error, size_t error_size)
{
    return cap_file_read(context, buffer, size, error, error_size);
}

struct cap_reader *cap_reader_open_function(cap_read_function read, void *context,
                                            struct cap_failure *failure)
{
    struct cap_reader *reader = calloc(1, sizeof *reader);
    uint8_t *buffer = malloc(FIRST_ROOM);

    *failure = (struct cap_failure){.kind = CAP_FAILURE_NONE};
    if (!reader || !buffer) {
        free(reader);
        free(buffer);
        failure->kind = CAP_FAILURE_MEMORY;
        snprintf(failure->text, sizeof failure->text, "there is not enough memory");
        return NULL;
    }
    reader->buffer = buffer;
    reader->room = FIRST_ROOM;
    cap_source_open(&reader->source, read, context);
    return reader;
}

static struct cap_reader *open_file(struct cap_file file, struct cap_failure *failure)
{
    struct cap_reader *reader = cap_reader_open_function(read_file, NULL, failure);
    char ignored[1];

    if (!reader) {
        cap_file_close(&file, ignored, sizeof ignored);
        return NULL;
    }
    reader->file = file;
    reader->source.context = &reader->file;
    return reader;
}

struct cap_reader *cap_reader_open_fd(int fd, struct cap_failure *failure)
{
    struct cap_file file;

    cap_file_from_fd(&file, fd);
    return open_file(file, failure);
}

struct cap_reader *cap_reader_open(const char *path, struct cap_failure *failure)
{
    struct cap_file file;

    if (strcmp(path, "-") == 0)
        return cap_reader_open_fd(0, failure);
    *failure = (struct cap_failure){.kind = CAP_FAILURE_SYSTEM};
    if (!cap_file_open(&file, path, failure->text, sizeof failure->text))
        return NULL;
    return open_file(file, failure);
}

void cap_reader_want_others(struct cap_reader *reader)
{
    reader->others = true;
}

const struct cap_failure *cap_reader_failure(const struct cap_reader *reader)
{
    return &reader->failure;
}

bool cap_reader_is_pcapng(const struct cap_reader *reader)
{
    return reader->pcapng;
}

bool cap_reader_is_gzip(const struct cap_reader *reader)
{
    return reader->source.gzip;
}

void cap_reader_close(struct cap_reader *reader)
{
    char ignored[1];

    if (!reader)
        return;
    cap_source_close(&reader->source);
    cap_parser_free(&reader->parser);
    cap_file_close(&reader->file, ignored, sizeof ignored);
    free(reader->buffer);
    free(reader);
}
