/* parse.h - what a whole pcapng block says, as an item of the reader.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * No input or output here. What is kept between blocks is the section's interfaces.
 */
#ifndef CAPTURE_PARSE_H
#define CAPTURE_PARSE_H

#include "capture/reader.h"

struct cap_known_interface {
    uint16_t linktype;
    uint8_t resolution;
    uint32_t snaplen;
    int64_t offset;
};

struct cap_parser {
    struct cap_known_interface *interfaces;
    size_t count, room;
    struct cap_text comments[CAP_COMMENTS_MAX]; /* of the block parsed last */
};

/* The item has offset, type, block and big_endian; the rest is filled in. The block's size and the
 * copy of it at its end are known to be right. NONE, or what is wrong with a sentence in `text`. */
enum cap_failure_kind cap_parse_block(struct cap_parser *parser, struct cap_item *item, char *text,
                                      size_t text_size);

void cap_parser_free(struct cap_parser *parser);

#endif
