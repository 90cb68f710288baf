/* keyring_keys.h - the inside of a keyring, for the files that decrypt with it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_KEYRING_KEYS_H
#define KDLENS_KEYRING_KEYS_H

#include "analysis/kdnet_key.h"
#include "keyring.h"

struct keyring {
    size_t count;
    struct kdnet_key_entry entries[KEYRING_KEYS_MAX];
};

#endif
