/* reader.h - reads pcapng and pcap files, plain or gzip, one block at a time.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Reads pcapng of both byte orders, with any number of sections, and pcap with microseconds or
 * nanoseconds of both byte orders; a gzip file may have several members. Input is a stream: nothing
 * is ever sought, and an item is delivered as soon as its last byte has come.
 *
 * Input may be hostile. Memory is bounded: one block of CAP_BLOCK_MAX bytes, CAP_INTERFACES_MAX
 * interfaces a section, CAP_COMMENTS_MAX comments a block (more are left out, also from the count).
 * A file that breaks off or makes no sense ends with a failure that names the place; everything
 * before it has been delivered. Options that do not add up cost only the options behind them.
 */
#ifndef CAPTURE_READER_H
#define CAPTURE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/pcapng.h"

#define CAP_INTERFACES_MAX 65536
#define CAP_COMMENTS_MAX   1024

enum cap_failure_kind {
    CAP_FAILURE_NONE,
    CAP_FAILURE_SYSTEM,    /* opening or reading failed */
    CAP_FAILURE_FORMAT,    /* neither pcap nor pcapng, or a variant that is not read */
    CAP_FAILURE_TRUNCATED, /* the file ends in the middle of a block */
    CAP_FAILURE_CORRUPT,   /* what is there makes no sense */
    CAP_FAILURE_LIMIT,     /* more than the bounds above */
    CAP_FAILURE_MEMORY,
};

struct cap_failure {
    enum cap_failure_kind kind;
    uint64_t offset; /* of the block at fault; in a gzip file, in what it unpacks to */
    char text[200];  /* one sentence, without the file's name */
};

enum cap_item_kind {
    CAP_ITEM_SECTION, /* pcap: one, made up, as is the interface */
    CAP_ITEM_INTERFACE,
    CAP_ITEM_PACKET,
    CAP_ITEM_STATISTICS,
    CAP_ITEM_SECRETS,
    CAP_ITEM_OTHER, /* a block of another type; only `block` says what it is */
};

/* Valid until the next call. */
struct cap_item {
    enum cap_item_kind kind;
    uint64_t offset;
    uint32_t type;          /* enum cap_block_type; 0 in a pcap file */
    struct cap_bytes block; /* the whole block as it is in the file; empty in a pcap file */
    bool big_endian;
    bool damaged_options;
    struct cap_options options; /* all of them, for what the structs do not hold */
    uint16_t linktype;          /* packet: of its interface */
    union {
        struct cap_section section;
        struct cap_interface interface;
        struct cap_packet packet;
        struct cap_statistics statistics;
        struct cap_secrets secrets;
    };
};

struct cap_reader;

/* Bytes read, 0 at the end, negative on an error, which is then named in `error`. */
typedef ptrdiff_t (*cap_read_function)(void *context, void *buffer, size_t size, char *error,
                                       size_t error_size);

/* `path` is UTF-8; "-" is standard input. NULL with `failure` filled when it cannot be opened; the
 * content is looked at only by cap_reader_next. */
struct cap_reader *cap_reader_open(const char *path, struct cap_failure *failure);

/* From an open file, pipe or socket, which stays the caller's. */
struct cap_reader *cap_reader_open_fd(int fd, struct cap_failure *failure);

struct cap_reader *cap_reader_open_function(cap_read_function read, void *context,
                                            struct cap_failure *failure);

/* CAP_ITEM_OTHER is delivered only after this. */
void cap_reader_want_others(struct cap_reader *reader);

/* False at the end and after a failure. */
bool cap_reader_next(struct cap_reader *reader, struct cap_item *item);

/* kind is CAP_FAILURE_NONE while all is well and after a proper end. */
const struct cap_failure *cap_reader_failure(const struct cap_reader *reader);

bool cap_reader_is_pcapng(const struct cap_reader *reader); /* once an item was delivered */
bool cap_reader_is_gzip(const struct cap_reader *reader);

void cap_reader_close(struct cap_reader *reader);

#endif
