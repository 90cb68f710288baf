/* mem.h - the actions of the verb mem.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_MEM_H
#define KDLENS_MEM_H

#include "models.h"

struct mem_options {
    struct sessions_options sessions;
    const char *action;
    struct operands arguments; /* behind the capture */
    uint64_t at;               /* 0: the end */
    bool physical;
    bool without_writes;
    bool changes;
    bool text;
    bool utf16;
    bool json;
};

/* How to look. */
struct kda_view mem_view(const struct mem_options *options);
const struct kda_memory *mem_space(const struct mem_options *options,
                                   const struct kda_model *model);

/* "0x1000", "fffff800`12345678", "nt+0x1000"; names are those of modules that are loaded then. */
bool mem_address(const struct mem_options *options, const struct kda_model *model, const char *text,
                 uint64_t *address, struct problem *problem);

/* read, write, fill ... */
const char *origin_name(enum kda_origin origin);
/* "read, write" */
#define ORIGINS_TEXT_SIZE 48u
void origins_text(uint32_t origins, char out[ORIGINS_TEXT_SIZE]);

/* Each returns whether something was found; false with a problem whose text is not empty when the
 * arguments are wrong. */
bool mem_read(const struct mem_options *options, const struct models_seat *seat,
              struct problem *problem);
bool mem_find(const struct mem_options *options, const struct models_seat *seat,
              struct problem *problem);
bool mem_map(const struct mem_options *options, const struct models_seat *seat,
             struct problem *problem);

#endif
