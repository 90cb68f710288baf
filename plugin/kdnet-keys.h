/* kdnet-keys.h - the keys a user gave, and the ciphers made from them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sources: the preference kdnet.key, the table kdnet.keys (address, port, key), the file
 * kdnet.keylog_file, and packet comments "kdnet.key: a.b.c.d", which hold from their packet on.
 */
#ifndef KDLENS_PLUGIN_KDNET_KEYS_H
#define KDLENS_PLUGIN_KDNET_KEYS_H

#include "analysis/kdnet.h"
#include "compat.h"

#include <epan/prefs.h>

/* A control key and its cipher. In file scope: one for each key and capture. */
struct kdnet_control_key {
    uint8_t bytes[KDNET_KEY_SIZE];
    struct kdnet_cipher *cipher; /* control channel, and version 1 */
};

void kdnet_keys_register(module_t *module);

/* First visit: reads the packet's comments. */
void kdnet_keys_see_comments(const packet_info *pinfo);

/* The i-th key that may open this packet's datagrams, or null when there are no more. Keys that
 * name an address of the packet come before those for any address. */
struct kdnet_control_key *kdnet_keys_candidate(const packet_info *pinfo, unsigned i);

/* A cipher that lives until the capture is closed, or null. */
struct kdnet_cipher *kdnet_keys_cipher(const uint8_t aes_key[KDNET_KEY_SIZE],
                                       const uint8_t control_key[KDNET_KEY_SIZE]);

#endif
