/* block.h - numbers of the pcapng format that encoders and reader share.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef CAPTURE_BLOCK_H
#define CAPTURE_BLOCK_H

#include "capture/pcapng.h"

#define BYTE_ORDER_MAGIC       0x1a2b3c4du
#define VERSION_MAJOR          1
#define RESOLUTION_NANOSECONDS 9
#define RESOLUTION_DEFAULT     6
#define RESOLUTION_BINARY      0x80u /* if_tsresol: the exponent is one of 2 */

#define BLOCK_HEAD 8 /* type, size */
#define BLOCK_TAIL 4 /* size again */
#define BLOCK_MIN  (BLOCK_HEAD + BLOCK_TAIL)

#define OPTION_HEAD_SIZE 4

/* Sizes of what comes before data and options, and where in it the size of the data is. */
#define SECTION_FIXED    16
#define INTERFACE_FIXED  8
#define STATISTICS_FIXED 12
#define SIMPLE_FIXED     4
#define PACKET_FIXED     20
#define PACKET_CAPTURED  12
#define SECRETS_FIXED    8
#define SECRETS_SIZE     4

enum cap_option_code {
    OPTION_END = 0,
    OPTION_COMMENT = 1,

    SECTION_HARDWARE = 2,
    SECTION_OS = 3,
    SECTION_APPLICATION = 4,

    INTERFACE_NAME = 2,
    INTERFACE_DESCRIPTION = 3,
    INTERFACE_SPEED = 8,
    INTERFACE_RESOLUTION = 9,
    INTERFACE_FILTER = 11,
    INTERFACE_OS = 12,
    INTERFACE_OFFSET = 14,
    INTERFACE_HARDWARE = 15,

    PACKET_FLAGS = 2,
    PACKET_DROPPED = 4,

    STATISTICS_START = 2,
    STATISTICS_END = 3,
    STATISTICS_RECEIVED = 4,
    STATISTICS_DROPPED = 5,
};

/* The options of a whole block. False when the block has none by its type, or its sizes are
 * impossible. */
bool cap_block_options(struct cap_bytes block, bool big_endian, struct cap_options *options);

#endif
