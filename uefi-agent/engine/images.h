/* images.h - the list of loaded images in the engine's memory, where the debugger reads it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A ring of LDR_DATA_TABLE_ENTRY64 behind a LIST_ENTRY64, whose address GetVersion tells. WinDbg
 * forgets what load events said on every .reload and reconnect and reads this again.
 */
#ifndef KDA_IMAGES_H
#define KDA_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "kd/protocol.h"

/* Characters of a path; of a longer one the end is kept, which has the name. */
#define KDA_MAX_PATH 128u

/* WinDbg takes a name at an odd address for none. */
struct kda_image_slot {
    _Alignas(8) struct kd_ldr_data_table_entry64 entry; /* first: links are addresses of slots */
    kd_u16 path[KDA_MAX_PATH + 1];
    bool used;
};

struct kda_images {
    struct kd_list_entry64 head;
    struct kda_image_slot slot[KDA_MAX_IMAGES];
};

void kda_images_init(struct kda_images *images);

/* At the end of the list, unless its base is there already. False: no room. */
bool kda_images_add(struct kda_images *images, const struct kda_image *image);

/* The size of the image that began at base, 0 when there is none; it is off the list. */
uint32_t kda_images_remove(struct kda_images *images, uint64_t base);

/* The part of a path that is kept; *size without NUL. */
const char *kda_images_path(const char *path, size_t *size);

#endif
