/* pcapng.h - the blocks of a pcapng file: structs, and encoders from a struct to bytes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The format is that of draft-ietf-opsawg-pcapng. Encoders are pure: they write to the caller's
 * buffer, little-endian, and return the size of the block. When that is more than `room` they have
 * written nothing, so (NULL, 0) asks for the size. They return 0 for what cannot be a block: more
 * than CAP_BLOCK_MAX bytes. A text longer than an option can hold is cut between two characters.
 *
 * Blocks go into a file in the order section, interfaces, secrets, packets; editcap refuses a file
 * whose secrets come before the interfaces. Times are nanoseconds since 1970 (if_tsresol 9).
 *
 * The reader delivers the same structs, pointing into its own buffer.
 */
#ifndef CAPTURE_PCAPNG_H
#define CAPTURE_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CAP_BLOCK_MAX   (16u << 20)
#define CAP_SECRET_KDNK 0x4b444e4bu /* secrets type: KDNET keys */
#define CAP_NOT_SAID    UINT64_MAX  /* a counter or time that is not known */

enum cap_block_type {
    CAP_BLOCK_INTERFACE = 1,
    CAP_BLOCK_OLD_PACKET = 2,
    CAP_BLOCK_SIMPLE_PACKET = 3,
    CAP_BLOCK_NAMES = 4,
    CAP_BLOCK_STATISTICS = 5,
    CAP_BLOCK_PACKET = 6,
    CAP_BLOCK_SECRETS = 10,
    CAP_BLOCK_SECTION = 0x0a0d0d0a,
};

struct cap_bytes {
    const uint8_t *bytes;
    size_t size;
};

/* UTF-8, not ended by NUL. An empty one is not written. */
struct cap_text {
    const char *bytes;
    size_t size;
};

static inline struct cap_text cap_text(const char *text)
{
    return (struct cap_text){text, text ? strlen(text) : 0};
}

struct cap_comments {
    const struct cap_text *list;
    size_t count;
};

struct cap_section {
    struct cap_text hardware;
    struct cap_text os;
    struct cap_text application;
    struct cap_comments comments;
};

struct cap_interface {
    uint16_t linktype;
    uint32_t snaplen; /* 0: no limit */
    struct cap_text name;
    struct cap_text description;
    struct cap_text filter; /* a libpcap filter expression */
    struct cap_text hardware;
    struct cap_text os;
    uint64_t speed; /* bits a second; 0: not said */
    struct cap_comments comments;
    uint8_t resolution; /* read only: if_tsresol as it is in the file */
    int64_t offset;     /* read only: if_tsoffset, seconds; already part of every time */
};

enum cap_packet_flags {
    CAP_FLAG_INBOUND = 1,  /* from the target to the debugger */
    CAP_FLAG_OUTBOUND = 2, /* from the debugger to the target */
    CAP_FLAG_DIRECTION = 3,
};

struct cap_packet {
    uint32_t interface;     /* its number in the section */
    uint64_t time;          /* read: CAP_NOT_SAID in a simple packet block, which has none */
    struct cap_bytes head;  /* written before data; read: always empty */
    struct cap_bytes data;  /* what was captured */
    uint32_t original_size; /* on the wire; written: 0 means all was captured */
    uint32_t flags;         /* 0: not said */
    uint64_t dropped;       /* packets lost since the one before; 0: not said */
    struct cap_comments comments;
};

struct cap_statistics {
    uint32_t interface;
    uint64_t time;
    uint64_t start, end;        /* of capturing; CAP_NOT_SAID leaves them out, as below */
    uint64_t received, dropped; /* packets */
    struct cap_comments comments;
};

struct cap_secrets {
    uint32_t type;
    struct cap_bytes data;
    bool big_endian; /* to be put into a big-endian section; read: the section's byte order */
};

size_t cap_encode_section(uint8_t *out, size_t room, const struct cap_section *section);
size_t cap_encode_interface(uint8_t *out, size_t room, const struct cap_interface *interface);
size_t cap_encode_packet(uint8_t *out, size_t room, const struct cap_packet *packet);
size_t cap_encode_statistics(uint8_t *out, size_t room, const struct cap_statistics *statistics);
size_t cap_encode_secrets(uint8_t *out, size_t room, const struct cap_secrets *secrets);

/* A copy of a whole section, interface, packet or statistics block, of either byte order, with
 * these comments instead of its own; every other option stays. 0 also when the block is none of
 * these or is damaged. */
size_t cap_encode_with_comments(uint8_t *out, size_t room, struct cap_bytes block, bool big_endian,
                                const struct cap_comments *comments);

/* The options of a block, one after the other. */
struct cap_options {
    const uint8_t *at, *end;
    bool big_endian;
    bool damaged; /* the list ended in the middle of an option */
};

/* False at the end. */
bool cap_option_next(struct cap_options *options, uint16_t *code, struct cap_bytes *value);

#endif
