/* keys_copy.h - a capture into another file, block by block, with KDNET keys put in or taken out.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Blocks stay as they are, of either byte order, but for what carries keys: a secrets block of type
 * KDNK with the lines of a key-log, behind the first section's interfaces, and comments "kdnet.key:
 * KEY" on packets, by which the Wireshark plugin learns keys. A pcap file becomes pcapng.
 */
#ifndef KDLENS_KEYS_COPY_H
#define KDLENS_KEYS_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/reader.h"
#include "keyring.h"
#include "problem.h"

struct keys_copy_options {
    const char *from;
    const char *to;
    struct keyring *add; /* gets the keys of the file, too; NULL: all keys are taken out */
};

struct keys_copy_result {
    struct cap_failure failure; /* of reading; what is before was copied */
    bool interrupted;
    uint64_t packets;
    /* add: of each key of the keyring */
    uint64_t first[KEYRING_KEYS_MAX];  /* the packet that carries it, from 1; 0: none */
    uint64_t opened[KEYRING_KEYS_MAX]; /* datagrams */
    uint64_t sealed;                   /* datagrams that none opens */
    /* strip */
    uint64_t secrets, comments; /* taken out */
};

/* False, with a problem, when reading cannot begin or writing fails. */
bool keys_copy(const struct keys_copy_options *options, struct keys_copy_result *result,
               struct problem *problem);

#endif
